/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_POOL_H
#define CORE_LOOP_POOL_H

/*
 * The blocking pool: what blocks by nature runs on threads of its own while
 * the fiber waits.  fn sees only the job and calls nothing of core but base.
 *
 * A job is heap memory with two owners, the waiter and the pool.  A waiter
 * that is cancelled or out of time leaves; the job goes on and is freed when
 * it ends.  So fn must not touch what belongs to the waiter.
 */

#include "core/base/error.h"
#include "core/loop/fiber.h"

struct pool;

struct pool_job {
	void (*fn)(struct pool_job *job); /* on a pool thread */
	void (*free)(struct pool_job *job); /* when both owners are gone */
	/* The pool's own: */
	struct pool_job *next;
	struct fiber_wake_msg wake;
	struct loop *loop;
	struct uuid crumb; /* of the waiter */
	int refs;
	bool done;
};

/* max_queue bounds the waiting jobs; beyond it pool_run says UNAVAILABLE. */
struct pool *pool_new(unsigned n_threads, unsigned max_queue);
void pool_free(struct pool *pool); /* runs what waits, then joins */
/*
 * Waits until the pool has no job of this loop any more: after loop_drain and
 * before loop_free, unless the pool was freed before.
 */
void pool_settle(struct pool *pool, const struct loop *loop);

/*
 * Runs the job.  AS_OK: it has ended and the caller may read it, then must
 * pool_job_put it.  Any other status: the job is not the caller's any more.
 */
SUSPENDS enum as_status pool_run(struct pool *pool, struct pool_job *job,
    struct error *err);
void pool_job_put(struct pool_job *job);

#endif
