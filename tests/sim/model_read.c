/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/sim/model_store.h"

/* What the engine reads before it decides (as in run_read.c). */

static enum as_status
not_found(struct error *err, const char *what, struct uuid id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return error_not_found(err, what, text);
}

static void
state_ids(const struct model_run *r, struct run_state *s)
{
	s->id = r->id;
	s->thread_id = r->thread_id;
	s->agent_id = r->agent_id;
	s->tenant_id = r->tenant_id;
	s->user_id = r->user_id;
	s->last_commit_id = r->last_commit_id;
	s->checkpoint_id = r->checkpoint_id;
}

static void
state_family(const struct model *m, const struct model_run *r,
    struct arena *arena, struct run_state *s)
{
	const struct model_run *p = model_run(m, r->parent_run_id);
	const struct model_run *root = model_run(m, r->root_run_id);

	s->ns = arena_strdup(arena, r->ns);
	s->root_kind = root != NULL ? root->kind : NULL;
	s->pending_children = r->pending_children;
	s->parent_run_id = r->parent_run_id;
	s->parent_call_id = r->parent_call_id;
	if (p == NULL)
		return;
	s->parent.status = p->status;
	s->parent.run_seq = p->head_seq;
	s->parent.pending_children = p->pending_children;
	s->parent.budget = arena_strdup(arena, p->budget);
	s->parent.ns = arena_strdup(arena, p->ns);
}

static void
state_numbers(const struct model_run *r, struct run_state *s)
{
	s->status = r->status;
	s->fence = r->fence;
	s->step = r->step;
	s->class = r->class;
	s->owner_epoch = r->owner_epoch;
	s->deadline_at = r->deadline_at;
	s->created_at = r->created_at;
	s->attempt = r->attempt;
	s->version = r->version;
	s->cost_micros = r->cost_micros;
	s->crash_count = r->crash_count;
	s->crash_step = r->crash_step;
}

static void
state_texts(const struct model_run *r, struct arena *arena, struct run_state *s)
{
	s->model = arena_strdup(arena, r->model);
	s->correlation_id = arena_strdup(arena, r->correlation_id);
	s->traceparent = arena_strdup(arena, r->traceparent);
	s->cancel_mode = arena_strdup(arena, r->cancel_mode);
	s->budget = arena_strdup(arena, r->budget);
	s->error_code = arena_strdup(arena, r->error_code);
	s->kind = arena_strdup(arena, r->kind);
	s->origin = arena_strdup(arena, r->origin);
	run_usage_parse(&s->usage, r->usage);
}

static void
state_hash(const struct model *m, struct run_state *s)
{
	for (int i = m->checkpoints.n - 1; i >= 0; i--) {
		const struct model_checkpoint *k = m->checkpoints.rows[i];

		if (!uuid_equal(k->id, s->checkpoint_id))
			continue;
		memcpy(s->checkpoint_hash, k->hash, sizeof(k->hash));
		return;
	}
}

/* See the statement: an owner that was lost leaves a gap of fences. */
static enum run_status
state_waited(const struct model *m, const struct model_run *r)
{
	enum run_status waited = 0;
	struct json_object *body = NULL;

	for (int i = m->events.n - 1; r->fence > 1 && i >= 0; i--) {
		const struct model_event *e = m->events.rows[i];

		if (!uuid_equal(e->run_id, r->id) ||
		    strcmp(e->type, "run_status") != 0)
			continue;
		if (e->fence >= r->fence - 1 &&
		    json_parse(e->body, strlen(e->body), &body, NULL) == AS_OK)
			waited = run_status_by_name(
			    jget_str(body, "state", ""));
		json_object_put(body);
		break;
	}
	return waited;
}

static void
state_queue(const struct model *m, const struct model_run *r,
    struct arena *arena, struct run_state *s)
{
	const struct model_run *next = model_first_blocked(m, r->thread_id);

	s->multitask = arena_strdup(arena, r->multitask);
	s->n_blocked = model_n_blocked(m, r->thread_id, false);
	s->n_steers = model_n_blocked(m, r->thread_id, true);
	s->next_multitask = next != NULL ? arena_strdup(arena, next->multitask)
					 : NULL;
}

enum as_status
model_read_state(void *arg, struct uuid run_id, struct arena *arena,
    struct run_state *out, struct error *err)
{
	struct model *m = arg;
	const struct model_run *r = model_run(m, run_id);
	const struct model_thread *t = r != NULL ? model_thread(m, r->thread_id)
						 : NULL;

	if (t == NULL)
		return not_found(err, "run", run_id);
	memset(out, 0, sizeof(*out));
	state_ids(r, out);
	state_numbers(r, out);
	state_texts(r, arena, out);
	state_family(m, r, arena, out);
	state_hash(m, out);
	out->waited = state_waited(m, r);
	out->branch = r->branch;
	out->leaf = model_leaf_of(m, r);
	out->forked_from = r->forked_from;
	out->fork_mode = arena_strdup(arena, r->fork_mode);
	out->now_us = model_now_us(m);
	out->heads.seq = t->head_seq;
	out->heads.run_seq = r->head_seq;
	out->heads.msg_seq = t->next_msg_seq;
	out->active_run_id = t->active_run_id;
	out->thread_leaf = t->active_leaf;
	state_queue(m, r, arena, out);
	return AS_OK;
}

enum as_status
model_read_thread(void *arg, struct uuid thread_id, struct uuid tenant_id,
    struct uuid user_id, struct thread_state *out, struct error *err)
{
	struct model *m = arg;
	const struct model_thread *t = model_thread(m, thread_id);
	int64_t last = 0;

	if (t == NULL || !uuid_equal(t->tenant_id, tenant_id) ||
	    !uuid_equal(t->user_id, user_id))
		return not_found(err, "thread", thread_id);
	memset(out, 0, sizeof(*out));
	out->id = t->id;
	out->tenant_id = t->tenant_id;
	out->user_id = t->user_id;
	out->agent_id = t->agent_id;
	out->active_run_id = t->active_run_id;
	out->heads.seq = t->head_seq;
	out->heads.msg_seq = t->next_msg_seq;
	out->now_us = model_now_us(m);
	out->has_title = t->title[0] != '\0';
	out->n_blocked = model_n_blocked(m, thread_id, false);
	for (int i = 0; i < m->messages.n; i++) {
		const struct model_message *row = m->messages.rows[i];

		if (model_counts(row, thread_id) && row->ns[0] == '\0' &&
		    row->m.sequence > last) {
			last = row->m.sequence;
			out->last_message_id = row->m.id;
		}
	}
	out->leaf = t->active_leaf;
	if (!uuid_is_nil(t->active_leaf))
		out->last_message_id = t->active_leaf;
	return AS_OK;
}

/* ---- History ------------------------------------------------------- */

/* Where a history begins: so many and so long, but with the last question. */
static int
history_from(struct model_message **all, int n)
{
	size_t total = 0;
	int from = n, user = n;

	for (int i = n - 1; i >= 0 && n - i <= RUN_HISTORY_ROWS; i--) {
		total += strlen(all[i]->m.content) + strlen(all[i]->m.parts);
		if (total > RUN_HISTORY_CHARS)
			break;
		from = i;
	}
	for (int i = 0; i < n; i++)
		if (strcmp(all[i]->m.role, "user") == 0)
			user = i;
	return user < from ? user : from;
}

enum as_status
model_read_history(void *arg, struct uuid thread_id, const char *ns,
    struct uuid leaf, int64_t next_sequence, struct arena *arena,
    struct run_history_row **out, int *n, struct error *err)
{
	int all_n, from;
	struct model_message **all = model_path(arg, thread_id, ns, leaf, arena,
	    &all_n);

	(void)next_sequence, (void)err;
	from = history_from(all, all_n);
	*n = all_n - from;
	*out = arena_alloc(arena, (size_t)*n * sizeof(**out) + 1);
	for (int i = 0; i < *n; i++) {
		const struct model_message *row = all[from + i];
		struct run_history_row *h = &(*out)[i];

		h->id = row->m.id;
		h->role = arena_strdup(arena, row->m.role);
		h->content = arena_strdup(arena, row->m.content);
		h->parts = arena_strdup(arena, row->m.parts);
		h->tool_call_id = arena_strdup(arena, row->m.tool_call_id);
		h->state = arena_strdup(arena, row->m.state);
		h->run_id = row->run_id;
		h->step = row->m.step;
		h->sequence = row->m.sequence;
		h->usage = arena_strdup(arena, row->m.usage);
	}
	return AS_OK;
}

/* ---- Tools, open messages, client ids ------------------------------ */

static void
tool_copy(const struct run_tool *from, struct arena *arena, struct run_tool *to)
{
	*to = *from;
	to->call_id = arena_strdup(arena, from->call_id);
	to->idem_key = arena_strdup(arena, from->idem_key);
	to->tool = arena_strdup(arena, from->tool);
	to->version = arena_strdup(arena, from->version);
	to->args = arena_strdup(arena, from->args);
	to->effect = arena_strdup(arena, from->effect);
	to->state = arena_strdup(arena, from->state);
	to->result = arena_strdup(arena, from->result);
	to->error_code = arena_strdup(arena, from->error_code);
	to->resolution = arena_strdup(arena, from->resolution);
}

static int
ordinal_order(const void *a, const void *b)
{
	const struct run_tool *x = a, *y = b;

	return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

enum as_status
model_read_tools(void *arg, struct uuid run_id, int64_t step,
    struct arena *arena, struct run_tool **out, int *n, struct error *err)
{
	struct model *m = arg;

	(void)err;
	*n = 0;
	*out = arena_alloc(arena, (size_t)m->tools.n * sizeof(**out) + 1);
	for (int i = 0; i < m->tools.n; i++) {
		const struct model_tool *row = m->tools.rows[i];

		if (uuid_equal(row->run_id, run_id) && row->t.step == step)
			tool_copy(&row->t, arena, &(*out)[(*n)++]);
	}
	qsort(*out, (size_t)*n, sizeof(**out), ordinal_order);
	return AS_OK;
}

enum as_status
model_open_message(void *arg, bool by_run, struct uuid id, int64_t at,
    struct uuid *out, int *attempt, struct error *err)
{
	struct model *m = arg;
	struct json_object *body = NULL;

	(void)err;
	memset(out, 0, sizeof(*out));
	*attempt = 0;
	for (int i = m->events.n - 1; i >= 0; i--) {
		const struct model_event *e = m->events.rows[i];

		if (!uuid_equal(by_run ? e->run_id : e->thread_id, id) ||
		    (by_run ? e->run_seq : e->seq) > at ||
		    (!by_run && e->ns[0] != '\0') ||
		    strncmp(e->type, "message_", 8) != 0 ||
		    strcmp(e->type, "message_created") == 0)
			continue;
		if (strcmp(e->type, "message_end") == 0)
			break;
		if (json_parse(e->body, strlen(e->body), &body, NULL) == AS_OK)
			jget_uuid(body, "message_id", out);
		*attempt = (int)jget_int(body, "attempt", 1);
		json_object_put(body);
		break;
	}
	return AS_OK;
}

enum as_status
model_by_client_id(void *arg, struct uuid thread_id,
    const char *client_message_id, struct uuid *message_id, struct uuid *run_id,
    int64_t *seq, struct error *err)
{
	struct model *m = arg;

	(void)err;
	memset(message_id, 0, sizeof(*message_id));
	memset(run_id, 0, sizeof(*run_id));
	for (int i = 0; i < m->messages.n; i++) {
		const struct model_message *row = m->messages.rows[i];

		if (!uuid_equal(row->thread_id, thread_id) ||
		    row->m.client_message_id == NULL ||
		    strcmp(row->m.client_message_id, client_message_id) != 0)
			continue;
		*message_id = row->m.id;
		*run_id = row->run_id;
		for (int k = 0; k < m->events.n; k++) {
			const struct model_event *e = m->events.rows[k];

			if (e->run_seq == 1 && uuid_equal(e->run_id, *run_id))
				*seq = e->seq;
		}
	}
	return AS_OK;
}

enum as_status
model_by_dedup(void *arg, struct uuid user_id, struct uuid agent_id,
    const char *dedup, struct run_claim *out, struct error *err)
{
	struct model *m = arg;

	(void)err;
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];

		if (r->dedup != NULL && strcmp(r->dedup, dedup) == 0 &&
		    uuid_equal(r->user_id, user_id) &&
		    uuid_equal(r->agent_id, agent_id))
			*out = (struct run_claim){ .run_id = r->id,
				.thread_id = r->thread_id };
	}
	return AS_OK;
}
