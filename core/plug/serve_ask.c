/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/schema.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * The host's side of questions: an answer that is there is given, a question
 * that is new ends the call.  Who makes the call again is the engine's matter.
 */

#define TEXT_MAX ((size_t)64 << 10) /* of a question, and of what is kept */
#define TITLE_MAX 400
#define KEPT_MAX 64 /* keys of one call */

static enum as_status
size_check(struct json_object *q, struct error *err)
{
	struct json_object *value = jget(q, "value");

	if (strlen(jget_str(q, "title", "")) > TITLE_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "the title of a question has at most %d bytes", TITLE_MAX);
	if (strlen(jget_str(q, "text", "")) > TEXT_MAX ||
	    (value != NULL && strlen(json_text(value)) > TEXT_MAX))
		return error_set(err, ERR_TOO_LARGE,
		    "the text and the value of a question have at most 64 KiB "
		    "each");
	if (jget_str(q, "title", "")[0] == '\0' &&
	    jget_str(q, "text", "")[0] == '\0')
		return error_set(err, ERR_BAD_REQUEST,
		    "a question needs a title or a text");
	return AS_OK;
}

/* A schema that nobody can satisfy would keep the person from answering. */
static enum as_status
schema_check(struct json_object *q, struct json_object **out, struct error *err)
{
	const char *text = jget_str(q, "schema", NULL);
	struct schema *schema = NULL;
	enum as_status st;

	*out = NULL;
	if (text == NULL)
		return AS_OK;
	st = json_parse(text, strlen(text), out, err);
	if (st == AS_OK)
		st = schema_compile(text, &schema, err);
	schema_free(schema);
	if (st == AS_OK)
		return AS_OK;
	json_object_put(*out);
	*out = NULL;
	return error_set(err, ERR_BAD_REQUEST, "the schema of the question: %s",
	    err->detail);
}

/* AS_PARKED; the first question of a call is the one that is asked. */
static enum as_status
question_take(struct exchange *x, const struct msg *m, struct error *err)
{
	struct plug_asking *asking = x->who->asking;
	struct json_object *schema, *q;
	enum as_status st = size_check(m->value, err);

	if (st != AS_OK || (st = schema_check(m->value, &schema, err)) != AS_OK)
		return st;
	if (x->parked) {
		json_object_put(schema);
		return AS_PARKED;
	}
	q = json_copy(m->value);
	json_object_object_del(q, "schema");
	if (schema != NULL)
		jput(q, "schema", schema);
	jput_str(q, "key", m->name);
	json_object_put(asking->question);
	asking->question = q;
	x->parked = true;
	return AS_PARKED;
}

SUSPENDS static enum as_status
keep(struct plug_asking *asking, const struct msg *m, struct error *err)
{
	size_t n = asking->kept != NULL
		       ? (size_t)json_object_object_length(asking->kept)
		       : 0;

	if (m->value == NULL)
		return error_set(err, ERR_BAD_REQUEST, "null cannot be kept");
	if (strlen(json_text(m->value)) > TEXT_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "a value of more than 64 KiB");
	if (n >= KEPT_MAX && jget(asking->kept, m->name) == NULL)
		return error_set(err, ERR_TOO_LARGE,
		    "a call keeps at most %d values", KEPT_MAX);
	return asking->keep(asking->arg, m->name, m->value, err);
}

enum as_status
serve_ask(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct plug_asking *asking = x->who != NULL && x->op.kind == OP_TOOL
					 ? x->who->asking
					 : NULL;
	struct json_object *answer;

	if (asking == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "people can only be asked by a tool that a run has called");
	if (m->name == NULL || *m->name == '\0')
		return error_set(err, ERR_BAD_REQUEST, "no key");
	if (m->kind == SERVE_KEEP)
		return keep(asking, m, err);
	if ((answer = jget(asking->answers, m->name)) == NULL)
		return question_take(x, m, err);
	out->value = json_object_get(answer);
	return AS_OK;
}
