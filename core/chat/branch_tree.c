/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/chat/branch.h"

/* Which branches a thread has, and from one to another; see branch.h. */

#define PREVIEW "80" /* characters of a message */

struct leaf {
	struct uuid id, parent_id, run_id;
	const char *role, *preview;
	int64_t sequence, created_at;
	int parent, newest; /* places, or -1: the last of its children */
	int n_children;
	bool active;
};

struct tree {
	struct leaf *all; /* by sequence, so parents come first */
	struct leaf **by_id;
	int n, roots; /* how many have no parent */
};

SQL(TREE,
    "SELECT id, parent_id, run_id, role, sequence, created_at,"
    " substr(content, 1, " PREVIEW ") FROM messages WHERE thread_id = $1"
    " AND ns = '' AND state IN ('final', 'interrupted') ORDER BY sequence");

static int
id_order(const void *a, const void *b)
{
	const struct leaf *const *x = a, *const *y = b;

	return uuid_compare((*x)->id, (*y)->id);
}

static int
tree_find(const struct tree *t, struct uuid id)
{
	struct leaf key = { .id = id };
	const struct leaf *k = &key;
	struct leaf **found;

	if (uuid_is_nil(id) || t->n == 0)
		return -1;
	found = bsearch(&k, t->by_id, (size_t)t->n, sizeof(struct leaf *),
	    id_order);
	return found != NULL ? (int)(*found - t->all) : -1;
}

static void
tree_link(struct tree *t, struct uuid active)
{
	qsort(t->by_id, (size_t)t->n, sizeof(struct leaf *), id_order);
	for (int i = 0; i < t->n; i++) {
		struct leaf *l = &t->all[i];

		l->parent = tree_find(t, l->parent_id);
		if (l->parent >= 0) {
			t->all[l->parent].n_children++;
			t->all[l->parent].newest = i;
		} else
			t->roots++;
	}
	for (int i = tree_find(t, active); i >= 0; i = t->all[i].parent)
		t->all[i].active = true;
}

static SUSPENDS enum as_status
tree_read(const struct chat_ctx *ctx, const struct thread_state *thread,
    struct tree *t, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread->id) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &TREE, args, 1, &r, err);
	struct leaf *l;

	memset(t, 0, sizeof(*t));
	if (st != AS_OK)
		return st;
	t->n = rows_count(r);
	t->all = arena_alloc(ctx->arena, (size_t)t->n * sizeof(*t->all) + 1);
	t->by_id = arena_alloc(ctx->arena,
	    (size_t)t->n * sizeof(struct leaf *) + 1);
	for (int i = 0; i < t->n; i++) {
		l = t->by_id[i] = &t->all[i];
		l->newest = -1;
		l->id = rows_uuid(r, i, 0);
		l->parent_id = rows_uuid(r, i, 1);
		l->run_id = rows_uuid(r, i, 2);
		l->role = arena_strdup(ctx->arena, rows_text(r, i, 3));
		l->sequence = rows_int(r, i, 4);
		l->created_at = rows_int(r, i, 5);
		l->preview = arena_strdup(ctx->arena, rows_text(r, i, 6));
	}
	rows_free(r);
	tree_link(t, thread->last_message_id);
	return AS_OK;
}

/* From here on by what was said last. */
static int
tree_leaf(const struct tree *t, int i)
{
	while (t->all[i].newest >= 0)
		i = t->all[i].newest;
	return i;
}

/* ---- The list ------------------------------------------------------ */

static void
put_id_or_null(struct json_object *o, const char *key, struct uuid id)
{
	if (uuid_is_nil(id))
		jput_null(o, key);
	else
		jput_uuid(o, key, id);
}

static struct json_object *
sibling_json(const struct tree *t, int i)
{
	const struct leaf *l = &t->all[i];
	struct json_object *o = jobj();

	jput_uuid(o, "id", l->id);
	jput_uuid(o, "leaf", t->all[tree_leaf(t, i)].id);
	put_id_or_null(o, "run_id", l->run_id);
	jput_str(o, "role", l->role);
	jput_int(o, "sequence", l->sequence);
	jput_str(o, "preview", l->preview);
	jput_bool(o, "active", l->active);
	jput_time(o, "created_at", l->created_at);
	return o;
}

/* Of the one at `first`, which is the first of its parent's children. */
static struct json_object *
siblings_json(const struct tree *t, int first)
{
	struct json_object *o = jobj(), *list = jarr();
	int parent = t->all[first].parent;

	put_id_or_null(o, "parent_id",
	    parent >= 0 ? t->all[parent].id : (struct uuid){ 0 });
	jput(o, "siblings", list);
	for (int i = first; i < t->n; i++)
		if (t->all[i].parent == parent)
			json_object_array_add(list, sibling_json(t, i));
	return o;
}

SUSPENDS enum as_status
branch_list(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **out, struct error *err)
{
	struct thread_state thread;
	struct json_object *items;
	bool *seen, roots_seen = false;
	struct tree t;
	enum as_status st = run_store_thread(ctx->runs, id, ctx->who.tenant_id,
	    ctx->who.user_id, &thread, err);

	if (st == AS_OK)
		st = tree_read(ctx, &thread, &t, err);
	if (st != AS_OK)
		return st;
	seen = arena_alloc(ctx->arena, (size_t)t.n + 1);
	items = jarr();
	for (int i = 0; i < t.n; i++) {
		int parent = t.all[i].parent;
		int n = parent >= 0 ? t.all[parent].n_children : t.roots;
		bool *done = parent >= 0 ? &seen[parent] : &roots_seen;

		if (n > 1 && !*done)
			json_object_array_add(items, siblings_json(&t, i));
		*done = true;
	}
	*out = jobj();
	put_id_or_null(*out, "active_leaf", thread.last_message_id);
	jput(*out, "items", items);
	return AS_OK;
}

/* ---- Switching ----------------------------------------------------- */

static enum as_status
busy(const struct thread_state *thread, struct error *err)
{
	enum as_status st = error_set(err, ERR_THREAD_BUSY,
	    "a run is at work in this thread");
	char id[UUID_TEXT];

	uuid_format(thread->active_run_id, id);
	error_member_str(err, "active_run_id", id);
	return st;
}

SUSPENDS enum as_status
branch_switch(const struct chat_ctx *ctx, struct uuid id,
    struct uuid message_id, struct error *err)
{
	struct thread_state thread;
	struct tree t;
	char text[UUID_TEXT];
	int i;
	enum as_status st = run_store_thread(ctx->runs, id, ctx->who.tenant_id,
	    ctx->who.user_id, &thread, err);

	if (st == AS_OK)
		st = tree_read(ctx, &thread, &t, err);
	if (st != AS_OK)
		return st;
	i = tree_find(&t, message_id);
	if (i < 0) {
		uuid_format(message_id, text);
		return error_not_found(err, "message", text);
	}
	if (t.all[i].active) /* it is on the path already */
		return AS_OK;
	if (!uuid_is_nil(thread.active_run_id))
		return busy(&thread, err);
	return run_store_switch(ctx->runs, id, ctx->who.tenant_id,
	    ctx->who.user_id, t.all[tree_leaf(&t, i)].id, err);
}
