/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/http_client.h"
#include "core/plug/call.h"
#include "core/plug/child.h"
#include "core/plug/grant.h"
#include "core/plug/origin.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"

/*
 * The host's side of the services.  They run on the fiber of whoever called the
 * plugin, and answer with values; what they keep for a plugin (open streams)
 * belongs to the exchange and ends with it.
 */

#define STREAMS_MAX 16
#define REFUSAL_MAX ((size_t)64 << 10) /* of an answer that is not 2xx */
#define HEADERS_MAX 128

struct serve_stream {
	struct serve_stream *next;
	uint32_t number;
	struct http_stream *http;
};

static void
serve_fail(struct answer *out, enum as_status st, struct error *err)
{
	if (err->code == ERR_NONE)
		error_from_status(err, st, NULL);
	out->status = st;
	out->value = failure_of(err);
	error_clear(err);
}

/* ---- HTTP ---------------------------------------------------------- */

/* Whose word is the address?  AS_FORBIDDEN with a reason, or AS_OK. */
static enum as_status
trust_of(struct exchange *x, const char *url, enum http_trust *trust,
    struct error *err)
{
	const struct unit *u = x->unit;
	char origin[ORIGIN_LEN], host[ORIGIN_LEN];

	if (!origin_of(url, origin))
		return error_set(err, ERR_BAD_REQUEST,
		    "not an http or https address: '%.200s'", url);
	*trust = HTTP_TRUSTED;
	if (origin_is_configured(u, origin))
		return AS_OK;
	*trust = HTTP_GUARDED;
	origin_host(origin, host);
	return grant_check_host(u, host, err);
}

static const char **
headers_of(struct json_object *a)
{
	size_t i, n = json_object_is_type(a, json_type_array)
			  ? json_object_array_length(a)
			  : 0;
	const char **h;

	n = n > 2 * HEADERS_MAX ? 2 * HEADERS_MAX : n & ~(size_t)1;
	h = xcalloc(n + 1, sizeof(*h));
	for (i = 0; i < n; i++)
		h[i] = json_object_get_string(json_object_array_get_idx(a, i));
	return h;
}

static struct json_object *
head_to_json(const struct http_response_head *head)
{
	const char *const *h = head->headers;
	struct json_object *o = jobj(), *a = jarr();

	for (; h != NULL && *h != NULL; h++)
		json_object_array_add(a, json_object_new_string(*h));
	jput(o, "headers", a);
	return o;
}

/* Of a refusal only the start: it is there to be shown. */
SUSPENDS static enum as_status
read_refusal(struct http_stream *s, struct answer *out, struct error *err)
{
	char *text = xmalloc(REFUSAL_MAX);
	enum as_status st = AS_OK;
	size_t n = 1;

	while (st == AS_OK && n > 0 && out->len < REFUSAL_MAX) {
		st = http_read(s, text + out->len, REFUSAL_MAX - out->len, &n,
		    err);
		out->len += st == AS_OK ? n : 0;
	}
	out->bytes = text;
	return st;
}

/* What came back, whole or as a stream; s is used up either way. */
SUSPENDS static enum as_status
answer_http(struct exchange *x, struct http_stream *s, bool stream,
    struct answer *out, struct error *err)
{
	const struct http_response_head *head = http_head(s);
	struct serve_stream *open;
	enum as_status st = AS_OK;

	out->n = head->status;
	out->value = head_to_json(head);
	if (stream && head->status >= 200 && head->status < 300) {
		open = xcalloc(1, sizeof(*open));
		open->http = s;
		open->number = ++x->last_stream;
		open->next = x->streams;
		x->streams = open;
		jput_int(out->value, "stream", open->number);
		return AS_OK;
	}
	st = stream ? read_refusal(s, out, err)
		    : http_read_all(s, &out->bytes, &out->len, err);
	http_close(s);
	return st;
}

static unsigned
streams_count(const struct exchange *x)
{
	const struct serve_stream *s;
	unsigned n = 0;

	for (s = x->streams; s != NULL; s = s->next)
		n++;
	return n;
}

static enum as_status
http_allowed(struct exchange *x, const struct msg *m, struct http_request *req,
    struct error *err)
{
	if (jget_bool(m->value, "as_user", false))
		return error_set(err, ERR_UNSUPPORTED,
		    "this version of agent-studio has no connected accounts");
	if (streams_count(x) >= STREAMS_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "a call may hold %d streams open", STREAMS_MAX);
	if (x->plug->services.http == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "HTTP is not available here");
	return trust_of(x, req->url, &req->trust, err);
}

SUSPENDS static enum as_status
serve_http(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct plug_services *services = &x->plug->services;
	struct http_request req = { .body = m->bytes, .body_len = m->len };
	struct http_stream *s = NULL;
	struct http_client *client;
	const char **headers;
	char allow_name[80];
	enum as_status st;

	req.method = jget_str(m->value, "method", NULL);
	req.url = jget_str(m->value, "url", "");
	req.idle_ms = span_ms(jget_int(m->value, "idle_ms", 0));
	req.allow = x->unit->allow;
	snprintf(allow_name, sizeof(allow_name), "plugins.%.60s.allow",
	    x->unit->name);
	req.allow_name = x->unit->allow != NULL ? allow_name : NULL;
	req.same_host = true;
	if ((st = http_allowed(x, m, &req, err)) != AS_OK)
		return st;
	client = services->http(services->arg, loop_self());
	if (client == NULL)
		return error_set(err, ERR_UNAVAILABLE,
		    "this loop has no HTTP client");
	headers = headers_of(jget(m->value, "headers"));
	req.headers = headers;
	st = http_open(client, &req, &s, err);
	free(headers);
	if (st != AS_OK) {
		http_close(s);
		return st;
	}
	return answer_http(x, s, m->n != 0, out, err);
}

SUSPENDS static enum as_status
serve_http_read(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct serve_stream *s = x->streams;

	while (s != NULL && s->number != m->n)
		s = s->next;
	if (s == NULL)
		return error_set(err, ERR_INTERNAL, "no stream %lld",
		    (long long)m->n);
	return http_take(s->http, &out->bytes, &out->len, err);
}

void
exchange_close(struct exchange *x)
{
	struct serve_stream *s;

	while ((s = x->streams) != NULL) {
		x->streams = s->next;
		http_close(s->http);
		free(s);
	}
	serve_files_drop(x);
	serve_tcps_close(x);
	serve_processes_close(x);
}

/* ---- Kept values --------------------------------------------------- */

static enum as_status
owner_of(struct exchange *x, int64_t scope, char owner[UUID_TEXT],
    struct error *err)
{
	struct uuid id = { 0 };
	const char *what = "user";

	owner[0] = '\0';
	if (scope == AS_KV_PLUGIN)
		return AS_OK;
	if (scope == AS_KV_THREAD)
		what = "thread";
	if (scope == AS_KV_RUN)
		what = "run";
	if (x->who != NULL)
		id = scope == AS_KV_USER     ? x->who->user_id
		     : scope == AS_KV_THREAD ? x->who->thread_id
					     : x->who->run_id;
	if (uuid_is_nil(id))
		return error_set(err, ERR_BAD_REQUEST,
		    "this call belongs to no %s", what);
	uuid_format(id, owner);
	return AS_OK;
}

static enum as_status
kv_put(struct exchange *x, const struct msg *m, const char *owner,
    int64_t version, struct error *err)
{
	struct plug_services *services = &x->plug->services;

	return services->kv_put(services->arg, x->unit->name, (int)m->n, owner,
	    m->name, jget(m->value, "value"),
	    span_ms(jget_int(m->value, "ttl_ms", 0)), version, err);
}

/* Equal to what the plugin read?  Then its version guards the write. */
SUSPENDS static enum as_status
kv_swap(struct exchange *x, const struct msg *m, const char *owner,
    struct error *err)
{
	struct plug_services *services = &x->plug->services;
	struct json_object *expected = jget(m->value, "expected"), *now = NULL;
	int64_t version = 0;
	enum as_status st;
	bool same;

	st = services->kv_get(services->arg, x->unit->name, (int)m->n, owner,
	    m->name, &now, &version, err);
	if (st != AS_OK && st != AS_NOTFOUND)
		return st;
	same = (now == NULL) == (expected == NULL) &&
	       json_object_equal(now, expected);
	json_object_put(now);
	if (!same)
		return error_set(err, ERR_CONFLICT,
		    "'%s' has changed since it was read", m->name);
	error_clear(err);
	return kv_put(x, m, owner, st == AS_OK ? version : 0, err);
}

SUSPENDS static enum as_status
serve_kv(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct plug_services *services = &x->plug->services;
	char owner[UUID_TEXT];
	int64_t version;
	enum as_status st;

	if (services->kv_get == NULL || services->kv_put == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "kept values are not available here");
	if (m->name == NULL)
		return error_set(err, ERR_BAD_REQUEST, "no key");
	if ((st = grant_check(x->unit, "kv", err)) != AS_OK)
		return st;
	if ((st = owner_of(x, m->n, owner, err)) != AS_OK)
		return st;
	if (m->kind == SERVE_KV_GET)
		return services->kv_get(services->arg, x->unit->name, (int)m->n,
		    owner, m->name, &out->value, &version, err);
	if (m->kind == SERVE_KV_SWAP)
		return kv_swap(x, m, owner, err);
	return kv_put(x, m, owner, -1, err);
}

void
exchange_serve(struct exchange *x, const struct msg *m, struct answer *out)
{
	struct error err = { 0 };
	enum as_status st;

	if (x->relay != NULL) {
		x->relay->serve(x, m, out);
		return;
	}
	switch (m->kind) {
	case SERVE_HTTP:
		st = serve_http(x, m, out, &err);
		break;
	case SERVE_HTTP_READ:
		st = serve_http_read(x, m, out, &err);
		break;
	case SERVE_KV_GET:
	case SERVE_KV_PUT:
	case SERVE_KV_SWAP:
		st = serve_kv(x, m, out, &err);
		break;
	case SERVE_CREDENTIAL:
	case SERVE_SECRET:
		st = serve_account(x, m, out, &err);
		break;
	case SERVE_ASK:
	case SERVE_KEEP:
		st = serve_ask(x, m, out, &err);
		break;
	case SERVE_FILE_STAT:
	case SERVE_FILE_READ:
	case SERVE_FILE_WRITE:
		st = serve_file(x, m, out, &err);
		break;
	case SERVE_PROCESS_OPEN:
	case SERVE_PROCESS_READ:
	case SERVE_PROCESS_WRITE:
	case SERVE_PROCESS_WAIT:
		st = serve_process(x, m, out, &err);
		break;
	case SERVE_TCP_OPEN:
	case SERVE_TCP_TLS:
	case SERVE_TCP_READ:
	case SERVE_TCP_WRITE:
		st = serve_tcp(x, m, out, &err);
		break;
	case SERVE_DB:
		st = serve_db(x, m, out, &err);
		break;
	default:
		st = error_set(&err, ERR_UNSUPPORTED, "no such service");
	}
	out->status = st;
	if (st == AS_OK)
		return;
	answer_clear(out);
	serve_fail(out, st, &err);
}
