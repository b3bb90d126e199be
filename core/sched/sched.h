/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_SCHED_H
#define CORE_SCHED_SCHED_H

/*
 * The timer of a process: it looks at the schedules when the next of them is
 * due, when one has changed here, and otherwise once in a while, for what other
 * processes have changed.
 */

#include "core/sched/fire.h"

struct sched;

struct sched_config {
	/* store, runs, plug, engine, bus and the notification, of that loop. */
	struct chat_ctx chat;
	const char *zoneinfo;
	int64_t poll_ms;
};

/* Before other threads run. */
struct sched *sched_new(struct loop *loop);
void sched_free(struct sched *s); /* after the loop has been drained */
/* On the loop's thread. */
void sched_start(struct sched *s, const struct sched_config *config);
void sched_stop(struct sched *s);
/* Something has changed: look at once.  Any thread; NULL does nothing. */
void sched_wake(struct sched *s);

#endif
