/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/loop/impl.h"
#include "tests/tap.h"
#include "tests/unit/fiber_env.h"

/*
 * What a fiber has of its own, who waits for its end, and the turns of the loop
 * that it runs in.
 */

struct joiner {
	struct fiber_ref target;
	uint64_t at_ms;
	enum fiber_exit exit;
	bool ended;
};

static void
joiner_run(void *arg)
{
	struct joiner *j = arg;

	j->exit = fiber_join(j->target, j->at_ms);
	j->ended = true;
}

static void
join_fiber(void *arg)
{
	struct waiter w;
	struct joiner j[3];

	(void)arg;
	waiter_start(&w, 1, 0);
	for (int i = 0; i < 3; i++) {
		j[i] = (struct joiner){ w.ref, 0, FIBER_CANCELED, false };
		if (i == 1)
			j[i].at_ms = START_MS + 10;
		fiber_spawn(loop, "joiner", joiner_run, &j[i]);
	}
	turns(2);
	advance(10);
	turns(2);
	CU_ASSERT_TRUE(j[1].ended);
	CU_ASSERT_EQUAL(j[1].exit, FIBER_TIMEOUT);
	CU_ASSERT_FALSE(j[0].ended || j[2].ended);
	fiber_wake(w.wait);
	turns(2);
	CU_ASSERT_TRUE(j[0].ended && j[2].ended);
	CU_ASSERT_EQUAL(j[0].exit, FIBER_WOKEN);
	CU_ASSERT_EQUAL(j[2].exit, FIBER_WOKEN);
	CU_ASSERT_EQUAL(fiber_join(w.ref, 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(fiber_join((struct fiber_ref){ 0 }, 0), FIBER_WOKEN);
	loop_stop(loop);
}

static void
test_join(void)
{
	run_faked(join_fiber);
}

/* A child that needs its time, and its own child, after cancel. */
static void
stubborn_run(void *arg)
{
	struct waiter *w = arg;
	struct fiber_ref r = fiber_spawn(loop, "grandchild", waiter_run, w);

	(void)fiber_prepare();
	CU_ASSERT_EQUAL(fiber_suspend(0), FIBER_CANCELED);
	fiber_reap(r);
	CU_ASSERT_TRUE(w->ended);
	CU_ASSERT_EQUAL(w->exit[0], FIBER_CANCELED);
}

static void
reaper_run(void *arg)
{
	struct waiter w = { .n_waits = 1 };
	struct fiber_ref r = fiber_spawn(loop, "child", stubborn_run, &w);

	fiber_deadline_set(START_MS + 5);
	(void)fiber_prepare();
	(void)fiber_suspend(0);
	fiber_reap(r); /* cancelled, or late, or both */
	CU_ASSERT_FALSE(fiber_is_alive(r));
	CU_ASSERT_TRUE(w.ended);
	fiber_reap(r);
	fiber_reap((struct fiber_ref){ 0 });
	++*(int *)arg;
}

static void
reap_fiber(void *arg)
{
	struct fiber_ref r[2];
	int n = 0;

	(void)arg;
	for (int i = 0; i < 2; i++)
		r[i] = fiber_spawn(loop, "reaper", reaper_run, &n);
	turns(3);
	fiber_cancel(r[0]);
	turns(1);
	fiber_cancel(r[0]); /* while it reaps */
	advance(5); /* the other one runs out of time */
	CU_ASSERT_EQUAL(fiber_join(r[0], 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(fiber_join(r[1], 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(n, 2);
	loop_stop(loop);
}

static void
test_reap(void)
{
	run_faked(reap_fiber);
}

static void
errno_run(void *arg)
{
	for (int i = 0; i < 20; i++) {
		errno = *(int *)arg;
		(void)fiber_yield();
		CU_ASSERT_EQUAL(errno, *(int *)arg);
	}
}

static void
errno_fiber(void *arg)
{
	static int values[] = { EIO, EPIPE, ENOENT };

	(void)arg;
	for (size_t i = 0; i < N_ITEMS(values); i++)
		fiber_spawn(loop, "errno", errno_run, &values[i]);
	turns(40);
	loop_stop(loop);
}

static void
test_errno(void)
{
	run_here(errno_fiber, NULL);
}

static void *eh_words[2];

static void *
eh_get(void)
{
	return eh_words;
}

static void
eh_run(void *arg)
{
	CU_ASSERT_PTR_NULL(eh_words[0]);
	eh_words[0] = arg;
	eh_words[1] = &eh_words;
	for (int i = 0; i < 10; i++) {
		(void)fiber_yield();
		CU_ASSERT_PTR_EQUAL(eh_words[0], arg);
		CU_ASSERT_PTR_EQUAL(eh_words[1], &eh_words);
	}
	eh_words[0] = eh_words[1] = NULL;
}

static void
eh_fiber(void *arg)
{
	static int marks[3];

	(void)arg;
	fiber_eh_globals(eh_get);
	for (size_t i = 0; i < N_ITEMS(marks); i++)
		fiber_spawn(loop, "catch", eh_run, &marks[i]);
	turns(20);
	fiber_eh_globals(NULL);
	loop_stop(loop);
}

static void
test_eh_globals(void)
{
	run_here(eh_fiber, NULL);
}

static void
name_run(void *arg)
{
	CU_ASSERT_STRING_EQUAL(fiber_name(),
	    "a name that is much too long for the st"); /* cut */
	CU_ASSERT_STRING_EQUAL(must_where(), fiber_name());
	CU_ASSERT_PTR_NULL(fiber_correlation());
	fiber_correlation_set(arg);
	turns(2);
	CU_ASSERT_STRING_EQUAL(log_correlation(), arg);
}

static void
name_fiber(void *arg)
{
	char name[] = "a name that is much too long for the struct";
	char id[] = "c-1";
	struct fiber_ref r[2];

	(void)arg;
	for (int i = 0; i < 2; i++)
		r[i] = fiber_spawn(loop, name, name_run, id);
	memset(name, 'x', sizeof(name) - 1); /* it was copied */
	(void)fiber_join(r[0], 0);
	(void)fiber_join(r[1], 0);
	CU_ASSERT_STRING_EQUAL(fiber_name(), "test");
	CU_ASSERT_PTR_NULL(fiber_correlation());
	loop_stop(loop);
}

static void
test_name(void)
{
	run_here(name_fiber, NULL);
	CU_ASSERT_PTR_NULL(fiber_self());
	CU_ASSERT_STRING_EQUAL(fiber_name(), "loop");
}

static void
greedy_run(void *arg)
{
	uint64_t *last = arg;

	while (fiber_yield() == FIBER_WOKEN) {
		/* Once a turn, however eager. */
		CU_ASSERT_EQUAL(loop_ticks(loop), *last + 1);
		*last = loop_ticks(loop);
	}
}

static void
snapshot_fiber(void *arg)
{
	uint64_t last = loop_ticks(loop);
	struct fiber_ref r = fiber_spawn(loop, "greedy", greedy_run, &last);
	struct waiter w;

	(void)arg;
	last++; /* it starts in the next turn */
	waiter_start(&w, 1, 0);
	CU_ASSERT_EQUAL(fiber_count(loop), 3);
	fiber_wake(w.wait);
	turns(5);
	CU_ASSERT_TRUE(w.ended);
	fiber_cancel(r);
	CU_ASSERT_EQUAL(fiber_join(r, 0), FIBER_WOKEN);
	CU_ASSERT_EQUAL(fiber_count(loop), 1);
	CU_ASSERT_EQUAL(fiber_count_peak(loop), 3);
	loop_stop(loop);
}

static void
test_snapshot(void)
{
	run_here(snapshot_fiber, NULL);
}

static void
test_drain(void)
{
	int n = 0;

	loop = loop_new();
	for (int i = 0; i < 100; i++)
		fiber_spawn(loop, "parked", parked_run, &n);
	loop_drain(loop); /* they have never run */
	CU_ASSERT_EQUAL(n, 100);
	for (int i = 0; i < 100; i++)
		fiber_spawn(loop, "parked", parked_run, &n);
	CU_ASSERT_EQUAL(fiber_count(loop), 100);
	loop_free(loop);
	CU_ASSERT_EQUAL(n, 200);
}

static void
spin_run(void *arg)
{
	struct timespec start, now;

	(void)arg;
	fiber_correlation_set("c-spin");
	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - start.tv_sec) * 1000 +
		   (now.tv_nsec - start.tv_nsec) / 1000000 <
	       70);
	loop_stop(loop);
	(void)fiber_yield();
}

static void
test_stall(void)
{
	char text[1024];
	ssize_t n;
	int fd[2];

	CU_ASSERT_EQUAL(pipe(fd), 0);
	log_to_fd(fd[1]);
	loop = loop_new();
	fiber_spawn(loop, "the culprit", spin_run, NULL);
	loop_run(loop);
	log_to_fd(STDERR_FILENO);
	CU_ASSERT_TRUE(loop_lag(loop) > 0.05 && loop_lag(loop) < 10);
	loop_free(loop);
	close(fd[1]);
	n = read(fd[0], text, sizeof(text) - 1);
	close(fd[0]);
	CU_ASSERT_FATAL(n > 0);
	text[n] = '\0';
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "the culprit"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "c-spin"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "join", test_join },
		{ "reap", test_reap },
		{ "errno is kept", test_errno },
		{ "C++ exception state is kept", test_eh_globals },
		{ "name and correlation", test_name },
		{ "each once a turn", test_snapshot },
		{ "drain", test_drain },
		{ "a stall is logged", test_stall },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "fiber", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
