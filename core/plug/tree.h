/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_TREE_H
#define CORE_PLUG_TREE_H

/* Inside core/plug: JSON values that a plugin builds (host_json.c, lend.c). */

#include "core/base/json.h"

struct arena;
struct as_call;

#define TREE_BYTES_MAX ((size_t)16 << 20)
#define TREE_DEPTH_MAX JSON_DEPTH_MAX

enum tree_fault {
	TREE_GOOD = 0,
	TREE_TEXT,
	TREE_SIZE,
	TREE_DEPTH,
	TREE_KEY,
	TREE_CANCELED /* there is nobody to write it for */
};

/* What a container under construction points to. */
struct node {
	struct tree *tree;
	unsigned depth;
};

struct tree {
	size_t bytes; /* about */
	enum tree_fault fault;
	unsigned deepest; /* of its containers */
	struct arena *arena;
	struct json_object *root;
	struct node top; /* of the root */
	struct as_call *lent_by; /* as its reply, or NULL */
};

/* NULL: o, which is a container, was not built by a plugin. */
struct tree *tree_of(struct json_object *o);
/* The first one counts. */
void tree_fault(struct tree *t, enum tree_fault fault);
/* lend.c; before something is written to a tree that is lent. */
void tree_take_back(struct tree *t);

#endif
