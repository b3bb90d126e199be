/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/loop/impl.h"
#include "tests/tap.h"

/*
 * Fibers.  Each test runs a fiber on a loop of its own; time is faked, except
 * where a test is about real time.  What ends a process is tried in a child.
 */

#define START_MS 1000000

static struct loop *loop;

static void
advance(int64_t ms)
{
	clock_advance(ms * 1000);
}

static void
run_here(fiber_fn fn, void *arg)
{
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL(fiber_spawn(loop, "test", fn, arg).f);
	loop_run(loop);
	loop_free(loop);
}

static void
run_faked(fiber_fn fn)
{
	clock_fake((int64_t)START_MS * 1000, 1);
	run_here(fn, NULL);
	clock_real();
}

static void
turns(int n)
{
	while (n-- > 0)
		(void)fiber_yield();
}

/* A fiber that waits for its ticket, over and over, and keeps the exits. */
struct waiter {
	struct fiber_ref ref;
	struct fiber_wait wait;
	uint64_t at_ms;
	enum fiber_exit exit[4];
	int n_exits;
	int n_waits;
	bool ended;
};

static void
waiter_run(void *arg)
{
	struct waiter *w = arg;

	while (w->n_exits < w->n_waits) {
		w->wait = fiber_prepare();
		w->exit[w->n_exits] = fiber_suspend(w->at_ms);
		w->n_exits++;
	}
	w->ended = true;
}

static void
waiter_start(struct waiter *w, int n_waits, uint64_t at_ms)
{
	*w = (struct waiter){ .n_waits = n_waits, .at_ms = at_ms };
	w->ref = fiber_spawn(loop, "waiter", waiter_run, w);
	turns(2);
}

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

static void
real_sleep_fiber(void *arg)
{
	int64_t start;

	(void)arg;
	turns(3);
	start = clock_mono_us();
	CU_ASSERT_EQUAL(fiber_sleep(155), FIBER_WOKEN);
	start = clock_mono_us() - start;
	CU_ASSERT_TRUE(start >= 155000);
	CU_ASSERT_TRUE(start < 290000); /* it once took nearly double */
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
parked_run(void *arg)
{
	(void)fiber_prepare();
	CU_ASSERT_EQUAL(fiber_suspend(0), FIBER_CANCELED);
	CU_ASSERT_PTR_NULL(fiber_spawn(loop, "late", parked_run, arg).f);
	++*(int *)arg;
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

/* ---- What ends a process ------------------------------------------- */

/* Runs fn in a child; its standard error in text, its wait status returned. */
static int
in_child(void (*fn)(void), char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd[2], status;
	pid_t pid;

	fflush(NULL);
	CU_ASSERT_FATAL(pipe(fd) == 0);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		fn();
		_exit(0);
	}
	close(fd[1]);
	while (
	    len < size - 1 && (n = read(fd[0], text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd[0]);
	CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
	return status;
}

static int
overflow_deep(int n)
{
	volatile char frame[1024];

	frame[0] = (char)n;
	if (n == 0)
		return 0;
	return overflow_deep(n - 1) + frame[0];
}

static void
overflow_run(void *arg)
{
	(void)arg;
	CU_ASSERT_NOT_EQUAL(overflow_deep(1000000), 1);
}

static void
overflow_child(void)
{
	struct loop *l = loop_new();

	/* A neighbour, which a jump over the guard would hit. */
	fiber_spawn(l, "before", parked_run, &(int){ 0 });
	fiber_spawn(l, "GET /agents/7", overflow_run, NULL);
	loop_run(l);
}

static unsigned
n_guard_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, " ---p ") != NULL;
	fclose(f);
	return n;
}

static void
overflow_child_mprotect(void)
{
	unsigned before = n_guard_maps();
	struct loop *l;

	setenv("FIBER_MPROTECT", "1", 1);
	l = loop_new();
	fiber_spawn(l, "before", parked_run, &(int){ 0 });
	if (n_guard_maps() < before + 60)
		_exit(0); /* not what was asked for */
	overflow_child();
}

/* These three are the first tests: a process chooses its guards once. */
static void
check_overflow(void (*child)(void))
{
	static char text[16384];
	int status = in_child(child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(text, "fatal: fiber 'GET /agents/7' overflowed its "));
}

static void
test_overflow(void)
{
	check_overflow(overflow_child);
}

static void
test_overflow_mprotect(void)
{
	check_overflow(overflow_child_mprotect);
}

static void
cap_child(void)
{
	struct fiber_ref r[4];
	int n = 0;

	loop = loop_new();
	fiber_limit(3);
	for (int i = 0; i < 4; i++)
		r[i] = fiber_spawn(loop, "one", parked_run, &n);
	if (r[2].f == NULL || r[3].f != NULL)
		_exit(1);
	loop_drain(loop);
	if (fiber_spawn(loop, "again", parked_run, &n).f == NULL)
		_exit(2);
	loop_free(loop);
	_exit(n == 4 ? 0 : 3);
}

static void
test_cap(void)
{
	char text[4096];
	int status = in_child(cap_child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *
foreign_thread(void *arg)
{
	fiber_cancel(*(struct fiber_ref *)arg);
	return NULL;
}

static void
foreign_run(void *arg)
{
	struct fiber_ref self = fiber_self_ref();
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, foreign_thread, &self);
	pthread_join(t, NULL);
	_exit(0);
}

static void
foreign_child(void)
{
	struct loop *l = loop_new();

	signal(SIGABRT, SIG_DFL);
	fiber_spawn(l, "foreign", foreign_run, NULL);
	loop_run(l);
}

static void
spinning_run(void *arg)
{
	bool *done = arg;

	fiber_cancel(fiber_self_ref());
	while (!*done) {
		(void)fiber_prepare();
		(void)fiber_suspend(0);
	}
}

static void
spinning_child(void)
{
	bool done = false;
	struct loop *l = loop_new();

	signal(SIGABRT, SIG_DFL);
	fiber_spawn(l, "the top", spinning_run, &done);
	loop_run(l);
}

static void
test_spinning(void)
{
	char text[4096];
	int status = in_child(spinning_child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "the top"));
}

static void
test_foreign_thread(void)
{
	char text[4096];
	int status = in_child(foreign_child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "must hold"));
}

/* ---- Memory -------------------------------------------------------- */

#if !defined(FIBER_ASAN) && !defined(FIBER_TSAN)
#define MANY 10000

static long
resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	long kib = -1;

	if (f == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Rss: %ld kB", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

static void
many_run(void *arg)
{
	volatile char frame[512]; /* a handler's locals */

	frame[0] = frame[511] = 1;
	(void)fiber_prepare();
	(void)fiber_suspend(loop_now_ms(loop) + 30000);
	*(int *)arg += frame[0] + frame[511];
}

static void
many_fiber(void *arg)
{
	long before = resident(), after;

	for (int i = 0; i < MANY; i++)
		CU_ASSERT_FATAL(
		    fiber_spawn(loop, "many", many_run, arg).f != NULL);
	turns(3);
	CU_ASSERT_EQUAL(fiber_count(loop), MANY + 1);
	after = resident();
	tap_note("%ld bytes a fiber", (after - before) / MANY);
	CU_ASSERT_TRUE(before > 0 && (after - before) / MANY <= 8192);
	loop_stop(loop);
}

static void
test_memory(void)
{
	int n = 0;

	if (RUNNING_ON_VALGRIND) {
		tap_skip("valgrind has its own memory");
		return;
	}
	run_here(many_fiber, &n);
	CU_ASSERT_EQUAL(n, 2 * MANY);
}

static size_t
touched(char *stack)
{
	unsigned char pages[STACK_SIZE / 4096];
	size_t n = 0;

	CU_ASSERT_FATAL(mincore(stack, STACK_SIZE, pages) == 0);
	for (size_t i = 0; i < sizeof(pages); i++)
		n += pages[i] & 1;
	return n * 4096;
}

static void
deep_run(void *arg)
{
	*(int *)arg = overflow_deep(120);
}

static void
trim_fiber(void *arg)
{
	int n = -1;
	struct fiber_ref r = fiber_spawn(loop, "deep", deep_run, &n);
	char *stack = r.f->stack;

	(void)arg;
	turns(2);
	CU_ASSERT_FALSE(fiber_is_alive(r));
	CU_ASSERT_TRUE(touched(stack) > 100000);
	advance(1000);
	turns(2);
	CU_ASSERT_TRUE(touched(stack) <= (size_t)32 * 1024);
	loop_stop(loop);
}

static void
test_trim(void)
{
	run_faked(trim_fiber);
}

/* Far down, and then a long wait with something in the frame above. */
static void
long_wait_run(void *arg)
{
	volatile int kept = 77;

	(void)overflow_deep(120);
	(void)fiber_prepare();
	(void)fiber_suspend(loop_now_ms(loop) + 60000);
	*(int *)arg += kept == 77 ? 1 : 0;
}

static void
trim_waiting_fiber(void *arg)
{
	static struct fiber_ref r[600];
	int *n = arg;

	for (int i = 0; i < 600; i++)
		r[i] = fiber_spawn(loop, "waiter", long_wait_run, n);
	turns(2);
	CU_ASSERT_TRUE(touched(r[0].f->stack) > 100000);
	/* A sweep is due once some fiber has ended. */
	CU_ASSERT_FATAL(fiber_spawn(loop, "deep", deep_run, n).f != NULL);
	turns(2);
	*n = 0;
	for (int i = 0; i < 3; i++) {
		advance(1000);
		turns(2);
	}
#ifdef FIBER_ASM
	for (int i = 0; i < 600; i++)
		CU_ASSERT_TRUE(touched(r[i].f->stack) <= 8192);
#endif
	advance(60000);
	turns(3);
	CU_ASSERT_EQUAL(*n, 600);
	loop_stop(loop);
}

static void
test_trim_waiting(void)
{
	int n = 0;

	clock_fake((int64_t)START_MS * 1000, 1);
	run_here(trim_waiting_fiber, &n);
	clock_real();
	CU_ASSERT_EQUAL(n, 600);
}
#else
static void
test_trim_waiting(void)
{
	tap_skip("a sanitizer has its own memory");
}

static void
test_memory(void)
{
	tap_skip("a sanitizer has its own memory");
}

static void
test_trim(void)
{
	tap_skip("a sanitizer has its own memory");
}
#endif

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "overflow", test_overflow },
		{ "overflow, mprotect", test_overflow_mprotect },
		{ "cap", test_cap },
		{ "wake", test_wake },
		{ "late wake", test_late_wake },
		{ "cancel in the same turn", test_cancel_same_turn },
		{ "cancel is sticky", test_cancel_sticky },
		{ "sleep, faked", test_sleep_faked },
		{ "sleep on an idle loop, faked", test_sleep_idle },
		{ "sleep 155 takes 155", test_sleep_real },
		{ "deadlines nest", test_deadline },
		{ "join", test_join },
		{ "reap", test_reap },
		{ "errno is kept", test_errno },
		{ "C++ exception state is kept", test_eh_globals },
		{ "name and correlation", test_name },
		{ "each once a turn", test_snapshot },
		{ "drain", test_drain },
		{ "a stall is logged", test_stall },
		{ "a wait that ignores cancel", test_spinning },
		{ "foreign thread", test_foreign_thread },
		{ "10,000 parked", test_memory },
		{ "spare stacks are trimmed", test_trim },
		{ "stacks of who waits long are trimmed", test_trim_waiting },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "fiber", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
