/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/static.h"
#include "tests/integration/net_peer.h"
#include "tests/tap.h"

/*
 * The server over real sockets: each test says bytes and reads bytes.
 */

#define HOST "Host: a\r\n"
#define END "\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST END
#define JSON "Content-Type: application/json\r\n"

static struct peer_host *host;
static struct answer a;
static char dir[] = "/tmp/t_http_server.XXXXXX";
static atomic_int n_canceled, n_finished, n_closed, n_idem, n_refused;

/* ---- Handlers ------------------------------------------------------ */

static void
on_hello(struct http_req *req)
{
	struct json_object *o = jobj();

	jput_str(o, "path", http_path(req));
	jput_str(o, "q", http_query(req, "q"));
	jput_str(o, "peer", http_peer(req));
	jput_bool(o, "secure", http_is_secure(req));
	jput_str(o, "trace", http_traceparent(req));
	jput_str(o, "cookie", http_cookie(req, "b"));
	jput_bool(o, "origin", http_origin_allowed(req));
	http_reply_json(req, 200, o);
}

static void
on_echo(struct http_req *req)
{
	struct json_object *in = http_json(req);

	http_set_header(req, "Location", "/x");
	http_reply_json(req, 201, in != NULL ? json_object_get(in) : NULL);
}

static void
on_delete(struct http_req *req)
{
	http_reply_json(req, 204, NULL);
}

static void
on_nothing(struct http_req *req)
{
	(void)req;
}

static void
on_wait(struct http_req *req)
{
	enum fiber_exit x = fiber_sleep(60000);

	if (x == FIBER_CANCELED)
		atomic_fetch_add(&n_canceled, 1);
	http_reply(req, 200, NULL, NULL, 0);
}

static void
on_slow_post(struct http_req *req)
{
	enum fiber_exit x = fiber_sleep(1500);

	if (x == FIBER_WOKEN)
		atomic_fetch_add(&n_finished, 1);
	http_reply(req, 200, NULL, NULL, 0);
}

static void
on_big(struct http_req *req)
{
	size_t n = 4u << 20;
	char *s = xmalloc(n);

	memset(s, 'x', n);
	http_reply(req, 200, "text/plain", s, n);
	free(s);
}

static void
on_file(struct http_req *req)
{
	static_serve(req, dir, http_param(req, "path"), NULL);
}

static void
on_sse_close(struct sse *s, void *arg)
{
	(void)s;
	(void)arg;
	atomic_fetch_add(&n_closed, 1);
}

static const struct sse_ops sse_ops = { .on_close = on_sse_close };

static void
sse_say(struct sse *s, const char *event, int64_t id, const char *text)
{
	struct rcbuf *r = rcbuf_new(text, strlen(text));

	sse_send(s, event, id, r);
	rcbuf_unref(r);
}

static void
on_sse(struct http_req *req)
{
	struct sse *s = sse_open(req, &sse_ops, NULL);

	sse_say(s, "tick", 7, "{\"a\":1}");
	sse_say(s, NULL, -1, "two");
	if (http_query(req, "end") != NULL)
		sse_close(s);
}

/* ---- Hooks --------------------------------------------------------- */

static enum as_status
authenticate(struct http_req *req, struct error *err)
{
	if (http_header(req, "Authorization") == NULL)
		return error_set(err, ERR_AUTH_REQUIRED, "who are you");
	return AS_OK;
}

static enum as_status
idem_begin(struct http_req *req, bool *answered, struct error *err)
{
	const char *key = http_header(req, "idempotency-key");

	if (strcmp(key, "busy") == 0)
		return error_set(err, ERR_IDEMPOTENCY_IN_PROGRESS, "busy");
	*answered = strcmp(key, "seen") == 0;
	if (*answered)
		http_reply(req, 202, "text/plain", "again", 5);
	return AS_OK;
}

static void
idem_end(struct http_req *req, int status, const char *body, size_t len)
{
	(void)req;
	if (status == 201 && len == 7 && memcmp(body, "{\"n\":1}", 7) == 0)
		atomic_fetch_add(&n_idem, 1);
}

static void
refused(struct http_req *req, const struct error *err)
{
	if (!http_replied(req) && err->code == ERR_AUTH_REQUIRED)
		atomic_fetch_add(&n_refused, 1);
}

static const struct http_hooks hooks = { authenticate, idem_begin, idem_end,
	refused };

/* ---- The host ------------------------------------------------------ */

static const struct route routes[] = {
	{ .method = "GET", .path = "/hello", .fn = on_hello },
	{ .method = "GET", .path = "/find", .fn = on_hello, .query = "query" },
	{ .method = "POST", .path = "/hello", .fn = on_delete },
	{ .method = "POST", .path = "/echo", .fn = on_echo, .in = "thing" },
	{ .method = "POST",
	    .path = "/small",
	    .fn = on_echo,
	    .in = "thing",
	    .max_body = 64 },
	{ .method = "POST",
	    .path = "/opt",
	    .fn = on_echo,
	    .in = "thing",
	    .flags = ROUTE_BODY_OPTIONAL },
	{ .method = "POST",
	    .path = "/once",
	    .fn = on_echo,
	    .in = "thing",
	    .flags = ROUTE_IDEMPOTENT },
	{ .method = "GET", .path = "/me", .fn = on_hello, .role = ROUTE_USER },
	{ .method = "GET", .path = "/nothing", .fn = on_nothing },
	{ .method = "GET", .path = "/wait", .fn = on_wait },
	{ .method = "POST", .path = "/slow", .fn = on_slow_post },
	{ .method = "GET", .path = "/big", .fn = on_big },
	{ .method = "GET", .path = "/sse", .fn = on_sse, .flags = ROUTE_SSE },
	{ .method = "GET", .path = "/files/{path:rest}", .fn = on_file },
};

static const char *const proxies[] = { "127.0.0.0/8", "10.0.0.0/8", "fd00::/8",
	NULL };
static const char *const origins[] = { "https://app.example", NULL };

static struct schema_set *schemas;

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

static int
setup(void)
{
	struct http_server_config config = {
		.host = "127.0.0.1",
		.max_connections = 20,
		.max_body = 100000,
		.header_timeout_ms = 400,
		.body_timeout_ms = 400,
		.trusted_proxies = proxies,
		.allowed_origins = origins,
	};

	files_make();
	schemas = schema_set_new();
	MUST(schema_set_add(schemas, "thing",
		 "{\"type\":\"object\",\"additionalProperties\":false,"
		 "\"properties\":{\"n\":{\"type\":\"integer\"},"
		 "\"s\":{\"type\":\"string\"},\"o\":{\"type\":\"object\"}}}",
		 NULL) == AS_OK);
	MUST(schema_set_add(schemas, "query",
		 "{\"type\":\"object\",\"additionalProperties\":false,"
		 "\"properties\":{\"q\":{\"type\":\"string\"},"
		 "\"n\":{\"type\":\"integer\",\"minimum\":1},"
		 "\"b\":{\"type\":\"boolean\"}}}",
		 NULL) == AS_OK);
	MUST(schema_set_resolve(schemas, NULL) == AS_OK);
	host = host_start(routes, N_ITEMS(routes), schemas, &hooks, &config);
	return 0;
}

static int
teardown(void)
{
	char cmd[300];

	host_stop(host);
	schema_set_free(schemas);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

/* ---- Tests --------------------------------------------------------- */

/* The status, and the code in the body if code is not NULL. */
static void
ask(const char *request, int status, const char *code)
{
	struct json_object *o = NULL;
	int got = peer_ask(host, &a, request);

	CU_ASSERT_EQUAL(got, status);
	if (got != status)
		tap_note("%d instead of %d: %.60s", got, status, request);
	if (code != NULL && a.body.len > 0 &&
	    json_parse(a.body.data, a.body.len, &o, NULL) == AS_OK) {
		CU_ASSERT_STRING_EQUAL(jget_str(o, "code", ""), code);
		CU_ASSERT(jget_str(o, "correlation_id", NULL) != NULL);
	} else
		CU_ASSERT_PTR_NULL(code);
	json_object_put(o);
	CU_ASSERT(strstr(a.head, "\r\nX-Correlation-Id: ") != NULL);
	answer_free(&a);
}

static void
post(const char *path, const char *headers, const char *body, int status,
    const char *code)
{
	char *s = xasprintf("POST %s HTTP/1.1\r\n" HOST "%sContent-Length: "
			    "%zu\r\n\r\n%s",
	    path, headers, strlen(body), body);

	ask(s, status, code);
	free(s);
}

static void
test_answer(void)
{
	CU_ASSERT_EQUAL(peer_ask(host, &a, GET("/hello/?q=a%20b")), 200);
	CU_ASSERT(answer_has(&a, "Content-Type: application/json"));
	CU_ASSERT(answer_has(&a, "X-Content-Type-Options: nosniff"));
	CU_ASSERT(answer_has(&a, "Cache-Control: no-store"));
	CU_ASSERT(strstr(a.head, "\r\nDate: ") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"q\":\"a b\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"path\":\"/hello/\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"127.0.0.1\"") != NULL);
	answer_free(&a);
	peer_ask(host, &a,
	    "GET http://b/hello?q=x HTTP/1.1\r\n" HOST
	    "Cookie: a=1; b=2; c=3\r\nX-Correlation-Id: abcd-1234\r\n"
	    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-"
	    "b7ad6b7169203331-01\r\n" END);
	CU_ASSERT(answer_has(&a, "X-Correlation-Id: abcd-1234"));
	CU_ASSERT(strstr(a.body.data, "\"cookie\":\"2\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "b7ad6b7169203331-01") != NULL);
	answer_free(&a);
	peer_ask(host, &a,
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
	ask(GET("/none"), 404, "NOT_FOUND");
	ask(GET("/a/../b"), 400, "BAD_REQUEST");
	ask(GET("/%00"), 400, "BAD_REQUEST");
	ask(GET("/hello?a=1&a=2"), 400, "VALIDATION_FAILED");
	ask(GET("/nothing"), 500, "INTERNAL");
	ask("nonsense\r\n\r\n", 400, "BAD_REQUEST");
	ask("GET / HTTP/3.0\r\n\r\n", 505, "HTTP_VERSION");
	ask("GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST");
	ask("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n",
	    501, "UNSUPPORTED");
	ask("POST /echo HTTP/1.1\r\n" HOST JSON "Expect: x\r\n"
	    "Content-Length: 2\r\n\r\n{}",
	    417, "EXPECTATION_FAILED");
	CU_ASSERT_EQUAL(peer_ask(host, &a, "PUT /hello HTTP/1.1\r\n" HOST END),
	    405);
	CU_ASSERT(answer_has(&a, "Allow: GET, HEAD, POST, OPTIONS"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(host, &a, GET("/me")), 401);
	CU_ASSERT_EQUAL(atomic_load(&n_refused), 1);
	CU_ASSERT(strstr(a.head, "\r\nWWW-Authenticate: Bearer") != NULL);
	answer_free(&a);
	ask("GET /me HTTP/1.1\r\n" HOST "Authorization: x\r\n" END, 200, NULL);
	CU_ASSERT_EQUAL(peer_ask(host, &a,
			    "GET /none HTTP/1.1\r\n" HOST "Accept: text/html, "
			    "application/problem+json\r\n" END),
	    404);
	CU_ASSERT(answer_has(&a, "Content-Type: application/problem+json"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(host, &a,
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
	ask(uri, 414, "URI_TOO_LONG");
	memset(uri, 'a', 20000);
	memcpy(uri, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
	ask(uri, 431, "HEADERS_TOO_LARGE");
	free(uri);
	/* Refused before any of it is sent. */
	ask("POST /echo HTTP/1.1\r\n" HOST JSON
	    "Content-Length: 100001\r\n\r\n",
	    413, "TOO_LARGE");
	ask("POST /echo HTTP/1.1\r\n" HOST JSON "Expect: 100-continue\r\n"
	    "Content-Length: 100001\r\n\r\n",
	    413, "TOO_LARGE");
	ask("POST /small HTTP/1.1\r\n" HOST JSON "Content-Length: 65\r\n\r\n",
	    413, "TOO_LARGE");
	ask("POST /none HTTP/1.1\r\n" HOST JSON "Expect: 100-continue\r\n"
	    "Content-Length: 10\r\n\r\n",
	    404, "NOT_FOUND");
}

/* The whole body is sent at once; the 413 must still be readable. */
static void
test_lingering_close(void)
{
	static char junk[200000];
	struct peer p;

	memset(junk, 'x', sizeof(junk));
	peer_open(&p, host);
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
test_bodies(void)
{
	post("/echo", JSON, "{\"n\":1}", 201, NULL);
	post("/echo", "Content-Type: application/json; charset=UTF-8\r\n", "{}",
	    201, NULL);
	post("/echo", "", "{}", 415, "UNSUPPORTED_MEDIA_TYPE");
	post("/echo", "Content-Type: text/json\r\n", "{}", 415,
	    "UNSUPPORTED_MEDIA_TYPE");
	post("/echo", "Content-Type: application/json; charset=latin1\r\n",
	    "{}", 415, "UNSUPPORTED_MEDIA_TYPE");
	post("/echo", "Content-Type: application/jsonx\r\n", "{}", 415,
	    "UNSUPPORTED_MEDIA_TYPE");
	post("/echo", JSON, "{\"n\":", 400, "MALFORMED_JSON");
	post("/echo", JSON, "{\"s\":\"\xff\"}", 400, "MALFORMED_JSON");
	post("/echo", JSON, "{\"n\":\"x\"}", 400, "VALIDATION_FAILED");
	post("/echo", JSON, "{\"m\":1}", 400, "VALIDATION_FAILED");
	post("/echo", JSON, "{\"s\":\"a\\u0000b\"}", 400, "VALIDATION_FAILED");
	post("/echo", JSON, "{\"s\":\"a\\\\u0000b\"}", 201, NULL);
	post("/echo", JSON, "", 400, "VALIDATION_FAILED");
	post("/opt", "", "", 201, NULL);
	post("/opt", JSON, "{\"n\":\"x\"}", 400, "VALIDATION_FAILED");
	post("/hello", "", "", 204, NULL);
	post("/hello", JSON, "{}", 204, NULL);
	post("/hello", JSON, "{\"n\":1}", 400, "VALIDATION_FAILED");
	post("/hello", "", "x", 415, "UNSUPPORTED_MEDIA_TYPE");
	ask("POST /echo HTTP/1.1\r\n" HOST JSON
	    "Transfer-Encoding: chunked\r\n\r\n"
	    "3\r\n{\"n\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
	    201, NULL);
}

static void
test_nul_names_the_field(void)
{
	CU_ASSERT_EQUAL(peer_ask(host, &a,
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
	ask(GET("/find"), 200, NULL);
	ask(GET("/find?q=1&n=5&b=true"), 200, NULL);
	ask(GET("/find?n=0"), 400, "VALIDATION_FAILED");
	ask(GET("/find?n=x"), 400, "VALIDATION_FAILED");
	ask(GET("/find?b=maybe"), 400, "VALIDATION_FAILED");
	ask(GET("/find?other=1"), 400, "VALIDATION_FAILED");
	ask(GET("/hello?other=1"), 200, NULL);
}

static void
test_pipelining(void)
{
	struct peer p;
	int i;

	peer_open(&p, host);
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
	peer_open(&p, host);
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

	peer_open(&p, host);
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

	peer_open(&p, host);
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

	peer_open(&p, host);
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

	peer_open(&p, host);
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
	peer_open(&p, host);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
}

static void
test_cap(void)
{
	struct peer p[24];
	int i, refused = 0;

	for (i = 0; i < 24; i++) {
		peer_open(&p[i], host);
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
		refused += peer_ask(host, &a, GET("/hello")) == 200;
		answer_free(&a);
	}
}

/* What is not read piles up here and not without end; then it all comes. */
static void
test_big(void)
{
	struct peer p;

	peer_open(&p, host);
	peer_say(&p, GET("/big") GET("/hello"));
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.body.len, 4u << 20);
	answer_free(&a);
	peer_answer(&p, &a);
	CU_ASSERT_EQUAL(a.status, 200);
	answer_free(&a);
	peer_close(&p);
}

static bool
becomes(atomic_int *n, int want)
{
	time_t end = time(NULL) + 20;
	struct peer p;

	/* Each round trip gives the server a turn. */
	while (atomic_load(n) != want && time(NULL) < end) {
		peer_open(&p, host);
		peer_say(&p, GET("/hello"));
		peer_answer(&p, &a);
		answer_free(&a);
		peer_close(&p);
	}
	return atomic_load(n) == want;
}

static void
test_disconnect(void)
{
	struct peer p;

	peer_open(&p, host);
	peer_say(&p, GET("/wait"));
	shutdown(p.fd, SHUT_WR);
	CU_ASSERT(becomes(&n_canceled, 1));
	peer_close(&p);
	peer_open(&p, host);
	peer_say(&p, "POST /slow HTTP/1.1\r\n" HOST END);
	peer_close(&p);
	CU_ASSERT(becomes(&n_finished, 1));
	/* Half-closed, but quick. */
	peer_open(&p, host);
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
test_idempotent(void)
{
	post("/once", JSON "Idempotency-Key: k\r\n", "{\"n\":1}", 201, NULL);
	CU_ASSERT_EQUAL(atomic_load(&n_idem), 1);
	post("/once", JSON, "{\"n\":1}", 201, NULL);
	CU_ASSERT_EQUAL(atomic_load(&n_idem), 1);
	post("/once", JSON "Idempotency-Key: seen\r\n", "{\"n\":1}", 202, NULL);
	post("/once", JSON "Idempotency-Key: busy\r\n", "{\"n\":1}", 409,
	    "IDEMPOTENCY_IN_PROGRESS");
}

static void
test_proxies(void)
{
	peer_ask(host, &a,
	    "GET /hello HTTP/1.1\r\n" HOST
	    "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1\r\n"
	    "X-Forwarded-Proto: https\r\n" END);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"1.2.3.4\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"secure\":true") != NULL);
	answer_free(&a);
	peer_ask(host, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "X-Forwarded-For: 6.6.6.6\r\n"
	    "X-Forwarded-For: 2001:db8::1, fd00::1\r\n" END);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"2001:db8::1\"") != NULL);
	CU_ASSERT(strstr(a.body.data, "\"secure\":false") != NULL);
	answer_free(&a);
	peer_ask(host, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "X-Forwarded-For: nonsense\r\n" END);
	CU_ASSERT(strstr(a.body.data, "\"peer\":\"127.0.0.1\"") != NULL);
	answer_free(&a);
}

static void
origin(const char *headers, bool want)
{
	char *s = xasprintf("GET /hello HTTP/1.1\r\n" HOST "%s\r\n", headers);

	peer_ask(host, &a, s);
	CU_ASSERT(strstr(a.body.data,
		      want ? "\"origin\":true" : "\"origin\":false") != NULL);
	answer_free(&a);
	free(s);
}

static void
test_origin(void)
{
	origin("", true);
	origin("Origin: http://a\r\n", true);
	origin("Origin: http://a\r\nSec-Fetch-Site: same-origin\r\n", true);
	origin("Origin: https://app.example\r\n"
	       "Sec-Fetch-Site: cross-site\r\n",
	    true);
	origin("Origin: http://evil\r\n", false);
	origin("Origin: null\r\n", false);
	origin("Sec-Fetch-Site: cross-site\r\n", false);
	origin("Origin: http://a\r\nSec-Fetch-Site: cross-site\r\n", false);
	origin("Sec-Fetch-Site: none\r\n", true);
}

static void
test_cors(void)
{
	peer_ask(host, &a,
	    "GET /hello HTTP/1.1\r\n" HOST
	    "Origin: https://app.example\r\n" END);
	CU_ASSERT(
	    answer_has(&a, "Access-Control-Allow-Origin: https://app.example"));
	CU_ASSERT(answer_has(&a, "Access-Control-Allow-Credentials: true"));
	CU_ASSERT(answer_has(&a, "Vary: Origin"));
	answer_free(&a);
	peer_ask(host, &a,
	    "GET /hello HTTP/1.1\r\n" HOST "Origin: https://evil\r\n" END);
	CU_ASSERT(strstr(a.head, "Access-Control") == NULL);
	CU_ASSERT(answer_has(&a, "Vary: Origin"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(host, &a,
			    "OPTIONS /hello HTTP/1.1\r\n" HOST
			    "Origin: https://app.example\r\n"
			    "Access-Control-Request-Method: POST\r\n" END),
	    204);
	CU_ASSERT(answer_has(&a,
	    "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS"));
	CU_ASSERT(strstr(a.head, "Access-Control-Allow-Headers: ") != NULL);
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(host, &a, "OPTIONS * HTTP/1.1\r\n" HOST END),
	    204);
	CU_ASSERT(strstr(a.head, "\r\nAllow: GET, ") != NULL);
	answer_free(&a);
	ask("OPTIONS /none HTTP/1.1\r\n" HOST END, 404, "NOT_FOUND");
}

static void
test_sse(void)
{
	struct peer p;

	peer_open(&p, host);
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
	peer_open(&p, host);
	peer_say(&p, "GET /sse?end=1 HTTP/1.0\r\n\r\n");
	peer_answer_head(&p, &a);
	CU_ASSERT(!answer_has(&a, "Transfer-Encoding: chunked"));
	CU_ASSERT(peer_until(&p, "data: two\n\n") > 0);
	CU_ASSERT_EQUAL(p.in.len, 44);
	CU_ASSERT(peer_is_closed(&p));
	peer_close(&p);
	CU_ASSERT_EQUAL(atomic_load(&n_closed), 0);
}

static void
test_sse_gone(void)
{
	struct peer p;

	peer_open(&p, host);
	peer_say(&p, GET("/sse"));
	CU_ASSERT(peer_until(&p, "data: two\n\n") > 0);
	peer_close(&p);
	CU_ASSERT(becomes(&n_closed, 1));
	CU_ASSERT_EQUAL(peer_ask(host, &a, "HEAD /sse HTTP/1.1\r\n" HOST END),
	    200);
	CU_ASSERT(becomes(&n_closed, 2));
}

static void
test_static(void)
{
	char etag[100], *s;
	const char *at;

	CU_ASSERT_EQUAL(peer_ask(host, &a, GET("/files/a.js")), 200);
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
	CU_ASSERT_EQUAL(peer_ask(host, &a, s), 304);
	free(s);
	CU_ASSERT_EQUAL(peer_ask(host, &a,
			    "HEAD /files/a.js HTTP/1.1\r\n" HOST END),
	    200);
	CU_ASSERT(answer_has(&a, "Content-Length: 10"));
	CU_ASSERT_EQUAL(peer_ask(host, &a, GET("/files/")), 200);
	CU_ASSERT_STRING_EQUAL(a.body.data, "<p>hi");
	CU_ASSERT(answer_has(&a, "X-Frame-Options: DENY"));
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(host, &a, GET("/files/sub/")), 200);
	answer_free(&a);
	CU_ASSERT_EQUAL(peer_ask(host, &a, GET("/files/sub")), 301);
	CU_ASSERT(answer_has(&a, "Location: /files/sub/"));
	answer_free(&a);
	ask(GET("/files/none"), 404, "NOT_FOUND");
	ask(GET("/files/.secret"), 404, "NOT_FOUND");
	ask(GET("/files/link"), 404, "NOT_FOUND");
	ask(GET("/files//etc/passwd"), 404, "NOT_FOUND");
	ask(GET("/files/a.js/"), 404, "NOT_FOUND");
}

static void
range(const char *value, int status, const char *body)
{
	char *s = xasprintf("GET /files/a.js HTTP/1.1\r\n" HOST
			    "Range: %s\r\n\r\n",
	    value);

	CU_ASSERT_EQUAL(peer_ask(host, &a, s), status);
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

static void
test_metrics(void)
{
	struct buf b = { 0 };

	counter_expose(&b);
	CU_ASSERT(strstr(b.data, "agent_studio_http_requests_total{route=\"/"
				 "hello\",method=\"GET\","
				 "status=\"200\"}") != NULL);
	CU_ASSERT(
	    strstr(b.data,
		"agent_studio_http_request_seconds_count{route=\"/big\"} 1") !=
	    NULL);
	CU_ASSERT(strstr(b.data, "agent_studio_http_connections ") != NULL);
	buf_free(&b);
}

static void
test_drain(void)
{
	struct peer idle, p;

	peer_open(&idle, host);
	peer_say(&idle, GET("/hello"));
	peer_answer(&idle, &a);
	answer_free(&a);
	peer_open(&p, host);
	peer_say(&p, GET("/sse"));
	CU_ASSERT(peer_until(&p, "data: two\n\n") > 0);
	host_do(host, http_server_drain);
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
	struct peer_host *h = host_start(routes, N_ITEMS(routes), schemas,
	    &hooks, NULL);
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
		{ "answers", test_answer },
		{ "refuses", test_refusals },
		{ "caps on sizes", test_too_large },
		{ "lingering close", test_lingering_close },
		{ "bodies", test_bodies },
		{ "U+0000 names its field", test_nul_names_the_field },
		{ "query against its schema", test_query },
		{ "pipelining", test_pipelining },
		{ "pipelining without reading", test_pipelining_many },
		{ "100-continue", test_continue },
		{ "HTTP/1.0", test_http10 },
		{ "HEAD", test_head },
		{ "slow requests", test_slow },
		{ "cap on connections", test_cap },
		{ "a big answer", test_big },
		{ "disconnect", test_disconnect },
		{ "Idempotency-Key hooks", test_idempotent },
		{ "trusted proxies", test_proxies },
		{ "origins", test_origin },
		{ "CORS", test_cors },
		{ "event streams", test_sse },
		{ "event streams whose peer goes", test_sse_gone },
		{ "files", test_static },
		{ "ranges", test_range },
		{ "metrics", test_metrics },
		{ "drain", test_drain },
		{ "drain behind a balancer", test_announce },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_server", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
