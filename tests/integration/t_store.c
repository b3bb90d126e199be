/* SPDX-License-Identifier: Apache-2.0 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* What the store promises, on SQLite and on PostgreSQL alike. */

#define OK(x) CU_ASSERT_EQUAL((x), AS_OK)

SQL(PUT, "INSERT INTO things (id, n, x, b, s, y, at) "
	 "VALUES ($1, $2, $3, $4, $5, $6, $7)");
SQL(GET, "SELECT s, id, n, x, b, y, at FROM things WHERE id = $1");
SQL(PUT_N, "INSERT INTO things (id, n) VALUES ($2, $1)");
SQL(ADD_N, "UPDATE things SET n = n + $1 WHERE id = $2 RETURNING n");
SQL(COUNT_N, "SELECT count(*), coalesce(sum(n), 0) FROM things WHERE n >= $1");
SQL(NOW, "SELECT now_us(), now_us()");

static void
things_make(void)
{
	bool lite = env.dialect == STORE_SQLITE;

	store_db_run(env.db, "DROP TABLE IF EXISTS things", NULL, 0, NULL,
	    NULL);
	OK(store_db_run(env.db,
	    lite ? "CREATE TABLE things (id BLOB PRIMARY KEY, n INTEGER, "
		   "x REAL, b INTEGER, s TEXT UNIQUE, y BLOB, at INTEGER)"
		 : "CREATE TABLE things (id uuid PRIMARY KEY, n bigint, "
		   "x float8, b boolean, s text UNIQUE, y bytea, at bigint)",
	    NULL, 0, NULL, NULL));
}

static int64_t
things_count(void)
{
	struct rows *r = NULL;
	int64_t n;

	OK(store_db_run(env.db, "SELECT count(*) FROM things", NULL, 0, &r,
	    NULL));
	n = rows_count(r) == 1 ? rows_int(r, 0, 0) : -1;
	rows_free(r);
	return n;
}

static bool
is_unknown(const struct error *err)
{
	struct json_object *v = NULL;

	return err->extra != NULL &&
	       json_object_object_get_ex(err->extra, "unknown", &v) &&
	       json_object_get_boolean(v);
}

static bool
has_constraint(const struct error *err, const char *name)
{
	struct json_object *v = NULL;

	return err->extra != NULL &&
	       json_object_object_get_ex(err->extra, "constraint", &v) &&
	       strcmp(json_object_get_string(v), name) == 0;
}

/* ---- Values -------------------------------------------------------- */

static void
types_check(struct uuid id, const char *bytes)
{
	struct sql_arg key[] = { SQL_UUID(id) };
	struct rows *r = NULL;
	size_t len = 0;

	OK(store_query(env.store, &GET, key, 1, &r, NULL));
	CU_ASSERT_EQUAL_FATAL(rows_count(r), 1);
	CU_ASSERT_STRING_EQUAL(rows_text(r, 0, 0), "gr\xc3\xbc\xc3\x9f");
	CU_ASSERT_TRUE(uuid_equal(rows_uuid(r, 0, 1), id));
	CU_ASSERT_EQUAL(rows_int(r, 0, 2), INT64_MIN);
	CU_ASSERT_EQUAL(rows_num(r, 0, 3), -0.1);
	CU_ASSERT_TRUE(rows_bool(r, 0, 4));
	CU_ASSERT_EQUAL(memcmp(rows_bytes(r, 0, 5, &len), bytes, 4), 0);
	CU_ASSERT_EQUAL(len, 4);
	CU_ASSERT_EQUAL(rows_int(r, 0, 6), 1795213065384212);
	rows_free(r);
}

static void
types(void *arg)
{
	static const char bytes[4] = { 0, 1, '\xff', 0 };
	struct uuid id = uuid_v7(), other = uuid_v7();
	struct sql_arg key[] = { SQL_UUID(other) };
	struct rows *r = NULL;
	struct sql_arg nulls[] = { SQL_UUID(other), SQL_NULL, SQL_NULL,
		SQL_NULL, SQL_TEXT(NULL), SQL_NULL, sql_time(0) };
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(INT64_MIN),
		SQL_NUM(-0.1), SQL_BOOL(true), SQL_TEXT("gr\xc3\xbc\xc3\x9f"),
		SQL_BYTES(bytes, 4), sql_time(1795213065384212) };

	(void)arg;
	OK(store_exec(env.store, &PUT, nulls, 7, &r, NULL));
	CU_ASSERT_EQUAL(rows_affected(r), 1);
	rows_free(r);
	OK(store_exec(env.store, &PUT, args, 7, NULL, NULL));
	types_check(id, bytes);
	OK(store_query(env.store, &GET, key, 1, &r, NULL));
	for (int i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(rows_is_null(r, 0, i), i != 1);
	CU_ASSERT_EQUAL(rows_int(r, 0, 2), 0);
	CU_ASSERT_PTR_NULL(rows_text(r, 0, 0));
	CU_ASSERT_PTR_NULL(rows_bytes(r, 0, 5, NULL));
	rows_free(r);
}

static void
sums(void *arg)
{
	struct sql_arg none[] = { SQL_INT(-20000000000) };
	struct rows *r = NULL;

	(void)arg;
	for (int i = 1; i <= 3; i++) {
		struct sql_arg args[] = { SQL_INT(-i * 5000000001),
			SQL_UUID(uuid_v7()) };

		OK(store_exec(env.store, &PUT_N, args, 2, NULL, NULL));
	}
	OK(store_query(env.store, &COUNT_N, none, 1, &r, NULL));
	CU_ASSERT_EQUAL(rows_int(r, 0, 0), 3);
	/* A numeric in PostgreSQL. */
	CU_ASSERT_EQUAL(rows_int(r, 0, 1), -30000000006);
	rows_free(r);
}

static void
test_types(void)
{
	if (!env_ready())
		return;
	things_make();
	env_run(types, NULL);
	things_make();
	env_run(sums, NULL);
}

static void
empty(void *arg)
{
	struct sql_arg key[] = { SQL_UUID(uuid_v7()) };
	struct sql_arg add[] = { SQL_INT(1), SQL_UUID(uuid_v7()) };
	struct rows *r = NULL;

	(void)arg;
	OK(store_query(env.store, &GET, key, 1, &r, NULL));
	CU_ASSERT_PTR_NOT_NULL(r);
	CU_ASSERT_EQUAL(rows_count(r), 0);
	rows_free(r);
	OK(store_exec(env.store, &ADD_N, add, 2, &r, NULL));
	CU_ASSERT_EQUAL(rows_count(r), 0);
	CU_ASSERT_EQUAL(rows_affected(r), 0);
	rows_free(r);
	CU_ASSERT_EQUAL(rows_count(NULL), 0);
	rows_free(NULL);
}

/* Reads of one turn share a snapshot; it must not hide what came before. */
static void
fresh(void *arg)
{
	static struct sql count = { .text = "SELECT count(*) FROM things" };
	struct sql_arg put[] = { SQL_INT(1), SQL_NULL };
	struct rows *r = NULL;

	(void)arg;
	for (int i = 0; i < 6; i++) {
		OK(store_query(env.store, &count, NULL, 0, &r, NULL));
		CU_ASSERT_EQUAL(rows_int(r, 0, 0), i);
		rows_free(r);
		put[1] = SQL_UUID(uuid_v7());
		if (i % 2 == 0) {
			OK(store_exec(env.store, &PUT_N, put, 2, NULL, NULL));
		} else {
			OK(store_db_run(env.db, PUT_N.text, put, 2, NULL,
			    NULL));
		}
		OK(store_query(env.store, &count, NULL, 0, &r, NULL));
		CU_ASSERT_EQUAL(rows_int(r, 0, 0), i + 1);
		rows_free(r);
	}
}

static void
test_fresh(void)
{
	if (!env_ready())
		return;
	things_make();
	env_run(fresh, NULL);
}

static void
nul_in_text(void *arg)
{
	struct sql_arg args[] = { SQL_UUID(uuid_v7()), SQL_NULL, SQL_NULL,
		SQL_NULL, sql_textn("a\0b", 3), SQL_NULL, SQL_NULL };

	(void)arg;
	CU_ASSERT_EQUAL(store_exec(env.store, &PUT, args, 7, NULL, NULL),
	    AS_INVALID);
}

static void
test_empty(void)
{
	if (!env_ready())
		return;
	things_make();
	env_run(empty, NULL);
	env_run(nul_in_text, NULL);
	CU_ASSERT_EQUAL(things_count(), 0);
}

/* ---- Atomicity ----------------------------------------------------- */

static void
batch(void *arg)
{
	struct uuid id = uuid_v7();
	struct sql_arg put[] = { SQL_INT(1), SQL_UUID(id) };
	struct sql_arg add[] = { SQL_INT(5), SQL_UUID(id) };
	struct sql_call calls[] = { { &PUT_N, put, 2 }, { &ADD_N, add, 2 },
		{ &PUT_N, put, 2 } };
	struct rows *out[3];
	struct error err = { 0 };

	(void)arg;
	CU_ASSERT_EQUAL(store_batch(env.store, calls, 3, out, &err),
	    AS_CONFLICT);
	CU_ASSERT_EQUAL(err.code, ERR_CONFLICT);
	CU_ASSERT_TRUE(has_constraint(&err, "things_pkey"));
	CU_ASSERT_FALSE(is_unknown(&err));
	CU_ASSERT_PTR_NULL(out[0]);
	CU_ASSERT_EQUAL(things_count(), 0);
	OK(store_batch(env.store, calls, 2, out, &err));
	CU_ASSERT_EQUAL(rows_affected(out[0]), 1);
	CU_ASSERT_EQUAL(rows_int(out[1], 0, 0), 6);
	rows_free(out[0]);
	rows_free(out[1]);
	error_clear(&err);
}

static void
test_batch(void)
{
	if (!env_ready())
		return;
	things_make();
	env_run(batch, NULL);
}

static void
conflicts(void *arg)
{
	struct sql_arg a[] = { SQL_UUID(uuid_v7()), SQL_NULL, SQL_NULL,
		SQL_NULL, SQL_TEXT("same"), SQL_NULL, SQL_NULL };
	struct sql_arg key[] = { SQL_UUID(uuid_v7()), SQL_UUID(uuid_v7()) };
	static struct sql orphan = {
		.text = "INSERT INTO memberships (tenant_id, user_id, role, "
			"created_at) VALUES ($1, $2, 'member', now_us())"
	};
	struct error err = { 0 };

	(void)arg;
	OK(store_exec(env.store, &PUT, a, 7, NULL, &err));
	a[0] = SQL_UUID(uuid_v7());
	CU_ASSERT_EQUAL(store_exec(env.store, &PUT, a, 7, NULL, &err),
	    AS_CONFLICT);
	CU_ASSERT_TRUE(has_constraint(&err, "things_s_key"));
	error_clear(&err);
	CU_ASSERT_EQUAL(store_exec(env.store, &orphan, key, 2, NULL, &err),
	    AS_CONFLICT);
	error_clear(&err);
}

/* The same names on both, also of partial and expression indexes. */
static void
constraint_names(void *arg)
{
	static struct sql user = {
		.text = "INSERT INTO users (id, tenant_id, email, created_at, "
			"updated_at) SELECT $1, id, $2, 1, 1 FROM tenants"
	};
	static struct sql doc = {
		.text = "INSERT INTO connections (id, tenant_id, user_id, "
			"service, scheme, status, created_at, updated_at) "
			"SELECT $1, tenant_id, id, 'x', 'api_key', 'active', "
			"1, 1 FROM users"
	};
	struct error err = { 0 };

	(void)arg;
	for (int i = 0; i < 2; i++) {
		struct sql_arg u[] = { SQL_UUID(uuid_v7()),
			SQL_TEXT(i == 0 ? "A@b.c" : "a@B.c") };
		struct sql_arg c[] = { SQL_UUID(uuid_v7()) };
		enum as_status want = i == 0 ? AS_OK : AS_CONFLICT;

		CU_ASSERT_EQUAL(store_exec(env.store, &user, u, 2, NULL, &err),
		    want);
		CU_ASSERT_TRUE(
		    i == 0 || has_constraint(&err, "users_email_key"));
		error_clear(&err);
		CU_ASSERT_EQUAL(store_exec(env.store, &doc, c, 1, NULL, &err),
		    want);
		CU_ASSERT_TRUE(
		    i == 0 || has_constraint(&err,
				  "connections_user_id_service_account_key"));
		error_clear(&err);
	}
}

static void
test_conflicts(void)
{
	if (!env_ready())
		return;
	things_make();
	env_run(conflicts, NULL);
	env_run(constraint_names, NULL);
}

static void
bad_sql(void *arg)
{
	static struct sql bad = { .text = "SELECT nonsense FROM things" };
	static struct sql writes = { .text = "DELETE FROM things" };
	struct sql_arg key[] = { SQL_UUID(uuid_v7()) };
	struct error err = { 0 };
	struct rows *r = NULL;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(store_query(env.store, &bad, NULL, 0, &r, &err),
		    AS_INTERNAL);
		CU_ASSERT_PTR_NULL(r);
		error_clear(&err);
		CU_ASSERT_EQUAL(store_exec(env.store, &bad, NULL, 0, NULL,
				    NULL),
		    AS_INTERNAL);
		/* What writes is no read. */
		CU_ASSERT_NOT_EQUAL(store_query(env.store, &writes, NULL, 0, &r,
					&err),
		    AS_OK);
		error_clear(&err);
		OK(store_query(env.store, &GET, key, 1, &r, NULL));
		rows_free(r);
	}
}

static void
test_bad_sql(void)
{
	if (!env_ready())
		return;
	things_make();
	log_to_fd(-1);
	env_run(bad_sql, NULL);
	log_to_fd(2);
}

/* ---- Neighbours ---------------------------------------------------- */

#define MANY 1000

static struct uuid shared_id;
static unsigned n_running, n_wrong;

static void
one_of_many(void *arg)
{
	intptr_t i = (intptr_t)arg;
	struct sql_arg bad[] = { SQL_INT(0), SQL_UUID(shared_id) };
	struct sql_arg put[] = { SQL_INT(i + 1), SQL_UUID(uuid_v7()) };
	struct sql_arg add[] = { SQL_INT(1), SQL_UUID(shared_id) };
	struct sql_call two[] = { { &PUT_N, put, 2 }, { &ADD_N, add, 2 } };
	struct sql_arg key[] = { put[1] };
	struct rows *r = NULL;
	enum as_status st;

	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	/* Every fifth fails; the others must not notice. */
	if (i % 5 == 0) {
		st = store_exec(env.store, &PUT_N, bad, 2, NULL, NULL);
		n_wrong += st != AS_CONFLICT;
	} else {
		st = store_batch(env.store, two, 2, NULL, NULL);
		n_wrong += st != AS_OK;
		st = store_query(env.store, &GET, key, 1, &r, NULL);
		n_wrong += st != AS_OK || rows_int(r, 0, 2) != i + 1;
		rows_free(r);
	}
	n_running--;
}

static void
many(void *arg)
{
	struct sql_arg put[] = { SQL_INT(0), SQL_UUID(shared_id) };
	struct sql_arg key[] = { SQL_UUID(shared_id) };
	struct rows *r = NULL;

	(void)arg;
	OK(store_exec(env.store, &PUT_N, put, 2, NULL, NULL));
	n_wrong = 0;
	n_running = MANY;
	for (intptr_t i = 0; i < MANY; i++)
		CU_ASSERT_PTR_NOT_NULL(
		    fiber_spawn(env.loop, "one", one_of_many, (void *)i).f);
	while (n_running > 0)
		fiber_sleep(1);
	CU_ASSERT_EQUAL(n_wrong, 0);
	OK(store_query(env.store, &GET, key, 1, &r, NULL));
	CU_ASSERT_EQUAL(rows_int(r, 0, 2), MANY / 5 * 4);
	rows_free(r);
}

static void
test_many(void)
{
	if (!env_ready())
		return;
	things_make();
	shared_id = uuid_v7();
	env_run(many, NULL);
	CU_ASSERT_EQUAL(things_count(), MANY / 5 * 4 + 1);
}

/* ---- Waiting that ends early --------------------------------------- */

static void
lock_things(bool lock)
{
	if (lock)
		OK(store_db_run(env.db,
		    env.dialect == STORE_SQLITE ? "BEGIN IMMEDIATE" : "BEGIN",
		    NULL, 0, NULL, NULL));
	if (lock && env.dialect == STORE_POSTGRES)
		OK(store_db_run(env.db,
		    "LOCK TABLE things IN ACCESS EXCLUSIVE MODE", NULL, 0, NULL,
		    NULL));
	if (!lock)
		OK(store_db_run(env.db, "COMMIT", NULL, 0, NULL, NULL));
}

static enum as_status late_status;
static bool late_unknown;

static void
late_writer(void *arg)
{
	struct sql_arg put[] = { SQL_INT(77), SQL_UUID(uuid_v7()) };
	struct error err = { 0 };

	fiber_deadline_set(loop_now_ms(env.loop) + (uint64_t)(uintptr_t)arg);
	late_status = store_exec(env.store, &PUT_N, put, 2, NULL, &err);
	late_unknown = is_unknown(&err);
	error_clear(&err);
}

static void
early(void *arg)
{
	struct fiber_ref f;
	struct sql_arg none[] = { SQL_INT(78) };
	struct rows *r = NULL;

	(void)arg;
	lock_things(true);
	f = fiber_spawn(env.loop, "late", late_writer, (void *)20);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(late_status, AS_TIMEOUT);
	CU_ASSERT_TRUE(late_unknown);
	f = fiber_spawn(env.loop, "late", late_writer, (void *)30000);
	fiber_sleep(5);
	fiber_cancel(f);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(late_status, AS_CANCELED);
	CU_ASSERT_TRUE(late_unknown);
	lock_things(false);
	/* The store goes on as if nothing had been. */
	f = fiber_spawn(env.loop, "late", late_writer, (void *)30000);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(late_status, AS_OK);
	OK(store_query(env.store, &COUNT_N, none, 1, &r, NULL));
	CU_ASSERT_EQUAL(rows_int(r, 0, 0), 0);
	rows_free(r);
}

static void
test_early(void)
{
	if (!env_ready())
		return;
	things_make();
	env_run(early, NULL);
}

/* ---- Clock --------------------------------------------------------- */

static void
clock_is(int64_t us)
{
	struct rows *r = NULL;

	OK(store_query(env.store, &NOW, NULL, 0, &r, NULL));
	CU_ASSERT_EQUAL(rows_int(r, 0, 0), rows_int(r, 0, 1));
	if (us != 0)
		CU_ASSERT_EQUAL(rows_int(r, 0, 0), us);
	if (us == 0)
		CU_ASSERT_TRUE(rows_int(r, 0, 0) > 1700000000000000);
	rows_free(r);
}

static void
clock_body(void *arg)
{
	(void)arg;
	clock_is(0);
	OK(store_clock_set(env.db, 123456789));
	clock_is(123456789);
	OK(store_clock_set(env.db, 5));
	clock_is(5);
	OK(store_clock_set(env.db, 0));
	clock_is(0);
}

static void
test_clock(void)
{
	if (!env_ready())
		return;
	env_run(clock_body, NULL);
}

/* ---- The log is append-only ---------------------------------------- */

/* A row of one event, of three, or what a test wants to be refused. */
static const char *const log_lite[] = {
	"INSERT INTO run_events (run_id, run_seq, tenant_id, thread_id, seq,"
	" type, payload, created_at) SELECT id, 1, id, id, 5, 'x', '{}', 1"
	" FROM tenants",
	"INSERT INTO run_events (run_id, run_seq, tenant_id, thread_id, seq,"
	" type, payload, created_at) SELECT t.id, x.n + 1, t.id, t.id, x.n + 5,"
	" x.type, x.body, 1 FROM tenants t, (SELECT 1 AS n, 'a' AS type,"
	" '{\"s\": \"\\u00e4, [\"}' AS body UNION ALL SELECT 2, 'b',"
	" '{\"n\":1.50e1}' UNION ALL SELECT 3, 'c', '{}') x",
	"UPDATE run_events SET payload = ''",
	"DELETE FROM run_events",
};
static const char *const log_pg[] = {
	"INSERT INTO run_log (run_id, run_seq, tenant_id, thread_id, seq,"
	" n_events, types, payloads, created_at) SELECT id, 1, id, id, 5, 1,"
	" '[\"x\"]', '[{}]', 1 FROM tenants",
	"INSERT INTO run_log (run_id, run_seq, tenant_id, thread_id, seq,"
	" n_events, types, payloads, created_at) SELECT id, 4, id, id, 8, 3,"
	" '[\"a\",\"b\",\"c\"]',"
	" '[{\"s\": \"\\u00e4, [\"},{\"n\":1.50e1},{}]', 1 FROM tenants",
	"UPDATE run_log SET payloads = '[]'",
	"DELETE FROM run_log",
};

static enum as_status
log_do(int what, struct rows **out)
{
	bool lite = env.dialect == STORE_SQLITE;

	return store_db_run(env.db, lite ? log_lite[what] : log_pg[what], NULL,
	    0, out, NULL);
}

/* However it is stored, it is read event by event, byte for byte. */
static void
test_log_read(void)
{
	static const char *const types[] = { "x", "a", "b", "c" };
	static const char *const bodies[] = { "{}", "{\"s\": \"\\u00e4, [\"}",
		"{\"n\":1.50e1}", "{}" };
	struct rows *r = NULL;

	if (!env_ready())
		return;
	OK(log_do(0, NULL));
	OK(log_do(1, NULL));
	OK(store_db_run(env.db,
	    "SELECT run_seq, seq, type, payload FROM run_events ORDER BY seq",
	    NULL, 0, &r, NULL));
	CU_ASSERT_EQUAL_FATAL(rows_count(r), 4);
	for (int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(rows_int(r, i, 0), i + 1);
		CU_ASSERT_EQUAL(rows_int(r, i, 1), i + 5);
		CU_ASSERT_STRING_EQUAL(rows_text(r, i, 2), types[i]);
		CU_ASSERT_STRING_EQUAL(rows_text(r, i, 3), bodies[i]);
	}
	rows_free(r);
	CU_ASSERT_NOT_EQUAL(log_do(0, NULL), AS_OK); /* numbers are unique */
}

static void
test_append_only(void)
{
	struct rows *r = NULL;

	if (!env_ready())
		return;
	CU_ASSERT_NOT_EQUAL(log_do(2, NULL), AS_OK);
	CU_ASSERT_NOT_EQUAL(log_do(3, NULL), AS_OK);
	OK(store_db_run(env.db,
	    "INSERT INTO node_settings (key, value) VALUES ('gc_open', '1')",
	    NULL, 0, NULL, NULL));
	OK(log_do(3, &r));
	CU_ASSERT_TRUE(rows_affected(r) > 0);
	rows_free(r);
	OK(store_db_run(env.db, "SELECT 1 FROM run_events", NULL, 0, &r, NULL));
	CU_ASSERT_EQUAL(rows_count(r), 0);
	rows_free(r);
	OK(store_db_run(env.db, "DELETE FROM node_settings", NULL, 0, NULL,
	    NULL));
}

/* ---- A database that is only read ---------------------------------- */

static struct store *reader;

static void
read_only_body(void *arg)
{
	static struct sql count = { .text = "SELECT count(*) FROM tenants" };
	static struct sql insert = {
		.text = "INSERT INTO node_settings"
			" (key, value) VALUES ('ro', '1')"
	};
	struct error err = { 0 };
	struct rows *r = NULL;

	(void)arg;
	OK(store_query(reader, &count, NULL, 0, &r, NULL));
	CU_ASSERT_EQUAL(rows_int(r, 0, 0), 1);
	rows_free(r);
	CU_ASSERT_EQUAL(store_exec(reader, &insert, NULL, 0, NULL, &err),
	    AS_FORBIDDEN);
	error_clear(&err);
	/* The same text as a read: now it is the database that refuses. */
	CU_ASSERT_NOT_EQUAL(store_query(reader, &insert, NULL, 0, &r, &err),
	    AS_OK);
	error_clear(&err);
}

static void
test_read_only(void)
{
	struct store_config config = env.config;
	struct store_db *db = NULL;
	struct rows *r = NULL;

	if (!env_ready())
		return;
	config.read_only = true;
	OK(store_db_open(&config, &db, NULL)); /* beside a writer */
	OK(store_migrate(db, true, NULL, NULL));
	CU_ASSERT_NOT_EQUAL(store_db_run(db,
				"INSERT INTO node_settings (key, value)"
				" VALUES ('ro', '1')",
				NULL, 0, NULL, NULL),
	    AS_OK);
	CU_ASSERT_NOT_EQUAL(store_db_run(db, "CREATE TABLE ro (a int)", NULL, 0,
				NULL, NULL),
	    AS_OK);
	reader = store_new(db, env.loop);
	env_run(read_only_body, NULL);
	store_free(reader);
	store_db_close(db);
	OK(store_db_run(env.db, "SELECT 1 FROM node_settings WHERE key = 'ro'",
	    NULL, 0, &r, NULL));
	CU_ASSERT_EQUAL(rows_count(r), 0);
	rows_free(r);
	if (env.dialect != STORE_SQLITE)
		return;
	config.url = "sqlite:/nonexistent/no.db";
	CU_ASSERT_NOT_EQUAL(store_db_open(&config, &db, NULL), AS_OK);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "types round trip", test_types },
		{ "no rows", test_empty },
		{ "a batch is atomic", test_batch },
		{ "reads see what was written", test_fresh },
		{ "conflicts name their constraint", test_conflicts },
		{ "bad SQL harms nobody", test_bad_sql },
		{ "1,000 fibers, every fifth fails", test_many },
		{ "deadline and cancel", test_early },
		{ "the clock can be set", test_clock },
		{ "the log, event by event", test_log_read },
		{ "the log is append-only", test_append_only },
		{ "a database that is only read", test_read_only },
		CU_TEST_INFO_NULL,
	};

	log_configure("error");
	return env_main("store", tests, env_close);
}
