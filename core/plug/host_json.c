/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json_tape.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/pointer.h"
#include "core/plug/tree.h"

/*
 * JSON values of plugins are json-c's or nodes of a tape, seen through an
 * opaque type; the lowest bit of the pointer tells a node.  What the host
 * parses for a plugin is a tape, since most of it is read once or not at all;
 * what a plugin builds and what crosses the border is json-c's.
 *
 * json-c has no object for null; ours is the address of null_value, and no
 * function of json-c ever sees it.  Containers that a plugin builds point to
 * the struct tree of their root: there a mistake is noted, once for the whole
 * tree, until somebody wants to use it.  Values that came from elsewhere have
 * no struct tree and are never written to.
 */

#define NODE_BIT ((uintptr_t)1)
/* A tape is searched from its start; beyond that json-c's tables are better. */
#define TAPE_WIDE 4096

static _Alignas(max_align_t) const char null_value;

/* NULL: v is no node. */
static const struct json_node *
tape_node(const struct as_json *v)
{
	if (((uintptr_t)v & NODE_BIT) == 0)
		return NULL;
	return (const struct json_node *)((uintptr_t)v - NODE_BIT);
}

bool
value_is_node(const struct as_json *v)
{
	return tape_node(v) != NULL;
}

const struct as_json *
value_to_node(const struct json_node *n)
{
	return (const struct as_json *)((uintptr_t)n | NODE_BIT);
}

struct json_object *
value_of(const struct as_json *v)
{
	MUST(tape_node(v) == NULL);
	if (v == NULL || (const void *)v == &null_value)
		return NULL;
	return (struct json_object *)(uintptr_t)v;
}

const struct as_json *
value_to(struct json_object *o)
{
	return (const struct as_json *)(const void *)o;
}

struct json_object *
value_hold(const struct as_json *v)
{
	const struct json_node *n = tape_node(v);

	return n != NULL ? json_node_object(n) : json_object_get(value_of(v));
}

static const struct as_json *
value_or_null(struct json_object *o)
{
	return value_to(o) != NULL
		   ? value_to(o)
		   : (const struct as_json *)(const void *)&null_value;
}

static const struct as_json *
node_or_none(const struct json_node *n)
{
	return n != NULL ? value_to_node(n) : NULL;
}

static void
tape_drop(void *tape)
{
	json_tape_free(tape);
}

const struct as_json *
value_parse(struct as_call *call, const char *text, size_t len)
{
	struct json_tape t = { 0 }, *kept;
	struct json_object *o;

	if (json_tape_parse(&t, text, len, NULL) != AS_OK) {
		json_tape_free(&t);
		return NULL;
	}
	if (t.widest > TAPE_WIDE) {
		o = json_node_object(t.nodes);
		json_tape_free(&t);
		return value_to(call_own(call, o));
	}
	kept = arena_alloc(call->arena, sizeof(*kept));
	*kept = t;
	arena_cleanup(call->arena, tape_drop, kept);
	return value_to_node(kept->nodes);
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
	const struct json_node *n = tape_node(v);

	if ((const void *)v == &null_value)
		return AS_JSON_NULL;
	switch (n != NULL ? n->type : json_object_get_type(value_of(v))) {
	case json_type_boolean:
		return AS_JSON_BOOL;
	case json_type_int:
		return n != NULL ? AS_JSON_INT : int_type(value_of(v));
	case json_type_double:
		return AS_JSON_NUM;
	case json_type_string:
		return AS_JSON_STR;
	case json_type_array:
		return AS_JSON_ARRAY;
	case json_type_object:
		return AS_JSON_OBJECT;
	default:
		return n != NULL ? AS_JSON_NULL : AS_JSON_NONE;
	}
}

static const struct as_json *
member(const struct as_json *v, const char *name)
{
	const struct json_node *n = tape_node(v);
	struct json_object *found;

	if (n != NULL)
		return node_or_none(json_node_get(n, name));
	return json_object_is_type(value_of(v), json_type_object) &&
		       json_object_object_get_ex(value_of(v), name, &found)
		   ? value_or_null(found)
		   : NULL;
}

/* One token of a pointer further. */
static const struct as_json *
step(const struct as_json *v, const char *token)
{
	const struct json_node *n = tape_node(v);
	struct json_object *o = n != NULL ? NULL : value_of(v);
	size_t i;

	if (n != NULL ? n->type != json_type_array
		      : !json_object_is_type(o, json_type_array))
		return member(v, token);
	if (!pointer_index(token, &i))
		return NULL;
	if (n != NULL)
		return node_or_none(json_node_at(n, i));
	return i < json_object_array_length(o)
		   ? value_or_null(json_object_array_get_idx(o, i))
		   : NULL;
}

static const struct as_json *
host_get(const struct as_json *v, const char *path)
{
	char token[POINTER_TOKEN];

	if (path[0] != '/')
		return member(v, path);
	while (v != NULL && *path == '/')
		v = pointer_next(&path, token) ? step(v, token) : NULL;
	return v;
}

static const char *
host_str(const struct as_json *v, size_t *len)
{
	const struct json_node *n = tape_node(v);
	struct json_object *o = n != NULL ? NULL : value_of(v);

	if (n != NULL ? n->type != json_type_string
		      : !json_object_is_type(o, json_type_string))
		return NULL;
	if (len != NULL)
		*len = n != NULL ? n->len
				 : (size_t)json_object_get_string_len(o);
	return n != NULL ? n->text : json_object_get_string(o);
}

/* The SDK asks these only for what has that type. */
static int64_t
host_integer(const struct as_json *v)
{
	const struct json_node *n = tape_node(v);

	if (n == NULL)
		return json_object_get_int64(value_of(v));
	return n->type == json_type_int || n->type == json_type_boolean ? n->i
									: 0;
}

static double
host_num(const struct as_json *v)
{
	const struct json_node *n = tape_node(v);

	return n != NULL ? json_node_num(n)
			 : json_object_get_double(value_of(v));
}

static size_t
host_size(const struct as_json *v)
{
	const struct json_node *n = tape_node(v);
	struct json_object *o = n != NULL ? NULL : value_of(v);

	if (n != NULL)
		return n->type == json_type_array || n->type == json_type_object
			   ? n->len
			   : 0;
	if (json_object_is_type(o, json_type_array))
		return json_object_array_length(o);
	if (json_object_is_type(o, json_type_object))
		return (size_t)json_object_object_length(o);
	return 0;
}

/* state_[0]: how many were given; state_[1]: the last of them. */
static bool
next_node(struct as_iter *it, const struct json_node *of)
{
	const struct json_node *n = (const struct json_node *)it->state_[1];

	if (it->state_[0] >= host_size(it->of))
		return false;
	it->state_[0]++;
	n = n == NULL ? json_node_first(of) : json_node_next(n);
	it->state_[1] = (uintptr_t)n;
	it->key = n->key;
	it->value = value_to_node(n);
	return true;
}

/* state_[0]: how many were given. */
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
	struct json_object *o;

	if (tape_node(it->of) != NULL)
		return next_node(it, tape_node(it->of));
	o = value_of(it->of);
	if (json_object_is_type(o, json_type_array))
		return next_item(it, o);
	return json_object_is_type(o, json_type_object) && next_member(it, o);
}

static const char *
host_text(struct as_call *call, const struct as_json *v)
{
	struct json_object *o = value_hold(v);
	const char *text = json_text(o);
	size_t len = strlen(text);
	char *copy = call_alloc(call, len + 1);

	if (copy != NULL)
		memcpy(copy, text, len + 1);
	json_object_put(o);
	return copy != NULL ? copy : "null";
}

/* ---- Writing ------------------------------------------------------- */

static struct node *
node_of(struct json_object *o)
{
	return json_object_get_userdata(o);
}

struct tree *
tree_of(struct json_object *o)
{
	struct node *node = node_of(o);

	return node != NULL ? node->tree : NULL;
}

void
tree_fault(struct tree *t, enum tree_fault fault)
{
	if (t->fault == TREE_GOOD)
		t->fault = fault;
}

/* Containers only: json-c keeps the digits of a double at the same place. */
static struct json_object *
container_new(enum as_json_type type, struct tree *t, struct node *node,
    unsigned depth)
{
	struct json_object *o = type == AS_JSON_ARRAY ? jarr() : jobj();

	node->tree = t;
	node->depth = depth;
	if (depth > t->deepest)
		t->deepest = depth;
	json_object_set_userdata(o, node, NULL);
	return o;
}

static struct as_json *
host_make(struct as_call *call, enum as_json_type type)
{
	struct tree *t = arena_alloc(call->arena, sizeof(*t));

	t->arena = call->arena;
	t->root = call_own(call, container_new(type, t, &t->top, 1));
	return (struct as_json *)(void *)t->root;
}

/* Takes v, also when the tree is bad already. */
static void
tree_add(struct as_json *to, const char *key, struct json_object *v,
    size_t bytes)
{
	struct json_object *o = value_of(to);
	struct tree *t = tree_of(o);
	bool is_object = json_object_is_type(o, json_type_object);

	if (t->lent_by != NULL)
		tree_take_back(t);
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

static struct json_object *copy(const struct as_json *v, unsigned depth,
    struct tree *t);

static struct json_object *
copy_members(const struct as_json *v, enum as_json_type type, unsigned depth,
    struct tree *t)
{
	struct json_object *o = type == AS_JSON_ARRAY ? jarr() : jobj(), *m;
	struct as_iter it = { .of = v };

	while (host_next(&it)) {
		if (it.key != NULL)
			t->bytes += strlen(it.key);
		m = copy(it.value, depth + 1, t);
		if (it.key != NULL)
			jput(o, it.key, m);
		else
			json_object_array_add(o, m);
	}
	return o;
}

static struct json_object *
copy_leaf(const struct as_json *v)
{
	struct json_object *o = NULL;

	if (tape_node(v) != NULL)
		return json_node_object(tape_node(v));
	if (value_of(v) != NULL)
		MUST(json_object_deep_copy(value_of(v), &o, NULL) == 0);
	return o;
}

/* t counts, and notes what is wrong with the copy or was with the original. */
static struct json_object *
copy(const struct as_json *v, unsigned depth, struct tree *t)
{
	enum as_json_type type = host_type(v);
	struct tree *from;
	size_t len;

	t->bytes += 32;
	if (depth > TREE_DEPTH_MAX)
		tree_fault(t, TREE_DEPTH);
	if (t->bytes > TREE_BYTES_MAX)
		tree_fault(t, TREE_SIZE);
	if (t->fault != TREE_GOOD)
		return NULL;
	if (host_str(v, &len) != NULL)
		t->bytes += len;
	if (type != AS_JSON_ARRAY && type != AS_JSON_OBJECT)
		return copy_leaf(v);
	from = tape_node(v) != NULL ? NULL : tree_of(value_of(v));
	if (from != NULL && from->fault != TREE_GOOD)
		tree_fault(t, from->fault);
	return copy_members(v, type, depth, t);
}

static void
host_put(struct as_json *to, const char *key, const struct as_json *v)
{
	struct node *node = node_of(value_of(to));

	tree_add(to, key, copy(v, node->depth + 1, node->tree), 0);
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
	o = container_new(type, t, arena_alloc(t->arena, sizeof(*node)),
	    node->depth + 1);
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
	case TREE_CANCELED:
		return AS_CANCELED;
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

	*out = copy(v, 1, &t);
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
	.parse = value_parse,
	.text = host_text,
	.make = host_make,
	.put_str = host_put_str,
	.put_int = host_put_int,
	.put_num = host_put_num,
	.put_bool = host_put_bool,
	.put = host_put,
	.put_new = host_put_new,
};
