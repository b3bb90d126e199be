/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/event.h"

#include <string.h>

#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Frames are spliced from a body that is already JSON text, so that what is
 * shown is byte for byte what is stored.
 */

#define HEAD_LEN 256 /* what stands before a body, about */

void
event_list_add(struct event_list *l, const char *type, struct buf *body)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 8;
		l->items = xrealloc(l->items,
		    (size_t)l->cap * sizeof(*l->items));
	}
	l->items[l->n].type = type;
	l->items[l->n++].body = buf_take(body);
}

void
event_list_truncate(struct event_list *l, int n)
{
	while (l->n > n)
		free(l->items[--l->n].body);
}

void
event_list_clear(struct event_list *l)
{
	for (int i = 0; i < l->n; i++)
		free(l->items[i].body);
	free(l->items);
	memset(l, 0, sizeof(*l));
}

void
event_texts_write(struct event_texts *t, const struct event_list *l)
{
	buf_add_char(&t->types, '[');
	buf_add_char(&t->payloads, '[');
	for (int i = 0; i < l->n; i++) {
		buf_add_str(&t->types, i > 0 ? ",\"" : "\"");
		buf_add_str(&t->types, l->items[i].type);
		buf_add_char(&t->types, '"');
		if (i > 0)
			buf_add_char(&t->payloads, ',');
		buf_add_str(&t->payloads, l->items[i].body);
	}
	buf_add_char(&t->types, ']');
	buf_add_char(&t->payloads, ']');
}

void
event_texts_free(struct event_texts *t)
{
	buf_free(&t->types);
	buf_free(&t->payloads);
}

/* Not printf: a frame is made for every piece of text that is shown. */
static void
add_id(struct buf *b, const char *member, struct uuid id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	buf_add_str(b, member);
	buf_add(b, text, UUID_TEXT - 1);
	buf_add_char(b, '"');
}

static void
add_int(struct buf *b, const char *member, int64_t i)
{
	buf_add_str(b, member);
	buf_add_int(b, i);
}

static void
add_ns(struct buf *b, const char *ns)
{
	if (ns[0] == '\0')
		return;
	buf_add_str(b, EVENT_NS);
	buf_add_json_str(b, ns, strlen(ns));
}

static void
frame_begin(struct buf *b, const char *type, size_t len)
{
	buf_reserve(b, HEAD_LEN + len);
	buf_add_str(b, "{\"v\":1,\"type\":\"");
	buf_add_str(b, type);
	buf_add_char(b, '"');
}

static struct rcbuf *
frame_end(struct buf *b)
{
	struct rcbuf *r = rcbuf_new(b->data, b->len);

	buf_free(b);
	return r;
}

struct rcbuf *
event_frame(const char *type, int64_t seq, int64_t run_seq, struct uuid run_id,
    int64_t ts_us, const char *body)
{
	return event_frame_ns(type, seq, run_seq, run_id, "", ts_us, body);
}

struct rcbuf *
event_frame_ns(const char *type, int64_t seq, int64_t run_seq,
    struct uuid run_id, const char *ns, int64_t ts_us, const char *body)
{
	char ts[TEXT_TIME_LEN];
	struct buf b = { 0 };

	frame_begin(&b, type, body != NULL ? strlen(body) : 0);
	if (seq > 0) {
		add_int(&b, ",\"seq\":", seq);
		add_int(&b, ",\"run_seq\":", run_seq);
	}
	if (seq > 0 || !uuid_is_nil(run_id))
		add_id(&b, ",\"run_id\":\"", run_id);
	add_ns(&b, ns);
	if (seq > 0) {
		text_time(ts, ts_us);
		buf_add_str(&b, ",\"ts\":\"");
		buf_add_str(&b, ts);
		buf_add_char(&b, '"');
	}
	if (body != NULL && body[0] == '{' && body[1] != '}') {
		buf_add_char(&b, ',');
		buf_add_str(&b, body + 1);
	} else
		buf_add_char(&b, '}');
	return frame_end(&b);
}

void
event_list_add_status(struct event_list *l, enum run_status state,
    const char *reason, const struct error *error,
    const struct run_usage *usage)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "status", run_is_open(state) ? "running" : "end");
	jw_str(&b, "state", run_status_name(state));
	jw_str(&b, "reason", reason);
	if (error != NULL)
		run_error_write(&b, "error", error, state);
	if (usage != NULL)
		run_usage_write(&b, "usage", usage);
	jw_close(&b);
	event_list_add(l, "run_status", &b);
}

void
event_queued_write(struct buf *b, const char *reason, int64_t position,
    int64_t est_wait_ms)
{
	jw_open(b, NULL);
	jw_str(b, "status", "running");
	jw_str(b, "state", run_status_name(RUN_QUEUED));
	jw_str(b, "reason", reason);
	jw_int(b, "position", position);
	if (est_wait_ms >= 0)
		jw_int(b, "est_wait_ms", est_wait_ms);
	else
		jw_null(b, "est_wait_ms");
	jw_close(b);
}

struct rcbuf *
event_delta_frame(const char *type, struct uuid run_id, const char *ns,
    struct uuid message_id, int64_t attempt, int64_t offset, const char *text,
    size_t len)
{
	struct buf b = { 0 };

	frame_begin(&b, type, len);
	add_id(&b, ",\"run_id\":\"", run_id);
	add_ns(&b, ns);
	add_id(&b, ",\"message_id\":\"", message_id);
	add_int(&b, ",\"attempt\":", attempt);
	add_int(&b, ",\"offset\":", offset);
	buf_add_str(&b, ",\"delta\":");
	buf_add_json_str(&b, text, len);
	buf_add_char(&b, '}');
	return frame_end(&b);
}
