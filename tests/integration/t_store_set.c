/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/store/store.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * Statements over sets of requests, PostgreSQL's own: many are one execution,
 * and none of the requests can tell.
 */

#define OK(x) CU_ASSERT_EQUAL((x), AS_OK)

#define MANY 400

SQL(PUT, "INSERT INTO things (id, n) VALUES ($1, $2)");
SQL(GET, "SELECT n, x, b, s, y FROM things WHERE id = $1");
SQL(COUNT, "SELECT count(*) FROM executions");

static struct sql CHANGE = {
	.postgres =
	    "UPDATE things SET n = i.n, x = i.x, b = i.b, s = i.s, y = i.y"
	    " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[],"
	    " $4::float8[], $5::boolean[], $6::text[], $7::bytea[])"
	    " WITH ORDINALITY i (id, old, n, x, b, s, y, place)"
	    " WHERE things.id = i.id AND things.n = i.old RETURNING i.place",
	.is_set = true
};

static void
things_make(void)
{
	OK(store_db_run(env.db,
	    "CREATE TABLE things (id uuid PRIMARY KEY, n bigint, x float8,"
	    " b boolean, s text UNIQUE, y bytea)",
	    NULL, 0, NULL, NULL));
	OK(store_db_run(env.db, "CREATE TABLE executions (at bigint)", NULL, 0,
	    NULL, NULL));
	OK(store_db_run(env.db,
	    "CREATE FUNCTION executed() RETURNS trigger LANGUAGE plpgsql AS"
	    " $$ BEGIN INSERT INTO executions VALUES (1); RETURN NULL; END $$",
	    NULL, 0, NULL, NULL));
	OK(store_db_run(env.db,
	    "CREATE TRIGGER executed AFTER UPDATE ON things FOR EACH STATEMENT"
	    " EXECUTE FUNCTION executed()",
	    NULL, 0, NULL, NULL));
}

static unsigned n_running, n_wrong, n_twins;

static void
wrong_if(bool wrong, intptr_t i, const char *what)
{
	if (!wrong)
		return;
	n_wrong++;
	printf("# %ld: %s\n", (long)i, what);
}

/* Every third has a wrong belief; of the twins, one text, only one gets in. */
static void
one_of_many(void *arg)
{
	intptr_t i = (intptr_t)arg;
	bool stale = i % 3 == 0, twin = !stale && i % 10 == 1, in;
	struct uuid id = uuid_v7();
	char text[32];
	struct sql_arg put[] = { SQL_UUID(id), SQL_INT(i) };
	struct rows *r = NULL;
	enum as_status st;
	size_t len = 0;

	snprintf(text, sizeof(text), "{\"%ld\",\\}", twin ? 1L : (long)i + 2);
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(stale ? -1 : i),
		SQL_INT(-i),
		i % 2 == 0 ? SQL_NUM(0.1 * (double)i) : SQL_NUM(-1e300),
		SQL_BOOL(i % 2 == 0),
		!twin && i % 7 == 2 ? sql_text(NULL) : sql_text(text),
		SQL_BYTES("\0\xff", 2) };

	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	wrong_if(store_exec(env.store, &PUT, put, 2, NULL, NULL) != AS_OK, i,
	    "put");
	st = store_exec(env.store, &CHANGE, args, 7, &r, NULL);
	in = st == AS_OK && rows_count(r) == 1;
	if (twin)
		wrong_if((n_twins += in) > 1 || (!in && st != AS_CONFLICT), i,
		    "twin");
	else
		wrong_if(st != AS_OK || in == stale, i, "change");
	rows_free(r);
	wrong_if(store_query(env.store, &GET, args, 1, &r, NULL) != AS_OK, i,
	    "get");
	if (!in)
		wrong_if(rows_int(r, 0, 0) != i, i, "changed");
	else
		wrong_if(rows_int(r, 0, 0) != -i ||
			     rows_num(r, 0, 1) != args[3].v.n ||
			     rows_bool(r, 0, 2) != (i % 2 == 0) ||
			     rows_is_null(r, 0, 3) != (args[5].v.p == NULL) ||
			     (args[5].v.p != NULL &&
				 strcmp(rows_text(r, 0, 3), text) != 0) ||
			     memcmp(rows_bytes(r, 0, 4, &len), "\0\xff", 2) !=
				 0 ||
			     len != 2,
		    i, "values");
	rows_free(r);
	n_running--;
}

static void
many(void *arg)
{
	struct rows *r = NULL;

	(void)arg;
	n_wrong = n_twins = 0;
	n_running = MANY;
	for (intptr_t i = 0; i < MANY; i++)
		CU_ASSERT_PTR_NOT_NULL(
		    fiber_spawn(env.loop, "one", one_of_many, (void *)i).f);
	while (n_running > 0)
		fiber_sleep(1);
	CU_ASSERT_EQUAL(n_wrong, 0);
	CU_ASSERT_EQUAL(n_twins, 1);
	OK(store_query(env.store, &COUNT, NULL, 0, &r, NULL));
	CU_ASSERT_TRUE(rows_int(r, 0, 0) < MANY);
	rows_free(r);
}

/* ---- One key ------------------------------------------------------- */

static struct uuid shared_id;
static unsigned n_won;

static void
one_of_rivals(void *arg)
{
	struct sql_arg args[] = { SQL_UUID(shared_id), SQL_INT(0),
		SQL_INT((intptr_t)arg), SQL_NUM(0), SQL_BOOL(true),
		sql_text(NULL), SQL_BYTES("", 0) };
	struct rows *r = NULL;

	wrong_if(store_exec(env.store, &CHANGE, args, 7, &r, NULL) != AS_OK, 0,
	    "rival");
	n_won += rows_count(r) == 1;
	rows_free(r);
	n_running--;
}

/* All believe the same of one row: one is right, whoever it is. */
static void
rivals(void *arg)
{
	struct sql_arg put[2];

	(void)arg;
	shared_id = uuid_v7();
	put[0] = SQL_UUID(shared_id);
	put[1] = SQL_INT(0);
	OK(store_exec(env.store, &PUT, put, 2, NULL, NULL));
	n_wrong = n_won = 0;
	n_running = 30;
	for (intptr_t i = 1; i <= 30; i++)
		CU_ASSERT_PTR_NOT_NULL(
		    fiber_spawn(env.loop, "rival", one_of_rivals, (void *)i).f);
	while (n_running > 0)
		fiber_sleep(1);
	CU_ASSERT_EQUAL(n_wrong, 0);
	CU_ASSERT_EQUAL(n_won, 1);
}

static void
test_many(void)
{
	if (!env_ready())
		return;
	things_make();
	log_to_fd(-1); /* the conflicts */
	env_run(many, NULL);
	log_to_fd(2);
}

static void
test_rivals(void)
{
	if (env_ready())
		env_run(rivals, NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "400 requests, each alone to itself", test_many },
		{ "rivals for one row", test_rivals },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "sets on postgres", env_postgres_open, env_close, NULL, NULL,
		    tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
