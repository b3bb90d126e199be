/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/seats.h"
#include "core/api/strikes.h"
#include "core/api/ws_impl.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * /ws/chat/{thread_id}/: the live face of a thread.
 *
 * A socket is a small struct without a fiber.  States: nobody yet (10
 * seconds to say who), then open.  The struct is freed when the socket is gone
 * and no fiber stands in it.  Its memory is bounded whatever the peer does:
 * frames in by their rate and by the queue, the stream by STREAM_HIGH_WATER,
 * and by TALK_MAX what is said beside it and was not read yet.
 */

#define AUTH_TIMEOUT_MS 10000
#define REALTIME_RETRY_MS 2000
#define FRAME_MS 10 /* a hundred in a second */
#define FRAMES_AT_ONCE 50
#define TALK_MAX (64 * 1024)
#define CLOSED_STRIKES 10 /* of a socket that had to be closed */

/* ---- Frames out ---------------------------------------------------- */

/* Who asks and does not read the answers is a slow reader, too. */
void
ws_session_send(struct ws_session *s, struct json_object *o)
{
	const char *text = json_text(o);
	struct rcbuf *frame;

	if (s->ws != NULL && ws_pending(s->ws) == 0)
		s->talk = 0;
	s->talk += strlen(text);
	if (s->ws != NULL && s->talk > TALK_MAX)
		ws_close(s->ws, WS_SLOW_READER, "slow reader");
	else if (s->ws != NULL) {
		frame = rcbuf_new(text, strlen(text));
		ws_send(s->ws, frame);
		rcbuf_unref(frame);
	}
	json_object_put(o);
}

void
ws_session_error(struct ws_session *s, const struct error *err,
    const char *client_id)
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
	ws_session_send(s, o);
}

static enum ws_close_code
close_code_of(const struct error *err)
{
	switch (error_status(err->code)) {
	case AS_AUTH:
		return WS_UNAUTHORISED;
	case AS_FORBIDDEN:
		return WS_FORBIDDEN;
	case AS_NOTFOUND:
		return WS_NOT_FOUND;
	case AS_BUSY:
		return WS_TOO_MANY;
	default:
		return WS_TRY_LATER;
	}
}

void
ws_session_refuse(struct ws_session *s, const struct error *err)
{
	if (s->ws == NULL)
		return;
	if (uuid_is_nil(s->who.user_id))
		api_strike(s->app, s->standing, err->code);
	ws_session_error(s, err, NULL);
	ws_close(s->ws, close_code_of(err), err->detail);
}

/* The same, of an error that is made here. */
static void
refuse(struct ws_session *s, enum error_code code, const char *detail)
{
	struct error err = { 0 };

	error_set(&err, code, "%s", detail);
	ws_session_refuse(s, &err);
	error_clear(&err);
}

static void
stream_send(void *arg, const char *type, int64_t id, struct rcbuf *frame)
{
	struct ws_session *s = arg;

	(void)type;
	(void)id;
	if (s->ws != NULL)
		ws_send(s->ws, frame);
}

static size_t
stream_pending(void *arg)
{
	struct ws_session *s = arg;

	return s->ws != NULL ? ws_pending(s->ws) : 0;
}

static void
stream_over(void *arg, enum stream_over why)
{
	struct ws_session *s = arg;

	s->stream = NULL;
	if (s->ws == NULL)
		return;
	switch (why) {
	case STREAM_SLOW: /* an error frame would wait behind the others */
		ws_close(s->ws, WS_SLOW_READER, "slow reader");
		break;
	case STREAM_SIGNED_OUT:
		refuse(s, ERR_AUTH_REQUIRED, "the session has ended");
		break;
	case STREAM_ROLE_CHANGED:
		refuse(s, ERR_FORBIDDEN, "your role has changed");
		break;
	case STREAM_NO_THREAD:
		refuse(s, ERR_NOT_FOUND, "no such thread");
		break;
	default:
		refuse(s, ERR_UNAVAILABLE, "the log cannot be read");
	}
}

static const struct stream_ops stream_ops = { .send = stream_send,
	.pending = stream_pending,
	.over = stream_over };

/* ---- Without a bus ------------------------------------------------- */

static void
realtime_refuse(struct ws_session *s)
{
	struct error err = { 0 };

	error_set(&err, ERR_REALTIME_UNAVAILABLE,
	    "live updates are not available just now; the API is");
	err.retry_after_ms = REALTIME_RETRY_MS;
	ws_session_error(s, &err, NULL);
	error_clear(&err);
	ws_close(s->ws, WS_TRY_LATER, "no live updates");
}

static void
on_realtime_lost(struct bus_mourner *m)
{
	struct ws_session *s = container_of(m, struct ws_session, realtime);

	if (s->ws != NULL)
		realtime_refuse(s);
}

/*
 * A refused handshake would tell a script nothing: this one is taken.  False:
 * it is closed again.
 */
static bool
realtime_watch(struct ws_session *s)
{
	s->realtime.fn = on_realtime_lost;
	if (s->app->link == NULL)
		return true;
	if (bus_link_state(s->app->link) == BUS_LINK_LOST) {
		realtime_refuse(s);
		return false;
	}
	bus_link_mourn(s->app->link, &s->realtime);
	return true;
}

/* ---- Who ----------------------------------------------------------- */

void
ws_session_free(struct ws_session *s)
{
	if (s->ws != NULL || s->working || s->open.queued)
		return;
	ws_frames_drop(s);
	free(s->origin);
	free(s);
}

static void
on_expired(struct loop_timer *t)
{
	refuse(container_of(t, struct ws_session, timer), ERR_TOKEN_EXPIRED,
	    "the token has expired");
}

static void
on_auth_timeout(struct loop_timer *t)
{
	struct ws_session *s = container_of(t, struct ws_session, timer);

	if (s->ws != NULL)
		ws_close(s->ws, WS_AUTH_TIMEOUT, "no authorisation in time");
}

static void
timer_arm(struct ws_session *s, void (*fn)(struct loop_timer *), int64_t ms)
{
	s->timer.fn = fn;
	loop_timer_set(s->app->loop, &s->timer,
	    loop_now_ms(s->app->loop) + (uint64_t)(ms > 0 ? ms : 1));
}

static void
on_open(struct loop_hook *h)
{
	struct ws_session *s = container_of(h, struct ws_session, open);
	struct stream_config c;

	if (s->ws == NULL || !ws_is_open(s->ws)) {
		ws_session_free(s);
		return;
	}
	c = stream_config_of(s->app, &s->who);
	c.thread_id = s->thread_id;
	c.ready = true;
	c.snapshot = s->after < 0;
	c.after = s->after < 0 ? 0 : s->after;
	s->stream = stream_open(&c, &stream_ops, s);
	if (s->stream == NULL)
		refuse(s, ERR_UNAVAILABLE, "too busy");
}

/* A cursor from the future: say so, and begin with a snapshot instead. */
static void
cursor_refuse(struct ws_session *s, int64_t head)
{
	struct error err = { 0 };

	error_set(&err, ERR_CURSOR_AHEAD,
	    "the cursor is %lld, the log ends at %lld", (long long)s->after,
	    (long long)head);
	api_strike(s->app, s->standing, err.code);
	ws_session_error(s, &err, NULL);
	error_clear(&err);
	s->after = -1;
}

static void
session_is_of(struct ws_session *s, const struct principal *who, int64_t head)
{
	bool first = uuid_is_nil(s->who.user_id);
	int64_t left_ms = (who->expires_us - clock_wall_us()) / 1000;

	if (first && s->after > head)
		cursor_refuse(s, head);
	s->who = *who;
	loop_timer_clear(&s->timer);
	if (who->expires_us > 0)
		timer_arm(s, on_expired,
		    left_ms + s->app->settings->auth.grace);
	if (s->stream != NULL)
		stream_renew(s->stream, who);
	if (!first)
		return;
	s->open.fn = on_open;
	loop_at_turn_end(s->app->loop, &s->open);
}

SUSPENDS void
ws_session_authorise(struct ws_session *s, const struct principal *who)
{
	int64_t max = s->app->settings->server.sockets_per_user;
	struct thread_state thread;
	struct error err = { 0 };
	enum as_status st;
	bool first;

	st = run_store_thread(s->app->runs, s->thread_id, who->tenant_id,
	    who->user_id, &thread, &err);
	error_clear(&err);
	if (s->ws == NULL)
		return;
	first = uuid_is_nil(s->who.user_id);
	if (st == AS_NOTFOUND ||
	    (!first && !uuid_equal(s->who.user_id, who->user_id)))
		refuse(s, ERR_NOT_FOUND, "no such thread");
	else if (st != AS_OK)
		refuse(s, ERR_UNAVAILABLE, "the store is not there");
	else if (first && !seats_take(s->app->seats, who->user_id, max))
		refuse(s, ERR_RATE_LIMITED, "too many sockets");
	else
		session_is_of(s, who, thread.heads.seq);
}

SUSPENDS void
ws_session_ticket(struct ws_session *s, const char *ticket)
{
	struct principal who;
	struct error err = { 0 };

	if (auth_by_ticket(s->app->store, ticket, s->thread_id, s->origin, &who,
		&err) == AS_OK)
		ws_session_authorise(s, &who);
	else
		ws_session_refuse(s, &err);
	error_clear(&err);
}

/* ---- The socket ---------------------------------------------------- */

static void
on_message(struct ws *ws, const char *p, size_t len, bool is_text, void *arg)
{
	(void)ws;
	ws_frames_in(arg, p, len, is_text);
}

static void
on_close(struct ws *ws, int code, void *arg)
{
	struct ws_session *s = arg;

	(void)ws;
	if (code == WS_POLICY || code == WS_SLOW_READER)
		strikes_add(s->app->strikes, s->standing, CLOSED_STRIKES,
		    loop_now_ms(s->app->loop));
	s->ws = NULL;
	bus_link_leave(&s->realtime);
	loop_timer_clear(&s->timer);
	stream_close(s->stream);
	s->stream = NULL;
	if (!uuid_is_nil(s->who.user_id))
		seats_leave(s->app->seats, s->who.user_id);
	ws_session_free(s);
}

static void
on_drain(struct ws *ws, void *arg)
{
	struct ws_session *s = arg;

	(void)ws;
	s->talk = 0;
	if (s->stream != NULL)
		stream_drained(s->stream);
}

static const struct ws_ops ws_ops = { .on_message = on_message,
	.on_close = on_close,
	.on_drain = on_drain,
	.frame_ms = FRAME_MS,
	.frames_at_once = FRAMES_AT_ONCE };

/*
 * This fiber stands in it: by a ticket, by the request, or by a frame.  Who
 * cannot be served keeps his ticket for the next try.
 */
static SUSPENDS void
session_begin(struct ws_session *s, const struct principal *who,
    const char *ticket)
{
	bool served = realtime_watch(s);
	struct principal copy;

	if (served && ticket != NULL)
		ws_session_ticket(s, ticket);
	else if (served && who != NULL) {
		copy = *who;
		ws_session_authorise(s, &copy);
	} else if (served)
		timer_arm(s, on_auth_timeout, AUTH_TIMEOUT_MS);
	ws_frames_work(s);
}

void
ws_chat(struct http_req *req)
{
	const char *origin = http_header(req, "origin");
	struct app *app = app_of(req);
	struct error err = { 0 };
	struct ws_session *s;
	int64_t after;

	if (http_query_int(req, "after_seq", -1, 0, INT64_MAX, &after, &err) !=
	    AS_OK) {
		api_refuse(req, &err);
		return;
	}
	api_wait_turn(app, api_standing(req), 0);
	s = xcalloc(1, sizeof(*s));
	s->app = app;
	s->after = after;
	s->thread_id = http_param_uuid(req, "thread_id");
	s->origin = origin != NULL ? xstrdup(origin) : NULL;
	s->standing = api_standing(req);
	s->working = true;
	s->ws = ws_accept(req, &ws_ops, s);
	if (s->ws != NULL)
		session_begin(s, api_who(req), http_query(req, "ticket"));
	else {
		free(s->origin);
		free(s);
	}
}
