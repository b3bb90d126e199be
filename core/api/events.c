/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/chat/stream_poll.h"

/* The log over HTTP: pages of JSON, long polling, and server-sent events. */

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
#define WAIT_MAX_S 30

/* ---- Server-sent events -------------------------------------------- */

/* Ends with whichever is first: the peer goes, or the stream is over. */
struct sse_reader {
	struct sse *sse;
	struct stream *stream;
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
reader_over(void *arg, enum stream_over why)
{
	struct sse_reader *r = arg;

	(void)why; /* a client that was cut off comes back with its cursor */
	sse_close(r->sse);
	free(r);
}

static void
on_sse_close(struct sse *s, void *arg)
{
	struct sse_reader *r = arg;

	(void)s;
	stream_close(r->stream);
	free(r);
}

static void
on_sse_drain(struct sse *s, void *arg)
{
	struct sse_reader *r = arg;

	(void)s;
	stream_drained(r->stream);
}

void
events_stream(struct http_req *req, const struct stream_config *config)
{
	static const struct sse_ops sse_ops = { .on_close = on_sse_close,
		.on_drain = on_sse_drain };
	static const struct stream_ops ops = { .send = reader_send,
		.pending = reader_pending,
		.over = reader_over };
	struct sse_reader *r = xcalloc(1, sizeof(*r));
	struct error err = { 0 };

	r->stream = stream_open(config, &ops, r);
	if (r->stream == NULL) {
		free(r);
		error_set(&err, ERR_UNAVAILABLE, "too many fibers");
		api_fail(req, &err);
		return;
	}
	r->sse = sse_open(req, &sse_ops, r);
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

	if (m->seq == 0)
		return;
	w->rang = true;
	fiber_wake(w->wait);
}

/* The first read finds events, or the bell rings, or the time is up. */
static SUSPENDS enum as_status
read_or_wait(struct app *app, enum log_of of, struct uuid id,
    struct uuid thread_id, int64_t after, int limit, int64_t wait_s,
    struct log_event **out, int *n, struct error *err)
{
	uint64_t until = loop_now_ms(app->loop) + (uint64_t)wait_s * 1000;
	struct waiter *w = xcalloc(1, sizeof(*w));
	struct bus_sub *sub = bus_subscribe(app->bus, thread_id, on_ring, w);
	enum as_status st;

	for (;;) {
		uint64_t next = until;

		w->rang = false;
		st = log_read(app->store, of, id, after, limit, out, n, err);
		if (st != AS_OK || *n > 0 || loop_now_ms(app->loop) >= until)
			break;
		/* What another process writes does not ring here. */
		if (app->poll != NULL)
			next = loop_now_ms(app->loop) + STREAM_POLL_MS;
		w->wait = fiber_prepare();
		if (!w->rang && fiber_suspend(next < until ? next : until) ==
				    FIBER_CANCELED)
			break;
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

static SUSPENDS void
page_serve(struct http_req *req, enum log_of of, struct uuid id,
    struct uuid thread_id, int64_t after)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct log_event *events = NULL;
	struct error err = { 0 };
	int64_t limit, wait, head = 0;
	int n = 0;
	enum as_status st;

	st = http_query_int(req, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit,
	    &err);
	if (st == AS_OK)
		st = http_query_int(req, "wait", 0, 0, WAIT_MAX_S, &wait, &err);
	if (st == AS_OK && wait > 0)
		fiber_deadline_set(loop_now_ms(app_of(req)->loop) +
				   (uint64_t)(wait + 10) * 1000);
	if (st == AS_OK)
		st = read_or_wait(app_of(req), of, id, thread_id, after,
		    (int)limit, wait, &events, &n, &err);
	if (st == AS_OK)
		st = log_head(&ctx, of, id, &head, &err);
	if (st == AS_OK)
		page_answer(req, events, n, head);
	else
		api_fail(req, &err);
	log_events_free(events, n);
}

/* Last-Event-ID is what a browser sends when it reconnects. */
static enum as_status
cursor_read(struct http_req *req, int64_t *after, struct error *err)
{
	const char *id = http_header(req, "last-event-id");
	enum as_status st = http_query_int(req, "after", 0, 0, INT64_MAX, after,
	    err);

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

	st = cursor_read(req, &after, &err);
	if (st == AS_OK)
		st = log_head(&ctx, of, id, &head, &err);
	if (st == AS_OK && after > head) {
		st = error_set(&err, ERR_CURSOR_AHEAD,
		    "the cursor is %lld, the log ends at %lld",
		    (long long)after, (long long)head);
	}
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	if (!http_accepts(req, "text/event-stream")) {
		page_serve(req, of, id, thread_id, after);
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
