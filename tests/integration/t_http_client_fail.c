/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/net/http_client.h"
#include "tests/integration/far_server.h"
#include "tests/tap.h"

/*
 * Requests of the client that do not go well: servers that are away, slow, or
 * say nonsense; time that is over, cancel, and answers that nobody reads.
 */

static void
bad_answers(void)
{
	struct outcome o = { 0 };

	far_get(far_url(one, "/garbage"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	HAS(o, "not answer in HTTP");
	CU_ASSERT(o.sent);
	far_get(far_url(one, "/close"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	HAS(o, "closed the connection");
	far_get(far_url(one, "/short"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	HAS(o, "broke off");
	far_get(far_url(one, "/headers/190"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	far_get(far_url(one, "/headers/100"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	far_get(far_url(one, "/headers/201"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	far_fetch(&(struct http_request){ .url = far_url(one, "/big/5000"),
		      .trust = HTTP_TRUSTED,
		      .max_body = 4999 },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_LIMIT);
	far_fetch(&(struct http_request){ .url = far_url(one, "/big/5000"),
		      .trust = HTTP_TRUSTED,
		      .max_body = 5000 },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.len, 5000);
	outcome_clear(&o);
}

static void
no_connection(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct outcome o = { 0 };
	char text[60];

	/* Bound and not listening: nobody else has this port. */
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
	snprintf(text, sizeof(text), "http://127.0.0.1:%d/",
	    ntohs(sin.sin_port));
	far_get(text, HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	CU_ASSERT(!o.sent);
	HAS(o, "cannot connect");
	close(fd);

	snprintf(text, sizeof(text), "https://127.0.0.1:%d/hello", one->port);
	far_get(text, HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	HAS(o, "TLS");
	CU_ASSERT(!o.sent);

	far_fetch(&(struct http_request){ .url = "http://nothing.invalid/",
		      .connect_ms = 3000 },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	CU_ASSERT(!o.sent);
	outcome_clear(&o);
}

/* A connection that dies under its second request. */
static void
repeats(void)
{
	struct http_request req = { .url = far_url(one, "/second"),
		.trust = HTTP_TRUSTED };
	struct outcome o = { 0 };
	int requests;

	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	requests = atomic_load(&one->requests);
	far_fetch(&req, &o); /* lost, and made again by curl */
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(atomic_load(&one->requests), requests + 2);

	req.method = "POST";
	far_fetch(&req, &o); /* may have happened: not made again */
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	CU_ASSERT(o.sent);
	CU_ASSERT_EQUAL(atomic_load(&one->requests), requests + 3);
	outcome_clear(&o);
}

static void
deadlines(void)
{
	struct http_request req = { .url = far_url(one, "/hang"),
		.trust = HTTP_TRUSTED,
		.idle_ms = 30 };
	struct outcome o = { 0 };
	uint64_t old;
	int aborted = atomic_load(&one->aborted);

	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);
	CU_ASSERT(o.sent);
	HAS(o, "silent for 30 ms");
	/* What must come in time has ten times as much of it. */
	req.idle_ms = 300;
	req.url = far_url(one, "/begin");
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);
	CU_ASSERT_EQUAL(o.status, 200);
	req.idle_ms = 30;
	req.url = far_url(one, "/early");
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);

	req.idle_ms = 0;
	old = fiber_deadline_set(loop_now_ms(loop) + 30);
	req.url = far_url(one, "/hang");
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);
	fiber_deadline_set(old);
	far_until(one, &one->aborted, aborted + 4);
	outcome_clear(&o);
}

static void
fetcher(void *arg)
{
	struct outcome *o = arg;

	fiber_deadline_set(loop_now_ms(loop) + 60000);
	far_get(o->url, HTTP_TRUSTED, o);
}

static void
cancels(void)
{
	static const char *const paths[] = { "/hang", "/begin", "/flood" };
	struct outcome o = { 0 };

	for (size_t i = 0; i < N_ITEMS(paths); i++) {
		int requests = atomic_load(&one->requests);
		int aborted = atomic_load(&one->aborted);
		struct fiber_ref f;

		snprintf(o.url, sizeof(o.url), "%s", far_url(one, paths[i]));
		f = fiber_spawn(loop, "fetcher", fetcher, &o);
		far_until(one, &one->requests, requests + 1);
		fiber_cancel(f);
		fiber_join(f, 0);
		CU_ASSERT_EQUAL(o.st, AS_CANCELED);
		far_until(one, &one->aborted, aborted + 1);
	}
	/* Before anything was sent at all. */
	{
		struct fiber_ref f = fiber_spawn(loop, "fetcher", fetcher, &o);

		fiber_cancel(f);
		fiber_join(f, 0);
		CU_ASSERT_EQUAL(o.st, AS_CANCELED);
	}
	outcome_clear(&o);
}

static void
back_pressure(void)
{
	struct http_request req = { .url = far_url(one, "/flood"),
		.trust = HTTP_TRUSTED };
	struct http_stream *s = NULL;
	struct error err = { 0 };
	size_t total = 0, n = 0;
	char *piece = xmalloc(100000);
	int blocked = atomic_load(&one->blocked);

	atomic_store(&one->flooded, 0);
	CU_ASSERT_EQUAL(http_open(client, &req, &s, &err), AS_OK);
	far_until(one, &one->blocked,
	    blocked + 1); /* by the kernel's buffers and us */
	CU_ASSERT(atomic_load(&one->flooded) < FLOOD / 2);
	while (http_read(s, piece, 100000, &n, &err) == AS_OK && n > 0) {
		CU_ASSERT(n <= 64 * 1024 + 16 * 1024);
		total += n;
	}
	CU_ASSERT_EQUAL(total, FLOOD);
	http_close(s);

	/* One that is given up while it is paused. */
	blocked = atomic_load(&one->blocked);
	CU_ASSERT_EQUAL(http_open(client, &req, &s, &err), AS_OK);
	far_until(one, &one->blocked, blocked + 1);
	CU_ASSERT_EQUAL(http_read(s, piece, 100, &n, &err), AS_OK);
	CU_ASSERT_EQUAL(n, 100);
	http_close(s);
	error_clear(&err);
	free(piece);
}

/* Closed before the end of the answer was there. */
static void
lingers(void)
{
	struct http_request req = { .url = far_url(one, "/chunk"),
		.trust = HTTP_TRUSTED };
	struct http_stream *s = NULL;
	struct outcome o = { 0 };
	char piece[100];
	size_t n = 0;
	int connections, aborted = atomic_load(&one->aborted);
	int ended = atomic_load(&one->ended);

	CU_ASSERT_EQUAL(http_open(client, &req, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(http_read(s, piece, sizeof(piece), &n, NULL), AS_OK);
	CU_ASSERT_EQUAL(n, 5);
	http_close(s);
	connections = atomic_load(&one->connections);
	MUST(eventfd_write(one->go, 1) == 0);
	far_until(one, &one->ended, ended + 1);
	for (int i = 0; i < 3; i++) /* lets the client read the end */
		far_get(far_url(two, "/big/100000"), HTTP_TRUSTED, &o);
	far_get(far_url(one, "/hello"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(atomic_load(&one->connections), connections);

	/* One that never ends is not waited for. */
	req.url = far_url(one, "/begin");
	CU_ASSERT_EQUAL(http_open(client, &req, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(http_read(s, piece, sizeof(piece), &n, NULL), AS_OK);
	http_close(s);
	far_until(one, &one->aborted, aborted + 1);

	/* Nor is one left behind when the client goes. */
	CU_ASSERT_EQUAL(http_open(client, &req, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(http_read(s, piece, sizeof(piece), &n, NULL), AS_OK);
	http_close(s);
	outcome_clear(&o);
}

#define MANY 100
static struct outcome many[MANY];

static void
concurrent(void)
{
	struct fiber_ref f[MANY];

	for (int i = 0; i < MANY; i++) {
		char path[40];

		snprintf(path, sizeof(path), "/big/%d", 1000 + i);
		snprintf(many[i].url, sizeof(many[i].url), "%s",
		    far_url(one, path));
		f[i] = fiber_spawn(loop, "fetcher", fetcher, &many[i]);
	}
	for (int i = 0; i < MANY; i++) {
		fiber_join(f[i], 0);
		CU_ASSERT_EQUAL(many[i].st, AS_OK);
		CU_ASSERT_EQUAL(many[i].len, 1000 + (size_t)i);
		outcome_clear(&many[i]);
	}
}

#define TEST(body) \
	static void test_##body(void) \
	{ \
		on_fiber(body); \
	}
TEST(bad_answers)
TEST(no_connection)
TEST(repeats)
TEST(deadlines)
TEST(cancels)
TEST(back_pressure)
TEST(lingers)
TEST(concurrent)

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "bad answers", test_bad_answers },
		{ "no connection", test_no_connection },
		{ "what is sent again", test_repeats },
		{ "deadlines", test_deadlines },
		{ "cancel closes the socket", test_cancels },
		{ "back-pressure", test_back_pressure },
		{ "an end that comes late", test_lingers },
		{ "a hundred at once", test_concurrent },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_client fail", servers_start, servers_stop, NULL, NULL,
		    tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
