/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BUS_LINK_H
#define CORE_BUS_BUS_LINK_H

/*
 * What the files of the driver for Redis share: bus_redis.c (publishing, and
 * what all links have), bus_link.c (a loop's link, up and down), bus_hear.c
 * (subscriptions, and what comes by them), bus_keep.c (text for those who come
 * later), bus_fetch.c (who comes later) and bus_ask.c (what all share).
 */

#include <pthread.h>

#include "core/bus/bus_redis.h"
#include "core/bus/bus_remote.h"

#define LINKS_MAX 64
#define LINK_SLOTS 256
#define LINK_NAME 160
#define LINK_KEPT 64

struct counter;
struct fetch;
struct kept;

struct bus_redis {
	struct bus_remote remote;
	struct bus *bus;
	struct live *live;
	struct uuid process; /* whose messages these are */
	struct redis_url url;
	char *password, *prefix;
	char *sentinel_user, *sentinel_password;
	char channels[LINK_NAME - 8]; /* what their names begin with */
	size_t channels_len;
	struct pool *pool;
	int64_t grace_ms, look_ms, ask_ms;
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
	struct sentinels *sentinels; /* NULL: there are none */
	struct link_slot slots[LINK_SLOTS];
	struct loop_timer lost, sweep;
	struct bus_mourner *mourners;
	struct fetch *fetches; /* under way */
	struct counter *up;
	bool is_lost;
	uint64_t mute_until_ms; /* it has not answered in time */
	struct kept *kept[LINK_KEPT]; /* texts written here */
	struct kept *due, **due_tail;
	size_t flight;
	struct loop_timer keep; /* set: nothing whole is written until then */
};

/* The link of this thread's loop, or NULL. */
struct bus_link *bus_link_here(struct bus_redis *b);

/* The channel of a topic: one of LINK_SLOTS. */
unsigned link_slot_of(struct uuid topic);
struct redis_arg link_channel_name(const struct bus_redis *b, unsigned slot,
    char out[LINK_NAME]);

/* ---- bus_hear.c ---------------------------------------------------- */

void link_want(struct bus_remote *r, struct uuid topic, bool wanted);
void link_unread(struct bus_remote *r, struct uuid topic);
void link_on_push(void *arg, const redisReply *r);
/* The connection is a new one. */
void link_subscribe_all(struct bus_link *l);
/* What could not be asked for, or nobody needs.  Every few seconds. */
void link_subscribe_look(struct bus_link *l);

/* ---- bus_ask.c ----------------------------------------------------- */

struct link_script {
	const char *space; /* of keys: behind the prefix */
	const char *text;
};

/* On this loop's link.  False: it is not up. */
bool link_eval(struct bus_redis *b, const struct link_script *script,
    const char *key, const struct redis_arg *args, size_t n, redis_fn fn,
    void *arg);
/* False: it is no answer. */
typedef bool (*link_take)(const redisReply *r, void *arg);
/*
 * Waits for the answer, shortly; and not at all for a while when the last one
 * was waited for in vain.  False: nobody knows.
 */
SUSPENDS bool link_ask(struct bus_redis *b, const struct link_script *script,
    const char *key, const struct redis_arg *args, size_t n, link_take take,
    void *arg);

/* ---- bus_fetch.c, bus_keep.c --------------------------------------- */

void link_counters(struct bus_redis *b);

void link_text_name(const struct bus_redis *b, struct uuid message_id,
    int attempt, char out[LINK_NAME]);
void link_keep_open(struct bus_link *l);
void link_keep_close(struct bus_link *l);
/* A piece that was appended to `live` just now, on this thread. */
void link_keep(struct bus_link *l, const struct bus_msg *m);
/* Are they still there, and still needed?  Every few seconds. */
void link_keep_look(struct bus_link *l);
/* Keeps anew what this loop writes just now: Redis may have lost it. */
void link_keep_all(struct bus_link *l);

#endif
