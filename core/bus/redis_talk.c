/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/redis_impl.h"
#include "core/bus/redis_reader.h"

/*
 * Commands out, all of a turn in one write; answers in, in the order of the
 * questions.  Either may find that the connection is over.
 */

#define READ_SIZE 65536

/* ---- Sending ------------------------------------------------------- */

void
redis_write(struct redis *r)
{
	ssize_t n;

	while (r->out_off < r->out.len) {
		n = send(r->fd, r->out.data + r->out_off,
		    r->out.len - r->out_off, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			redis_drop_errno(r, "cannot write", errno);
			return;
		}
		r->out_off += (size_t)n;
	}
	if (r->out_off == r->out.len) {
		buf_reset(&r->out);
		r->out_off = 0;
		loop_watch_set(r->watch, LOOP_READ);
		return;
	}
	if (r->out_off > r->out.len / 2) {
		buf_drain(&r->out, r->out_off);
		r->out_off = 0;
	}
	loop_watch_set(r->watch, LOOP_READ | LOOP_WRITE);
}

void
redis_on_flush(struct loop_hook *h)
{
	struct redis *r = container_of(h, struct redis, flush);

	if (r->fd >= 0)
		redis_write(r);
}

/* Of so many parts, or bytes. */
static void
head_add(struct redis *r, char kind, size_t n)
{
	buf_add_char(&r->out, kind);
	buf_add_int(&r->out, (int64_t)n);
	buf_add(&r->out, "\r\n", 2);
}

void
redis_tell(struct redis *r, const struct redis_arg *args, size_t n)
{
	head_add(r, '*', n);
	for (size_t i = 0; i < n; i++) {
		head_add(r, '$', args[i].len);
		buf_add(&r->out, args[i].p, args[i].len);
		buf_add(&r->out, "\r\n", 2);
	}
	loop_at_turn_end(r->c.loop, &r->flush);
}

void
redis_ask(struct redis *r, const struct redis_arg *args, size_t n, redis_fn fn,
    void *arg)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	*r->tail = w;
	r->tail = &w->next;
	r->n_waiting++;
	redis_tell(r, args, n);
}

bool
redis_send(struct redis *r, const struct redis_arg *args, size_t n, redis_fn fn,
    void *arg)
{
	size_t bytes = r->out.len - r->out_off;

	for (size_t i = 0; i < n; i++)
		bytes += args[i].len;
	if (r->state != REDIS_UP || bytes > r->c.max_bytes ||
	    r->n_waiting >= r->c.max_waiting)
		return false;
	if (r->c.subscribes)
		redis_tell(r, args, n);
	else
		redis_ask(r, args, n, fn, arg);
	return true;
}

void
redis_answers_lost(struct redis *r)
{
	struct waiting *w = r->first, *next;

	r->first = NULL;
	r->tail = &r->first;
	r->n_waiting = 0;
	for (; w != NULL; w = next) {
		next = w->next;
		if (w->fn != NULL)
			w->fn(NULL, w->arg);
		free(w);
	}
}

/* ---- Receiving ----------------------------------------------------- */

/* A server that cannot serve: another one may be behind the name by now. */
static bool
is_fatal(const char *error)
{
	static const char *const fatal[] = { "READONLY", "LOADING",
		"MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM" };

	for (size_t i = 0; i < N_ITEMS(fatal); i++)
		if (strncmp(error, fatal[i], strlen(fatal[i])) == 0)
			return true;
	return false;
}

static void
take_answer(struct redis *r, const redisReply *reply)
{
	struct waiting *w = r->first;
	char why[160];

	if (w == NULL) {
		redis_drop(r, "it answers what was not asked");
		return;
	}
	if ((r->first = w->next) == NULL)
		r->tail = &r->first;
	r->n_waiting--;
	if (w->fn != NULL)
		w->fn(reply, w->arg);
	free(w);
	if (r->fd < 0 || reply->type != REDIS_REPLY_ERROR)
		return;
	snprintf(why, sizeof(why), "it refuses: %.*s",
	    (int)(reply->len < 120 ? reply->len : 120), reply->str);
	if (r->state == REDIS_GREET || is_fatal(reply->str))
		redis_drop(r, why);
	else
		log_warn("bus", "%s: %s", r->name, why);
}

static void
take(struct redis *r, const redisReply *reply)
{
	bool pong = reply->type == REDIS_REPLY_STATUS;

	if (r->state != REDIS_UP || !r->c.subscribes) {
		take_answer(r, reply);
		if (r->state == REDIS_GREET && r->first == NULL)
			redis_greeted(r);
	} else if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2)
		r->ops->push(r->arg, reply);
	else if (!pong)
		redis_drop(r, "it refuses a subscription");
}

static void
take_all(struct redis *r)
{
	struct redis_reader *reader = r->reader;
	redisReply *reply;

	r->reading = true;
	while (r->reader == reader) {
		if (!redis_reader_next(reader, &reply))
			redis_drop(r, "what it says is not the protocol");
		else if (reply == NULL)
			break;
		else {
			take(r, reply);
			freeReplyObject(reply);
		}
	}
	r->reading = false;
	if (r->reader != reader)
		redis_reader_free(reader);
}

void
redis_read(struct redis *r)
{
	char bytes[READ_SIZE / 16];
	int fd = r->fd;
	ssize_t n = 0;

	for (size_t had = 0; had < READ_SIZE && r->fd == fd; had += (size_t)n) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		else if (n < 0) {
			redis_drop_errno(r, "cannot read", errno);
			return;
		} else if (n == 0) {
			redis_drop(r, "it has closed the connection");
			return;
		}
		r->heard = true;
		if (!redis_reader_feed(r->reader, bytes, (size_t)n)) {
			redis_drop(r, "an answer is too large");
			return;
		}
		take_all(r);
		if (r->reader == NULL || (size_t)n < sizeof(bytes))
			return; /* there was no more */
	}
}
