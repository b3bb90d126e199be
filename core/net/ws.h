/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_WS_H
#define CORE_NET_WS_H

/*
 * WebSocket (RFC 6455), server side.  An idle socket is a small struct, no
 * fiber.  Callbacks run on the loop's own stack and must not suspend; they
 * spawn a fiber if they need one.  Fragments, UTF-8, size caps, ping and pong
 * and the closing handshake are handled here; so is the Origin check.
 */

#include <stdbool.h>
#include <stddef.h>

struct error;
struct http_req;
struct loop;
struct rcbuf;
struct ws;

enum ws_close_code {
	WS_NORMAL = 1000,
	WS_GOING_AWAY = 1001,
	WS_PROTOCOL = 1002,
	WS_NO_STATUS = 1005, /* these two only in on_close */
	WS_ABNORMAL = 1006,
	WS_BAD_DATA = 1007,
	WS_POLICY = 1008,
	WS_TOO_BIG = 1009,
	WS_TRY_LATER = 1013,
	WS_SLOW_READER = 4008,
	WS_TOO_MANY = 4029,
	WS_UNAUTHORISED = 4401,
	WS_FORBIDDEN = 4403,
	WS_NOT_FOUND = 4404,
	WS_AUTH_TIMEOUT = 4408
};

struct ws_ops {
	/* A whole message; text is valid UTF-8 and NUL-terminated. */
	void (*on_message)(struct ws *ws, const char *p, size_t len,
	    bool is_text, void *arg);
	/*
	 * The socket is gone, exactly once; the struct is freed after it.
	 * WS_NO_STATUS: the peer gave no code; WS_ABNORMAL: it went without
	 * a word.
	 */
	void (*on_close)(struct ws *ws, int code, void *arg);
	void (*on_drain)(struct ws *ws, void *arg); /* output below low water */
	/*
	 * What the peer may send, in frames of any kind: one each frame_ms, and
	 * as many as frames_at_once before; beyond it 1008.  0: what it likes.
	 */
	unsigned frame_ms, frames_at_once;
};

/*
 * Answers 101 and turns the request's connection into a WebSocket; a request
 * that is no valid handshake is refused with 400 or 426 and NULL returned.
 */
struct ws *ws_accept(struct http_req *req, const struct ws_ops *ops, void *arg);
/* Text.  It takes a reference of its own; the caller keeps its. */
void ws_send(struct ws *ws, struct rcbuf *payload);
void ws_send_binary(struct ws *ws, struct rcbuf *payload);
size_t ws_pending(const struct ws *ws);
bool ws_is_open(const struct ws *ws); /* false: a close is under way */
/* Starts the closing handshake; on_close follows.  reason at most 120 bytes. */
void ws_close(struct ws *ws, int code, const char *reason);
struct loop *ws_loop(const struct ws *ws);
unsigned ws_count(void); /* of all loops */
/* A route's handler: sends back what it gets; for conformance suites. */
void ws_echo(struct http_req *req);

#endif
