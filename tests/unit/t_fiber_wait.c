/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>

#include "core/base/clock.h"
#include "core/loop/fiber.h"
#include "core/loop/impl.h"
#include "tests/tap.h"
#include "tests/unit/fiber_env.h"

/*
 * The three ends of a wait: a result, its time, a cancel; in any order, early,
 * late and twice.  Time is faked, except where a test is about real time.
 */

static void
wake_fiber(void *arg)
{
	struct waiter w;
	struct fiber_wait mine;

	(void)arg;
	mine = fiber_prepare();
	fiber_wake(mine); /* early: kept */
	fiber_wake(mine); /* and once only */
	CU_ASSERT_EQUAL(fiber_suspend(0), FIBER_WOKEN);
	fiber_wake(mine); /* spent */
	(void)fiber_prepare();
	CU_ASSERT_EQUAL(fiber_suspend(START_MS + 1), FIBER_TIMEOUT);

	waiter_start(&w, 1, 0);
	fiber_wake(w.wait);
	CU_ASSERT_FALSE(w.ended); /* a wake is not a switch */
	turns(1);
	CU_ASSERT_TRUE(w.ended);
	CU_ASSERT_EQUAL(w.exit[0], FIBER_WOKEN);
	fiber_wake((struct fiber_wait){ 0 });
	loop_stop(loop);
}

static void
advance_run(void *arg)
{
	advance(*(int *)arg);
}

static void
test_wake(void)
{
	int ms = 1;

	clock_fake((int64_t)START_MS * 1000, 1);
	loop = loop_new();
	fiber_spawn(loop, "test", wake_fiber, NULL);
	fiber_spawn(loop, "advance", advance_run, &ms);
	loop_run(loop);
	loop_free(loop);
	clock_real();
}

static void
late_fiber(void *arg)
{
	struct fiber_ref gone;
	struct fiber_wait old;
	struct waiter w;

	(void)arg;
	waiter_start(&w, 2, START_MS + 10);
	old = w.wait;
	w.at_ms = 0;
	advance(10);
	turns(2);
	CU_ASSERT_EQUAL(w.n_exits, 1);
	CU_ASSERT_EQUAL(w.exit[0], FIBER_TIMEOUT);
	fiber_wake(old); /* of the suspension that timed out */
	turns(2);
	CU_ASSERT_EQUAL(w.n_exits, 1);
	fiber_wake(w.wait);
	old = w.wait;
	turns(1);
	CU_ASSERT_TRUE(w.ended);
	CU_ASSERT_FALSE(fiber_is_alive(w.ref));

	gone = w.ref; /* the same stack, another fiber */
	waiter_start(&w, 1, 0);
	CU_ASSERT_PTR_EQUAL(w.ref.f, gone.f);
	fiber_wake(old);
	fiber_cancel(gone);
	CU_ASSERT_EQUAL(fiber_join(gone, 0), FIBER_WOKEN);
	turns(2);
	CU_ASSERT_FALSE(w.ended);
	fiber_cancel(w.ref);
	turns(1);
	CU_ASSERT_EQUAL(w.exit[0], FIBER_CANCELED);
	loop_stop(loop);
}

static void
test_late_wake(void)
{
	run_faked(late_fiber);
}

static void
cancel_fiber(void *arg)
{
	struct waiter w;

	(void)arg;
	waiter_start(&w, 2, 0);
	fiber_wake(w.wait); /* the result is there ... */
	fiber_cancel(w.ref); /* ... when cancel comes */
	turns(2);
	CU_ASSERT_EQUAL(w.exit[0], FIBER_WOKEN);
	CU_ASSERT_EQUAL(w.exit[1], FIBER_CANCELED);

	waiter_start(&w, 2, 0);
	fiber_cancel(w.ref);
	fiber_wake(w.wait); /* the other way round */
	turns(2);
	CU_ASSERT_EQUAL(w.exit[0], FIBER_WOKEN);
	CU_ASSERT_EQUAL(w.exit[1], FIBER_CANCELED);

	waiter_start(&w, 1, START_MS + 5);
	advance(5);
	fiber_cancel(w.ref);
	turns(1);
	CU_ASSERT_EQUAL(w.exit[0], FIBER_CANCELED);
	loop_stop(loop);
}

static void
test_cancel_same_turn(void)
{
	run_faked(cancel_fiber);
}

static void
sticky_run(void *arg)
{
	enum fiber_exit *x = arg;
	struct fiber_wait w = fiber_prepare();

	fiber_cancel(fiber_self_ref());
	CU_ASSERT_TRUE(fiber_is_canceled());
	fiber_wake(w);
	x[0] = fiber_suspend(0); /* what is there is used */
	(void)fiber_prepare();
	x[1] = fiber_suspend(0);
	x[2] = fiber_sleep(1000);
	x[3] = fiber_yield();
}

static void
sticky_fiber(void *arg)
{
	enum fiber_exit x[4] = { 0 };
	struct error err = { 0 };

	(void)arg;
	CU_ASSERT_EQUAL(fiber_join(fiber_spawn(loop, "sticky", sticky_run, x),
			    0),
	    FIBER_WOKEN);
	CU_ASSERT_EQUAL(x[0], FIBER_WOKEN);
	for (int i = 1; i < 4; i++)
		CU_ASSERT_EQUAL(x[i], FIBER_CANCELED);
	CU_ASSERT_FALSE(fiber_is_canceled());
	CU_ASSERT_EQUAL(fiber_exit_status(FIBER_WOKEN, &err), AS_OK);
	CU_ASSERT_EQUAL(fiber_exit_status(FIBER_TIMEOUT, &err), AS_TIMEOUT);
	CU_ASSERT_EQUAL(fiber_exit_status(FIBER_CANCELED, &err), AS_CANCELED);
	error_clear(&err);
	loop_stop(loop);
}

static void
test_cancel_sticky(void)
{
	run_faked(sticky_fiber);
}

static void
sleep_run(void *arg)
{
	*(enum fiber_exit *)arg = fiber_sleep(155);
}

static void
sleep_fiber(void *arg)
{
	enum fiber_exit x = FIBER_CANCELED;
	struct fiber_ref r = fiber_spawn(loop, "sleeper", sleep_run, &x);

	(void)arg;
	turns(2);
	advance(154);
	turns(2);
	CU_ASSERT_TRUE(fiber_is_alive(r));
	advance(1);
	turns(2);
	CU_ASSERT_FALSE(fiber_is_alive(r));
	CU_ASSERT_EQUAL(x, FIBER_WOKEN);
	loop_stop(loop);
}

static void
test_sleep_faked(void)
{
	run_faked(sleep_fiber);
}

static atomic_bool slept;

/* Nobody turns the loop but the loop. */
static void *
advance_thread(void *arg)
{
	(void)arg;
	while (!atomic_load(&slept)) {
		advance(3600 * 1000);
		sched_yield();
	}
	return NULL;
}

static void
idle_sleep_fiber(void *arg)
{
	(void)arg;
	CU_ASSERT_EQUAL(fiber_sleep(3600 * 1000), FIBER_WOKEN);
	atomic_store(&slept, true);
	loop_stop(loop);
}

static void
test_sleep_idle(void)
{
	pthread_t t;

	clock_fake((int64_t)START_MS * 1000, 1);
	loop = loop_new();
	fiber_spawn(loop, "test", idle_sleep_fiber, NULL);
	CU_ASSERT_EQUAL(pthread_create(&t, NULL, advance_thread, NULL), 0);
	loop_run(loop);
	pthread_join(t, NULL);
	loop_free(loop);
	clock_real();
}

/* It once took nearly double; on a busy machine the best of some counts. */
static void
real_sleep_fiber(void *arg)
{
	int64_t start, took, best = INT64_MAX;

	(void)arg;
	turns(3);
	for (int i = 0; i < 20 && best >= 290000; i++) {
		start = clock_mono_us();
		CU_ASSERT_EQUAL(fiber_sleep(155), FIBER_WOKEN);
		took = clock_mono_us() - start;
		CU_ASSERT_TRUE(took >= 155000);
		best = took < best ? took : best;
	}
	CU_ASSERT_TRUE(best < 290000);
	loop_stop(loop);
}

static void
test_sleep_real(void)
{
	run_here(real_sleep_fiber, NULL);
}

static void
deadline_run(void *arg)
{
	uint64_t now = loop_now_ms(loop);
	uint64_t old;

	(void)arg;
	CU_ASSERT_EQUAL(fiber_time_left(), UINT64_MAX);
	CU_ASSERT_EQUAL(fiber_deadline_set(now + 100), 0);
	CU_ASSERT_EQUAL(fiber_time_left(), 100);
	old = fiber_deadline_set(now + 20); /* a call within the call */
	CU_ASSERT_EQUAL(fiber_sleep(50), FIBER_TIMEOUT);
	CU_ASSERT_EQUAL(loop_now_ms(loop), now + 20);
	CU_ASSERT_EQUAL(fiber_time_left(), 0);
	CU_ASSERT_EQUAL(fiber_yield(), FIBER_TIMEOUT);
	CU_ASSERT_EQUAL(fiber_deadline_set(old), now + 20);
	CU_ASSERT_EQUAL(fiber_deadline(), now + 100);
	CU_ASSERT_EQUAL(fiber_sleep(30), FIBER_WOKEN);
	CU_ASSERT_EQUAL(loop_now_ms(loop), now + 50);
	(void)fiber_prepare();
	CU_ASSERT_EQUAL(fiber_suspend(now + 500), FIBER_TIMEOUT);
	CU_ASSERT_EQUAL(loop_now_ms(loop), now + 100);
	(void)fiber_prepare(); /* too late from the start */
	CU_ASSERT_EQUAL(fiber_suspend(0), FIBER_TIMEOUT);
}

static void
deadline_fiber(void *arg)
{
	struct fiber_ref r = fiber_spawn(loop, "deadline", deadline_run, NULL);
	int ms = 0;

	(void)arg;
	for (; fiber_is_alive(r) && ms < 200; ms++) {
		turns(2);
		advance(1);
	}
	CU_ASSERT_TRUE(ms >= 100 && ms < 110);
	/* A pooled fiber starts without one. */
	r = fiber_spawn(loop, "sleep", sleep_run, &(enum fiber_exit){ 0 });
	turns(2);
	advance(155);
	turns(2);
	CU_ASSERT_FALSE(fiber_is_alive(r));
	loop_stop(loop);
}

static void
test_deadline(void)
{
	run_faked(deadline_fiber);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "wake", test_wake },
		{ "late wake", test_late_wake },
		{ "cancel in the same turn", test_cancel_same_turn },
		{ "cancel is sticky", test_cancel_sticky },
		{ "sleep, faked", test_sleep_faked },
		{ "sleep on an idle loop, faked", test_sleep_idle },
		{ "sleep 155 takes 155", test_sleep_real },
		{ "deadlines nest", test_deadline },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "fiber wait", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
