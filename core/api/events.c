/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/internal.h"
#include "core/api/seats.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/chat/stream_poll.h"

/* The log over HTTP: pages of JSON, long polling, and server-sent events. */

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
#define WAIT_MAX_S 30

/* ---- Server-sent events -------------------------------------------- */

/*
 * Ends with whichever is first: the peer goes, what feeds it is over, or the
 * credential has expired.  Why it was not the peer is the last event.
 */
struct sse_reader {
	struct app *app;
	struct sse *sse;
	const struct feed_ops *ops;
	void *feed;
	struct uuid user_id; /* who takes a seat */
	struct loop_timer expiry;
};

static void
reader_send(void *arg, const char *type, int64_t id, struct rcbuf *frame)
{
	struct sse_reader *r = arg;

	sse_send(r->sse, type, id, frame);
}

static size_t
reader_pending(void *arg)
{
	struct sse_reader *r = arg;

	return sse_pending(r->sse);
}

static void
reader_free(struct sse_reader *r)
{
	loop_timer_clear(&r->expiry);
	seats_leave(r->app->seats, r->user_id);
	free(r);
}

static void
reader_end(struct sse_reader *r, enum error_code code, const char *why)
{
	struct json_object *o = jobj();
	struct rcbuf *frame;
	const char *text;

	jput_int(o, "v", 1);
	jput_str(o, "type", "error");
	jput_str(o, "code", error_name(code));
	jput_str(o, "message", why);
	jput_null(o, "retry_after");
	text = json_text(o);
	frame = rcbuf_new(text, strlen(text));
	sse_send(r->sse, "error", -1, frame);
	rcbuf_unref(frame);
	json_object_put(o);
}

/* A client that was cut off comes back with its cursor, if it may. */
static void
reader_over(void *arg, enum stream_over why)
{
	struct sse_reader *r = arg;

	switch (why) {
	case STREAM_RUN_ENDED:
		break;
	case STREAM_SLOW:
		reader_end(r, ERR_SLOW_READER, "slow reader");
		break;
	case STREAM_SIGNED_OUT:
		reader_end(r, ERR_AUTH_REQUIRED, "the session has ended");
		break;
	case STREAM_ROLE_CHANGED:
		reader_end(r, ERR_FORBIDDEN, "your role has changed");
		break;
	case STREAM_NO_THREAD:
		reader_end(r, ERR_NOT_FOUND, "no such thread");
		break;
	case STREAM_BROKEN:
		reader_end(r, ERR_UNAVAILABLE, "the log cannot be read");
	}
	sse_close(r->sse);
	reader_free(r);
}

static void
on_expiry(struct loop_timer *t)
{
	struct sse_reader *r = container_of(t, struct sse_reader, expiry);

	r->ops->close(r->feed);
	reader_end(r, ERR_TOKEN_EXPIRED, "the token has expired");
	sse_close(r->sse);
	reader_free(r);
}

static void
on_sse_close(struct sse *s, void *arg)
{
	struct sse_reader *r = arg;

	(void)s;
	r->ops->close(r->feed);
	reader_free(r);
}

static void
on_sse_drain(struct sse *s, void *arg)
{
	struct sse_reader *r = arg;

	(void)s;
	r->ops->drained(r->feed);
}

static struct sse_reader *
reader_new(struct http_req *req, const struct feed_ops *feed)
{
	const struct principal *who = api_who(req);
	struct sse_reader *r = xcalloc(1, sizeof(*r));
	struct app *app = app_of(req);
	int64_t left_ms = (who->expires_us - clock_wall_us()) / 1000 +
			  app->settings->auth.grace;

	r->app = app;
	r->ops = feed;
	r->user_id = who->user_id;
	(void)seats_take(app->seats, who->user_id, INT64_MAX);
	r->expiry.fn = on_expiry;
	if (who->expires_us > 0)
		loop_timer_set(app->loop, &r->expiry,
		    loop_now_ms(app->loop) +
			(uint64_t)(left_ms > 0 ? left_ms : 1));
	return r;
}

enum as_status
events_room(struct http_req *req, struct error *err)
{
	struct app *app = app_of(req);

	if (seats_have_room(app->seats, api_who(req)->user_id,
		app->settings->server.sockets_per_user))
		return AS_OK;
	return error_set(err, ERR_RATE_LIMITED, "too many live streams");
}

void
events_feed(struct http_req *req, const struct feed_ops *feed,
    const void *config)
{
	static const struct sse_ops sse_ops = { .on_close = on_sse_close,
		.on_drain = on_sse_drain };
	static const struct stream_ops ops = { .send = reader_send,
		.pending = reader_pending,
		.over = reader_over };
	struct sse_reader *r = reader_new(req, feed);
	struct error err = { 0 };

	r->feed = feed->open(config, &ops, r);
	if (r->feed == NULL) {
		reader_free(r);
		error_set(&err, ERR_UNAVAILABLE, "too many fibers");
		api_fail(req, &err);
		return;
	}
	r->sse = sse_open(req, &sse_ops, r);
}

static void *
thread_feed_open(const void *config, const struct stream_ops *ops, void *arg)
{
	return stream_open(config, ops, arg);
}

static void
thread_feed_drained(void *of)
{
	stream_drained(of);
}

static void
thread_feed_close(void *of)
{
	stream_close(of);
}

void
events_stream(struct http_req *req, const struct stream_config *config)
{
	static const struct feed_ops ops = { .open = thread_feed_open,
		.drained = thread_feed_drained,
		.close = thread_feed_close };

	events_feed(req, &ops, config);
}

/* ---- Pages --------------------------------------------------------- */

struct waiter {
	struct fiber_wait wait;
	bool rang;
};

static void
on_ring(const struct bus_msg *m, void *arg)
{
	struct waiter *w = arg;

	if (m->seq == 0 && !m->look)
		return;
	w->rang = true;
	fiber_wake(w->wait);
}

/*
 * Until it rings, it is time to look (what another process writes does not ring
 * here), the time is up, or the server ends.  False: cancelled.
 */
static SUSPENDS bool
ring_wait(struct app *app, struct waiter *w, uint64_t until)
{
	uint64_t now = loop_now_ms(app->loop), next;

	for (; !w->rang && !app->draining && now < until;
	     now = loop_now_ms(app->loop)) {
		next = now + STREAM_POLL_MS;
		w->wait = fiber_prepare();
		if (fiber_suspend(next < until ? next : until) ==
		    FIBER_CANCELED)
			return false;
		if (app->poll != NULL)
			break;
	}
	return true;
}

/* The first read finds events, or the bell rings, or the time is up. */
static SUSPENDS enum as_status
read_or_wait(struct app *app, enum log_of of, struct uuid id,
    struct uuid thread_id, int64_t after, int limit, uint64_t until,
    struct log_event **out, int *n, struct error *err)
{
	struct waiter *w = xcalloc(1, sizeof(*w));
	struct bus_sub *sub = bus_subscribe(app->bus, thread_id, on_ring, w);
	enum as_status st;

	for (;;) {
		w->rang = false;
		st = log_read(app->store, of, id, after, limit, out, n, err);
		if (st != AS_OK || *n > 0 || app->draining ||
		    loop_now_ms(app->loop) >= until)
			break;
		if (!ring_wait(app, w, until))
			break;
		log_events_free(*out, *n);
	}
	bus_unsubscribe(sub);
	free(w);
	return st;
}

static void
page_answer(struct http_req *req, struct log_event *events, int n, int64_t head)
{
	struct buf b = { 0 };

	buf_add_str(&b, "{\"items\":[");
	for (int i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(&b, ',');
		buf_add(&b, events[i].frame->data, events[i].frame->len);
	}
	buf_printf(&b, "],\"head\":%lld}", (long long)head);
	http_reply(req, 200, "application/json", b.data, b.len);
	buf_free(&b);
}

enum as_status
events_query(struct http_req *req, int64_t *limit, int64_t *wait,
    uint64_t *until_ms, struct error *err)
{
	uint64_t now = loop_now_ms(app_of(req)->loop);
	enum as_status st = http_query_int(req, "limit", LIMIT_DEFAULT, 1,
	    LIMIT_MAX, limit, err);

	if (st == AS_OK)
		st = http_query_int(req, "wait", 0, 0, WAIT_MAX_S, wait, err);
	if (st != AS_OK)
		return st;
	*until_ms = now + (uint64_t)*wait * 1000;
	if (*wait > 0)
		fiber_deadline_set(*until_ms + 10000);
	return AS_OK;
}

/* Whoever has waited may have lost the right to hear of it. */
static SUSPENDS enum as_status
read_again_allowed(struct http_req *req, enum log_of of, struct uuid id,
    struct error *err)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	enum as_status st = auth_again(ctx.store, &ctx.who, err);
	int64_t head;

	return st == AS_OK ? log_head(&ctx, of, id, &head, err) : st;
}

/*
 * head: as it was before the read.  What comes after that is told of only with
 * its events, so whoever goes on from the head of a whole page misses nothing.
 */
static SUSPENDS void
page_serve(struct http_req *req, enum log_of of, struct uuid id,
    struct uuid thread_id, int64_t after, int64_t head)
{
	struct log_event *events = NULL;
	struct error err = { 0 };
	int64_t limit, wait, last = 0;
	uint64_t until;
	int n = 0;
	enum as_status st = events_query(req, &limit, &wait, &until, &err);

	if (st == AS_OK)
		st = read_or_wait(app_of(req), of, id, thread_id, after,
		    (int)limit, until, &events, &n, &err);
	if (st == AS_OK && wait > 0)
		st = read_again_allowed(req, of, id, &err);
	if (st == AS_OK && n > 0)
		last = of == LOG_OF_RUN ? events[n - 1].run_seq
					: events[n - 1].seq;
	if (st == AS_OK)
		page_answer(req, events, n, last > head ? last : head);
	else
		api_fail(req, &err);
	log_events_free(events, n);
}

/* Last-Event-ID is what a browser sends when it reconnects. */
enum as_status
events_cursor(struct http_req *req, int64_t absent, int64_t *after,
    struct error *err)
{
	const char *id = http_header(req, "last-event-id");
	enum as_status st = http_query_int(req, "after", absent, 0, INT64_MAX,
	    after, err);

	if (st == AS_OK && id != NULL && !text_to_int(id, 0, INT64_MAX, after))
		st = error_field(err, "Last-Event-ID",
		    "must be the id of an event");
	return st;
}

SUSPENDS void
events_serve(struct http_req *req, enum log_of of, struct uuid id,
    struct uuid thread_id)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct stream_config config;
	struct error err = { 0 };
	int64_t after, head = 0;
	enum as_status st;

	st = events_cursor(req, 0, &after, &err);
	if (st == AS_OK)
		st = log_head(&ctx, of, id, &head, &err);
	if (st == AS_OK && after > head) {
		st = error_set(&err, ERR_CURSOR_AHEAD,
		    "the cursor is %lld, the log ends at %lld",
		    (long long)after, (long long)head);
	}
	if (st != AS_OK) {
		api_refuse(req, &err);
		return;
	}
	if (!http_accepts(req, "text/event-stream")) {
		page_serve(req, of, id, thread_id, after, head);
		return;
	}
	if (events_room(req, &err) != AS_OK) {
		api_refuse(req, &err);
		return;
	}
	config = stream_config_of(app_of(req), &ctx.who);
	config.thread_id = thread_id;
	config.after = after;
	if (of == LOG_OF_RUN) {
		config.run_id = id;
		config.by_run = true;
	}
	events_stream(req, &config);
}
