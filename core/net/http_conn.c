/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"

/*
 * The life of a connection: what is read goes to the parser, to the WebSocket
 * or, while a request is being answered, aside.
 *
 * One request at a time, so answers are in order.  Whatever ends in an error
 * is shut on our side first and read empty for a while, because a close with
 * unread input would reset the connection and destroy the answer.
 */

#define LINGER_BYTES (256u * 1024)
#define LINGER_MESSAGES 8 /* of a WebSocket, at their largest */
#define DISCARD_MAX 65536 /* of a body nobody will read */

void
conn_mark(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = s->dirty;
	s->dirty = c;
	server_hook(s);
}

void
conn_reading(struct http_conn *c, bool on)
{
	if (c->eof)
		on = false;
	if (c->rd_on == on)
		return;
	if (on)
		event_add(&c->rd, NULL);
	else
		event_del(&c->rd);
	c->rd_on = on;
}

void
conn_close(struct http_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	conn_deadline(c, DL_NONE);
	event_del(&c->rd);
	event_del(&c->wr);
	close(c->fd);
	c->fd = -1;
	if (c->out != NULL)
		evbuffer_free(c->out);
	c->out = NULL;
	conn_mark(c);
}

static void
req_lose_peer(struct http_req *req)
{
	req->conn = NULL;
	if (!req->running)
		req_put(req);
	else if (req_is_safe(req))
		fiber_cancel(req->fiber);
}

void
conn_free(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->ws != NULL)
		ws_gone(c->ws);
	if (c->sse != NULL)
		sse_gone(c->sse);
	if (c->req != NULL)
		req_lose_peer(c->req);
	if (c->next != NULL)
		c->next->prev = c->prev;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	s->n_conns--;
	counter_add(s->gauge_conns, -1);
	buf_free(&c->in);
	free(c);
}

static size_t
conn_stashed(const struct http_conn *c)
{
	return c->in.len - c->in_off;
}

static void
conn_stash_drop(struct http_conn *c)
{
	buf_free(&c->in);
	c->in_off = 0;
}

/* Our side is done; what the peer still sends is thrown away. */
void
conn_shut(struct http_conn *c)
{
	if (c->state == CONN_CLOSED || c->state == CONN_LINGER)
		return;
	c->close_after = true;
	if (c->linger_left == 0)
		c->linger_left = c->ws == NULL
				     ? LINGER_BYTES
				     : LINGER_MESSAGES *
					   c->server->config.ws_max_message;
	if (conn_pending(c) > 0) {
		c->state = CONN_FLUSH;
		conn_deadline(c, DL_WRITE);
		conn_mark(c);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	if (c->eof) {
		conn_close(c);
		return;
	}
	c->state = CONN_LINGER;
	conn_stash_drop(c);
	conn_deadline(c, DL_LINGER);
	conn_reading(c, true);
}

static void
conn_idle(struct http_conn *c)
{
	if (c->close_after || (c->eof && conn_stashed(c) == 0)) {
		conn_shut(c);
		return;
	}
	c->state = CONN_IDLE;
	conn_deadline(c, DL_IDLE);
	if (conn_stashed(c) > 0)
		conn_mark(c);
	else
		conn_reading(c, true);
}

void
conn_request_end(struct http_req *req)
{
	struct http_conn *c = req->conn;
	bool keep = req->keep_alive;

	req_account(req);
	if (c != NULL)
		c->req = NULL;
	req_put(req);
	if (c == NULL || c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_SSE || c->state == CONN_WS) {
		conn_mark(c);
		return;
	}
	if (!keep || c->server->announced || c->server->draining)
		c->close_after = true;
	c->state = CONN_FLUSH;
	if (conn_pending(c) > 0)
		conn_deadline(c, DL_WRITE);
	else
		conn_idle(c);
}

void
conn_refuse(struct http_conn *c, enum error_code code, const char *detail)
{
	struct error err = { 0 };

	if (c->req == NULL)
		c->req = req_take(c->server, c);
	c->req->keep_alive = false;
	c->state = CONN_BUSY;
	conn_deadline(c, DL_NONE);
	error_set(&err, code, "%s", detail);
	http_reply_error(c->req, &err);
	error_clear(&err);
	conn_request_end(c->req);
}

/* ---- A request arrives --------------------------------------------- */

static void
conn_parse_failed(struct http_conn *c)
{
	struct http_req *req = c->req;

	if (req->refused) {
		req->keep_alive = false;
		c->state = CONN_BUSY;
		http_reply_error(req, &req->refusal);
		conn_request_end(req);
		return;
	}
	conn_refuse(c, req->parse.error, req->parse.reason);
}

static void
conn_message_done(struct http_conn *c)
{
	struct http_req *req = c->req;

	c->state = CONN_BUSY;
	conn_deadline(c, DL_NONE);
	if (req->refused)
		http_reply_error(req, &req->refusal);
	else if (req->preflight)
		cors_preflight(req);
	else if (req_start(req))
		return;
	else
		http_reply_error(req, &req->refusal);
	conn_request_end(req);
}

static bool
body_is_declared_too_large(const struct http_parse *p)
{
	return !p->chunked && p->content_length > p->max_body;
}

static void
conn_head_done(struct http_conn *c, size_t more)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_req *req = c->req;
	struct http_parse *p = &req->parse;
	struct iovec iov = { (void *)(uintptr_t)go_on, sizeof(go_on) - 1 };

	c->state = CONN_BODY;
	req_head_done(req);
	if (req->refused) {
		p->discard = true;
		p->max_body = DISCARD_MAX;
	}
	if (!p->has_body)
		return;
	if (req->refused &&
	    (p->expects_continue || body_is_declared_too_large(p)))
		conn_parse_failed(c);
	else if (body_is_declared_too_large(p))
		conn_refuse(c, ERR_TOO_LARGE, "the body is too large");
	else if (p->expects_continue && more == 0)
		conn_writev(c, &iov, 1);
}

static void
conn_request_begin(struct http_conn *c)
{
	c->req = req_take(c->server, c);
	c->state = CONN_HEAD;
}

static bool
conn_is_receiving(const struct http_conn *c, size_t len)
{
	return c->state == CONN_HEAD || c->state == CONN_BODY ||
	       (c->state == CONN_IDLE && len > 0);
}

static void
conn_stash(struct http_conn *c, const char *p, size_t len)
{
	if (c->close_after || c->state == CONN_CLOSED ||
	    c->state == CONN_LINGER)
		return;
	if (len == 0)
		return;
	buf_drain(&c->in, c->in_off);
	c->in_off = 0;
	buf_add(&c->in, p, len);
	if (conn_stashed(c) > CONN_STASH_MAX)
		conn_reading(c, false);
}

/* Returns how many bytes were consumed. */
static size_t
conn_feed(struct http_conn *c, const char *p, size_t len)
{
	enum http_parse_result r = HTTP_PARSE_DONE;
	size_t at = 0, used;

	while (conn_is_receiving(c, len - at) && r != HTTP_PARSE_MORE) {
		if (c->state == CONN_IDLE)
			conn_request_begin(c);
		r = http_parse_feed(&c->req->parse, p + at, len - at, &used);
		at += used;
		if (r == HTTP_PARSE_HEAD)
			conn_head_done(c, len - at);
		else if (r == HTTP_PARSE_DONE)
			conn_message_done(c);
		else if (r == HTTP_PARSE_ERROR)
			conn_parse_failed(c);
	}
	if (c->state == CONN_HEAD && c->dl != DL_HEAD)
		conn_deadline(c, DL_HEAD);
	else if (c->state == CONN_BODY && c->dl != DL_BODY)
		conn_deadline(c, DL_BODY);
	return at;
}

/* ---- Events -------------------------------------------------------- */

static void
conn_on_eof(struct http_conn *c)
{
	c->eof = true;
	conn_reading(c, false);
	switch (c->state) {
	case CONN_BUSY:
		/* It may have shut its side only; a quick answer still goes. */
		conn_deadline(c, DL_GONE);
		break;
	case CONN_FLUSH:
		break;
	default:
		conn_close(c);
	}
}

static void
conn_on_data(struct http_conn *c, const char *p, size_t len)
{
	size_t used;

	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
		used = conn_feed(c, p, len);
		conn_stash(c, p + used, len - used);
		break;
	case CONN_BUSY:
	case CONN_FLUSH:
		conn_stash(c, p, len);
		break;
	case CONN_WS:
		if (conn_stashed(c) > 0)
			conn_stash(c, p, len);
		else
			ws_input(c->ws, p, len);
		break;
	case CONN_LINGER:
		if (len >= c->linger_left)
			conn_close(c);
		else
			c->linger_left -= len;
		break;
	default:
		break;
	}
}

static void
conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;
	char *scratch = c->server->scratch;
	ssize_t n;

	(void)what;
	n = read(fd, scratch, CONN_SCRATCH);
	if (n > 0)
		conn_on_data(c, scratch, (size_t)n);
	else if (n == 0)
		conn_on_eof(c);
	else if (errno != EAGAIN && errno != EINTR)
		conn_close(c);
}

static void
conn_unstash(struct http_conn *c)
{
	struct buf b = c->in;
	size_t at = c->in_off;

	/* Out of the way of whatever closes the connection. */
	memset(&c->in, 0, sizeof(c->in));
	c->in_off = 0;
	if (c->state == CONN_WS) {
		ws_input(c->ws, b.data + at, b.len - at);
		at = b.len;
	} else
		at += conn_feed(c, b.data + at, b.len - at);
	if (at < b.len && c->state != CONN_LINGER && c->state != CONN_CLOSED) {
		c->in = b;
		c->in_off = at;
	} else
		buf_free(&b);
	if (conn_stashed(c) <= CONN_STASH_MAX && c->state != CONN_CLOSED)
		conn_reading(c, true);
	if (c->eof && (c->state == CONN_IDLE || c->state == CONN_HEAD ||
			  c->state == CONN_BODY))
		conn_close(c);
}

void
conn_turn_end(struct http_conn *c)
{
	if (!c->wr_on)
		conn_flush(c);
	if (c->state == CONN_CLOSED)
		return;
	conn_tell_drained(c);
	if (c->out == NULL && c->close_after &&
	    (c->state == CONN_FLUSH || c->state == CONN_SSE ||
		c->state == CONN_WS))
		conn_shut(c);
	else if (c->out == NULL && c->state == CONN_FLUSH)
		conn_idle(c);
	if (conn_stashed(c) > 0 &&
	    (c->state == CONN_WS || c->state == CONN_IDLE))
		conn_unstash(c);
}

void
conn_expired(struct http_conn *c, enum conn_deadline which)
{
	switch (which) {
	case DL_HEAD:
	case DL_BODY:
		if (c->state == CONN_IDLE)
			conn_close(c);
		else
			conn_refuse(c, ERR_REQUEST_TIMEOUT,
			    "the request did not arrive in time");
		break;
	case DL_GONE:
		if (c->req != NULL && c->req->running && req_is_safe(c->req))
			fiber_cancel(c->req->fiber);
		break;
	case DL_SSE:
		conn_deadline(c, DL_SSE);
		sse_beat(c->sse);
		break;
	case DL_WS:
		conn_deadline(c, DL_WS);
		ws_beat(c->ws);
		break;
	default:
		conn_close(c);
	}
}

struct http_conn *
conn_new(struct http_server *s, int fd, const struct sockaddr *sa)
{
	struct http_conn *c = xcalloc(1, sizeof(*c));

	c->server = s;
	c->fd = fd;
	c->state = CONN_IDLE;
	peer_from_sockaddr(sa, &c->addr);
	event_assign(&c->rd, loop_base(s->loop), fd, EV_READ | EV_PERSIST,
	    conn_on_read, c);
	event_assign(&c->wr, loop_base(s->loop), fd, EV_WRITE | EV_PERSIST,
	    conn_on_write, c);
	c->next = s->conns;
	if (c->next != NULL)
		c->next->prev = c;
	s->conns = c;
	s->n_conns++;
	counter_add(s->gauge_conns, 1);
	conn_reading(c, true);
	conn_deadline(c, DL_HEAD);
	return c;
}
