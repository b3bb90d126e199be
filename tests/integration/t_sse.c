/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/net/http_impl.h"
#include "tests/integration/net_peer.h"
#include "tests/tap.h"

/*
 * Readers of an event stream that are slow, and ones that are gone: between
 * two heartbeats one has read something, whatever was added, the other nothing.
 */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define BEATS 12
#define MIB ((size_t)1024 * 1024)

static struct peer_host *host;
static struct sse *stream;
static size_t waited;
static atomic_int n_closed;

static void
say(size_t n)
{
	char *text = xmalloc(n);
	struct rcbuf *r;

	memset(text, 'x', n);
	r = rcbuf_new(text, n);
	sse_send(stream, NULL, -1, r);
	rcbuf_unref(r);
	free(text);
}

static void
on_close(struct sse *s, void *arg)
{
	(void)s;
	(void)arg;
	stream = NULL;
	atomic_fetch_add(&n_closed, 1);
}

/* More than the kernel takes. */
static void
on_stream(struct http_req *req)
{
	static const struct sse_ops ops = { .on_close = on_close };

	stream = sse_open(req, &ops, NULL);
	say(13 * MIB);
}

/* Notes how much waits, with a heartbeat. */
static void
on_beat(struct http_req *req)
{
	bool there = stream != NULL;

	if (there) {
		say(MIB / 8);
		waited = sse_pending(stream);
		sse_beat(stream);
	}
	http_reply(req, there ? 200 : 410, "text/plain", "", 0);
}

/* When some of that has been read, as much is added. */
static void
on_read(struct http_req *req)
{
	while (stream != NULL && sse_pending(stream) >= waited)
		if (fiber_sleep(1) != FIBER_WOKEN)
			break;
	if (stream != NULL) {
		say(waited - sse_pending(stream) + MIB / 8);
		sse_beat(stream);
	}
	http_reply(req, 200, "text/plain", "", 0);
}

static const struct route routes[] = {
	{ .method = "GET",
	    .path = "/stream",
	    .fn = on_stream,
	    .flags = ROUTE_SSE },
	{ .method = "GET", .path = "/read", .fn = on_read },
	{ .method = "GET", .path = "/beat", .fn = on_beat },
};

static int
ask(const char *what)
{
	struct answer a;
	int status = peer_ask(host, &a, what);

	answer_free(&a);
	return status;
}

static void
test_slow(void)
{
	int n = 0, room = 65536;
	struct peer p;

	peer_open(&p, host);
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	peer_say(&p, GET("/stream"));
	CU_ASSERT_TRUE(peer_until(&p, "data: x") > 0);
	CU_ASSERT_EQUAL(ask(GET("/beat")), 200);
	CU_ASSERT_TRUE(peer_need(&p, p.in.len + 4 * MIB));
	CU_ASSERT_EQUAL(ask(GET("/read")), 200);
	CU_ASSERT_EQUAL(atomic_load(&n_closed), 0);
	/* The kernel may take a little more. */
	while (n < BEATS && ask(GET("/beat")) == 200)
		n++;
	CU_ASSERT_TRUE(n > 0 && n < BEATS);
	CU_ASSERT_EQUAL(atomic_load(&n_closed), 1);
	peer_close(&p);
}

static int
setup(void)
{
	struct http_server_config config = { .host = "127.0.0.1" };

	host = host_start(routes, N_ITEMS(routes), NULL, NULL, &config);
	return 0;
}

static int
teardown(void)
{
	host_stop(host);
	return 0;
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "who reads slowly stays, who reads nothing goes", test_slow },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "event streams", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
