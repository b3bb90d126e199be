/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "tests/integration/run_dump.h"
#include "tests/integration/twin.h"

/*
 * The store of the simulator is the one of the server: the same random
 * operations, some of them with wrong beliefs, on the model and on a database.
 * Each must end with the same status and say the same, and the tables must be
 * the same in the end.  The clock of both is the test's.
 */

#define QUEUED 250
#define OPS 400
#define THREADS 4
#define EPOCHS 6
#define START_US 1700000000000000

static int outbox_rows; /* of all sequences */

/* ---- A sequence ---------------------------------------------------- */

static SUSPENDS void
one_operation(void)
{
	uint32_t dice = below(100);

	if (dice < 45)
		twin_commits();
	else if (dice < 62)
		twin_run_begins();
	else if (dice < 70)
		twin_claims();
	else if (dice < 75)
		twin_reaps();
	else if (dice < 78)
		twin_releases();
	else if (dice < 80)
		twin_late();
	else if (dice < 82)
		twin_answers();
	else if (dice < 86)
		twin_node_changes();
	else if (dice < 87)
		twin_charges();
	else if (dice < 88)
		twin_switches();
	else if (dice < 89 && model->nodes.n < EPOCHS)
		twin_node_joins();
	else if (dice < 90)
		twin_hook_changes();
	else if (dice < 93)
		twin_clock_moves();
	else
		twin_reads();
}

static void
insert(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(user_id), SQL_UUID(tenant),
		SQL_UUID(agent_id), SQL_UUID(other_id) };

	MUST(store_db_run(env.db, text, args, 4, NULL, NULL) == AS_OK);
}

static void
dumps_compare(void)
{
	struct buf a = { 0 }, b = { 0 };
	const char *x, *y;
	size_t n, m;

	run_dump_model(model, &a);
	run_dump_sql(&b);
	for (x = a.data, y = b.data; *x != '\0' && *y != '\0';) {
		n = strcspn(x, "\n");
		m = strcspn(y, "\n");
		if (n != m || memcmp(x, y, n) != 0) {
			tap_note("the model:    %.*s", (int)n, x);
			tap_note("the database: %.*s", (int)m, y);
			break;
		}
		x += n + 1;
		y += m + 1;
	}
	CU_ASSERT_STRING_EQUAL(a.data, b.data);
	tap_note("%d runs, %d events, %d messages, %d tools, %d items, %d dead,"
		 " %d in the outbox",
	    model->runs.n, model->events.n, model->messages.n, model->tools.n,
	    model->items.n, model->dead.n, model->outbox.n);
	outbox_rows += model->outbox.n;
	buf_free(&a);
	buf_free(&b);
}

static void
tenants_insert(void)
{
	for (int i = 1; i < N_TENANTS; i++) {
		struct uuid id = tenant;
		struct sql_arg args[] = { SQL_UUID(id) };

		args[0].v.u.b[14] = (uint8_t)i;
		MUST(store_db_run(env.db,
			 "INSERT INTO tenants (id, name, created_at)"
			 " VALUES ($1, 't', 1)",
			 args, 1, NULL, NULL) == AS_OK);
	}
}

static SUSPENDS void
begin(void)
{
	tenants_insert();
	insert("INSERT INTO users (id, tenant_id, email, created_at,"
	       " updated_at) SELECT $1, $2, 'a@x', 1, 1 WHERE $3 IS NOT NULL"
	       " UNION ALL SELECT $4, $2, 'b@x', 1, 1");
	insert("INSERT INTO agents (id, tenant_id, user_id, name, created_at,"
	       " updated_at) SELECT $3, $2, $1, 'a', 1, 1 WHERE $4 IS NOT"
	       " NULL");
	twin_clock_moves();
	for (int i = 0; i < THREADS; i++)
		twin_thread_begins();
	twin_node_joins();
}

static SUSPENDS void
sequence(void *arg)
{
	(void)arg;
	begin();
	twin_hook_changes(); /* or few ends would be told of */
	twin_hook_changes();
	for (int i = 0; i < OPS && !parted; i++)
		one_operation();
	dumps_compare();
}

/* A task of some tenant, in a thread of its own that nobody looks at. */
static SUSPENDS void
job_waits(void)
{
	struct event_list events = { 0 };
	struct run_create c = { .run_id = new_id(),
		.thread_id = new_id(),
		.agent_id = agent_id,
		.tenant_id = some_tenant(),
		.user_id = user_id,
		.correlation_id = "",
		.title = "",
		.new_thread = true,
		.heads = { 0, 0, 1 },
		.kind = "ambient",
		.class = (int)below(RUN_CLASSES),
		.now_us = now_us,
		.events = &events };

	if (one_in(3)) /* one has far more than the others */
		c.tenant_id = tenant;
	c.message.sequence = 1;
	c.run_at = one_in(8) ? now_us + below(9000000) : 0;
	events_make(&events, 1);
	snprintf(what, sizeof(what), "a job waits");
	ON_BOTH(run_store_create(rs, &c, &err), err);
	event_list_clear(&events);
}

/* A long queue of many tenants, and who gets what of it. */
static SUSPENDS void
queue(void *arg)
{
	(void)arg;
	begin();
	for (int i = 0; i < QUEUED && !parted; i++) {
		job_waits();
		if (one_in(6))
			twin_clock_moves();
	}
	for (int i = 0; i < 90 && !parted; i++) {
		twin_claims();
		if (one_in(3))
			twin_releases();
		if (one_in(3))
			twin_clock_moves();
		twin_reads_node();
	}
	CU_ASSERT_TRUE(n_promoted > 0);
	dumps_compare();
}

static void
sequence_run(uint64_t seed, SUSPENDS void (*fn)(void *arg))
{
	struct run_store *db;

	chance = seed;
	now_us = START_US;
	n_threads = n_promoted = 0;
	n_ids = 0;
	user_id = new_id();
	other_id = new_id();
	agent_id = new_id();
	model = model_new();
	model->is_sqlite = env.dialect == STORE_SQLITE;
	db = run_store_new(env.store);
	both[0] = &model->store;
	both[1] = db;
	env_run(fn, NULL);
	run_store_free(db);
	model_free(model);
}

static void
sequences(int (*open)(void), uint64_t n, SUSPENDS void (*fn)(void *arg))
{
	parted = false;
	outbox_rows = 0;
	for (uint64_t seed = 1; seed <= n && !parted; seed++) {
		MUST(open() == 0);
		if (!env_ready())
			return;
		sequence_run(seed, fn);
		env_close();
	}
	CU_ASSERT_TRUE(fn != sequence || outbox_rows > 0);
}

static void
test_sqlite(void)
{
	sequences(env_sqlite_open, 8, sequence);
	sequences(env_sqlite_open, 3, queue);
}

static void
test_postgres(void)
{
	sequences(env_postgres_open, 4, sequence);
	sequences(env_postgres_open, 2, queue);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "SQLite", test_sqlite },
		{ "PostgreSQL", test_postgres },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "run store model", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
