/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BUS_H
#define CORE_BUS_BUS_H

/*
 * Publish and subscribe between the loops of a node and, with bus_redis.h,
 * between nodes.  A topic is a UUID: a thread's id; or a session's, whose one
 * message, without a frame, says that it has ended; or a bell
 * (core/run/item_bell.h, core/api/bells.h).  Messages of one publisher
 * to one topic arrive in order; the bus may lose what it carries at
 * any moment, so nothing durable depends on it: readers notice gaps by seq and
 * read the log.
 *
 * bus_publish is for any thread; the rest belongs to the subscriber's loop,
 * and fn runs on it, from the loop's own stack: never inside bus_publish, for
 * the publisher's own loop at the end of its turn.  fn may subscribe, publish
 * and unsubscribe anything.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"

struct bus;
struct bus_sub;

struct bus_msg {
	struct uuid topic;
	int64_t seq; /* of a durable event; 0: live only */
	int64_t run_seq;
	struct uuid run_id;
	/* A piece of text: whose, which try, where it starts; else nil. */
	struct uuid message_id;
	int attempt;
	int64_t offset;
	size_t len; /* of the piece, in bytes */
	struct rcbuf *frame; /* the event as JSON text; borrowed in fn */
	/* Nothing but this: what was said there may have been lost, so look. */
	bool look;
};

typedef void (*bus_fn)(const struct bus_msg *m, void *arg);

struct bus *bus_new_memory(void);
void bus_free(struct bus *bus);
/*
 * Every loop that subscribes joins first, and leaves before it is freed, on
 * its own thread, when all have unsubscribed.  At most 64 loops.  A loop that
 * does not keep up loses messages: bus_dropped_total counts them.
 */
void bus_join(struct bus *bus, struct loop *loop);
void bus_leave(struct bus *bus, struct loop *loop);

void bus_publish(struct bus *bus, const struct bus_msg *m);
struct bus_sub *bus_subscribe(struct bus *bus, struct uuid topic, bus_fn fn,
    void *arg);
/* fn is not called any more; NULL does nothing. */
void bus_unsubscribe(struct bus_sub *sub);

#endif
