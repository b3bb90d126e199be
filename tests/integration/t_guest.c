/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/guest.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * What a plugin does in the host's database, and what it tries in vain; on
 * both databases.
 */

static struct error err;
static struct json_object *rows;
static int64_t changed;

static SUSPENDS enum as_status
run(const char *name, enum guest_kind kind, const char *text,
    const char *params)
{
	const char *texts[] = { text };
	struct guest_call call = { kind, name, texts, 1, NULL };
	enum as_status st;

	error_clear(&err);
	json_object_put(rows);
	rows = NULL;
	if (params != NULL)
		MUST(json_parse(params, strlen(params), &call.params, NULL) ==
		     AS_OK);
	st = guest_run(env.store, &call, &rows, &changed, &err);
	json_object_put(call.params);
	return st;
}

static SUSPENDS enum as_status
migrate(const char *name, const char *const *steps, int n)
{
	struct guest_call call = { GUEST_MIGRATE, name, steps, n, NULL };

	error_clear(&err);
	return guest_run(env.store, &call, NULL, &changed, &err);
}

static void
ok(enum as_status st)
{
	CU_ASSERT_EQUAL(st, AS_OK);
	if (st != AS_OK)
		tap_note("%d: %s", st, err.detail);
}

static SUSPENDS void
gives(const char *name, const char *text, const char *params, const char *json)
{
	ok(run(name, GUEST_QUERY, text, params));
	CU_ASSERT_STRING_EQUAL(json_text(rows), json);
	if (strcmp(json_text(rows), json) != 0)
		tap_note("got %s", json_text(rows));
}

static const char *const steps[] = {
	"CREATE TABLE {}note (id BIGINT PRIMARY KEY, body TEXT NOT NULL,"
	" done BOOLEAN NOT NULL DEFAULT false, x DOUBLE PRECISION,"
	" tags TEXT NOT NULL DEFAULT '{}')",
	"CREATE INDEX {}note_by_body ON {}note (body)",
	"ALTER TABLE {}note ADD COLUMN at BIGINT",
	"CREATE TABLE {}link (note BIGINT NOT NULL REFERENCES {}note (id),"
	" url TEXT NOT NULL UNIQUE)",
	"ALTER TABLE {}link RENAME COLUMN url TO address",
	"ALTER TABLE {}link RENAME TO {}links;",
	"INSERT INTO {}note (id, body) VALUES (1, 'it''s first')",
	"ALTER TABLE {}note DROP COLUMN at",
	"CREATE TABLE {}gone (id BIGINT PRIMARY KEY)",
	"DROP TABLE {}gone",
};
#define N_STEPS ((int)(sizeof(steps) / sizeof(*steps)))

/* ---- What works ---------------------------------------------------- */

static SUSPENDS void
works(void *arg)
{
	(void)arg;
	ok(migrate("toolkit_notes", steps, 2));
	CU_ASSERT_EQUAL(changed, 2);
	ok(migrate("toolkit_notes", steps, N_STEPS));
	CU_ASSERT_EQUAL(changed, N_STEPS);
	ok(migrate("toolkit_notes", steps, N_STEPS));
	gives("toolkit_notes", "SELECT id, body, done, x, tags FROM {}note",
	    NULL,
	    "[{\"id\":1,\"body\":\"it's first\",\"done\":false,\"x\":null,"
	    "\"tags\":\"{}\"}]");
	ok(run("toolkit_notes", GUEST_EXEC,
	    "INSERT INTO {}note (id, body, done, x) VALUES ($1, $2, $3, $4)",
	    "[2, \"zwei \\u00fc\", true, 2.5]"));
	CU_ASSERT_EQUAL(changed, 1);
	ok(run("toolkit_notes", GUEST_EXEC,
	    "UPDATE {}note SET x = $1 WHERE id < $2", "[null, 10]"));
	CU_ASSERT_EQUAL(changed, 2);
	gives("toolkit_notes",
	    "SELECT count(*) AS n, sum(id) AS s, max(body) AS b, "
	    "avg(id) AS a FROM {}note WHERE body LIKE $1",
	    "[\"%i%\"]",
	    "[{\"n\":2,\"s\":3,\"b\":\"zwei \xc3\xbc\",\"a\":1.5}]");
	/* A query that writes. */
	gives("toolkit_notes",
	    "INSERT INTO {}note (id, body) VALUES ($1, 'c') RETURNING id, "
	    "done",
	    "[3]", "[{\"id\":3,\"done\":false}]");
	gives("toolkit_notes",
	    "INSERT INTO {}note (id, body) VALUES (3, 'd') ON CONFLICT (id) "
	    "DO UPDATE SET body = excluded.body RETURNING body",
	    NULL, "[{\"body\":\"d\"}]");
	gives("toolkit_notes",
	    "WITH many (id) AS (SELECT id FROM {}note WHERE id IN (1, 3)) "
	    "SELECT n.id FROM {}note n JOIN many m ON (m.id = n.id) "
	    "ORDER BY n.id DESC LIMIT 1",
	    NULL, "[{\"id\":3}]");
	gives("toolkit_notes", "SELECT id FROM {}note WHERE id > 99", NULL,
	    "[]");
	gives("toolkit_notes", "DELETE FROM {}note WHERE id = 3 RETURNING id",
	    NULL, "[{\"id\":3}]");
}

/* ---- What is refused ----------------------------------------------- */

static SUSPENDS void
refused_as(enum as_status want, enum guest_kind kind, const char *text)
{
	enum as_status st;

	if (kind == GUEST_MIGRATE) {
		const char *all[N_STEPS + 1];

		memcpy(all, steps, sizeof(steps));
		all[N_STEPS] = text;
		st = migrate("toolkit_notes", all, N_STEPS + 1);
	} else
		st = run("toolkit_notes", kind, text, NULL);
	CU_ASSERT_EQUAL(st, want);
	if (st != want)
		tap_note("%d '%s': %s", st, err.detail, text);
}

static SUSPENDS void
refused(void *arg)
{
	static const char *const reads[] = { "SELECT * FROM users",
		"SELECT id FROM threads", "SELECT count(*) FROM users",
		"SELECT * FROM public.users", "SELECT * FROM \"users\"",
		"SELECT * FROM {}note, users",
		"SELECT (SELECT count(*) FROM sessions) FROM {}note",
		"WITH x AS (SELECT * FROM users) SELECT * FROM x",
		"SELECT * FROM {}note WHERE body IN (SELECT key FROM "
		"plugin_kv)",
		"SELECT * FROM plugin_migrations",
		"DELETE FROM users RETURNING *", NULL };
	static const char *const texts[] = { "COMMIT", "ROLLBACK", "BEGIN",
		"SET ROLE postgres", "RESET ROLE", "ATTACH '/tmp/x.db' AS x",
		"PRAGMA table_info(users)", "VACUUM", "EXPLAIN SELECT 1",
		"DO $$ BEGIN END $$", "COPY {}note TO '/tmp/x'",
		"CREATE TABLE {}t (id BIGINT)", "LISTEN x",
		"SELECT * FROM pg_catalog.pg_class", "SELECT * FROM pg_class",
		"SELECT * FROM \"pg_class\"",
		"SELECT * FROM information_schema.tables",
		"SELECT * FROM sqlite_master", "SELECT pg_read_file('x')",
		"SELECT set_config('role', 'none', true)",
		"SELECT \"set_config\"('role', 'none', true)",
		"SELECT set_config ('role', 'none', true)",
		"SELECT set_config/**/('role', 'none', true)",
		"SELECT query_to_xml('select 1', true, true, '')",
		"SELECT x.count(1)", "SELECT load_extension('x')",
		"SELECT 1; SELECT 2", "SELECT 1; COMMIT",
		"SELECT 1 -- ; comment", "SELECT /* x */ 1", "SELECT $$x$$",
		"SELECT $a$x$a$", "SELECT E'\\''", "SELECT `id` FROM {}note",
		"SELECT [id] FROM {}note", "SELECT '1'::regclass",
		"SELECT 'unfinished", "SELECT * INTO {}x FROM {}note",
		"SELECT * INTO TEMP t FROM {}note", "(SELECT 1)",
		"SELECT 1 AS insert INTO other",
		"SELECT generate_series(1, 1000000000)", "{",
		"SELECT {x} FROM {}note", NULL };
	static const char *const defines[] = { "CREATE TABLE note (id BIGINT)",
		"CREATE TABLE users (id BIGINT)",
		"CREATE TEMP TABLE {}t (id BIGINT)",
		"CREATE TEMPORARY TABLE {}t (id BIGINT)",
		"CREATE VIEW {}v AS SELECT 1",
		"CREATE FUNCTION {}f () RETURNS text AS 'x' LANGUAGE sql",
		"CREATE TRIGGER {}t AFTER INSERT ON {}note BEGIN SELECT 1; "
		"END",
		"CREATE ROLE {}r", "CREATE SCHEMA {}s", "DROP TABLE users",
		"CREATE TABLE {}t (id BLOB REFERENCES users (id))",
		"ALTER TABLE users ADD COLUMN x TEXT",
		"ALTER TABLE {}note RENAME TO note",
		"CREATE INDEX by_body ON {}note (body)",
		"CREATE VIRTUAL TABLE {}f USING fts5(x)", "COMMIT", NULL };
	static const char *const tries[] = { "CREATE INDEX {}i ON users (id)",
		"CREATE TABLE {}t AS SELECT * FROM users",
		"INSERT INTO users (id) VALUES (1)",
		"CREATE TABLE {}t AS SELECT name, sql FROM 'sqlite_master'",
		"CREATE TABLE {}t AS SELECT count(*) AS n FROM "
		"'sqlite_master'",
		"CREATE TABLE {}t AS SELECT * FROM 'pragma_table_info'("
		"'users')",
		"DROP TABLE {}links, users", NULL };
	int i;

	(void)arg;
	ok(migrate("toolkit_notes", steps, N_STEPS));
	for (i = 0; reads[i] != NULL; i++) {
		enum as_status st = run("toolkit_notes", GUEST_QUERY, reads[i],
		    NULL);

		/* PostgreSQL does not even know that there is such a table. */
		CU_ASSERT(st == AS_FORBIDDEN || st == AS_INVALID);
		CU_ASSERT_PTR_NULL(rows);
		if (st != AS_FORBIDDEN && st != AS_INVALID)
			tap_note("%d: %s", st, reads[i]);
	}
	for (i = 0; texts[i] != NULL; i++) {
		refused_as(AS_FORBIDDEN, GUEST_QUERY, texts[i]);
		refused_as(AS_FORBIDDEN, GUEST_EXEC, texts[i]);
	}
	for (i = 0; defines[i] != NULL; i++)
		refused_as(AS_FORBIDDEN, GUEST_MIGRATE, defines[i]);
	for (i = 0; tries[i] != NULL; i++) {
		enum as_status st;
		const char *all[N_STEPS + 1];

		memcpy(all, steps, sizeof(steps));
		all[N_STEPS] = tries[i];
		st = migrate("toolkit_notes", all, N_STEPS + 1);
		CU_ASSERT(st == AS_FORBIDDEN || st == AS_INVALID);
		if (st != AS_FORBIDDEN && st != AS_INVALID)
			tap_note("%d: %s", st, tries[i]);
	}
	/* Nothing of it has left a trace. */
	ok(migrate("toolkit_notes", steps, N_STEPS));
	gives("toolkit_notes", "SELECT count(*) AS n FROM {}links", NULL,
	    "[{\"n\":0}]");
}

/* The name of another plugin's table, as if one had guessed it. */
static SUSPENDS void
apart(void *arg)
{
	static const char *const mine[] = { "CREATE TABLE {}t (id BIGINT)" };
	char prefix[GUEST_PREFIX], text[160];
	enum as_status st;

	(void)arg;
	ok(migrate("a", mine, 1));
	ok(migrate("a_b", mine, 1));
	ok(run("a", GUEST_EXEC, "INSERT INTO {}t VALUES (1)", NULL));
	gives("a_b", "SELECT id FROM {}t", NULL, "[]");
	guest_prefix("a", prefix);
	snprintf(text, sizeof(text), "SELECT id FROM %st", prefix);
	gives("a", text, NULL, "[{\"id\":1}]");
	st = run("a_b", GUEST_QUERY, text, NULL);
	CU_ASSERT(st == AS_FORBIDDEN || st == AS_INVALID);
	snprintf(text, sizeof(text), "DELETE FROM %st", prefix);
	st = run("a_b", GUEST_EXEC, text, NULL);
	CU_ASSERT(st == AS_FORBIDDEN || st == AS_INVALID);
}

/* ---- Mistakes ------------------------------------------------------ */

static SUSPENDS void
mistakes(void *arg)
{
	static const char *const edited[] = { "CREATE TABLE {}other (id INT)" };
	static const char *const half[] = { "CREATE TABLE {}one (id BIGINT)",
		"CREATE TABLE {}one (id BIGINT)" };

	(void)arg;
	ok(migrate("toolkit_notes", steps, N_STEPS));
	CU_ASSERT_EQUAL(migrate("toolkit_notes", edited, 1), AS_CONFLICT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "edited"));
	CU_ASSERT_EQUAL(migrate("toolkit_notes", steps, 1), AS_CONFLICT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "newer"));
	/* All steps or none. */
	CU_ASSERT_EQUAL(migrate("half", half, 2), AS_INVALID);
	ok(migrate("half", half, 1));
	CU_ASSERT_EQUAL(changed, 1);
	refused_as(AS_INVALID, GUEST_QUERY, "SELECT FROM WHERE");
	refused_as(AS_INVALID, GUEST_QUERY, "SELECT nothing FROM {}note");
	refused_as(AS_INVALID, GUEST_QUERY, "SELECT id FROM {}nothing");
	refused_as(AS_INVALID, GUEST_QUERY, "SELECT $1 + 1 AS n");
	refused_as(AS_INVALID, GUEST_EXEC,
	    "INSERT INTO {}note (id, body) VALUES (5, NULL)");
	ok(run("toolkit_notes", GUEST_EXEC,
	    "INSERT INTO {}note (id, body) VALUES (6, 'x')", NULL));
	refused_as(AS_CONFLICT, GUEST_EXEC,
	    "INSERT INTO {}note (id, body) VALUES (6, 'x')");
	refused_as(AS_CONFLICT, GUEST_EXEC,
	    "INSERT INTO {}links (note, address) VALUES (77, 'x')");
	CU_ASSERT_EQUAL(run("toolkit_notes", GUEST_QUERY, "SELECT $1 AS a",
			    "[[1]]"),
	    AS_INVALID);
	CU_ASSERT_EQUAL(run("nobody", GUEST_QUERY, "SELECT id FROM {}note",
			    NULL),
	    AS_INVALID);
}

/* ---- Limits -------------------------------------------------------- */

#define NUMBERS \
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "

static SUSPENDS void
limits(void *arg)
{
	char *text = xmalloc(GUEST_TEXT_MAX + 100);

	(void)arg;
	ok(migrate("toolkit_notes", steps, N_STEPS));
	ok(run("toolkit_notes", GUEST_QUERY,
	    NUMBERS "WHERE i < 10000) SELECT i FROM n", NULL));
	CU_ASSERT_EQUAL(json_object_array_length(rows), 10000);
	refused_as(AS_LIMIT, GUEST_QUERY,
	    NUMBERS "WHERE i < 10001) SELECT i FROM n");
	/* It has no end: rows or bytes stop it. */
	refused_as(AS_LIMIT, GUEST_QUERY, NUMBERS ") SELECT i FROM n");
	memset(text, 'x', GUEST_TEXT_MAX + 50);
	memcpy(text, "SELECT ", 7);
	text[GUEST_TEXT_MAX + 50] = '\0';
	refused_as(AS_LIMIT, GUEST_QUERY, text);
	free(text);
	/* The connection serves after that. */
	gives("toolkit_notes", "SELECT 1 AS n", NULL, "[{\"n\":1}]");
}

static SUSPENDS void
deadline(void *arg)
{
	uint64_t old = fiber_deadline(), before;
	enum as_status st;

	(void)arg;
	ok(migrate("toolkit_notes", steps, N_STEPS));
	before = loop_now_ms(env.loop);
	fiber_deadline_set(before + 200);
	st = run("toolkit_notes", GUEST_QUERY,
	    NUMBERS ") SELECT count(i) AS n FROM n", NULL);
	CU_ASSERT_EQUAL(st, AS_TIMEOUT);
	CU_ASSERT(loop_now_ms(env.loop) - before < 15000);
	fiber_deadline_set(old);
	gives("toolkit_notes", "SELECT 1 AS n", NULL, "[{\"n\":1}]");
}

/* ---- Two at once --------------------------------------------------- */

struct other {
	pthread_t thread;
	struct store_db *db;
	struct loop *loop;
	struct store *store;
	enum as_status status;
	int64_t changed;
};

static SUSPENDS void
other_fiber(void *arg)
{
	struct other *o = arg;
	struct guest_call call = { GUEST_MIGRATE, "toolkit_race", steps,
		N_STEPS, NULL };

	o->status = guest_run(o->store, &call, NULL, &o->changed, NULL);
	loop_stop(o->loop);
}

static void *
other_main(void *arg)
{
	struct other *o = arg;

	fiber_spawn(o->loop, "other", other_fiber, o);
	loop_run(o->loop);
	return NULL;
}

/* As two processes do: each with its own struct store_db on PostgreSQL. */
static void
test_race(void)
{
	struct other o[4] = { 0 };
	bool is_pg = env.dialect == STORE_POSTGRES;
	int64_t sum = 0;
	size_t i;

	if (!env_ready())
		return;
	for (i = 0; i < N_ITEMS(o); i++) {
		o[i].db = env.db;
		if (is_pg)
			MUST(store_db_open(&env.config, &o[i].db, NULL) ==
			     AS_OK);
		o[i].loop = loop_new();
		o[i].store = store_new(o[i].db, o[i].loop);
	}
	for (i = 0; i < N_ITEMS(o); i++)
		MUST(
		    pthread_create(&o[i].thread, NULL, other_main, &o[i]) == 0);
	for (i = 0; i < N_ITEMS(o); i++) {
		pthread_join(o[i].thread, NULL);
		CU_ASSERT_EQUAL(o[i].status, AS_OK);
		sum += o[i].changed;
		store_free(o[i].store);
		loop_free(o[i].loop);
		if (is_pg)
			store_db_close(o[i].db);
	}
	CU_ASSERT_EQUAL(sum, N_STEPS);
}

/* ---- Leaving early ------------------------------------------------- */

static SUSPENDS void
leaver(void *arg)
{
	enum as_status *st = arg;

	*st = run("toolkit_notes", GUEST_QUERY,
	    NUMBERS ") SELECT count(i) AS n FROM n", NULL);
}

static SUSPENDS void
leaves(void *arg)
{
	enum as_status st = AS_OK;
	struct fiber_ref f;

	(void)arg;
	ok(migrate("toolkit_notes", steps, N_STEPS));
	f = fiber_spawn(env.loop, "leaver", leaver, &st);
	fiber_yield();
	fiber_cancel(f);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(st, AS_CANCELED);
	gives("toolkit_notes", "SELECT 1 AS n", NULL, "[{\"n\":1}]");
}

/* ---- Who goes first ------------------------------------------------ */

static SUSPENDS void
writer(void *arg)
{
	const char *texts[] = { arg };
	struct guest_call call = { GUEST_EXEC, "toolkit_notes", texts, 1,
		NULL };

	(void)guest_run(env.store, &call, NULL, NULL, NULL);
}

SQL(SEEN, "SELECT value FROM node_settings WHERE key = 'seen'");

/* Slow writes of guests that have queued do not add up for ours. */
static SUSPENDS void
first(void *arg)
{
	static char slow[] = "INSERT INTO {}note (id, body) " NUMBERS
			     ") SELECT count(i) + 100, 'x' FROM n";
	static char quick[] = "INSERT INTO {}note (id, body) VALUES (50, 'x')";
	static struct sql ours;
	static char text[200];
	char prefix[GUEST_PREFIX];
	struct fiber_ref a, b;
	struct rows *r = NULL;

	(void)arg;
	if (env.dialect != STORE_SQLITE)
		return;
	ok(migrate("toolkit_notes", steps, N_STEPS));
	guest_prefix("toolkit_notes", prefix);
	snprintf(text, sizeof(text),
	    "INSERT INTO node_settings (key, value) SELECT 'seen', "
	    "count(*) FROM %snote WHERE id = 50",
	    prefix);
	ours.sqlite = ours.postgres = text;
	a = fiber_spawn(env.loop, "slow", writer, slow);
	b = fiber_spawn(env.loop, "quick", writer, quick);
	fiber_yield();
	ok(store_exec(env.store, &ours, NULL, 0, NULL, NULL));
	fiber_join(a, 0);
	fiber_join(b, 0);
	ok(store_query(env.store, &SEEN, NULL, 0, &r, NULL));
	CU_ASSERT_STRING_EQUAL(rows_text(r, 0, 0), "0");
	rows_free(r);
	gives("toolkit_notes", "SELECT id FROM {}note WHERE id = 50", NULL,
	    "[{\"id\":50}]");
}

/* ---- Suites -------------------------------------------------------- */

#define TEST(name) \
	static void test_##name(void) \
	{ \
		if (env_ready()) \
			env_run(name, NULL); \
	}
TEST(works)
TEST(refused)
TEST(apart)
TEST(mistakes)
TEST(limits)
TEST(deadline)
TEST(leaves)
TEST(first)

/* Roles are the server's, not the schema's. */
static void
roles_drop(void)
{
	struct rows *r = NULL;
	char *text;

	if (store_db_run(env.db,
		"SELECT rolname FROM pg_roles JOIN pg_namespace ON nspname = "
		"rolname WHERE rolname LIKE 'as\\_%'",
		NULL, 0, &r, NULL) != AS_OK)
		return;
	for (int i = 0; i < rows_count(r); i++) {
		text = xasprintf("DROP SCHEMA \"%s\" CASCADE",
		    rows_text(r, i, 0));
		store_db_run(env.db, text, NULL, 0, NULL, NULL);
		free(text);
		text = xasprintf("DROP ROLE \"%s\"", rows_text(r, i, 0));
		store_db_run(env.db, text, NULL, 0, NULL, NULL);
		free(text);
	}
	rows_free(r);
}

static int
close_all(void)
{
	error_clear(&err);
	json_object_put(rows);
	rows = NULL;
	if (env.db != NULL && env.dialect == STORE_POSTGRES)
		roles_drop();
	return env_close();
}

static CU_TestInfo tests[] = {
	{ "works", test_works },
	{ "refused", test_refused },
	{ "apart", test_apart },
	{ "mistakes", test_mistakes },
	{ "limits", test_limits },
	{ "deadline", test_deadline },
	{ "race", test_race },
	{ "leaves", test_leaves },
	{ "first", test_first },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("guest", tests, close_all);
}
