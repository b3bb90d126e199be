/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BUS_LINK_H
#define CORE_BUS_BUS_LINK_H

/*
 * What the files of the driver for Redis share: bus_redis.c (messages,
 * subscriptions, up and down) and bus_keep.c (text for those who come later).
 */

#include <pthread.h>

#include "core/bus/bus_redis.h"
#include "core/bus/bus_remote.h"

#define LINKS_MAX 64
#define LINK_SLOTS 256
#define LINK_NAME 160

struct counter;
struct fetch;

struct bus_redis {
	struct bus_remote remote;
	struct bus *bus;
	struct live *live;
	struct uuid process; /* whose messages these are */
	struct redis_url url;
	char *password, *prefix;
	struct pool *pool;
	int64_t grace_ms;
	size_t max_bytes;
	unsigned max_waiting;
	pthread_rwlock_t lock; /* of the list of links */
	struct bus_link *links[LINKS_MAX];
	struct counter *published, *received, *unsent, *refused;
	struct counter *fetched, *missed;
};

struct link_slot {
	unsigned n; /* topics with readers */
	bool asked; /* a SUBSCRIBE was the last word */
};

struct bus_link {
	struct bus_redis *b;
	struct loop *loop;
	int index;
	struct redis *commands, *subscriptions;
	struct link_slot slots[LINK_SLOTS];
	struct loop_timer lost, sweep;
	struct bus_mourner *mourners;
	struct fetch *fetches; /* under way */
	struct counter *up;
	bool is_lost;
	bool has_hole; /* a piece could not be kept */
};

void link_counters(struct bus_redis *b);
/* Keeps a piece of text that this process writes.  False: it was not taken. */
bool link_keep(struct bus_link *l, const struct bus_msg *m);
/* Keeps anew what this loop writes just now: Redis may have lost it. */
void link_keep_all(struct bus_link *l);

#endif
