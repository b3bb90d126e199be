/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_SERVER_H
#define CORE_NET_HTTP_SERVER_H

/*
 * HTTP/1.1 server: strict parsing, absolute deadlines, caps on everything a
 * peer controls.  Each request that reaches a route runs on a fiber of its
 * own; the fiber ends with exactly one of http_reply*, http_stream_open or
 * ws_accept (none of them is a 500).  One server a loop; SO_REUSEPORT lets
 * several share a port.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/loop/fiber.h"

struct http_req;
struct http_server;
struct json_object;
struct route_table;

/* A number that is 0 stands for the usual value. */
struct http_server_config {
	const char *host; /* "127.0.0.1" */
	uint16_t port; /* 0: a free one */
	bool share_port; /* with servers of other loops, this process only */
	bool join_port; /* they are there already */
	int listen_fd; /* a socket that listens, of others too; 0: bind one */
	unsigned max_connections;
	unsigned max_headers; /* 100 */
	size_t max_header_bytes; /* 16 KiB */
	size_t max_uri; /* 8 KiB */
	size_t max_body; /* 1 MiB; a route may say less or more */
	int64_t header_timeout_ms; /* absolute, from the first byte */
	int64_t body_timeout_ms;
	int64_t idle_timeout_ms; /* keep-alive */
	int64_t request_timeout_ms; /* the handler fiber's deadline */
	const char *const *trusted_proxies; /* CIDRs, NULL-terminated */
	const char *const *allowed_origins; /* CORS and Origin checks */
	const char *public_url; /* or NULL */
	size_t ws_max_message; /* 1 MiB */
	unsigned ws_max_parts; /* fragments of one message; 1,024 */
	int64_t ws_ping_ms; /* 20,000; two unanswered ones end a socket */
};

/*
 * What the API adds.  All run on the request's fiber, in this order, before
 * the handler; one that fails has filled err and the server replies with it.
 */
struct http_hooks {
	/* Who is it; sets http_set_principal.  Not for open routes. */
	SUSPENDS enum as_status (
	    *authenticate)(struct http_req *req, struct error *err);
	/* Before and after a handler of a route with ROUTE_IDEMPOTENT. */
	SUSPENDS enum as_status (*idem_begin)(struct http_req *req,
	    bool *answered, struct error *err);
	SUSPENDS void (*idem_end)(struct http_req *req, int status,
	    const char *body, size_t len);
	/* One of these, or the check of the request, has failed with err. */
	SUSPENDS void (*refused)(struct http_req *req, const struct error *err);
};

enum as_status http_server_new(struct loop *loop,
    const struct http_server_config *config, const struct route_table *routes,
    const struct http_hooks *hooks, void *app, struct http_server **out,
    struct error *err);
uint16_t http_server_port(const struct http_server *s);
/*
 * The end, for those behind a balancer who must notice nothing.  Announced: all
 * goes on, but each answer says that it is the connection's last.  Drained: no
 * new connections, keep-alive ends, WebSockets get 1001, event streams end.
 * Quiet: everybody has his answer, and has had a moment to take leave.
 */
void http_server_announce(struct http_server *s);
void http_server_drain(struct http_server *s);
bool http_server_is_quiet(const struct http_server *s);
unsigned http_server_connections(const struct http_server *s);
/* Sockets and streams get their on_close; no handler may be running. */
void http_server_free(struct http_server *s);

/* ---- The request; valid until its fiber ends ----------------------- */

void *http_app(struct http_req *req); /* what http_server_new was given */
struct loop *http_loop(struct http_req *req);
struct arena *http_arena(struct http_req *req);
const char *http_method(struct http_req *req);
const char *http_path(struct http_req *req); /* decoded, without query */
const struct route *http_route(struct http_req *req);
const char *http_header(struct http_req *req, const char *name); /* or NULL */
/* Does Accept name this type, and not with q=0? */
bool http_accepts(struct http_req *req, const char *type);
const char *http_cookie(struct http_req *req, const char *name);
const char *http_query(struct http_req *req, const char *name); /* or NULL */
const char *http_correlation_id(struct http_req *req);
const char *http_traceparent(struct http_req *req); /* valid, or "" */
const char *http_peer(struct http_req *req); /* address, behind proxies too */
bool http_is_secure(struct http_req *req); /* the client spoke https */
struct uuid http_param_uuid(struct http_req *req, const char *name);
const char *http_param(struct http_req *req, const char *name);
const char *http_body(struct http_req *req, size_t *len);
struct json_object *http_json(struct http_req *req); /* validated; borrowed */
/* Present and within [min,max], else dflt or error_field. */
enum as_status http_query_int(struct http_req *req, const char *name,
    int64_t dflt, int64_t min, int64_t max, int64_t *out, struct error *err);

/*
 * May a browser page of this request's origin act here?  True without Origin
 * and Sec-Fetch-Site (no browser), for our own origin, for the allow-list.
 */
bool http_origin_allowed(struct http_req *req);

void http_set_principal(struct http_req *req, void *principal);
void *http_principal(struct http_req *req);

/* ---- One answer ---------------------------------------------------- */

void http_set_header(struct http_req *req, const char *name,
    const char *value); /* for the answer; copied */
/* As it was set for the answer, in the request's arena; NULL: it was not. */
const char *http_header_set(struct http_req *req, const char *name);
void http_reply(struct http_req *req, int status, const char *content_type,
    const void *body, size_t len);
/* Takes body; NULL sends no body. */
void http_reply_json(struct http_req *req, int status,
    struct json_object *body);
/* With Retry-After, WWW-Authenticate and problem+json where they belong. */
void http_reply_error(struct http_req *req, const struct error *err);
bool http_replied(struct http_req *req);

/* ---- Server-sent events -------------------------------------------- */

/*
 * A stream outlives its request's fiber.  Sending never suspends.  It is
 * closed when the peer goes (on_close is called, once), or by sse_close; the
 * struct is gone after either.  Callbacks come from the loop's own stack, never
 * from inside one of these calls.  A comment is sent every 15 s by itself.
 */
struct sse;
struct rcbuf;

struct sse_ops {
	void (*on_close)(struct sse *s, void *arg); /* the peer is gone */
	void (*on_drain)(struct sse *s, void *arg); /* output below low water */
};

/* Never NULL: when the peer is gone already, on_close follows. */
struct sse *sse_open(struct http_req *req, const struct sse_ops *ops,
    void *arg);
/* event may be NULL, id < 0: none.  data must hold no newline. */
void sse_send(struct sse *s, const char *event, int64_t id,
    const struct rcbuf *data);
size_t sse_pending(const struct sse *s); /* bytes not yet taken by the peer */
/* Flushes, then ends the response.  on_close is not called. */
void sse_close(struct sse *s);

#endif
