/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/net/http_parse.h"
#include "core/net/http_target.h"
#include "tests/tap.h"

/*
 * Each case is fed whole, byte by byte and in threes, from exact heap copies
 * so that a sanitizer sees any read beyond them; all three must agree.
 */

static const struct http_limits limits = { 100, 16384, 8192 };

struct outcome {
	enum http_parse_result result;
	enum error_code error;
	size_t used;
	struct http_parse parse;
};

static enum http_parse_result
feed_piece(struct http_parse *p, const char *s, size_t len, size_t *used)
{
	char *copy = xmalloc(len + 1);
	enum http_parse_result r = HTTP_PARSE_MORE;
	size_t n;

	memcpy(copy, s, len);
	*used = 0;
	do {
		if (r == HTTP_PARSE_HEAD)
			p->max_body = 1000;
		r = http_parse_feed(p, copy + *used, len - *used, &n);
		*used += n;
	} while (r == HTTP_PARSE_HEAD);
	free(copy);
	return r;
}

static void
run(struct outcome *o, const char *s, size_t len, size_t step)
{
	size_t at = 0;

	memset(o, 0, sizeof(*o));
	http_parse_init(&o->parse, &limits);
	o->result = HTTP_PARSE_MORE;
	while (at < len && o->result == HTTP_PARSE_MORE) {
		size_t n = len - at < step ? len - at : step, used;

		o->result = feed_piece(&o->parse, s + at, n, &used);
		at += used;
	}
	o->used = at;
	o->error = o->parse.error;
}

static enum error_code
outcome_of(const char *s, size_t len)
{
	static const size_t steps[] = { 1 << 20, 1, 3 };
	enum error_code code[3];
	size_t i;

	for (i = 0; i < 3; i++) {
		struct outcome *o = xmalloc(sizeof(*o));

		run(o, s, len, steps[i]);
		code[i] = o->error;
		if (o->result == HTTP_PARSE_MORE)
			code[i] = ERR_REQUEST_TIMEOUT;
		http_parse_free(&o->parse);
		free(o);
	}
	CU_ASSERT_EQUAL(code[0], code[1]);
	CU_ASSERT_EQUAL(code[0], code[2]);
	if (code[0] != code[1] || code[0] != code[2])
		tap_note("pieces differ (%s, %s, %s): %.60s",
		    error_name(code[0]), error_name(code[1]),
		    error_name(code[2]), s);
	return code[0];
}

static void
expect(enum error_code want, const char *s, size_t len)
{
	enum error_code got = outcome_of(s, len);

	CU_ASSERT_EQUAL(got, want);
	if (got != want)
		tap_note("%s instead of %s: %.70s", error_name(got),
		    error_name(want), s);
}

#define EXPECT(want, s) expect(want, s, sizeof(s) - 1)
#define BAD(s) EXPECT(ERR_BAD_REQUEST, s)
#define GOOD(s) EXPECT(ERR_NONE, s)

#define POST "POST /x HTTP/1.1\r\nHost: a\r\n"

static void
test_framing(void)
{
	BAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
		 "3\r\nabc\r\n0\r\n\r\n");
	BAD(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "3\r\nabc\r\n0\r\n\r\n");
	BAD(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd");
	BAD(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc");
	BAD(POST "Content-Length: +5\r\n\r\nabcde");
	BAD(POST "Content-Length: -5\r\n\r\nabcde");
	BAD(POST "Content-Length: 5, 5\r\n\r\nabcde");
	BAD(POST "Content-Length: 0x5\r\n\r\nabcde");
	BAD(POST "Content-Length:\r\n\r\n");
	BAD(POST "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc");
	EXPECT(ERR_UNSUPPORTED,
	    POST "Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	EXPECT(ERR_UNSUPPORTED,
	    POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
	BAD(POST "Transfer-Encoding: chunked\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	BAD("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "0\r\n\r\n");
	GOOD(POST "Transfer-Encoding: chunked\r\n\r\n"
		  "3;ext=1\r\nabc\r\n0\r\n\r\n");
	GOOD(POST "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	GOOD(POST "Transfer-Encoding: chunked\r\n\r\n"
		  "A\r\n0123456789\r\n0\r\nX-Trailer: a\r\n\r\n");
	BAD(POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n");
	BAD(POST "Transfer-Encoding: chunked\r\n\r\n 5\r\nabcde\r\n0\r\n\r\n");
	BAD(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n");
	BAD(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n");
	BAD(POST "Transfer-Encoding: chunked\r\n\r\n"
		 "fffffffffffffffff\r\nabc\r\n0\r\n\r\n");
}

static void
test_syntax(void)
{
	GOOD("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	GOOD("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
	GOOD("GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX: y\r\n\r\n");
	GOOD("GET / HTTP/1.1\r\nHost: a:80\r\nX: \tcaf\xc3\xa9\t \r\n\r\n");
	GOOD("GET / HTTP/1.0\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n");
	BAD("GET / HTTP/1.1\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
	BAD("GET / HTTP/1.1\nHost: a\n\n");
	BAD("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n");
	BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nX: \0y\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nX: a\177b\r\n\r\n");
	BAD("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n");
	BAD("GET / HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n");
	BAD("GET / HTTP/1.1\r\n:\r\nHost: a\r\n\r\n");
	BAD("GET / a HTTP/1.1\r\nHost: a\r\n\r\n");
	EXPECT(ERR_HTTP_VERSION, "GET /\r\n\r\n");
	BAD("get / HTTP/1.1\r\nHost: a\r\n\r\n");
	BAD("HELLO\r\n\r\n");
	BAD("\026\003\001\002\001\r\n");
	EXPECT(ERR_HTTP_VERSION, "GET / HTTP/1.2\r\nHost: a\r\n\r\n");
	EXPECT(ERR_HTTP_VERSION, "GET / HTTP/2.0\r\nHost: a\r\n\r\n");
	EXPECT(ERR_HTTP_VERSION, "GET / HTTP/0.9\r\nHost: a\r\n\r\n");
	EXPECT(ERR_EXPECTATION_FAILED,
	    POST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na");
	EXPECT(ERR_REQUEST_TIMEOUT, "GET / HTTP/1.1\r\nHost: a\r\n");
}

static char *
many(const char *start, const char *piece, size_t n)
{
	struct buf b = { 0 };

	buf_add_str(&b, start);
	while (n-- > 0)
		buf_add_str(&b, piece);
	return buf_take(&b);
}

static void
expect_many(enum error_code want, const char *start, const char *piece,
    size_t n, const char *end)
{
	char *s = many(start, piece, n);
	struct buf b = { 0 };

	buf_add_str(&b, s);
	buf_add_str(&b, end);
	expect(want, b.data, b.len);
	buf_free(&b);
	free(s);
}

static void
test_limits(void)
{
	static const char end[] = "\r\n";

	expect_many(ERR_HEADERS_TOO_LARGE, "GET / HTTP/1.1\r\nHost: a\r\n",
	    "X: y\r\n", 2000, end);
	expect_many(ERR_NONE, "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 99,
	    end);
	expect_many(ERR_HEADERS_TOO_LARGE, "GET / HTTP/1.1\r\nHost: a\r\n",
	    "X: y\r\n", 100, end);
	expect_many(ERR_HEADERS_TOO_LARGE,
	    "GET / HTTP/1.1\r\nHost: a\r\nX: ", "yyyyyyyyyy", 1700, "\r\n\r\n");
	expect_many(ERR_HEADERS_TOO_LARGE, "GET / HTTP/1.1\r\nHost: a\r\n",
	    "yyyyyyyyyy", 1700, ": x\r\n\r\n");
	expect_many(ERR_URI_TOO_LONG, "GET /", "aaaaaaaaaa", 900,
	    " HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_many(ERR_NONE, "GET /", "aaaaaaaaaa", 800,
	    " HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_many(ERR_HEADERS_TOO_LARGE, "", "\r\n", 30000, "GET /");
	expect_many(ERR_TOO_LARGE, POST "Transfer-Encoding: chunked\r\n\r\n1;",
	    "eeeeeeeeee", 3000, "\r\na\r\n0\r\n\r\n");
	EXPECT(ERR_TOO_LARGE, POST "Content-Length: 99999999999999999\r\n\r\n");
	expect_many(ERR_TOO_LARGE, POST "Content-Length: 1001\r\n\r\n", "a",
	    1001, "");
	expect_many(ERR_NONE, POST "Content-Length: 1000\r\n\r\n", "a", 1000,
	    "");
	expect_many(ERR_TOO_LARGE, POST "Transfer-Encoding: chunked\r\n\r\n",
	    "a\r\n0123456789\r\n", 101, "0\r\n\r\n");
	expect_many(ERR_TOO_LARGE,
	    POST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", 20000,
	    end);
}

static void
test_parts(void)
{
	static const char s[] = "POST /a?b=c HTTP/1.1\r\nHost: h\r\n"
				"X-One:  v 1 \r\nConnection: a, Upgrade\r\n"
				"Upgrade: websocket\r\nContent-Length: 4\r\n"
				"\r\nbodyGET / HTTP/1.1\r\n";
	size_t step;

	for (step = 1; step < 90; step += 22) {
		struct outcome *o = xmalloc(sizeof(*o));
		struct http_parse *p = &o->parse;

		run(o, s, sizeof(s) - 1, step);
		CU_ASSERT_EQUAL(o->result, HTTP_PARSE_DONE);
		CU_ASSERT_EQUAL(o->used, sizeof(s) - 1 - 16);
		CU_ASSERT_STRING_EQUAL(http_parse_method(p), "POST");
		CU_ASSERT_STRING_EQUAL(http_parse_target(p), "/a?b=c");
		CU_ASSERT_STRING_EQUAL(http_parse_header(p, "x-one"), "v 1");
		CU_ASSERT_PTR_NULL(http_parse_header(p, "x-two"));
		CU_ASSERT(http_parse_has_token(p, "connection", "upgrade"));
		CU_ASSERT(!http_parse_has_token(p, "connection", "up"));
		CU_ASSERT_EQUAL(p->body.len, 4);
		CU_ASSERT_STRING_EQUAL(p->body.data, "body");
		CU_ASSERT(p->keep_alive);
		http_parse_free(p);
		free(o);
	}
}

static void
test_keep_alive(void)
{
	static const struct {
		const char *s;
		bool want;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		    false },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
	};
	size_t i;

	for (i = 0; i < N_ITEMS(rows); i++) {
		struct outcome *o = xmalloc(sizeof(*o));

		run(o, rows[i].s, strlen(rows[i].s), 1000);
		CU_ASSERT_EQUAL(o->result, HTTP_PARSE_DONE);
		CU_ASSERT_EQUAL(o->parse.keep_alive, rows[i].want);
		http_parse_reset(&o->parse);
		CU_ASSERT_EQUAL(o->parse.n_headers, 0);
		http_parse_free(&o->parse);
		free(o);
	}
}

static void
target(const char *s, enum error_code want, const char *path)
{
	char *copy = xstrdup(s);
	struct http_target t;
	const char *why;
	enum error_code got = http_target_parse(copy, &t, &why);

	CU_ASSERT_EQUAL(got, want);
	if (got != want)
		tap_note("%s: %s", s, error_name(got));
	else if (path != NULL)
		CU_ASSERT_STRING_EQUAL(t.path, path);
	free(copy);
}

static void
test_target_path(void)
{
	target("/", ERR_NONE, "/");
	target("/a%20b", ERR_NONE, "/a b");
	target("/a%2520b", ERR_NONE, "/a%20b");
	target("/a+b", ERR_NONE, "/a+b");
	target("/%c3%a9", ERR_NONE, "/\xc3\xa9");
	target("/...", ERR_NONE, "/...");
	target("/.a/b.", ERR_NONE, "/.a/b.");
	target("http://h:1/x?y=z", ERR_NONE, "/x");
	target("https://h", ERR_NONE, "/");
	target("http://h?a=b", ERR_NONE, "/");
	target("*", ERR_NONE, "*");
	target("/%00", ERR_BAD_REQUEST, NULL);
	target("/a%", ERR_BAD_REQUEST, NULL);
	target("/a%4", ERR_BAD_REQUEST, NULL);
	target("/a%zz", ERR_BAD_REQUEST, NULL);
	target("/a%2fb", ERR_BAD_REQUEST, NULL);
	target("/a%5Cb", ERR_BAD_REQUEST, NULL);
	target("/%ff", ERR_BAD_REQUEST, NULL);
	target("/a%0ab", ERR_BAD_REQUEST, NULL);
	target("/a/../b", ERR_BAD_REQUEST, NULL);
	target("/a/%2e%2E/b", ERR_BAD_REQUEST, NULL);
	target("/.", ERR_BAD_REQUEST, NULL);
	target("/a#b", ERR_BAD_REQUEST, NULL);
	target("a", ERR_BAD_REQUEST, NULL);
	target("ftp://h/", ERR_BAD_REQUEST, NULL);
	target("http:///x", ERR_BAD_REQUEST, NULL);
	target("h:80", ERR_BAD_REQUEST, NULL);
}

static void
test_target_query(void)
{
	char s[] = "/x?a=1&b=c+d%26&&e&f=%C3%A9=";
	struct http_target t;
	const char *why;

	CU_ASSERT_EQUAL(http_target_parse(s, &t, &why), ERR_NONE);
	CU_ASSERT_EQUAL(t.n_query, 4);
	CU_ASSERT_STRING_EQUAL(http_target_query(&t, "a"), "1");
	CU_ASSERT_STRING_EQUAL(http_target_query(&t, "b"), "c d&");
	CU_ASSERT_STRING_EQUAL(http_target_query(&t, "e"), "");
	CU_ASSERT_STRING_EQUAL(http_target_query(&t, "f"), "\xc3\xa9=");
	CU_ASSERT_PTR_NULL(http_target_query(&t, "g"));
	target("/?a=1&a=2", ERR_VALIDATION_FAILED, NULL);
	target("/?a=%00", ERR_VALIDATION_FAILED, NULL);
	target("/?a=%f", ERR_VALIDATION_FAILED, NULL);
	target("/?%ff=a", ERR_VALIDATION_FAILED, NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "framing", test_framing },
		{ "syntax", test_syntax },
		{ "limits", test_limits },
		{ "parts", test_parts },
		{ "keep-alive", test_keep_alive },
		{ "path of a target", test_target_path },
		{ "query of a target", test_target_query },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_parse", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
