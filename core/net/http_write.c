/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/net/http_impl.h"

/*
 * Output of a connection.
 *
 * An answer is written at once, with one call; only what the socket did not
 * take goes to an evbuffer, and only then EV_WRITE is armed.  Streams add to
 * the evbuffer and flush at the turn's end, so that all frames of a turn leave
 * in one call.  A connection without waiting output has no evbuffer.
 */

#define FLUSH_ROUNDS 16
#define COPY_MAX 512 /* a payload this small is not worth a reference */

static struct evbuffer *
conn_out(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->out != NULL)
		return c->out;
	c->out = s->spare_out;
	s->spare_out = NULL;
	if (c->out == NULL)
		c->out = evbuffer_new();
	MUST(c->out != NULL);
	return c->out;
}

static void
conn_out_put(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (s->spare_out == NULL)
		s->spare_out = c->out;
	else
		evbuffer_free(c->out);
	c->out = NULL;
}

size_t
conn_pending(const struct http_conn *c)
{
	return c->out != NULL ? evbuffer_get_length(c->out) : 0;
}

static bool
write_is_lost(int e)
{
	return e != EAGAIN && e != EWOULDBLOCK && e != EINTR;
}

/* Drop what was written from the vector; returns the new count. */
static int
iov_drain(struct iovec **iov, int n, size_t done)
{
	while (n > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		n--;
	}
	if (n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
	return n;
}

static void
conn_want_write(struct http_conn *c)
{
	if (!c->wr_on) {
		event_add(&c->wr, NULL);
		c->wr_on = true;
	}
}

void
conn_writev(struct http_conn *c, struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t done;
	int i;

	if (c->state == CONN_CLOSED)
		return;
	if (c->out == NULL) {
		done = sendmsg(c->fd, &m, MSG_NOSIGNAL);
		if (done < 0 && write_is_lost(errno)) {
			conn_close(c);
			return;
		}
		n = iov_drain(&iov, n, done > 0 ? (size_t)done : 0);
		if (n == 0)
			return;
		conn_want_write(c);
	}
	for (i = 0; i < n; i++)
		evbuffer_add(conn_out(c), iov[i].iov_base, iov[i].iov_len);
}

static void
conn_added(struct http_conn *c)
{
	if (conn_pending(c) > CONN_LOW_WATER)
		c->high = true;
	if (conn_pending(c) > CONN_OUT_MAX)
		conn_close(c);
	else if (!c->wr_on)
		conn_mark(c);
}

void
conn_add(struct http_conn *c, const void *p, size_t len)
{
	if (c->state == CONN_CLOSED)
		return;
	evbuffer_add(conn_out(c), p, len);
	conn_added(c);
}

static void
rcbuf_done(const void *p, size_t len, void *arg)
{
	(void)p;
	(void)len;
	rcbuf_unref(arg);
}

void
conn_add_rcbuf(struct http_conn *c, const struct rcbuf *r)
{
	struct rcbuf *mine;

	if (c->state == CONN_CLOSED || r->len == 0)
		return;
	if (r->len <= COPY_MAX) {
		conn_add(c, r->data, r->len);
		return;
	}
	/* The count is not part of what is promised not to change. */
	mine = rcbuf_ref((struct rcbuf *)(uintptr_t)r);
	if (evbuffer_add_reference(conn_out(c), r->data, r->len, rcbuf_done,
		mine) != 0)
		rcbuf_unref(mine);
	conn_added(c);
}

void
conn_add_file(struct http_conn *c, int fd, int64_t at, int64_t len)
{
	if (c->state == CONN_CLOSED) {
		evutil_closesocket(fd);
		return;
	}
	evbuffer_set_flags(conn_out(c), EVBUFFER_FLAG_DRAINS_TO_FD);
	if (evbuffer_add_file(conn_out(c), fd, at, len) != 0) {
		evutil_closesocket(fd);
		conn_close(c);
		return;
	}
	conn_mark(c);
}

void
conn_flush(struct http_conn *c)
{
	int i;

	if (c->state == CONN_CLOSED || c->out == NULL)
		return;
	for (i = 0; i < FLUSH_ROUNDS && conn_pending(c) > 0; i++) {
		int n = evbuffer_write(c->out, c->fd);

		if (n < 0 && !write_is_lost(errno))
			break;
		if (n <= 0) {
			conn_close(c);
			return;
		}
	}
	if (conn_pending(c) > 0) {
		conn_want_write(c);
		return;
	}
	if (c->wr_on) {
		event_del(&c->wr);
		c->wr_on = false;
	}
	conn_out_put(c);
}

/* Whoever stopped at its budget may go on. */
void
conn_tell_drained(struct http_conn *c)
{
	if (!c->high || conn_pending(c) > CONN_LOW_WATER)
		return;
	c->high = false;
	if (c->sse != NULL)
		sse_drained(c->sse);
	else if (c->ws != NULL)
		ws_drained(c->ws);
}

void
conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	(void)fd;
	(void)what;
	conn_flush(c);
	if (c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_FLUSH)
		conn_deadline(c, DL_WRITE);
	conn_tell_drained(c);
	if (c->out == NULL)
		conn_mark(c);
}
