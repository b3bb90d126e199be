/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/run/run_outbox.h"
#include "tests/sim/model_store.h"

/*
 * Create, commit and late results (as in run_store_sql.c and
 * run_store_park.c): all that could refuse is looked at first, then everything
 * is written.
 */

static enum as_status
moved_on(struct error *err)
{
	return error_set(err, ERR_CONFLICT, "the row has moved on");
}

static enum as_status
taken(struct error *err, const char *constraint)
{
	enum as_status st = error_set(err, ERR_CONFLICT, "%s", constraint);

	error_member_str(err, "constraint", constraint);
	return st;
}

static bool
text_equal(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* ---- Messages and events ------------------------------------------- */

static const char *
messages_clash(const struct run_message *a, const struct run_message *b,
    bool same_run)
{
	if (uuid_equal(a->id, b->id))
		return "messages_pkey";
	if (a->sequence == b->sequence)
		return "messages_thread_id_sequence_key";
	if (same_run && a->step == b->step && a->ordinal == b->ordinal)
		return "messages_run_id_ns_step_ordinal_key";
	if (text_equal(a->client_message_id, b->client_message_id))
		return "messages_thread_id_client_message_id_key";
	return NULL;
}

/* The constraint that these would violate, or NULL. */
const char *
model_messages_refused(const struct model *m, struct uuid thread_id,
    struct uuid run_id, const struct run_message *new, int n)
{
	const char *why = NULL;

	for (int k = 0; k < n; k++) {
		for (int i = 0; i < m->messages.n && why == NULL; i++) {
			const struct model_message *old = m->messages.rows[i];

			if (uuid_equal(old->thread_id, thread_id))
				why = messages_clash(&old->m, &new[k],
				    uuid_equal(old->run_id, run_id));
		}
		for (int i = 0; i < k && why == NULL; i++)
			why = messages_clash(&new[i], &new[k], true);
	}
	return why;
}

void
model_message_add(struct model *m, const struct model_run *r,
    const struct run_message *new)
{
	struct model_message *row = model_add(m, &m->messages, sizeof(*row));
	struct run_message *to = &row->m;

	row->thread_id = r->thread_id;
	row->run_id = r->id;
	row->ns = r->ns;
	*to = *new;
	to->role = arena_strdup(m->arena, new->role);
	to->content = arena_strdup(m->arena, new->content);
	to->parts = arena_strdup(m->arena, new->parts);
	to->tool_name = arena_strdup(m->arena, new->tool_name);
	to->tool_call_id = arena_strdup(m->arena, new->tool_call_id);
	to->state = arena_strdup(m->arena, new->state);
	to->client_message_id = arena_strdup(m->arena, new->client_message_id);
	to->model = arena_strdup(m->arena, new->model);
	to->usage = arena_strdup(m->arena, new->usage);
}

void
model_events_add(struct model *m, const struct model_run *r, int64_t fence,
    const struct run_heads *heads, const struct event_list *events)
{
	for (int i = 0; i < events->n; i++) {
		struct model_event *e = model_add(m, &m->events, sizeof(*e));

		e->thread_id = r->thread_id;
		e->run_id = r->id;
		e->seq = heads->seq + 1 + i;
		e->run_seq = heads->run_seq + 1 + i;
		e->step = r->step;
		e->ns = r->ns;
		e->fence = fence;
		e->type = events->items[i].type;
		e->body = arena_strdup(m->arena, events->items[i].body);
	}
}

/* ---- Create -------------------------------------------------------- */

static bool
thread_is_held(const struct model *m, struct uuid thread_id)
{
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];

		if (uuid_equal(r->thread_id, thread_id) && r->ns[0] == '\0' &&
		    run_holds_thread(r->status))
			return true;
	}
	return false;
}

struct model_run *
model_run_add(struct model *m, const struct run_create *c)
{
	struct model_run *r = model_add(m, &m->runs, sizeof(*r));
	bool owned = c->owner_epoch != 0;

	r->id = r->last_commit_id = c->run_id;
	r->thread_id = c->thread_id;
	r->tenant_id = c->tenant_id;
	r->user_id = c->user_id;
	r->agent_id = c->agent_id;
	r->forked_from = c->forked_from;
	r->branch = c->branch;
	r->status = owned ? RUN_RUNNING : RUN_QUEUED;
	if (c->block_pos != 0)
		r->status = RUN_BLOCKED;
	r->multitask = arena_strdup(m->arena, c->multitask);
	r->block_pos = r->blocked_at = c->block_pos;
	r->head_seq = c->events->n;
	r->fence = owned ? 1 : 0;
	r->version = 1;
	r->owner_epoch = c->owner_epoch;
	r->deadline_at = c->deadline_at;
	r->created_at = c->now_us;
	r->started_at = owned ? c->now_us : 0;
	r->model = arena_strdup(m->arena, c->model);
	r->correlation_id = arena_strdup(m->arena, c->correlation_id);
	r->traceparent = arena_strdup(m->arena, c->traceparent);
	r->ns = "";
	r->root_run_id = r->id;
	r->updated_at = c->now_us;
	r->kind = arena_strdup(m->arena, run_create_kind(c));
	r->class = c->class;
	r->origin = arena_strdup(m->arena, c->origin);
	r->dedup = arena_strdup(m->arena, c->dedup);
	return r;
}

struct model_job *
model_job_add(struct model *m, const struct model_run *r, int64_t run_at,
    int64_t now_us)
{
	struct model_job *j = model_add(m, &m->jobs, sizeof(*j));

	j->id = ++m->last_job;
	j->run_id = r->id;
	j->class = r->class;
	j->tenant_id = r->tenant_id;
	j->run_at = run_at;
	j->enqueued_at = now_us;
	return j;
}

static bool
dedup_is_known(const struct model *m, const struct run_create *c)
{
	for (int i = 0; i < m->runs.n && c->dedup != NULL; i++) {
		const struct model_run *r = m->runs.rows[i];

		if (uuid_equal(r->user_id, c->user_id) &&
		    uuid_equal(r->agent_id, c->agent_id) &&
		    text_equal(r->dedup, c->dedup))
			return true;
	}
	return false;
}

/* Why nothing may be written, or NULL. */
static const char *
create_refused(const struct model *m, const struct run_create *c)
{
	if (c->new_thread && model_thread(m, c->thread_id) != NULL)
		return "threads_pkey";
	if (model_run(m, c->run_id) != NULL)
		return "runs_pkey";
	if (thread_is_held(m, c->thread_id))
		return "runs_thread_id_key";
	if (dedup_is_known(m, c))
		return "runs_user_id_agent_id_dedup_key";
	return model_messages_refused(m, c->thread_id, c->run_id, &c->message,
	    uuid_is_nil(c->message.id) ? 0 : 1);
}

static struct model_thread *
thread_add(struct model *m, const struct run_create *c)
{
	struct model_thread *t = model_add(m, &m->threads, sizeof(*t));

	t->id = c->thread_id;
	t->tenant_id = c->tenant_id;
	t->user_id = c->user_id;
	t->agent_id = c->agent_id;
	t->title = "";
	t->head_seq = c->heads.seq;
	t->next_msg_seq = c->heads.msg_seq;
	t->version = 1;
	return t;
}

enum as_status
model_create(void *arg, const struct run_create *c, struct error *err)
{
	struct model *m = arg;
	struct model_thread *t = model_thread(m, c->thread_id);
	int n = uuid_is_nil(c->message.id) ? 0 : 1;
	struct model_change told = { .op = MODEL_CREATE };
	struct model_job *j;
	struct model_run *r;
	const char *why;

	if (c->block_pos != 0)
		return dedup_is_known(m, c)
			   ? taken(err, "runs_user_id_agent_id_dedup_key")
			   : model_block(m, c, err);
	if (!c->new_thread && (t == NULL || !uuid_is_nil(t->active_run_id) ||
				  t->head_seq != c->heads.seq ||
				  t->next_msg_seq != c->heads.msg_seq ||
				  !uuid_equal(t->tenant_id, c->tenant_id)))
		return moved_on(err);
	why = create_refused(m, c);
	if (why != NULL)
		return taken(err, why);
	if (c->new_thread)
		t = thread_add(m, c);
	t->status = "busy";
	t->active_run_id = c->run_id;
	t->head_seq += c->events->n;
	t->next_msg_seq += n;
	t->version++;
	if (t->title[0] == '\0')
		t->title = arena_strdup(m->arena, c->title);
	r = model_run_add(m, c);
	model_branch_create(m, t, r, c);
	if (n > 0)
		model_message_add(m, r, &c->message);
	model_events_add(m, r, r->fence, &c->heads, c->events);
	j = model_job_add(m, r, run_create_at(c), c->now_us);
	j->state = c->owner_epoch != 0 ? 1 : 0;
	j->owner_epoch = c->owner_epoch;
	j->leased_at = c->owner_epoch != 0 ? c->now_us : 0;
	told.run = r;
	told.epoch = c->owner_epoch;
	model_tell(m, &told);
	return AS_OK;
}

/* ---- Commit: what it may refuse ------------------------------------ */

static bool
guard_holds(const struct model *m, const struct model_run *r,
    const struct run_commit *c)
{
	const struct model_thread *t = model_thread(m, c->thread_id);

	return r != NULL && t != NULL && r->status == c->from &&
	       r->step == c->step && r->head_seq == c->heads.run_seq &&
	       (r->fence == c->fence || m->mutant == MODEL_NO_FENCE) &&
	       (c->version == 0 || r->version == c->version) &&
	       (c->owner == 0 || r->owner_epoch == c->owner) &&
	       uuid_equal(r->thread_id, c->thread_id) &&
	       uuid_equal(r->tenant_id, c->tenant_id) &&
	       t->head_seq == c->heads.seq;
}

struct model_tool *
model_tool_by_id(const struct model *m, struct uuid run_id, struct uuid id)
{
	for (int i = 0; i < m->tools.n; i++) {
		struct model_tool *t = m->tools.rows[i];

		if (uuid_equal(t->t.id, id) && uuid_equal(t->run_id, run_id))
			return t;
	}
	return NULL;
}

static bool
tool_is_open(const struct model_tool *t)
{
	return strcmp(t->t.state, "started") == 0 ||
	       strcmp(t->t.state, "unknown") == 0;
}

/* Nothing was sent yet. */
static bool
tool_is_ahead(const struct run_tool *t)
{
	return strcmp(t->state, "planned") == 0 ||
	       strcmp(t->state, "awaiting_approval") == 0 ||
	       strcmp(t->state, "parked") == 0;
}

/* The row that a finished call changes, or NULL. */
static struct model_tool *
tool_to_finish(const struct model *m, const struct run_commit *c,
    const struct run_tool *t)
{
	struct model_tool *row = model_tool_by_id(m, c->run_id, t->id);

	if (row == NULL || (!tool_is_open(row) && !tool_is_ahead(&row->t)))
		return NULL;
	return row;
}

static const char *
tools_refused(const struct model *m, const struct run_commit *c)
{
	static const char clash[] = "tool_invocations_idem_key_key";
	const struct model_tool *old;

	for (int k = 0; k < c->n_tools_new; k++) {
		for (int i = 0; i < k; i++)
			if (strcmp(c->tools_new[i].idem_key,
				c->tools_new[k].idem_key) == 0)
				return clash;
		for (int i = 0; i < m->tools.n; i++) {
			old = m->tools.rows[i];
			if (uuid_equal(old->t.id, c->tools_new[k].id))
				return "tool_invocations_pkey";
		}
		if (model_tool(m, c->tools_new[k].idem_key) != NULL)
			return clash;
	}
	for (int k = 0; k < c->n_tools_done; k++) {
		const struct run_tool *t = &c->tools_done[k];

		old = model_tool(m, t->idem_key);
		if (old != NULL && !uuid_equal(old->t.id, t->id) &&
		    tool_to_finish(m, c, t) != NULL)
			return clash;
	}
	return NULL;
}

static bool
checkpoint_exists(const struct model *m, const struct run_commit *c)
{
	for (int i = 0; i < m->checkpoints.n; i++) {
		const struct model_checkpoint *k = m->checkpoints.rows[i];

		if (uuid_equal(k->id, c->checkpoint_id) &&
		    uuid_equal(k->thread_id, c->thread_id))
			return true;
	}
	return false;
}

/* ---- Commit: what it writes ---------------------------------------- */

static const char *
keep(struct model *m, const char *new, const char *old)
{
	return new != NULL ? arena_strdup(m->arena, new) : old;
}

static void
run_write(struct model *m, struct model_run *r, const struct run_commit *c)
{
	r->last_commit_id = c->commit_id;
	r->status = c->to;
	r->step += c->advance ? 1 : 0;
	r->fence += c->bump_fence ? 1 : 0;
	r->head_seq = c->heads.run_seq + c->events->n;
	r->version++;
	r->updated_at = c->now_us;
	if (!uuid_is_nil(c->checkpoint_id))
		r->checkpoint_id = c->checkpoint_id;
	r->usage = keep(m, c->usage, r->usage);
	r->tokens += c->tokens;
	r->error_code = keep(m, c->error_code, NULL);
	r->error = keep(m, c->error, NULL);
	r->cancel_mode = keep(m, c->cancel_mode, r->cancel_mode);
	if (c->cancel_mode != NULL && r->cancel_requested_at == 0)
		r->cancel_requested_at = c->now_us;
	r->completed_at = run_is_open(c->to) ? 0 : c->now_us;
	if (!run_has_owner(c->to))
		r->owner_epoch = 0;
	r->attempt = c->attempt;
	r->next_attempt_at = c->to == RUN_WAITING_TIMER ? c->run_at : 0;
	r->cost_micros += c->cost_micros;
	r->model = keep(m, c->model, r->model);
	r->budget = keep(m, c->budget, r->budget);
	if (c->deadline_at != 0)
		r->deadline_at = c->deadline_at;
}

static void
checkpoint_add(struct model *m, const struct model_run *r,
    const struct model_thread *t, const struct run_commit *c)
{
	struct model_checkpoint *k = model_add(m, &m->checkpoints, sizeof(*k));

	k->id = c->checkpoint_id;
	if (!uuid_is_nil(c->checkpoint_parent) || r->ns[0] != '\0')
		k->parent_id = c->checkpoint_parent;
	else
		k->parent_id = t->head_checkpoint_id;
	k->source = "loop";
	k->ns = r->ns;
	k->thread_id = t->id;
	k->run_id = r->id;
	k->step = r->step;
	k->manifest = arena_strdup(m->arena, c->checkpoint_manifest);
	memcpy(k->hash, c->checkpoint_hash, sizeof(k->hash));
}

static void
thread_move(struct model *m, struct model_thread *t, const struct run_commit *c)
{
	struct run_heads after = run_commit_heads(c);
	const char *status = run_commit_thread_status(c);

	t->head_seq = after.seq;
	t->next_msg_seq = after.msg_seq;
	t->version++;
	t->status = status != NULL ? status : t->status;
	if (!uuid_is_nil(c->leaf))
		t->active_leaf = c->leaf;
	if (run_commit_ns(c)[0] != '\0')
		return;
	if (run_commit_frees_thread(c) && m->mutant != MODEL_UNLOCK_LATER)
		t->active_run_id = (struct uuid){ 0 };
	if (!uuid_is_nil(c->checkpoint_id) && !c->beside)
		t->head_checkpoint_id = c->checkpoint_id;
}

void
model_tool_add(struct model *m, struct uuid run_id, int64_t fence,
    int64_t now_us, const struct run_tool *new)
{
	struct model_tool *row = model_add(m, &m->tools, sizeof(*row));
	struct run_tool *t = &row->t;

	row->run_id = run_id;
	row->fence = fence;
	row->started_at = now_us;
	*t = *new;
	t->call_id = arena_strdup(m->arena, new->call_id);
	t->idem_key = arena_strdup(m->arena, new->idem_key);
	t->tool = arena_strdup(m->arena, new->tool);
	t->version = arena_strdup(m->arena, new->version);
	t->args = arena_strdup(m->arena, new->args);
	t->effect = arena_strdup(m->arena, new->effect);
	t->state = arena_strdup(m->arena, new->state);
	t->result = t->error_code = t->resolution = NULL;
}

void
model_tool_result(struct model *m, struct model_tool *row,
    const struct run_tool *t)
{
	row->n_results += t->result != NULL ? 1 : 0;
	row->t.state = arena_strdup(m->arena, t->state);
	row->t.result = arena_strdup(m->arena, t->result);
	row->t.error_code = arena_strdup(m->arena, t->error_code);
}

static void
tool_finish(struct model *m, const struct run_commit *c,
    const struct run_tool *t)
{
	struct model_tool *row = tool_to_finish(m, c, t);

	if (row == NULL)
		return;
	model_tool_result(m, row, t);
	row->completed_at = strcmp(t->state, "started") == 0 || tool_is_ahead(t)
				? 0
				: c->now_us;
	if (t->new_args && (strcmp(t->state, "planned") == 0 ||
			       strcmp(t->state, "started") == 0)) {
		row->t.args = arena_strdup(m->arena, t->args);
		row->t.effect = arena_strdup(m->arena, t->effect);
		row->t.key_until = t->key_until;
		memcpy(row->t.args_hash, t->args_hash, sizeof(t->args_hash));
	}
	row->t.resolution = arena_strdup(m->arena,
	    t->resolution != NULL ? t->resolution : "auto");
	row->t.idem_key = arena_strdup(m->arena, t->idem_key);
	row->t.deadline_us = t->deadline_us;
}

static void
messages_void(struct model *m, struct uuid run_id)
{
	for (int i = 0; i < m->messages.n; i++) {
		struct model_message *row = m->messages.rows[i];

		if (uuid_equal(row->run_id, run_id))
			row->m.state = "rolled_back";
	}
}

/* ---- Commit: items, jobs, dead letters ------------------------------ */

static bool
item_exists(const struct model *m, struct uuid run_id, struct uuid interrupt_id)
{
	for (int i = 0; i < m->items.n; i++) {
		const struct model_item *t = m->items.rows[i];

		if (uuid_equal(t->run_id, run_id) &&
		    uuid_equal(t->i.interrupt_id, interrupt_id))
			return true;
	}
	return false;
}

static void
item_add(struct model *m, const struct model_run *r, const struct run_item *new)
{
	struct model_item *row;
	struct run_item *t;

	if (item_exists(m, r->id, new->interrupt_id))
		return;
	row = model_add(m, &m->items, sizeof(*row));
	t = &row->i;
	row->run_id = r->id;
	row->thread_id = r->thread_id;
	row->step = r->step;
	row->status = "pending";
	*t = *new;
	t->correlation_id = arena_strdup(m->arena, new->correlation_id);
	t->kind = arena_strdup(m->arena, new->kind);
	t->title = arena_strdup(m->arena, new->title);
	t->description = arena_strdup(m->arena, new->description);
	t->action_request = arena_strdup(m->arena, new->action_request);
	t->config = arena_strdup(m->arena, new->config);
	t->on_expire = arena_strdup(m->arena, new->on_expire);
}

static void
items_close(struct model *m, const struct run_commit *c)
{
	for (int i = 0; i < m->items.n; i++) {
		struct model_item *row = m->items.rows[i];

		if (!uuid_equal(row->run_id, c->run_id) ||
		    strcmp(row->status, "pending") != 0 ||
		    (!uuid_is_nil(c->item_id) &&
			!uuid_equal(row->i.id, c->item_id)) ||
		    !model_item_closes(row, c))
			continue;
		row->status = arena_strdup(m->arena, c->items_close);
		row->response_type = arena_strdup(m->arena, c->response_type);
		row->response = arena_strdup(m->arena, c->response);
		row->responded_by = c->responded_by;
		row->responded_at = c->now_us;
	}
}

static void
dead_add(struct model *m, const struct model_job *j, const struct run_commit *c)
{
	struct model_dead *d = model_add(m, &m->dead, sizeof(*d));
	struct buf s = { 0 };

	jw_open(&s, NULL);
	jw_str(&s, "status", run_status_name(c->from));
	jw_int(&s, "step", c->step);
	jw_int(&s, "fence", c->fence);
	jw_int(&s, "head_seq", c->heads.run_seq);
	jw_int(&s, "attempt", c->attempt);
	jw_close(&s);
	d->run_id = c->run_id;
	d->attempts = j->attempts;
	d->reason = arena_strdup(m->arena, c->dead_reason);
	d->snapshot = arena_strndup(m->arena, s.data, s.len);
	d->errors = c->error != NULL ? arena_printf(m->arena, "[%s]", c->error)
				     : "[]";
	buf_free(&s);
}

static void
job_write(struct model *m, const struct model_run *r,
    const struct run_commit *c)
{
	struct model_job *j = model_job(m, r->id);

	if (c->dead_reason != NULL && j != NULL)
		dead_add(m, j, c);
	if (run_commit_queues(c)) {
		if (j == NULL)
			j = model_job_add(m, r, c->run_at, c->now_us);
		j->state = 0;
		j->owner_epoch = j->leased_at = 0;
		j->run_at = c->run_at;
	} else if (c->to == RUN_CANCELLING) {
		if (j != NULL && j->state == 0 && j->run_at > c->now_us)
			j->run_at = c->now_us;
	} else if (c->to != RUN_RUNNING && j != NULL)
		j->run_id = (struct uuid){ 0 };
}

static void
outbox_tell(struct model *m, const struct model_run *r,
    const struct run_told *t, int64_t now_us)
{
	for (int i = 0; i < m->hooks.n; i++) {
		const struct model_hook *h = m->hooks.rows[i];
		struct model_outbox *o;

		if (h->paused || (h->mask & t->bit) == 0 ||
		    !uuid_equal(h->tenant_id, r->tenant_id) ||
		    !uuid_equal(h->user_id, r->user_id))
			continue;
		o = model_add(m, &m->outbox, sizeof(*o));
		o->tenant_id = r->tenant_id;
		o->webhook_id = h->id;
		o->event_id = t->event_id;
		o->event = t->name;
		o->ref = t->ref;
		o->next_at = o->created_at = now_us;
	}
}

static void
outbox_add(struct model *m, const struct run_commit *c)
{
	struct run_told *list;
	int n = run_outbox_list(m->arena, c, &list);

	for (int i = 0; i < n; i++)
		outbox_tell(m, model_run(m, list[i].run_id), &list[i],
		    c->now_us);
}

static void
commit_write(struct model *m, struct model_run *r, const struct run_commit *c)
{
	struct model_thread *t = model_thread(m, c->thread_id);
	int64_t fence = c->fence + (c->bump_fence ? 1 : 0);

	run_write(m, r, c);
	if (!uuid_is_nil(c->checkpoint_id))
		checkpoint_add(m, r, t, c);
	thread_move(m, t, c);
	for (int i = 0; i < c->n_messages; i++)
		model_message_add(m, r, &c->messages[i]);
	model_events_add(m, r, fence, &c->heads, c->events);
	for (int i = 0; i < c->n_tools_new; i++)
		model_tool_add(m, r->id, fence, c->now_us, &c->tools_new[i]);
	for (int i = 0; i < c->n_tools_done; i++)
		tool_finish(m, c, &c->tools_done[i]);
	if (c->void_messages)
		messages_void(m, r->id);
	if (c->items_close != NULL)
		items_close(m, c);
	for (int i = 0; i < c->n_answers; i++)
		model_item_answer(m, r->id, &c->answers[i], c->now_us);
	for (int i = 0; i < c->n_items_new; i++)
		item_add(m, r, &c->items_new[i]);
	job_write(m, r, c);
	outbox_add(m, c);
	model_unblock(m, r, c);
	model_child_write(m, r, c);
}

/* Does the commit itself give this number to another message? */
static bool
is_numbered(const struct run_commit *c, int64_t sequence)
{
	for (int i = 0; i < c->n_messages; i++)
		if (c->messages[i].sequence == sequence)
			return true;
	for (int i = 0; i < c->n_unblocks; i++)
		if (c->unblocks[i].message->sequence == sequence)
			return true;
	return false;
}

static const char *
children_refused(const struct model *m, const struct run_commit *c)
{
	const char *why = NULL;

	for (int i = 0; i < c->n_children && why == NULL; i++) {
		struct run_message first = c->children[i].message;

		first.sequence = c->heads.msg_seq + c->n_messages + i;
		if (is_numbered(c, first.sequence))
			return "messages_thread_id_sequence_key";
		why = model_messages_refused(m, c->thread_id,
		    c->children[i].run_id, &first, 1);
	}
	return why;
}

enum as_status
model_commit(void *arg, const struct run_commit *c, struct error *err)
{
	struct model *m = arg;
	struct model_run *r = model_run(m, c->run_id);
	struct model_change told = { .op = MODEL_COMMIT,
		.run = r,
		.commit = c };
	const char *why;

	if (!guard_holds(m, r, c))
		return moved_on(err);
	if (!uuid_is_nil(c->checkpoint_id) && checkpoint_exists(m, c))
		return taken(err, "checkpoints_pkey");
	why = model_messages_refused(m, c->thread_id, c->run_id, c->messages,
	    c->n_messages);
	if (why == NULL)
		why = tools_refused(m, c);
	if (why == NULL)
		why = model_unblock_refused(m, c);
	if (why == NULL)
		why = children_refused(m, c);
	if (why != NULL)
		return taken(err, why);
	told.from = r->status;
	told.fence = r->fence;
	told.step = r->step;
	told.owner_epoch = r->owner_epoch;
	commit_write(m, r, c);
	model_tell(m, &told);
	model_unblock_tell(m, c);
	return AS_OK;
}

/* ---- Late results -------------------------------------------------- */

enum as_status
model_late(void *arg, struct uuid run_id, const struct run_tool *t,
    int64_t now_us, struct error *err)
{
	struct model *m = arg;
	struct model_tool *row = model_tool_by_id(m, run_id, t->id);
	struct model_change told = { .op = MODEL_LATE };
	bool twice = m->mutant == MODEL_LATE_TWICE;

	if (row == NULL || strcmp(row->t.idem_key, t->idem_key) != 0 ||
	    ((row->t.result != NULL || !tool_is_open(row)) && !twice))
		return error_set(err, ERR_CONFLICT,
		    "the result has come too late");
	model_tool_result(m, row, t);
	row->completed_at = now_us;
	row->t.resolution = "late";
	told.run = model_run(m, run_id);
	told.from = told.run->status;
	told.step = told.run->step;
	told.tool = row;
	model_tell(m, &told);
	return AS_OK;
}
