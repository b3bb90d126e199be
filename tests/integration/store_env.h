/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_STORE_ENV_H
#define TESTS_INTEGRATION_STORE_ENV_H

/*
 * A migrated database and a loop for tests: SQLite in a new folder under
 * TMPDIR, or a new schema of the database that TEST_POSTGRES_URL names.
 */

#include "core/store/store.h"
#include "tests/tap.h"

struct store_env {
	enum store_dialect dialect;
	char *dir; /* SQLite's folder */
	char *url; /* as it was opened */
	char *schema; /* PostgreSQL's */
	struct store_config config;
	struct store_db *db;
	struct loop *loop;
	struct store *store;
};

extern struct store_env env;
extern const char *env_migrations; /* read when a database is opened */

/* What CUnit wants of the functions around a suite: 0 is success. */
int env_sqlite_open(void);
/* Without TEST_POSTGRES_URL it succeeds and opens nothing: env_ready. */
int env_postgres_open(void);
int env_close(void);
/*
 * What main returns: the tests as a suite on either database, each of which
 * ends with fn, env_close unless more is to be closed.
 */
int env_main(const char *name, CU_TestInfo *tests, int (*fn)(void));
/* False, and the test is reported as skipped: there is no such database. */
bool env_ready(void);

/* Run fn on a fiber of env.loop, until it returns. */
void env_run(void (*fn)(void *), void *arg);
/* The path of a new empty folder; the caller removes and frees it. */
char *env_temp_dir(void);
void env_remove(char *dir); /* with what is in it; frees the name */

#endif
