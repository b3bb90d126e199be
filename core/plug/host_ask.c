/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/unit.h"

/*
 * Questions to people, as a plugin sees them.  Answers come from the other
 * side; what was kept came with the call, so looking at it never waits.
 */

#define KEY_MAX 512
#define ALL_ANSWERS (AS_ACCEPT | AS_EDIT | AS_RESPOND | AS_IGNORE)

static const struct {
	enum as_answers kind;
	const char *word;
} kinds[] = {
	{ AS_ACCEPT, "accept" },
	{ AS_EDIT, "edit" },
	{ AS_RESPOND, "response" },
	{ AS_IGNORE, "ignore" },
};

static enum as_status
key_check(struct as_call *call, const char *key)
{
	if (key != NULL && *key != '\0' && strlen(key) <= KEY_MAX)
		return AS_OK;
	return call_fail(call, AS_INVALID, "a key has 1 to %d bytes", KEY_MAX);
}

static struct json_object *
allow_to_json(uint32_t answers)
{
	struct json_object *a = jarr();
	size_t i;

	for (i = 0; i < N_ITEMS(kinds); i++) {
		if (answers & kinds[i].kind)
			json_object_array_add(a,
			    json_object_new_string(kinds[i].word));
	}
	return a;
}

/* The question as it crosses.  AS_INVALID with the reason in the call. */
static enum as_status
question_to_json(struct as_call *call, const struct as_question *given,
    struct json_object **out)
{
	struct as_question q = { 0 };
	struct json_object *value = NULL;
	enum as_status st;

	memcpy(&q, given, given->size < sizeof(q) ? given->size : sizeof(q));
	if (q.answers == 0)
		q.answers = AS_ACCEPT | AS_IGNORE;
	if (q.answers & ~(uint32_t)ALL_ANSWERS)
		return call_fail(call, AS_INVALID,
		    "a question with answers that there are not (0x%x)",
		    (unsigned)q.answers);
	if ((q.answers & AS_EDIT) && q.value == NULL)
		return call_fail(call, AS_INVALID,
		    "a question that may be edited needs a value");
	if (q.value != NULL &&
	    (st = value_copy(call, q.value, &value)) != AS_OK)
		return st;
	*out = jobj();
	jput_str(*out, "title", call_text(call, q.title));
	jput_str(*out, "text", call_text(call, q.text));
	if (q.value != NULL)
		jput(*out, "value", value);
	jput_str(*out, "schema", call_text(call, q.schema));
	jput(*out, "allow", allow_to_json(q.answers));
	jput_int(*out, "expires_ms", q.expires_ms > 0 ? q.expires_ms : 0);
	return AS_OK;
}

/* Takes o. */
static const struct as_answer *
answer_from_json(struct as_call *call, struct json_object *o)
{
	struct as_answer *a = call_alloc(call, sizeof(*a));
	const char *kind = jget_str(o, "kind", "");
	size_t i;

	call_own(call, o);
	if (a == NULL)
		return NULL;
	a->size = sizeof(*a);
	a->kind = AS_IGNORE;
	for (i = 0; i < N_ITEMS(kinds); i++) {
		if (strcmp(kinds[i].word, kind) == 0)
			a->kind = kinds[i].kind;
	}
	if (json_object_object_get_ex(o, "value", NULL))
		a->value = value_to(jget(o, "value"));
	a->text = jget_str(o, "text", "");
	a->user_id = jget_str(o, "user_id", "");
	return a;
}

enum as_status
host_ask(struct as_call *call, const char *key,
    const struct as_question *question, const struct as_answer **answer)
{
	struct msg m = { .kind = SERVE_ASK };
	struct json_object *value = NULL;
	enum as_status st = key_check(call, key);
	struct answer a;

	*answer = NULL;
	if (st == AS_OK)
		st = question_to_json(call, question, &value);
	if (st != AS_OK)
		return st;
	m.name = call_text(call, key);
	m.value = value;
	st = call_serve(call, &m, &a);
	json_object_put(value);
	if (st != AS_OK)
		return st;
	*answer = answer_from_json(call, a.value);
	free(a.bytes);
	return *answer != NULL
		   ? AS_OK
		   : call_fail(call, AS_NOMEM, "no memory for the answer");
}

/* The plugin may still look at what it was given before. */
static void
kept_put(struct as_call *call, const char *key, struct json_object *value)
{
	struct json_object *old;

	if (call->kept == NULL)
		call->kept = call_own(call, jobj());
	if ((old = jget(call->kept, key)) != NULL)
		call_own(call, json_object_get(old));
	jput(call->kept, key, value);
}

enum as_status
host_keep(struct as_call *call, const char *key, const struct as_json *value)
{
	struct msg m = { .kind = SERVE_KEEP };
	enum as_status st = key_check(call, key);
	struct json_object *copy = NULL;
	struct answer a;

	if (st == AS_OK)
		st = value_copy(call, value, &copy);
	if (st != AS_OK)
		return st;
	if (copy == NULL)
		return call_fail(call, AS_INVALID, "null cannot be kept");
	m.name = call_text(call, key);
	m.value = copy;
	if ((st = call_serve(call, &m, &a)) != AS_OK) {
		json_object_put(copy);
		return st;
	}
	answer_clear(&a);
	kept_put(call, m.name, copy);
	return AS_OK;
}

const struct as_json *
host_kept(struct as_call *call, const char *key)
{
	struct json_object *v = key != NULL ? jget(call->kept, key) : NULL;

	return v != NULL ? value_to(v) : NULL;
}
