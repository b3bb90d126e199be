/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/model_store.h"

/* What a commit writes into other runs (as in run_store_child.c). */

static void
child_add(struct model *m, const struct model_run *p,
    const struct run_commit *c, const struct run_child *k,
    const struct run_heads *heads, int64_t sequence)
{
	struct model_run *r = model_add(m, &m->runs, sizeof(*r));
	struct run_message message = k->message;
	struct model_change told = { .op = MODEL_CREATE, .run = r };

	r->id = r->last_commit_id = k->run_id;
	r->thread_id = p->thread_id;
	r->tenant_id = p->tenant_id;
	r->user_id = p->user_id;
	r->agent_id = k->agent_id;
	r->parent_run_id = p->id;
	r->parent_call_id = k->call_id;
	r->root_run_id = p->root_run_id;
	r->kind = "subagent";
	r->class = p->class;
	r->ns = arena_strdup(m->arena, k->ns);
	r->status = RUN_QUEUED;
	r->head_seq = k->events->n;
	r->version = 1;
	r->deadline_at = k->deadline_at;
	r->created_at = r->updated_at = c->now_us;
	r->model = arena_strdup(m->arena, k->model);
	r->budget = arena_strdup(m->arena, k->budget);
	r->correlation_id = p->correlation_id;
	r->traceparent = p->traceparent;
	message.sequence = sequence;
	model_message_add(m, r, &message);
	model_events_add(m, r, 0, heads, k->events);
	model_job_add(m, r, c->now_us, c->now_us);
	model_tell(m, &told);
}

static void
parent_tell(struct model *m, const struct model_run *r,
    const struct run_commit *c, int64_t seq)
{
	const struct run_tell *t = &c->tell;
	struct model_run *p = model_run(m, r->parent_run_id);
	struct model_change told = { .op = MODEL_TELL, .run = p };
	struct run_heads heads = { .seq = seq, .run_seq = t->run_seq };
	struct model_tool *call;
	struct model_job *j;

	if (p == NULL)
		return;
	call = model_tool_by_id(m, p->id, t->call.id);
	if (call != NULL && strcmp(call->t.state, "started") == 0) {
		model_tool_result(m, call, &t->call);
		call->completed_at = c->now_us;
		call->t.resolution = "auto";
	}
	told.from = p->status;
	told.fence = p->fence;
	told.step = p->step;
	if ((p->status == RUN_WAITING_CHILD || p->status == RUN_CANCELLING) &&
	    p->pending_children > 0) {
		p->pending_children--;
		p->head_seq += t->events->n;
		if (t->budget != NULL)
			p->budget = arena_strdup(m->arena, t->budget);
		p->version++;
		if (t->last && p->status == RUN_WAITING_CHILD &&
		    p->deadline_at > 0)
			p->deadline_at += c->now_us - p->updated_at;
		if (t->last)
			p->updated_at = c->now_us;
		if (t->last && p->status == RUN_WAITING_CHILD)
			p->status = RUN_QUEUED;
	}
	model_events_add(m, p, p->fence, &heads, t->events);
	if (t->last && p->status == RUN_QUEUED) {
		j = model_job(m, p->id);
		if (j == NULL)
			j = model_job_add(m, p, c->now_us, c->now_us);
		j->state = 0;
		j->owner_epoch = j->leased_at = 0;
		j->run_at = c->now_us;
	}
	model_tell(m, &told);
}

void
model_child_write(struct model *m, struct model_run *r,
    const struct run_commit *c)
{
	struct run_heads heads = { .seq = c->heads.seq + c->events->n };

	if (c->todos != NULL)
		r->todos = arena_strdup(m->arena, c->todos);
	if (c->n_children > 0)
		r->pending_children = c->n_children;
	for (int i = 0; i < c->n_children; i++) {
		child_add(m, r, c, &c->children[i], &heads,
		    c->heads.msg_seq + c->n_messages + i);
		heads.seq += c->children[i].events->n;
	}
	if (!uuid_is_nil(c->tell.run_id))
		parent_tell(m, r, c, heads.seq);
}

enum as_status
model_children(void *arg, struct uuid run_id, struct run_claim **out, int *n,
    struct error *err)
{
	struct model *m = arg;

	(void)err;
	*out = NULL;
	*n = 0;
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];

		if (!uuid_equal(r->parent_run_id, run_id) ||
		    uuid_is_nil(run_id) || !run_is_open(r->status))
			continue;
		*out = xrealloc(*out, (size_t)(*n + 1) * sizeof(**out));
		(*out)[(*n)++] = (struct run_claim){ .run_id = r->id,
			.thread_id = r->thread_id };
	}
	return AS_OK;
}
