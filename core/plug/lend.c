/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/tree.h"

/*
 * Replies without a copy.  Few plugins touch a tree again that they have given
 * as their reply, so it is lent to the other side, which gets a copy in its
 * stead when the plugin does, and all of it when the call ends.
 */

/* A whole tree, and nothing that value_copy would find wrong with it. */
static struct tree *
good_tree(struct json_object *o)
{
	struct tree *t;

	if (!json_object_is_type(o, json_type_object) &&
	    !json_object_is_type(o, json_type_array))
		return NULL;
	t = tree_of(o);
	return t != NULL && t->root == o && t->fault == TREE_GOOD &&
		       t->bytes <= TREE_BYTES_MAX - 32 &&
		       t->deepest < TREE_DEPTH_MAX
		   ? t
		   : NULL;
}

struct json_object *
value_lend(struct as_call *call, const struct as_json *v)
{
	struct tree *t = NULL;

	if (call->link->values != LINK_KEEPS && !value_is_node(v))
		t = good_tree(value_of(v));
	return t != NULL ? t->root : NULL;
}

void
value_lent(struct as_call *call, struct json_object *o)
{
	if (call->link->values != LINK_BORROWS)
		return;
	call->lent = o;
	if (o != NULL)
		tree_of(o)->lent_by = call;
}

void
tree_take_back(struct tree *t)
{
	struct as_call *call = t->lent_by;
	struct msg m = { .kind = EMIT_REPLY };

	t->lent_by = NULL;
	/* Else the other side has another reply by now. */
	if (call->lent != t->root)
		return;
	call->lent = NULL;
	MUST(value_copy(call, value_to(t->root), &m.value) == AS_OK);
	if (call->link->emit(call, &m) != AS_OK)
		tree_fault(t, TREE_CANCELED);
	json_object_put(m.value);
}

static void
forget_tree(struct json_object *o)
{
	size_t i;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, v)
		{
			(void)key;
			forget_tree(v);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (i = 0; i < json_object_array_length(o); i++)
			forget_tree(json_object_array_get_idx(o, i));
	} else {
		return;
	}
	json_object_set_userdata(o, NULL, NULL);
}

void
value_give(struct as_call *call)
{
	if (call->lent != NULL)
		forget_tree(call->lent);
	call->lent = NULL;
}
