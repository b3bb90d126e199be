/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_CLIENT_IMPL_H
#define CORE_NET_HTTP_CLIENT_IMPL_H

/*
 * What the files of the HTTP client share: http_client.c drives libcurl on the
 * loop, http_curl.c is what libcurl is told and what it calls, http_stream.c is
 * what fibers call.
 */

#include <arpa/inet.h>
#include <curl/curl.h>

#include "core/base/buf.h"
#include "core/net/http_client.h"
#include "core/net/http_hop.h"

#define HTTP_CLIENT_HIGH_WATER (64u * 1024) /* of a body that waits */
#define HTTP_CLIENT_HEAD_MAX (64u * 1024)
#define HTTP_CLIENT_HEADERS_MAX 200

/* One trust class: its connections are never used by the other. */
struct curl_pool {
	struct http_client *client;
	CURLM *multi;
	struct loop_timer timer;
};

struct http_client {
	struct loop *loop;
	struct curl_pool pools[HTTP_TRUSTED + 1];
	struct loop_hook work;
	struct http_stream *todo;
	struct http_stream *lingering;
	unsigned n_streams;
	bool is_dead;
};

struct http_stream {
	struct http_client *client;
	struct http_stream *next_todo;
	struct http_stream *next_lingering, **prev_lingering;
	struct loop_timer linger;
	struct curl_pool *pool;
	CURL *easy;
	struct curl_slist *headers;
	char *host;
	long port;
	const char *const *allow; /* the caller's, until the head is there */
	const char *allow_name;
	enum http_trust trust;
	struct fiber_wait wait;

	struct buf raw; /* name NUL value NUL ... */
	const char **pairs; /* into raw, once the head is complete */
	struct http_response_head head;
	size_t n_headers;

	struct buf body;
	size_t body_off; /* taken already */
	size_t max_body;

	int64_t connect_ms, idle_ms;
	uint64_t last_ms; /* of the latest sign of life */
	uint64_t until_ms; /* the fiber's deadline, 0: none */
	curl_off_t uploaded;
	CURLcode result;
	char refused[INET6_ADDRSTRLEN]; /* the address that the guard refused */
	char reason[CURL_ERROR_SIZE];

	bool is_todo, added, has_head, ended, paused, failed;
	bool closed; /* by its fiber; nothing is stored any more */
	bool is_lingering;
	bool sent, is_safe, head_too_large;
};

/* http_client.c: look at it at the end of the turn. */
void client_stream_todo(struct http_stream *s);
/* A sign of life: its fiber looks again. */
void client_stream_wake(struct http_stream *s);
/* Closed by its fiber: it is freed, or waits a moment for its end. */
void client_stream_closed(struct http_stream *s);

/* http_curl.c: a stream that is not started yet. */
struct http_stream *client_stream_new(struct http_client *c,
    const struct http_request *req, const struct hop *hop);

#endif
