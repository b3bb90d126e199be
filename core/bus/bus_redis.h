/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BUS_REDIS_H
#define CORE_BUS_BUS_REDIS_H

/*
 * The bus between processes, over Redis.
 *
 * What is published here reaches the readers of other processes; a piece of
 * text is also kept for a while, so that who joins later, or has missed some,
 * can fetch it.  Each loop has a link: two connections, and the subscriptions
 * of its own readers.  Nothing waits for Redis: what it does not take at once
 * is dropped and counted.  Readers see by seq and offset that something is
 * missing; when a link is up again they are told to look.
 *
 * A link that has been without Redis for longer than the grace is lost, until
 * it is up again by itself.
 */

#include "core/bus/bus.h"
#include "core/bus/live.h"
#include "core/bus/redis.h"

struct bus_redis;
struct bus_link;

struct bus_redis_config {
	struct redis_url url;
	const char *password;
	struct redis_login sentinels; /* how they know us; NULL: "" */
	const char *prefix; /* of channels and keys; other programs' differ */
	struct pool *pool;
	int64_t grace_ms;
	int64_t look_ms; /* after what is kept; 0: 10,000 */
	int64_t ask_ms; /* who needs an answer waits as long; 0: 100 */
	size_t max_bytes; /* see redis.h, as the next */
	unsigned max_waiting;
};

/* Attached to the bus from now on, until it is freed. */
struct bus_redis *bus_redis_new(struct bus *bus, struct live *live,
    const struct bus_redis_config *config);
void bus_redis_free(struct bus_redis *b); /* NULL does nothing */

/* To other processes only; any thread. */
void bus_redis_tell(struct bus_redis *b, const struct bus_msg *m);

/*
 * Of a loop that has joined the bus and has no readers yet; on its thread, as
 * all that follows.  Closed before it leaves; NULL does nothing.
 */
struct bus_link *bus_link_open(struct bus_redis *b, struct loop *loop);
void bus_link_close(struct bus_link *l);

enum bus_link_state {
	BUS_LINK_UP = 1,
	BUS_LINK_CONNECTING,
	BUS_LINK_LOST
};

enum bus_link_state bus_link_state(const struct bus_link *l);

/* Told once when the link is lost; starts as {.fn = ...}. */
struct bus_mourner {
	struct bus_mourner *next, **at;
	void (*fn)(struct bus_mourner *m); /* it has left by then */
};
void bus_link_mourn(struct bus_link *l, struct bus_mourner *m);
void bus_link_leave(struct bus_mourner *m); /* twice is fine */

/*
 * Brings what is kept of that message's text to `live`.  False: there is
 * nothing, or not in time.
 */
SUSPENDS bool bus_link_fetch(struct bus_link *l, struct uuid thread_id,
    struct uuid run_id, struct uuid message_id, int attempt);

#endif
