/* SPDX-License-Identifier: Apache-2.0 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/store/store_priv.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* What the store does when things take long or go away under it. */

#define OK(x) CU_ASSERT_EQUAL((x), AS_OK)

SQL(ONE, "SELECT 1");
SQL(PUT, "INSERT INTO node_settings (key, value) VALUES ($1, $2)");
SQL(COUNT_UP, "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	      "WHERE n < CAST($1 AS bigint)) SELECT count(*) FROM c");

static bool
is_unknown(const struct error *err)
{
	struct json_object *v = NULL;

	return err->extra != NULL &&
	       json_object_object_get_ex(err->extra, "unknown", &v) &&
	       json_object_get_boolean(v);
}

static enum as_status
put(const char *key, struct error *err)
{
	struct sql_arg args[] = { SQL_TEXT(key), SQL_TEXT("x") };

	return store_exec(env.store, &PUT, args, 2, NULL, err);
}

static bool
is_there(const char *key)
{
	struct sql_arg args[] = { SQL_TEXT(key) };
	struct rows *r = NULL;
	bool found;

	OK(store_db_run(env.db, "SELECT 1 FROM node_settings WHERE key = $1",
	    args, 1, &r, NULL));
	found = rows_count(r) == 1;
	rows_free(r);
	return found;
}

/* ---- A read that is not short -------------------------------------- */

static enum as_status
count_up(int64_t to, int64_t *n)
{
	struct sql_arg args[] = { SQL_INT(to) };
	struct rows *r = NULL;
	enum as_status st = store_query(env.store, &COUNT_UP, args, 1, &r,
	    NULL);

	*n = st == AS_OK ? rows_int(r, 0, 0) : -1;
	rows_free(r);
	return st;
}

static bool long_done;
static int64_t long_n;

static void
long_reader(void *arg)
{
	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 20000);
	OK(count_up(200000, &long_n));
	long_done = true;
}

/* The loop goes on meanwhile, with reads of its own. */
static void
long_read(void *arg)
{
	struct fiber_ref f = fiber_spawn(env.loop, "long", long_reader, NULL);
	struct rows *r = NULL;

	(void)arg;
	long_done = false;
	fiber_yield();
	CU_ASSERT_FALSE(long_done);
	OK(store_query(env.store, &ONE, NULL, 0, &r, NULL));
	rows_free(r);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(long_n, 200000);
}

/* Short uses of the same text come back to the loop after a while. */
static void
short_again(void *arg)
{
	double now = counter_value(store_metrics()->reads_now);
	int64_t n;

	(void)arg;
	for (int i = 0; i < 8; i++) {
		OK(count_up(5, &n));
		CU_ASSERT_EQUAL(n, 5);
	}
	if (env.dialect == STORE_SQLITE)
		CU_ASSERT_TRUE(counter_value(store_metrics()->reads_now) > now);
}

static void
test_long_read(void)
{
	if (!env_ready())
		return;
	env_run(long_read, NULL);
	env_run(short_again, NULL);
}

/* A read without end: its fiber leaves, and its thread is not lost to it. */
static void
endless(void *arg)
{
	int64_t n;

	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 100);
	CU_ASSERT_EQUAL(count_up(INT64_MAX, &n), AS_TIMEOUT);
}

static void
test_endless(void)
{
	if (!env_ready())
		return;
	if (env.dialect == STORE_POSTGRES) {
		tap_skip("the server's statement_timeout ends it");
		return;
	}
	for (int i = 0; i < 4; i++)
		env_run(endless, NULL);
	env_run(long_read, NULL);
}

static void
read_in_a_loop(void *arg)
{
	bool *stop = arg;
	struct rows *r = NULL;

	fiber_deadline_set(loop_now_ms(env.loop) + 20000);
	while (
	    !*stop && store_query(env.store, &ONE, NULL, 0, &r, NULL) == AS_OK)
		rows_free(r);
}

/* A fiber that only reads does not keep the loop to itself. */
static void
fair(void *arg)
{
	bool stop = false;
	struct fiber_ref f = fiber_spawn(env.loop, "greedy", read_in_a_loop,
	    &stop);

	(void)arg;
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fiber_yield(), FIBER_WOKEN);
	stop = true;
	fiber_join(f, 0);
}

static void
test_fair(void)
{
	if (env_ready())
		env_run(fair, NULL);
}

/* ---- Connections that go ------------------------------------------- */

/*
 * Until they are gone: what is sent then fails at once.  One that was only
 * being made when the others were ended is ended in its turn.
 */
static void
kill_connections(void)
{
	struct sql_arg args[] = { SQL_TEXT(env.schema) };
	struct rows *r = NULL;

	do {
		rows_free(r);
		OK(store_db_run(env.db,
		    "SELECT count(pg_terminate_backend(pid))"
		    " FROM pg_stat_activity"
		    " WHERE application_name = $1 AND pid <> pg_backend_pid()",
		    args, 1, &r, NULL));
	} while (rows_int(r, 0, 0) > 0);
	rows_free(r);
}

#ifdef FAILPOINTS
/* The connection is found gone only when the group is complete. */
static void
sync_fails(void *arg)
{
	struct error err = { 0 };

	(void)arg;
	OK(put("first", &err));
	fiber_deadline_set(loop_now_ms(env.loop) + 10000);
	OK(failpoint_set("store.pg.pre_sync=error:UNAVAILABLE", &err));
	CU_ASSERT_EQUAL(put("second", &err), AS_UNAVAILABLE);
	CU_ASSERT_TRUE(is_unknown(&err));
	failpoint_clear();
	error_clear(&err);
	while (!store_is_up(env.store))
		fiber_sleep(5);
	OK(put("third", &err));
}
#endif

static void
idle_lost(void *arg)
{
	struct error err = { 0 };
	struct rows *r = NULL;
	enum as_status st;

	(void)arg;
	OK(put("before", &err));
	kill_connections();
	/* The news may come before or after the request is sent. */
	st = put("after", &err);
	CU_ASSERT_TRUE(
	    st == AS_OK || (st == AS_UNAVAILABLE && is_unknown(&err)));
	error_clear(&err);
	OK(store_query(env.store, &ONE, NULL, 0, &r, &err));
	rows_free(r);
	while (!store_is_up(env.store))
		fiber_sleep(5);
	OK(put("again", &err));
	CU_ASSERT_TRUE(is_there("again"));
	error_clear(&err);
}

static void
test_sync_fails(void)
{
#ifdef FAILPOINTS
	if (!env_ready())
		return;
	if (env.dialect == STORE_SQLITE)
		tap_skip("SQLite has no connection to lose");
	else
		env_run(sync_fails, NULL);
#else
	tap_skip("without --enable-failpoints");
#endif
}

static void
test_idle_lost(void)
{
	if (!env_ready())
		return;
	if (env.dialect == STORE_SQLITE) {
		tap_skip("SQLite has no connection to lose");
		return;
	}
	for (int i = 0; i < 3; i++) {
		env_run(idle_lost, NULL);
		store_db_run(env.db, "DELETE FROM node_settings", NULL, 0, NULL,
		    NULL);
	}
}

static void
sleeping_writer(void *arg)
{
	static struct sql sleep = { .text = "SELECT pg_sleep(30)" };
	struct sql_arg args[] = { SQL_TEXT("half"), SQL_TEXT("x") };
	struct sql_call calls[] = { { &PUT, args, 2 }, { &sleep, NULL, 0 } };
	struct error err = { 0 };

	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 10000);
	CU_ASSERT_EQUAL(store_batch(env.store, calls, 2, NULL, &err),
	    AS_UNAVAILABLE);
	CU_ASSERT_TRUE(is_unknown(&err));
	error_clear(&err);
}

/* Sleeps only until there is a row, so that the second attempt ends. */
static void
sleeping_reader(void *arg)
{
	static struct sql sleep = {
		.text = "SELECT pg_sleep(CASE WHEN EXISTS (SELECT 1 FROM "
			"node_settings) THEN 0 ELSE 30 END)"
	};
	struct rows *r = NULL;

	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 10000);
	OK(store_query(env.store, &sleep, NULL, 0, &r, NULL));
	rows_free(r);
}

static int64_t
count_asleep(void)
{
	struct sql_arg args[] = { SQL_TEXT(env.schema) };
	struct rows *r = NULL;
	int64_t n;

	OK(store_db_run(env.db,
	    "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 "
	    "AND wait_event = 'PgSleep'",
	    args, 1, &r, NULL));
	n = rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

static void
busy_lost(void *arg)
{
	struct fiber_ref w, r;

	(void)arg;
	OK(store_db_run(env.db, "DELETE FROM node_settings", NULL, 0, NULL,
	    NULL));
	w = fiber_spawn(env.loop, "writer", sleeping_writer, NULL);
	r = fiber_spawn(env.loop, "reader", sleeping_reader, NULL);
	fiber_deadline_set(loop_now_ms(env.loop) + 10000);
	while (count_asleep() < 2)
		if (fiber_sleep(5) != FIBER_WOKEN) {
			CU_FAIL("both are asleep");
			break;
		}
	fiber_deadline_set(0);
	OK(store_db_run(env.db,
	    "INSERT INTO node_settings (key, value) VALUES ('awake', '1')",
	    NULL, 0, NULL, NULL));
	kill_connections();
	fiber_join(w, 0);
	fiber_join(r, 0);
	CU_ASSERT_FALSE(is_there("half"));
}

static void
test_busy_lost(void)
{
	if (!env_ready())
		return;
	if (env.dialect == STORE_SQLITE) {
		tap_skip("SQLite has no connection to lose");
		return;
	}
	env_run(busy_lost, NULL);
}

/* ---- Deadlock ------------------------------------------------------ */

static struct uuid cross[2];

static void
crosser(void *arg)
{
	static struct sql lock = {
		.text = "UPDATE tenants SET name = name WHERE id = $1"
	};
	static struct sql nap = { .text = "SELECT pg_sleep(0.2)" };
	int i = (int)(intptr_t)arg;
	struct sql_arg a[] = { SQL_UUID(cross[i]) };
	struct sql_arg b[] = { SQL_UUID(cross[1 - i]) };
	struct sql_call calls[] = { { &lock, a, 1 }, { &nap, NULL, 0 },
		{ &lock, b, 1 } };
	struct rows *out[3];

	fiber_deadline_set(loop_now_ms(env.loop) + 15000);
	OK(store_batch(env.store, calls, 3, out, NULL));
	for (int j = 0; j < 3; j++) {
		CU_ASSERT_EQUAL(rows_affected(out[j]), 1);
		rows_free(out[j]);
	}
}

static void
deadlock(void *arg)
{
	struct fiber_ref f[2];

	(void)arg;
	for (intptr_t i = 0; i < 2; i++)
		f[i] = fiber_spawn(env.loop, "crosser", crosser, (void *)i);
	for (int i = 0; i < 2; i++)
		fiber_join(f[i], 0);
}

static void
test_deadlock(void)
{
	double before;

	if (!env_ready())
		return;
	if (env.dialect == STORE_SQLITE) {
		tap_skip("SQLite has one writer");
		return;
	}
	/* Two ids that go to different connections. */
	do {
		cross[0] = uuid_v7();
		cross[1] = uuid_v7();
	} while (cross[0].b[8] % 2 == cross[1].b[8] % 2);
	for (int i = 0; i < 2; i++) {
		struct sql_arg args[] = { SQL_UUID(cross[i]) };

		OK(store_db_run(env.db,
		    "INSERT INTO tenants (id, name, created_at) "
		    "VALUES ($1, 'x', 1)",
		    args, 1, NULL, NULL));
	}
	before = counter_value(store_metrics()->resent);
	env_run(deadlock, NULL);
	CU_ASSERT_TRUE(counter_value(store_metrics()->resent) > before);
}

/* Cut off, or left out, it would lead to another server. */
static void
test_long_host(void)
{
	char host[300] = "", *url;
	struct store_config config = { 0 };
	struct store_db *db = NULL;
	struct error err = { 0 };

	memset(host, 'h', sizeof(host) - 1);
	url = xasprintf("postgresql://here.test,%s/test", host);
	config.url = url;
	CU_ASSERT_EQUAL(store_db_open(&config, &db, &err), AS_INVALID);
	CU_ASSERT_STRING_EQUAL(err.detail,
	    "store.url: a host of 299 bytes, expected at most 255");
	error_clear(&err);
	free(url);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a host that is too long", test_long_host },
		{ "a long read does not stop the loop", test_long_read },
		{ "an endless read", test_endless },
		{ "reading in a loop is fair", test_fair },
		{ "a deadlock is resolved", test_deadlock },
		{ "idle connections are lost", test_idle_lost },
		{ "a group that cannot be completed", test_sync_fails },
		{ "busy connections are lost", test_busy_lost },
		CU_TEST_INFO_NULL,
	};

	log_configure("error");
	return env_main("store fail", tests, env_close);
}
