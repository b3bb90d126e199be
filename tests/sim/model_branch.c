/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/run/run_branch.h"
#include "tests/sim/model_store.h"

/* Branches (as in run_branch.c). */

bool
model_counts(const struct model_message *row, struct uuid thread_id)
{
	return uuid_equal(row->thread_id, thread_id) &&
	       (strcmp(row->m.state, "final") == 0 ||
		   strcmp(row->m.state, "interrupted") == 0);
}

static bool
counts_in(const struct model_message *row, struct uuid thread_id,
    const char *ns)
{
	return model_counts(row, thread_id) && strcmp(row->ns, ns) == 0;
}

static struct model_message *
message_find(const struct model *m, struct uuid id)
{
	for (int i = 0; i < m->messages.n && !uuid_is_nil(id); i++) {
		struct model_message *row = m->messages.rows[i];

		if (uuid_equal(row->m.id, id))
			return row;
	}
	return NULL;
}

void
model_branch_create(struct model *m, struct model_thread *t,
    struct model_run *r, const struct run_create *c)
{
	struct uuid leaf = run_create_leaf(c), head = run_create_head(c);
	struct model_checkpoint *k;

	if (!uuid_is_nil(leaf))
		t->active_leaf = leaf;
	if (!uuid_is_nil(head))
		t->head_checkpoint_id = head;
	if (!run_create_forks(c))
		return;
	r->forked_at = c->fork.checkpoint_id;
	r->fork_mode = arena_strdup(m->arena, c->fork.mode);
	k = model_add(m, &m->checkpoints, sizeof(*k));
	k->id = r->id;
	k->parent_id = c->fork.checkpoint_id;
	k->thread_id = t->id;
	k->run_id = r->id;
	k->ns = r->ns;
	k->source = "fork";
	k->manifest = arena_strdup(m->arena, c->fork.manifest);
	memcpy(k->hash, c->fork.hash, sizeof(k->hash));
	for (int i = 0; i < c->fork.n_tools; i++)
		model_tool_add(m, r->id, r->fence, c->now_us,
		    &c->fork.tools[i]);
}

struct uuid
model_leaf_of(const struct model *m, const struct model_run *r)
{
	struct uuid leaf = r->branch.leaf;
	int64_t last = 0;

	for (int i = 0; i < m->messages.n && !uuid_is_nil(leaf); i++) {
		const struct model_message *row = m->messages.rows[i];

		if (uuid_equal(row->run_id, r->id) &&
		    model_counts(row, r->thread_id) && row->m.sequence > last) {
			last = row->m.sequence;
			leaf = row->m.id;
		}
	}
	return leaf;
}

/* ---- Switching ----------------------------------------------------- */

static const struct model_checkpoint *
checkpoint_of(const struct model *m, const struct model_message *row)
{
	const struct model_checkpoint *best = NULL;

	for (int i = 0; i < m->checkpoints.n; i++) {
		const struct model_checkpoint *k = m->checkpoints.rows[i];

		if (uuid_equal(k->run_id, row->run_id) &&
		    k->step <= row->m.step && strcmp(k->source, "loop") == 0 &&
		    (best == NULL || k->step > best->step))
			best = k;
	}
	return best;
}

struct uuid
model_checkpoint_at(const struct model *m, struct uuid leaf)
{
	const struct model_message *row = message_find(m, leaf);
	const struct model_checkpoint *k = NULL;

	while (row != NULL && (k = checkpoint_of(m, row)) == NULL)
		row = message_find(m, row->m.parent_id);
	return k != NULL ? k->id : (struct uuid){ 0 };
}

enum as_status
model_switch(void *arg, struct uuid thread_id, struct uuid tenant_id,
    struct uuid user_id, struct uuid leaf, struct error *err)
{
	struct model *m = arg;
	struct model_thread *t = model_thread(m, thread_id);
	const struct model_message *row = message_find(m, leaf);

	if (t == NULL || row == NULL || !uuid_equal(t->tenant_id, tenant_id) ||
	    !uuid_equal(t->user_id, user_id) ||
	    !uuid_is_nil(t->active_run_id) || uuid_is_nil(t->active_leaf) ||
	    !counts_in(row, thread_id, ""))
		return error_set(err, ERR_CONFLICT, "the thread has moved on");
	t->active_leaf = leaf;
	t->version++;
	t->head_checkpoint_id = model_checkpoint_at(m, leaf);
	return AS_OK;
}

/* ---- The path ------------------------------------------------------ */

static int
sequence_order(const void *a, const void *b)
{
	const struct model_message *const *x = a, *const *y = b;

	return ((*x)->m.sequence > (*y)->m.sequence) -
	       ((*x)->m.sequence < (*y)->m.sequence);
}

struct model_message **
model_path(const struct model *m, struct uuid thread_id, const char *ns,
    struct uuid leaf, struct arena *arena, int *n)
{
	struct model_message **all = arena_alloc(arena,
	    (size_t)m->messages.n * sizeof(struct model_message *) + 1);
	struct model_message *row = message_find(m, leaf);

	*n = 0;
	if (uuid_is_nil(leaf)) {
		for (int i = 0; i < m->messages.n; i++)
			if (counts_in(m->messages.rows[i], thread_id, ns))
				all[(*n)++] = m->messages.rows[i];
	}
	for (; row != NULL; row = message_find(m, row->m.parent_id))
		if (model_counts(row, thread_id))
			all[(*n)++] = row;
	qsort(all, (size_t)*n, sizeof(struct model_message *), sequence_order);
	return all;
}
