/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "core/base/mem.h"
#include "core/net/http_client.h"
#include "tests/integration/far_server.h"
#include "tests/tap.h"

/*
 * What the client sends, what it takes, and where it will not go.
 */

static void
plain(void)
{
	struct outcome o = { 0 };
	struct http_request head = { .method = "HEAD",
		.url = far_url(one, "/hello"),
		.trust = HTTP_TRUSTED };
	struct http_request post = { .url = far_url(one, "/echo"),
		.trust = HTTP_TRUSTED,
		.headers = (const char *const[]){ "X-Empty", "", "traceparent",
		    "00-1", NULL },
		.body = "a\0b",
		.body_len = 3 };

	far_get(far_url(one, "/hello"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.status, 200);
	CU_ASSERT_STRING_EQUAL(o.body, "hello");
	CU_ASSERT_STRING_EQUAL(o.header, "\xef\xbf\xbd");
	CU_ASSERT(!server_heard(one, "Content-Type"));

	far_fetch(&post, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT(server_heard(one, "POST /echo HTTP/1.1\r\n"));
	CU_ASSERT(server_heard(one, "\r\nX-Empty:\r\n"));
	CU_ASSERT(server_heard(one, "\r\ntraceparent: 00-1\r\n"));
	CU_ASSERT(server_heard(one, "\r\nContent-Length: 3\r\n"));
	CU_ASSERT(!server_heard(one, "urlencoded"));
	CU_ASSERT(!server_heard(one, "Expect"));

	far_fetch(&head, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.len, 0);
	far_get(far_url(one, "/none"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.status, 204);
	outcome_clear(&o);
}

static bool
refuses(const char *text)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in4.sin_addr) == 1)
		return http_guard_refuses((struct sockaddr *)&in4);
	MUST(inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
	return http_guard_refuses((struct sockaddr *)&in6);
}

static void
test_ranges(void)
{
	static const char *const no[] = { "0.0.0.0", "0.255.255.255",
		"10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255",
		"127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.8", "192.168.0.1", "192.168.255.255",
		"198.18.0.1", "198.19.255.255", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1",
		"::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254",
		"::127.0.0.1", "fc00::1", "fd12::1", "fe80::1", "febf::1",
		"fec0::1", "ff02::1", "64:ff9b::1.2.3.4", "64:ff9b::7f00:1",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
		"2002:7f00:1::", "2002:a00:1::" };
	static const char *const yes[] = { "1.1.1.1", "9.255.255.255",
		"11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255",
		"172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "223.255.255.255",
		"::ffff:1.1.1.1", "2606:4700::1111", "2a00:1450::1",
		"2001:4860:4860::8888", "2003::1" };
	struct sockaddr other = { .sa_family = AF_UNIX };

	for (size_t i = 0; i < N_ITEMS(no); i++) {
		if (!refuses(no[i]))
			tap_note("%s passes", no[i]);
		CU_ASSERT(refuses(no[i]));
	}
	for (size_t i = 0; i < N_ITEMS(yes); i++) {
		if (refuses(yes[i]))
			tap_note("%s is refused", yes[i]);
		CU_ASSERT(!refuses(yes[i]));
	}
	CU_ASSERT(http_guard_refuses(&other));
}

static void
guard(void)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost",
		"2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]" };
	char text[100], by_address[40], by_name[40];
	struct outcome o = { 0 };
	int before = atomic_load(&one->connections);
	const char *allow[] = { "example.com:1", by_address, NULL };

	for (size_t i = 0; i < N_ITEMS(hosts); i++) {
		snprintf(text, sizeof(text), "http://%s:%d/hello", hosts[i],
		    one->port);
		far_get(text, HTTP_GUARDED, &o);
		if (o.st != AS_FORBIDDEN)
			tap_note("%s: %d %s", text, o.st, o.detail);
		CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
		CU_ASSERT(!o.sent);
	}
	HAS(o, "not a public address");
	CU_ASSERT_EQUAL(atomic_load(&one->connections), before);

	snprintf(by_address, sizeof(by_address), "127.0.0.1:%d", one->port);
	snprintf(by_name, sizeof(by_name), "LocalHost:%d", one->port);
	snprintf(text, sizeof(text), "http://localhost:%d/hello", one->port);
	far_fetch(&(struct http_request){ .url = text, .allow = allow }, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	allow[1] = by_name;
	far_fetch(&(struct http_request){ .url = text, .allow = allow }, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	far_fetch(&(struct http_request){ .url = far_url(two, "/hello"),
		      .allow = allow,
		      .allow_name = "plugins.x.allow" },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	HAS(o, "127.0.0.1");
	HAS(o, "plugins.x.allow");
	outcome_clear(&o);
}

/* A connection that one request may use is there; another may not use it. */
static void
guard_reuse(void)
{
	char by_address[40];
	const char *allow[] = { by_address, NULL };
	struct outcome o = { 0 };
	int connections, requests;

	snprintf(by_address, sizeof(by_address), "127.0.0.1:%d", one->port);
	connections = atomic_load(&one->connections);
	for (int i = 0; i < 2; i++) {
		far_fetch(&(struct http_request){ .url = far_url(one, "/hello"),
			      .allow = allow },
		    &o);
		CU_ASSERT_EQUAL(o.st, AS_OK);
	}
	CU_ASSERT_EQUAL(atomic_load(&one->connections), connections + 1);
	requests = atomic_load(&one->requests);
	far_get(far_url(one, "/hello"), HTTP_GUARDED, &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	CU_ASSERT_EQUAL(atomic_load(&one->requests), requests);
	/* Nor is a trusted request's connection a guarded one's. */
	far_get(far_url(two, "/hello"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	far_get(far_url(two, "/hello"), HTTP_GUARDED, &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	outcome_clear(&o);
}

static void
redirects(void)
{
	char path[200], by_address[40];
	const char *allow[] = { by_address, NULL };
	struct http_request req = { .url = far_url(one, "/to/302//echo"),
		.trust = HTTP_TRUSTED,
		.headers = (const char *const[]){ "Authorization",
		    "Bearer secret", "X-Api-Key", "key", "Accept", "a/b",
		    "Content-Type", "text/x", NULL },
		.body = "payload",
		.body_len = 7 };
	struct outcome o = { 0 };

	snprintf(by_address, sizeof(by_address), "127.0.0.1:%d", two->port);
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(strncmp(o.body, "GET /echo ", 10), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(o.body, "Bearer secret"));
	CU_ASSERT_PTR_NULL(strstr(o.body, "payload"));
	CU_ASSERT_PTR_NULL(strstr(o.body, "text/x"));

	req.url = far_url(one, "/to/307//echo");
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(strncmp(o.body, "POST /echo ", 11), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(o.body, "payload"));

	/* Elsewhere: the trust ends, and the credentials stay behind. */
	snprintf(path, sizeof(path), "/to/302/%s", far_url(two, "/echo"));
	req.url = far_url(one, path);
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	CU_ASSERT(o.sent);
	req.allow = allow;
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_PTR_NULL(strstr(o.body, "Bearer secret"));
	CU_ASSERT_PTR_NULL(strstr(o.body, "X-Api-Key"));
	CU_ASSERT_PTR_NOT_NULL(strstr(o.body, "Accept: a/b"));

	req.same_host = true;
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.status, 302);
	CU_ASSERT_STRING_EQUAL(o.header, far_url(two, "/echo"));
	req.url = far_url(one, "/to/302//echo");
	req.max_redirects = -1;
	far_fetch(&req, &o);
	CU_ASSERT_EQUAL(o.status, 302);

	far_get(far_url(one, "/loop"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	HAS(o, "too often");
	far_get(far_url(one, "/to/302/file:///etc/passwd"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	far_get(far_url(one, "/to/302/http://u:p@x/"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	outcome_clear(&o);
}

static void
bad_requests(void)
{
	static const char *const urls[] = { "", "hello", "ftp://x/",
		"file:///etc/passwd", "http://", "http://u:p@x/", "http://a b/",
		"http://x:99999/", "gopher://x/", "http://x\r\ny/" };
	static const char *const names[][2] = { { "Host", "x" },
		{ "Content-Length", "1" }, { "transfer-encoding", "chunked" },
		{ "a b", "x" }, { "", "x" }, { "a:", "x" },
		{ "X", "a\r\nY: b" }, { "X", "a\nb" }, { "X", "\x01" } };
	struct outcome o = { 0 };
	char *longer = xmalloc(9000);

	for (size_t i = 0; i < N_ITEMS(urls); i++) {
		far_get(urls[i], HTTP_TRUSTED, &o);
		if (o.st != AS_INVALID)
			tap_note("'%s': %d %s", urls[i], o.st, o.detail);
		CU_ASSERT_EQUAL(o.st, AS_INVALID);
		CU_ASSERT(!o.sent);
	}
	for (size_t i = 0; i < N_ITEMS(names); i++) {
		const char *headers[] = { names[i][0], names[i][1], NULL };

		far_fetch(&(struct http_request){ .url = far_url(one, "/hello"),
			      .trust = HTTP_TRUSTED,
			      .headers = headers },
		    &o);
		CU_ASSERT_EQUAL(o.st, AS_INVALID);
	}
	far_fetch(&(struct http_request){ .url = far_url(one, "/hello"),
		      .trust = HTTP_TRUSTED,
		      .method = "GET /x" },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_INVALID);
	memset(longer, 'a', 8999);
	memcpy(longer, "http://x/", 9);
	longer[8999] = '\0';
	far_get(longer, HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_LIMIT);
	free(longer);
	outcome_clear(&o);
}

#define TEST(body) \
	static void test_##body(void) \
	{ \
		on_fiber(body); \
	}
TEST(plain)
TEST(guard)
TEST(guard_reuse)
TEST(redirects)
TEST(bad_requests)

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "plain requests", test_plain },
		{ "refused ranges", test_ranges },
		{ "guard", test_guard },
		{ "guard on reuse", test_guard_reuse },
		{ "redirects", test_redirects },
		{ "bad requests", test_bad_requests },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_client", servers_start, servers_stop, NULL, NULL,
		    tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
