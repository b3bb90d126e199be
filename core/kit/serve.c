/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/kit/impl.h"
#include "core/plug/grant.h"
#include "core/plug/origin.h"

/*
 * The services of the kit: servers that answer as check.json says, or as the
 * trouble of the day wants it, and notes in memory; others have a file each.
 */

#define PIECE 512 /* bytes of a body that a read gives */

struct kit_stream {
	struct kit_stream *next;
	int64_t number;
	char *body;
	size_t len, at;
	bool breaks; /* half way */
};

void
answer_fail(struct answer *out, enum as_status st, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out->status = st;
	out->value = failure_new(text);
}

static size_t
length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array)
		   ? json_object_array_length(list)
		   : 0;
}

struct json_object *
scripted(struct world *w, const char *list, const char *member,
    const char *text)
{
	struct json_object *all = jget(w->kit->script, list), *o;
	size_t i, n = length(all);

	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(all, i);
		if (fnmatch(jget_str(o, member, "*"), text, 0) == 0)
			return o;
	}
	return NULL;
}

/* ---- What it may --------------------------------------------------- */

bool
world_grants(struct world *w, const char *word, struct answer *out)
{
	const char *name = w->kit->unit->file->about.name;

	if (unit_is_granted(w->kit->unit, word))
		return true;
	finding(w->kit, RULE_grants,
	    "it used \"%s\", which .grants do not have", word);
	answer_fail(out, AS_FORBIDDEN, "%s may not use \"%s\"", name, word);
	return false;
}

bool
world_reaches(struct world *w, const char *host, struct answer *out)
{
	const struct as_plugin *about = &w->kit->unit->file->about;

	if (grants_host(about->grants, host))
		return true;
	finding(w->kit, RULE_network,
	    "it asked %s, which neither .grants nor an option names", host);
	answer_fail(out, AS_FORBIDDEN, "%s may not reach %s", about->name,
	    host);
	return false;
}

/* ---- HTTP ---------------------------------------------------------- */

/* The entry of the script for a request, or NULL. */
static struct json_object *
scripted_http(struct world *w, const char *method, const char *url)
{
	struct json_object *list = jget(w->kit->script, "http"), *o;
	size_t i, n = length(list);

	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(list, i);
		if (fnmatch(jget_str(o, "url", "*"), url, 0) == 0 &&
		    text_eq_nocase(jget_str(o, "method", method), method))
			return o;
	}
	return NULL;
}

static void
add_event(struct buf *b, struct json_object *v)
{
	buf_printf(b, "data: %s\n\n",
	    json_object_is_type(v, json_type_string) ? json_object_get_string(v)
						     : json_text(v));
}

static void
body_of(struct json_object *entry, struct buf *b)
{
	struct json_object *events = jget(entry, "events");
	size_t i;

	if (json_object_is_type(events, json_type_array)) {
		for (i = 0; i < json_object_array_length(events); i++)
			add_event(b, json_object_array_get_idx(events, i));
	} else if (jget_str(entry, "body", NULL) != NULL)
		buf_add_str(b, jget_str(entry, "body", ""));
	else if (jget(entry, "json") != NULL)
		buf_add_str(b, json_text(jget(entry, "json")));
	else if (entry == NULL)
		buf_add_str(b, "{}");
}

static struct json_object *
headers_of(const struct world *w, struct json_object *entry, bool wrong)
{
	struct json_object *a = jarr();

	if (wrong && w->wrong->status == 429) {
		json_object_array_add(a, json_object_new_string("retry-after"));
		json_object_array_add(a, json_object_new_string("7"));
	}
	if (!json_object_is_type(jget(entry, "headers"), json_type_object))
		return a;
	json_object_object_foreach(jget(entry, "headers"), name, value)
	{
		json_object_array_add(a, json_object_new_string(name));
		json_object_array_add(a,
		    json_object_new_string(json_object_get_string(value)));
	}
	return a;
}

static void
stream_open(struct world *w, struct answer *out, bool breaks)
{
	struct kit_stream *s = xcalloc(1, sizeof(*s));

	s->number = ++w->last_stream;
	s->body = out->bytes;
	s->len = out->len;
	s->breaks = breaks;
	s->next = w->streams;
	w->streams = s;
	out->bytes = NULL;
	out->len = 0;
	jput_int(out->value, "stream", s->number);
}

/* As the host does it: whose word is the address? */
static bool
is_declared(struct world *w, const char *url, struct answer *out)
{
	const struct unit *u = w->kit->unit;
	char origin[ORIGIN_LEN], host[ORIGIN_LEN];

	if (!origin_of(url, origin)) {
		answer_fail(out, AS_INVALID,
		    "not an http or https address: '%.200s'", url);
		return false;
	}
	origin_host(origin, host);
	return origin_is_configured(u, origin) || world_reaches(w, host, out);
}

static void
serve_http(struct world *w, const struct msg *m, struct answer *out)
{
	const char *url = jget_str(m->value, "url", "");
	const char *method = jget_str(m->value, "method",
	    m->len > 0 ? "POST" : "GET");
	struct json_object *entry = scripted_http(w, method, url);
	bool wrong;
	struct buf body = { 0 };

	if (!is_declared(w, url, out))
		return;
	/* Who tries again is told the same again. */
	wrong = ++w->requests >= w->wrong_at && w->wrong != NULL;
	if (wrong && w->wrong->lost) {
		answer_fail(out, AS_UNAVAILABLE,
		    "no connection to the service");
		return;
	}
	if (entry == NULL && w->unscripted++ == 0 && !wrong)
		note(w->kit, "check.json has no answer to %s %s", method, url);
	out->n = jget_int(entry, "status", 200);
	if (wrong && w->wrong->status != 0) {
		out->n = w->wrong->status;
		buf_add_str(&body, "{\"error\":{\"message\":\"no\"}}");
	} else if (wrong && w->wrong->garbage)
		buf_add_str(&body, "<html>\xff\xfe not what was asked for");
	else
		body_of(entry, &body);
	out->value = jobj();
	jput(out->value, "headers", headers_of(w, entry, wrong));
	out->len = body.len;
	out->bytes = buf_take(&body);
	if (m->n != 0 && out->n >= 200 && out->n < 300)
		stream_open(w, out, wrong && w->wrong->midway);
	else if (wrong && w->wrong->midway) {
		answer_clear(out);
		answer_fail(out, AS_UPSTREAM,
		    "the connection was lost half way");
	}
}

static void
serve_http_read(struct world *w, const struct msg *m, struct answer *out)
{
	struct kit_stream *s = w->streams;
	size_t left, n;

	while (s != NULL && s->number != m->n)
		s = s->next;
	if (s == NULL) {
		answer_fail(out, AS_INTERNAL, "no stream %lld",
		    (long long)m->n);
		return;
	}
	left = s->len - s->at;
	if (s->breaks)
		left = s->len / 2 > s->at ? s->len / 2 - s->at : 0;
	if (left == 0 && s->breaks) {
		answer_fail(out, AS_UPSTREAM,
		    "the connection was lost half way");
		return;
	}
	n = left < PIECE ? left : PIECE;
	out->bytes = xstrndup(s->body + s->at, n);
	out->len = n;
	s->at += n;
}

void
world_streams_free(struct world *w)
{
	struct kit_stream *s;

	while ((s = w->streams) != NULL) {
		w->streams = s->next;
		free(s->body);
		free(s);
	}
}

/* ---- Notes --------------------------------------------------------- */

/* {"until": ms or 0, "value"}; what is over is not there. */
static struct json_object *
kv_find(struct kit *k, const char *key)
{
	struct json_object *o = jget(k->kv, key);
	int64_t until = jget_int(o, "until", 0);

	return until == 0 || until > clock_mono_ms() ? jget(o, "value") : NULL;
}

static void
kv_write(struct kit *k, const char *key, struct json_object *args)
{
	struct json_object *value = jget(args, "value"), *o;
	int64_t ttl = jget_int(args, "ttl_ms", 0);

	if (value == NULL) {
		json_object_object_del(k->kv, key);
		return;
	}
	o = jobj();
	jput_int(o, "until", ttl > 0 ? clock_mono_ms() + ttl : 0);
	jput(o, "value", json_copy(value));
	jput(k->kv, key, o);
}

static void
serve_kv(struct world *w, const struct msg *m, struct answer *out)
{
	struct kit *k = w->kit;
	struct json_object *now;
	char *key;

	if (!world_grants(w, "kv", out))
		return;
	key = xasprintf("%d/%s", (int)m->n, m->name);
	now = kv_find(k, key);
	if (m->kind == SERVE_KV_GET && now == NULL)
		answer_fail(out, AS_NOTFOUND, "no '%s' is kept", m->name);
	else if (m->kind == SERVE_KV_GET)
		out->value = json_copy(now);
	else if (m->kind == SERVE_KV_SWAP &&
		 !json_object_equal(now, jget(m->value, "expected")))
		answer_fail(out, AS_CONFLICT,
		    "'%s' has changed since it was read", m->name);
	else
		kv_write(k, key, m->value);
	free(key);
}

/* One that is not available, for whoever asks again as well. */
static bool
is_gone(struct world *w, const struct msg *m)
{
	switch (m->kind) {
	case SERVE_HTTP:
	case SERVE_HTTP_READ:
	case SERVE_ASK:
	case SERVE_CREDENTIAL:
	case SERVE_SECRET:
	case SERVE_PROCESS_READ:
	case SERVE_PROCESS_WRITE:
	case SERVE_PROCESS_WAIT:
		return false;
	default:
		return ++w->services >= w->fault_at && w->fault == FAULT_GONE;
	}
}

void
world_serve(struct world *w, const struct msg *m, struct answer *out)
{
	if (is_gone(w, m)) {
		answer_fail(out, AS_UNAVAILABLE,
		    "the service is not available at the moment");
		return;
	}
	switch (m->kind) {
	case SERVE_HTTP:
		serve_http(w, m, out);
		return;
	case SERVE_HTTP_READ:
		serve_http_read(w, m, out);
		return;
	case SERVE_KV_GET:
	case SERVE_KV_PUT:
	case SERVE_KV_SWAP:
		serve_kv(w, m, out);
		return;
	case SERVE_FILE_STAT:
	case SERVE_FILE_READ:
	case SERVE_FILE_WRITE:
		world_serve_file(w, m, out);
		return;
	case SERVE_PROCESS_OPEN:
	case SERVE_PROCESS_READ:
	case SERVE_PROCESS_WRITE:
	case SERVE_PROCESS_WAIT:
		world_serve_program(w, m, out);
		return;
	case SERVE_TCP_OPEN:
	case SERVE_TCP_TLS:
	case SERVE_TCP_READ:
	case SERVE_TCP_WRITE:
		world_serve_stream(w, m, out);
		return;
	default:
		world_serve_host(w, m, out);
	}
}
