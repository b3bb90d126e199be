/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_CHANNEL_H
#define CORE_PLUG_CHANNEL_H

/*
 * A call whose plugin runs on another thread: on a fiber of the home loop, or
 * on the pool.  Between the sides are frames of bytes, so they share no value.
 *
 * The channel belongs to both.  Whoever leaves first only leaves a mark: a
 * caller that is cancelled is gone at once, and the plugin learns it from the
 * next service; what it still says is dropped with the channel.  Services run
 * on the caller's fiber, while the plugin waits in its own way: suspended, or
 * really blocked.
 *
 * All members below the lock are read and written under it.
 */

#include <pthread.h>

#include "core/base/buf.h"
#include "core/loop/fiber.h"
#include "core/plug/call.h"
#include "core/plug/frames.h"
#include "core/plug/unit.h"

/* A knock at another loop; at most one is under way. */
struct knock {
	struct loop_msg msg;
	struct channel *ch;
	bool under_way;
};

struct channel {
	struct unit *unit;
	struct loop *caller_loop;
	struct loop *home; /* NULL: on the pool */
	struct frame *op;
	struct buf info;
	int64_t deadline_ms; /* on clock_mono_ms; INT64_MAX: none */

	pthread_mutex_t lock;
	pthread_cond_t cond; /* the pool thread waits here */
	unsigned refs;
	bool is_relayed; /* of a process of its own */
	bool left; /* the caller has */
	bool ended; /* the plugin has */
	enum as_status said; /* what emits are answered */
	struct frames frames; /* to the caller */
	struct frame *answer; /* to the plugin */
	struct fiber_wait caller, callee;
	struct fiber_ref fiber;
	struct uuid crumb; /* what the caller works for */
	struct knock to_caller, to_callee, start;
};

void channel_ref(struct channel *ch);
void channel_unref(struct channel *ch);
/* With the lock held.  The knock holds a reference until it is heard. */
void channel_knock(struct channel *ch, struct knock *k, struct loop *loop);

/*
 * Starts the plugin's side (channel_callee.c), which has a reference and a
 * place among the open calls.  False: no fiber was left.
 */
bool callee_start(struct channel *ch);
void callee_hears(struct loop_msg *m);
void home_starts(struct loop_msg *m);

#endif
