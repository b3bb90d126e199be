/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/event.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Frames are spliced from a body that is already JSON text, so that what is
 * shown is byte for byte what is stored.
 */

void
event_list_add(struct event_list *l, const char *type, struct json_object *body)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 8;
		l->items = xrealloc(l->items,
		    (size_t)l->cap * sizeof(*l->items));
	}
	l->items[l->n].type = type;
	l->items[l->n++].body = xstrdup(json_text(body));
	json_object_put(body);
}

void
event_list_clear(struct event_list *l)
{
	for (int i = 0; i < l->n; i++)
		free(l->items[i].body);
	free(l->items);
	memset(l, 0, sizeof(*l));
}

struct rcbuf *
event_frame(const char *type, int64_t seq, int64_t run_seq, struct uuid run_id,
    int64_t ts_us, const char *body)
{
	struct buf b = { 0 };
	char id[UUID_TEXT], ts[TEXT_TIME_LEN];
	struct rcbuf *r;

	uuid_format(run_id, id);
	buf_printf(&b, "{\"v\":1,\"type\":\"%s\"", type);
	if (seq > 0) {
		text_time(ts, ts_us);
		buf_printf(&b, ",\"seq\":%lld,\"run_seq\":%lld", (long long)seq,
		    (long long)run_seq);
		buf_printf(&b, ",\"run_id\":\"%s\",\"ts\":\"%s\"", id, ts);
	} else if (!uuid_is_nil(run_id))
		buf_printf(&b, ",\"run_id\":\"%s\"", id);
	if (body != NULL && body[0] == '{' && body[1] != '}') {
		buf_add_char(&b, ',');
		buf_add_str(&b, body + 1);
	} else
		buf_add_char(&b, '}');
	r = rcbuf_new(b.data, b.len);
	buf_free(&b);
	return r;
}

void
event_list_add_status(struct event_list *l, enum run_status state,
    const char *reason, struct json_object *error,
    const struct run_usage *usage)
{
	struct json_object *o = jobj();

	jput_str(o, "status", run_is_open(state) ? "running" : "end");
	jput_str(o, "state", run_status_name(state));
	jput_str(o, "reason", reason);
	if (error != NULL)
		jput(o, "error", json_object_get(error));
	if (usage != NULL)
		jput(o, "usage", run_usage_json(usage));
	event_list_add(l, "run_status", o);
}

struct rcbuf *
event_delta_frame(const char *type, struct uuid run_id, struct uuid message_id,
    int64_t attempt, int64_t offset, const char *text, size_t len)
{
	char run[UUID_TEXT], msg[UUID_TEXT];
	struct buf b = { 0 };
	struct rcbuf *r;

	uuid_format(run_id, run);
	uuid_format(message_id, msg);
	buf_printf(&b, "{\"v\":1,\"type\":\"%s\",\"run_id\":\"%s\"", type, run);
	buf_printf(&b, ",\"message_id\":\"%s\",\"attempt\":%lld", msg,
	    (long long)attempt);
	buf_printf(&b, ",\"offset\":%lld,\"delta\":", (long long)offset);
	buf_add_json_str(&b, text, len);
	buf_add_char(&b, '}');
	r = rcbuf_new(b.data, b.len);
	buf_free(&b);
	return r;
}
