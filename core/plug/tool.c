/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/base/text.h"
#include "core/plug/call.h"
#include "core/plug/grant.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"

/*
 * Toolkits and their tools: what there is, and a call of one.  Arguments are
 * checked against the tool's schema here, so no plugin sees invalid ones.
 */

#define NAME_MAX_LEN 64 /* of <slug>_<tool>, as model providers allow */
#define TIMEOUT_MS 60000 /* if neither tool nor caller has one */

/* ---- What there is ------------------------------------------------- */

static bool
name_is_good(const char *s)
{
	size_t n = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n > 0 && s[n] == '\0';
}

static const char no_input[] = "{\"type\":\"object\",\"properties\":{},"
			       "\"additionalProperties\":false}";

static struct json_object *
input_schema(const struct unit *u, const struct as_tool *t)
{
	struct json_object *o = NULL;

	if (t->schema != NULL) {
		if (json_parse(t->schema, strlen(t->schema), &o, NULL) != AS_OK)
			return NULL;
		return o;
	}
	if (t->params != NULL)
		return field_schema(t->params, u->file->about.field_size);
	json_parse(no_input, strlen(no_input), &o, NULL);
	return o;
}

static enum as_status
tool_schemas(struct tool *tool, const struct as_tool *t, struct error *err)
{
	tool->info.input_schema = input_schema(tool->unit, t);
	if (!json_object_is_type(tool->info.input_schema, json_type_object))
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s: its schema is not a JSON object", t->name);
	if (schema_compile(json_text(tool->info.input_schema), &tool->schema,
		err) != AS_OK)
		return error_set(err, ERR_BAD_REQUEST, "tool %s: %s", t->name,
		    err->detail);
	if (t->result_schema == NULL)
		return AS_OK;
	if (json_parse(t->result_schema, strlen(t->result_schema),
		&tool->info.output_schema, err) != AS_OK)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s: its result_schema is not JSON", t->name);
	return AS_OK;
}

enum as_status
tool_fill(struct toolkit *kit, struct tool *tool, const struct as_tool *t,
    struct error *err)
{
	struct unit *u = tool->unit;
	struct arena *arena = kit->arena != NULL ? kit->arena : u->arena;
	enum as_status st;

	if (!name_is_good(t->name) ||
	    strlen(u->slug) + 1 + strlen(t->name) > NAME_MAX_LEN)
		return error_set(err, ERR_BAD_REQUEST,
		    "a tool cannot be called '%.80s': letters, digits and '_', "
		    "%d with the toolkit's name",
		    t->name, NAME_MAX_LEN);
	if (t->params != NULL && t->schema != NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s has both params and schema", t->name);
	if (t->run == NULL && u->file->toolkit.run == NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s has no function", t->name);
	tool->about = t;
	tool->short_name = arena_strdup(arena, t->name);
	tool->info.toolkit = u->slug;
	tool->info.name = arena_printf(arena, "%s_%s", u->slug, t->name);
	tool->info.doc = t->doc != NULL ? t->doc : "";
	tool->info.version = kit->info.version;
	tool->info.effect = t->effect;
	tool->info.effect_by = t->effect_by;
	tool->info.effects = t->effects;
	tool->info.needs_approval = t->flags & AS_APPROVE;
	tool->info.needs_connection = u->file->toolkit.service != NULL;
	tool->info.has_verify = t->verify != NULL;
	tool->info.sequential = t->flags & AS_SEQUENTIAL;
	tool->info.timeout_ms = t->timeout_ms;
	tool->info.key_valid_ms = span_ms(t->key_valid_ms);
	if ((st = tool_schemas(tool, t, err)) != AS_OK)
		return st;
	return effects_check(t, tool->info.input_schema, err);
}

/* "web_search" becomes "Web search". */
static const char *
title_of(const struct unit *u)
{
	char *title;
	size_t i;

	if (u->file->toolkit.title != NULL)
		return u->file->toolkit.title;
	title = arena_strdup(u->arena, u->slug);
	for (i = 0; title[i] != '\0'; i++) {
		if (title[i] == '_')
			title[i] = ' ';
	}
	if (title[0] >= 'a' && title[0] <= 'z')
		title[0] = (char)(title[0] - 'a' + 'A');
	return title;
}

static const char *
or_empty(const char *s)
{
	return s != NULL ? s : "";
}

enum as_status
unit_tools(struct unit *u, struct error *err)
{
	struct plug_file *f = u->file;
	struct toolkit *kit;
	enum as_status st;
	size_t i, j;

	if (f->about.toolkit == NULL)
		return AS_OK;
	u->toolkit = u->own_kit = kit = arena_alloc(u->arena, sizeof(*kit));
	kit->unit = u;
	kit->info.kit = kit;
	kit->info.slug = u->slug;
	kit->info.name = title_of(u);
	kit->info.description = or_empty(f->about.summary);
	kit->info.version = or_empty(f->about.version);
	kit->info.service = f->toolkit.service;
	kit->tools = arena_alloc(u->arena,
	    (f->n_tools + 1) * sizeof(*kit->tools));
	for (i = 0; i < f->n_tools; i++) {
		kit->tools[i].unit = u;
		kit->n_all = i + 1;
		if ((st = tool_fill(kit, &kit->tools[i], &f->tools[i], err)) !=
		    AS_OK)
			return st;
		for (j = 0; j < i; j++) {
			if (strcmp(f->tools[i].name, f->tools[j].name) == 0)
				return error_set(err, ERR_CONFLICT,
				    "two tools are called %s",
				    f->tools[i].name);
		}
	}
	kit_count(kit);
	return AS_OK;
}

void
kit_count(struct toolkit *kit)
{
	size_t i;

	kit->info.n_tools = 0;
	for (i = 0; i < kit->n_all; i++)
		kit->info.n_tools += !unit_bars(kit->unit, &kit->tools[i].info);
}

void
tool_clear(struct tool *tool)
{
	schema_free(tool->schema);
	json_object_put(tool->info.input_schema);
	json_object_put(tool->info.output_schema);
}

void
unit_tools_free(struct unit *u)
{
	size_t i;

	kit_unref(u->toolkit);
	for (i = 0; u->own_kit != NULL && i < u->own_kit->n_all; i++)
		tool_clear(&u->own_kit->tools[i]);
}

/* Toolkits of plugins that run. */
static struct toolkit *
toolkit_at(const struct registry *r, size_t want)
{
	size_t i, n = 0;

	for (i = 0; i < r->n_units; i++) {
		if (r->kits[i] != NULL && n++ == want)
			return r->kits[i];
	}
	return NULL;
}

const struct plug_toolkit_info *
plug_toolkit(struct plug *p, size_t i)
{
	struct toolkit *kit = toolkit_at(registry_now(p), i);

	return kit != NULL ? &kit->info : NULL;
}

static struct toolkit *
toolkit_find(struct plug *p, const char *slug)
{
	const struct registry *r = registry_now(p);
	struct toolkit *kit;
	size_t i;

	for (i = 0; (kit = toolkit_at(r, i)) != NULL; i++) {
		if (strcmp(kit->info.slug, slug) == 0)
			return kit;
	}
	return NULL;
}

const struct plug_toolkit_info *
plug_toolkit_find(struct plug *p, const char *slug)
{
	struct toolkit *kit = toolkit_find(p, slug);

	return kit != NULL ? &kit->info : NULL;
}

const struct plug_tool_info *
plug_toolkit_tool(const struct plug_toolkit_info *info, size_t i)
{
	const struct toolkit *kit = info->kit;
	size_t k;

	for (k = 0; k < kit->n_all; k++) {
		if (!unit_bars(kit->unit, &kit->tools[k].info) && i-- == 0)
			return &kit->tools[k].info;
	}
	return NULL;
}

static struct tool *
kit_find(struct toolkit *kit, const char *name)
{
	size_t k;

	for (k = 0; kit != NULL && k < kit->n_all; k++) {
		if (strcmp(kit->tools[k].info.name, name) == 0)
			return &kit->tools[k];
	}
	return NULL;
}

struct tool *
tool_find(struct unit *const *units, size_t n, const char *name)
{
	struct tool *tool = NULL;
	size_t i;

	for (i = 0; i < n && tool == NULL; i++)
		tool = kit_find(units[i]->toolkit, name);
	return tool;
}

static struct tool *
tool_now(struct plug *p, const char *name)
{
	const struct registry *r = registry_now(p);
	struct tool *tool = NULL;
	size_t i;

	for (i = 0; r != NULL && i < r->n_units && tool == NULL; i++)
		tool = kit_find(r->kits[i], name);
	return tool;
}

bool
tool_is_taken(const struct unit *u, const char *short_name)
{
	char name[2 * NAME_MAX_LEN];
	const struct tool *tool;

	snprintf(name, sizeof(name), "%s_%s", u->slug, short_name);
	tool = tool_now(u->plug, name);
	return tool != NULL && tool->unit->of != u->of;
}

const struct plug_tool_info *
plug_tool_find(struct plug *p, const char *name)
{
	struct tool *tool = tool_now(p, name);

	return tool != NULL ? &tool->info : NULL;
}

/* ---- Calls --------------------------------------------------------- */

struct tool_taker {
	struct json_object *reply;
	bool has_reply;
	char file[2 * NAME_MAX_LEN]; /* that has all of a long reply */
};

static enum as_status
tool_take(struct exchange *x, const struct msg *m)
{
	struct tool_taker *taker = x->taker;

	if (m->kind == EMIT_REPLY) {
		json_object_put(taker->reply);
		taker->reply = json_object_get(m->value);
		taker->has_reply = true;
		return AS_OK;
	}
	if (m->kind == EMIT_PROGRESS && x->sink != NULL &&
	    x->sink->progress != NULL)
		return x->sink->progress(x->sink->arg, m->x, m->name);
	return AS_OK;
}

/* ---- Results that are too long ------------------------------------- */

static const char *
reply_text(const struct tool_taker *taker)
{
	return json_object_is_type(taker->reply, json_type_string)
		   ? json_object_get_string(taker->reply)
		   : json_text(taker->reply);
}

static bool
is_text(const struct tool_taker *taker)
{
	return json_object_is_type(taker->reply, json_type_string);
}

SUSPENDS static void
tool_succeeded(struct exchange *x)
{
	struct tool_taker *taker = x->taker;
	const char *text;
	size_t len;

	if (x->who == NULL || x->who->reply_max == 0)
		return;
	text = reply_text(taker);
	if ((len = strlen(text)) <= x->who->reply_max)
		return;
	snprintf(taker->file, sizeof(taker->file), "%s_%s.%s", x->unit->slug,
	    x->op.name, is_text(taker) ? "txt" : "json");
	serve_file_spill(x, taker->file,
	    is_text(taker) ? "text/plain; charset=utf-8" : "application/json",
	    text, len);
}

/* The beginning and the end, and where the whole is. */
static struct json_object *
preview(const struct exchange *x, const struct tool_taker *taker)
{
	const char *text = reply_text(taker), *tail;
	size_t len = strlen(text), head, max = x->who->reply_max;
	char id[UUID_TEXT];
	struct json_object *v;
	struct buf b = { 0 };

	uuid_format(x->spilled, id);
	head = text_utf8_whole(text, max / 4 * 3);
	tail = text + len - max / 8;
	while (((unsigned char)*tail & 0xc0) == 0x80)
		tail++;
	buf_add(&b, text, head);
	buf_printf(&b,
	    "\n[%zu of %zu bytes are left out here; all of it is the file %s "
	    "of this thread, %s]\n%s",
	    len - head - strlen(tail), len, taker->file, id, tail);
	v = json_object_new_string_len(b.data, (int)b.len);
	buf_free(&b);
	return v;
}

static void
reply_shorten(const struct exchange *x, struct tool_taker *taker)
{
	struct json_object *v;

	if (uuid_is_nil(x->spilled))
		return;
	v = preview(x, taker);
	json_object_put(taker->reply);
	taker->reply = v;
}

/* ---- A call -------------------------------------------------------- */

/* The tool's own time, or the caller's; no call is without. */
static int64_t
limit_ms(const struct tool *tool)
{
	if (tool->info.timeout_ms > 0 || fiber_deadline() != 0)
		return tool->info.timeout_ms;
	return TIMEOUT_MS;
}

/* Their text lives as long as the value. */
static void
kept_pass(const struct plug_caller *who, enum msg_kind kind, struct msg *op)
{
	struct json_object *kept = kind == OP_TOOL && who != NULL &&
					   who->asking != NULL
				       ? who->asking->kept
				       : NULL;

	if (kept == NULL || json_object_object_length(kept) == 0)
		return;
	op->bytes = json_text(kept);
	op->len = strlen(op->bytes);
}

SUSPENDS static enum as_status
tool_run(struct plug *p, enum msg_kind kind, const struct plug_caller *who,
    const char *name, struct json_object *args, const struct plug_sink *sink,
    struct json_object **result, struct error *err)
{
	struct tool *tool = tool_now(p, name);
	char short_name[NAME_MAX_LEN + 1]; /* tool_fill has seen to that */
	struct tool_taker taker = { 0 };
	struct exchange x = { .plug = p,
		.who = who,
		.sink = sink,
		.take = tool_take,
		.taker = &taker };
	enum as_status st;

	*result = NULL;
	if (tool == NULL)
		return error_not_found(err, "tool", name);
	if ((st = schema_validate(tool->schema, args, err)) != AS_OK)
		return st;
	if (kind == OP_TOOL && (st = unit_allows_call(tool->unit, &tool->info,
				    args, err)) != AS_OK)
		return st;
	x.unit = tool->unit;
	x.timeout_ms = limit_ms(tool);
	x.op.kind = kind;
	/* From here on the tool may go; its unit is held. */
	memcpy(short_name, tool->short_name, strlen(tool->short_name) + 1);
	x.op.name = short_name;
	x.op.value = args;
	kept_pass(who, kind, &x.op);
	if (kind == OP_TOOL)
		x.succeeded = tool_succeeded;
	st = exchange_run(&x, err);
	if (st == AS_OK)
		reply_shorten(&x, &taker);
	if (st == AS_OK && !taker.has_reply && kind == OP_TOOL)
		taker.reply = json_object_new_string("");
	if (st == AS_OK)
		*result = taker.reply;
	else
		json_object_put(taker.reply);
	return st;
}

enum as_status
plug_tool_call(struct plug *p, const struct plug_caller *who, const char *tool,
    struct json_object *args, const struct plug_sink *sink,
    struct json_object **result, struct error *err)
{
	return tool_run(p, OP_TOOL, who, tool, args, sink, result, err);
}

enum as_status
plug_tool_verify(struct plug *p, const struct plug_caller *who,
    const char *tool, struct json_object *args, struct json_object **result,
    struct error *err)
{
	return tool_run(p, OP_VERIFY, who, tool, args, NULL, result, err);
}
