/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_REDIS_IMPL_H
#define CORE_BUS_REDIS_IMPL_H

/*
 * What the files of a connection to Redis share: redis.c (its life: pauses,
 * patience, the end), redis_connect.c (until it is up) and redis_talk.c
 * (commands and answers).
 */

#include "core/base/buf.h"
#include "core/bus/redis.h"

struct redis_lookup;
struct redis_reader;

enum redis_state {
	REDIS_PAUSE, /* until the next try */
	REDIS_LOOKUP, /* of its name, or until sentinels say where it is */
	REDIS_CONNECT,
	REDIS_GREET, /* password, database, ping */
	REDIS_UP
};

struct waiting {
	struct waiting *next;
	redis_fn fn;
	void *arg;
};

struct redis {
	struct redis_config c;
	char *password, *name;
	const struct redis_ops *ops;
	void *arg;
	enum redis_state state;
	int fd;
	struct loop_watch *watch;
	struct redis_reader *reader;
	bool reading;
	struct buf out;
	size_t out_off;
	struct loop_hook flush;
	struct waiting *first, **tail;
	unsigned n_waiting;
	struct loop_timer timer;
	struct redis_lookup *lookup;
	unsigned failures, misses;
	bool heard; /* since the last ping */
	uint64_t gone_ms; /* when it was there for the last time */
	char why[160];
};

/* ---- redis.c ------------------------------------------------------- */

void redis_drop(struct redis *r, const char *why);
void redis_drop_errno(struct redis *r, const char *what, int error);
/* The server has taken us. */
void redis_greeted(struct redis *r);

/* ---- redis_connect.c ----------------------------------------------- */

/* address: of the host, if it was looked up. */
void redis_connect(struct redis *r, const char *address);

/* ---- redis_talk.c -------------------------------------------------- */

void redis_read(struct redis *r);
void redis_write(struct redis *r);
void redis_on_flush(struct loop_hook *h);
/* Whether it is up, and how much is under way, is not looked at. */
void redis_tell(struct redis *r, const struct redis_arg *args, size_t n);
void redis_ask(struct redis *r, const struct redis_arg *args, size_t n,
    redis_fn fn, void *arg);
/* Nobody answers any more: each is told. */
void redis_answers_lost(struct redis *r);

#endif
