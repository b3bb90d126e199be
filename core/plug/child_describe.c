/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/child.h"

/* A file's description as JSON, as child_file.c reads it. */

static struct json_object *
options_of(const struct as_plugin *p)
{
	const char *row = (const char *)p->options;
	struct json_object *a = jarr(), *o;
	struct as_field f;

	for (; row != NULL; row += p->field_size) {
		memcpy(&f, row, sizeof(f));
		if (f.name == NULL)
			break;
		o = jobj();
		jput_str(o, "name", f.name);
		jput_str(o, "doc", f.doc);
		jput_int(o, "type", f.type);
		jput_int(o, "flags", f.flags);
		jput_str(o, "text", f.text);
		jput_num(o, "num", f.num);
		jput_num(o, "min", f.min);
		jput_num(o, "max", f.max);
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *
effects_of(const struct as_effect_case *c)
{
	struct json_object *a = jarr(), *o;

	for (; c->word != NULL; c++) {
		o = jobj();
		jput_str(o, "word", c->word);
		jput_int(o, "effect", c->effect);
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *
tool_of(const struct plug_file *f, const struct as_tool *t)
{
	struct json_object *o = jobj(), *schema = NULL;

	if (t->params != NULL)
		schema = field_schema(t->params, f->about.field_size);
	jput_str(o, "name", t->name);
	jput_str(o, "doc", t->doc);
	jput_int(o, "flags", t->flags);
	jput_str(o, "schema",
	    t->schema != NULL ? t->schema
	    : schema != NULL  ? json_text(schema)
			      : NULL);
	jput_bool(o, "both", t->schema != NULL && t->params != NULL);
	jput_str(o, "result_schema", t->result_schema);
	jput_int(o, "effect", t->effect);
	jput_int(o, "timeout_ms", t->timeout_ms);
	jput_int(o, "key_valid_ms", t->key_valid_ms);
	jput_bool(o, "run", t->run != NULL);
	jput_bool(o, "verify", t->verify != NULL);
	jput_str(o, "effect_by", t->effect_by);
	if (t->effects != NULL)
		jput(o, "effects", effects_of(t->effects));
	json_object_put(schema);
	return o;
}

static struct json_object *
toolkit_of(const struct plug_file *f)
{
	const struct as_toolkit *k = &f->toolkit;
	struct json_object *o = jobj(), *a = jarr();
	size_t i;

	jput_str(o, "title", k->title);
	jput_str(o, "service", k->service);
	jput_str(o, "schemes", k->schemes);
	jput_str(o, "scopes", k->scopes);
	jput_bool(o, "connect", k->connect != NULL);
	jput_bool(o, "list", k->list != NULL);
	jput_bool(o, "run", k->run != NULL);
	for (i = 0; i < f->n_tools; i++)
		json_object_array_add(a, tool_of(f, &f->tools[i]));
	jput(o, "tools", a);
	return o;
}

static struct json_object *
llm_of(const struct as_llm *llm)
{
	struct json_object *o = jobj();

	jput_bool(o, "chat", llm->chat != NULL);
	jput_bool(o, "embed", llm->embed != NULL);
	jput_bool(o, "models", llm->models != NULL);
	jput_int(o, "embed_batch", llm->embed_batch);
	return o;
}

static struct json_object *
auth_of(const struct as_auth *auth)
{
	struct json_object *o = jobj();

	jput_str(o, "fields", auth->fields);
	jput_bool(o, "login", auth->login != NULL);
	jput_bool(o, "signup", auth->signup != NULL);
	jput_bool(o, "verify", auth->verify != NULL);
	jput_bool(o, "refresh", auth->refresh != NULL);
	jput_bool(o, "logout", auth->logout != NULL);
	jput_bool(o, "begin", auth->begin != NULL);
	jput_bool(o, "finish", auth->finish != NULL);
	jput_bool(o, "update", auth->update != NULL);
	return o;
}

static struct json_object *
vector_of(const struct as_vector *v)
{
	struct json_object *o = jobj();

	jput_bool(o, "create", v->create != NULL);
	jput_bool(o, "drop", v->drop != NULL);
	jput_bool(o, "put", v->put != NULL);
	jput_bool(o, "remove", v->remove != NULL);
	jput_bool(o, "search", v->search != NULL);
	return o;
}

struct json_object *
guest_describe(const struct plug_file *f)
{
	const struct as_plugin *p = &f->about;
	struct json_object *o = jobj();

	jput_str(o, "name", p->name);
	jput_str(o, "summary", p->summary);
	jput_str(o, "version", p->version);
	jput_int(o, "abi_major", p->abi_major);
	jput_int(o, "abi_minor", p->abi_minor);
	jput_int(o, "flags", p->flags);
	jput_str(o, "grants", p->grants);
	jput_bool(o, "start", p->start != NULL);
	jput_bool(o, "stop", p->stop != NULL);
	jput(o, "options", options_of(p));
	if (p->toolkit != NULL)
		jput(o, "toolkit", toolkit_of(f));
	if (p->llm != NULL)
		jput(o, "llm", llm_of(&f->llm));
	if (p->auth != NULL)
		jput(o, "auth", auth_of(&f->auth));
	if (p->vector != NULL)
		jput(o, "vector", vector_of(&f->vector));
	return o;
}
