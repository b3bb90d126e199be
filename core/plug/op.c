/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * From an operation to the plugin's function.  Values become the structs of
 * the SDK here and nowhere else, so a function sees the same whether its caller
 * stood beside it or behind a border.
 */

static enum as_status
op_missing(struct as_call *call, const char *what)
{
	return call_fail(call, AS_UNSUPPORTED, "%s has no %s", call->unit->name,
	    what);
}

SUSPENDS static enum as_status
op_lifecycle(struct as_call *call, const struct msg *op)
{
	const struct as_plugin *p = &call->unit->file->about;

	switch (op->kind) {
	case OP_INIT:
		return p->init != NULL ? p->init(call) : AS_OK;
	case OP_START:
		return p->start != NULL ? p->start(call) : AS_OK;
	case OP_STOP:
		if (p->stop != NULL)
			p->stop(call);
		return AS_OK;
	default:
		if (p->fini != NULL)
			p->fini(call);
		return AS_OK;
	}
}

static const struct as_tool *
tool_about(const struct plug_file *f, const char *name)
{
	size_t i;

	for (i = 0; i < f->n_tools; i++) {
		if (strcmp(f->tools[i].name, name) == 0)
			return &f->tools[i];
	}
	return NULL;
}

/* The struct that the tool's table describes, filled from the arguments. */
static enum as_status
tool_input(struct as_call *call, const struct as_tool *t,
    struct json_object *args, const void **in)
{
	struct error err = { 0 };
	enum as_status st;
	void *filled;

	if (t->params == NULL) {
		*in = t->schema != NULL ? value_to(args) : NULL;
		return AS_OK;
	}
	filled = arena_alloc(call->arena, t->params_size + 1);
	*in = filled;
	if (field_fill(t->params, call->unit->file->about.field_size, filled,
		args, call->arena, &err))
		return AS_OK;
	st = call_fail(call, AS_INVALID, "%s", err.detail);
	error_clear(&err);
	return st;
}

/* What the call has kept when it was made before. */
static void
kept_read(struct as_call *call, const struct msg *op)
{
	if (op->kind == OP_TOOL && op->len > 0 &&
	    json_parse(op->bytes, op->len, &call->kept, NULL) == AS_OK)
		call_own(call, call->kept);
}

SUSPENDS static enum as_status
op_tool(struct as_call *call, const struct msg *op)
{
	const struct plug_file *f = call->unit->file;
	const struct as_tool *t = tool_about(f, op->name);
	as_tool_fn *fn;
	const void *in;
	enum as_status st;

	kept_read(call, op);
	if (t == NULL && op->kind == OP_TOOL && f->toolkit.run != NULL)
		return f->toolkit.run(call, op->name, value_to(op->value));
	if (t == NULL)
		return op_missing(call, op->name);
	fn = op->kind == OP_VERIFY ? t->verify : t->run;
	if (fn == NULL && op->kind == OP_TOOL && f->toolkit.run != NULL)
		return f->toolkit.run(call, op->name, value_to(op->value));
	if (fn == NULL)
		return op_missing(call,
		    op->kind == OP_VERIFY ? "verify" : op->name);
	if ((st = tool_input(call, t, op->value, &in)) != AS_OK)
		return st;
	return fn(call, in);
}

SUSPENDS static enum as_status
op_chat(struct as_call *call, const struct msg *op)
{
	struct as_chat in = { .size = sizeof(in) };

	in.model = op->name;
	in.messages = value_to(jget(op->value, "messages"));
	in.tools = value_to(jget(op->value, "tools"));
	in.settings = value_to(jget(op->value, "settings"));
	return call->unit->file->llm.chat(call, &in);
}

SUSPENDS static enum as_status
op_embed(struct as_call *call, const struct msg *op)
{
	size_t i, n = json_object_array_length(op->value);
	struct as_texts in = { .size = sizeof(in), .n = (uint32_t)n };
	const char **texts;

	if (call->unit->file->llm.embed == NULL)
		return op_missing(call, "embeddings");
	texts = arena_alloc(call->arena, (n + 1) * sizeof(*texts));
	for (i = 0; i < n; i++)
		texts[i] = json_object_get_string(
		    json_object_array_get_idx(op->value, i));
	in.model = op->name;
	in.texts = texts;
	in.is_query = op->n != 0;
	return call->unit->file->llm.embed(call, &in);
}

SUSPENDS static enum as_status
op_auth(struct as_call *call, const struct msg *op)
{
	const struct as_auth *auth = &call->unit->file->auth;
	enum as_status (*fn)(struct as_call *, const struct as_json *);

	if (op->kind == OP_TOKEN)
		return auth->verify != NULL ? auth->verify(call, op->name)
					    : op_missing(call, "verify");
	fn = op->kind == OP_LOGIN    ? auth->login
	     : op->kind == OP_SIGNUP ? auth->signup
				     : auth->update;
	if (fn == NULL)
		return op_missing(call, "such function");
	return fn(call, value_to(op->value));
}

SUSPENDS static enum as_status
op_offers(struct as_call *call, const struct msg *op)
{
	const struct plug_file *f = call->unit->file;

	if (op->kind == OP_MODELS)
		return f->llm.models != NULL ? f->llm.models(call) : AS_OK;
	return f->toolkit.list != NULL ? f->toolkit.list(call) : AS_OK;
}

/* Frames begin anywhere; floats want their own alignment. */
static const float *
floats_of(struct as_call *call, const struct msg *op, size_t want)
{
	float *v;

	if (op->len != want * sizeof(*v))
		return NULL;
	v = arena_alloc(call->arena, op->len + 1);
	memcpy(v, op->bytes, op->len);
	return v;
}

static const char *const *
texts_of(struct as_call *call, struct json_object *list, size_t n)
{
	const char **texts = arena_alloc(call->arena, (n + 1) * sizeof(*texts));
	size_t i;

	for (i = 0; i < n; i++)
		texts[i] = json_object_get_string(
		    json_object_array_get_idx(list, i));
	return texts;
}

SUSPENDS static enum as_status
op_put(struct as_call *call, const struct msg *op,
    const struct as_collection *c)
{
	struct json_object *ids = jget(op->value, "ids");
	struct json_object *list = jget(op->value, "metas");
	size_t i, n = json_object_array_length(ids);
	struct as_rows rows = { .size = sizeof(rows), .n = (uint32_t)n };
	const struct as_json **metas;

	metas = arena_alloc(call->arena, (n + 1) * sizeof(*metas));
	for (i = 0; i < n; i++)
		metas[i] = value_to(json_object_array_get_idx(list, i));
	rows.ids = texts_of(call, ids, n);
	rows.metas = metas;
	rows.vectors = floats_of(call, op, n * c->dim);
	if (rows.vectors == NULL)
		return call_fail(call, AS_INTERNAL, "rows without vectors");
	return call->unit->file->vector.put(call, c, &rows);
}

SUSPENDS static enum as_status
op_search(struct as_call *call, const struct msg *op,
    const struct as_collection *c)
{
	struct as_query q = { .size = sizeof(q) };

	q.limit = (uint32_t)jget_int(op->value, "limit", 0);
	q.min_score = json_object_get_double(jget(op->value, "min_score"));
	q.filter = value_to(jget(op->value, "filter"));
	q.vector = floats_of(call, op, c->dim);
	if (q.vector == NULL)
		return call_fail(call, AS_INTERNAL, "a query without a vector");
	return call->unit->file->vector.search(call, c, &q);
}

SUSPENDS static enum as_status
op_vector(struct as_call *call, const struct msg *op)
{
	const struct as_vector *v = &call->unit->file->vector;
	struct as_collection c = { .size = sizeof(c),
		.dim = op->index,
		.name = op->name,
		.metric = (enum as_metric)op->n };
	size_t n;

	switch (op->kind) {
	case OP_CREATE:
		return v->create(call, &c);
	case OP_DROP:
		return v->drop(call, &c);
	case OP_REMOVE:
		n = json_object_array_length(op->value);
		return v->remove(call, &c, texts_of(call, op->value, n),
		    (uint32_t)n);
	case OP_PUT:
		return op_put(call, op, &c);
	default:
		return op_search(call, op, &c);
	}
}

enum as_status
op_run(struct as_call *call, const struct msg *op)
{
	switch (op->kind) {
	case OP_INIT:
	case OP_START:
	case OP_STOP:
	case OP_FINI:
		return op_lifecycle(call, op);
	case OP_TOOL:
	case OP_VERIFY:
		return op_tool(call, op);
	case OP_LIST:
	case OP_MODELS:
		return op_offers(call, op);
	case OP_CHAT:
		return op_chat(call, op);
	case OP_EMBED:
		return op_embed(call, op);
	case OP_LOGIN:
	case OP_SIGNUP:
	case OP_UPDATE:
	case OP_TOKEN:
		return op_auth(call, op);
	case OP_CREATE:
	case OP_DROP:
	case OP_PUT:
	case OP_REMOVE:
	case OP_SEARCH:
		return op_vector(call, op);
	default:
		return op_missing(call, "such operation");
	}
}
