/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/net/http_impl.h"
#include "core/net/static.h"
#include "tests/integration/net_peer.h"
#include "tests/integration/site.h"
#include "tests/tap.h"

/*
 * Files of a folder, and nothing beside it.
 */

static struct answer a;
static char dir[] = "/tmp/t_http_static.XXXXXX";

static void
on_file(struct http_req *req)
{
	static_serve(req, dir, http_param(req, "path"), NULL);
}

static void
file_put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	MUST(f != NULL);
	fputs(text, f);
	fclose(f);
}

static void
files_make(void)
{
	char path[256], outside[256];

	MUST(mkdtemp(dir) != NULL);
	file_put("index.html", "<p>hi");
	file_put("a.js", "0123456789");
	file_put(".secret", "no");
	snprintf(path, sizeof(path), "%s/sub", dir);
	mkdir(path, 0700);
	file_put("sub/index.html", "<p>sub");
	snprintf(path, sizeof(path), "%s/link", dir);
	snprintf(outside, sizeof(outside), "/etc/passwd");
	MUST(symlink(outside, path) == 0);
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/files/{path:rest}", .fn = on_file },
};

static int
setup(void)
{
	files_make();
	site = host_start(routes, N_ITEMS(routes), NULL, NULL, NULL);
	return 0;
}

static int
teardown(void)
{
	char cmd[300];

	host_stop(site);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static void
test_static(void)
{
	char etag[100], *s;
	const char *at;

	CU_ASSERT_EQUAL(peer_ask(site, &a, GET("/files/a.js")), 200);
	CU_ASSERT(
	    answer_has(&a, "Content-Type: text/javascript; charset=utf-8"));
	CU_ASSERT(answer_has(&a, "Cache-Control: no-cache"));
	CU_ASSERT_STRING_EQUAL(a.body.data, "0123456789");
	at = strstr(a.head, "\r\nETag: ");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	snprintf(etag, sizeof(etag), "%.*s", (int)strcspn(at + 8, "\r"),
	    at + 8);
	answer_free(&a);
	s = xasprintf("GET /files/a.js HTTP/1.1\r\n" HOST
		      "If-None-Match: \"x\", W/%s\r\n\r\n",
	    etag);
	CU_ASSERT_EQUAL(peer_ask(site, &a, s), 304);
	free(s);
	CU_ASSERT_EQUAL(peer_ask(site, &a,
			    "HEAD /files/a.js HTTP/1.1\r\n" HOST END),
	    200);
	CU_ASSERT(answer_has(&a, "Content-Length: 10"));
	CU_ASSERT_EQUAL(peer_ask(site, &a, GET("/files/")), 200);
	CU_ASSERT_STRING_EQUAL(a.body.data, "<p>hi");
	CU_ASSERT(answer_has(&a, "X-Frame-Options: DENY"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(site, &a, GET("/files/sub/")), 200);
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(site, &a, GET("/files/sub")), 301);
	CU_ASSERT(answer_has(&a, "Location: /files/sub/"));
	answer_free(&a);
	site_ask(GET("/files/none"), 404, "NOT_FOUND");
	site_ask(GET("/files/.secret"), 404, "NOT_FOUND");
	site_ask(GET("/files/link"), 404, "NOT_FOUND");
	site_ask(GET("/files//etc/passwd"), 404, "NOT_FOUND");
	site_ask(GET("/files/a.js/"), 404, "NOT_FOUND");
}

static void
range(const char *value, int status, const char *body)
{
	char *s = xasprintf("GET /files/a.js HTTP/1.1\r\n" HOST
			    "Range: %s\r\n\r\n",
	    value);

	CU_ASSERT_EQUAL(peer_ask(site, &a, s), status);
	CU_ASSERT_STRING_EQUAL(a.body.data != NULL ? a.body.data : "", body);
	CU_ASSERT_EQUAL(status != 200,
	    strstr(a.head, "\r\nContent-Range: bytes ") != NULL);
	answer_free(&a);
	free(s);
}

static void
test_range(void)
{
	range("bytes=0-2", 206, "012");
	range("bytes=7-", 206, "789");
	range("bytes=-2", 206, "89");
	range("bytes=-99", 206, "0123456789");
	range("bytes=5-99999999999999999999", 206, "56789");
	range("bytes=10-", 416, "");
	range("bytes=-0", 416, "");
	range("bytes=5-2", 416, "");
	range("bytes=0-1,3-4", 200, "0123456789");
	range("bytes=a-b", 200, "0123456789");
	range("lines=1-2", 200, "0123456789");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "files", test_static },
		{ "ranges", test_range },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_static", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
