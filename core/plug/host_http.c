/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json_tape.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/sse_parser.h"
#include "core/plug/call.h"
#include "core/plug/host.h"

/*
 * Outgoing HTTP, as a plugin sees it.  The sockets are on the other side; here
 * are the request as a message, the answer as a struct, and the server-sent
 * events of a stream.  What a read gives is valid until the next one: each
 * stream frees its last piece itself, so that a long answer needs no memory
 * of its length.
 */

#define EVENT_MAX ((size_t)4 << 20)
#define HEADERS_MAX 128

struct event {
	struct event *next;
	struct as_event about;
	size_t data_len;
	char text[]; /* name, id, data */
};

struct as_http_stream {
	struct as_http_stream *next;
	int64_t number;
	bool ended;
	char *piece;
	struct sse_parser parser;
	struct event *current, *first, **last; /* parsed, not yet asked for */
	struct json_tape tape; /* of the current one's data */
};

static struct as_http_stream *
stream_new(struct as_call *call, int64_t number)
{
	struct as_http_stream *s = xcalloc(1, sizeof(*s));

	s->number = number;
	s->ended = number == 0;
	s->last = &s->first;
	sse_parser_init(&s->parser, EVENT_MAX);
	s->next = call->streams;
	call->streams = s;
	return s;
}

static void
stream_free(struct as_http_stream *s)
{
	struct event *e;

	while ((e = s->first) != NULL) {
		s->first = e->next;
		free(e);
	}
	free(s->current);
	json_tape_free(&s->tape);
	sse_parser_free(&s->parser);
	free(s->piece);
	free(s);
}

void
streams_close(struct as_call *call)
{
	struct as_http_stream *s;

	while ((s = call->streams) != NULL) {
		call->streams = s->next;
		stream_free(s);
	}
}

/* ---- The request --------------------------------------------------- */

static bool
has_header(const char *const *h, const char *name)
{
	for (; h != NULL && h[0] != NULL; h += 2) {
		if (text_eq_nocase(h[0], name))
			return true;
	}
	return false;
}

static struct json_object *
headers_to_json(struct as_call *call, const struct as_http_request *q)
{
	const char *const *h = q->headers;
	struct json_object *a = jarr();
	size_t n = 0;

	for (; h != NULL && h[0] != NULL && h[1] != NULL && n < HEADERS_MAX;
	     h += 2, n++) {
		json_object_array_add(a,
		    json_object_new_string(call_text(call, h[0])));
		json_object_array_add(a,
		    json_object_new_string(call_text(call, h[1])));
	}
	if (q->json != NULL && !has_header(q->headers, "content-type")) {
		json_object_array_add(a,
		    json_object_new_string("content-type"));
		json_object_array_add(a,
		    json_object_new_string("application/json"));
	}
	return a;
}

static struct json_object *
request_to_json(struct as_call *call, const struct as_http_request *q)
{
	struct json_object *o = jobj();

	jput_str(o, "method", call_text(call, q->method));
	jput_str(o, "url", call_text(call, q->url));
	jput(o, "headers", headers_to_json(call, q));
	jput_bool(o, "as_user", q->as_user);
	jput_int(o, "idle_ms", q->idle_ms);
	return o;
}

/* ---- The answer ---------------------------------------------------- */

static const char *const *
headers_from_json(struct as_call *call, struct json_object *a)
{
	size_t i, n = json_object_is_type(a, json_type_array)
			  ? json_object_array_length(a)
			  : 0;
	const char **headers = arena_alloc(call->arena,
	    (n + 1) * sizeof(*headers));

	for (i = 0; i < n; i++)
		headers[i] = json_object_get_string(
		    json_object_array_get_idx(a, i));
	return headers;
}

/* Worth a try? */
static bool
looks_like_json(const char *body, size_t len)
{
	size_t n = 0;

	while (n < len && strchr(" \t\r\n", body[n]) != NULL)
		n++;
	return n < len && (body[n] == '{' || body[n] == '[');
}

static void
free_bytes(void *bytes)
{
	free(bytes);
}

/* The answer's memory becomes the call's. */
static struct as_http_response *
response_make(struct as_call *call, struct answer *a, bool stream)
{
	struct as_http_response *r = arena_alloc(call->arena, sizeof(*r));
	int64_t number = jget_int(a->value, "stream", 0);

	call_own(call, a->value);
	if (a->bytes != NULL)
		arena_cleanup(call->arena, free_bytes, a->bytes);
	r->size = sizeof(*r);
	r->status = (uint32_t)a->n;
	r->headers = headers_from_json(call, jget(a->value, "headers"));
	r->body.ptr = a->bytes != NULL ? a->bytes : "";
	r->body.len = a->len;
	if (looks_like_json(r->body.ptr, a->len))
		r->json = value_parse(call, r->body.ptr, a->len);
	if (stream)
		r->stream = stream_new(call, number);
	return r;
}

enum as_status
host_http(struct as_call *call, const struct as_http_request *given,
    bool stream, const struct as_http_response **out)
{
	struct as_http_request q = { 0 };
	struct msg m = { .kind = SERVE_HTTP, .n = stream };
	struct json_object *body = NULL;
	struct answer a;
	enum as_status st;

	*out = NULL;
	memcpy(&q, given, given->size < sizeof(q) ? given->size : sizeof(q));
	if (q.url == NULL)
		return call_fail(call, AS_INVALID, "a request without a URL");
	m.bytes = q.body.ptr;
	m.len = q.body.len;
	if (q.json != NULL) {
		if ((st = value_copy(call, q.json, &body)) != AS_OK)
			return st;
		m.bytes = json_text(body);
		m.len = strlen(m.bytes);
	}
	m.value = request_to_json(call, &q);
	st = call_serve(call, &m, &a);
	json_object_put(m.value);
	json_object_put(body);
	if (st == AS_OK)
		*out = response_make(call, &a, stream);
	return st;
}

enum as_status
host_http_read(struct as_call *call, struct as_http_stream *s,
    struct as_bytes *piece)
{
	struct msg m = { .kind = SERVE_HTTP_READ };
	struct answer a;
	enum as_status st;

	piece->ptr = NULL;
	piece->len = 0;
	if (s == NULL)
		return call_fail(call, AS_INVALID,
		    "nothing to read: not an answer of as_http_open");
	if (s->ended)
		return AS_EOF;
	m.n = s->number;
	if ((st = call_serve(call, &m, &a)) != AS_OK) {
		/* The request has left, whatever became of the answer. */
		if (st != AS_CANCELED)
			call->error.maybe_done = AS_YES;
		return st;
	}
	free(s->piece);
	s->piece = a.bytes;
	json_object_put(a.value);
	s->ended = a.len == 0;
	piece->ptr = s->piece;
	piece->len = a.len;
	return s->ended ? AS_EOF : AS_OK;
}

/* ---- Events -------------------------------------------------------- */

static enum as_status
event_take(const struct sse_event *given, void *arg)
{
	struct as_http_stream *s = arg;
	const char *id = given->id != NULL ? given->id : "";
	size_t name_size = strlen(given->name) + 1, id_size = strlen(id) + 1;
	struct event *e = xmalloc(
	    sizeof(*e) + name_size + id_size + given->data_len + 1);
	char *data = e->text + name_size + id_size;

	memset(e, 0, sizeof(*e));
	memcpy(e->text, given->name, name_size);
	memcpy(e->text + name_size, id, id_size);
	memcpy(data, given->data, given->data_len);
	data[given->data_len] = '\0';
	e->data_len = given->data_len;
	e->about.size = sizeof(e->about);
	e->about.name = e->text;
	e->about.id = e->text + name_size;
	e->about.data = data;
	*s->last = e;
	s->last = &e->next;
	return AS_OK;
}

/* The first of those that wait; the one before is gone, with its JSON. */
static void
event_next(struct as_http_stream *s)
{
	struct event *e = s->first;

	free(s->current);
	s->current = e;
	s->first = e->next;
	if (s->first == NULL)
		s->last = &s->first;
#ifdef ARENA_DEBUG
	json_tape_free(&s->tape); /* so that who reads it late is seen */
#endif
	if (looks_like_json(e->about.data, e->data_len) &&
	    json_tape_parse(&s->tape, e->about.data, e->data_len, NULL) ==
		AS_OK)
		e->about.json = value_to_node(s->tape.nodes);
}

enum as_status
host_http_event(struct as_call *call, struct as_http_stream *s,
    const struct as_event **event)
{
	struct as_bytes piece;
	enum as_status st;

	*event = NULL;
	while (s == NULL || s->first == NULL) {
		if ((st = host_http_read(call, s, &piece)) != AS_OK)
			return st;
		if (sse_parser_feed(&s->parser, piece.ptr, piece.len,
			event_take, s) != AS_OK)
			return call_fail(call, AS_LIMIT,
			    "an event of more than 4 MiB");
	}
	event_next(s);
	*event = &s->current->about;
	return AS_OK;
}
