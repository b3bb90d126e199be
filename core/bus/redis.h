/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_REDIS_H
#define CORE_BUS_REDIS_H

/*
 * A connection to Redis, of one loop: private to core/bus.
 *
 * It connects by itself, and again after it was lost, each time after a pause
 * by chance that grows with the failures.  It is `up` once the server has
 * taken the password, has the database and answers; what is sent before is
 * refused, never kept.  What is sent leaves at the end of the turn, in one
 * write; beyond the bounds of the queue it is refused.  A server that says
 * nothing for more than a second, although it is asked, is given up.
 *
 * Callbacks run on the loop's own stack; they may send, but not free.
 */

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/base/error.h"
#include "core/loop/loop.h"

struct pool;
struct redis;
struct sentinels;

#define REDIS_SENTINELS 9

struct redis_host {
	char host[256];
	uint16_t port;
};

/*
 * redis://[USER@]HOST[:PORT][/DB] or unix:///PATH[?db=DB] or
 * redis+sentinel://[USER@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]
 */
struct redis_url {
	char user[64];
	char host[256]; /* "": path, or as the sentinels say */
	char path[104];
	uint16_t port;
	int db;
	char master[64];
	struct redis_host sentinels[REDIS_SENTINELS];
	int n_sentinels;
};

enum as_status redis_url_parse(const char *text, struct redis_url *out,
    struct error *err);

/*
 * Where to connect to; text: the address that its host has, or the host if it
 * is an address itself.  0: it is none.
 */
socklen_t redis_url_address(const struct redis_url *url, const char *text,
    struct sockaddr_storage *out);

/* Who asks, and the password; "": none.  With a password only. */
struct redis_login {
	const char *user, *password;
};

struct redis_config {
	struct loop *loop;
	struct pool *pool; /* looks names up; NULL: addresses only */
	struct redis_url url;
	struct sentinels *sentinels; /* they say where it is; or NULL */
	const char *name; /* in the log; NULL: "redis" */
	const char *password; /* "": none */
	int64_t connect_ms; /* until it is up; 0: 2,000 */
	int64_t hurry_ms; /* since it was there; tries come quickly */
	size_t max_bytes; /* on their way; 0: 8 MiB */
	unsigned max_waiting; /* commands without an answer; 0: 65,536 */
	bool subscribes; /* it takes SUBSCRIBE and UNSUBSCRIBE only */
};

struct redis_ops {
	void (*up)(void *arg);
	void (*down)(void *arg); /* it was up; answers that are due are lost */
	/* An array that nobody asked for; of a connection that subscribes. */
	void (*push)(void *arg, const redisReply *r);
};

struct redis_arg {
	const void *p;
	size_t len;
};
#define REDIS_STR(s) \
	{ \
		(s), strlen(s) \
	}

/* In figures, within the room. */
#define REDIS_NUMBER 20
struct redis_arg redis_number(char room[REDIS_NUMBER], uint64_t n);

/* NULL: the connection was lost, and nobody knows whether it was done. */
typedef void (*redis_fn)(const redisReply *r, void *arg);

struct redis *redis_new(const struct redis_config *config,
    const struct redis_ops *ops, void *arg);
/* down is not called, each fn is, with NULL; NULL does nothing. */
void redis_free(struct redis *r);
/* The sentinels say something new. */
void redis_hint(struct redis *r);
bool redis_is_up(const struct redis *r);
/* Since when it is not up, although it was; 0: it never was. */
uint64_t redis_gone_ms(const struct redis *r);
/* Why it is not up; "" */
const char *redis_why(const struct redis *r);
/*
 * False: not up, or too much is on its way.  fn may be NULL; on a connection
 * that subscribes it has to be.
 */
bool redis_send(struct redis *r, const struct redis_arg *args, size_t n,
    redis_fn fn, void *arg);

#endif
