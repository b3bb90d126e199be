/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/mman.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#include "core/base/clock.h"
#include "core/loop/fiber.h"
#include "core/loop/impl.h"
#include "tests/tap.h"
#include "tests/unit/fiber_env.h"

/*
 * The memory of stacks: what is touched, and what is given back.
 */

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
		{ "10,000 parked", test_memory },
		{ "spare stacks are trimmed", test_trim },
		{ "stacks of who waits long are trimmed", test_trim_waiting },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "fiber memory", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
