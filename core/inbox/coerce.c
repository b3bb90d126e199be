/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/inbox/answer.h"

/*
 * Values that a form has turned into strings, back to what a schema wants; the
 * schema is looked at only as far as it says types, and judges in the end.
 */

#define DEPTH_MAX 32 /* of schemas that lead to schemas */
#define STEPS_MAX 20000 /* looks at one, in all */

enum wants {
	WANTS_STRING = 1 << 0,
	WANTS_INTEGER = 1 << 1,
	WANTS_NUMBER = 1 << 2,
	WANTS_BOOLEAN = 1 << 3,
	WANTS_NULL = 1 << 4,
	WANTS_OBJECT = 1 << 5,
	WANTS_ARRAY = 1 << 6
};

struct coerce {
	struct json_object *root; /* where "#/…" leads */
	int depth, steps;
	bool inside; /* of a value that was a string */
};

/* False: it has led too far; what is said there does not count. */
static bool
go_down(struct coerce *c)
{
	if (c->depth >= DEPTH_MAX || c->steps >= STEPS_MAX)
		return false;
	c->depth++;
	c->steps++;
	return true;
}

static const struct {
	const char *name;
	unsigned wants;
} types[] = {
	{ "string", WANTS_STRING },
	{ "integer", WANTS_INTEGER },
	{ "number", WANTS_INTEGER | WANTS_NUMBER },
	{ "boolean", WANTS_BOOLEAN },
	{ "null", WANTS_NULL },
	{ "object", WANTS_OBJECT },
	{ "array", WANTS_ARRAY },
};

static unsigned
wants_by_name(struct json_object *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (json_object_is_type(name, json_type_string) &&
		    strcmp(types[i].name, json_object_get_string(name)) == 0)
			return types[i].wants;
	return 0;
}

static unsigned
wants_of_value(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_string:
		return WANTS_STRING;
	case json_type_int:
		return WANTS_INTEGER;
	case json_type_double:
		return WANTS_NUMBER;
	case json_type_boolean:
		return WANTS_BOOLEAN;
	case json_type_null:
		return WANTS_NULL;
	case json_type_object:
		return WANTS_OBJECT;
	default:
		return WANTS_ARRAY;
	}
}

/* ---- Schemas ------------------------------------------------------- */

/* Where a $ref of the schema leads, "#/$defs/x"; NULL: nowhere. */
static struct json_object *
ref_follow(const struct coerce *c, const char *ref)
{
	struct json_object *at = c->root;
	char name[128];
	size_t len;

	if (*ref++ != '#')
		return NULL;
	while (at != NULL && *ref == '/') {
		len = strcspn(++ref, "/");
		if (len >= sizeof(name))
			return NULL;
		memcpy(name, ref, len);
		name[len] = '\0';
		at = jget(at, name);
		ref += len;
	}
	return at;
}

static unsigned wants(struct coerce *c, struct json_object *schema);

static unsigned
wants_of_list(struct coerce *c, struct json_object *list,
    unsigned (*of)(struct coerce *c, struct json_object *v))
{
	unsigned all = 0;

	if (!json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		all |= of(c, json_object_array_get_idx(list, i));
	return all;
}

static unsigned
wants_named(struct coerce *c, struct json_object *v)
{
	(void)c;
	return wants_by_name(v);
}

static unsigned
wants_value(struct coerce *c, struct json_object *v)
{
	(void)c;
	return wants_of_value(v);
}

/* Of schemas of which one is enough: if one says nothing, none does. */
static unsigned
wants_any(struct coerce *c, struct json_object *list)
{
	unsigned all = 0, one;

	if (!json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		one = wants(c, json_object_array_get_idx(list, i));
		if (one == 0)
			return 0;
		all |= one;
	}
	return all;
}

/* What a schema says of the types of its values; 0: nothing. */
static unsigned
wants(struct coerce *c, struct json_object *schema)
{
	struct json_object *type = jget(schema, "type");
	const char *ref = jget_str(schema, "$ref", NULL);
	unsigned all = 0;

	if (!go_down(c))
		return 0;
	if (ref != NULL)
		all |= wants(c, ref_follow(c, ref));
	all |= wants_by_name(type) | wants_of_list(c, type, wants_named);
	if (all == 0)
		all = wants_of_list(c, jget(schema, "enum"), wants_value);
	if (all == 0 && jget(schema, "const") != NULL)
		all = wants_of_value(jget(schema, "const"));
	if (all == 0)
		all = wants_any(c, jget(schema, "anyOf"));
	if (all == 0)
		all = wants_any(c, jget(schema, "oneOf"));
	if (all == 0)
		all = wants_of_list(c, jget(schema, "allOf"), wants);
	c->depth--;
	return all;
}

/* The schema of a member or of the elements, wherever it is said; or NULL. */
static struct json_object *
below(struct coerce *c, struct json_object *schema, const char *key)
{
	static const char *const lists[] = { "anyOf", "oneOf", "allOf" };
	const char *ref = jget_str(schema, "$ref", NULL);
	struct json_object *found, *list;

	found = key != NULL ? jget(jget(schema, "properties"), key)
			    : jget(schema, "items");
	if (found != NULL || !go_down(c))
		return found;
	if (ref != NULL)
		found = below(c, ref_follow(c, ref), key);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		list = jget(schema, lists[i]);
		if (!json_object_is_type(list, json_type_array))
			continue;
		for (size_t k = 0;
		     found == NULL && k < json_object_array_length(list); k++)
			found = below(c, json_object_array_get_idx(list, k),
			    key);
	}
	if (found == NULL && key != NULL &&
	    json_object_is_type(jget(schema, "additionalProperties"),
		json_type_object))
		found = jget(schema, "additionalProperties");
	c->depth--;
	return found;
}

/* ---- Values -------------------------------------------------------- */

static struct json_object *value_coerce(struct coerce *c,
    struct json_object *schema, struct json_object *v, struct json_object *was);

/* The value that the text is JSON of, if the schema wants such a one. */
static bool
text_reads(const char *text, size_t len, unsigned wanted,
    struct json_object **out)
{
	if (len == 0 && (wanted & WANTS_NULL)) {
		*out = NULL;
		return true;
	}
	if (json_parse(text, len, out, NULL) != AS_OK)
		return false;
	if (wants_of_value(*out) & wanted)
		return true;
	/* 3.0 is an integer to JSON Schema. */
	if (json_object_is_type(*out, json_type_double) &&
	    (wanted & WANTS_INTEGER))
		return true;
	json_object_put(*out);
	return false;
}

/* Has a form made this text of the value? */
static bool
is_text_of(struct json_object *v, struct json_object *was)
{
	struct json_object *read = NULL;
	bool same;

	if (was == NULL || json_object_is_type(was, json_type_string) ||
	    json_parse(json_object_get_string(v),
		(size_t)json_object_get_string_len(v), &read, NULL) != AS_OK)
		return false;
	same = json_object_equal(read, was);
	json_object_put(read);
	return same;
}

static struct json_object *
text_coerce(struct coerce *c, struct json_object *schema, struct json_object *v,
    struct json_object *was)
{
	unsigned wanted = wants(c, schema);
	struct json_object *read = NULL, *out;
	bool outside = !c->inside;

	if (is_text_of(v, was))
		return json_copy(was);
	/* No strings in strings in strings. */
	if (c->inside)
		wanted &= ~(unsigned)(WANTS_OBJECT | WANTS_ARRAY);
	if (wanted == 0 || (wanted & WANTS_STRING) ||
	    !text_reads(json_object_get_string(v),
		(size_t)json_object_get_string_len(v), wanted, &read))
		return json_copy(v);
	c->inside = true;
	out = value_coerce(c, schema, read, was);
	c->inside = !outside;
	json_object_put(read);
	return out;
}

static struct json_object *
object_coerce(struct coerce *c, struct json_object *schema,
    struct json_object *v, struct json_object *was)
{
	struct json_object *out = jobj();

	json_object_object_foreach(v, key, member)
	{
		jput(out, key,
		    value_coerce(c, below(c, schema, key), member,
			jget(was, key)));
	}
	return out;
}

static struct json_object *
array_coerce(struct coerce *c, struct json_object *schema,
    struct json_object *v, struct json_object *was)
{
	struct json_object *out = jarr(), *items = below(c, schema, NULL);
	bool list = json_object_is_type(was, json_type_array);

	for (size_t i = 0; i < json_object_array_length(v); i++)
		json_object_array_add(out,
		    value_coerce(c, items, json_object_array_get_idx(v, i),
			list ? json_object_array_get_idx(was, i) : NULL));
	return out;
}

/* As deep as the value is, which the parser has bounded. */
static struct json_object *
value_coerce(struct coerce *c, struct json_object *schema,
    struct json_object *v, struct json_object *was)
{
	switch (json_object_get_type(v)) {
	case json_type_string:
		return text_coerce(c, schema, v, was);
	case json_type_object:
		return object_coerce(c, schema, v, was);
	case json_type_array:
		return array_coerce(c, schema, v, was);
	default:
		return json_copy(v);
	}
}

struct json_object *
answer_coerce(struct json_object *schema, struct json_object *value,
    struct json_object *was)
{
	struct coerce c = { .root = schema };

	return value_coerce(&c, schema, value, was);
}
