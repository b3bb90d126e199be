/* SPDX-License-Identifier: Apache-2.0 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/store/store_pg.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * PostgreSQL: what is answered when a lock is held, a statement takes too long,
 * or the server takes no writes.  One writing connection, so that all requests
 * share it.
 */

#define TIMEOUT_MS 6000
#define LATE_MS (10 * TIMEOUT_MS)
#define OK(x) CU_ASSERT_EQUAL((x), AS_OK)
#define N 6

SQL(RENAME, "UPDATE tenants SET name = 'y' WHERE id = $1");
SQL(SLEEP, "SELECT pg_sleep(60)");

static struct store_db *db;
static struct store *store;
static struct uuid ids[N];

struct answer {
	struct uuid id;
	enum as_status st;
	bool unknown;
	uint64_t took_ms;
};

static bool
is_unknown(const struct error *err)
{
	struct json_object *v = NULL;

	return err->extra != NULL &&
	       json_object_object_get_ex(err->extra, "unknown", &v);
}

static void
renamer(void *arg)
{
	struct answer *a = arg;
	struct sql_arg args[] = { SQL_UUID(a->id) };
	struct error err = { 0 };
	uint64_t from = loop_now_ms(env.loop);

	fiber_deadline_set(from + LATE_MS);
	a->st = store_exec(store, &RENAME, args, 1, NULL, &err);
	a->unknown = is_unknown(&err);
	a->took_ms = loop_now_ms(env.loop) - from;
	error_clear(&err);
}

static void
rename_all(struct answer *a, int n)
{
	struct fiber_ref f[N];

	for (int i = 0; i < n; i++)
		f[i] = fiber_spawn(env.loop, "renamer", renamer, &a[i]);
	for (int i = 0; i < n; i++)
		fiber_join(f[i], 0);
}

static void
admin(const char *text)
{
	OK(store_db_run(env.db, text, NULL, 0, NULL, NULL));
}

/* Of the first one, until admin says ROLLBACK. */
static void
row_lock(void)
{
	struct sql_arg args[] = { SQL_UUID(ids[0]) };

	admin("BEGIN");
	OK(store_db_run(env.db,
	    "SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE", args, 1, NULL,
	    NULL));
}

static void
up_wait(void)
{
	while (!store_is_up(store))
		fiber_sleep(5);
}

/* How many are done; whoever is not knows it for certain. */
static int
company(void)
{
	struct answer a[N];
	int done = 0;

	row_lock();
	for (int i = 0; i < N; i++)
		a[i] = (struct answer){ .id = ids[i] };
	rename_all(a, N);
	for (int i = 0; i < N; i++) {
		done += a[i].st == AS_OK;
		CU_ASSERT_TRUE(a[i].st == AS_OK ||
			       (a[i].st == AS_UNAVAILABLE && !a[i].unknown));
	}
	CU_ASSERT_EQUAL(a[0].st, AS_UNAVAILABLE);
	admin("ROLLBACK");
	return done;
}

/*
 * In company of others: they are done, it alone is told that it is not.  On a
 * machine that stands still for a second, their time may be up, too.
 */
static void
lock_in_company(void *arg)
{
	int done = 0;

	(void)arg;
	up_wait();
	for (int i = 0; i < 5 && done < N - 1; i++)
		done = company();
	CU_ASSERT_EQUAL(done, N - 1);
}

/* All want it: each is told in time, and for certain. */
static void
lock_for_all(void *arg)
{
	struct answer a[N];

	(void)arg;
	up_wait();
	row_lock();
	for (int i = 0; i < N; i++)
		a[i] = (struct answer){ .id = ids[0] };
	rename_all(a, N);
	for (int i = 0; i < N; i++) {
		CU_ASSERT_EQUAL(a[i].st, AS_UNAVAILABLE);
		CU_ASSERT_FALSE(a[i].unknown);
		CU_ASSERT_TRUE(a[i].took_ms < LATE_MS);
	}
	admin("ROLLBACK");
	rename_all(a, 1);
	OK(a[0].st);
}

static void
sleeper(void *arg)
{
	enum as_status *st = arg;

	fiber_deadline_set(loop_now_ms(env.loop) + LATE_MS);
	*st = store_exec(store, &SLEEP, NULL, 0, NULL, NULL);
}

/* The server ends it, and who comes later has the connection again. */
static void
too_long(void *arg)
{
	double lost = counter_value(store_metrics()->reconnects);
	struct answer a = { .id = ids[1], .st = AS_UNAVAILABLE };
	enum as_status st = AS_OK;
	struct fiber_ref f;

	(void)arg;
	up_wait();
	f = fiber_spawn(env.loop, "sleeper", sleeper, &st);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(st, AS_TIMEOUT);
	while (a.st != AS_OK && a.took_ms < LATE_MS)
		rename_all(&a, 1);
	OK(a.st);
	CU_ASSERT_EQUAL(counter_value(store_metrics()->reconnects), lost);
}

/*
 * The session itself is made so, as a server's setting would make it: the
 * answer is certain, and the next session takes writes.
 */
static void
read_only(void *arg)
{
	static struct sql set = {
		.text = "SELECT set_config('default_transaction_read_only', "
			"'on', false)"
	};
	struct answer a = { .id = ids[1] };

	(void)arg;
	up_wait();
	OK(store_exec(store, &set, NULL, 0, NULL, NULL));
	rename_all(&a, 1);
	CU_ASSERT_EQUAL(a.st, AS_UNAVAILABLE);
	CU_ASSERT_FALSE(a.unknown);
	up_wait();
	rename_all(&a, 1);
	OK(a.st);
}

static int64_t
renamed(void)
{
	struct sql_arg args[] = { SQL_UUID(ids[2]) };
	struct rows *r = NULL;
	int64_t n = -1;

	if (store_db_run(env.db,
		"SELECT count(*) FROM tenants WHERE id = $1 AND name = 'y'",
		args, 1, &r, NULL) == AS_OK)
		n = rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

/*
 * As if a connection elsewhere had found the server that was promoted, while
 * this one still goes on: nothing more is written to it.
 */
static void
left_behind(void *arg)
{
	struct pg_db *pg = pg_db_of(db);
	unsigned timeline;
	struct answer a = { .id = ids[2] };

	(void)arg;
	up_wait();
	admin("UPDATE tenants SET name = 'x'");
	timeline = atomic_fetch_add(&pg->timeline, 1);
	rename_all(&a, 1);
	CU_ASSERT_EQUAL(a.st, AS_UNAVAILABLE);
	CU_ASSERT_FALSE(a.unknown);
	CU_ASSERT_FALSE(store_is_up(store));
	CU_ASSERT_EQUAL(renamed(), 0);
	atomic_store(&pg->timeline, timeline);
	up_wait();
	rename_all(&a, 1);
	OK(a.st);
	CU_ASSERT_EQUAL(renamed(), 1);
}

static void
at_work(void *arg)
{
	struct answer *a = arg;
	struct error err = { 0 };

	a->st = store_exec(store, &SLEEP, NULL, 0, NULL, &err);
	a->unknown = is_unknown(&err);
	error_clear(&err);
}

/* The same, but it was sent before that: nobody waits for its end. */
static void
left_behind_at_work(void *arg)
{
	struct pg_store *s = pg_store_of(store);
	struct pg_db *pg = pg_db_of(db);
	unsigned timeline = atomic_load(&pg->timeline);
	struct answer a = { .st = AS_OK };
	struct fiber_ref f;

	(void)arg;
	up_wait();
	f = fiber_spawn(env.loop, "at work", at_work, &a);
	while (s->conns[s->n_readers].head == NULL)
		fiber_sleep(5);
	atomic_store(&pg->timeline, timeline + 1);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(a.st, AS_UNAVAILABLE);
	CU_ASSERT_TRUE(a.unknown);
	atomic_store(&pg->timeline, timeline);
	up_wait();
}

/* ---- Around them --------------------------------------------------- */

static int
time_open(void)
{
	struct store_config config;

	if (env_postgres_open() != 0)
		return 1;
	if (env.db == NULL)
		return 0;
	config = env.config;
	config.statement_timeout_ms = TIMEOUT_MS;
	config.writers = 1;
	config.name = "agent-studio t_store_time";
	MUST(store_db_open(&config, &db, NULL) == AS_OK);
	store = store_new(db, env.loop);
	for (int i = 0; i < N; i++) {
		struct sql_arg args[] = { SQL_UUID(uuid_v7()) };

		ids[i] = args[0].v.u;
		MUST(store_db_run(env.db,
			 "INSERT INTO tenants (id, name, created_at) "
			 "VALUES ($1, 'x', 1)",
			 args, 1, NULL, NULL) == AS_OK);
	}
	return 0;
}

static int
time_close(void)
{
	if (db != NULL) {
		store_free(store);
		store_db_close(db);
	}
	return env_close();
}

static void
test_lock_in_company(void)
{
	if (env_ready())
		env_run(lock_in_company, NULL);
}

static void
test_lock_for_all(void)
{
	if (env_ready())
		env_run(lock_for_all, NULL);
}

static void
test_too_long(void)
{
	if (env_ready())
		env_run(too_long, NULL);
}

static void
test_read_only(void)
{
	if (env_ready())
		env_run(read_only, NULL);
}

static void
test_left_behind(void)
{
	if (env_ready()) {
		env_run(left_behind, NULL);
		env_run(left_behind_at_work, NULL);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a lock that one of many wants", test_lock_in_company },
		{ "a lock that all want", test_lock_for_all },
		{ "a statement that takes too long", test_too_long },
		{ "a session that takes no writes", test_read_only },
		{ "a former primary that goes on", test_left_behind },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "postgres", time_open, time_close, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
