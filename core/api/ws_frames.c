/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/api/internal.h"
#include "core/api/ws_impl.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * What comes in on a chat socket.  What needs the store waits in a short queue
 * that one fiber at a time works off.
 */

#define QUEUE_MAX 16
#define RESUME_MS 1000 /* from one to the next; who asks earlier waits */
#define QUEUE_BYTES (2 * 1024 * 1024) /* as JSON text */

struct frame_in {
	struct frame_in *next;
	struct json_object *body;
	size_t len;
};

/* NULL, or a string without U+0000 of at most max bytes. */
static bool
is_short(struct json_object *v, size_t max)
{
	size_t len = (size_t)json_object_get_string_len(v);

	return v == NULL ||
	       (json_object_is_type(v, json_type_string) && len <= max &&
		   strlen(json_object_get_string(v)) == len);
}

/* What a refusal names: an id that may stand, else NULL. */
static const char *
client_id(struct json_object *body)
{
	return is_short(jget(body, "client_message_id"), 255)
		   ? jget_str(body, "client_message_id", NULL)
		   : NULL;
}

/* ---- Frames in, on a fiber ----------------------------------------- */

/* By token or ticket; later, to renew what the first one was. */
static SUSPENDS void
do_auth(struct ws_session *s, struct json_object *body)
{
	const char *ticket = jget_str(body, "ticket", NULL);
	struct principal who = { 0 };
	struct error err = { 0 };
	enum as_status st;

	if (ticket != NULL) {
		ws_session_ticket(s, ticket);
		return;
	}
	st = auth_token_principal(s->app, jget_str(body, "token", ""), &who,
	    &err);
	if (st == AS_OK)
		ws_session_authorise(s, &who);
	else
		ws_session_refuse(s, &err);
	error_clear(&err);
}

static struct chat_ctx
session_ctx(struct ws_session *s, struct arena *arena, char id[UUID_TEXT])
{
	struct stream_config c = stream_config_of(s->app, &s->who);

	c.ctx.arena = arena;
	uuid_format(engine_new_id(s->app->engine), id);
	c.ctx.correlation_id = id;
	c.ctx.traceparent = "";
	return c.ctx;
}

static SUSPENDS enum as_status
do_message(struct ws_session *s, struct chat_ctx *ctx, struct json_object *body,
    struct error *err)
{
	struct json_object *content = jget(body, "content");
	struct json_object *id = jget(body, "client_message_id");
	struct json_object *multitask = jget(body, "multitask");
	struct chat_message m = { 0 };
	struct chat_sent sent;

	if (!json_object_is_type(content, json_type_string))
		return error_field(err, "content", "must be a string");
	if (!is_short(id, 255) ||
	    (id != NULL && json_object_get_string_len(id) == 0))
		return error_field(err, "client_message_id",
		    "must be a string of 1 to 255 bytes");
	m.content = json_object_get_string(content);
	m.len = (size_t)json_object_get_string_len(content);
	m.client_message_id = jget_str(body, "client_message_id", NULL);
	m.multitask = run_multitask_by_name(jget_str(body, "multitask", NULL));
	if (multitask != NULL && m.multitask == 0)
		return error_field(err, "multitask",
		    "must be reject, enqueue, interrupt, rollback or steer");
	return chat_send(ctx, s->thread_id, &m, &sent, err);
}

static SUSPENDS enum as_status
do_cancel(struct chat_ctx *ctx, struct json_object *body, struct error *err)
{
	const char *action = jget_str(body, "action", "interrupt");
	struct uuid id;

	if (!jget_uuid(body, "run_id", &id))
		return error_field(err, "run_id", "must be a UUID");
	if (strcmp(action, "interrupt") != 0 && strcmp(action, "rollback") != 0)
		return error_field(err, "action",
		    "must be interrupt or rollback");
	if (!is_short(jget(body, "reason"), 500))
		return error_field(err, "reason",
		    "must be a string of at most 500 bytes");
	return chat_cancel(ctx, id, action[0] == 'r',
	    jget_str(body, "reason", NULL), err);
}

/* What costs a page of the log each time is not for every moment. */
static SUSPENDS void
resume_wait(struct ws_session *s)
{
	struct loop *loop = s->app->loop;
	int64_t early_ms = 0;

	if (s->resumed_ms != 0)
		early_ms = (int64_t)(s->resumed_ms + RESUME_MS) -
			   (int64_t)loop_now_ms(loop);
	if (early_ms > 0)
		api_strike(s->app, s->standing, ERR_RATE_LIMITED);
	api_wait_turn(s->app, s->standing, early_ms);
	s->resumed_ms = loop_now_ms(loop);
}

/*
 * The tail anew, for somebody who still may have it: the row of the session is
 * asked, not what was remembered of it.
 */
static SUSPENDS enum as_status
do_resume(struct ws_session *s, struct chat_ctx *ctx, struct json_object *body,
    struct error *err)
{
	struct json_object *v = jget(body, "after_seq");
	int64_t after = jget_int(body, "after_seq", -1), head = 0;
	struct principal who = s->who;
	enum as_status st;

	if (!json_object_is_type(v, json_type_int) || after < 0)
		return error_field(err, "after_seq",
		    "must be an integer of at least 0");
	resume_wait(s);
	st = auth_again(ctx->store, &who, err);
	if (st == AS_OK && who.role != s->who.role)
		st = error_set(err, ERR_FORBIDDEN, "your role has changed");
	if (st == AS_OK)
		st = log_head(ctx, LOG_OF_THREAD, s->thread_id, &head, err);
	if (st == AS_AUTH || st == AS_FORBIDDEN || st == AS_NOTFOUND) {
		ws_session_refuse(s, err);
		error_clear(err);
		return st;
	}
	if (st == AS_OK && after > head)
		st = error_set(err, ERR_CURSOR_AHEAD,
		    "the cursor is %lld, the log ends at %lld",
		    (long long)after, (long long)head);
	if (st == AS_OK && s->stream != NULL)
		stream_resume(s->stream, after);
	else if (st == AS_OK && s->open.queued) /* it came with `auth` */
		s->after = after;
	return st;
}

static SUSPENDS void
frame_handle(struct ws_session *s, struct json_object *body)
{
	const char *type = jget_str(body, "type", "");
	char id[UUID_TEXT];
	struct arena *arena;
	struct chat_ctx ctx;
	struct error err = { 0 };

	if (strcmp(type, "auth") == 0) {
		do_auth(s, body);
		return;
	}
	if (uuid_is_nil(s->who.user_id)) {
		error_set(&err, ERR_AUTH_REQUIRED, "not authorised");
		ws_session_refuse(s, &err);
		error_clear(&err);
		return;
	}
	arena = arena_new(NULL);
	ctx = session_ctx(s, arena, id);
	fiber_correlation_set(id);
	if (strcmp(type, "message") == 0)
		do_message(s, &ctx, body, &err);
	else if (strcmp(type, "cancel") == 0)
		do_cancel(&ctx, body, &err);
	else if (strcmp(type, "resume") == 0)
		do_resume(s, &ctx, body, &err);
	else
		error_field(&err, "type", "'%.40s' is not a frame's type",
		    type);
	if (err.code != ERR_NONE)
		ws_session_error(s, &err, client_id(body));
	fiber_correlation_set(NULL);
	error_clear(&err);
	arena_free(arena);
}

static struct json_object *
queue_take(struct ws_session *s)
{
	struct frame_in *f = s->queue;
	struct json_object *body = f->body;

	s->queue = f->next;
	s->n_queued--;
	s->queued_bytes -= f->len;
	free(f);
	return body;
}

void
ws_frames_drop(struct ws_session *s)
{
	while (s->queue != NULL)
		json_object_put(queue_take(s));
}

/* Who was refused is not heard any more, whatever he had sent before. */
void
ws_frames_work(struct ws_session *s)
{
	struct json_object *body;

	while (s->ws != NULL && ws_is_open(s->ws) && s->queue != NULL) {
		body = queue_take(s);
		fiber_deadline_set(
		    loop_now_ms(s->app->loop) +
		    (uint64_t)s->app->settings->server.request_timeout);
		frame_handle(s, body);
		json_object_put(body);
	}
	s->working = false;
	ws_session_free(s);
}

static SUSPENDS void
work_main(void *arg)
{
	ws_frames_work(arg);
}

/* ---- On the loop's stack ------------------------------------------- */

static void
frame_queue(struct ws_session *s, struct json_object *body, size_t len)
{
	struct frame_in **p = &s->queue, *f;
	struct error err = { 0 };

	if (s->n_queued >= QUEUE_MAX || s->queued_bytes + len > QUEUE_BYTES) {
		error_set(&err, ERR_RATE_LIMITED, "too many frames at once");
		ws_session_error(s, &err, client_id(body));
		error_clear(&err);
		json_object_put(body);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->body = body;
	f->len = len;
	while (*p != NULL)
		p = &(*p)->next;
	*p = f;
	s->n_queued++;
	s->queued_bytes += len;
	if (s->working)
		return;
	s->working = true;
	if (fiber_spawn(s->app->loop, "ws frames", work_main, s).f == NULL) {
		s->working = false;
		error_set(&err, ERR_UNAVAILABLE, "too busy");
		ws_session_refuse(s, &err);
		error_clear(&err);
	}
}

void
ws_frames_in(struct ws_session *s, const char *p, size_t len, bool is_text)
{
	struct json_object *body = NULL, *pong;

	if (!is_text || json_parse(p, len, &body, NULL) != AS_OK ||
	    !json_object_is_type(body, json_type_object)) {
		json_object_put(body);
		ws_close(s->ws, WS_POLICY, "a frame is one JSON object");
		return;
	}
	if (strcmp(jget_str(body, "type", ""), "ping") != 0) {
		frame_queue(s, body, len);
		return;
	}
	json_object_put(body);
	pong = jobj();
	jput_int(pong, "v", 1);
	jput_str(pong, "type", "pong");
	ws_session_send(s, pong);
}
