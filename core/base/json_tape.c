/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json_tape.h"

#include <string.h>

#include "core/base/mem.h"

/*
 * Reading a tape, and json-c values made of one.  json_parse.c writes tapes.
 */

void
json_tape_free(struct json_tape *t)
{
	free(t->nodes);
	free(t->text);
	*t = (struct json_tape){ 0 };
}

const struct json_node *
json_node_get(const struct json_node *n, const char *key)
{
	size_t len = strlen(key);
	uint32_t left;

	if (n->type != json_type_object)
		return NULL;
	left = n->len;
	for (n = json_node_first(n); left > 0; n = json_node_next(n), left--) {
		if (n->key_len == len && memcmp(n->key, key, len) == 0)
			return n;
	}
	return NULL;
}

const struct json_node *
json_node_at(const struct json_node *n, size_t i)
{
	if (n->type != json_type_array || i >= n->len)
		return NULL;
	for (n = json_node_first(n); i > 0; i--)
		n = json_node_next(n);
	return n;
}

/* The parser has seen to it that there are no more digits than that. */
static double
digits_copy(const struct json_node *n, char copy[256])
{
	memcpy(copy, n->text, n->len);
	copy[n->len] = '\0';
	return strtod(copy, NULL);
}

double
json_node_num(const struct json_node *n)
{
	char copy[256];

	if (n->type == json_type_int)
		return (double)n->i;
	return n->type == json_type_double ? digits_copy(n, copy) : 0;
}

static struct json_object *
double_object(const struct json_node *n)
{
	char copy[256];
	double d = digits_copy(n, copy);

	return json_object_new_double_s(d, copy);
}

static struct json_object *
array_object(const struct json_node *n)
{
	struct json_object *a = json_object_new_array_ext(n->len == 0 ? 1
							  : n->len < 32
							      ? (int)n->len
							      : 32);
	const struct json_node *v = json_node_first(n);
	uint32_t i;

	MUST(a != NULL);
	for (i = 0; i < n->len; i++, v = json_node_next(v))
		MUST(json_object_array_add(a, json_node_object(v)) == 0);
	return a;
}

static struct json_object *
object_object(const struct json_node *n)
{
	struct json_object *o = jobj();
	const struct json_node *v = json_node_first(n);
	uint32_t i;

	for (i = 0; i < n->len; i++, v = json_node_next(v))
		MUST(json_object_object_add_ex(o, v->key, json_node_object(v),
			 JSON_C_OBJECT_ADD_KEY_IS_NEW) == 0);
	return o;
}

struct json_object *
json_node_object(const struct json_node *n)
{
	struct json_object *o = NULL;

	switch (n->type) {
	case json_type_null:
		return NULL;
	case json_type_boolean:
		o = json_object_new_boolean(n->i != 0);
		break;
	case json_type_int:
		o = json_object_new_int64(n->i);
		break;
	case json_type_double:
		o = double_object(n);
		break;
	case json_type_string:
		o = json_object_new_string_len(n->text, (int)n->len);
		break;
	case json_type_array:
		return array_object(n);
	case json_type_object:
		return object_object(n);
	}
	MUST(o != NULL);
	return o;
}
