/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/error.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/http_impl.h"
#include "core/net/ws_frame.h"

/*
 * The socket after the handshake.
 *
 * on_close is called from ws_end alone, on the loop's stack, once.  A close
 * from our side waits for the peer's (DL_WS_CLOSE); one from the peer is
 * answered and ends at once; so does an error of the protocol, after the frame
 * that says why.  An idle socket owns neither parser nor buffers.
 */

#define MISSES_MAX 2
#define REASON_MAX 120
#define PONG_PENDING_MAX 65536 /* who does not read misses no pong */

struct ws {
	struct http_conn *conn;
	const struct ws_ops *ops;
	void *arg;
	struct ws_parser *parser; /* while a message is incomplete */
	uint16_t close_code; /* what on_close will be told */
	bool close_sent;
	uint8_t misses; /* pings without any sign of life */
	uint64_t earned_ms; /* when what it has sent is within its rate */
};

static atomic_uint n_sockets;

static struct counter *
gauge(void)
{
	static _Atomic(struct counter *) kept;
	struct counter *c = kept;

	if (c == NULL)
		kept = c = counter_get(GAUGE, "websockets", "Open WebSockets.",
		    NULL, NULL);
	return c;
}

/* ---- Handshake ----------------------------------------------------- */

static bool
key_is_valid(const char *key)
{
	struct buf raw = { 0 };
	char url[23];
	bool ok;
	size_t i;

	if (key == NULL || strlen(key) != 24 || strcmp(key + 22, "==") != 0)
		return false;
	for (i = 0; i < 22; i++) {
		if (key[i] == '-' || key[i] == '_')
			return false;
		url[i] = key[i] == '+' ? '-' : key[i] == '/' ? '_' : key[i];
	}
	url[22] = '\0';
	ok = text_base64url_decode(&raw, url, 22) && raw.len == 16;
	buf_free(&raw);
	return ok;
}

static void
accept_key(const char *key, char out[32])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[24 + sizeof(guid)];
	unsigned char sum[SHA_DIGEST_LENGTH];

	memcpy(text, key, 24);
	memcpy(text + 24, guid, sizeof(guid));
	SHA1(text, 24 + sizeof(guid) - 1, sum);
	EVP_EncodeBlock((unsigned char *)out, sum, sizeof(sum));
}

static enum as_status
handshake_check(struct http_req *req, struct error *err)
{
	struct http_parse *p = &req->parse;
	const char *version = http_parse_header(p, "sec-websocket-version");

	if (!http_parse_has_token(p, "upgrade", "websocket")) {
		http_set_header(req, "Upgrade", "websocket");
		return error_set(err, ERR_UPGRADE_REQUIRED,
		    "this path is a WebSocket");
	}
	if (version == NULL || strcmp(version, "13") != 0) {
		http_set_header(req, "Sec-WebSocket-Version", "13");
		return error_set(err, ERR_UPGRADE_REQUIRED,
		    "Sec-WebSocket-Version must be 13");
	}
	if (p->ll.method != HTTP_GET || p->ll.http_minor != 1 || p->has_body)
		return error_set(err, ERR_BAD_REQUEST,
		    "a WebSocket begins with GET and HTTP/1.1, without a body");
	if (!http_parse_has_token(p, "connection", "upgrade"))
		return error_set(err, ERR_BAD_REQUEST,
		    "Connection does not name Upgrade");
	if (!key_is_valid(http_parse_header(p, "sec-websocket-key")))
		return error_set(err, ERR_BAD_REQUEST,
		    "Sec-WebSocket-Key is not 16 bytes in base64");
	if (!http_origin_allowed(req))
		return error_set(err, ERR_ORIGIN_FORBIDDEN,
		    "this origin may not open a WebSocket");
	if (req->server->draining)
		return error_set(err, ERR_UNAVAILABLE,
		    "the server is stopping");
	return AS_OK;
}

struct ws *
ws_accept(struct http_req *req, const struct ws_ops *ops, void *arg)
{
	struct http_conn *c = req->conn;
	struct error err = { 0 };
	struct iovec iov;
	char accept[32];
	struct ws *ws;

	if (handshake_check(req, &err) != AS_OK) {
		http_reply_error(req, &err);
		error_clear(&err);
		return NULL;
	}
	if (c == NULL || c->state == CONN_CLOSED || c->eof) {
		reply_taken(req, 499);
		return NULL;
	}
	accept_key(http_parse_header(&req->parse, "sec-websocket-key"), accept);
	http_set_header(req, "Upgrade", "websocket");
	http_set_header(req, "Connection", "Upgrade");
	http_set_header(req, "Sec-WebSocket-Accept", accept);
	ws = xcalloc(1, sizeof(*ws));
	ws->conn = c;
	ws->ops = ops;
	ws->arg = arg;
	ws->close_code = WS_ABNORMAL;
	atomic_fetch_add(&n_sockets, 1);
	counter_add(gauge(), 1);
	reply_taken(req, 101);
	reply_head(req, 101, NULL, -1);
	c->ws = ws;
	c->state = CONN_WS;
	conn_deadline(c, DL_WS);
	iov.iov_base = req->server->head.data;
	iov.iov_len = req->server->head.len;
	conn_writev(c, &iov, 1);
	return ws;
}

/* ---- Sending ------------------------------------------------------- */

bool
ws_is_open(const struct ws *ws)
{
	return !ws->close_sent && ws->conn->state == CONN_WS;
}

static void
ws_put(struct ws *ws, enum ws_opcode op, const char *p, size_t len,
    const struct rcbuf *payload)
{
	uint8_t head[WS_HEAD_MAX];
	size_t n = ws_frame_head(head, op,
	    payload != NULL ? payload->len : len);

	if (!ws_is_open(ws))
		return;
	conn_add(ws->conn, head, n);
	if (payload != NULL)
		conn_add_rcbuf(ws->conn, payload);
	else
		conn_add(ws->conn, p, len);
}

void
ws_send(struct ws *ws, struct rcbuf *payload)
{
	ws_put(ws, WS_OP_TEXT, NULL, 0, payload);
}

void
ws_send_binary(struct ws *ws, struct rcbuf *payload)
{
	ws_put(ws, WS_OP_BINARY, NULL, 0, payload);
}

size_t
ws_pending(const struct ws *ws)
{
	return conn_pending(ws->conn);
}

static void
close_frame(struct ws *ws, int code, const char *reason)
{
	char payload[2 + REASON_MAX];
	size_t n = reason != NULL ? strlen(reason) : 0;

	if (n > REASON_MAX)
		n = text_utf8_whole(reason, REASON_MAX);
	payload[0] = (char)(code >> 8);
	payload[1] = (char)code;
	if (n > 0)
		memcpy(payload + 2, reason, n);
	ws_put(ws, WS_OP_CLOSE, payload, code == WS_NO_STATUS ? 0 : n + 2,
	    NULL);
	ws->close_sent = true;
}

void
ws_close(struct ws *ws, int code, const char *reason)
{
	if (!ws_is_open(ws))
		return;
	close_frame(ws, code, reason);
	ws->close_code = (uint16_t)code;
	conn_deadline(ws->conn, DL_WS_CLOSE);
}

/* ---- Ending -------------------------------------------------------- */

static void
ws_end(struct ws *ws)
{
	ws->conn->ws = NULL;
	atomic_fetch_sub(&n_sockets, 1);
	counter_add(gauge(), -1);
	ws_parser_free(ws->parser);
	if (ws->ops->on_close != NULL)
		ws->ops->on_close(ws, ws->close_code, ws->arg);
	free(ws);
}

/* The handshake is through, or there will be none: flush, then shut. */
static void
ws_finish(struct ws *ws)
{
	struct http_conn *c = ws->conn;

	conn_shut(c);
	ws_end(ws);
}

void
ws_gone(struct ws *ws)
{
	ws_end(ws);
}

void
ws_drained(struct ws *ws)
{
	if (ws->ops->on_drain != NULL && !ws->close_sent)
		ws->ops->on_drain(ws, ws->arg);
}

void
ws_beat(struct ws *ws)
{
	if (ws->misses >= MISSES_MAX) {
		conn_close(ws->conn);
		return;
	}
	ws->misses++;
	ws_put(ws, WS_OP_PING, "", 0, NULL);
}

/* ---- Receiving ----------------------------------------------------- */

/* Said, and not listened to any more: what it still sends is thrown away. */
static bool
ws_is_flooded(struct ws *ws)
{
	uint64_t now = loop_now_ms(ws_loop(ws)), each_ms = ws->ops->frame_ms;

	if (ws->earned_ms < now)
		ws->earned_ms = now;
	ws->earned_ms += each_ms;
	if (ws->earned_ms <= now + each_ms * ws->ops->frames_at_once)
		return false;
	if (!ws->close_sent) {
		close_frame(ws, WS_POLICY, "too many frames");
		ws->close_code = WS_POLICY;
	}
	return true;
}

static bool
ws_on_frame(void *arg, enum ws_opcode op, const char *p, size_t len, int code)
{
	struct ws *ws = arg;

	if (op != WS_OP_CLOSE && ws_is_flooded(ws))
		return false;
	switch (op) {
	case WS_OP_TEXT:
	case WS_OP_BINARY:
		if (!ws->close_sent && ws->ops->on_message != NULL)
			ws->ops->on_message(ws, p, len, op == WS_OP_TEXT,
			    ws->arg);
		break;
	case WS_OP_PING:
		if (ws_pending(ws) < PONG_PENDING_MAX)
			ws_put(ws, WS_OP_PONG, p, len, NULL);
		break;
	case WS_OP_PONG:
		break;
	case WS_OP_CLOSE:
		if (!ws->close_sent) {
			close_frame(ws, code, NULL);
			ws->close_code = (uint16_t)code;
		}
		return false;
	}
	return ws->conn->state == CONN_WS;
}

static struct ws_parser *
parser_take(struct http_server *s)
{
	struct ws_parser *p = s->ws_parser;

	s->ws_parser = NULL;
	return p != NULL ? p : ws_parser_new();
}

static void
parser_put(struct http_server *s, struct ws_parser *p)
{
	if (s->ws_parser == NULL)
		s->ws_parser = p;
	else
		ws_parser_free(p);
}

struct feed {
	struct ws *ws;
	bool stopped;
};

static bool
feed_frame(void *arg, enum ws_opcode op, const char *p, size_t len, int code)
{
	struct feed *f = arg;

	f->stopped = !ws_on_frame(f->ws, op, p, len, code);
	return !f->stopped;
}

void
ws_input(struct ws *ws, const char *p, size_t len)
{
	struct http_server *s = ws->conn->server;
	struct ws_limits limits = { s->config.ws_max_message,
		s->config.ws_max_parts };
	struct feed f = { .ws = ws };
	struct ws_parser *parser = ws->parser;
	int code;

	ws->misses = 0;
	if (parser == NULL)
		parser = parser_take(s);
	/* No one else takes it while callbacks run. */
	ws->parser = NULL;
	code = ws_parser_feed(parser, &limits, p, len, feed_frame, &f);
	if (code == 0 && !f.stopped) {
		if (ws_parser_is_clean(parser))
			parser_put(s, parser);
		else
			ws->parser = parser;
		return;
	}
	ws_parser_free(parser);
	if (ws->conn->state != CONN_WS)
		return;
	if (code != 0 && !ws->close_sent) {
		close_frame(ws, code, NULL);
		ws->close_code = (uint16_t)code;
	}
	ws_finish(ws);
}

struct loop *
ws_loop(const struct ws *ws)
{
	return ws->conn->server->loop;
}

unsigned
ws_count(void)
{
	return atomic_load(&n_sockets);
}

/* ---- Echo ---------------------------------------------------------- */

static void
echo_message(struct ws *ws, const char *p, size_t len, bool is_text, void *arg)
{
	struct rcbuf *r = rcbuf_new(p, len);

	(void)arg;
	if (is_text)
		ws_send(ws, r);
	else
		ws_send_binary(ws, r);
	rcbuf_unref(r);
}

void
ws_echo(struct http_req *req)
{
	static const struct ws_ops ops = { .on_message = echo_message };

	ws_accept(req, &ops, NULL);
}
