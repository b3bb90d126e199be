/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* Migrations: from a folder of their own, on both databases. */

static char *dir;

static char *
file_path(const char *name)
{
	return xasprintf("%s/%s/%s", dir,
	    env.dialect == STORE_POSTGRES ? "postgres" : "sqlite", name);
}

static void
file_write(const char *name, const char *text)
{
	char *path = file_path(name);
	FILE *f = fopen(path, "w");

	MUST(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	free(path);
}

static void
file_remove(const char *name)
{
	char *path = file_path(name);

	MUST(unlink(path) == 0);
	free(path);
}

#define ONE "-- min_compatible: 1\nCREATE TABLE one (a bigint);\n"
#define TWO "-- min_compatible: 1\nCREATE TABLE two (a bigint);\n"

static int
open_with(int (*open)(void), enum store_dialect dialect)
{
	const char *names[] = { "sqlite", "postgres" };
	char *sub;
	int rc;

	dir = env_temp_dir();
	for (int i = 0; i < 2; i++) {
		sub = xasprintf("%s/%s", dir, names[i]);
		MUST(mkdir(sub, 0700) == 0);
		free(sub);
	}
	env.dialect = dialect;
	/* now_us() is made by the first migration. */
	file_write("0001_create_one.sql",
	    dialect == STORE_SQLITE ? ONE
				    : ONE
		"CREATE FUNCTION now_us() RETURNS bigint LANGUAGE sql "
		"STABLE AS 'SELECT 1::bigint';");
	env_migrations = dir;
	rc = open();
	if (env.db == NULL)
		env.dialect = dialect;
	return rc;
}

static int
open_sqlite(void)
{
	return open_with(env_sqlite_open, STORE_SQLITE);
}

static int
open_postgres(void)
{
	return open_with(env_postgres_open, STORE_POSTGRES);
}

static int
close_both(void)
{
	env_close();
	env_remove(dir);
	return 0;
}

static enum as_status
migrate(bool check_only, int *n, const char *word)
{
	struct error err = { 0 };
	enum as_status st = store_migrate(env.db, check_only, n, &err);

	if (word != NULL && strstr(err.detail, word) == NULL) {
		tap_note("no '%s' in: %s", word, err.detail);
		CU_FAIL("message");
	}
	error_clear(&err);
	return st;
}

static bool
has_table(const char *name)
{
	char *text = xasprintf("SELECT count(*) FROM %s", name);
	bool found;

	log_to_fd(-1);
	found = store_db_run(env.db, text, NULL, 0, NULL, NULL) == AS_OK;
	log_to_fd(2);
	free(text);
	return found;
}

static void
test_twice(void)
{
	int n = -1;

	if (!env_ready())
		return;
	CU_ASSERT_TRUE(has_table("one"));
	CU_ASSERT_EQUAL(migrate(false, &n, NULL), AS_OK);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(migrate(true, &n, NULL), AS_OK);
}

static void
test_next(void)
{
	int n = -1;

	if (!env_ready())
		return;
	file_write("0002_create_two.sql", TWO);
	CU_ASSERT_EQUAL(migrate(true, &n, "0002_create_two.sql"), AS_CONFLICT);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_FALSE(has_table("two"));
	CU_ASSERT_EQUAL(migrate(false, &n, NULL), AS_OK);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_TRUE(has_table("two"));
}

static void
test_edited(void)
{
	if (!env_ready())
		return;
	file_write("0002_create_two.sql", TWO "-- a word\n");
	CU_ASSERT_EQUAL(migrate(false, NULL, "edited"), AS_CONFLICT);
	CU_ASSERT_EQUAL(migrate(true, NULL, "edited"), AS_CONFLICT);
	file_write("0002_create_two.sql", TWO);
	CU_ASSERT_EQUAL(migrate(false, NULL, NULL), AS_OK);
}

/* A binary that knows less runs, until the database says that it may not. */
static void
test_older_binary(void)
{
	if (!env_ready())
		return;
	file_remove("0002_create_two.sql");
	CU_ASSERT_EQUAL(migrate(false, NULL, NULL), AS_OK);
	store_db_run(env.db,
	    "UPDATE schema_migrations SET min_compatible = 2 "
	    "WHERE version = 2",
	    NULL, 0, NULL, NULL);
	CU_ASSERT_EQUAL(migrate(false, NULL, "upgrade"), AS_CONFLICT);
	file_write("0002_create_two.sql", TWO);
	CU_ASSERT_EQUAL(migrate(false, NULL, NULL), AS_OK);
}

static void
test_failing(void)
{
	int n = -1;

	if (!env_ready())
		return;
	log_to_fd(-1);
	file_write("0003_fail.sql",
	    "-- min_compatible: 1\nCREATE TABLE three (a bigint);\nnonsense;");
	CU_ASSERT_NOT_EQUAL(migrate(false, &n, NULL), AS_OK);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_FALSE(has_table("three"));
	file_write("0003_fail.sql", "CREATE TABLE three (a bigint);");
	CU_ASSERT_EQUAL(migrate(false, NULL, "min_compatible"), AS_INVALID);
	file_remove("0003_fail.sql");
	file_write("0004_gap.sql", TWO);
	CU_ASSERT_EQUAL(migrate(false, NULL, "number 3"), AS_INVALID);
	file_remove("0004_gap.sql");
	log_to_fd(2);
}

struct starter {
	pthread_t thread;
	enum as_status st;
	int n;
};

static void *
starter_main(void *arg)
{
	struct starter *s = arg;
	struct store_db *db = NULL;

	s->st = store_db_open(&env.config, &db, NULL);
	if (s->st == AS_OK)
		s->st = store_migrate(db, false, &s->n, NULL);
	store_db_close(db);
	return NULL;
}

static void
test_race(void)
{
	struct starter s[3] = { 0 };
	int n = 0;

	if (!env_ready())
		return;
	if (env.dialect == STORE_SQLITE) {
		tap_skip("SQLite is one process's alone");
		return;
	}
	file_write("0003_race.sql",
	    "-- min_compatible: 1\nSELECT pg_sleep(0.1);\n"
	    "CREATE TABLE three (a bigint);");
	for (int i = 0; i < 3; i++)
		pthread_create(&s[i].thread, NULL, starter_main, &s[i]);
	for (int i = 0; i < 3; i++) {
		pthread_join(s[i].thread, NULL);
		CU_ASSERT_EQUAL(s[i].st, AS_OK);
		n += s[i].n;
	}
	CU_ASSERT_EQUAL(n, 1);
}

static void
test_alone(void)
{
	struct error err = { 0 };
	struct store_db *db;
	char pid[16];

	if (!env_ready())
		return;
	if (env.dialect == STORE_POSTGRES) {
		tap_skip("PostgreSQL serves many processes");
		return;
	}
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	CU_ASSERT_EQUAL(store_db_open(&env.config, &db, &err), AS_CONFLICT);
	CU_ASSERT_PTR_NULL(db);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, pid));
	error_clear(&err);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "migrating twice does nothing", test_twice },
		{ "the next migration", test_next },
		{ "an edited migration is refused", test_edited },
		{ "an older binary", test_older_binary },
		{ "a failing migration leaves nothing", test_failing },
		{ "three starters at once", test_race },
		{ "a second process is refused", test_alone },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "sqlite", open_sqlite, close_both, NULL, NULL, tests },
		{ "postgres", open_postgres, close_both, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
