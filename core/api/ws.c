/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/seats.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/bus_redis.h"
#include "core/net/ws.h"

/*
 * /ws/chat/{thread_id}/: the live face of a thread.
 *
 * A socket is a small struct without a fiber; frames that need the store wait
 * in a short queue that one fiber at a time works off.  States: nobody yet (10
 * seconds to say who), then open.  The struct is freed when the socket is gone
 * and no fiber stands in it.
 */

#define AUTH_TIMEOUT_MS 10000
#define EXPIRY_GRACE_MS 30000
#define QUEUE_MAX 16
#define REALTIME_RETRY_MS 2000

struct frame_in {
	struct frame_in *next;
	struct json_object *body;
};

struct session {
	struct app *app;
	struct ws *ws; /* NULL: the socket is gone */
	struct stream *stream;
	struct principal who; /* nil user: not authorised yet */
	struct uuid thread_id;
	struct frame_in *queue;
	struct bus_mourner realtime; /* hears when there is none any more */
	struct loop_timer timer; /* to authorise; then the token's end */
	struct loop_hook open; /* opens the stream outside of callbacks */
	int64_t after; /* -1: begin with a snapshot */
	int n_queued;
	bool working;
};

/* ---- Frames out ---------------------------------------------------- */

static void
send_json(struct session *s, struct json_object *o)
{
	const char *text = json_text(o);
	struct rcbuf *frame = rcbuf_new(text, strlen(text));

	if (s->ws != NULL)
		ws_send(s->ws, frame);
	rcbuf_unref(frame);
	json_object_put(o);
}

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

/* A refused frame: the socket stays open. */
static void
send_error(struct session *s, const struct error *err, const char *client_id)
{
	struct json_object *o = jobj(), *body, *v;

	jput_int(o, "v", 1);
	jput_str(o, "type", "error");
	jput_str(o, "code", error_name(err->code));
	jput_str(o, "message",
	    err->detail[0] != '\0' && err->code != ERR_INTERNAL
		? err->detail
		: error_title(err->code));
	if (err->retry_after_ms > 0)
		jput_int(o, "retry_after", (err->retry_after_ms + 999) / 1000);
	else
		jput_null(o, "retry_after");
	jput_str(o, "client_message_id", client_id);
	body = err->extra;
	if (body != NULL && (v = jget(body, "active_run_id")) != NULL)
		jput(o, "active_run_id", json_object_get(v));
	if (body != NULL && (v = jget(body, "items")) != NULL)
		jput(o, "items", json_object_get(v));
	if (body != NULL && (v = jget(body, "details")) != NULL)
		jput(o, "details", json_object_get(v));
	send_json(s, o);
}

static void
stream_send(void *arg, const char *type, int64_t id, struct rcbuf *frame)
{
	struct session *s = arg;

	(void)type;
	(void)id;
	if (s->ws != NULL)
		ws_send(s->ws, frame);
}

static size_t
stream_pending(void *arg)
{
	struct session *s = arg;

	return s->ws != NULL ? ws_pending(s->ws) : 0;
}

static void
stream_over(void *arg, enum stream_over why)
{
	struct session *s = arg;

	s->stream = NULL;
	if (s->ws == NULL)
		return;
	if (why == STREAM_SLOW)
		ws_close(s->ws, WS_SLOW_READER, "slow reader");
	else if (why == STREAM_SIGNED_OUT)
		ws_close(s->ws, WS_UNAUTHORISED, "the session has ended");
	else
		ws_close(s->ws, WS_TRY_LATER, "the log cannot be read");
}

static const struct stream_ops stream_ops = { .send = stream_send,
	.pending = stream_pending,
	.over = stream_over };

/* ---- Without a bus ------------------------------------------------- */

static void
realtime_refuse(struct session *s)
{
	struct error err = { 0 };

	error_set(&err, ERR_REALTIME_UNAVAILABLE,
	    "live updates are not available just now; the API is");
	err.retry_after_ms = REALTIME_RETRY_MS;
	send_error(s, &err, NULL);
	error_clear(&err);
	ws_close(s->ws, WS_TRY_LATER, "no live updates");
}

static void
on_realtime_lost(struct bus_mourner *m)
{
	struct session *s = container_of(m, struct session, realtime);

	if (s->ws != NULL)
		realtime_refuse(s);
}

/* A refused handshake would tell a script nothing: this one is taken. */
static void
realtime_watch(struct session *s)
{
	s->realtime.fn = on_realtime_lost;
	if (s->app->link == NULL)
		return;
	if (bus_link_state(s->app->link) == BUS_LINK_LOST)
		realtime_refuse(s);
	else
		bus_link_mourn(s->app->link, &s->realtime);
}

/* ---- Who ----------------------------------------------------------- */

static void
session_free(struct session *s)
{
	struct frame_in *f;

	if (s->ws != NULL || s->working || s->open.queued)
		return;
	while ((f = s->queue) != NULL) {
		s->queue = f->next;
		json_object_put(f->body);
		free(f);
	}
	free(s);
}

static void
on_expired(struct loop_timer *t)
{
	struct session *s = container_of(t, struct session, timer);

	if (s->ws != NULL)
		ws_close(s->ws, WS_UNAUTHORISED, "the token has expired");
}

static void
on_auth_timeout(struct loop_timer *t)
{
	struct session *s = container_of(t, struct session, timer);

	if (s->ws != NULL)
		ws_close(s->ws, WS_AUTH_TIMEOUT, "no authorisation in time");
}

static void
timer_arm(struct session *s, void (*fn)(struct loop_timer *), int64_t ms)
{
	s->timer.fn = fn;
	loop_timer_set(s->app->loop, &s->timer,
	    loop_now_ms(s->app->loop) + (uint64_t)(ms > 0 ? ms : 1));
}

static void
on_open(struct loop_hook *h)
{
	struct session *s = container_of(h, struct session, open);
	struct stream_config c;

	if (s->ws == NULL) {
		session_free(s);
		return;
	}
	c = stream_config_of(s->app, &s->who);
	c.thread_id = s->thread_id;
	c.ready = true;
	c.snapshot = s->after < 0;
	c.after = s->after < 0 ? 0 : s->after;
	s->stream = stream_open(&c, &stream_ops, s);
	if (s->stream == NULL)
		ws_close(s->ws, WS_TRY_LATER, "too busy");
}

/* A cursor from the future: say so, and begin with a snapshot instead. */
static void
cursor_refuse(struct session *s, int64_t head)
{
	struct error err = { 0 };

	error_set(&err, ERR_CURSOR_AHEAD,
	    "the cursor is %lld, the log ends at %lld", (long long)s->after,
	    (long long)head);
	send_error(s, &err, NULL);
	error_clear(&err);
	s->after = -1;
}

/* The socket is this person's now; a second time only renews the token. */
static SUSPENDS void
session_authorise(struct session *s, const struct principal *who)
{
	bool first = uuid_is_nil(s->who.user_id);
	struct thread_state thread;
	struct error err = { 0 };
	enum as_status st;
	int64_t left_ms;

	st = run_store_thread(s->app->runs, s->thread_id, who->tenant_id,
	    who->user_id, &thread, &err);
	error_clear(&err);
	if (s->ws == NULL)
		return;
	if (st == AS_NOTFOUND ||
	    (!first && !uuid_equal(s->who.user_id, who->user_id)))
		ws_close(s->ws, WS_NOT_FOUND, "no such thread");
	else if (st != AS_OK)
		ws_close(s->ws, WS_TRY_LATER, "the store is not there");
	else if (first && !seats_take(s->app->seats, who->user_id,
			      s->app->settings->server.sockets_per_user))
		ws_close(s->ws, WS_TOO_MANY, "too many sockets");
	else {
		if (s->after > thread.heads.seq)
			cursor_refuse(s, thread.heads.seq);
		s->who = *who;
		loop_timer_clear(&s->timer);
		left_ms = (who->expires_us - clock_wall_us()) / 1000;
		if (who->expires_us > 0)
			timer_arm(s, on_expired, left_ms + EXPIRY_GRACE_MS);
		if (first) {
			s->open.fn = on_open;
			loop_at_turn_end(s->app->loop, &s->open);
		}
	}
}

/* ---- Frames in, on a fiber ----------------------------------------- */

static SUSPENDS void
do_auth(struct session *s, struct json_object *body)
{
	struct principal who = { 0 };
	struct error err = { 0 };

	if (auth_token_principal(s->app, jget_str(body, "token", ""), &who,
		&err) == AS_OK)
		session_authorise(s, &who);
	else if (s->ws != NULL)
		ws_close(s->ws, WS_UNAUTHORISED, "the token is not valid");
	error_clear(&err);
}

static struct chat_ctx
session_ctx(struct session *s, struct arena *arena, char id[UUID_TEXT])
{
	struct stream_config c = stream_config_of(s->app, &s->who);

	c.ctx.arena = arena;
	uuid_format(engine_new_id(s->app->engine), id);
	c.ctx.correlation_id = id;
	c.ctx.traceparent = "";
	return c.ctx;
}

static SUSPENDS enum as_status
do_message(struct session *s, struct chat_ctx *ctx, struct json_object *body,
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

static SUSPENDS enum as_status
do_resume(struct session *s, struct chat_ctx *ctx, struct json_object *body,
    struct error *err)
{
	struct json_object *v = jget(body, "after_seq");
	int64_t after = jget_int(body, "after_seq", -1), head = 0;
	enum as_status st;

	if (!json_object_is_type(v, json_type_int) || after < 0)
		return error_field(err, "after_seq",
		    "must be an integer of at least 0");
	st = log_head(ctx, LOG_OF_THREAD, s->thread_id, &head, err);
	if (st == AS_OK && after > head)
		st = error_set(err, ERR_CURSOR_AHEAD,
		    "the cursor is %lld, the log ends at %lld",
		    (long long)after, (long long)head);
	if (st == AS_OK && s->stream != NULL)
		stream_resume(s->stream, after);
	return st;
}

static SUSPENDS void
frame_handle(struct session *s, struct json_object *body)
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
		if (s->ws != NULL)
			ws_close(s->ws, WS_UNAUTHORISED, "not authorised");
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
		send_error(s, &err, client_id(body));
	fiber_correlation_set(NULL);
	error_clear(&err);
	arena_free(arena);
}

static SUSPENDS void
session_work(void *arg)
{
	struct session *s = arg;
	struct frame_in *f;

	while (s->ws != NULL && (f = s->queue) != NULL) {
		s->queue = f->next;
		s->n_queued--;
		fiber_deadline_set(
		    loop_now_ms(s->app->loop) +
		    (uint64_t)s->app->settings->server.request_timeout);
		frame_handle(s, f->body);
		json_object_put(f->body);
		free(f);
	}
	s->working = false;
	session_free(s);
}

/* ---- Frames in, on the loop's stack -------------------------------- */

static void
frame_queue(struct session *s, struct json_object *body)
{
	struct frame_in **p = &s->queue, *f;

	if (s->n_queued >= QUEUE_MAX) {
		struct error err = { 0 };

		error_set(&err, ERR_RATE_LIMITED, "too many frames at once");
		send_error(s, &err, client_id(body));
		error_clear(&err);
		json_object_put(body);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->body = body;
	while (*p != NULL)
		p = &(*p)->next;
	*p = f;
	s->n_queued++;
	if (s->working)
		return;
	s->working = true;
	if (fiber_spawn(s->app->loop, "ws frames", session_work, s).f == NULL) {
		s->working = false;
		ws_close(s->ws, WS_TRY_LATER, "too busy");
	}
}

static void
on_message(struct ws *ws, const char *p, size_t len, bool is_text, void *arg)
{
	struct session *s = arg;
	struct json_object *body = NULL, *pong;

	if (!is_text || json_parse(p, len, &body, NULL) != AS_OK ||
	    !json_object_is_type(body, json_type_object)) {
		json_object_put(body);
		ws_close(ws, WS_POLICY, "a frame is one JSON object");
		return;
	}
	if (strcmp(jget_str(body, "type", ""), "ping") == 0) {
		json_object_put(body);
		pong = jobj();
		jput_int(pong, "v", 1);
		jput_str(pong, "type", "pong");
		send_json(s, pong);
		return;
	}
	frame_queue(s, body);
}

static void
on_close(struct ws *ws, int code, void *arg)
{
	struct session *s = arg;

	(void)ws;
	(void)code;
	s->ws = NULL;
	bus_link_leave(&s->realtime);
	loop_timer_clear(&s->timer);
	stream_close(s->stream);
	s->stream = NULL;
	if (!uuid_is_nil(s->who.user_id))
		seats_leave(s->app->seats, s->who.user_id);
	session_free(s);
}

static void
on_drain(struct ws *ws, void *arg)
{
	struct session *s = arg;

	(void)ws;
	if (s->stream != NULL)
		stream_drained(s->stream);
}

static const struct ws_ops ws_ops = { .on_message = on_message,
	.on_close = on_close,
	.on_drain = on_drain };

void
ws_chat(struct http_req *req)
{
	const struct principal *who = api_who(req);
	struct app *app = app_of(req);
	struct error err = { 0 };
	struct session *s;
	int64_t after;

	if (http_query_int(req, "after_seq", -1, 0, INT64_MAX, &after, &err) !=
	    AS_OK) {
		api_fail(req, &err);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->app = app;
	s->after = after;
	s->thread_id = http_param_uuid(req, "thread_id");
	s->working = true; /* this fiber stands in it */
	s->ws = ws_accept(req, &ws_ops, s);
	if (s->ws == NULL) {
		free(s);
		return;
	}
	realtime_watch(s);
	if (who != NULL) {
		struct principal p = *who;

		session_authorise(s, &p);
	} else
		timer_arm(s, on_auth_timeout, AUTH_TIMEOUT_MS);
	s->working = false;
	if (s->ws != NULL && s->queue != NULL) {
		s->working = true;
		session_work(s);
	} else
		session_free(s);
}
