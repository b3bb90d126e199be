/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/pointer.h"

/*
 * JSON values of plugins are json-c's, seen through an opaque type.
 *
 * json-c has no object for null; ours is the address of null_value, and no
 * function of json-c ever sees it.  Containers that a plugin builds point to
 * the struct tree of their root: there a mistake is noted, once for the whole
 * tree, until somebody wants to use it.  Values that came from elsewhere have
 * no struct tree and are never written to.
 */

#define TREE_BYTES_MAX ((size_t)16 << 20)
#define TREE_DEPTH_MAX JSON_DEPTH_MAX

enum tree_fault {
	TREE_GOOD = 0,
	TREE_TEXT,
	TREE_SIZE,
	TREE_DEPTH,
	TREE_KEY
};

struct tree {
	size_t bytes; /* about */
	enum tree_fault fault;
	struct arena *arena;
};

/* What a container under construction points to. */
struct node {
	struct tree *tree;
	unsigned depth;
};

static const char null_value;

struct json_object *
value_of(const struct as_json *v)
{
	if (v == NULL || (const void *)v == &null_value)
		return NULL;
	return (struct json_object *)(uintptr_t)v;
}

const struct as_json *
value_to(struct json_object *o)
{
	return (const struct as_json *)(const void *)o;
}

static const struct as_json *
value_or_null(struct json_object *o)
{
	return value_to(o) != NULL
		   ? value_to(o)
		   : (const struct as_json *)(const void *)&null_value;
}

/* ---- Reading ------------------------------------------------------- */

static enum as_json_type
int_type(struct json_object *o)
{
	/* json-c keeps larger ones as unsigned, and cuts them when asked. */
	if (json_object_get_int64(o) == INT64_MAX &&
	    json_object_get_uint64(o) > (uint64_t)INT64_MAX)
		return AS_JSON_NUM;
	return AS_JSON_INT;
}

static enum as_json_type
host_type(const struct as_json *v)
{
	if ((const void *)v == &null_value)
		return AS_JSON_NULL;
	switch (json_object_get_type(value_of(v))) {
	case json_type_boolean:
		return AS_JSON_BOOL;
	case json_type_int:
		return int_type(value_of(v));
	case json_type_double:
		return AS_JSON_NUM;
	case json_type_string:
		return AS_JSON_STR;
	case json_type_array:
		return AS_JSON_ARRAY;
	case json_type_object:
		return AS_JSON_OBJECT;
	default:
		return AS_JSON_NONE;
	}
}

static const struct as_json *
host_get(const struct as_json *v, const char *path)
{
	struct json_object *found = NULL;

	if (path[0] == '/')
		return pointer_get(value_of(v), path, &found)
			   ? value_or_null(found)
			   : NULL;
	return json_object_is_type(value_of(v), json_type_object) &&
		       json_object_object_get_ex(value_of(v), path, &found)
		   ? value_or_null(found)
		   : NULL;
}

static const char *
host_str(const struct as_json *v, size_t *len)
{
	struct json_object *o = value_of(v);

	if (!json_object_is_type(o, json_type_string))
		return NULL;
	if (len != NULL)
		*len = (size_t)json_object_get_string_len(o);
	return json_object_get_string(o);
}

static int64_t
host_integer(const struct as_json *v)
{
	return json_object_get_int64(value_of(v));
}

static double
host_num(const struct as_json *v)
{
	return json_object_get_double(value_of(v));
}

static size_t
host_size(const struct as_json *v)
{
	struct json_object *o = value_of(v);

	if (json_object_is_type(o, json_type_array))
		return json_object_array_length(o);
	if (json_object_is_type(o, json_type_object))
		return (size_t)json_object_object_length(o);
	return 0;
}

static bool
next_item(struct as_iter *it, struct json_object *o)
{
	if (it->state_[0] >= json_object_array_length(o))
		return false;
	it->value = value_or_null(
	    json_object_array_get_idx(o, it->state_[0]++));
	return true;
}

/* state_[0]: the entry before; state_[1]: there are none left. */
static bool
next_member(struct as_iter *it, struct json_object *o)
{
	struct lh_entry *e = (struct lh_entry *)it->state_[0];

	if (it->state_[1])
		return false;
	e = e != NULL ? lh_entry_next(e)
		      : lh_table_head(json_object_get_object(o));
	it->state_[0] = (uintptr_t)e;
	it->state_[1] = e == NULL;
	if (e == NULL)
		return false;
	it->key = lh_entry_k(e);
	it->value = value_or_null(lh_entry_v(e));
	return true;
}

static bool
host_next(struct as_iter *it)
{
	struct json_object *o = value_of(it->of);

	if (json_object_is_type(o, json_type_array))
		return next_item(it, o);
	return json_object_is_type(o, json_type_object) && next_member(it, o);
}

static const struct as_json *
host_parse(struct as_call *call, const char *text, size_t len)
{
	struct json_object *o = NULL;

	if (json_parse(text, len, &o, NULL) != AS_OK)
		return NULL;
	return value_or_null(call_own(call, o));
}

static const char *
host_text(struct as_call *call, const struct as_json *v)
{
	const char *text = json_text(value_of(v));
	size_t len = strlen(text);
	char *copy = call_alloc(call, len + 1);

	return copy != NULL ? memcpy(copy, text, len + 1) : "null";
}

/* ---- Writing ------------------------------------------------------- */

static struct node *
node_of(struct json_object *o)
{
	return json_object_get_userdata(o);
}

static struct tree *
tree_of(struct json_object *o)
{
	struct node *node = node_of(o);

	return node != NULL ? node->tree : NULL;
}

static void
tree_fault(struct tree *t, enum tree_fault fault)
{
	if (t->fault == TREE_GOOD)
		t->fault = fault;
}

/* Containers only: json-c keeps the digits of a double at the same place. */
static struct json_object *
container_new(enum as_json_type type, struct tree *t, unsigned depth)
{
	struct json_object *o = type == AS_JSON_ARRAY ? jarr() : jobj();
	struct node *node = arena_alloc(t->arena, sizeof(*node));

	node->tree = t;
	node->depth = depth;
	json_object_set_userdata(o, node, NULL);
	return o;
}

static struct as_json *
host_make(struct as_call *call, enum as_json_type type)
{
	struct tree *t = arena_alloc(call->arena, sizeof(*t));

	t->arena = call->arena;
	return (
	    struct as_json *)(void *)call_own(call, container_new(type, t, 1));
}

/* Takes v, also when the tree is bad already. */
static void
tree_add(struct as_json *to, const char *key, struct json_object *v,
    size_t bytes)
{
	struct json_object *o = value_of(to);
	struct tree *t = tree_of(o);
	bool is_object = json_object_is_type(o, json_type_object);

	bytes += 32 + (key != NULL ? strlen(key) : 0);
	t->bytes += bytes;
	if (t->bytes > TREE_BYTES_MAX)
		tree_fault(t, TREE_SIZE);
	if ((key != NULL) != is_object)
		tree_fault(t, TREE_KEY);
	else if (key != NULL && !text_is_utf8(key, strlen(key)))
		tree_fault(t, TREE_TEXT);
	if (t->fault != TREE_GOOD)
		json_object_put(v);
	else if (is_object)
		json_object_object_add(o, key, v);
	else
		json_object_array_add(o, v);
}

static void
host_put_str(struct as_json *to, const char *key, const char *s, size_t len)
{
	struct json_object *v = NULL;

	if (s != NULL && (len > TREE_BYTES_MAX || !text_is_utf8(s, len) ||
			     memchr(s, '\0', len) != NULL))
		tree_fault(tree_of(value_of(to)),
		    len > TREE_BYTES_MAX ? TREE_SIZE : TREE_TEXT);
	else if (s != NULL)
		v = json_object_new_string_len(s, (int)len);
	tree_add(to, key, v, len);
}

static void
host_put_int(struct as_json *to, const char *key, int64_t n)
{
	tree_add(to, key, json_object_new_int64(n), sizeof(n));
}

/* The shortest digits that read back as the same number. */
static struct json_object *
num_new(double n)
{
	char text[32];
	int digits;

	if (!isfinite(n))
		return NULL;
	for (digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, n);
		if (fabs(strtod(text, NULL) - n) <= 0)
			break;
	}
	if (strpbrk(text, ".e") == NULL)
		strcat(text, ".0");
	return json_object_new_double_s(n, text);
}

static void
host_put_num(struct as_json *to, const char *key, double n)
{
	tree_add(to, key, num_new(n), sizeof(n));
}

static void
host_put_bool(struct as_json *to, const char *key, bool yes)
{
	tree_add(to, key, json_object_new_boolean(yes), sizeof(yes));
}

static struct json_object *copy(struct json_object *v, unsigned depth,
    struct tree *t);

static struct json_object *
copy_array(struct json_object *v, unsigned depth, struct tree *t)
{
	size_t i, n = json_object_array_length(v);
	struct json_object *o = jarr();

	for (i = 0; i < n; i++)
		json_object_array_add(o,
		    copy(json_object_array_get_idx(v, i), depth + 1, t));
	return o;
}

static struct json_object *
copy_object(struct json_object *v, unsigned depth, struct tree *t)
{
	struct json_object *o = jobj();

	json_object_object_foreach(v, key, member)
	{
		t->bytes += strlen(key);
		json_object_object_add(o, key, copy(member, depth + 1, t));
	}
	return o;
}

/* t counts, and notes what is wrong with the copy or was with the original. */
static struct json_object *
copy(struct json_object *v, unsigned depth, struct tree *t)
{
	struct json_object *o = NULL;
	struct tree *from;

	t->bytes += 32;
	if (depth > TREE_DEPTH_MAX)
		tree_fault(t, TREE_DEPTH);
	if (t->bytes > TREE_BYTES_MAX)
		tree_fault(t, TREE_SIZE);
	if (v == NULL || t->fault != TREE_GOOD)
		return NULL;
	switch (json_object_get_type(v)) {
	case json_type_array:
	case json_type_object:
		if ((from = tree_of(v)) != NULL && from->fault != TREE_GOOD)
			tree_fault(t, from->fault);
		return json_object_is_type(v, json_type_array)
			   ? copy_array(v, depth, t)
			   : copy_object(v, depth, t);
	case json_type_string:
		t->bytes += (size_t)json_object_get_string_len(v);
		/* FALLTHROUGH */
	default:
		MUST(json_object_deep_copy(v, &o, NULL) == 0);
		return o;
	}
}

static void
host_put(struct as_json *to, const char *key, const struct as_json *v)
{
	struct node *node = node_of(value_of(to));

	tree_add(to, key, copy(value_of(v), node->depth + 1, node->tree), 0);
}

static struct as_json *
host_put_new(struct as_json *to, const char *key, enum as_json_type type)
{
	struct node *node = node_of(value_of(to));
	struct tree *t = node->tree;
	struct json_object *o;

	if (node->depth >= TREE_DEPTH_MAX)
		tree_fault(t, TREE_DEPTH);
	/* A bad tree still wants something to be written to. */
	if (t->fault != TREE_GOOD)
		return to;
	o = container_new(type, t, node->depth + 1);
	tree_add(to, key, json_object_get(o), 0);
	json_object_put(o);
	return t->fault != TREE_GOOD ? to : (struct as_json *)(void *)o;
}

static enum as_status
fault_status(struct as_call *call, enum tree_fault fault)
{
	switch (fault) {
	case TREE_SIZE:
		return call_fail(call, AS_LIMIT,
		    "a JSON value larger than 16 MiB");
	case TREE_DEPTH:
		return call_fail(call, AS_LIMIT,
		    "a JSON value nested deeper than %d", TREE_DEPTH_MAX);
	case TREE_KEY:
		return call_fail(call, AS_INTERNAL,
		    "a JSON value with a name in an array or without one in an "
		    "object");
	default:
		return call_fail(call, AS_INVALID,
		    "a JSON value with text that is not UTF-8 or holds U+0000");
	}
}

enum as_status
value_copy(struct as_call *call, const struct as_json *v,
    struct json_object **out)
{
	struct tree t = { 0 };

	*out = copy(value_of(v), 1, &t);
	if (t.fault == TREE_GOOD)
		return AS_OK;
	json_object_put(*out);
	*out = NULL;
	return fault_status(call, t.fault);
}

const struct as_json_host host_json_table = {
	.size = sizeof(host_json_table),
	.type = host_type,
	.get = host_get,
	.str = host_str,
	.integer = host_integer,
	.num = host_num,
	.count = host_size,
	.next = host_next,
	.parse = host_parse,
	.text = host_text,
	.make = host_make,
	.put_str = host_put_str,
	.put_int = host_put_int,
	.put_num = host_put_num,
	.put_bool = host_put_bool,
	.put = host_put,
	.put_new = host_put_new,
};
