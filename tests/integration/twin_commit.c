/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "tests/integration/twin.h"

/* Commits, with all that one may carry. */

/* ---- Commits ------------------------------------------------------- */

struct commit {
	struct run_commit c;
	struct event_list events;
	struct run_message messages[3];
	struct run_tool new[3], done[3];
	struct run_item items[2];
	struct run_child children[3];
	struct event_list born[3], told;
	struct run_answer answers[2];
	char keys[4][40], ns[3][64];
	struct run_unblock unblocks[3];
	struct run_message placed[3];
	struct event_list unblock_events[3];
};

static enum run_status
some_end(enum run_status from)
{
	static const enum run_status ends[] = { RUN_QUEUED, RUN_CANCELLING,
		RUN_WAITING_HUMAN, RUN_WAITING_TIMER, RUN_RECOVERABLE_ERROR,
		RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELLED, RUN_ROLLED_BACK,
		RUN_DEAD_LETTERED };

	return one_in(2) ? from : ends[below(N_ITEMS(ends))];
}

static const char *
some_state(void)
{
	static const char *const states[] = { "started", "awaiting_approval",
		"parked" };

	return one_in(2) ? states[0] : states[below(N_ITEMS(states))];
}

static void
args_change(struct run_tool *t)
{
	t->new_args = one_in(3);
	if (!t->new_args)
		return;
	t->args = "{\"y\":2}";
	t->effect = "P";
	t->key_until = one_in(2) ? now_us : 0;
	for (int b = 0; b < 32; b++)
		t->args_hash[b] = (uint8_t)below(256);
}

static void
tools_make(struct commit *k, const struct model_run *r)
{
	struct run_commit *c = &k->c;
	const struct model_tool *old;

	c->tools_new = k->new;
	c->n_tools_new = one_in(3) ? 1 + (int)below(3) : 0;
	for (int i = 0; i < c->n_tools_new; i++) {
		snprintf(k->keys[i], sizeof(k->keys[i]), "key-%u",
		    one_in(8) ? below(5) : 10 + (unsigned)n_ids + (unsigned)i);
		k->new[i] = (struct run_tool){ .id = new_id(),
			.step = r->step + 1,
			.ordinal = i,
			.call_id = "call_1",
			.idem_key = k->keys[i],
			.tool = "t_K",
			.version = "1",
			.args = "{\"x\":\"\\\"\"}",
			.effect = "K",
			.state = some_state(),
			.deadline_us = now_us + 5,
			.key_until = one_in(2) ? now_us : 0 };
		for (int b = 0; b < 32; b++)
			k->new[i].args_hash[b] = (uint8_t)below(256);
	}
	c->tools_done = k->done;
	for (int i = 0; i < 3 && (old = any(&model->tools)) != NULL; i++) {
		static const char *const states[] = { "succeeded", "failed",
			"unknown", "started", "skipped", "planned",
			"awaiting_approval", "parked" };
		struct run_tool *t = &k->done[c->n_tools_done];

		if (!uuid_equal(old->run_id, r->id) && !one_in(10))
			continue;
		if (c->n_tools_done > 0 && uuid_equal(k->done[0].id, old->t.id))
			continue;
		*t = old->t;
		t->state = states[below(N_ITEMS(states))];
		t->result = strcmp(t->state, "started") != 0 ? words() : NULL;
		t->error_code = one_in(2) ? "CANCELED" : NULL;
		t->resolution = one_in(2) ? "operator" : NULL;
		t->deadline_us = one_in(2) ? 0 : now_us;
		args_change(t);
		if (one_in(6) && c->n_tools_done == 0) {
			snprintf(k->keys[3], sizeof(k->keys[3]), "key-%u",
			    one_in(2) ? below(5) : 10000 + (unsigned)n_ids);
			t->idem_key = k->keys[3];
		}
		if (++c->n_tools_done == 2)
			break;
	}
}

void
answer_make(struct run_answer *a, const struct model_item *item)
{
	static const char *const types[] = { "accept", "edit", "response",
		"ignore" };

	*a = (struct run_answer){ .item_id = item->i.id,
		.status = one_in(4) ? "expired" : "answered",
		.type = types[below(N_ITEMS(types))],
		.response = one_in(2) ? "{\"x\":\"\\\"\"}" : NULL,
		.key = one_in(4) ? NULL : words(),
		.by = one_in(3) ? (struct uuid){ { 0 } } : user_id };
}

/* Of this run, or, sometimes, of any. */
int
answers_make(struct run_answer a[2], struct uuid run_id)
{
	const struct model_item *old;
	int n = 0;

	for (int i = 0; i < 6 && n < 2; i++) {
		old = any(&model->items);
		if (old == NULL ||
		    (!uuid_equal(old->run_id, run_id) && !one_in(10)))
			continue;
		if (n == 0 || !uuid_equal(a[0].item_id, old->i.id))
			answer_make(&a[n++], old);
	}
	return n;
}

static void
items_make(struct commit *k)
{
	static const char *const kinds[] = { "error", "approval", "question" };
	struct run_commit *c = &k->c;
	const struct model_item *old = any(&model->items);

	c->items_new = k->items;
	c->n_items_new = one_in(4) ? 1 : 0;
	k->items[0] = (struct run_item){ .id = new_id(),
		.interrupt_id = old != NULL && one_in(4) ? old->i.interrupt_id
							 : new_id(),
		.agent_id = agent_id,
		.user_id = user_id,
		.correlation_id = words(),
		.task_id = one_in(2) ? (struct uuid){ { 0 } } : new_id(),
		.kind = kinds[below(N_ITEMS(kinds))],
		.expires_at = one_in(2) ? now_us + below(9000000) : 0,
		.on_expire = one_in(2) ? "reject" : NULL,
		.ordinal = below(4),
		.title = words(),
		.description = words(),
		.action_request = one_in(2) ? NULL : "{}",
		.config = one_in(2) ? NULL : "{\"a\":1}" };
	c->answers = k->answers;
	if (one_in(3))
		c->n_answers = answers_make(k->answers, c->run_id);
	if (c->n_answers > 0 && one_in(4)) {
		k->answers[0].status = "pending";
		k->answers[0].by = (struct uuid){ { 0 } };
	}
	if (!one_in(4))
		return;
	c->items_close = one_in(2) ? "answered" : "superseded";
	c->response_type = one_in(2) ? "retry" : NULL;
	c->response = one_in(2) ? "{\"b\":2}" : NULL;
	if (one_in(2))
		c->responded_by = user_id;
	if (old != NULL && one_in(2))
		c->item_id = old->i.id;
}

/* ---- Commits that touch the queue ----------------------------------- */

static const struct model_message *
staged_of(const struct model_run *r)
{
	for (int i = 0; i < model->messages.n; i++) {
		const struct model_message *m = model->messages.rows[i];

		if (uuid_equal(m->run_id, r->id) &&
		    strcmp(m->m.state, "staged") == 0)
			return m;
	}
	return NULL;
}

static void
place_make(struct commit *k, struct run_message *m, const struct model_run *r)
{
	const struct model_message *staged = staged_of(r);

	MUST(staged != NULL);
	*m = staged->m;
	m->state = "final";
	m->sequence = run_commit_heads(&k->c).msg_seq;
	m->parent_id = new_id();
}

static struct run_branch
some_branch(const struct run_commit *c, const struct run_message *m)
{
	return (struct run_branch){ .leaf = m->id,
		.before = some_message(c->thread_id) };
}

/* A blocked one is cancelled, or its thread is free and it begins. */
static void
blocked_make(struct commit *k, const struct model_run *r)
{
	const struct model_thread *t = model_thread(model, r->thread_id);
	struct run_commit *c = &k->c;

	c->n_messages = 0;
	c->void_messages = true;
	c->to = one_in(2) ? RUN_CANCELLED : RUN_ROLLED_BACK;
	c->dead_reason = NULL;
	if (!uuid_is_nil(t->active_run_id))
		return;
	c->to = RUN_QUEUED;
	c->void_messages = false;
	place_make(k, &k->placed[0], r);
	c->unstaged = &k->placed[0];
	if (one_in(2))
		c->branch = some_branch(c, c->unstaged);
}

static void
unblock_make(struct commit *k, const struct model_run *r, enum run_status to)
{
	struct run_commit *c = &k->c;
	int i = c->n_unblocks;
	struct run_message *m = &k->placed[i];

	place_make(k, m, r);
	if (to == RUN_CANCELLED) {
		m->step = c->step + 1;
		m->ordinal = 1000000 + (int64_t)n_ids;
	}
	events_make(&k->unblock_events[i], 1 + (int)below(2));
	k->unblocks[i] = (struct run_unblock){ .run_id = r->id,
		.to = to,
		.run_seq = r->head_seq,
		.deadline_at = one_in(2) ? now_us + 77 : 0,
		.events = &k->unblock_events[i],
		.message = m };
	if (to == RUN_QUEUED && one_in(2))
		k->unblocks[i].branch = some_branch(c, m);
	c->unblocks = k->unblocks;
	c->n_unblocks++;
}

static void
unblocks_make(struct commit *k)
{
	struct run_commit *c = &k->c;
	const struct model_run *next = model_first_blocked(model, c->thread_id);

	if (next == NULL || one_in(4))
		return;
	if (run_commit_frees_thread(c)) {
		unblock_make(k, next, RUN_QUEUED);
		return;
	}
	for (int i = 0; i < model->runs.n && c->n_unblocks < 3; i++) {
		const struct model_run *r = model->runs.rows[i];

		if (r->block_pos != 0 && uuid_equal(r->thread_id, c->thread_id))
			unblock_make(k, r, RUN_CANCELLED);
	}
}

static void
checkpoint_make(struct run_commit *c)
{
	c->advance = true;
	c->checkpoint_id = new_id();
	c->checkpoint_manifest = "{\"messages\":1}";
	for (int b = 0; b < 32; b++)
		c->checkpoint_hash[b] = (uint8_t)below(256);
}

static void
beliefs_twist(struct run_commit *c)
{
	switch (below(9)) {
	case 0:
		c->fence--;
		break;
	case 1:
		c->step++;
		break;
	case 2:
		c->heads.seq++;
		break;
	case 3:
		c->heads.run_seq--;
		break;
	case 4:
		c->from = c->from == RUN_RUNNING ? RUN_QUEUED : RUN_RUNNING;
		break;
	case 5:
		c->thread_id = threads[0];
		break;
	case 6:
		c->version += 1 + below(2);
		break;
	case 7:
		c->owner++;
		break;
	default:
		c->heads.msg_seq = 1; /* not tested, but its messages exist */
	}
}

/* A run at work begins subagents, and waits. */
static void
children_make(struct commit *k, const struct model_run *r)
{
	struct run_commit *c = &k->c;
	const struct model_tool *call;

	if (r->status != RUN_RUNNING || r->pending_children > 0 || !one_in(4))
		return;
	c->to = RUN_WAITING_CHILD;
	c->void_messages = false;
	c->dead_reason = NULL;
	c->children = k->children;
	c->n_children = 1 + (int)below(3);
	for (int i = 0; i < c->n_children; i++) {
		struct run_child *d = &k->children[i];

		snprintf(k->ns[i], sizeof(k->ns[i]), "task:%llu",
		    (unsigned long long)n_ids);
		call = any(&model->tools);
		d->run_id = new_id();
		d->agent_id = agent_id;
		d->call_id = call != NULL ? call->t.id : new_id();
		d->ns = k->ns[i];
		d->model = one_in(2) ? "m" : NULL;
		d->budget = one_in(2) ? "{\"steps\":-1}" : NULL;
		d->deadline_at = now_us + 5;
		d->events = &k->born[i];
		events_make(&k->born[i], 1 + (int)below(3));
		message_make(&d->message, r->thread_id, "user", 0, 0, 0);
		d->message = (struct run_message){ .id = d->message.id,
			.role = "user",
			.content = d->message.content,
			.parts = "[]",
			.state = "final",
			.created_at = now_us };
	}
}

/* One that ends tells its parent. */
static void
tell_make(struct commit *k, const struct model_run *r)
{
	const struct model_run *p = model_run(model, r->parent_run_id);
	struct run_tell *t = &k->c.tell;

	if (p == NULL || run_is_open(k->c.to) || p->pending_children == 0 ||
	    (p->status != RUN_WAITING_CHILD && p->status != RUN_CANCELLING))
		return;
	t->run_id = p->id;
	t->call.id = r->parent_call_id;
	t->call.state = one_in(2) ? "succeeded" : "failed";
	t->call.result = words();
	t->call.error_code = one_in(2) ? "CANCELED" : NULL;
	t->budget = one_in(2) ? "{\"steps\":7}" : NULL;
	t->run_seq = p->head_seq;
	t->last = p->pending_children == 1;
	t->events = &k->told;
	events_make(&k->told, (int)below(2));
}

static void
commit_fill(struct commit *k, const struct model_run *r)
{
	const struct model_thread *t = model_thread(model, r->thread_id);
	struct run_commit *c = &k->c;

	c->run_id = r->id;
	c->thread_id = t->id;
	c->tenant_id = r->tenant_id;
	c->commit_id = new_id();
	c->ns = r->ns;
	c->todos = one_in(8) ? "[]" : NULL;
	c->from = r->status;
	c->to = some_end(r->status);
	c->fence = r->fence;
	c->step = r->step;
	c->heads = (struct run_heads){ t->head_seq, r->head_seq,
		t->next_msg_seq };
	c->version = one_in(2) ? r->version : 0;
	c->owner = one_in(2) ? r->owner_epoch : 0;
	c->bump_fence = one_in(5);
	c->cancel_mode = one_in(6) ? "keep" : NULL;
	c->void_messages = c->to == RUN_ROLLED_BACK;
	c->usage = one_in(2) ? "{\"input_tokens\":2}" : NULL;
	c->tokens = below(50);
	c->cost_micros = below(50);
	c->error_code = one_in(4) ? "TIMEOUT" : NULL;
	c->error = c->error_code != NULL ? "{\"code\":\"TIMEOUT\"}" : NULL;
	c->model = one_in(6) ? "other" : NULL;
	c->budget = one_in(6) ? "{\"max_steps\":3}" : NULL;
	c->deadline_at = one_in(6) ? now_us + 99 : 0;
	c->attempt = below(3);
	c->run_at = now_us + below(2000000);
	c->now_us = now_us;
	c->dead_reason = c->to == RUN_DEAD_LETTERED ? "crashes" : NULL;
	c->events = &k->events;
	events_make(&k->events, (int)below(4));
	c->messages = k->messages;
	c->n_messages = (int)below(3);
	for (int i = 0; i < c->n_messages; i++)
		message_make(&k->messages[i], t->id,
		    i == 0 ? "assistant" : "tool", t->next_msg_seq + i,
		    r->step + 1, one_in(10) ? 0 : (int64_t)n_ids);
	/* Whoever voids a run's messages writes no others that count. */
	for (int i = 0; c->void_messages && i < c->n_messages; i++)
		k->messages[i].state = "rolled_back";
	tools_make(k, r);
	items_make(k);
	if (k->events.n > 0 && one_in(2)) /* told by one */
		checkpoint_make(c);
	if (one_in(4))
		c->checkpoint_parent = new_id();
	c->beside = one_in(4);
	if (one_in(4))
		c->leaf = some_message(t->id);
	children_make(k, r);
	tell_make(k, r);
	if (r->status == RUN_BLOCKED)
		blocked_make(k, r);
	else if (r->ns[0] == '\0')
		unblocks_make(k);
	if (c->void_messages && one_in(2))
		c->back_to = some_message(t->id);
}

SUSPENDS void
twin_commits(void)
{
	const struct model_run *r = any(&model->runs);
	struct commit *k;

	if (r == NULL || !run_is_open(r->status))
		return;
	k = xcalloc(1, sizeof(*k));
	commit_fill(k, r);
	if (one_in(6))
		beliefs_twist(&k->c);
	snprintf(what, sizeof(what),
	    "commit %s > %s, %d messages, %d + %d tools, %d items, %d others",
	    run_status_name(k->c.from), run_status_name(k->c.to),
	    k->c.n_messages, k->c.n_tools_new, k->c.n_tools_done,
	    k->c.n_items_new, k->c.n_unblocks);
	ON_BOTH(run_store_commit(rs, &k->c, &err), err);
	event_list_clear(&k->events);
	event_list_clear(&k->told);
	for (int i = 0; i < 3; i++) {
		event_list_clear(&k->born[i]);
		event_list_clear(&k->unblock_events[i]);
	}
	free(k);
}
