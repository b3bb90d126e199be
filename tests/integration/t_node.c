/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/chat/stream_poll.h"
#include "core/cmd/node_env.h"
#include "core/run/run_store.h"
#include "core/run/sweep.h"
#include "core/store/store_lock.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * Who lives and who holds what, on both databases: leases, the lock, cancels,
 * what is due, whom a crash is charged to, and logs that others write.
 */

#define NOW INT64_C(1800000000000000)
#define SECOND INT64_C(1000000)

static struct run_store *runs;
static struct error err;
static struct uuid user_id, agent_id, thread_id, run_id;
static int64_t epoch;

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };

static void
clock_at(int64_t us)
{
	MUST(store_clock_set(env.db, us) == AS_OK);
}

static void
sql(const char *text, struct uuid a, struct uuid b)
{
	struct sql_arg args[] = { SQL_UUID(a), SQL_UUID(b), SQL_UUID(tenant) };

	MUST(store_db_run(env.db, text, args, 3, NULL, NULL) == AS_OK);
}

static int64_t
number(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };
	struct rows *rows = NULL;
	int64_t n;

	MUST(store_db_run(env.db, text, args, 1, &rows, NULL) == AS_OK);
	n = rows_int(rows, 0, 0);
	rows_free(rows);
	return n;
}

static SUSPENDS int64_t
join(void)
{
	int64_t e = 0;

	MUST(run_store_node_join(runs, "test", "1", 8 * SECOND, &e, &err) ==
	     AS_OK);
	return e;
}

/* A run that is at work, of this epoch. */
static SUSPENDS void
run_new(int64_t owner)
{
	struct event_list events = { 0 };
	struct run_create c = { .agent_id = agent_id,
		.tenant_id = tenant,
		.user_id = user_id,
		.model = "x/y",
		.correlation_id = "c",
		.traceparent = "",
		.owner_epoch = owner,
		.now_us = NOW,
		.deadline_at = NOW + 900 * SECOND,
		.events = &events };

	thread_id = uuid_v7();
	run_id = uuid_v7();
	MUST(run_store_thread_create(runs, thread_id, tenant, user_id, agent_id,
		 "t", &err) == AS_OK);
	c.run_id = run_id;
	c.thread_id = thread_id;
	c.heads.msg_seq = 1;
	c.message.id = uuid_v7();
	c.message.role = "user";
	c.message.content = "hello";
	c.message.parts = "[]";
	c.message.state = "final";
	c.message.sequence = 1;
	c.message.created_at = NOW;
	event_list_add_status(&events, RUN_RUNNING, "started", NULL, NULL);
	MUST(run_store_create(runs, &c, &err) == AS_OK);
	event_list_clear(&events);
}

static SUSPENDS void
stand_up(void)
{
	user_id = uuid_v7();
	agent_id = uuid_v7();
	sql("INSERT INTO users (id, tenant_id, email, created_at, updated_at)"
	    " SELECT $1, $3, lower(CAST(now_us() AS TEXT)) || '@n', 1, 1"
	    " WHERE $2 IS NOT NULL",
	    user_id, agent_id);
	sql("INSERT INTO agents (id, tenant_id, user_id, name, description,"
	    " purpose, system_prompt, memory, agent_state, toolkits,"
	    " suggested_task_prompts, suggested_job_prompts, is_public,"
	    " version, created_at, updated_at) VALUES ($1, $3, $2, 'a', '', '',"
	    " 'sys', '{}', 'ready', '[]', '[]', '[]', FALSE, 1, 1, 1)",
	    agent_id, user_id);
	clock_at(NOW);
	runs = run_store_new(env.store);
	epoch = join();
}

static void (*test_fn)(void);

static SUSPENDS void
test_fiber(void *arg)
{
	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 30000);
	stand_up();
	test_fn();
	run_store_free(runs);
	clock_at(0);
	sql("UPDATE nodes SET lease_expires_at = 0 WHERE $1 = $2 OR $3 = $3",
	    tenant, tenant);
	error_clear(&err);
}

static void
go(void (*fn)(void))
{
	if (!env_ready())
		return;
	test_fn = fn;
	env_run(test_fiber, NULL);
}

/* ---- Leases -------------------------------------------------------- */

static SUSPENDS void
lease(void)
{
	bool alone = env.dialect == STORE_SQLITE;

	clock_at(NOW + 7 * SECOND);
	CU_ASSERT_EQUAL(run_store_node_renew(runs, epoch, 8 * SECOND, &err),
	    AS_OK);
	clock_at(NOW + 14 * SECOND);
	CU_ASSERT_EQUAL(run_store_node_renew(runs, epoch, 8 * SECOND, &err),
	    AS_OK);
	/* Whose database it is alone may sleep for as long as he likes. */
	clock_at(NOW + 23 * SECOND);
	CU_ASSERT_EQUAL(run_store_node_renew(runs, epoch, 8 * SECOND, &err),
	    alone ? AS_OK : AS_CONFLICT);
	error_clear(&err);
	CU_ASSERT_EQUAL(run_store_node_leave(runs, epoch, &err), AS_OK);
	CU_ASSERT_EQUAL(run_store_node_renew(runs, epoch, 8 * SECOND, &err),
	    AS_CONFLICT);
}

static SUSPENDS void
taken_over(void)
{
	struct run_claim *claims;
	int64_t other = join();
	struct run_claim_ask ask = run_claim_ask(other, 10);
	int n = -1;

	run_new(epoch);
	CU_ASSERT_EQUAL(run_store_reap(runs, other, false, 3600 * SECOND, &n,
			    &err),
	    AS_OK);
	CU_ASSERT_EQUAL(n, 0);
	clock_at(NOW + 9 * SECOND);
	CU_ASSERT_EQUAL(run_store_reap(runs, other, false, 3600 * SECOND, &n,
			    &err),
	    AS_OK);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(run_store_claim(runs, &ask, &claims, &n, &err), AS_OK);
	CU_ASSERT_EQUAL(n, 1);
	if (n == 1)
		CU_ASSERT_TRUE(uuid_equal(claims[0].run_id, run_id));
	free(claims);
	CU_ASSERT_EQUAL(number("SELECT fence FROM runs WHERE id = $1"), 3);
}

/* ---- The lock ------------------------------------------------------ */

static SUSPENDS bool
comes_to(const struct store_lock *l, bool held)
{
	uint64_t until = loop_now_ms(env.loop) + 10000;

	while ((store_lock_held_us(l) >= 0) != held &&
	       loop_now_ms(env.loop) < until)
		(void)fiber_sleep(5);
	return (store_lock_held_us(l) >= 0) == held;
}

static SUSPENDS int
doomed(int64_t by, int64_t lease_us)
{
	int n = -1;

	CU_ASSERT_EQUAL(run_store_node_doom(runs, by, lease_us, &n, &err),
	    AS_OK);
	return n;
}

/* The server learns a moment later that a session has ended. */
static SUSPENDS bool
comes_to_be_doomed(int64_t by)
{
	uint64_t until = loop_now_ms(env.loop) + 10000;
	int n;

	while ((n = doomed(by, 0)) == 0 && loop_now_ms(env.loop) < until)
		(void)fiber_sleep(5);
	return n == 1;
}

/* The standby that takes over has neither its row nor where the sequence was. */
static SUSPENDS void
no_number_twice(void)
{
	char *text;

	if (env.dialect == STORE_SQLITE) {
		tap_skip("nobody takes over from a file");
		return;
	}
	text = xasprintf("SELECT setval(pg_get_serial_sequence('nodes',"
			 " 'node_epoch'), %lld, false)",
	    (long long)epoch);
	sql("DELETE FROM nodes WHERE $1 = $2 OR $3 = $3", tenant, tenant);
	MUST(store_db_run(env.db, text, NULL, 0, NULL, NULL) == AS_OK);
	free(text);
	CU_ASSERT_NOT_EQUAL(join(), epoch);
	CU_ASSERT_EQUAL(run_store_node_renew(runs, epoch, 8 * SECOND, &err),
	    AS_CONFLICT);
}

static SUSPENDS void
silence(void)
{
	int64_t other = join();
	struct store_lock *l;

	if (env.dialect == STORE_SQLITE) {
		clock_at(NOW + 4 * SECOND);
		CU_ASSERT_EQUAL(doomed(other, 0), 0);
		return;
	}
	l = store_lock_new(env.db, RUN_NODE_LOCK, run_node_lock_key(epoch));
	CU_ASSERT_TRUE(comes_to(l, true));
	/* Who has told nobody of a lock is not judged by it. */
	clock_at(NOW + 4 * SECOND);
	CU_ASSERT_EQUAL(doomed(other, 0), 0);
	CU_ASSERT_EQUAL(run_store_node_guard(runs, epoch, 3 * SECOND, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(run_store_node_guard(runs, other, 3 * SECOND, &err),
	    AS_OK);
	clock_at(NOW + 6 * SECOND);
	CU_ASSERT_EQUAL(doomed(other, 0), 0); /* not silent yet */
	clock_at(NOW + 7 * SECOND + 1);
	CU_ASSERT_EQUAL(doomed(other, 0), 0); /* silent, with its lock */
	store_lock_free(l);
	/* The server is younger than that: everybody's lock is free. */
	CU_ASSERT_EQUAL(doomed(other, INT64_C(36500) * 86400 * SECOND), 0);
	CU_ASSERT_TRUE(comes_to_be_doomed(other));
	CU_ASSERT_EQUAL(run_store_node_renew(runs, epoch, 8 * SECOND, &err),
	    AS_CONFLICT);
	error_clear(&err);
	CU_ASSERT_EQUAL(run_store_node_renew(runs, other, 8 * SECOND, &err),
	    AS_OK);
}

/* Ends the session that holds the lock of that key, as an oid. */
static void
terminate(const char *key)
{
	char *text = xasprintf("SELECT pg_terminate_backend(pid) FROM pg_locks "
			       "WHERE locktype"
			       " = 'advisory' AND objid = %s",
	    key);

	MUST(store_db_run(env.db, text, NULL, 0, NULL, NULL) == AS_OK);
	free(text);
}

static SUSPENDS void
one_holder(void)
{
	struct store_lock *a, *b, *c;

	if (env.dialect == STORE_SQLITE) {
		tap_skip("locks are PostgreSQL's");
		return;
	}
	a = store_lock_new(env.db, RUN_NODE_LOCK, -7);
	CU_ASSERT_TRUE(comes_to(a, true));
	b = store_lock_new(env.db, RUN_NODE_LOCK, -7);
	/* Another key, asked for later, is there; this one is not. */
	c = store_lock_new(env.db, RUN_NODE_LOCK, -8);
	CU_ASSERT_TRUE(comes_to(c, true));
	CU_ASSERT_EQUAL(store_lock_held_us(b), -1);
	store_lock_free(c);
	store_lock_free(a);
	CU_ASSERT_TRUE(comes_to(b, true));
	/* The session is ended from outside: taken again. */
	terminate("4294967289");
	CU_ASSERT_TRUE(comes_to(b, false));
	CU_ASSERT_TRUE(comes_to(b, true));
	store_lock_free(b);
}

static bool
trusts(struct node_env *e, int64_t left_us, int64_t left_unlocked_us)
{
	struct engine_env of_engine = node_env_engine(e);
	int64_t now = clock_boot_us();

	node_env_trust(e, now + left_us, now + left_unlocked_us);
	return of_engine.trusted(of_engine.arg);
}

/* Others may come sooner when the lock is gone; they cannot come at all if
 * nobody told them of it. */
static SUSPENDS void
trust(void)
{
	struct store_lock *l;
	struct node_env e;

	node_env_init(&e, env.db);
	e.timeline = store_db_timeline(env.db);
	CU_ASSERT_TRUE((e.timeline > 0) == (env.dialect == STORE_POSTGRES));
	CU_ASSERT_FALSE(node_env_engine(&e).trusted(&e));
	CU_ASSERT_TRUE(trusts(&e, 60 * SECOND, 0));
	CU_ASSERT_FALSE(trusts(&e, 0, 60 * SECOND));
	if (env.dialect == STORE_POSTGRES) {
		l = store_lock_new(env.db, RUN_NODE_LOCK, -9);
		CU_ASSERT_TRUE(comes_to(l, true));
		e.lock = l;
		atomic_store(&e.guarded, true);
		CU_ASSERT_TRUE(trusts(&e, 60 * SECOND, 0));
		terminate("4294967287");
		CU_ASSERT_TRUE(comes_to(l, false));
		CU_ASSERT_FALSE(trusts(&e, 60 * SECOND, 0));
		CU_ASSERT_TRUE(trusts(&e, 0, 60 * SECOND));
		atomic_store(&e.guarded, false);
		CU_ASSERT_TRUE(trusts(&e, 60 * SECOND, 0));
		store_lock_free(l);
	}
	/* Another server has taken over, whatever the lease says. */
	e.timeline++;
	CU_ASSERT_FALSE(trusts(&e, 60 * SECOND, 60 * SECOND));
	node_env_fini(&e);
}

/* ---- Cancels, what is due, charges --------------------------------- */

static SUSPENDS void
cancelled_elsewhere(void)
{
	struct run_cancelling *list;
	int64_t other = join();
	int n;

	run_new(epoch);
	CU_ASSERT_EQUAL(run_store_cancelling(runs, epoch, &list, &n, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(n, 0);
	free(list);
	sql("UPDATE runs SET status = 'cancelling', cancel_requested_at ="
	    " now_us() WHERE id = $1 AND tenant_id = $3 AND $2 IS NOT NULL",
	    run_id, tenant);
	clock_at(NOW + 3 * SECOND);
	CU_ASSERT_EQUAL(run_store_cancelling(runs, other, &list, &n, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(n, 0);
	free(list);
	CU_ASSERT_EQUAL(run_store_cancelling(runs, epoch, &list, &n, &err),
	    AS_OK);
	CU_ASSERT_EQUAL_FATAL(n, 1);
	CU_ASSERT_TRUE(uuid_equal(list[0].run_id, run_id));
	CU_ASSERT_TRUE(uuid_equal(list[0].thread_id, thread_id));
	CU_ASSERT_EQUAL(list[0].age_us, 3 * SECOND);
	free(list);
}

/* ---- What there is to sweep ---------------------------------------- */

static SUSPENDS void
sweeps(int64_t by, const char *want)
{
	struct sweep s;
	char text[6] = "-----";

	sweep_look(env.store, by, 3600 * SECOND, &s);
	text[0] = s.silent ? 's' : '-';
	text[1] = s.vain ? 'v' : '-';
	text[2] = s.cancels ? 'c' : '-';
	text[3] = s.breakers ? 'b' : '-';
	text[4] = s.overdue ? 'o' : '-';
	CU_ASSERT_STRING_EQUAL(text, want);
	if (strcmp(text, want) != 0)
		tap_note("%s, not %s", text, want);
}

static SUSPENDS void
sweep(void)
{
	int64_t other = join();

	sql("DELETE FROM jobs WHERE $1 = $2 OR $3 = $3", tenant, tenant);
	run_new(epoch);
	sweeps(epoch, "-----");
	sql("UPDATE runs SET status = 'cancelling' WHERE id = $1"
	    " AND $2 = $3",
	    run_id, tenant);
	sweeps(epoch, "--c--");
	sweeps(other, "-----");
	sql("INSERT INTO breakers (scope, state, open_until)"
	    " SELECT 's', 'open', now_us() + 2000000 WHERE $1 = $2 AND $3 = $3",
	    tenant, tenant);
	sweeps(other, "---b-");
	sql("INSERT INTO inbox_items (id, tenant_id, user_id, agent_id,"
	    " thread_id, run_id, kind, interrupt_id, expires_at, created_at,"
	    " updated_at) SELECT id, tenant_id, user_id, agent_id, thread_id,"
	    " id, 'approval', id, now_us() + 1000000, 1, 1 FROM runs"
	    " WHERE id = $1 AND $2 = $3",
	    run_id, tenant);
	sweeps(other, "---b-");
	clock_at(NOW + SECOND);
	sweeps(other, "---bo");
	clock_at(NOW + 2 * SECOND);
	sweeps(other, "----o");
	sql("DELETE FROM inbox_items WHERE run_id = $1 AND $2 = $3", run_id,
	    tenant);
	CU_ASSERT_EQUAL(run_store_node_guard(runs, epoch, 3 * SECOND, &err),
	    AS_OK);
	clock_at(NOW + 5 * SECOND + 1);
	sweeps(other, "s----");
	sweeps(epoch, "--c--");
	clock_at(NOW + 8 * SECOND); /* the lease is over */
	sweeps(other, "-v---");
}

static SUSPENDS void
due(void)
{
	int64_t in_us = 0;

	CU_ASSERT_EQUAL(run_store_next_due(runs, &in_us, &err), AS_OK);
	CU_ASSERT_EQUAL(in_us, -1);
	run_new(0);
	CU_ASSERT_EQUAL(run_store_next_due(runs, &in_us, &err), AS_OK);
	CU_ASSERT_EQUAL(in_us, -1); /* ready, and no more to come */
	sql("UPDATE jobs SET run_at = run_at + 5000000 WHERE run_id = $1"
	    " AND $2 = $3",
	    run_id, tenant);
	CU_ASSERT_EQUAL(run_store_next_due(runs, &in_us, &err), AS_OK);
	CU_ASSERT_EQUAL(in_us, 5 * SECOND);
	sql("DELETE FROM jobs WHERE run_id = $1 AND $2 = $3", run_id, tenant);
}

static SUSPENDS void
charges(void)
{
	static const char COUNT[] = "SELECT crash_count FROM runs WHERE id ="
				    " $1";

	run_new(epoch);
	CU_ASSERT_EQUAL(number(COUNT), 0);
	for (int i = 1; i <= 2; i++) {
		CU_ASSERT_EQUAL(run_store_charge(runs, run_id, &err), AS_OK);
		CU_ASSERT_EQUAL(number(COUNT), i);
	}
	/* It has come further since: counted from one again. */
	sql("UPDATE runs SET step = step + 1 WHERE id = $1 AND $2 = $3", run_id,
	    tenant);
	CU_ASSERT_EQUAL(run_store_charge(runs, run_id, &err), AS_OK);
	CU_ASSERT_EQUAL(number(COUNT), 1);
}

/* ---- Logs that others write ---------------------------------------- */

struct reader {
	struct stream_head head;
	struct fiber_wait wait;
	int64_t cursor;
	int n, doubts;
};

static void
reader_doubted(struct stream_head *h)
{
	container_of(h, struct reader, head)->doubts++;
}

static void
reader_behind(struct stream_head *h)
{
	struct reader *r = container_of(h, struct reader, head);

	r->n++;
	fiber_wake(r->wait);
}

static SUSPENDS void
heads(void)
{
	struct stream_poll *p = stream_poll_new(env.loop, env.store);
	struct reader behind = { .cursor = 0 }, even = { .cursor = 1 };
	struct reader of_run = { .cursor = 0 };
	struct reader ahead = { .cursor = 9 }, older = { .cursor = 1 };
	struct reader *all[] = { &behind, &even, &ahead, &older, &of_run };

	if (env.dialect == STORE_SQLITE) {
		CU_ASSERT_PTR_NULL(p);
		return;
	}
	run_new(epoch);
	of_run.head.by_run = true;
	for (size_t i = 0; i < N_ITEMS(all); i++) {
		all[i]->head.id = all[i]->head.by_run ? run_id : thread_id;
		all[i]->head.cursor = &all[i]->cursor;
		all[i]->head.behind = reader_behind;
		all[i]->head.doubted = reader_doubted;
		all[i]->head.timeline = store_timeline(env.store) -
					(all[i] == &older);
		stream_poll_join(p, &all[i]->head);
	}
	while (of_run.n == 0) {
		of_run.wait = fiber_prepare();
		if (fiber_suspend(0) != FIBER_WOKEN)
			break;
	}
	CU_ASSERT_EQUAL(behind.n, 1);
	CU_ASSERT_EQUAL(even.n, 0);
	CU_ASSERT_EQUAL(of_run.n, 1);
	CU_ASSERT_EQUAL(behind.doubts + even.doubts + of_run.doubts, 0);
	CU_ASSERT_EQUAL(ahead.doubts, 1); /* than the log's end */
	CU_ASSERT_EQUAL(older.doubts, 1); /* than the server that took over */
	for (size_t i = 0; i < N_ITEMS(all); i++) {
		stream_poll_leave(&all[i]->head);
		stream_poll_leave(&all[i]->head);
	}
	(void)fiber_yield(); /* the pass ends */
	stream_poll_free(p);
}

#define TEST(fn) \
	static void test_##fn(void) \
	{ \
		go(fn); \
	}

/* clang-format off */
TEST(lease)
TEST(taken_over)
TEST(no_number_twice)
TEST(silence)
TEST(one_holder)
TEST(trust)
TEST(cancelled_elsewhere)
TEST(sweep)
TEST(due)
TEST(charges)
TEST(heads)
/* clang-format on */

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a lease that runs out", test_lease },
		{ "a run of a dead process", test_taken_over },
		{ "no number of an epoch twice", test_no_number_twice },
		{ "silence and a free lock", test_silence },
		{ "one holder of a lock", test_one_holder },
		{ "trust in the lease", test_trust },
		{ "cancelled elsewhere", test_cancelled_elsewhere },
		{ "what there is to sweep", test_sweep },
		{ "the next that is due", test_due },
		{ "crashes at one step", test_charges },
		{ "logs that others write", test_heads },
		CU_TEST_INFO_NULL,
	};

	return env_main("node", tests, env_close);
}
