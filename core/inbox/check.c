/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/schema.h"
#include "core/inbox/internal.h"
#include "core/run/world.h"

/*
 * May this item be answered so?  What passes is what the engine is told: the
 * arguments in the types that the tool wants, and a key by which the same answer
 * is known again, in whatever shape it comes.
 */

/* ---- Noting what is wrong ------------------------------------------ */

static enum as_status wrong(const struct check *c, const char *member,
    const char *what) __attribute__((nonnull));

static enum as_status
wrong(const struct check *c, const char *member, const char *what)
{
	if (c->at[0] != '\0')
		member = arena_printf(c->ctx->arena, "%s/%s", c->at, member);
	return error_field(c->err, member, "%s", what);
}

/* What a schema found, as it stands in the body. */
static enum as_status
wrong_args(const struct check *c, struct error *found)
{
	struct json_object *details = jget(found->extra, "details");
	const char *field;

	json_object_object_foreach(details, key, list)
	{
		field = arena_printf(c->ctx->arena, "%s/args%s%s", c->at,
		    key[0] == '/' || key[0] == '\0' ? "" : "/", key);
		for (size_t i = 0; i < json_object_array_length(list); i++)
			error_field(c->err, field, "%s",
			    json_object_get_string(
				json_object_array_get_idx(list, i)));
	}
	error_clear(found);
	return AS_INVALID;
}

/* ---- The config ---------------------------------------------------- */

static const struct {
	const char *type, *member;
} allows[] = {
	{ "accept", "allow_accept" },
	{ "edit", "allow_edit" },
	{ "response", "allow_respond" },
	{ "ignore", "allow_ignore" },
};

static bool
is_allowed(const struct check *c, const char *type)
{
	if (inbox_is_note(jget_str(c->item, "kind", "")))
		return strcmp(type, "ignore") == 0;
	for (size_t i = 0; i < sizeof(allows) / sizeof(allows[0]); i++)
		if (strcmp(allows[i].type, type) == 0)
			return jget_bool(jget(c->item, "config"),
			    allows[i].member, false);
	return false;
}

static enum as_status
config_check(const struct check *c, const char *type)
{
	const char *list = "";

	if (is_allowed(c, type))
		return AS_OK;
	for (size_t i = 0; i < sizeof(allows) / sizeof(allows[0]); i++)
		if (is_allowed(c, allows[i].type))
			list = arena_printf(c->ctx->arena, "%s%s%s", list,
			    list[0] != '\0' ? ", " : "", allows[i].type);
	return wrong(c, "type",
	    arena_printf(c->ctx->arena, "'%s' is not allowed here; what is: %s",
		type, list[0] != '\0' ? list : "nothing"));
}

/* ---- The call ------------------------------------------------------ */

static struct json_object *
request_args(const struct check *c)
{
	return jget(jget(c->item, "action_request"), "args");
}

static const char *
request_action(const struct check *c)
{
	return jget_str(jget(c->item, "action_request"), "action", "");
}

/* Is it a question that a tool asks while it works?  See ask_tool.h. */
static bool
is_of_tool(const struct check *c)
{
	return jget_int(jget(c->item, "action_request"), "turn", 0) > 0;
}

/*
 * What the tool takes, if the agent has it; NULL without a mistake: a tool of
 * the engine's own, which looks at it itself.
 */
static SUSPENDS enum as_status
tool_schema(const struct check *c, struct json_object **schema)
{
	const char *name = request_action(c);
	struct json_object *tools, *tool;
	struct agent *agent;
	struct uuid id;
	enum as_status st;

	*schema = NULL;
	if (is_of_tool(c)) {
		*schema = json_object_get(
		    jget(jget(c->item, "action_request"), "schema"));
		return AS_OK;
	}
	jget_uuid(c->item, "agent_id", &id);
	st = c->world->agent(c->world->arg, id, c->ctx->arena, &agent, c->err);
	if (st != AS_OK)
		return st;
	tools = c->world->offer(c->world->arg, agent);
	for (size_t i = 0; i < json_object_array_length(tools); i++) {
		tool = json_object_array_get_idx(tools, i);
		if (strcmp(jget_str(tool, "name", ""), name) == 0)
			*schema = json_object_get(jget(tool, "input_schema"));
	}
	json_object_put(tools);
	if (agent->deleted ||
	    (*schema == NULL && c->world->tool(c->world->arg, name) != NULL)) {
		json_object_put(*schema);
		*schema = NULL;
		return wrong(c, "type",
		    arena_printf(c->ctx->arena,
			"the agent may not use %s any more", name));
	}
	return AS_OK;
}

/*
 * What the tool takes as it is stays so; else it may be what a form has made of
 * it.  *args: a new value.
 */
static enum as_status
args_read(const struct check *c, struct json_object *schema,
    struct json_object *given, struct json_object **args)
{
	struct error found = { 0 };
	struct schema *s = NULL;
	enum as_status st;

	*args = answer_coerce(NULL, given, request_args(c));
	if (schema == NULL)
		return AS_OK;
	st = schema_compile(json_text(schema), &s, c->err);
	if (st == AS_OK && schema_validate(s, *args, NULL) != AS_OK) {
		json_object_put(*args);
		*args = answer_coerce(schema, given, request_args(c));
		if (schema_validate(s, *args, &found) != AS_OK)
			st = wrong_args(c, &found);
	}
	schema_free(s);
	return st;
}

static bool
is_equal(struct json_object *a, struct json_object *b)
{
	struct buf x = { 0 }, y = { 0 };
	bool same;

	json_canonical(&x, a);
	json_canonical(&y, b);
	same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
	buf_free(&x);
	buf_free(&y);
	return same;
}

/* An edit that changes nothing is what forms make of an accept. */
static enum as_status
args_settle(const struct check *c, const char **type, struct json_object *args)
{
	bool same = is_equal(args, request_args(c));

	if (strcmp(*type, "edit") == 0 && same && is_allowed(c, "accept"))
		*type = "accept";
	else if (strcmp(*type, "accept") == 0 && !same)
		return wrong(c, "args",
		    "of accept differ from what is asked; send them as edit");
	return AS_OK;
}

/* What a tool has asked about may be any value; a call has an object. */
static enum as_status
shape_check(const struct check *c, const struct answer *a)
{
	if (a->args == NULL || is_of_tool(c) ||
	    json_object_is_type(a->args, json_type_object))
		return AS_OK;
	return wrong(c, "args",
	    strcmp(a->type, "edit") == 0
		? "must be the new arguments, an object"
		: "of accept are the arguments as they are, or null");
}

/* *args: a new value, in the types that the tool wants. */
static SUSPENDS enum as_status
call_check(const struct check *c, const struct answer *a, const char **type,
    struct json_object **args)
{
	struct json_object *schema;
	enum as_status st = shape_check(c, a);

	if (st != AS_OK)
		return st;
	if (a->action != NULL && strcmp(a->action, request_action(c)) != 0)
		return wrong(c, "args",
		    arena_printf(c->ctx->arena, "the call is one of %s",
			request_action(c)));
	st = tool_schema(c, &schema);
	if (st == AS_OK && a->args != NULL) {
		st = args_read(c, schema, a->args, args);
		if (st == AS_OK)
			st = args_settle(c, type, *args);
	}
	json_object_put(schema);
	return st;
}

/* ---- The question -------------------------------------------------- */

/* Whoever asks with choices wants one of them, or has said otherwise. */
static enum as_status
choice_check(const struct check *c, struct json_object *said)
{
	struct json_object *choices = jget(request_args(c), "choices");
	size_t n = json_object_is_type(choices, json_type_array)
		       ? json_object_array_length(choices)
		       : 0;

	if (n == 0 || jget_bool(request_args(c), "free_text", false))
		return AS_OK;
	for (size_t i = 0; i < n; i++)
		if (json_object_equal(said,
			json_object_array_get_idx(choices, i)))
			return AS_OK;
	return wrong(c,
	    strncmp(c->at, "/decisions", 10) == 0 ? "message" : "args",
	    arena_printf(c->ctx->arena, "must be one of %s",
		json_text(choices)));
}

/* ---- The answer ---------------------------------------------------- */

static const char *
key_of(struct arena *arena, const char *type, struct json_object *args)
{
	char text[HASH_TEXT];
	struct buf b = { 0 };

	buf_printf(&b, "%s ", type);
	json_canonical(&b, args);
	hash_text(b.data, b.len, text);
	buf_free(&b);
	return arena_strdup(arena, text);
}

SUSPENDS enum as_status
inbox_check(const struct check *c, const struct answer *a,
    struct engine_answer *out)
{
	const char *type = a->type;
	struct json_object *args = NULL;
	enum as_status st = AS_OK;

	if (strcmp(type, "accept") == 0 || strcmp(type, "edit") == 0)
		st = is_allowed(c, "accept") || is_allowed(c, "edit")
			 ? call_check(c, a, &type, &args)
			 : AS_OK;
	else
		args = json_object_get(a->args);
	if (st == AS_OK)
		st = config_check(c, type);
	if (st == AS_OK && strcmp(type, "response") == 0 &&
	    strcmp(jget_str(c->item, "kind", ""), "question") == 0)
		st = choice_check(c, args);
	if (st == AS_OK) {
		if (strcmp(type, "accept") == 0) {
			json_object_put(args);
			args = NULL;
		}
		out->type = type;
		out->args = args != NULL
				? arena_strdup(c->ctx->arena, json_text(args))
				: NULL;
		out->key = key_of(c->ctx->arena, type, args);
		out->by = c->ctx->who.user_id;
		jget_uuid(c->item, "id", &out->item_id);
	}
	json_object_put(args);
	return st;
}
