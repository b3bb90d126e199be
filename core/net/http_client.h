/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_CLIENT_H
#define CORE_NET_HTTP_CLIENT_H

/*
 * HTTP client on libcurl's multi interface, one a loop.
 *
 * Two trust classes with a connection pool each: what the configuration names
 * is the admin's word; what a user, a model or an answer names passes the
 * guard, which checks the resolved address at connect time and again on reuse
 * of a connection (loopback, private, link-local, shared and metadata ranges,
 * also mapped into IPv6, are refused unless the allow-list has host:port).
 * Redirects are followed at most 5 times, within http and https, and never
 * carry a credential to another host.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/loop/fiber.h"

struct http_client;
struct http_stream;

enum http_trust {
	HTTP_GUARDED = 0, /* anybody may have named this URL */
	HTTP_TRUSTED /* the admin's configuration names it */
};

struct http_request {
	const char *method; /* NULL: GET, or POST with a body */
	const char *url;
	const char *const *headers; /* name, value, ..., NULL */
	const void *body;
	size_t body_len;
	enum http_trust trust;
	const char *const *allow; /* host:port a guarded one may reach */
	int64_t connect_ms; /* default 5,000 */
	int64_t idle_ms; /* silence; default 30,000 */
	size_t max_body; /* of http_read_all; 0: 8 MiB */
	int max_redirects; /* -1: none; 0: default of 5 */
	/* A redirect to another host is the answer itself, not followed. */
	bool same_host;
	/* The setting that has `allow`, for the guard's sentence; or NULL. */
	const char *allow_name;
};

struct http_response_head {
	int status;
	/* lower-case name, value, ..., NULL; lives as long as the stream */
	const char *const *headers;
};

struct http_client *http_client_new(struct loop *loop);
/* Before loop_free; every stream must have been closed. */
void http_client_free(struct http_client *c);

/*
 * Sends, and returns when the head of the final answer is there.  The deadline
 * is the fiber's.  If *out is not NULL it must be closed, also after failure.
 * UNAVAILABLE: no connection; TIMEOUT: the deadline, or idle_ms of silence;
 * FORBIDDEN: the guard said no; INVALID: a URL, method or header that cannot
 * be sent; UPSTREAM: the answer is not HTTP, or redirects to nowhere.
 * err->extra has "sent": true when bytes of the request may have left; after
 * the head that is so for every failure.
 * Nothing is sent twice, unless its method may be repeated and the other side
 * had closed an idle connection.
 */
SUSPENDS enum as_status http_open(struct http_client *c,
    const struct http_request *req, struct http_stream **out,
    struct error *err);
const struct http_response_head *http_head(const struct http_stream *s);
/* Up to cap bytes; *n = 0 at the end. */
SUSPENDS enum as_status http_read(struct http_stream *s, void *buf, size_t cap,
    size_t *n, struct error *err);
/* All that has come, malloc()ed and NUL-terminated; *n = 0 at the end. */
SUSPENDS enum as_status http_take(struct http_stream *s, char **out, size_t *n,
    struct error *err);
/* The rest of the body, malloc()ed, NUL-terminated; LIMIT beyond max_body. */
SUSPENDS enum as_status http_read_all(struct http_stream *s, char **out,
    size_t *len, struct error *err);
void http_close(struct http_stream *s); /* never suspends; NULL is fine */

/* Is this address one that only an admin may open?  Exposed for tests. */
struct sockaddr;
bool http_guard_refuses(const struct sockaddr *sa);

#endif
