/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/http_impl.h"

/*
 * What a handler can ask about its request.  Everything that is returned
 * points into the request or its arena.
 */

#define SPARE_REQS_MAX 64

struct http_req *
req_take(struct http_server *s, struct http_conn *c)
{
	struct http_req *req = s->spare_reqs;

	if (req != NULL) {
		s->spare_reqs = req->next;
		s->n_spare_reqs--;
	} else {
		req = xcalloc(1, sizeof(*req));
		http_parse_init(&req->parse, &s->limits);
		req->server = s;
		s->n_reqs++;
	}
	req->conn = c;
	req->start_us = clock_mono_us();
	return req;
}

static void
req_clear(struct http_req *req)
{
	arena_free(req->arena);
	json_object_put(req->json);
	free(req->held_type);
	error_clear(&req->refusal);
	http_parse_reset(&req->parse);
	buf_reset(&req->extra);
	buf_free(&req->held);
	req->arena = NULL;
	req->json = NULL;
	req->held_type = NULL;
	req->principal = NULL;
	req->target.path = NULL;
	req->target.authority = NULL;
	req->target.n_query = 0;
	req->match.route = NULL;
	req->match.n_params = 0;
	req->match.allow[0] = '\0';
	req->sent = 0;
	req->status = 0;
	req->routed = req->refused = req->preflight = req->running = false;
	req->replied = req->hold = req->taken = req->keep_alive = false;
	req->has_cache_control = false;
	req->cid[0] = req->trace[0] = req->peer[0] = '\0';
}

void
req_put(struct http_req *req)
{
	struct http_server *s = req->server;

	req_clear(req);
	req->conn = NULL;
	if (s->n_spare_reqs >= SPARE_REQS_MAX) {
		http_parse_free(&req->parse);
		buf_free(&req->extra);
		free(req);
		s->n_reqs--;
		return;
	}
	req->next = s->spare_reqs;
	s->spare_reqs = req;
	s->n_spare_reqs++;
}

bool
req_is_head(const struct http_req *req)
{
	return req->routed && req->parse.ll.method == HTTP_HEAD;
}

bool
req_is_safe(const struct http_req *req)
{
	return req_is_head(req) ||
	       (req->routed && req->parse.ll.method == HTTP_GET);
}

void *
http_app(struct http_req *req)
{
	return req->server->app;
}

struct loop *
http_loop(struct http_req *req)
{
	return req->server->loop;
}

struct arena *
http_arena(struct http_req *req)
{
	if (req->arena == NULL)
		req->arena = arena_new(NULL);
	return req->arena;
}

const char *
http_method(struct http_req *req)
{
	return http_parse_method(&req->parse);
}

const char *
http_path(struct http_req *req)
{
	return req->target.path != NULL ? req->target.path : "";
}

const struct route *
http_route(struct http_req *req)
{
	return req->match.route;
}

const char *
http_header(struct http_req *req, const char *name)
{
	char lower[64];
	size_t i;

	for (i = 0; name[i] != '\0' && i < sizeof(lower) - 1; i++)
		lower[i] = name[i] >= 'A' && name[i] <= 'Z'
			       ? (char)(name[i] | 0x20)
			       : name[i];
	lower[i] = '\0';
	return http_parse_header(&req->parse, lower);
}

const char *
http_cookie(struct http_req *req, const char *name)
{
	const char *s = http_parse_header(&req->parse, "cookie");
	size_t n = strlen(name);

	while (s != NULL && *s != '\0') {
		size_t len;

		s += strspn(s, "; ");
		len = strcspn(s, ";");
		if (len > n && s[n] == '=' && memcmp(s, name, n) == 0) {
			while (len > n + 1 && s[len - 1] == ' ')
				len--;
			return arena_strndup(http_arena(req), s + n + 1,
			    len - n - 1);
		}
		s += len;
	}
	return NULL;
}

const char *
http_query(struct http_req *req, const char *name)
{
	return http_target_query(&req->target, name);
}

const char *
http_correlation_id(struct http_req *req)
{
	return req->cid;
}

const char *
http_traceparent(struct http_req *req)
{
	return req->trace;
}

const char *
http_param(struct http_req *req, const char *name)
{
	int i;

	for (i = 0; i < req->match.n_params; i++) {
		if (strcmp(req->match.params[i].name, name) == 0)
			return req->match.params[i].value;
	}
	return NULL;
}

struct uuid
http_param_uuid(struct http_req *req, const char *name)
{
	struct uuid id = { { 0 } };
	const char *s = http_param(req, name);

	if (s != NULL)
		uuid_parse(s, &id);
	return id;
}

const char *
http_body(struct http_req *req, size_t *len)
{
	*len = req->parse.body.len;
	return req->parse.body.len > 0 ? req->parse.body.data : "";
}

struct json_object *
http_json(struct http_req *req)
{
	return req->json;
}

enum as_status
http_query_int(struct http_req *req, const char *name, int64_t dflt,
    int64_t min, int64_t max, int64_t *out, struct error *err)
{
	const char *s = http_query(req, name);

	*out = dflt;
	if (s == NULL || text_to_int(s, min, max, out))
		return AS_OK;
	return error_field(err, name, "must be an integer from %lld to %lld",
	    (long long)min, (long long)max);
}

void
http_set_principal(struct http_req *req, void *principal)
{
	req->principal = principal;
}

void *
http_principal(struct http_req *req)
{
	return req->principal;
}

bool
http_replied(struct http_req *req)
{
	return req->replied || req->taken;
}
