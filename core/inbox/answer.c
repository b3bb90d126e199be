/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/answer.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"

/* See answer.h. */

static const char *const types[] = { "accept", "edit", "response", "ignore" };

static const char *
type_of(struct json_object *o)
{
	const char *name = jget_str(o, "type", "");

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i], name) == 0)
			return types[i];
	return NULL;
}

/* An action request is an object of exactly these two members. */
static bool
is_request(struct json_object *v)
{
	return json_object_is_type(v, json_type_object) &&
	       json_object_object_length(v) == 2 &&
	       json_object_is_type(jget(v, "action"), json_type_string) &&
	       json_object_is_type(jget(v, "args"), json_type_object);
}

static void
args_take(struct answer *a, struct json_object *args)
{
	bool of_call = strcmp(a->type, "accept") == 0 ||
		       strcmp(a->type, "edit") == 0;

	a->args = args;
	if (of_call && is_request(args)) {
		a->action = jget_str(args, "action", NULL);
		a->args = jget(args, "args");
	}
}

/* ---- One answer ---------------------------------------------------- */

static enum as_status
reply_parse(struct json_object *o, struct answer *a, struct error *err)
{
	struct json_object *v = jget(o, "args");

	a->type = type_of(o);
	if (a->type == NULL)
		return error_field(err, "type",
		    "must be accept, edit, response or ignore");
	args_take(a, v);
	if (strcmp(a->type, "edit") == 0 && a->args == NULL)
		return error_field(err, "args", "must be what it is now");
	if (strcmp(a->type, "response") == 0 &&
	    (v == NULL || (json_object_is_type(v, json_type_string) &&
			      json_object_get_string_len(v) == 0)))
		return error_field(err, "args", "must be what is answered");
	if (strcmp(a->type, "ignore") == 0 && v != NULL)
		return error_field(err, "args", "of ignore must be null");
	return AS_OK;
}

/* ---- Decisions ----------------------------------------------------- */

static enum as_status
edit_parse(struct json_object *o, int i, struct answer *a, struct error *err)
{
	struct json_object *call = jget(o, "edited_action");
	char field[64];

	if (call == NULL)
		call = jget(o, "editedAction");
	snprintf(field, sizeof(field), "/decisions/%d/edited_action", i);
	a->action = jget_str(call, "name", NULL);
	a->args = jget(call, "args");
	if (a->args == NULL)
		a->args = jget(call, "arguments");
	if (a->action == NULL ||
	    !json_object_is_type(a->args, json_type_object))
		return error_field(err, field,
		    "must hold the name of the tool and its new args");
	return AS_OK;
}

/* A reason for a no is an answer that the agent reads. */
static enum as_status
decision_parse(struct json_object *o, int i, struct answer *a,
    struct error *err)
{
	const char *type = jget_str(o, "type", "");
	bool says = jget_str(o, "message", "")[0] != '\0';
	char field[64];

	snprintf(field, sizeof(field), "/decisions/%d/message", i);
	if (strcmp(type, "approve") == 0)
		a->type = "accept";
	else if (strcmp(type, "edit") == 0)
		a->type = "edit";
	else
		a->type = says ? "response" : "ignore";
	if (strcmp(type, "edit") == 0)
		return edit_parse(o, i, a, err);
	if (says && strcmp(type, "approve") == 0)
		return error_field(err, field, "goes with respond or reject");
	if (strcmp(type, "respond") == 0 && !says)
		return error_field(err, field, "must be what is answered");
	if (says)
		a->args = jget(o, "message");
	return AS_OK;
}

/* ---- All ----------------------------------------------------------- */

enum as_status
answers_parse(struct json_object *body, struct arena *arena,
    struct answers *out, struct error *err)
{
	struct json_object *list = jget(body, "decisions");
	enum as_status st = AS_OK, one;

	out->by_place = list != NULL;
	out->n = list != NULL ? (int)json_object_array_length(list) : 1;
	out->list = arena_alloc(arena, (size_t)out->n * sizeof(*out->list) + 1);
	memset(out->list, 0, (size_t)out->n * sizeof(*out->list));
	if (list == NULL) {
		if (json_object_is_type(body, json_type_array))
			body = json_object_array_get_idx(body, 0);
		return reply_parse(body, out->list, err);
	}
	if (json_object_object_length(body) != 1)
		return error_field(err, "decisions",
		    "stands alone: no type, no args");
	for (int i = 0; i < out->n; i++) {
		one = decision_parse(json_object_array_get_idx(list, (size_t)i),
		    i, &out->list[i], err);
		st = one != AS_OK ? one : st;
	}
	return st;
}
