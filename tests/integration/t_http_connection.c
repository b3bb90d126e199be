/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/net/http_server.h"
#include "tests/integration/net_peer.h"
#include "tests/integration/site.h"
#include "tests/tap.h"

/*
 * Connections of the server: many requests on one, slow ones, too many, ones
 * whose peer goes, streams; and the end of them all.
 */

static struct answer a;

/* The whole body is sent at once; the 413 must still be readable. */
static void
test_lingering_close(void)
{
	static char junk[200000];
	struct peer p;

	memset(junk, 'x', sizeof(junk));
	peer_open(&p, site);
	peer_say(&p, "POST /echo HTTP/1.1\r\n" HOST JSON
		     "Content-Length: 100001\r\n\r\n");
	peer_send(&p, junk, sizeof(junk));
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 413);
	CU_ASSERT(answer_has(&a, "Connection: close"));
	answer_free(&a);
	peer_send(&p, junk, sizeof(junk) / 4);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_pipelining(void)
{
	struct peer p;
	int i;

	peer_open(&p, site);
	peer_say(&p, GET("/hello?q=1") GET("/none") GET(
			 "/hello?q=3") "POST /echo HTTP/1.1\r\n" HOST JSON
				       "Content-Length: 7\r\n\r\n{\"n\":4}" GET(
					   "/hello?q=5"));
	for (i = 1; i <= 5; i++) {
		char want[32];

		peer_answer(&p, &a);
		CU_ASSERT_EQUAL(a.status, i == 2 ? 404 : i == 4 ? 201 : 200);
		snprintf(want, sizeof(want), i == 4 ? "\"n\":%d" : "\"q\":\"%d",
		    i);
		CU_ASSERT(i == 2 || strstr(a.body.data, want) != NULL);
		answer_free(&a);
	}
	peer_say(&p,
	    "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n" END);
	peer_answer(&p, &a);
	CU_ASSERT(answer_has(&a, "Connection: close"));
	answer_free(&a);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_pipelining_many(void)
{
	struct buf b = { 0 };
	struct peer p;
	int i, ok = 0;

	for (i = 0; i < 3000; i++)
		buf_add_str(&b, GET("/hello"));
	peer_open(&p, site);
	peer_send(&p, b.data, b.len);
	for (i = 0; i < 3000; i++) {
		peer_answer(&p, &a);
		ok += a.status == 200;
		answer_free(&a);
	}
	CU_ASSERT_EQUAL(ok, 3000);
	peer_close(&p);
	buf_free(&b);
}

static void
test_continue(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p,
	    "POST /echo HTTP/1.1\r\n" HOST JSON "Expect: 100-continue\r\n"
	    "Content-Length: 7\r\n\r\n");
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 100);
	peer_say(&p, "{\"n\":1}");
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 201);
	CU_ASSERT_STRING_EQUAL(a.body.data, "{\"n\":1}");
	answer_free(&a);
	peer_close(&p);
}

static void
test_http10(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT(answer_has(&a, "Connection: keep-alive"));
	answer_free(&a);
	peer_say(&p, "GET /hello HTTP/1.0\r\n\r\n");
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	answer_free(&a);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_head(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, "HEAD /hello HTTP/1.1\r\n" HOST END GET("/hello?q=2"));
	peer_answer_head(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT(strstr(a.head, "\r\nContent-Length: ") != NULL);
	peer_answer(&p, &a);
	CU_ASSERT(strstr(a.body.data, "\"q\":\"2\"") != NULL);
	answer_free(&a);
	peer_close(&p);
}

/* One byte now and then does not keep a request alive. */
static void
slow(const char *head, const char *drip)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, head);
	peer_send(&p, drip, 1);
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 408);
	answer_free(&a);
	peer_send(&p, drip, 1);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_slow(void)
{
	struct peer p;

	slow("GET /hello HTTP/1.1\r\nHo", "s");
	slow("POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 5\r\n\r\n{",
	    " ");
	/* Nothing at all: closed without a word. */
	peer_open(&p, site);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_cap(void)
{
	struct peer p[24];
	int i, refused = 0;

	for (i = 0; i < 24; i++) {
		peer_open(&p[i], site);
		peer_say(&p[i], GET("/hello"));
	}
	for (i = 0; i < 24; i++) {
		peer_answer(&p[i], &a);
		refused += a.status == 503;
		answer_free(&a);
	}
	CU_ASSERT(refused >= 4 && refused < 24);
	for (i = 0; i < 24; i++)
		peer_close(&p[i]);
	/* Until the server has noticed. */
	for (i = 0, refused = 0; i < 2000 && refused < 20; i++) {
		refused += peer_ask(site, &a, GET("/hello")) == 200;
		answer_free(&a);
	}
}

/* What is not read piles up here and not without end; then it all comes. */
static void
test_big(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, GET("/big") GET("/hello"));
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.body.len, 4u << 20);
	answer_free(&a);
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	answer_free(&a);
	peer_close(&p);
}

static void
test_disconnect(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, GET("/wait"));
	shutdown(p.fd, SHUT_WR);
	CU_ASSERT(site_becomes(&site_seen.canceled, 1));
	peer_close(&p);
	peer_open(&p, site);
	peer_say(&p, "POST /slow HTTP/1.1\r\n" HOST END);
	peer_close(&p);
	CU_ASSERT(site_becomes(&site_seen.finished, 1));
	/* Half-closed, but quick. */
	peer_open(&p, site);
	peer_say(&p, GET("/hello") GET("/hello"));
	shutdown(p.fd, SHUT_WR);
	peer_answer(&p, &a);
	answer_free(&a);
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	answer_free(&a);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_sse(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, GET("/sse?end=1"));
	peer_answer_head(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT(answer_has(&a, "Content-Type: text/event-stream"));
	CU_ASSERT(answer_has(&a, "Cache-Control: no-cache, no-transform"));
	CU_ASSERT(answer_has(&a, "X-Accel-Buffering: no"));
	CU_ASSERT(answer_has(&a, "Transfer-Encoding: chunked"));
	CU_ASSERT(
	    peer_until(&p, "21\r\nevent: tick\nid: 7\ndata: {\"a\":1}\n\n\r\n"
			   "b\r\ndata: two\n\n\r\n0\r\n\r\n") > 0);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
	peer_open(&p, site);
	peer_say(&p, "GET /sse?end=1 HTTP/1.0\r\n\r\n");
	peer_answer_head(&p, &a);
	CU_ASSERT(!answer_has(&a, "Transfer-Encoding: chunked"));
	CU_ASSERT(peer_until(&p, "data: two\n\n") > 0);
	CU_ASSERT_EQUAL(p.in.len, 44);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
	CU_ASSERT_EQUAL(atomic_load(&site_seen.closed), 0);
}

static void
test_sse_gone(void)
{
	struct peer p;

	peer_open(&p, site);
	peer_say(&p, GET("/sse"));
	CU_ASSERT(peer_until(&p, "data: two\n\n") > 0);
	peer_close(&p);
	CU_ASSERT(site_becomes(&site_seen.closed, 1));
	CU_ASSERT_EQUAL(peer_ask(site, &a, "HEAD /sse HTTP/1.1\r\n" HOST END),
	    200);
	CU_ASSERT(site_becomes(&site_seen.closed, 2));
}

static void
test_drain(void)
{
	struct peer idle, p;

	peer_open(&idle, site);
	peer_say(&idle, GET("/hello"));
	peer_answer(&idle, &a);
	answer_free(&a);
	peer_open(&p, site);
	peer_say(&p, GET("/sse"));
	CU_ASSERT(peer_until(&p, "data: two\n\n") > 0);
	host_do(site, http_server_drain);
	CU_ASSERT(peer_is_closed(&idle));
	CU_ASSERT(peer_until(&p, "0\r\n\r\n") > 0);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
	peer_close(&idle);
}

static bool quiet;

static void
look_quiet(struct http_server *s)
{
	quiet = http_server_is_quiet(s);
}

/* A balancer's connections: nobody loses a request, whenever it comes. */
static void
test_announce(void)
{
	struct peer_host *h = site_another();
	struct peer idle, first, late, p;

	peer_open(&idle, h);
	peer_open(&first, h);
	peer_say(&idle, GET("/hello"));
	peer_answer(&idle, &a);
	CU_ASSERT(!answer_has(&a, "Connection: close"));
	answer_free(&a);
	host_do(h, http_server_announce);
	peer_say(&idle, GET("/hello"));
	peer_answer(&idle, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT(answer_has(&a, "Connection: close"));
	CU_ASSERT(peer_is_closed(&idle));
	answer_free(&a);
	/* It listens still. */
	CU_ASSERT_EQUAL(peer_ask(h, &a, GET("/hello")), 200);
	answer_free(&a);
	peer_open(&p, h);
	peer_open(&late, h);
	host_do(h, http_server_drain);
	host_do(h, look_quiet);
	CU_ASSERT(!quiet);
	/* Two that were connected, and had said nothing yet. */
	peer_say(&first, GET("/hello"));
	peer_say(&p, GET("/hello"));
	peer_answer(&first, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	answer_free(&a);
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT(answer_has(&a, "Connection: close"));
	CU_ASSERT(peer_is_closed(&p));
	answer_free(&a);
	/* A stream that would begin now ends properly instead. */
	peer_say(&late, GET("/sse"));
	CU_ASSERT(peer_until(&late, "\r\n\r\n") > 0);
	CU_ASSERT(peer_until(&late, "retry: ") > 0);
	CU_ASSERT(peer_until(&late, "\r\n0\r\n\r\n") > 0);
	CU_ASSERT(peer_is_closed(&late));
	CU_ASSERT(!peer_connects(h));
	for (int i = 0; i < 1000 && !quiet; i++)
		host_do(h, look_quiet);
	CU_ASSERT(quiet);
	peer_close(&late);
	peer_close(&p);
	peer_close(&first);
	peer_close(&idle);
	host_stop(h);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "lingering close", test_lingering_close },
		{ "pipelining", test_pipelining },
		{ "pipelining without reading", test_pipelining_many },
		{ "100-continue", test_continue },
		{ "HTTP/1.0", test_http10 },
		{ "HEAD", test_head },
		{ "slow requests", test_slow },
		{ "cap on connections", test_cap },
		{ "a big answer", test_big },
		{ "disconnect", test_disconnect },
		{ "event streams", test_sse },
		{ "event streams whose peer goes", test_sse_gone },
		{ "drain", test_drain },
		{ "drain behind a balancer", test_announce },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_connection", site_open, site_close, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
