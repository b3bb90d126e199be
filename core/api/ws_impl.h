/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_WS_IMPL_H
#define CORE_API_WS_IMPL_H

/* What ws.c and ws_frames.c share: one chat socket. */

#include "core/api/chat_ctx.h"
#include "core/bus/bus_redis.h"
#include "core/net/ws.h"

struct frame_in;

struct ws_session {
	struct app *app;
	struct ws *ws; /* NULL: the socket is gone */
	struct stream *stream;
	struct principal who; /* nil user: not authorised yet */
	struct uuid standing; /* whose strikes it makes */
	struct uuid thread_id;
	char *origin; /* of the page; NULL: none */
	struct frame_in *queue;
	struct bus_mourner realtime; /* hears when there is none any more */
	struct loop_timer timer; /* to authorise; then the token's end */
	struct loop_hook open; /* opens the stream outside of callbacks */
	int64_t after; /* -1: begin with a snapshot */
	uint64_t resumed_ms; /* when a resume came last */
	size_t queued_bytes;
	size_t talk; /* bytes beside the stream, since all had been read */
	int n_queued;
	bool working; /* a fiber stands in it */
};

/* ws.c */
void ws_session_send(struct ws_session *s, struct json_object *o); /* takes o */
/* A refused frame: the socket stays open. */
void ws_session_error(struct ws_session *s, const struct error *err,
    const char *client_id);
/* The same, and the socket is closed with what it means. */
void ws_session_refuse(struct ws_session *s, const struct error *err);
/* The socket is this person's now; a second time only renews the token. */
SUSPENDS void ws_session_authorise(struct ws_session *s,
    const struct principal *who);
SUSPENDS void ws_session_ticket(struct ws_session *s, const char *ticket);
void ws_session_free(struct ws_session *s); /* if nobody stands in it */

/* ws_frames.c */
void ws_frames_in(struct ws_session *s, const char *p, size_t len,
    bool is_text);
SUSPENDS void ws_frames_work(struct ws_session *s); /* may free it */
void ws_frames_drop(struct ws_session *s);

#endif
