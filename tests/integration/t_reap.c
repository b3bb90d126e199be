/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/run/run_store.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * What a dead process held is taken back whole: never a job without its run,
 * whenever the lease runs out.
 */

#define NOW INT64_C(1800000000000000)
#define LEASE_US 1000000
#define AGE_US INT64_C(3600000000)

static struct run_store *runs;
static int64_t dead, mine;

static void
sql(const char *text, const struct sql_arg *args, int n)
{
	struct error err = { 0 };

	if (store_db_run(env.db, text, args, n, NULL, &err) != AS_OK)
		tap_note("%s", err.detail);
	MUST(err.code == ERR_NONE);
}

static int64_t
number(const char *text)
{
	struct rows *r = NULL;
	int64_t n;

	MUST(store_db_run(env.db, text, NULL, 0, &r, NULL) == AS_OK);
	n = rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

/* A run that the first of two processes works on. */
static SUSPENDS void
scene(void)
{
	struct uuid id = uuid_v7();
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(0) };

	sql("DELETE FROM jobs", NULL, 0);
	sql("DELETE FROM runs", NULL, 0);
	MUST(store_clock_set(env.db, NOW) == AS_OK);
	MUST(run_store_node_join(runs, "a", "1", LEASE_US, &dead, NULL) ==
	     AS_OK);
	MUST(run_store_node_join(runs, "b", "1", 100 * LEASE_US, &mine, NULL) ==
	     AS_OK);
	args[1] = SQL_INT(dead);
	sql("INSERT INTO runs (id, tenant_id, thread_id, agent_id, user_id,"
	    " kind, status, root_run_id, fence, owner_epoch, created_at,"
	    " updated_at) VALUES ($1, $1, $1, $1, $1, 'interactive', 'running',"
	    " $1, 1, $2, 1, 1)",
	    args, 2);
	sql("INSERT INTO jobs (tenant_id, kind, run_id, run_at, enqueued_at,"
	    " state, owner_epoch, leased_at) VALUES ($1, 'run', $1, 1, 1, 1,"
	    " $2, now_us())",
	    args, 2);
}

static SUSPENDS int
reap(void)
{
	int n = -1;

	CU_ASSERT_EQUAL(run_store_reap(runs, mine, false, AGE_US, &n, NULL),
	    AS_OK);
	return n;
}

#define HELD_JOBS "SELECT count(*) FROM jobs WHERE state = 1"
#define HELD_RUNS \
	"SELECT count(*) FROM runs WHERE status = 'running' AND" \
	" owner_epoch IS NOT NULL AND fence = 1"
#define FREE_RUNS \
	"SELECT count(*) FROM runs WHERE status = 'queued' AND" \
	" owner_epoch IS NULL AND fence = 2"

static SUSPENDS void
expect_freed(void)
{
	CU_ASSERT_EQUAL(reap(), 1);
	CU_ASSERT_EQUAL(number(HELD_JOBS), 0);
	CU_ASSERT_EQUAL(number(FREE_RUNS), 1);
	CU_ASSERT_EQUAL(reap(), 0);
}

static SUSPENDS void
lease_fiber(void *arg)
{
	(void)arg;
	scene();
	MUST(store_clock_set(env.db, NOW + LEASE_US - 1) == AS_OK);
	CU_ASSERT_EQUAL(reap(), 0);
	CU_ASSERT_EQUAL(number(HELD_RUNS), 1);
	MUST(store_clock_set(env.db, NOW + LEASE_US) == AS_OK);
	expect_freed();
}

static SUSPENDS void
age_fiber(void *arg)
{
	(void)arg;
	scene();
	MUST(store_clock_set(env.db, NOW + AGE_US + 1) == AS_OK);
	expect_freed();
}

/* What was written by an epoch that was lost with its primary. */
static SUSPENDS void
unknown_fiber(void *arg)
{
	(void)arg;
	scene();
	sql("DELETE FROM nodes WHERE name = 'a'", NULL, 0);
	MUST(store_clock_set(env.db, NOW + 60000000) == AS_OK);
	CU_ASSERT_EQUAL(reap(), 0);
	MUST(store_clock_set(env.db, NOW + 60000001) == AS_OK);
	expect_freed();
}

/* The first statement of the reaper that ends moves the clock. */
static SUSPENDS void
between_fiber(void *arg)
{
	(void)arg;
	scene();
	sql("CREATE FUNCTION time_passes() RETURNS trigger LANGUAGE plpgsql AS"
	    " $f$ BEGIN CREATE OR REPLACE FUNCTION now_us() RETURNS bigint"
	    " LANGUAGE sql STABLE AS 'SELECT 1800000002000000::bigint';"
	    " RETURN NULL; END $f$",
	    NULL, 0);
	sql("CREATE TRIGGER time_jobs AFTER UPDATE ON jobs FOR EACH STATEMENT"
	    " EXECUTE FUNCTION time_passes()",
	    NULL, 0);
	sql("CREATE TRIGGER time_runs AFTER UPDATE ON runs FOR EACH STATEMENT"
	    " EXECUTE FUNCTION time_passes()",
	    NULL, 0);
	CU_ASSERT_EQUAL(reap(), 0);
	CU_ASSERT_EQUAL(number("SELECT now_us()"), NOW + 2 * LEASE_US);
	CU_ASSERT_EQUAL(number(HELD_JOBS), 1);
	CU_ASSERT_EQUAL(number(HELD_RUNS), 1);
	sql("DROP FUNCTION time_passes CASCADE", NULL, 0);
	expect_freed();
}

static void
run(void (*fn)(void *))
{
	if (!env_ready())
		return;
	runs = run_store_new(env.store);
	env_run(fn, NULL);
	MUST(store_clock_set(env.db, 0) == AS_OK);
	run_store_free(runs);
}

static void
test_lease(void)
{
	run(lease_fiber);
}

static void
test_age(void)
{
	run(age_fiber);
}

static void
test_unknown(void)
{
	run(unknown_fiber);
}

/* SQLite has no trigger of a statement; its reaper has no company either. */
static void
test_between(void)
{
	run(between_fiber);
}

int
main(void)
{
	CU_TestInfo lite[] = {
		{ "a lease that is over", test_lease },
		{ "a job that is held for too long", test_age },
		{ "a job of an epoch that nobody knows", test_unknown },
		CU_TEST_INFO_NULL,
	};
	CU_TestInfo postgres[] = {
		{ "a lease that is over", test_lease },
		{ "a job that is held for too long", test_age },
		{ "a job of an epoch that nobody knows", test_unknown },
		{ "a lease that runs out among the statements", test_between },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "reap on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    lite },
		{ "reap on postgres", env_postgres_open, env_close, NULL, NULL,
		    postgres },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
