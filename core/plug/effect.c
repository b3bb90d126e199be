/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/plug/unit.h"

/*
 * What a call does to the world, which may depend on one of its arguments.
 * Whatever is doubtful has the tool's own class: a table can only make a call
 * that it names look more harmless, so a mistake in it is refused at loading.
 */

#define EFFECTS_MAX 100

const char *
plug_effect_name(enum as_effect effect)
{
	switch (effect) {
	case AS_EFFECT_NONE:
		return "none";
	case AS_EFFECT_REPEAT:
		return "repeat";
	case AS_EFFECT_KEYED:
		return "keyed";
	case AS_EFFECT_VERIFIED:
		return "verified";
	default:
		return "once";
	}
}

/* ---- A call --------------------------------------------------------- */

static struct json_object *
argument_schema(struct json_object *schema, const char *name)
{
	return jget(jget(schema, "properties"), name);
}

/* The argument that decides, as the tool will see it; NULL: it is no text. */
static const char *
deciding_word(const struct plug_tool_info *info, struct json_object *args)
{
	struct json_object *v;
	const char *word;

	if (!json_object_is_type(args, json_type_object))
		return NULL;
	if (!json_object_object_get_ex(args, info->effect_by, &v))
		v = jget(argument_schema(info->input_schema, info->effect_by),
		    "default");
	if (!json_object_is_type(v, json_type_string))
		return NULL;
	word = json_object_get_string(v);
	/* Up to a NUL it may be another word. */
	return strlen(word) == (size_t)json_object_get_string_len(v) ? word
								     : NULL;
}

enum as_effect
plug_tool_effect(const struct plug_tool_info *info, struct json_object *args)
{
	const struct as_effect_case *c = info->effects;
	const char *word;

	if (info->effect_by == NULL ||
	    (word = deciding_word(info, args)) == NULL)
		return info->effect;
	for (; c->word != NULL; c++) {
		if (text_eq_nocase(c->word, word))
			return c->effect;
	}
	return info->effect;
}

/* ---- Loading -------------------------------------------------------- */

/* Can the argument have this value? */
static bool
word_is_possible(struct json_object *argument, const char *word)
{
	struct json_object *words = jget(argument, "enum");
	size_t i, n = json_object_is_type(words, json_type_array)
			  ? json_object_array_length(words)
			  : 0;
	struct json_object *v;

	for (i = 0; i < n; i++) {
		v = json_object_array_get_idx(words, i);
		if (json_object_is_type(v, json_type_string) &&
		    text_eq_nocase(json_object_get_string(v), word))
			return true;
	}
	return words == NULL;
}

static bool
word_is_twice(const struct as_effect_case *cases, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++) {
		if (text_eq_nocase(cases[k].word, cases[i].word))
			return true;
	}
	return false;
}

static enum as_status
case_check(const struct as_tool *t, struct json_object *argument, size_t i,
    struct error *err)
{
	const struct as_effect_case *c = &t->effects[i];

	if (i == EFFECTS_MAX)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s: more than %d effects: end the table with AS_END",
		    t->name, EFFECTS_MAX);
	if (!word_is_possible(argument, c->word))
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s: effects: %s cannot be '%.60s'", t->name,
		    t->effect_by, c->word);
	if (word_is_twice(t->effects, i))
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s: effects: '%.60s' is there twice", t->name,
		    c->word);
	if (c->effect == AS_EFFECT_VERIFIED && t->verify == NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s has the effect VERIFIED and no verify", t->name);
	return AS_OK;
}

enum as_status
effects_check(const struct as_tool *t, struct json_object *schema,
    struct error *err)
{
	struct json_object *argument;
	enum as_status st = AS_OK;
	size_t i;

	if (t->effect == AS_EFFECT_VERIFIED && t->verify == NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s has the effect VERIFIED and no verify", t->name);
	if (t->effect_by == NULL && t->effects == NULL)
		return AS_OK;
	if (t->effect_by == NULL || t->effects == NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s has one of effect_by and effects: both or neither",
		    t->name);
	argument = argument_schema(schema, t->effect_by);
	if (strcmp(jget_str(argument, "type", ""), "string") != 0)
		return error_set(err, ERR_BAD_REQUEST,
		    "tool %s: effect_by: '%.60s' is no argument that is a text",
		    t->name, t->effect_by);
	for (i = 0; st == AS_OK && t->effects[i].word != NULL; i++)
		st = case_check(t, argument, i, err);
	return st;
}
