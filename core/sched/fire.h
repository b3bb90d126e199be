/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_FIRE_H
#define CORE_SCHED_FIRE_H

/*
 * From a time that has come to a run.
 *
 * 1. Claim: one transaction compares next_at, moves it on, and leaves a pending
 *    row for each time that shall start.  Any node may; one wins.
 * 2. Decide: the row's holder looks at the run before (overlap) and marks the
 *    row as tried, or skipped.
 * 3. Start, under a dedup made of schedule and time, then mark it as started.
 *
 * A process that dies leaves a row whose holder lets go of it; who takes it up
 * starts it again under the same dedup.  So each time starts once, whatever
 * happens.  docs/decisions/0020 has the reasons.
 */

#include "core/sched/schedule.h"

struct fire_ctx {
	/* who, arena and correlation_id are set for each schedule. */
	struct chat_ctx chat;
	const char *zoneinfo;
	struct uuid holder; /* of this process */
};

/*
 * Claim what is due and start what is pending, a number at a time.  *in_us: when
 * to look again, -1: nothing is planned.  AS_OK even where a schedule failed.
 */
SUSPENDS enum as_status fire_due(const struct fire_ctx *ctx, int64_t *in_us,
    struct error *err);

#endif
