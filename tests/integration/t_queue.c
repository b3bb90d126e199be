/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/chat/queue.h"
#include "core/loop/fiber.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* Places, waits and caps, counted from rows; on both databases. */

#define NOW INT64_C(1700000000000000)
#define SECOND INT64_C(1000000)

static struct queue *queue;
static int64_t n_jobs;

static struct uuid
id_of(int64_t n)
{
	struct uuid id = { { 0x01, 0x8c, 0, 0, 0, 0, 0x70, 0, 0x80 } };

	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	return id;
}

static void
insert(const char *text, const struct sql_arg *args, int n)
{
	MUST(store_db_run(env.db, text, args, n, NULL, NULL) == AS_OK);
}

/* A run of a tenant and what it waits with, or is worked on (state 1). */
static struct uuid
job(int tenant, int class, int state, int64_t run_at)
{
	struct uuid run = id_of(1000 + ++n_jobs);
	struct sql_arg args[] = { SQL_UUID(run), SQL_UUID(id_of(tenant)),
		SQL_INT(class), SQL_INT(run_at), SQL_INT(state),
		SQL_UUID(id_of(7)) };

	insert("INSERT INTO runs (id, tenant_id, thread_id, agent_id, user_id,"
	       " root_run_id, kind, class, status, created_at, updated_at)"
	       " SELECT $1, $2, $1, $6, $6, $1, 'ambient', $3, 'queued', $4, $4"
	       " WHERE $5 IS NOT NULL",
	    args, 6);
	insert("INSERT INTO jobs (kind, class, run_id, tenant_id, run_at,"
	       " enqueued_at, state) SELECT 'run', $3, $1, $2, $4, $4, $5"
	       " WHERE $6 IS NOT NULL",
	    args, 6);
	return run;
}

static SUSPENDS struct queue_place
place_of(struct uuid run)
{
	struct queue_place p;

	queue_refresh(queue, 0);
	queue_place(queue, run, &p);
	return p;
}

/* Tenant 1 has three, tenant 2 has two, and two slots are at work. */
static SUSPENDS void
places(void *arg)
{
	struct uuid first = job(1, 1, 0, NOW - 9), third, other, later, bulk;

	(void)arg;
	(void)job(1, 1, 0, NOW - 8);
	third = job(1, 1, 0, NOW - 7);
	other = job(2, 1, 0, NOW - 2);
	(void)job(2, 1, 0, NOW - 1);
	later = job(3, 0, 0, NOW + 5 * SECOND);
	bulk = job(1, 2, 0, NOW - 20);
	(void)job(1, 1, 1, NOW - 50);
	(void)job(1, 1, 1, NOW - 50);
	CU_ASSERT_EQUAL(place_of(first).position, 1);
	CU_ASSERT_EQUAL(place_of(first).est_wait_ms, -1);
	/* Two of its own, and two of the other one, come before it. */
	CU_ASSERT_EQUAL(place_of(third).position, 5);
	/* It came last, but it is the first of its tenant. */
	CU_ASSERT_EQUAL(place_of(other).position, 1);
	CU_ASSERT_EQUAL(place_of(bulk).position, 1);
	CU_ASSERT_EQUAL(place_of(later).est_wait_ms, 5000);
	CU_ASSERT_FALSE(place_of(id_of(5)).waits);
	/* 2 s a run of the class, 1 s one of this agent; two slots. */
	insert("INSERT INTO run_times (agent_id, class, est_ms, updated_at)"
	       " VALUES ($1, 1, 2000, 1), ($2, 1, 1000, 1)",
	    (struct sql_arg[]){ SQL_UUID(id_of(7)),
		SQL_UUID(((struct uuid){ { 0 } })) },
	    2);
	CU_ASSERT_EQUAL(place_of(third).est_wait_ms, (3 * 2000 + 2 * 1000) / 2);
	queue_stop(queue);
}

static SUSPENDS enum as_status
admit(int tenant, struct error *err)
{
	struct queue_place p;

	error_clear(err);
	return queue_admit(queue, id_of(tenant), 1, &p, err);
}

/* Three a tenant, five in all; what is at work does not count. */
static SUSPENDS void
caps(void *arg)
{
	struct error err = { 0 };

	(void)arg;
	(void)job(1, 0, 0, NOW);
	(void)job(1, 1, 1, NOW);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(admit(1, &err), AS_OK);
		(void)job(1, 1, 0, NOW);
	}
	CU_ASSERT_EQUAL(admit(1, &err), AS_BUSY);
	CU_ASSERT_EQUAL(err.code, ERR_RATE_LIMITED);
	CU_ASSERT_TRUE(err.retry_after_ms >= 1000);
	for (int i = 2; i < 4; i++) {
		CU_ASSERT_EQUAL(admit(i, &err), AS_OK);
		(void)job(i, 1, 0, NOW);
	}
	CU_ASSERT_EQUAL(admit(4, &err), AS_BUSY);
	error_clear(&err);
	queue_stop(queue);
}

/* What was let in, and went to work in the same moment, does not wait. */
static SUSPENDS void
guesses(void *arg)
{
	struct error err = { 0 };

	(void)arg;
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(admit(1, &err), AS_OK);
		(void)job(1, 1, 1, NOW);
	}
	error_clear(&err);
	queue_stop(queue);
}

/* Learnt times are written after a while, each for a fifth. */
static SUSPENDS void
lessons(void *arg)
{
	struct rows *r = NULL;

	(void)arg;
	for (int i = 0; i < 4; i++)
		queue_learn(queue, id_of(7), 1, 100 * (i + 1));
	for (int n = 0; n < 2;) {
		MUST(fiber_sleep(10) == FIBER_WOKEN);
		MUST(store_db_run(env.db,
			 "SELECT est_ms FROM run_times ORDER BY agent_id", NULL,
			 0, &r, NULL) == AS_OK);
		if ((n = rows_count(r)) == 2) {
			CU_ASSERT_EQUAL(rows_int(r, 0, 0), 250);
			CU_ASSERT_EQUAL(rows_int(r, 1, 0), 250);
		}
		rows_free(r);
	}
	queue_stop(queue);
}

static struct queue_watch watches[5];
static int told[5], n_told;

static void
on_place(struct queue_watch *w, const struct queue_place *p)
{
	int i = (int)(w - watches);

	CU_ASSERT_EQUAL(p->position, i == 4 ? 2 : 1);
	told[i]++;
	n_told++;
	/* The last one of a list is told first: it leaves with the next. */
	if (i == 3) {
		queue_unwatch(&watches[3]);
		queue_unwatch(&watches[2]);
	}
}

/* Many watch one run; whoever is told may leave, and take others along. */
static SUSPENDS void
watching(void *arg)
{
	struct uuid first = job(1, 1, 0, NOW - 9), second;

	(void)arg;
	memset(told, 0, sizeof(told));
	n_told = 0;
	second = job(1, 1, 0, NOW - 8);
	for (int i = 0; i < 5; i++) {
		watches[i] = (struct queue_watch){ .fn = on_place };
		/* The second one knows by now. */
		queue_watch(queue, &watches[i], i == 4 ? second : first,
		    i == 1 ? 1 : 100);
	}
	while (n_told < 3)
		MUST(fiber_sleep(10) == FIBER_WOKEN);
	for (int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(told[i], i == 1 || i == 2 ? 0 : 1);
		queue_unwatch(&watches[i]);
	}
	queue_stop(queue);
}

static void
run(SUSPENDS void (*fn)(void *arg), int64_t max_tenant, int64_t max)
{
	struct queue_config c = { .loop = env.loop,
		.store = env.store,
		.max_tenant = max_tenant,
		.max = max };

	if (!env_ready())
		return;
	MUST(store_clock_set(env.db, NOW) == AS_OK);
	insert("DELETE FROM jobs", NULL, 0);
	insert("DELETE FROM runs", NULL, 0);
	insert("DELETE FROM run_times", NULL, 0);
	queue = queue_new(&c);
	env_run(fn, NULL);
	loop_drain(env.loop);
	queue_free(queue);
}

static void
test_places(void)
{
	run(places, 0, 0);
}

static void
test_caps(void)
{
	run(caps, 3, 5);
}

static void
test_guesses(void)
{
	run(guesses, 3, 0);
}

static void
test_lessons(void)
{
	run(lessons, 0, 0);
}

static void
test_watching(void)
{
	run(watching, 0, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "where a run stands, and how long it waits", test_places },
		{ "no more than the caps allow", test_caps },
		{ "who is refused is refused by what is stored", test_guesses },
		{ "how long runs take", test_lessons },
		{ "many watch one run", test_watching },
		CU_TEST_INFO_NULL,
	};

	return env_main("queue", tests, env_close);
}
