/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/child.h"
#include "core/plug/elf.h"

/*
 * The description of a file that is never mapped here: a process of its own
 * maps it, says what it is, and is ended.  What it says becomes a plug_file
 * like any other, whose functions are there but must never be called.  The
 * struct of its options has a layout of our own, so no offset of theirs counts.
 */

/* ---- Functions that are elsewhere ---------------------------------- */

static enum as_status
far_away(struct as_call *call)
{
	return call_fail(call, AS_INTERNAL, "it runs in another process");
}

static void
far_stop(struct as_call *call)
{
	(void)call;
}

#define FAR(name, ...) \
	static enum as_status name(struct as_call *call, __VA_ARGS__)

FAR(far_tool, const void *in)
{
	(void)in;
	return far_away(call);
}

FAR(far_run, const char *tool, const struct as_json *args)
{
	(void)tool;
	(void)args;
	return far_away(call);
}

FAR(far_chat, const struct as_chat *in)
{
	(void)in;
	return far_away(call);
}

FAR(far_embed, const struct as_texts *in)
{
	(void)in;
	return far_away(call);
}

FAR(far_json, const struct as_json *in)
{
	(void)in;
	return far_away(call);
}

FAR(far_text, const char *in)
{
	(void)in;
	return far_away(call);
}

FAR(far_collection, const struct as_collection *in)
{
	(void)in;
	return far_away(call);
}

FAR(far_put, const struct as_collection *in, const struct as_rows *rows)
{
	(void)in;
	(void)rows;
	return far_away(call);
}

FAR(far_remove, const struct as_collection *in, const char *const *ids,
    uint32_t n)
{
	(void)in;
	(void)ids;
	(void)n;
	return far_away(call);
}

FAR(far_search, const struct as_collection *in, const struct as_query *query)
{
	(void)in;
	(void)query;
	return far_away(call);
}

/* ---- From JSON to structs ------------------------------------------ */

static const char *
text_of(struct arena *arena, struct json_object *o, const char *key)
{
	return arena_strdup(arena, jget_str(o, key, NULL));
}

static uint32_t
number_of(struct json_object *o, const char *key)
{
	int64_t n = jget_int(o, key, 0);

	return n >= 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static double
real_of(struct json_object *o, const char *key)
{
	struct json_object *v = jget(o, key);
	double d = v != NULL ? json_object_get_double(v) : 0;

	return isfinite(d) ? d : 0;
}

/* Of what the other process should not have sent, too. */
static size_t
width_of(uint32_t type)
{
	size_t width = field_width(type);

	return width > 0 ? width : sizeof(int64_t);
}

static size_t
list_length(struct json_object *o, const char *key)
{
	struct json_object *a = jget(o, key);

	return json_object_is_type(a, json_type_array)
		   ? json_object_array_length(a)
		   : 0;
}

static void
read_options(struct plug_file *f, struct json_object *o)
{
	size_t i, n = list_length(o, "options"), size = 0;
	struct as_field *fields, *at;
	struct json_object *row;

	if (n == 0)
		return;
	n = n < FILE_TOOLS_MAX ? n : FILE_TOOLS_MAX;
	fields = arena_alloc(f->arena, (n + 1) * sizeof(*fields));
	for (i = 0; i < n; i++) {
		row = json_object_array_get_idx(jget(o, "options"), i);
		at = &fields[i];
		at->name = text_of(f->arena, row, "name");
		at->doc = text_of(f->arena, row, "doc");
		at->type = number_of(row, "type");
		at->flags = number_of(row, "flags");
		at->text = text_of(f->arena, row, "text");
		at->num = real_of(row, "num");
		at->min = real_of(row, "min");
		at->max = real_of(row, "max");
		if (at->type == AS_FIELD_CHOICE && at->text == NULL)
			at->text = "";
		at->offset = (uint32_t)size;
		at->width = (uint32_t)width_of(at->type);
		size += (at->width + 15) & ~(size_t)15;
	}
	f->about.options = fields;
	f->about.conf_size = (uint32_t)size;
}

static enum as_effect
effect_of(struct json_object *o)
{
	int64_t n = jget_int(o, "effect", AS_EFFECT_ONCE);

	return n >= AS_EFFECT_ONCE && n <= AS_EFFECT_VERIFIED
		   ? (enum as_effect)n
		   : AS_EFFECT_ONCE;
}

static const struct as_effect_case *
read_effects(struct arena *arena, struct json_object *o)
{
	size_t i, n = list_length(o, "effects");
	struct as_effect_case *cases;
	struct json_object *row;

	if (jget(o, "effects") == NULL)
		return NULL;
	cases = arena_alloc(arena, (n + 1) * sizeof(*cases));
	for (i = 0; i < n; i++) {
		row = json_object_array_get_idx(jget(o, "effects"), i);
		cases[i].word = text_of(arena, row, "word");
		cases[i].effect = effect_of(row);
	}
	return cases;
}

static void
read_tool(struct plug_file *f, struct json_object *o, struct as_tool *t)
{
	/* Both of them is a mistake that the host reports. */
	static const struct as_field no_params[1];

	t->name = text_of(f->arena, o, "name");
	t->doc = text_of(f->arena, o, "doc");
	t->flags = number_of(o, "flags");
	t->schema = text_of(f->arena, o, "schema");
	t->params = jget_bool(o, "both", false) ? no_params : NULL;
	t->result_schema = text_of(f->arena, o, "result_schema");
	t->effect = effect_of(o);
	t->timeout_ms = number_of(o, "timeout_ms");
	t->key_valid_ms = jget_int(o, "key_valid_ms", 0);
	t->run = jget_bool(o, "run", false) ? far_tool : NULL;
	t->verify = jget_bool(o, "verify", false) ? far_tool : NULL;
	t->effect_by = text_of(f->arena, o, "effect_by");
	t->effects = read_effects(f->arena, o);
}

static void
read_toolkit(struct plug_file *f, struct json_object *o)
{
	struct as_toolkit *k = &f->toolkit;
	size_t i, n = list_length(o, "tools");

	if (o == NULL)
		return;
	f->about.toolkit = k;
	k->size = sizeof(*k);
	k->title = text_of(f->arena, o, "title");
	k->service = text_of(f->arena, o, "service");
	k->schemes = text_of(f->arena, o, "schemes");
	k->scopes = text_of(f->arena, o, "scopes");
	k->connect = jget_bool(o, "connect", false) ? far_away : NULL;
	k->list = jget_bool(o, "list", false) ? far_away : NULL;
	k->run = jget_bool(o, "run", false) ? far_run : NULL;
	n = n < FILE_TOOLS_MAX ? n : FILE_TOOLS_MAX;
	f->tools = xcalloc(n + 1, sizeof(*f->tools));
	f->n_tools = n;
	for (i = 0; i < n; i++)
		read_tool(f, json_object_array_get_idx(jget(o, "tools"), i),
		    &f->tools[i]);
}

static void
read_llm(struct plug_file *f, struct json_object *o)
{
	if (o == NULL)
		return;
	f->about.llm = &f->llm;
	f->llm.size = sizeof(f->llm);
	f->llm.chat = jget_bool(o, "chat", false) ? far_chat : NULL;
	f->llm.embed = jget_bool(o, "embed", false) ? far_embed : NULL;
	f->llm.models = jget_bool(o, "models", false) ? far_away : NULL;
	f->llm.embed_batch = number_of(o, "embed_batch");
}

static void
read_auth(struct plug_file *f, struct json_object *o)
{
	struct as_auth *a = &f->auth;

	if (o == NULL)
		return;
	f->about.auth = a;
	a->size = sizeof(*a);
	a->fields = text_of(f->arena, o, "fields");
	a->login = jget_bool(o, "login", false) ? far_json : NULL;
	a->signup = jget_bool(o, "signup", false) ? far_json : NULL;
	a->verify = jget_bool(o, "verify", false) ? far_text : NULL;
	a->refresh = jget_bool(o, "refresh", false) ? far_text : NULL;
	a->logout = jget_bool(o, "logout", false) ? far_text : NULL;
	a->begin = jget_bool(o, "begin", false) ? far_json : NULL;
	a->finish = jget_bool(o, "finish", false) ? far_json : NULL;
	a->update = jget_bool(o, "update", false) ? far_json : NULL;
}

static void
read_vector(struct plug_file *f, struct json_object *o)
{
	struct as_vector *v = &f->vector;

	if (o == NULL)
		return;
	f->about.vector = v;
	v->size = sizeof(*v);
	v->create = jget_bool(o, "create", false) ? far_collection : NULL;
	v->drop = jget_bool(o, "drop", false) ? far_collection : NULL;
	v->put = jget_bool(o, "put", false) ? far_put : NULL;
	v->remove = jget_bool(o, "remove", false) ? far_remove : NULL;
	v->search = jget_bool(o, "search", false) ? far_search : NULL;
}

static void
read_file(struct plug_file *f, struct json_object *o)
{
	struct as_plugin *p = &f->about;

	p->magic = AS_ABI_MAGIC;
	p->abi_major = (uint16_t)number_of(o, "abi_major");
	p->abi_minor = (uint16_t)number_of(o, "abi_minor");
	p->size = sizeof(*p);
	p->field_size = sizeof(struct as_field);
	p->name = text_of(f->arena, o, "name");
	p->summary = text_of(f->arena, o, "summary");
	p->version = text_of(f->arena, o, "version");
	p->flags = number_of(o, "flags") & ~(uint32_t)AS_UNLOADABLE;
	p->grants = text_of(f->arena, o, "grants");
	p->start = jget_bool(o, "start", false) ? far_away : NULL;
	p->stop = jget_bool(o, "stop", false) ? far_stop : NULL;
	read_options(f, o);
	read_toolkit(f, jget(o, "toolkit"));
	read_llm(f, jget(o, "llm"));
	read_auth(f, jget(o, "auth"));
	read_vector(f, jget(o, "vector"));
}

/* What a host may not meet: names that are not there. */
static char *
refuse_holes(const char *path, const struct plug_file *f)
{
	const struct as_field *o = f->about.options;
	uint32_t i, n = o != NULL ? f->about.conf_size / 16 : 0;
	size_t k;

	for (i = 0; i < n && o != NULL && o[i].width != 0; i++)
		if (o[i].name == NULL)
			return xasprintf("%s: an option has no name", path);
	for (k = 0; k < f->n_tools; k++)
		if (f->tools[k].name == NULL)
			return xasprintf("%s: a tool has no name", path);
	return NULL;
}

struct plug_file *
child_file_open(struct unit *u, const char *path, char **sentence)
{
	struct plug_file *f = xcalloc(1, sizeof(*f));
	struct json_object *said = NULL;

	f->path = xstrdup(path);
	f->image = -1;
	f->arena = arena_new(NULL);
	if ((*sentence = elf_check(path)) == NULL &&
	    (*sentence = elf_image(path, &f->image)) == NULL &&
	    (*sentence = child_ask(u, path, f->image, &said)) == NULL) {
		read_file(f, said);
		if ((*sentence = refuse_holes(path, f)) == NULL)
			*sentence = file_refuse(path, f);
	}
	json_object_put(said);
	if (*sentence == NULL)
		return f;
	file_close(f, false);
	return NULL;
}

/* ---- Options ------------------------------------------------------- */

static bool
is_default(const struct as_field *f, const void *at)
{
	double d = 0;
	int64_t n;
	bool yes;

	switch (f->type) {
	case AS_FIELD_NUM:
		memcpy(&d, at, sizeof(d));
		break;
	case AS_FIELD_BOOL:
		memcpy(&yes, at, sizeof(yes));
		return yes == (f->num < 0 || f->num > 0);
	default:
		memcpy(&n, at, sizeof(n));
		return n == (int64_t)f->num;
	}
	return d <= f->num && d >= f->num;
}

static struct json_object *
list_value(const void *at)
{
	struct json_object *a;
	struct as_list list;
	size_t i;

	memcpy(&list, at, sizeof(list));
	if (list.n == 0)
		return NULL;
	a = jarr();
	for (i = 0; i < list.n; i++)
		json_object_array_add(a, json_object_new_string(list.items[i]));
	return a;
}

/* NULL: its default, which the other side has too. */
static struct json_object *
option_value(const struct as_field *f, const void *at)
{
	struct json_object *v;
	const char *text;
	int64_t n;
	double d;

	switch (f->type) {
	case AS_FIELD_LIST:
		return list_value(at);
	case AS_FIELD_JSON:
		memcpy(&v, at, sizeof(void *));
		return json_object_get(v);
	case AS_FIELD_STR:
	case AS_FIELD_CHOICE:
	case AS_FIELD_SECRET:
		memcpy(&text, at, sizeof(text));
		return text != NULL ? json_object_new_string(text) : NULL;
	default:
		break;
	}
	if (is_default(f, at) && !(f->flags & AS_REQUIRED))
		return NULL;
	if (f->type == AS_FIELD_BOOL)
		return json_object_new_boolean(*(const bool *)at);
	if (f->type == AS_FIELD_NUM) {
		memcpy(&d, at, sizeof(d));
		return jnum(d);
	}
	memcpy(&n, at, sizeof(n));
	return json_object_new_int64(n);
}

struct json_object *
child_options(const struct plug_file *f, const void *conf)
{
	const struct as_field *field = f->about.options;
	struct json_object *o = jobj(), *v;

	for (; field != NULL && field->name != NULL && conf != NULL; field++) {
		v = option_value(field, (const char *)conf + field->offset);
		if (v != NULL)
			jput(o, field->name, v);
	}
	return o;
}
