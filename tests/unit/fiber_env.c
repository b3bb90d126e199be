/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fiber_env.h"

#include "core/base/clock.h"
#include "core/loop/fiber.h"
#include "core/loop/impl.h"
#include "tests/tap.h"

/* See fiber_env.h. */

struct loop *loop;

void
advance(int64_t ms)
{
	clock_advance(ms * 1000);
}

void
run_here(fiber_fn fn, void *arg)
{
	loop = loop_new();
	CU_ASSERT_PTR_NOT_NULL(fiber_spawn(loop, "test", fn, arg).f);
	loop_run(loop);
	loop_free(loop);
}

void
run_faked(fiber_fn fn)
{
	clock_fake((int64_t)START_MS * 1000, 1);
	run_here(fn, NULL);
	clock_real();
}

void
turns(int n)
{
	while (n-- > 0)
		(void)fiber_yield();
}

void
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

void
waiter_start(struct waiter *w, int n_waits, uint64_t at_ms)
{
	*w = (struct waiter){ .n_waits = n_waits, .at_ms = at_ms };
	w->ref = fiber_spawn(loop, "waiter", waiter_run, w);
	turns(2);
}

void
parked_run(void *arg)
{
	(void)fiber_prepare();
	CU_ASSERT_EQUAL(fiber_suspend(0), FIBER_CANCELED);
	CU_ASSERT_PTR_NULL(fiber_spawn(loop, "late", parked_run, arg).f);
	++*(int *)arg;
}

int
overflow_deep(int n)
{
	volatile char frame[1024];

	frame[0] = (char)n;
	if (n == 0)
		return 0;
	return overflow_deep(n - 1) + frame[0];
}
