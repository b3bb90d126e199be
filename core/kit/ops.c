/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/kit/impl.h"

/*
 * Everything that a plugin can be asked for, with what the script says or with
 * something usual.  The list is the same in every process of one check.
 */

struct kit_op *
op_add(struct kit *k, enum kit_what what, enum msg_kind kind, const char *fmt,
    ...)
{
	char label[160];
	struct kit_op *op;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(label, sizeof(label), fmt, ap);
	va_end(ap);
	k->ops = xrealloc(k->ops, (k->n_ops + 1) * sizeof(*k->ops));
	op = &k->ops[k->n_ops++];
	memset(op, 0, sizeof(*op));
	op->label = xstrdup(label);
	op->what = what;
	op->op.kind = kind;
	return op;
}

/* Takes value. */
static void
op_value(struct kit_op *op, struct json_object *value)
{
	op->value = value;
	op->op.value = value;
}

static size_t
length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array)
		   ? json_object_array_length(list)
		   : 0;
}

static struct json_object *
parsed(const char *text)
{
	struct json_object *o = NULL;

	json_parse(text, strlen(text), &o, NULL);
	return o;
}

/* ---- Tools --------------------------------------------------------- */

static void
tool_op(struct kit *k, const struct tool *t, size_t i,
    struct json_object *entry)
{
	struct json_object *args = jget(entry, "args");
	bool verify = jget_bool(entry, "verify", false);
	struct error err = { 0 };
	struct kit_op *op;

	op = op_add(k, verify ? KIT_VERIFY : KIT_TOOL,
	    verify ? OP_VERIFY : OP_TOOL, "%s %s %zu",
	    verify ? "verify" : "tool", t->about->name, i + 1);
	op->op.name = t->about->name;
	op->expect = jget(entry, "expect");
	op->answers = jget(entry, "answers");
	op_value(op, args != NULL ? json_object_get(args)
				  : sample_of(t->info.input_schema));
	if (t->about->result_schema != NULL &&
	    schema_compile(t->about->result_schema, &op->result, &err) != AS_OK)
		op->result = NULL;
	error_clear(&err);
	if (schema_validate(t->schema, op->value, &err) == AS_OK)
		return;
	k->label = op->label;
	if (args != NULL)
		finding(k, RULE_expect,
		    "check.json gives arguments that its schema refuses: %s",
		    json_text(err.extra));
	else
		note(k,
		    "no arguments could be made up for %s: write some into "
		    "check.json",
		    op->label);
	error_clear(&err);
	free(op->label);
	json_object_put(op->value);
	schema_free(op->result);
	k->n_ops--;
}

static void
tool_ops(struct kit *k)
{
	struct toolkit *kit = k->unit->toolkit;
	struct json_object *list;
	size_t i, j, n;

	for (i = 0; kit != NULL && i < kit->info.n_tools; i++) {
		list = jget(jget(k->script, "tools"),
		    kit->tools[i].about->name);
		n = length(list);
		for (j = 0; j < n; j++)
			tool_op(k, &kit->tools[i], j,
			    json_object_array_get_idx(list, j));
		if (n == 0)
			tool_op(k, &kit->tools[i], 0, NULL);
	}
}

/* ---- Models -------------------------------------------------------- */

static const char hello[] = "[{\"role\":\"user\",\"content\":[{\"type\":"
			    "\"text\",\"text\":\"Hello\"}]}]";

static void
chat_op(struct kit *k, size_t i, struct json_object *entry)
{
	struct json_object *messages = jget(entry, "messages"), *in = jobj();
	struct kit_op *op = op_add(k, KIT_CHAT, OP_CHAT, "chat %zu", i + 1);

	op->expect = jget(entry, "expect");
	op->op.name = jget_str(entry, "model", NULL);
	jput(in, "messages",
	    messages != NULL ? json_object_get(messages) : parsed(hello));
	jput(in, "tools", json_object_get(jget(entry, "tools")));
	jput(in, "settings", json_object_get(jget(entry, "settings")));
	op_value(op, in);
}

static void
embed_op(struct kit *k, struct json_object *entry)
{
	struct json_object *texts = jget(entry, "texts");
	struct kit_op *op = op_add(k, KIT_EMBED, OP_EMBED, "embed");

	op->op.name = jget_str(entry, "model", NULL);
	op_value(op, length(texts) > 0
			 ? json_object_get(texts)
			 : parsed("[\"one text\",\"another text\"]"));
	op->n_texts = (uint32_t)length(op->value);
}

static void
llm_ops(struct kit *k)
{
	const struct as_llm *llm = &k->unit->file->llm;
	struct json_object *list = jget(k->script, "chat");
	size_t i, n = length(list);

	if (k->unit->file->about.llm == NULL)
		return;
	if (llm->models != NULL)
		op_add(k, KIT_MODELS, OP_MODELS, "models");
	for (i = 0; i < n; i++)
		chat_op(k, i, json_object_array_get_idx(list, i));
	if (n == 0)
		chat_op(k, 0, NULL);
	if (llm->embed != NULL)
		embed_op(k, jget(k->script, "embed"));
}

/* Asks for the models once, for operations that name none. */
static void
learn_models(struct kit *k)
{
	char label[] = "models";
	struct kit_op op = { .label = label,
		.what = KIT_MODELS,
		.op = { .kind = OP_MODELS } };
	struct world w = { .kit = k, .op = &op };
	struct json_object *failure = NULL, *o;
	char **name;
	size_t i;

	world_run(&w, &failure);
	for (i = 0; i < length(w.said.models); i++) {
		o = json_object_array_get_idx(w.said.models, i);
		name = jget_int(o, "dim", 0) > 0 ? &k->embedder : &k->model;
		if (*name == NULL)
			*name = xstrdup(jget_str(o, "name", ""));
	}
	json_object_put(failure);
	world_clear(&w);
}

/* ---- Auth ---------------------------------------------------------- */

static enum as_status
direct_refresh(struct as_call *call, const struct kit_op *op)
{
	return call->unit->file->auth.refresh(call, op->op.name);
}

static enum as_status
direct_logout(struct as_call *call, const struct kit_op *op)
{
	return call->unit->file->auth.logout(call, op->op.name);
}

static enum as_status
direct_begin(struct as_call *call, const struct kit_op *op)
{
	return call->unit->file->auth.begin(call, value_to(op->value));
}

static enum as_status
direct_finish(struct as_call *call, const struct kit_op *op)
{
	return call->unit->file->auth.finish(call, value_to(op->value));
}

/* Operations of one name: {"credentials" or "token", "expect"}. */
static void
auth_op(struct kit *k, enum kit_what what, enum msg_kind kind, const char *name,
    const char *dflt,
    enum as_status (*direct)(struct as_call *, const struct kit_op *))
{
	struct json_object *list = jget(k->script, name), *entry;
	size_t i, n = length(list);
	struct kit_op *op;

	for (i = 0; i < n || (i == 0 && dflt != NULL); i++) {
		entry = i < n ? json_object_array_get_idx(list, i) : NULL;
		op = op_add(k, what, kind, "%s %zu", name, i + 1);
		op->direct = direct;
		op->expect = jget(entry, "expect");
		op->op.name = jget_str(entry, "token", "not-a-token");
		op_value(op, entry != NULL
				 ? json_object_get(jget(entry, "credentials"))
				 : parsed(dflt));
	}
}

static void
auth_ops(struct kit *k)
{
	static const char person[] = "{\"email\":\"me@example.org\","
				     "\"password\":\"correct horse\"}";
	static const char code[] = "{\"code\":\"c\",\"code_verifier\":\"v\","
				   "\"nonce\":\"n\"}";
	static const char page[] = "{\"redirect_uri\":\"https://example.org/"
				   "back\",\"state\":\"s\","
				   "\"nonce\":\"n\",\"code_challenge\":\"c\"}";
	const struct as_auth *a = &k->unit->file->auth;

	if (k->unit->file->about.auth == NULL)
		return;
	if (a->signup != NULL)
		auth_op(k, KIT_SIGNUP, OP_SIGNUP, "signup", person, NULL);
	if (a->login != NULL)
		auth_op(k, KIT_AUTH, OP_LOGIN, "login", person, NULL);
	if (a->verify != NULL)
		auth_op(k, KIT_AUTH, OP_TOKEN, "verify", "{}", NULL);
	if (a->refresh != NULL)
		auth_op(k, KIT_AUTH, OP_START, "refresh", "{}", direct_refresh);
	if (a->logout != NULL)
		auth_op(k, KIT_UPDATE, OP_START, "logout", "{}", direct_logout);
	if (a->begin != NULL)
		auth_op(k, KIT_BEGIN, OP_START, "begin", page, direct_begin);
	if (a->finish != NULL)
		auth_op(k, KIT_AUTH, OP_START, "finish", code, direct_finish);
	if (a->update != NULL)
		auth_op(k, KIT_UPDATE, OP_UPDATE, "update", NULL, NULL);
}

/* ---- All of them --------------------------------------------------- */

void
ops_make(struct kit *k)
{
	size_t i;

	tool_ops(k);
	llm_ops(k);
	auth_ops(k);
	vectors_add(k);
	if (k->unit->file->about.llm != NULL &&
	    k->unit->file->llm.models != NULL)
		learn_models(k);
	for (i = 0; i < k->n_ops; i++) {
		if (k->ops[i].op.name != NULL)
			continue;
		if (k->ops[i].what == KIT_CHAT)
			k->ops[i].op.name = k->model != NULL ? k->model
							     : "model";
		if (k->ops[i].what == KIT_EMBED)
			k->ops[i].op.name = k->embedder != NULL ? k->embedder
								: "model";
	}
}

void
ops_free(struct kit *k)
{
	size_t i;

	for (i = 0; i < k->n_ops; i++) {
		free(k->ops[i].label);
		json_object_put(k->ops[i].value);
		schema_free(k->ops[i].result);
	}
	free(k->ops);
	k->ops = NULL;
	k->n_ops = 0;
}

static bool
comes_before(const struct kit_op *other, const struct kit_op *op)
{
	if (op->what == KIT_VECTOR || op->what == KIT_SEARCH)
		return other->what == KIT_VECTOR && other->metric == op->metric;
	return (op->what == KIT_AUTH || op->what == KIT_UPDATE) &&
	       other->what == KIT_SIGNUP;
}

void
op_prepare(struct kit *k, const struct kit_op *op)
{
	struct json_object *failure;
	struct world w;
	size_t i;

	for (i = 0; &k->ops[i] != op; i++) {
		if (!comes_before(&k->ops[i], op))
			continue;
		memset(&w, 0, sizeof(w));
		w.kit = k;
		w.op = &k->ops[i];
		failure = NULL;
		world_run(&w, &failure);
		json_object_put(failure);
		world_clear(&w);
	}
}
