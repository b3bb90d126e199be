/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/pool.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/* The blocking pool: both owners, in every order in which they can leave. */

struct work {
	struct pool_job job;
	sem_t *gate; /* fn waits for it */
	int in;
	int out;
};

static struct loop *loop;
static struct pool *pool;
static atomic_int n_ran;
static atomic_int n_freed;

static void
work_run(struct pool_job *job)
{
	struct work *w = container_of(job, struct work, job);

	if (w->gate != NULL)
		while (sem_wait(w->gate) != 0)
			continue;
	w->out = 2 * w->in;
	atomic_fetch_add(&n_ran, 1);
}

static void
work_free(struct pool_job *job)
{
	atomic_fetch_add(&n_freed, 1);
	free(container_of(job, struct work, job));
}

static struct work *
work_new(int in, sem_t *gate)
{
	struct work *w = xcalloc(1, sizeof(*w));

	w->job.fn = work_run;
	w->job.free = work_free;
	w->in = in;
	w->gate = gate;
	return w;
}

static void
run_here(unsigned n_threads, unsigned max_queue, fiber_fn fn)
{
	n_ran = n_freed = 0;
	loop = loop_new();
	pool = pool_new(n_threads, max_queue);
	fiber_spawn(loop, "test", fn, NULL);
	loop_run(loop);
	pool_free(pool);
	loop_free(loop);
}

static void
result_fiber(void *arg)
{
	struct work *w;

	(void)arg;
	for (int i = 1; i <= 100; i++) {
		w = work_new(i, NULL);
		CU_ASSERT_EQUAL(pool_run(pool, &w->job, NULL), AS_OK);
		CU_ASSERT_EQUAL(w->out, 2 * i);
		pool_job_put(&w->job);
	}
	loop_stop(loop);
}

static void
test_result(void)
{
	run_here(2, 8, result_fiber);
	CU_ASSERT_EQUAL(n_ran, 100);
	CU_ASSERT_EQUAL(n_freed, 100);
}

struct client {
	sem_t *gate;
	uint64_t deadline;
	enum as_status st;
	struct error err;
};

static void
client_run(void *arg)
{
	struct client *c = arg;
	struct work *w = work_new(1, c->gate);

	if (c->deadline != 0)
		fiber_deadline_set(c->deadline);
	c->st = pool_run(pool, &w->job, &c->err);
	if (c->st == AS_OK)
		pool_job_put(&w->job);
}

static void
leave_fiber(void *arg)
{
	struct client a = { 0 }, b = { 0 }, c = { 0 };
	struct fiber_ref r[3];
	sem_t gate;

	(void)arg;
	sem_init(&gate, 0, 0);
	a.gate = b.gate = c.gate = &gate;
	b.deadline = loop_now_ms(loop) + 1;
	r[0] = fiber_spawn(loop, "cancelled", client_run, &a);
	r[1] = fiber_spawn(loop, "out of time", client_run, &b);
	r[2] = fiber_spawn(loop, "patient", client_run, &c);
	CU_ASSERT_EQUAL(fiber_join(r[1], 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(b.st, AS_TIMEOUT);
	fiber_cancel(r[0]);
	CU_ASSERT_EQUAL(fiber_join(r[0], 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(a.st, AS_CANCELED);
	CU_ASSERT_EQUAL(n_freed, 0); /* the jobs are still the pool's */
	for (int i = 0; i < 3; i++)
		sem_post(&gate);
	CU_ASSERT_EQUAL(fiber_join(r[2], 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(c.st, AS_OK);
	while (atomic_load(&n_freed) < 3)
		(void)fiber_yield();
	sem_destroy(&gate);
	loop_stop(loop);
}

static void
test_waiter_leaves(void)
{
	run_here(1, 8, leave_fiber);
	CU_ASSERT_EQUAL(n_ran, 3);
	CU_ASSERT_EQUAL(n_freed, 3);
}

static void
full_fiber(void *arg)
{
	struct client held = { 0 }, c[4] = { { 0 } };
	struct fiber_ref r[5];
	sem_t gate, free_gate;
	int n_refused = 0;

	(void)arg;
	sem_init(&gate, 0, 0);
	sem_init(&free_gate, 0, 4);
	held.gate = &gate;
	r[4] = fiber_spawn(loop, "held", client_run, &held);
	(void)fiber_yield();
	for (int i = 0; i < 4; i++) {
		c[i].gate = &free_gate;
		r[i] = fiber_spawn(loop, "client", client_run, &c[i]);
	}
	(void)fiber_yield();
	sem_post(&gate);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(fiber_join(r[i], 0), FIBER_WOKEN);
	/* Two wait; a third only if the thread had not yet taken the first. */
	for (int i = 0; i < 4; i++)
		if (c[i].st != AS_OK) {
			CU_ASSERT_EQUAL(c[i].st, AS_UNAVAILABLE);
			CU_ASSERT_EQUAL(c[i].err.code, ERR_UNAVAILABLE);
			error_clear(&c[i].err);
			n_refused++;
		}
	CU_ASSERT_TRUE(n_refused == 2 || n_refused == 3);
	CU_ASSERT_EQUAL(held.st, AS_OK);
	sem_destroy(&gate);
	sem_destroy(&free_gate);
	loop_stop(loop);
}

static void
test_full(void)
{
	run_here(1, 2, full_fiber);
	CU_ASSERT_EQUAL(n_freed, 5); /* also what was refused */
}

static void
canceled_run(void *arg)
{
	struct client *c = arg;

	fiber_cancel(fiber_self_ref());
	client_run(c);
}

static void
canceled_fiber(void *arg)
{
	struct client c = { 0 };

	(void)arg;
	(void)fiber_join(fiber_spawn(loop, "cancelled", canceled_run, &c), 0);
	CU_ASSERT_EQUAL(c.st, AS_CANCELED);
	CU_ASSERT_EQUAL(n_freed, 1);
	loop_stop(loop);
}

static void
test_canceled_before(void)
{
	run_here(1, 2, canceled_fiber);
	CU_ASSERT_EQUAL(n_ran, 0);
}

static void
client_run_static(void *arg)
{
	static struct client c;

	(void)arg;
	c.st = AS_OK;
	client_run(&c);
	CU_ASSERT_TRUE(c.st == AS_OK || c.st == AS_CANCELED);
}

static void
shutdown_fiber(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++)
		fiber_spawn(loop, "client", client_run_static, NULL);
	(void)fiber_yield();
	loop_stop(loop);
}

/* Waiters parked, jobs waiting and running, letters in the mailbox. */
static void
test_shutdown(void)
{
	n_ran = n_freed = 0;
	loop = loop_new();
	pool = pool_new(2, 64);
	fiber_spawn(loop, "test", shutdown_fiber, NULL);
	loop_run(loop);
	loop_drain(loop);
	CU_ASSERT_EQUAL(fiber_count(loop), 0);
	pool_free(pool);
	loop_free(loop);
	CU_ASSERT_EQUAL(n_ran, 20);
	CU_ASSERT_EQUAL(n_freed, 20);
}

/* A loop may go before the pool that it shares with others. */
static void
test_settle(void)
{
	n_ran = n_freed = 0;
	loop = loop_new();
	pool = pool_new(2, 64);
	fiber_spawn(loop, "test", shutdown_fiber, NULL);
	loop_run(loop);
	loop_drain(loop);
	pool_settle(pool, loop);
	CU_ASSERT_EQUAL(n_ran, 20);
	loop_free(loop);
	CU_ASSERT_EQUAL(n_freed, 20);
	pool_free(pool);
}

__attribute__((noinline)) static void
deep_run(struct pool_job *job)
{
	volatile char room[2000];
	struct work *w = container_of(job, struct work, job);

	room[0] = room[1999] = 1;
	if (w->in-- > 0)
		deep_run(job);
	w->out += room[0] + room[1999];
}

static void
deep_fiber(void *arg)
{
	struct work *w = work_new(1500, NULL); /* 3 MB */

	(void)arg;
	w->job.fn = deep_run;
	CU_ASSERT_EQUAL(pool_run(pool, &w->job, NULL), AS_OK);
	CU_ASSERT_EQUAL(w->out, 3002);
	pool_job_put(&w->job);
	loop_stop(loop);
}

static void
test_deep(void)
{
	run_here(1, 1, deep_fiber);
}

/* ---- Two loops, one pool ------------------------------------------- */

static void
busy_fiber(void *arg)
{
	struct work *w;

	(void)arg;
	for (int i = 0; i < 200; i++) {
		w = work_new(i, NULL);
		if (pool_run(pool, &w->job, NULL) != AS_OK)
			continue;
		CU_ASSERT_EQUAL(w->out, 2 * i);
		pool_job_put(&w->job);
	}
	if (fiber_count(loop_self()) == 1)
		loop_stop(loop_self());
}

static void *
loop_thread(void *arg)
{
	struct loop *l = arg;

	for (int i = 0; i < 4; i++)
		fiber_spawn(l, "busy", busy_fiber, NULL);
	loop_run(l);
	return NULL;
}

static void
test_two_loops(void)
{
	struct loop *l[2];
	pthread_t t[2];

	n_ran = n_freed = 0;
	pool = pool_new(2, 16);
	for (int i = 0; i < 2; i++) {
		l[i] = loop_new();
		pthread_create(&t[i], NULL, loop_thread, l[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	pool_free(pool);
	for (int i = 0; i < 2; i++)
		loop_free(l[i]);
	CU_ASSERT_EQUAL(n_ran, 1600);
	CU_ASSERT_EQUAL(n_freed, 1600);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "result", test_result },
		{ "the waiter leaves first", test_waiter_leaves },
		{ "full", test_full },
		{ "cancelled before", test_canceled_before },
		{ "shutdown", test_shutdown },
		{ "settle", test_settle },
		{ "deep", test_deep },
		{ "two loops", test_two_loops },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "pool", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
