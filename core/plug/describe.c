/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/child.h"
#include "core/plug/grant.h"
#include "core/plug/unit.h"

/*
 * What operators see: the plugins of a running host, and what a file says of
 * itself.  Secrets have no value here, not even a default.
 */

static struct json_object *
kinds_of(const struct plug_file *f)
{
	struct json_object *a = jarr();

	if (f->about.toolkit != NULL)
		json_object_array_add(a, json_object_new_string("toolkit"));
	if (f->about.llm != NULL)
		json_object_array_add(a, json_object_new_string("llm"));
	if (f->about.vector != NULL)
		json_object_array_add(a, json_object_new_string("vector"));
	if (f->about.auth != NULL)
		json_object_array_add(a, json_object_new_string("auth"));
	return a;
}

/* With the lock held, so u is there. */
static struct json_object *
unit_to_json(const struct unit *u)
{
	const struct plug_file *f = u->file;
	struct json_object *o = jobj();

	jput_str(o, "name", u->of->name);
	jput_str(o, "plugin", f != NULL ? f->about.name : u->name);
	jput(o, "kinds", f != NULL ? kinds_of(f) : jarr());
	jput_str(o, "version", f != NULL ? f->about.version : NULL);
	jput_str(o, "summary", f != NULL ? f->about.summary : NULL);
	jput_str(o, "file", u->path);
	jput_str(o, "state",
	    unit_state_name((enum unit_state)atomic_load(&u->state)));
	jput_str(o, "error",
	    u->of->refused[0] != '\0' ? u->of->refused
	    : u->error[0] != '\0'     ? u->error
				      : NULL);
	grants_to_json(u, o);
	jput_int(o, "generation", u->generation);
	plugin_numbers(u->of, o);
	jput_str(o, "isolation",
	    f == NULL          ? NULL
	    : u->guard != NULL ? "process"
			       : "none");
	jput(o, "held_by",
	    f != NULL && u->guard != NULL ? child_held_to_json(u->plug) : NULL);
	if (guard_pid(u) != 0)
		jput_int(o, "pid", guard_pid(u));
	else
		jput_null(o, "pid");
	return o;
}

struct json_object *
plug_list(struct plug *p)
{
	struct json_object *list = jarr();
	size_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < p->n_plugins; i++) {
		if (p->plugins[i]->current != NULL)
			json_object_array_add(list,
			    unit_to_json(p->plugins[i]->current));
	}
	pthread_mutex_unlock(&p->lock);
	return list;
}

static const char *
type_name(uint32_t type)
{
	static const char *const names[] = { [AS_FIELD_STR] = "text",
		[AS_FIELD_INT] = "integer",
		[AS_FIELD_NUM] = "number",
		[AS_FIELD_BOOL] = "boolean",
		[AS_FIELD_MS] = "time",
		[AS_FIELD_SIZE] = "size",
		[AS_FIELD_CHOICE] = "choice",
		[AS_FIELD_LIST] = "list",
		[AS_FIELD_JSON] = "json",
		[AS_FIELD_SECRET] = "secret" };

	return type < N_ITEMS(names) && names[type] != NULL ? names[type] : "?";
}

static bool
is_number(uint32_t type)
{
	return type == AS_FIELD_INT || type == AS_FIELD_NUM ||
	       type == AS_FIELD_MS || type == AS_FIELD_SIZE;
}

/* Whole numbers without a point. */
static void
put_number(struct json_object *o, const char *key, const struct as_field *f,
    double n)
{
	if (f->type == AS_FIELD_NUM)
		jput_num(o, key, n);
	else
		jput_int(o, key, (int64_t)n);
}

static struct json_object *
option_to_json(const struct as_field *f)
{
	struct json_object *o = jobj();

	jput_str(o, "name", f->name);
	jput_str(o, "type", type_name(f->type));
	jput_bool(o, "required", f->flags & AS_REQUIRED);
	jput_bool(o, "reload", f->flags & AS_RELOAD);
	if (is_number(f->type) && !(f->flags & AS_REQUIRED))
		put_number(o, "default", f, f->num);
	else if (f->type == AS_FIELD_BOOL && !(f->flags & AS_REQUIRED))
		jput_bool(o, "default", f->num > 0);
	else
		jput_str(o, "default",
		    f->type == AS_FIELD_STR ? f->text : NULL);
	if (f->type == AS_FIELD_CHOICE)
		jput_str(o, "words", f->text);
	if ((is_number(f->type) || f->type == AS_FIELD_LIST) &&
	    f->max > f->min) {
		put_number(o, "min", f, f->min);
		put_number(o, "max", f, f->max);
	}
	jput_str(o, "doc", f->doc);
	return o;
}

static struct json_object *
options_to_json(const struct as_plugin *p)
{
	const struct as_field *f = p->options;
	struct json_object *a = jarr();

	for (; f != NULL && f->name != NULL;
	     f = (const struct as_field *)(const void *)((const char *)f +
							 p->field_size)) {
		if (!(f->flags & AS_HIDDEN_FIELD))
			json_object_array_add(a, option_to_json(f));
	}
	return a;
}

static struct json_object *
effects_to_json(const struct plug_tool_info *t)
{
	const struct as_effect_case *c = t->effects;
	struct json_object *a = jarr(), *o;

	for (; c != NULL && c->word != NULL; c++) {
		o = jobj();
		jput_str(o, "word", c->word);
		jput_str(o, "effect", plug_effect_name(c->effect));
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *
tools_to_json(const struct unit *u)
{
	struct json_object *a = jarr(), *o;
	const struct plug_tool_info *t;
	size_t i;

	for (i = 0; u->toolkit != NULL && i < u->toolkit->n_all; i++) {
		t = &u->toolkit->tools[i].info;
		o = jobj();
		jput_str(o, "name", t->name);
		jput_str(o, "doc", t->doc);
		jput_str(o, "effect", plug_effect_name(t->effect));
		jput_str(o, "effect_by", t->effect_by);
		jput(o, "effects", effects_to_json(t));
		jput_bool(o, "needs_approval", t->needs_approval);
		jput_bool(o, "needs_connection", t->needs_connection);
		jput_bool(o, "sequential", t->sequential);
		jput_int(o, "timeout_ms", t->timeout_ms);
		jput(o, "input_schema", json_object_get(t->input_schema));
		jput(o, "output_schema", json_object_get(t->output_schema));
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *
flags_to_json(uint32_t flags)
{
	static const char *const names[] = { "parallel", "blocking",
		"unloadable", "fallback" };
	struct json_object *a = jarr();
	size_t i;

	for (i = 0; i < N_ITEMS(names); i++) {
		if (flags & (1u << i))
			json_object_array_add(a,
			    json_object_new_string(names[i]));
	}
	return a;
}

/*
 * With its default options and no service at all: a provider that has to ask
 * somewhere for its models names none here.
 */
SUSPENDS static void
ask_models(struct unit *u)
{
	const struct as_plugin *p = &u->file->about;
	struct json_object *values;

	if (p->llm == NULL || u->file->llm.models == NULL)
		return;
	values = jobj();
	u->conf = arena_alloc(u->arena, p->conf_size + 1);
	if ((p->options == NULL || field_fill(p->options, p->field_size,
				       u->conf, values, u->arena, NULL)) &&
	    unit_lifecycle(u, OP_INIT, 0, NULL) == AS_OK) {
		models_ask(u);
		unit_lifecycle(u, OP_FINI, 0, NULL);
	}
	json_object_put(values);
}

SUSPENDS static struct json_object *
file_to_json(struct unit *u)
{
	const struct as_plugin *p = &u->file->about;
	struct json_object *o = jobj();
	char abi[32];

	snprintf(abi, sizeof(abi), "%u.%u", p->abi_major, p->abi_minor);
	jput_str(o, "name", p->name);
	jput_str(o, "summary", p->summary);
	jput_str(o, "version", p->version);
	jput_str(o, "abi", abi);
	jput(o, "flags", flags_to_json(p->flags));
	jput_str(o, "grants", p->grants);
	jput(o, "kinds", kinds_of(u->file));
	jput(o, "options", options_to_json(p));
	jput(o, "tools", tools_to_json(u));
	ask_models(u);
	jput(o, "models",
	    u->offers != NULL ? json_object_get(u->offers) : jarr());
	return o;
}

enum as_status
plug_describe_file(const char *path, const struct plug_services *services,
    struct json_object **out, struct error *err)
{
	enum as_status st = AS_OK;
	struct plug p = { 0 };
	char *sentence = NULL;
	struct unit *u;

	*out = NULL;
	pthread_mutex_init(&p.lock, NULL);
	p.arena = arena_new(NULL);
	p.services = *services;
	p.services.home = loop_self();
	u = unit_new(plugin_get(&p, "described"), NULL);
	u->path = xstrdup(path);
	if (file_is_foreign(&p, path)) {
		guard_make(u);
		u->file = child_file_open(u, path, &sentence);
	} else
		u->file = file_open(path, &host_table, &sentence);
	if (u->file == NULL) {
		st = error_set(err, ERR_BAD_REQUEST, "%s", sentence);
	} else {
		unit_rename(u, u->file->about.name);
		if ((st = unit_tools(u, err)) == AS_OK)
			*out = file_to_json(u);
	}
	free(sentence);
	unit_free(u);
	pthread_mutex_destroy(&p.lock);
	arena_free(p.arena);
	return st;
}
