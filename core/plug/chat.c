/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * One request to a model.  Providers cut text anywhere and forget things; what
 * the sink sees is whole: characters are put together, calls have an id, and
 * nothing comes after the end.
 */

#define TOOLS_MAX 128 /* calls in one answer */

/* The bytes of a character that has not arrived as a whole. */
struct tail {
	char bytes[4];
	size_t len;
};

struct chat_taker {
	struct plug_chat_end *end;
	bool ended;
	const char *fault; /* what the provider did wrong */
	struct tail text, reasoning;
	struct tail args[TOOLS_MAX];
	bool called[TOOLS_MAX];
};

struct json_object *
plug_value(const struct as_json *value)
{
	return value_of(value);
}

static enum as_status
chat_fault(struct chat_taker *t, const char *fault)
{
	if (t->fault == NULL)
		t->fault = fault;
	return AS_UPSTREAM;
}

static enum as_status
chat_pass(struct exchange *x, const struct as_delta *d)
{
	if (x->sink == NULL || x->sink->delta == NULL)
		return AS_OK;
	return x->sink->delta(x->sink->arg, d);
}

/* What is whole of tail and text goes on, the rest becomes the tail. */
static enum as_status
chat_text_cut(struct exchange *x, struct as_delta *d, struct tail *tail,
    const char *text, size_t len)
{
	struct buf raw = { 0 }, clean = { 0 };
	enum as_status st = AS_OK;
	size_t whole;

	buf_add(&raw, tail->bytes, tail->len);
	buf_add(&raw, text, len);
	whole = text_utf8_whole(raw.data, raw.len);
	tail->len = raw.len - whole;
	memcpy(tail->bytes, raw.data + whole, tail->len);
	text_add_clean(&clean, raw.data, whole);
	if (clean.len > 0) {
		d->text = clean.data;
		d->len = clean.len;
		st = chat_pass(x, d);
	}
	buf_free(&raw);
	buf_free(&clean);
	return st;
}

/* Nearly all text is whole and clean: it goes on as it came. */
static enum as_status
chat_text(struct exchange *x, struct as_delta *d, struct tail *tail,
    const char *text, size_t len)
{
	if (len == 0)
		return AS_OK;
	if (tail->len > 0 || !text_is_utf8(text, len) ||
	    memchr(text, '\0', len) != NULL)
		return chat_text_cut(x, d, tail, text, len);
	d->text = text;
	d->len = len;
	return chat_pass(x, d);
}

/* A character whose end never came. */
static enum as_status
chat_flush(struct exchange *x, enum as_delta_type type, uint32_t index,
    struct tail *tail)
{
	struct as_delta d = { .size = sizeof(d), .type = type, .index = index };

	if (tail->len == 0)
		return AS_OK;
	tail->len = 0;
	d.text = "\xef\xbf\xbd";
	d.len = 3;
	return chat_pass(x, &d);
}

static enum as_status
chat_tool(struct exchange *x, struct as_delta *d, const struct msg *m)
{
	struct chat_taker *t = x->taker;
	unsigned char random[12];
	char id[5 + 2 * sizeof(random) + 1] = "call_";

	if (d->index >= TOOLS_MAX)
		return chat_fault(t, "more tool calls than an answer may have");
	if (t->called[d->index])
		return chat_fault(t, "two tool calls with one index");
	if (m->name == NULL || m->name[0] == '\0')
		return chat_fault(t, "a tool call without a name");
	t->called[d->index] = true;
	d->name = m->name;
	d->id = m->id;
	if (d->id == NULL || d->id[0] == '\0') {
		randombytes_buf(random, sizeof(random));
		text_hex(id + 5, random, sizeof(random));
		d->id = id;
	}
	return chat_pass(x, d);
}

static enum as_status
chat_args(struct exchange *x, struct as_delta *d, const struct msg *m)
{
	struct chat_taker *t = x->taker;

	if (d->index >= TOOLS_MAX || !t->called[d->index])
		return chat_fault(t, "arguments of no tool call");
	return chat_text(x, d, &t->args[d->index], m->bytes, m->len);
}

static enum as_status
chat_end(struct exchange *x, struct as_delta *d, const struct msg *m)
{
	struct chat_taker *t = x->taker;
	enum as_status st;
	uint32_t i;

	d->end = (enum as_chat_why)(int)m->x;
	if (d->end < AS_END_TURN || d->end > AS_END_REFUSED)
		return chat_fault(t, "an answer that ends for no known reason");
	st = chat_flush(x, AS_DELTA_REASONING, 0, &t->reasoning);
	if (st == AS_OK)
		st = chat_flush(x, AS_DELTA_TEXT, 0, &t->text);
	for (i = 0; i < TOOLS_MAX && st == AS_OK; i++)
		st = chat_flush(x, AS_DELTA_ARGS, i, &t->args[i]);
	if (st != AS_OK)
		return st;
	t->ended = true;
	t->end->why = d->end;
	return chat_pass(x, d);
}

static enum as_status
chat_delta(struct exchange *x, const struct msg *m)
{
	struct chat_taker *t = x->taker;
	struct as_delta d = { .size = sizeof(d), .index = m->index };

	d.type = (enum as_delta_type)m->n;
	if (t->ended)
		return chat_fault(t, "more after the end of the answer");
	switch (d.type) {
	case AS_DELTA_TEXT:
		return chat_text(x, &d, &t->text, m->bytes, m->len);
	case AS_DELTA_REASONING:
		return chat_text(x, &d, &t->reasoning, m->bytes, m->len);
	case AS_DELTA_TOOL:
		return chat_tool(x, &d, m);
	case AS_DELTA_ARGS:
		return chat_args(x, &d, m);
	case AS_DELTA_EXTRA:
		d.value = value_to(m->value);
		return chat_pass(x, &d);
	case AS_DELTA_END:
		return chat_end(x, &d, m);
	default:
		return AS_OK; /* of a newer SDK */
	}
}

static void
usage_take(struct plug_chat_end *end, struct json_object *o)
{
	end->input = jget_int(o, "input", -1);
	end->output = jget_int(o, "output", -1);
	end->cached = jget_int(o, "cached", -1);
	end->reasoning = jget_int(o, "reasoning", -1);
}

static enum as_status
chat_take(struct exchange *x, const struct msg *m)
{
	struct chat_taker *t = x->taker;

	if (m->kind == EMIT_DELTA)
		return chat_delta(x, m);
	if (m->kind == EMIT_USAGE)
		usage_take(t->end, m->value);
	return AS_OK;
}

static enum as_status
chat_result(const struct unit *u, const struct chat_taker *t, enum as_status st,
    struct error *err)
{
	const char *fault = t->fault;

	if (st == AS_OK && fault == NULL && !t->ended)
		fault = "the stream ended before the answer did";
	if (fault != NULL && st != AS_CANCELED)
		st = error_set(err, ERR_UPSTREAM_UNAVAILABLE, "%s: %s", u->slug,
		    fault);
	/* Whatever host name lies behind it. */
	if (st != AS_OK && st != AS_CANCELED && err != NULL)
		snprintf(err->service, sizeof(err->service), "%.60s", u->slug);
	return st;
}

enum as_status
plug_chat(struct plug *p, const struct plug_caller *who, const char *model,
    struct json_object *messages, struct json_object *tools,
    struct json_object *settings, const struct plug_sink *sink,
    struct plug_chat_end *end, struct error *err)
{
	struct exchange x = { .plug = p,
		.who = who,
		.sink = sink,
		.op = { .kind = OP_CHAT },
		.take = chat_take };
	struct json_object *in;
	struct chat_taker *t;
	enum as_status st;

	memset(end, 0, sizeof(*end));
	end->input = end->output = end->cached = end->reasoning = -1;
	x.unit = unit_hold(unit_of_model(p, model, &x.op.name));
	if (x.unit == NULL)
		return error_not_found(err, "model", model);
	t = xcalloc(1, sizeof(*t));
	t->end = end;
	x.taker = t;
	in = jobj();
	jput(in, "messages", json_object_get(messages));
	jput(in, "tools", json_object_get(tools));
	jput(in, "settings", json_object_get(settings));
	x.op.value = in;
	st = chat_result(x.unit, t, exchange_run(&x, err), err);
	unit_drop(x.unit);
	json_object_put(in);
	free(t);
	return st;
}
