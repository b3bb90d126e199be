/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_PUMP_H
#define CORE_CHAT_PUMP_H

/*
 * What every stream does for its reader: a short-lived fiber that sends all
 * there is and runs again when there may be more, one at a time; a reader that
 * does not drain gets nothing until it has, and is cut off if it takes too
 * long; and an end that frees the stream when nobody stands in it any more.
 *
 * The pump is a member of the stream.  It has up to two owners: whoever opened
 * it, and the fiber.  `closed` tells the fiber that nobody listens; the last
 * owner frees.  All on one loop's thread.
 */

#include "core/chat/access.h"
#include "core/chat/stream.h"

struct pump;

struct pump_ops {
	/* Send all that there is, until `closed`. */
	SUSPENDS void (*supply)(struct pump *p);
	/* After that, with nothing more to come; NULL: nothing. */
	void (*idle)(struct pump *p);
	void (*stop)(struct pump *p); /* it closes: hear of nothing more */
	void (*gone)(struct pump *p); /* the last call: free it */
};

struct pump {
	struct loop *loop;
	const struct pump_ops *ops;
	struct stream_ops reader;
	void *arg; /* of the reader */
	struct bus_sub *session; /* says when it has ended */
	struct access_seat seat; /* finds out otherwise */
	struct loop_timer slow;
	struct loop_hook last;
	struct fiber_wait wait; /* of the fiber, for the reader to drain */
	bool catching; /* the fiber is at work */
	bool dirty; /* there is more than it has begun with */
	bool lagging; /* the reader has to drain first */
	bool closed;
};

/* Begins to supply.  False: no fiber, nothing has happened. */
bool pump_open(struct pump *p, struct loop *loop, const struct pump_ops *ops,
    const struct stream_ops *reader, void *arg);
/*
 * It ends when who reads may not any more; access may be NULL.  Again: who
 * reads has another credential.
 */
void pump_guard(struct pump *p, struct access *access, struct bus *bus,
    const struct principal *who, struct uuid thread_id);
void pump_more(struct pump *p); /* there may be more */
void pump_send(struct pump *p, const char *type, int64_t id,
    struct rcbuf *frame);
/* Is the reader behind?  From now on it has to drain first. */
bool pump_is_full(struct pump *p);
/* On the fiber: until the reader has taken what was sent.  False: give up. */
SUSPENDS bool pump_wait(struct pump *p);
void pump_drained(struct pump *p);
void pump_end(struct pump *p, enum stream_over why); /* tells the reader */
void pump_close(struct pump *p); /* does not; twice is fine */

#endif
