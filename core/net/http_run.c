/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/counter.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"

/*
 * From a parsed head to the end of the handler: routing, the fiber, the hooks
 * in their order, and the books (metrics, access log).
 */

#define IDEM_END_MS 5000

/* ---- The head ------------------------------------------------------ */

static bool
is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") >= n;
}

/* W3C: version-traceid-parentid-flags, none of the ids zero. */
static bool
trace_is_valid(const char *s)
{
	static const char zeros[] = "00000000000000000000000000000000";

	return strlen(s) == 55 && is_hex(s, 2) && s[2] == '-' &&
	       is_hex(s + 3, 32) && s[35] == '-' && is_hex(s + 36, 16) &&
	       s[52] == '-' && is_hex(s + 53, 2) && memcmp(s, "ff", 2) != 0 &&
	       memcmp(s + 3, zeros, 32) != 0 && memcmp(s + 36, zeros, 16) != 0;
}

static bool
cid_is_valid(const char *s)
{
	size_t n = strlen(s);

	return n >= 8 && n <= HTTP_CID_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789_.-") == n;
}

static void
req_identify(struct http_req *req)
{
	const char *s = http_parse_header(&req->parse, "x-correlation-id");

	if (s != NULL && cid_is_valid(s))
		memcpy(req->cid, s, strlen(s) + 1);
	else
		uuid_format(uuid_v7(), req->cid);
	s = http_parse_header(&req->parse, "traceparent");
	if (s != NULL && trace_is_valid(s))
		memcpy(req->trace, s, sizeof(req->trace));
}

static void
req_refuse_target(struct http_req *req, enum error_code code, const char *why)
{
	if (code == ERR_VALIDATION_FAILED)
		error_field(&req->refusal, why[0] != '\0' ? why : "query",
		    "is given twice, too many, or not text");
	else
		error_set(&req->refusal, code, "%s", why);
	req->refused = true;
}

static void
req_no_method(struct http_req *req)
{
	if (req->parse.ll.method == HTTP_OPTIONS) {
		req->preflight = true;
		return;
	}
	error_set(&req->refusal, ERR_METHOD_NOT_ALLOWED,
	    "%s is not allowed here", http_method(req));
	req->refused = true;
}

static void
req_route(struct http_req *req)
{
	static const char
	    any[] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

	if (strcmp(req->target.path, "*") == 0) {
		memcpy(req->match.allow, any, sizeof(any));
		req_no_method(req);
		return;
	}
	switch (route_find(req->server->routes, http_method(req),
	    req->target.path, &req->match)) {
	case ROUTE_FOUND:
		break;
	case ROUTE_NO_METHOD:
		req_no_method(req);
		break;
	case ROUTE_NO_PATH:
		error_set(&req->refusal, ERR_NOT_FOUND, "no such path");
		req->refused = true;
		break;
	}
}

void
req_head_done(struct http_req *req)
{
	struct http_parse *p = &req->parse;
	const struct http_server_config *config = &req->server->config;
	enum error_code code;
	const char *why;

	req_identify(req);
	req->keep_alive = p->keep_alive;
	code = http_target_parse(http_parse_target(p), &req->target, &why);
	req->routed = true;
	if (code == ERR_NONE)
		req_route(req);
	else
		req_refuse_target(req, code, why);
	p->max_body = config->max_body;
	if (req->match.route != NULL && req->match.route->max_body != 0)
		p->max_body = req->match.route->max_body;
}

/* ---- The fiber ----------------------------------------------------- */

static bool
req_is_idempotent(const struct http_req *req)
{
	return (req->match.route->flags & ROUTE_IDEMPOTENT) != 0 &&
	       req->server->hooks.idem_begin != NULL &&
	       http_parse_header(&req->parse, "idempotency-key") != NULL;
}

static bool
req_wants_principal(const struct http_req *req)
{
	const struct route *r = req->match.route;

	return req->server->hooks.authenticate != NULL &&
	       (r->role != ROUTE_OPEN || (r->flags & ROUTE_AUTH_OPTIONAL));
}

SUSPENDS static enum as_status
req_run(struct http_req *req, struct error *err)
{
	const struct http_hooks *hooks = &req->server->hooks;
	bool answered = false;
	enum as_status st = AS_OK;

	if (req_wants_principal(req))
		st = hooks->authenticate(req, err);
	if (st == AS_OK)
		st = req_check_query(req, err);
	if (st == AS_OK)
		st = req_check_body(req, err);
	if (st == AS_OK && req_is_idempotent(req)) {
		st = hooks->idem_begin(req, &answered, err);
		req->hold = st == AS_OK && !answered;
	}
	if (st != AS_OK || answered)
		return st;
	req->match.route->fn(req);
	return AS_OK;
}

/* The answer is kept before it is sent, so that a retry finds it. */
SUSPENDS static void
req_idem_end(struct http_req *req)
{
	const struct http_hooks *hooks = &req->server->hooks;

	fiber_deadline_set(loop_now_ms(req->server->loop) + IDEM_END_MS);
	if (hooks->idem_end != NULL)
		hooks->idem_end(req, req->status,
		    req->held.data != NULL ? req->held.data : "",
		    req->held.len);
	req->hold = false;
	if (!req->taken)
		reply_held(req);
}

SUSPENDS static void
req_refuse(struct http_req *req, enum as_status st, struct error *err)
{
	if (err->code == ERR_NONE)
		error_from_status(err, st, NULL);
	if (req->server->hooks.refused != NULL)
		req->server->hooks.refused(req, err);
	http_reply_error(req, err);
}

SUSPENDS static void
req_main(void *arg)
{
	struct http_req *req = arg;
	struct http_server *s = req->server;
	struct error err = { 0 };
	enum as_status st;

	fiber_deadline_set(
	    loop_now_ms(s->loop) + (uint64_t)s->config.request_timeout_ms);
	fiber_correlation_set(req->cid);
	st = req_run(req, &err);
	if (st == AS_OK && !http_replied(req)) {
		st = error_set(&err, ERR_INTERNAL,
		    "the handler of %s did not answer", req->match.route->path);
	}
	if (st != AS_OK && !http_replied(req))
		req_refuse(req, st, &err);
	error_clear(&err);
	if (req->hold)
		req_idem_end(req);
	fiber_correlation_set(NULL);
	req->running = false;
	conn_request_end(req);
}

bool
req_start(struct http_req *req)
{
	const struct route *r = req->match.route;

	req->running = true;
	req->fiber = fiber_spawn(req->server->loop,
	    r->name != NULL ? r->name : r->path, req_main, req);
	if (req->fiber.f != NULL)
		return true;
	req->running = false;
	error_set(&req->refusal, ERR_UNAVAILABLE, "too many requests at once");
	req->refusal.retry_after_ms = 1000;
	return false;
}

/* ---- The books ----------------------------------------------------- */

static struct route_stat *
req_stat(struct http_req *req)
{
	struct http_server *s = req->server;
	size_t i = route_count(s->routes);

	if (req->match.route != NULL)
		i = (size_t)(req->match.route - route_at(s->routes, 0));
	return &s->stats[i];
}

static struct counter *
stat_counter(struct http_req *req, struct route_stat *st)
{
	const struct route *r = req->match.route;
	const char *values[3];
	char status[12];
	struct counter *n;
	size_t i;

	for (i = 0; i < N_ITEMS(st->by) && st->by[i].count != NULL; i++) {
		if (st->by[i].status == req->status)
			return st->by[i].count;
	}
	snprintf(status, sizeof(status), "%d", req->status);
	values[0] = r != NULL ? r->path : "none";
	values[1] = r != NULL ? r->method : "none";
	values[2] = status;
	n = counter_get(COUNTER, "http_requests_total",
	    "Requests answered, by route, method and status.",
	    "route,method,status", values);
	if (i < N_ITEMS(st->by)) {
		st->by[i].status = req->status;
		st->by[i].count = n;
	}
	return n;
}

void
req_account(struct http_req *req)
{
	const struct route *r = req->match.route;
	struct route_stat *st = req_stat(req);
	int64_t us = clock_mono_us() - req->start_us;
	const char *path = r != NULL ? r->path : "none";

	counter_add(stat_counter(req, st), 1);
	if (st->seconds == NULL)
		st->seconds = histogram_get("http_request_seconds",
		    "Time from a request's first byte to its answer.", "route",
		    &path);
	histogram_observe(st->seconds, (double)us / 1e6);
	if (log_enabled(LOG_INFO, "http"))
		log_line(LOG_INFO, "http", req->cid, "%s %s %d %.1f ms",
		    req->routed ? http_method(req) : "-", path, req->status,
		    (double)us / 1e3);
}
