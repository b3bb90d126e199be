/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/net/http_impl.h"

/*
 * Server-sent events: an answer without an end.  HTTP/1.1 gets chunks, one an
 * event; HTTP/1.0 gets the bare text and the connection's end.  HEAD gets the
 * head, and a stream that is gone at once.
 */

#define AGAIN_MS 1000u

struct sse {
	struct http_conn *conn; /* NULL: the peer had gone before sse_open */
	struct http_server *server;
	struct sse *next; /* orphans */
	const struct sse_ops
	    *ops; /* NULL: on_close was or will not be called */
	void *arg;
	size_t stuck; /* bytes that waited at the last heartbeat */
	size_t added; /* since then */
	bool chunked;
};

struct sse *
sse_open(struct http_req *req, const struct sse_ops *ops, void *arg)
{
	struct sse *s = xcalloc(1, sizeof(*s));
	struct http_server *server = req->server;
	struct http_conn *c = req->conn;

	MUST(!http_replied(req));
	s->server = server;
	s->ops = ops;
	s->arg = arg;
	s->chunked = req->parse.ll.http_minor == 1;
	http_set_header(req, "Cache-Control", "no-cache, no-transform");
	http_set_header(req, "X-Accel-Buffering", "no");
	if (s->chunked && !req_is_head(req))
		http_set_header(req, "Transfer-Encoding", "chunked");
	if (!req_is_head(req))
		req->keep_alive = false; /* the connection ends with it */
	if (c == NULL || c->state == CONN_CLOSED || req_is_head(req)) {
		http_reply(req, 200, "text/event-stream", NULL, 0);
		s->next = server->orphans;
		server->orphans = s;
		server_hook(server);
		return s;
	}
	reply_taken(req, 200);
	reply_head(req, 200, "text/event-stream", -1);
	s->conn = c;
	c->sse = s;
	c->state = CONN_SSE;
	c->close_after = false;
	conn_add(c, server->head.data, server->head.len);
	conn_deadline(c, DL_SSE);
	if (server->draining) /* its request was the last one */
		sse_shut(s);
	return s;
}

/* One chunk of three parts; data may be NULL. */
static void
sse_put(struct sse *s, const char *head, const struct rcbuf *data,
    const char *tail)
{
	struct http_conn *c = s->conn;
	size_t n = strlen(head) + strlen(tail), waited;
	char size[24];

	if (c == NULL || c->state != CONN_SSE || c->close_after)
		return;
	if (data != NULL)
		n += data->len;
	waited = conn_pending(c);
	if (s->chunked) {
		snprintf(size, sizeof(size), "%zx\r\n", n);
		conn_add(c, size, strlen(size));
	}
	conn_add(c, head, strlen(head));
	if (data != NULL)
		conn_add_rcbuf(c, data);
	conn_add(c, tail, strlen(tail));
	if (s->chunked)
		conn_add(c, "\r\n", 2);
	s->added += conn_pending(c) - waited;
}

void
sse_send(struct sse *s, const char *event, int64_t id, const struct rcbuf *data)
{
	char head[160];
	int n = 0;

	if (event != NULL)
		n = snprintf(head, sizeof(head), "event: %.64s\n", event);
	if (id >= 0)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "id: %lld\n",
		    (long long)id);
	snprintf(head + n, sizeof(head) - (size_t)n, "data: ");
	sse_put(s, head, data, "\n\n");
}

size_t
sse_pending(const struct sse *s)
{
	return s->conn != NULL ? conn_pending(s->conn) : 0;
}

/* A peer that has taken nothing between two heartbeats is gone. */
void
sse_beat(struct sse *s)
{
	size_t waits = conn_pending(s->conn);

	if (s->stuck > 0 && waits >= s->stuck + s->added) {
		conn_close(s->conn);
		return;
	}
	s->stuck = waits;
	s->added = 0;
	sse_put(s, ": ping\n\n", NULL, "");
}

void
sse_drained(struct sse *s)
{
	if (s->ops != NULL && s->ops->on_drain != NULL)
		s->ops->on_drain(s, s->arg);
}

struct sse *
sse_orphan_next(struct sse *s)
{
	return s->next;
}

static void
sse_end(struct sse *s)
{
	struct http_conn *c = s->conn;

	if (c == NULL || c->state != CONN_SSE || c->close_after)
		return;
	if (s->chunked)
		conn_add(c, "0\r\n\r\n", 5);
	c->close_after = true;
	conn_deadline(c, DL_WRITE);
	conn_mark(c);
}

void
sse_gone(struct sse *s)
{
	if (s->conn != NULL)
		s->conn->sse = NULL;
	if (s->ops != NULL && s->ops->on_close != NULL)
		s->ops->on_close(s, s->arg);
	free(s);
}

/*
 * The server stops: the stream ends properly, its owner is told later.  Its
 * readers come back by themselves, not all at the same moment.
 */
void
sse_shut(struct sse *s)
{
	char again[32];

	snprintf(again, sizeof(again), "retry: %u\n\n",
	    AGAIN_MS / 2 + randombytes_uniform(AGAIN_MS));
	sse_put(s, again, NULL, "");
	sse_end(s);
}

/*
 * An orphan stays in the list and is freed by the turn's end.  A stream that
 * ends leaves its connection to be flushed and closed.
 */
void
sse_close(struct sse *s)
{
	s->ops = NULL;
	if (s->conn == NULL)
		return;
	sse_end(s);
	s->conn->sse = NULL;
	free(s);
}
