/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/snapshot.h"

#include <string.h>

#include "core/base/json.h"
#include "core/chat/item.h"

/* See snapshot.h. */

static struct rcbuf *
frame_of(struct json_object *o)
{
	const char *text = json_text(o);
	struct rcbuf *r = rcbuf_new(text, strlen(text));

	json_object_put(o);
	return r;
}

static struct json_object *
frame_start(const char *type)
{
	struct json_object *o = jobj();

	jput_int(o, "v", 1);
	jput_str(o, "type", type);
	return o;
}

/* The answer that was open at the snapshot's seq, as far as it has come. */
static struct json_object *
partial_json(const struct stream_config *c, struct snapshot *out)
{
	struct json_object *o;
	struct live_text t;

	if (uuid_is_nil(out->message_id) ||
	    !live_get(c->live, c->thread_id, out->message_id, 0, &t))
		return NULL;
	out->text_pos = (int64_t)t.text.len;
	o = jobj();
	jput_uuid(o, "message_id", t.message_id);
	jput_int(o, "attempt", t.attempt);
	jput_int(o, "offset", 0);
	jput_strn(o, "text", t.text.data, t.text.len);
	buf_free(&t.text);
	return o;
}

static SUSPENDS enum as_status
snapshot_fill(const struct chat_ctx *ctx, const struct stream_config *c,
    struct json_object *thread, struct snapshot *out)
{
	struct json_object *messages = NULL, *run = NULL, *open = NULL, *o;
	struct uuid run_id, leaf = { 0 };
	int64_t next;
	enum as_status st;

	(void)jget_uuid(thread, "active_leaf", &leaf);
	st = thread_messages(ctx, c->thread_id, leaf, 0, SNAPSHOT_MESSAGES,
	    &messages, &next, NULL);
	if (st == AS_OK && jget_uuid(thread, "active_run_id", &run_id) &&
	    (st = run_read(ctx, run_id, &run, NULL)) == AS_OK)
		st = run_store_open_message(ctx->runs, false, c->thread_id,
		    out->seq, &out->message_id, &out->attempt, NULL);
	if (st == AS_OK)
		st = items_open(ctx, c->thread_id, &open, NULL);
	if (st != AS_OK) {
		json_object_put(run);
		json_object_put(messages);
		return st;
	}
	if (strcmp(jget_str(run, "status", ""), "queued") == 0) {
		out->queued_id = run_id;
		out->est_wait_ms = jget_int(run, "est_wait_ms", 0);
	}
	o = frame_start("snapshot");
	jput_int(o, "snapshot_seq", out->seq);
	jput(o, "messages", messages);
	jput(o, "run", run);
	jput(o, "open_requests", open);
	jput(o, "partial", partial_json(c, out));
	out->frame = frame_of(o);
	return AS_OK;
}

SUSPENDS enum as_status
snapshot_read(const struct stream_config *c, struct snapshot *out)
{
	struct json_object *thread = NULL, *o;
	struct chat_ctx ctx = c->ctx;
	enum as_status st;
	char id[UUID_TEXT];

	ctx.arena = arena_new(NULL);
	st = thread_get(&ctx, c->thread_id, &thread, NULL);
	if (st == AS_OK) {
		out->seq = jget_int(thread, "head_seq", 0);
		uuid_format(c->thread_id, id);
		o = frame_start("ready");
		jput_str(o, "thread_id", id);
		jput_int(o, "head_seq", out->seq);
		out->ready = frame_of(o);
		if (c->snapshot)
			st = snapshot_fill(&ctx, c, thread, out);
	}
	json_object_put(thread);
	arena_free(ctx.arena);
	return st;
}

void
snapshot_clear(struct snapshot *s)
{
	rcbuf_unref(s->ready);
	rcbuf_unref(s->frame);
	s->ready = s->frame = NULL;
}
