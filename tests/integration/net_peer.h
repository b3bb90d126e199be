/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_PEER_H
#define TESTS_NET_PEER_H

/*
 * A server on a thread of its own, and a client that says bytes and reads
 * answers, blocking, for tests of core/net.
 */

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/net/http_server.h"
#include "core/net/router.h"

struct peer_host;

/* routes, schemas and hooks must outlive it; config may be NULL. */
struct peer_host *host_start(const struct route *routes, size_t n,
    const struct schema_set *schemas, const struct http_hooks *hooks,
    const struct http_server_config *config);
void host_stop(struct peer_host *h);
/* On its thread; returns when fn has. */
void host_do(struct peer_host *h, void (*fn)(struct http_server *s));

struct peer {
	int fd;
	struct buf in;
};

struct answer {
	int status;
	char head[4096];
	struct buf body;
};

void peer_open(struct peer *p, struct peer_host *h);
bool peer_connects(struct peer_host *h); /* or is it refused? */
void peer_close(struct peer *p);
void peer_say(struct peer *p, const char *s);
void peer_send(struct peer *p, const void *s, size_t len);
/* Reads until n bytes are there; false at the end or after 5 s. */
bool peer_need(struct peer *p, size_t n);
/* Until text is there; returns the offset beyond it, or -1. */
long peer_until(struct peer *p, const char *text);
/* A whole answer with Content-Length; status 0: none came. */
void peer_answer(struct peer *p, struct answer *a);
void peer_answer_head(struct peer *p, struct answer *a);
bool peer_is_closed(struct peer *p); /* waits for the end */
/* One request on a connection of its own; returns the status. */
int peer_ask(struct peer_host *h, struct answer *a, const char *request);
bool answer_has(const struct answer *a, const char *line);
void answer_free(struct answer *a);

#endif
