/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"
#include "tests/integration/net_peer.h"
#include "tests/integration/site.h"
#include "tests/tap.h"

/*
 * Requests and answers of the server, over real sockets: each test says bytes
 * and reads bytes.
 */

static struct answer a;

static void
test_answer(void)
{
	CU_ASSERT_EQUAL(peer_ask(site, &a, GET("/hello/?q=a%20b")), 200);
	CU_ASSERT(answer_has(&a, "Content-Type: application/json"));
	CU_ASSERT(answer_has(&a, "X-Content-Type-Options: nosniff"));
	CU_ASSERT(answer_has(&a, "Cache-Control: no-store"));
	CU_ASSERT(strstr(a.head, "\r\nDate: ") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"q\":\"a b\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"path\":\"/hello/\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"127.0.0.1\"") != NULL);
	answer_free(&a);
	peer_ask(site, &a,
	    "GET http://b/hello?q=x HTTP/1.1\r\n" HOST
	    "Cookie: a=1; b=2; c=3\r\nX-Correlation-Id: abcd-1234\r\n"
	    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-"
	    "b7ad6b7169203331-01\r\n" END);
	CU_ASSERT(answer_has(&a, "X-Correlation-Id: abcd-1234"));
	CU_ASSERT(strstr(a.body.data, "\"cookie\":\"2\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "b7ad6b7169203331-01") != NULL);
	answer_free(&a);
	peer_ask(site, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "X-Correlation-Id: a b c d e f\r\n"
	    "traceparent: 00-00000000000000000000000000000000-"
	    "b7ad6b7169203331-01\r\n" END);
	CU_ASSERT(!answer_has(&a, "X-Correlation-Id: a b c d e f"));
	CU_ASSERT(strstr(a.body.data, "\"trace\":\"\"") != NULL);
	answer_free(&a);
}

static void
test_refusals(void)
{
	site_ask(GET("/none"), 404, "NOT_FOUND");
	site_ask(GET("/a/../b"), 400, "BAD_REQUEST");
	site_ask(GET("/%00"), 400, "BAD_REQUEST");
	site_ask(GET("/hello?a=1&a=2"), 400, "VALIDATION_FAILED");
	site_ask(GET("/nothing"), 500, "INTERNAL");
	site_ask("nonsense\r\n\r\n", 400, "BAD_REQUEST");
	site_ask("GET / HTTP/3.0\r\n\r\n", 505, "HTTP_VERSION");
	site_ask("GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST");
	site_ask("POST /echo HTTP/1.1\r\n" HOST
		 "Transfer-Encoding: gzip\r\n\r\n",
	    501, "UNSUPPORTED");
	site_ask("POST /echo HTTP/1.1\r\n" HOST JSON "Expect: x\r\n"
		 "Content-Length: 2\r\n\r\n{}",
	    417, "EXPECTATION_FAILED");
	CU_ASSERT_EQUAL(peer_ask(site, &a, "PUT /hello HTTP/1.1\r\n" HOST END),
	    405);
	CU_ASSERT(answer_has(&a, "Allow: GET, HEAD, POST, OPTIONS"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(site, &a, GET("/me")), 401);
	CU_ASSERT_EQUAL(atomic_load(&site_seen.refused), 1);
	CU_ASSERT(strstr(a.head, "\r\nWWW-Authenticate: Bearer") != NULL);
	answer_free(&a);
	site_ask("GET /me HTTP/1.1\r\n" HOST "Authorization: x\r\n" END, 200,
	    NULL);
	CU_ASSERT_EQUAL(peer_ask(site, &a,
			    "GET /none HTTP/1.1\r\n" HOST "Accept: text/html, "
			    "application/problem+json\r\n" END),
	    404);
	CU_ASSERT(answer_has(&a, "Content-Type: application/problem+json"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(site, &a,
			    "GET /none HTTP/1.1\r\n" HOST
			    "Accept: application/problem+json;q=0.0, "
			    "*/*\r\n" END),
	    404);
	CU_ASSERT(answer_has(&a, "Content-Type: application/json"));
	answer_free(&a);
}

static void
test_too_large(void)
{
	char *uri = xmalloc(20001);

	memset(uri, 'a', 20000);
	uri[20000] = '\0';
	memcpy(uri, "GET /", 5);
	memcpy(uri + 9000, " HTTP/1.1\r\nHost: a\r\n\r\n", 23);
	site_ask(uri, 414, "URI_TOO_LONG");
	memset(uri, 'a', 20000);
	memcpy(uri, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
	site_ask(uri, 431, "HEADERS_TOO_LARGE");
	free(uri);
	/* Refused before any of it is sent. */
	site_ask("POST /echo HTTP/1.1\r\n" HOST JSON
		 "Content-Length: 100001\r\n\r\n",
	    413, "TOO_LARGE");
	site_ask("POST /echo HTTP/1.1\r\n" HOST JSON "Expect: 100-continue\r\n"
		 "Content-Length: 100001\r\n\r\n",
	    413, "TOO_LARGE");
	site_ask("POST /small HTTP/1.1\r\n" HOST JSON
		 "Content-Length: 65\r\n\r\n",
	    413, "TOO_LARGE");
	site_ask("POST /none HTTP/1.1\r\n" HOST JSON "Expect: 100-continue\r\n"
		 "Content-Length: 10\r\n\r\n",
	    404, "NOT_FOUND");
}

static void
test_bodies(void)
{
	site_post("/echo", JSON, "{\"n\":1}", 201, NULL);
	site_post("/echo", "Content-Type: application/json; charset=UTF-8\r\n",
	    "{}", 201, NULL);
	site_post("/echo", "", "{}", 415, "UNSUPPORTED_MEDIA_TYPE");
	site_post("/echo", "Content-Type: text/json\r\n", "{}", 415,
	    "UNSUPPORTED_MEDIA_TYPE");
	site_post("/echo", "Content-Type: application/json; charset=latin1\r\n",
	    "{}", 415, "UNSUPPORTED_MEDIA_TYPE");
	site_post("/echo", "Content-Type: application/jsonx\r\n", "{}", 415,
	    "UNSUPPORTED_MEDIA_TYPE");
	site_post("/echo", JSON, "{\"n\":", 400, "MALFORMED_JSON");
	site_post("/echo", JSON, "{\"s\":\"\xff\"}", 400, "MALFORMED_JSON");
	site_post("/echo", JSON, "{\"n\":\"x\"}", 400, "VALIDATION_FAILED");
	site_post("/echo", JSON, "{\"m\":1}", 400, "VALIDATION_FAILED");
	site_post("/echo", JSON, "{\"s\":\"a\\u0000b\"}", 400,
	    "VALIDATION_FAILED");
	site_post("/echo", JSON, "{\"s\":\"a\\\\u0000b\"}", 201, NULL);
	site_post("/echo", JSON, "", 400, "VALIDATION_FAILED");
	site_post("/opt", "", "", 201, NULL);
	site_post("/opt", JSON, "{\"n\":\"x\"}", 400, "VALIDATION_FAILED");
	site_post("/hello", "", "", 204, NULL);
	site_post("/hello", JSON, "{}", 204, NULL);
	site_post("/hello", JSON, "{\"n\":1}", 400, "VALIDATION_FAILED");
	site_post("/hello", "", "x", 415, "UNSUPPORTED_MEDIA_TYPE");
	site_ask("POST /echo HTTP/1.1\r\n" HOST JSON
		 "Transfer-Encoding: chunked\r\n\r\n"
		 "3\r\n{\"n\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
	    201, NULL);
}

static void
test_nul_names_the_field(void)
{
	CU_ASSERT_EQUAL(peer_ask(site, &a,
			    "POST /echo HTTP/1.1\r\n" HOST JSON
			    "Content-Length: 22\r\n\r\n"
			    "{\"o\":{\"k\":\"\\u0000\"}}  "),
	    400);
	CU_ASSERT(strstr(a.body.data, "\"/o/k\":[") != NULL);
	answer_free(&a);
}

static void
test_query(void)
{
	site_ask(GET("/find"), 200, NULL);
	site_ask(GET("/find?q=1&n=5&b=true"), 200, NULL);
	site_ask(GET("/find?n=0"), 400, "VALIDATION_FAILED");
	site_ask(GET("/find?n=x"), 400, "VALIDATION_FAILED");
	site_ask(GET("/find?b=maybe"), 400, "VALIDATION_FAILED");
	site_ask(GET("/find?other=1"), 400, "VALIDATION_FAILED");
	site_ask(GET("/hello?other=1"), 200, NULL);
}

static void
test_idempotent(void)
{
	site_post("/once", JSON "Idempotency-Key: k\r\n", "{\"n\":1}", 201,
	    NULL);
	CU_ASSERT_EQUAL(atomic_load(&site_seen.idem), 1);
	site_post("/once", JSON, "{\"n\":1}", 201, NULL);
	CU_ASSERT_EQUAL(atomic_load(&site_seen.idem), 1);
	site_post("/once", JSON "Idempotency-Key: seen\r\n", "{\"n\":1}", 202,
	    NULL);
	site_post("/once", JSON "Idempotency-Key: busy\r\n", "{\"n\":1}", 409,
	    "IDEMPOTENCY_IN_PROGRESS");
}

/* The value that is exposed as this name. */
static double
exposed(const char *name)
{
	struct buf b = { 0 };
	const char *at;
	double value = -1;

	counter_expose(&b);
	at = strstr(b.data, name);
	if (at != NULL)
		value = strtod(at + strlen(name), NULL);
	buf_free(&b);
	return value;
}

/* A request is counted after its answer; each more gives the server a turn. */
static bool
exposed_becomes(const char *name, double want)
{
	time_t end = time(NULL) + 20;
	double value;

	while ((value = exposed(name)) != want && time(NULL) < end)
		site_ask(GET("/hello"), 200, NULL);
	return value == want;
}

static void
test_metrics(void)
{
	static const char total[] = "agent_studio_http_requests_total{route=\""
				    "/find\",method=\"GET\",status=\"200\"}";
	static const char timed[] = "agent_studio_http_request_seconds_count{"
				    "route=\"/find\"}";
	double n_total = exposed(total), n_timed = exposed(timed);

	/* The test of queries has asked there. */
	CU_ASSERT(n_total >= 1);
	CU_ASSERT(n_timed >= n_total);
	site_ask(GET("/find"), 200, NULL);
	CU_ASSERT(exposed_becomes(total, n_total + 1));
	CU_ASSERT(exposed_becomes(timed, n_timed + 1));
	CU_ASSERT(exposed("agent_studio_http_connections ") >= 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "answers", test_answer },
		{ "refuses", test_refusals },
		{ "caps on sizes", test_too_large },
		{ "bodies", test_bodies },
		{ "U+0000 names its field", test_nul_names_the_field },
		{ "query against its schema", test_query },
		{ "Idempotency-Key hooks", test_idempotent },
		{ "metrics", test_metrics },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_server", site_open, site_close, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
