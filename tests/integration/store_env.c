/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/store_env.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/tap.h"

/* The database of the store's tests; one at a time. */

struct store_env env;
const char *env_migrations = SRC_DIR "/migrations";

char *
env_temp_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = xasprintf("%s/store.XXXXXX", tmp == NULL ? "/tmp" : tmp);

	MUST(mkdtemp(dir) != NULL);
	return dir;
}

static int
remove_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
	(void)sb;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void
env_remove(char *dir)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

static int
env_open(void)
{
	struct error err = { 0 };
	enum as_status st;

	env.config = (struct store_config){ .url = env.url,
		.migrations_dir = env_migrations,
		.statement_timeout_ms = 20000 };
	st = store_db_open(&env.config, &env.db, &err);
	if (st == AS_OK)
		st = store_migrate(env.db, false, NULL, &err);
	if (st != AS_OK) {
		tap_note("cannot open the database: %s", err.detail);
		error_clear(&err);
		return 1;
	}
	env.dialect = store_db_dialect(env.db);
	env.loop = loop_new();
	env.store = store_new(env.db, env.loop);
	return 0;
}

int
env_sqlite_open(void)
{
	memset(&env, 0, sizeof(env));
	env.dir = env_temp_dir();
	env.url = xasprintf("sqlite:%s/test.db", env.dir);
	return env_open();
}

static enum as_status
schema_do(const char *url, const char *verb, const char *schema,
    const char *rest)
{
	struct store_config config = { .url = url };
	struct store_db *db;
	char text[128];
	enum as_status st = store_db_open(&config, &db, NULL);

	if (st != AS_OK)
		return st;
	snprintf(text, sizeof(text), "%s SCHEMA %s%s", verb, schema, rest);
	st = store_db_run(db, text, NULL, 0, NULL, NULL);
	store_db_close(db);
	return st;
}

int
env_postgres_open(void)
{
	const char *url = getenv("TEST_POSTGRES_URL");

	memset(&env, 0, sizeof(env));
	if (url == NULL || *url == '\0')
		return 0;
	env.schema = xasprintf("store_%ld", (long)getpid());
	if (schema_do(url, "CREATE", env.schema, "") != AS_OK) {
		tap_note("cannot make a schema in TEST_POSTGRES_URL");
		return 1;
	}
	if (strstr(url, "://") != NULL)
		env.url = xasprintf("%s%coptions=-csearch_path%%3D%s&"
				    "application_name=%s",
		    url, strchr(url, '?') == NULL ? '?' : '&', env.schema,
		    env.schema);
	else
		env.url = xasprintf("%s options='-csearch_path=%s' "
				    "application_name=%s",
		    url, env.schema, env.schema);
	return env_open();
}

int
env_close(void)
{
	if (env.db != NULL) {
		store_free(env.store);
		loop_free(env.loop);
		store_db_close(env.db);
	}
	if (env.schema != NULL)
		schema_do(getenv("TEST_POSTGRES_URL"), "DROP", env.schema,
		    " CASCADE");
	if (env.dir != NULL)
		env_remove(env.dir);
	free(env.schema);
	free(env.url);
	memset(&env, 0, sizeof(env));
	return 0;
}

int
env_main(const char *name, CU_TestInfo *tests, int (*fn)(void))
{
	char *lite = xasprintf("%s on sqlite", name);
	char *postgres = xasprintf("%s on postgres", name);
	CU_SuiteInfo suites[] = {
		{ lite, env_sqlite_open, fn, NULL, NULL, tests },
		{ postgres, env_postgres_open, fn, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	int rc = tap_run(suites);

	free(lite);
	free(postgres);
	return rc;
}

bool
env_ready(void)
{
	if (env.db != NULL)
		return true;
	tap_skip("TEST_POSTGRES_URL is not set");
	return false;
}

struct on_fiber {
	void (*fn)(void *);
	void *arg;
};

static void
run_and_stop(void *arg)
{
	struct on_fiber *f = arg;

	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	f->fn(f->arg);
	loop_stop(env.loop);
}

void
env_run(void (*fn)(void *), void *arg)
{
	struct on_fiber f = { fn, arg };

	MUST(fiber_spawn(env.loop, "test", run_and_stop, &f).f != NULL);
	loop_run(env.loop);
}
