/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/model_store.h"

/* Runs that wait for their thread (as in run_block.c and run_read.c). */

/* ---- The queue ----------------------------------------------------- */

const struct model_run *
model_first_blocked(const struct model *m, struct uuid thread_id)
{
	const struct model_run *first = NULL;

	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];

		if (r->block_pos != 0 && uuid_equal(r->thread_id, thread_id) &&
		    (first == NULL || r->block_pos < first->block_pos))
			first = r;
	}
	return first;
}

int64_t
model_n_blocked(const struct model *m, struct uuid thread_id, bool steers)
{
	int64_t n = 0;

	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];

		n += r->block_pos != 0 && uuid_equal(r->thread_id, thread_id) &&
		     (!steers || (r->multitask != NULL &&
				     strcmp(r->multitask, "steer") == 0));
	}
	return n;
}

static struct model_message *
staged_of(const struct model *m, struct uuid run_id)
{
	for (int i = 0; i < m->messages.n; i++) {
		struct model_message *row = m->messages.rows[i];

		if (uuid_equal(row->run_id, run_id) &&
		    strcmp(row->m.state, "staged") == 0)
			return row;
	}
	return NULL;
}

/* ---- Create -------------------------------------------------------- */

static bool
place_is_taken(const struct model *m, const struct run_create *c)
{
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];

		if (uuid_equal(r->thread_id, c->thread_id) &&
		    r->block_pos == c->block_pos)
			return true;
	}
	return false;
}

static enum as_status
refused(struct error *err, const char *why)
{
	return error_set(err, ERR_CONFLICT, "%s", why);
}

enum as_status
model_block(struct model *m, const struct run_create *c, struct error *err)
{
	struct model_thread *t = model_thread(m, c->thread_id);
	struct run_message staged = c->message;
	struct model_change told = { .op = MODEL_CREATE };
	struct model_run *r;
	const char *why;

	if (t == NULL || uuid_is_nil(t->active_run_id) ||
	    t->head_seq != c->heads.seq || t->next_msg_seq != c->heads.msg_seq)
		return refused(err, "the row has moved on");
	if (model_run(m, c->run_id) != NULL || place_is_taken(m, c))
		return refused(err, "runs_pkey");
	staged.state = "staged";
	staged.sequence = -(c->heads.seq + 1);
	staged.role = "user";
	staged.parent_id = (struct uuid){ 0 };
	staged.step = staged.ordinal = 0;
	staged.tool_name = staged.tool_call_id = NULL;
	staged.usage = staged.model = NULL;
	why = model_messages_refused(m, t->id, c->run_id, &staged, 1);
	if (why != NULL)
		return refused(err, why);
	t->head_seq += c->events->n;
	t->version++;
	r = model_run_add(m, c);
	model_message_add(m, r, &staged);
	model_events_add(m, r, 0, &c->heads, c->events);
	told.run = r;
	model_tell(m, &told);
	return AS_OK;
}

/* ---- Commit -------------------------------------------------------- */

/* Numbers that a message cannot have because another one has them. */
static const char *
place_refused(const struct model *m, const struct run_commit *c,
    struct uuid run_id, const struct run_message *new)
{
	for (int i = 0; i < m->messages.n; i++) {
		const struct model_message *old = m->messages.rows[i];

		if (uuid_equal(old->m.id, new->id) ||
		    !uuid_equal(old->thread_id, c->thread_id))
			continue;
		if (old->m.sequence == new->sequence)
			return "messages_thread_id_sequence_key";
		if (uuid_equal(old->run_id, run_id) &&
		    old->m.step == new->step && old->m.ordinal == new->ordinal)
			return "messages_run_id_ns_step_ordinal_key";
	}
	return NULL;
}

const char *
model_unblock_refused(const struct model *m, const struct run_commit *c)
{
	const char *why = NULL;

	if (c->unstaged != NULL)
		why = place_refused(m, c, c->run_id, c->unstaged);
	for (int i = 0; i < c->n_unblocks && why == NULL; i++) {
		const struct run_unblock *u = &c->unblocks[i];

		why = place_refused(m, c,
		    u->to == RUN_QUEUED ? u->run_id : c->run_id, u->message);
	}
	return why;
}

static void
message_place(struct model *m, struct uuid from, struct uuid run_id,
    const struct run_message *new)
{
	struct model_message *row = staged_of(m, from);

	if (row == NULL || !uuid_equal(row->m.id, new->id))
		return;
	row->run_id = run_id;
	row->m.state = "final";
	row->m.sequence = new->sequence;
	row->m.parent_id = new->parent_id;
	row->m.step = new->step;
	row->m.ordinal = new->ordinal;
}

static void
thread_give(struct model *m, struct uuid thread_id, struct uuid run_id)
{
	struct model_thread *t = model_thread(m, thread_id);

	if (uuid_is_nil(t->active_run_id))
		t->active_run_id = run_id;
}

static void
branch_set(struct model_run *r, const struct run_branch *b)
{
	if (!uuid_is_nil(b->leaf))
		r->branch.leaf = b->leaf;
	if (!uuid_is_nil(b->before))
		r->branch.before = b->before;
}

static void
run_unblock(struct model *m, const struct run_commit *c,
    const struct run_unblock *u, int64_t seq)
{
	struct model_run *r = model_run(m, u->run_id);
	struct run_heads heads = { seq, u->run_seq, 0 };
	bool goes_on = u->to == RUN_QUEUED;

	r->status = u->to;
	r->block_pos = 0;
	r->head_seq = u->run_seq + u->events->n;
	r->fence += goes_on ? 0 : 1;
	r->version++;
	r->updated_at = c->now_us;
	r->completed_at = goes_on ? 0 : c->now_us;
	if (u->deadline_at != 0)
		r->deadline_at = u->deadline_at;
	branch_set(r, &u->branch);
	if (goes_on) {
		thread_give(m, c->thread_id, r->id);
		model_job_add(m, r, c->now_us, c->now_us);
	}
	message_place(m, u->run_id, goes_on ? u->run_id : c->run_id,
	    u->message);
	model_events_add(m, r, r->fence, &heads, u->events);
}

/* The head is again what it was before the run. */
static void
head_back(struct model *m, const struct run_commit *c)
{
	const struct model_checkpoint *first = NULL;

	for (int i = m->checkpoints.n - 1; i >= 0; i--) {
		const struct model_checkpoint *k = m->checkpoints.rows[i];

		if (uuid_equal(k->run_id, c->run_id) &&
		    (first == NULL || k->step <= first->step))
			first = k;
	}
	if (first == NULL || c->beside || run_commit_ns(c)[0] != '\0')
		return;
	model_thread(m, c->thread_id)
	    ->head_checkpoint_id = uuid_is_nil(c->back_to)
				       ? first->parent_id
				       : model_checkpoint_at(m, c->back_to);
}

void
model_unblock(struct model *m, struct model_run *r, const struct run_commit *c)
{
	int64_t seq = run_commit_unblock_seq(c);

	if (c->void_messages)
		head_back(m, c);
	if (c->from == RUN_BLOCKED) {
		r->block_pos = 0;
		branch_set(r, &c->branch);
	}
	if (c->from == RUN_BLOCKED && run_holds_thread(c->to))
		thread_give(m, c->thread_id, r->id);
	if (c->unstaged != NULL)
		message_place(m, r->id, r->id, c->unstaged);
	for (int i = 0; i < c->n_unblocks; i++) {
		run_unblock(m, c, &c->unblocks[i], seq);
		seq += c->unblocks[i].events->n;
	}
}

void
model_unblock_tell(struct model *m, const struct run_commit *c)
{
	for (int i = 0; i < c->n_unblocks; i++) {
		const struct run_unblock *u = &c->unblocks[i];
		struct model_change told = { .op = MODEL_UNBLOCK,
			.run = model_run(m, u->run_id),
			.from = RUN_BLOCKED };

		told.step = told.run->step;
		told.fence = told.run->fence - (u->to == RUN_QUEUED ? 0 : 1);
		model_tell(m, &told);
	}
}

/* ---- Reads --------------------------------------------------------- */

static int
place_order(const void *a, const void *b)
{
	const struct run_blocked *x = a, *y = b;

	return x->block_pos < y->block_pos ? -1 : x->block_pos > y->block_pos;
}

enum as_status
model_read_blocked(void *arg, struct uuid thread_id, struct arena *arena,
    struct run_blocked **out, int *n, struct error *err)
{
	struct model *m = arg;
	struct run_blocked *b;

	(void)err;
	*n = 0;
	*out = b = arena_alloc(arena, (size_t)(m->runs.n + 1) * sizeof(**out));
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];
		const struct model_message *row;

		if (r->block_pos == 0 || !uuid_equal(r->thread_id, thread_id))
			continue;
		row = staged_of(m, r->id);
		if (row == NULL)
			continue;
		b[*n] = (struct run_blocked){ .run_id = r->id,
			.multitask = arena_strdup(arena, r->multitask),
			.block_pos = r->block_pos,
			.run_seq = r->head_seq,
			.message = row->m };
		b[*n].message.sequence = 0;
		(*n)++;
	}
	qsort(b, (size_t)*n, sizeof(*b), place_order);
	return AS_OK;
}

static bool
is_stalled(const struct model_run *active, const struct model_run *next)
{
	if (active == NULL || active->status == RUN_RECOVERABLE_ERROR)
		return true;
	return next->multitask != NULL &&
	       (strcmp(next->multitask, "interrupt") == 0 ||
		   strcmp(next->multitask, "rollback") == 0) &&
	       active->status != RUN_CANCELLING;
}

static int
stalled_order(const void *a, const void *b)
{
	const struct run_stalled *x = a, *y = b;

	return uuid_compare(x->thread_id, y->thread_id);
}

enum as_status
model_read_stalled(void *arg, int max, struct run_stalled **out, int *n,
    struct error *err)
{
	struct model *m = arg;
	struct run_stalled *s = xcalloc((size_t)m->threads.n + 1, sizeof(*s));

	(void)err;
	*n = 0;
	for (int i = 0; i < m->threads.n; i++) {
		const struct model_thread *t = m->threads.rows[i];
		const struct model_run *next = model_first_blocked(m, t->id);

		if (next == NULL ||
		    !is_stalled(model_run(m, t->active_run_id), next))
			continue;
		s[*n].thread_id = t->id;
		s[*n].active_run_id = t->active_run_id;
		s[*n].next_run_id = next->id;
		if (next->multitask != NULL)
			strncpy(s[*n].multitask, next->multitask,
			    sizeof(s->multitask) - 1);
		(*n)++;
	}
	qsort(s, (size_t)*n, sizeof(*s), stalled_order);
	if (*n > max)
		*n = max;
	*out = s;
	return AS_OK;
}

static int
step_order(const void *a, const void *b)
{
	const struct run_tool *x = a, *y = b;

	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

enum as_status
model_read_effects(void *arg, struct uuid run_id, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	struct model *m = arg;
	struct run_tool *t = arena_alloc(arena,
	    (size_t)(m->tools.n + 1) * sizeof(*t));

	(void)err;
	*n = 0;
	for (int i = 0; i < m->tools.n; i++) {
		const struct model_tool *row = m->tools.rows[i];
		const char *state = row->t.state;

		if (uuid_equal(row->run_id, run_id) &&
		    strcmp(row->t.effect, "P") != 0 &&
		    (strcmp(state, "started") == 0 ||
			strcmp(state, "succeeded") == 0 ||
			strcmp(state, "unknown") == 0))
			t[(*n)++] = row->t;
	}
	qsort(t, (size_t)*n, sizeof(*t), step_order);
	*out = t;
	return AS_OK;
}
