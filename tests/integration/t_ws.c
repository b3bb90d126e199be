/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/mem.h"
#include "core/net/ws.h"
#include "tests/integration/net_peer.h"
#include "tests/tap.h"

/*
 * WebSockets with frames made by hand, in the order of the chapters of the
 * Autobahn suite: framing, pings, reserved bits, opcodes, fragmentation,
 * UTF-8, close handling, limits.
 */

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define UPGRADE_LINES \
	"Host: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
	"Sec-WebSocket-Version: 13\r\n"
#define HELLO(path) \
	"GET " path " HTTP/1.1\r\n" UPGRADE_LINES "Sec-WebSocket-Key: " KEY \
	"\r\n\r\n"

enum {
	FIN = 0x80,
	TEXT = 1,
	BIN = 2,
	CONT = 0,
	CLOSE = 8,
	PING = 9,
	PONG = 10
};

static struct peer_host *host;
static atomic_int last_code, n_closed, n_drained;

/* ---- Server -------------------------------------------------------- */

static void
on_message(struct ws *ws, const char *p, size_t len, bool is_text, void *arg)
{
	int i, n = atoi(p);
	struct rcbuf *r;
	char *big;

	(void)arg;
	(void)is_text;
	if (len > 6 && strncmp(p, "close ", 6) == 0) {
		ws_close(ws, atoi(p + 6), "as you wish");
		ws_close(ws, 1011, "a second one does nothing");
		return;
	}
	/* A number: one big payload, that many times. */
	big = xmalloc(100000);
	memset(big, 'x', 100000);
	r = rcbuf_new(big, 100000);
	free(big);
	for (i = 0; i < n; i++)
		ws_send(ws, r);
	rcbuf_unref(r);
}

static void
on_close(struct ws *ws, int code, void *arg)
{
	(void)ws;
	(void)arg;
	atomic_store(&last_code, code);
	atomic_fetch_add(&n_closed, 1);
}

static void
on_drain(struct ws *ws, void *arg)
{
	(void)arg;
	if (ws_pending(ws) <= 16384)
		atomic_fetch_add(&n_drained, 1);
}

static const struct ws_ops ops = { .on_message = on_message,
	.on_close = on_close,
	.on_drain = on_drain };

static void
on_ws(struct http_req *req)
{
	ws_accept(req, &ops, NULL);
}

static const struct route routes[] = {
	{ .method = "GET",
	    .path = "/echo",
	    .fn = ws_echo,
	    .flags = ROUTE_WEBSOCKET },
	{ .method = "GET",
	    .path = "/ws",
	    .fn = on_ws,
	    .flags = ROUTE_WEBSOCKET },
};

static int
setup(void)
{
	struct http_server_config config = { .host = "127.0.0.1",
		.ws_max_message = 300000,
		.ws_max_parts = 50,
		.ws_ping_ms = 300 };

	host = host_start(routes, N_ITEMS(routes), NULL, NULL, &config);
	return 0;
}

static int
teardown(void)
{
	host_stop(host);
	return 0;
}

/* ---- Client -------------------------------------------------------- */

static void
add_frame(struct buf *b, int byte0, const void *p, size_t len)
{
	static const uint8_t mask[4] = { 0x12, 0x34, 0x56, 0x78 };
	const uint8_t *s = p;
	size_t i, n = len <= 125 ? 0 : len <= 65535 ? 2 : 8;

	buf_add_char(b, (char)byte0);
	buf_add_char(b, (char)(0x80 | (n == 0 ? len : n == 2 ? 126 : 127)));
	while (n-- > 0)
		buf_add_char(b, (char)((uint64_t)len >> (8 * n)));
	buf_add(b, mask, 4);
	for (i = 0; i < len; i++)
		buf_add_char(b, (char)(s[i] ^ mask[i % 4]));
}

static void
send_frame(struct peer *p, int byte0, const void *s, size_t len)
{
	struct buf b = { 0 };

	add_frame(&b, byte0, s, len);
	peer_send(p, b.data, b.len);
	buf_free(&b);
}

static void
ws_hello(struct peer *p, const char *request)
{
	struct answer a;

	peer_open(p, host);
	peer_say(p, request);
	peer_answer_head(p, &a);
	CU_ASSERT_EQUAL_FATAL(a.status, 101);
	CU_ASSERT(answer_has(&a,
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	CU_ASSERT(answer_has(&a, "Connection: Upgrade"));
	CU_ASSERT(!answer_has(&a, "Connection: close"));
	CU_ASSERT(strstr(a.head, "Content-Length") == NULL);
}

struct frame {
	int byte0;
	const uint8_t *p;
	size_t len, whole;
};

/* The first frame that is there, without taking it. */
static bool
frame_peek(struct peer *p, struct frame *f)
{
	const uint8_t *s;
	size_t n, i, head = 2;

	if (!peer_need(p, 2))
		return false;
	n = (uint8_t)p->in.data[1];
	head += n == 126 ? 2 : n == 127 ? 8 : 0;
	if ((n & 0x80) != 0 || !peer_need(p, head))
		return false;
	s = (const uint8_t *)p->in.data;
	f->byte0 = s[0];
	f->len = n;
	if (head > 2) {
		f->len = 0;
		for (i = 2; i < head; i++)
			f->len = f->len << 8 | s[i];
	}
	f->whole = head + f->len;
	if (!peer_need(p, f->whole))
		return false;
	f->p = (const uint8_t *)p->in.data + head;
	return true;
}

/* Server pings come when they want. */
static bool
frame_next(struct peer *p, struct frame *f)
{
	while (frame_peek(p, f)) {
		if (f->byte0 != (FIN | PING))
			return true;
		buf_drain(&p->in, f->whole);
	}
	return false;
}

static void
frame_is(struct peer *p, int byte0, const void *s, size_t len)
{
	struct frame f;

	if (!frame_next(p, &f)) {
		CU_FAIL("no frame");
		return;
	}
	CU_ASSERT_EQUAL(f.byte0, byte0);
	CU_ASSERT_EQUAL(f.len, len);
	CU_ASSERT(f.len == len && memcmp(f.p, s, len) == 0);
	buf_drain(&p->in, f.whole);
}

/* code 0: an empty close frame */
static void
close_is(struct peer *p, int code)
{
	struct frame f;
	int got;

	if (!frame_next(p, &f)) {
		CU_FAIL("no close frame");
		return;
	}
	got = f.len >= 2 ? f.p[0] << 8 | f.p[1] : 0;
	if (got != code)
		tap_note("code %d instead of %d", got, code);
	CU_ASSERT_EQUAL(f.byte0, FIN | CLOSE);
	CU_ASSERT_EQUAL(got, code);
	CU_ASSERT(peer_is_closed(p));
}

/* ---- Handshake ----------------------------------------------------- */

static void
refused(const char *headers, int status)
{
	char *s = xasprintf("GET /echo HTTP/1.1\r\n%s\r\n", headers);
	struct answer a;

	CU_ASSERT_EQUAL(peer_ask(host, &a, s), status);
	if (status == 426)
		CU_ASSERT(answer_has(&a, "Upgrade: websocket") ||
			  answer_has(&a, "Sec-WebSocket-Version: 13"));
	answer_free(&a);
	free(s);
}

static void
test_handshake(void)
{
	struct peer p;

	refused("Host: a\r\n", 426);
	refused("Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", 426);
	refused("Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: " KEY "\r\n",
	    426);
	refused("Host: a\r\nUpgrade: websocket\r\nConnection: close\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n",
	    400);
	refused(UPGRADE_LINES, 400);
	refused(UPGRADE_LINES "Sec-WebSocket-Key: short\r\n", 400);
	refused(UPGRADE_LINES "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n",
	    400);
	refused(UPGRADE_LINES "Sec-WebSocket-Key: " KEY
			      "\r\nOrigin: http://evil\r\n",
	    403);
	refused(UPGRADE_LINES "Sec-WebSocket-Key: " KEY
			      "\r\nSec-Fetch-Site: cross-site\r\n",
	    403);
	ws_hello(&p, HELLO("/echo"));
	CU_ASSERT_EQUAL(ws_count(), 1);
	peer_close(&p);
	ws_hello(&p,
	    "GET /echo HTTP/1.1\r\n" UPGRADE_LINES "Origin: http://a\r\n"
	    "Sec-WebSocket-Key: " KEY "\r\n\r\n");
	peer_close(&p);
}

/* Frames in the segment of the handshake, and a plain request before it. */
static void
test_early_frame(void)
{
	struct buf b = { 0 };
	struct answer a;
	struct peer p;

	peer_open(&p, host);
	buf_add_str(&b, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
	buf_add_str(&b, HELLO("/echo"));
	add_frame(&b, FIN | TEXT, "early", 5);
	add_frame(&b, FIN | TEXT, "second", 6);
	peer_send(&p, b.data, b.len);
	buf_free(&b);
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 404);
	answer_free(&a);
	peer_answer_head(&p, &a);
	CU_ASSERT_EQUAL(a.status, 101);
	frame_is(&p, FIN | TEXT, "early", 5);
	frame_is(&p, FIN | TEXT, "second", 6);
	peer_close(&p);
}

/* ---- Frames -------------------------------------------------------- */

static void
test_echo_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 128, 4095, 4096,
		4097, 65535, 65536, 300000 };
	char *s = xmalloc(300000);
	struct peer p;
	size_t i;

	memset(s, '*', 300000);
	ws_hello(&p, HELLO("/echo"));
	for (i = 0; i < N_ITEMS(sizes); i++) {
		send_frame(&p, FIN | TEXT, s, sizes[i]);
		frame_is(&p, FIN | TEXT, s, sizes[i]);
		memset(s, 0xfe, 300000);
		send_frame(&p, FIN | BIN, s, sizes[i]);
		frame_is(&p, FIN | BIN, s, sizes[i]);
		memset(s, '*', 300000);
	}
	peer_close(&p);
	free(s);
}

/* A frame byte by byte, and many frames in one segment. */
static void
test_chopped(void)
{
	struct buf b = { 0 };
	struct peer p;
	size_t i;

	ws_hello(&p, HELLO("/echo"));
	add_frame(&b, FIN | TEXT, "h\xc3\xa9llo", 6);
	for (i = 0; i < b.len; i++)
		peer_send(&p, b.data + i, 1);
	frame_is(&p, FIN | TEXT, "h\xc3\xa9llo", 6);
	buf_reset(&b);
	for (i = 0; i < 500; i++)
		add_frame(&b, FIN | TEXT, "0123456789", i % 11);
	peer_send(&p, b.data, b.len);
	for (i = 0; i < 500; i++)
		frame_is(&p, FIN | TEXT, "0123456789", i % 11);
	buf_free(&b);
	peer_close(&p);
}

static void
test_ping(void)
{
	char big[126] = "";
	struct peer p;
	int i;

	ws_hello(&p, HELLO("/echo"));
	send_frame(&p, FIN | PING, "", 0);
	frame_is(&p, FIN | PONG, "", 0);
	send_frame(&p, FIN | PING, "\0\xff\xfe", 3);
	frame_is(&p, FIN | PONG, "\0\xff\xfe", 3);
	send_frame(&p, FIN | PING, big, 125);
	frame_is(&p, FIN | PONG, big, 125);
	send_frame(&p, FIN | PONG, "unasked", 7);
	for (i = 0; i < 10; i++)
		send_frame(&p, FIN | PING, "x", 1);
	for (i = 0; i < 10; i++)
		frame_is(&p, FIN | PONG, "x", 1);
	send_frame(&p, FIN | PING, big, 126);
	close_is(&p, WS_PROTOCOL);
	peer_close(&p);
}

static void
raw_fails(const void *s, size_t len, int code)
{
	struct peer p;

	ws_hello(&p, HELLO("/echo"));
	peer_send(&p, s, len);
	close_is(&p, code);
	peer_close(&p);
}

static void
frame_fails(int byte0, const void *s, size_t len, int code)
{
	struct buf b = { 0 };

	add_frame(&b, byte0, s, len);
	raw_fails(b.data, b.len, code);
	buf_free(&b);
}

static void
test_bad_frames(void)
{
	int op;

	frame_fails(FIN | 0x40 | TEXT, "a", 1, WS_PROTOCOL);
	frame_fails(FIN | 0x20 | TEXT, "a", 1, WS_PROTOCOL);
	frame_fails(FIN | 0x10 | PING, "", 0, WS_PROTOCOL);
	for (op = 3; op < 16; op++) {
		if (op < 8 || op > 10)
			frame_fails(FIN | op, "a", 1, WS_PROTOCOL);
	}
	frame_fails(PING, "", 0, WS_PROTOCOL); /* a fragmented ping */
	frame_fails(FIN | CONT, "a", 1, WS_PROTOCOL);
	raw_fails("\x81\x01"
		  "a",
	    3, WS_PROTOCOL); /* unmasked */
	/* Lengths that are not the shortest, or negative. */
	raw_fails("\x81\xfe\x00\x01\0\0\0\0a", 9, WS_PROTOCOL);
	raw_fails("\x81\xff\0\0\0\0\0\0\x00\x01\0\0\0\0a", 15, WS_PROTOCOL);
	raw_fails("\x81\xff\x80\0\0\0\0\0\x00\x01\0\0\0\0a", 15, WS_PROTOCOL);
}

static void
test_fragments(void)
{
	struct peer p;

	ws_hello(&p, HELLO("/echo"));
	send_frame(&p, TEXT, "one ", 4);
	send_frame(&p, CONT, "two ", 4);
	send_frame(&p, FIN | PING, "between", 7);
	frame_is(&p, FIN | PONG, "between", 7);
	send_frame(&p, CONT, "", 0);
	send_frame(&p, FIN | CONT, "three", 5);
	frame_is(&p, FIN | TEXT, "one two three", 13);
	send_frame(&p, BIN, "\xff", 1);
	send_frame(&p, FIN | CONT, "\xfe", 1);
	frame_is(&p, FIN | BIN, "\xff\xfe", 2);
	send_frame(&p, TEXT, "a", 1);
	send_frame(&p, FIN | TEXT, "b", 1);
	close_is(&p, WS_PROTOCOL);
	peer_close(&p);
}

static void
test_utf8(void)
{
	static const char *const bad[] = { "\xce\xba\xe1\xbd\xb9\xcf\x83\xed"
					   "\xa0\x80",
		"\xf4\x90\x80\x80", "\xc0\xaf", "\xe0\x80\xaf", "\x80", "\xff",
		"\xc3", "\xe2\x82", "\xf0\x9f\x92", "\xfe" };
	static const char good[] = "\xce\xba\xe1\xbd\xb9\xf0\x9f\x98\x80"
				   "\xef\xbf\xbf\xf4\x8f\xbf\xbf";
	struct peer p;
	size_t i;

	for (i = 0; i < N_ITEMS(bad); i++)
		frame_fails(FIN | TEXT, bad[i], strlen(bad[i]), WS_BAD_DATA);
	ws_hello(&p, HELLO("/echo"));
	send_frame(&p, TEXT, good, 1);
	for (i = 1; i < sizeof(good) - 2; i++)
		send_frame(&p, CONT, good + i, 1);
	send_frame(&p, FIN | CONT, good + i, 1);
	frame_is(&p, FIN | TEXT, good, sizeof(good) - 1);
	/* At once: the message is not complete yet. */
	send_frame(&p, TEXT, "\xf4", 1);
	send_frame(&p, CONT, "\x90", 1);
	close_is(&p, WS_BAD_DATA);
	peer_close(&p);
}

static void
closes(const char *payload, size_t len, int code)
{
	frame_fails(FIN | CLOSE, payload, len, code);
}

static void
test_close(void)
{
	static const int good[] = { 1000, 1001, 1002, 1003, 1007, 1008, 1009,
		1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999 };
	static const int bad[] = { 0, 999, 1004, 1005, 1006, 1015, 1016, 1100,
		2000, 2999, 5000, 65535 };
	char s[125];
	size_t i;

	closes("", 0, 0);
	closes("\x03", 1, WS_PROTOCOL);
	for (i = 0; i < N_ITEMS(good); i++) {
		s[0] = (char)(good[i] >> 8);
		s[1] = (char)good[i];
		closes(s, 2, good[i]);
	}
	for (i = 0; i < N_ITEMS(bad); i++) {
		s[0] = (char)(bad[i] >> 8);
		s[1] = (char)bad[i];
		closes(s, 2, WS_PROTOCOL);
	}
	memset(s, 'r', sizeof(s));
	memcpy(s, "\x03\xe8", 2);
	closes(s, 125, 1000);
	closes("\x03\xe8\xce\xba\xed\xa0\x80", 7, WS_BAD_DATA);
	frame_fails(CLOSE, "\x03\xe8", 2, WS_PROTOCOL);
	/* Nothing after a close frame is looked at. */
	raw_fails("\x88\x82\0\0\0\0\x03\xe8\x81\x01x", 11, 1000);
}

static bool
closed_with(int n, int code)
{
	struct peer p;
	int i;

	for (i = 0; i < 20000 && atomic_load(&n_closed) < n; i++) {
		struct answer a;

		peer_open(&p, host);
		peer_say(&p, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
		peer_answer(&p, &a);
		answer_free(&a);
		peer_close(&p);
	}
	CU_ASSERT_EQUAL(atomic_load(&last_code), code);
	return atomic_load(&n_closed) == n;
}

static void
test_on_close(void)
{
	int n = atomic_load(&n_closed);
	struct peer p;

	/* Ours, answered. */
	ws_hello(&p, HELLO("/ws"));
	send_frame(&p, FIN | TEXT, "close 4001", 10);
	frame_is(&p, FIN | CLOSE,
	    "\x0f\xa1"
	    "as you wish",
	    13);
	send_frame(&p, FIN | TEXT, "ignored", 7);
	send_frame(&p, FIN | CLOSE, "\x0f\xa1", 2);
	CU_ASSERT(peer_is_closed(&p));
	CU_ASSERT(closed_with(n + 1, 4001));
	peer_close(&p);
	/* The peer's. */
	ws_hello(&p, HELLO("/ws"));
	send_frame(&p, FIN | CLOSE, "\x0f\xa5", 2);
	CU_ASSERT(closed_with(n + 2, 4005));
	peer_close(&p);
	ws_hello(&p, HELLO("/ws"));
	send_frame(&p, FIN | CLOSE, "", 0);
	CU_ASSERT(closed_with(n + 3, WS_NO_STATUS));
	peer_close(&p);
	/* Gone without a word. */
	ws_hello(&p, HELLO("/ws"));
	peer_close(&p);
	CU_ASSERT(closed_with(n + 4, WS_ABNORMAL));
	/* An error of the peer's. */
	ws_hello(&p, HELLO("/ws"));
	send_frame(&p, FIN | 3, "", 0);
	CU_ASSERT(closed_with(n + 5, WS_PROTOCOL));
	peer_close(&p);
}

static void
test_limits(void)
{
	char *s = xcalloc(1, 2000000);
	struct peer p;
	int i;

	memset(s, 'x', 2000000);
	/* In one frame: refused by its head; the close frame is readable. */
	frame_fails(FIN | TEXT, s, 300001, WS_TOO_BIG);
	frame_fails(FIN | TEXT, s, 2000000, WS_TOO_BIG);
	ws_hello(&p, HELLO("/echo"));
	send_frame(&p, BIN, s, 200000);
	send_frame(&p, FIN | CONT, s, 100001);
	close_is(&p, WS_TOO_BIG);
	peer_close(&p);
	ws_hello(&p, HELLO("/echo"));
	send_frame(&p, TEXT, "", 0);
	for (i = 0; i < 50; i++)
		send_frame(&p, CONT, "", 0);
	close_is(&p, WS_TOO_BIG);
	peer_close(&p);
	free(s);
}

/* Nobody answers the server's pings. */
static void
test_silent_peer(void)
{
	int n = atomic_load(&n_closed);
	struct frame f;
	struct peer p;

	ws_hello(&p, HELLO("/ws"));
	CU_ASSERT(frame_peek(&p, &f) && f.byte0 == (FIN | PING));
	buf_drain(&p.in, 2);
	send_frame(&p, FIN | PONG, "", 0);
	CU_ASSERT(peer_is_closed(&p));
	CU_ASSERT(closed_with(n + 1, WS_ABNORMAL));
	peer_close(&p);
}

/* 50 shared payloads of 100 kB that the peer takes late. */
static void
test_back_pressure(void)
{
	struct frame f;
	struct peer p;
	int i;

	ws_hello(&p, HELLO("/ws"));
	send_frame(&p, FIN | TEXT, "50", 2);
	for (i = 0; i < 50; i++) {
		CU_ASSERT(frame_next(&p, &f) && f.len == 100000);
		buf_drain(&p.in, f.whole);
	}
	send_frame(&p, FIN | PING, "", 0);
	frame_is(&p, FIN | PONG, "", 0);
	CU_ASSERT(atomic_load(&n_drained) >= 1);
	/* 300 of them are above any budget: the socket is dropped. */
	send_frame(&p, FIN | TEXT, "300", 3);
	for (i = 0; i < 300 && frame_next(&p, &f); i++)
		buf_drain(&p.in, f.whole);
	CU_ASSERT(i < 300);
	peer_close(&p);
}

static void
test_drain(void)
{
	struct peer p;

	ws_hello(&p, HELLO("/echo"));
	host_do(host, http_server_drain);
	CU_ASSERT(peer_need(&p, 4));
	CU_ASSERT_EQUAL((uint8_t)p.in.data[0], FIN | CLOSE);
	CU_ASSERT(memcmp(p.in.data + 2, "\x03\xe9", 2) == 0);
	send_frame(&p, FIN | CLOSE, "\x03\xe9", 2);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "handshake", test_handshake },
		{ "early frames", test_early_frame },
		{ "echo of all sizes", test_echo_sizes },
		{ "chopped and merged", test_chopped },
		{ "pings", test_ping },
		{ "bad frames", test_bad_frames },
		{ "fragments", test_fragments },
		{ "UTF-8", test_utf8 },
		{ "close frames", test_close },
		{ "on_close", test_on_close },
		{ "limits", test_limits },
		{ "a silent peer", test_silent_peer },
		{ "back-pressure", test_back_pressure },
		{ "drain", test_drain },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "ws", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
