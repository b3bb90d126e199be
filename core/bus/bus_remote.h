/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BUS_REMOTE_H
#define CORE_BUS_BUS_REMOTE_H

/*
 * What a driver that carries messages to other processes has of the bus of
 * this one, and the other way round: private to core/bus.
 */

#include "core/bus/bus.h"

struct bus_remote {
	/* Published here; any thread, and it must not wait. */
	void (*publish)(struct bus_remote *r, const struct bus_msg *m);
	/* This loop has its first reader of the topic; or its last is gone. */
	void (*want)(struct bus_remote *r, struct uuid topic, bool wanted);
	/*
	 * No loop has one any more, and until it returns none gets one: it must
	 * not call the bus.
	 */
	void (*unread)(struct bus_remote *r, struct uuid topic);
};

/* Before there are other threads; NULL detaches. */
void bus_attach(struct bus *bus, struct bus_remote *r);

/* The rest is for a loop that has joined, on its own stack. */

/* Has this loop a reader of the topic? */
bool bus_is_wanted(struct bus *bus, struct uuid topic);
/* The topics with that last byte that it has readers of, to be freed. */
struct uuid *bus_wanted(struct bus *bus, unsigned last, size_t *n);
/* Its readers get it before this returns. */
void bus_deliver(struct bus *bus, const struct bus_msg *m);

#endif
