/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/site.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"
#include "core/net/http_server.h"
#include "tests/integration/net_peer.h"
#include "tests/tap.h"

/* See site.h. */

struct peer_host *site;
struct site_seen site_seen;
static struct answer a;

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
		atomic_fetch_add(&site_seen.canceled, 1);
	http_reply(req, 200, NULL, NULL, 0);
}

static void
on_slow_post(struct http_req *req)
{
	enum fiber_exit x = fiber_sleep(1500);

	if (x == FIBER_WOKEN)
		atomic_fetch_add(&site_seen.finished, 1);
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
on_sse_close(struct sse *s, void *arg)
{
	(void)s;
	(void)arg;
	atomic_fetch_add(&site_seen.closed, 1);
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
		atomic_fetch_add(&site_seen.idem, 1);
}

static void
refused(struct http_req *req, const struct error *err)
{
	if (!http_replied(req) && err->code == ERR_AUTH_REQUIRED)
		atomic_fetch_add(&site_seen.refused, 1);
}

static const struct http_hooks hooks = { authenticate, idem_begin, idem_end,
	refused };

/* ---- The site ------------------------------------------------------ */

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
};

static const char *const proxies[] = { "127.0.0.0/8", "10.0.0.0/8", "fd00::/8",
	NULL };
static const char *const origins[] = { "https://app.example", NULL };

static struct schema_set *schemas;

int
site_open(void)
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
	site = host_start(routes, N_ITEMS(routes), schemas, &hooks, &config);
	return 0;
}

int
site_close(void)
{
	host_stop(site);
	schema_set_free(schemas);
	return 0;
}

struct peer_host *
site_another(void)
{
	return host_start(routes, N_ITEMS(routes), schemas, &hooks, NULL);
}

void
site_ask(const char *request, int status, const char *code)
{
	struct json_object *o = NULL;
	int got = peer_ask(site, &a, request);

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

void
site_post(const char *path, const char *headers, const char *body, int status,
    const char *code)
{
	char *s = xasprintf("POST %s HTTP/1.1\r\n" HOST "%sContent-Length: "
			    "%zu\r\n\r\n%s",
	    path, headers, strlen(body), body);

	site_ask(s, status, code);
	free(s);
}

bool
site_becomes(atomic_int *n, int want)
{
	time_t end = time(NULL) + 20;
	struct peer p;

	/* Each round trip gives the server a turn. */
	while (atomic_load(n) != want && time(NULL) < end) {
		peer_open(&p, site);
		peer_say(&p, GET("/hello"));
		peer_answer(&p, &a);
		answer_free(&a);
		peer_close(&p);
	}
	return atomic_load(n) == want;
}
