/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_FIRE_IMPL_H
#define CORE_SCHED_FIRE_IMPL_H

/* Between fire_claim.c, fire_start.c and fire.c. */

#include "core/sched/fire.h"

/*
 * How long a process may take to start what it holds; what it then still does
 * is harmless.  A waiting row, and one that failed for now, is looked at again
 * after FIRE_AGAIN_US.
 */
#define FIRE_HOLD_US INT64_C(10000000)
#define FIRE_AGAIN_US INT64_C(2000000)
#define FIRES_WAITING_MAX 100 /* of one schedule */

/* One that is due, now_us is the store's. */
SUSPENDS enum as_status fire_claim(const struct fire_ctx *ctx,
    struct schedule *s, int64_t n_waiting, int64_t now_us, struct error *err);

struct fire {
	struct schedule schedule;
	int64_t fire_at, tries;
	bool agent_deleted, user_disabled;
	const char *last_status; /* of schedule.last_run_id; NULL: none */
};

/* One that is pending and free, or this process's. */
SUSPENDS enum as_status fire_start(const struct fire_ctx *ctx,
    const struct fire *f, struct error *err);

/* It can never be read or started again: it pauses, and its owner is told. */
SUSPENDS enum as_status fire_give_up(const struct fire_ctx *ctx,
    const struct schedule *s, int64_t fire_at, const char *why,
    const char *detail, struct error *err);

#endif
