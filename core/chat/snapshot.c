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

/*
 * A message that was open at the snapshot's seq, as far as it has come; which
 * is not at all if nothing was said yet, or only by an attempt that is void, or
 * whose reset comes yet.
 */
static struct json_object *
partial_json(const struct stream_config *c, struct open_text *open)
{
	struct json_object *o = jobj();
	struct live_text t = { 0 };

	if (live_get(c->live, c->thread_id, open->message_id, 0, &t) &&
	    t.attempt == open->attempt)
		open->pos = (int64_t)t.text.len;
	jput_uuid(o, "run_id", open->run_id);
	if (open->ns[0] != '\0')
		jput_str(o, "ns", open->ns);
	jput_uuid(o, "message_id", open->message_id);
	jput_int(o, "attempt", open->attempt);
	jput_int(o, "offset", 0);
	jput_strn(o, "text", open->pos > 0 ? t.text.data : "",
	    (size_t)open->pos);
	buf_free(&t.text);
	return o;
}

/* What another process has written of them is fetched. */
static SUSPENDS void
partials_fetch(const struct stream_config *c, struct open_texts *texts)
{
	for (struct open_text *t = texts->first; t != NULL; t = t->next)
		if (!live_has(c->live, c->thread_id, t->message_id, 0))
			(void)bus_link_fetch(c->link, c->thread_id, t->run_id,
			    t->message_id, t->attempt);
}

/* That of the thread's own run, and those of its subagents. */
static void
partials_put(const struct stream_config *c, struct json_object *o,
    const struct open_texts *texts)
{
	struct json_object *own = NULL, *others = jarr(), *partial;

	for (struct open_text *t = texts->first; t != NULL; t = t->next) {
		partial = partial_json(c, t);
		if (t->ns[0] == '\0')
			own = partial;
		else
			json_object_array_add(others, partial);
	}
	jput(o, "partial", own);
	jput(o, "subagent_partials", others);
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
		st = texts_find(ctx->store, c->thread_id, out->seq, &out->texts,
		    NULL);
	if (st == AS_OK)
		st = items_open(ctx, c->thread_id, &open, NULL);
	if (st == AS_OK && c->link != NULL)
		partials_fetch(c, &out->texts);
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
	partials_put(c, o, &out->texts);
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
		jput_str(o, "realtime",
		    c->link != NULL ? "redis" : "in_memory");
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
	texts_clear(&s->texts);
}
