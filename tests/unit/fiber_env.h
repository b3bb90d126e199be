/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FIBER_ENV_H
#define TESTS_UNIT_FIBER_ENV_H

/*
 * A loop for a test of fibers, which is itself one, and fibers to look at.
 */

#include "core/loop/fiber.h"
#include "core/loop/impl.h"

#define START_MS 1000000 /* of faked time */

extern struct loop *loop; /* of the running test */

/* fn on a fiber of a new loop, until it stops that. */
void run_here(fiber_fn fn, void *arg);
void run_faked(fiber_fn fn); /* the same, in faked time */
void advance(int64_t ms);
SUSPENDS void turns(int n); /* of the loop */

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

void waiter_run(void *arg);
SUSPENDS void waiter_start(struct waiter *w, int n_waits, uint64_t at_ms);

/* Waits to be cancelled, and counts it in the int that is arg. */
void parked_run(void *arg);
/* Uses some 1 KiB of the stack n times; returns 0 for a small n. */
int overflow_deep(int n);

#endif
