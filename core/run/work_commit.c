/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/run/child.h"
#include "core/run/mutant.h"
#include "core/run/run_metrics.h"
#include "core/run/work.h"

/*
 * The one way to commit.  w->state changes only here, after the store has said
 * so.
 */

#define COMMIT_TRIES 5 /* where waiting does not help */

/* ---- Building a commit --------------------------------------------- */

void
work_spend(struct work *w, const struct plug_chat_end *end)
{
	struct run_usage *u = &w->state.usage;
	int64_t input = end->input > 0 ? end->input : 0;
	int64_t output = end->output > 0 ? end->output : 0;

	if (input + output == 0)
		return;
	u->input += input;
	u->output += output;
	u->cached += end->cached > 0 ? end->cached : 0;
	u->reasoning += end->reasoning > 0 ? end->reasoning : 0;
	w->spent_tokens += input + output;
	w->spent_micros += run_cost_micros(w->e->c.limits.prices, w->model,
	    input, output);
	w->has_spent = true;
}

static void
commit_spent(struct work *w, struct work_commit *wc)
{
	struct buf b = { 0 };

	if (!w->has_spent)
		return;
	run_usage_write(&b, NULL, &w->state.usage);
	wc->c.usage = work_text(wc, &b);
	wc->c.tokens = w->spent_tokens;
	wc->c.cost_micros = w->spent_micros;
}

static void
commit_breaker(struct work *w, struct work_commit *wc)
{
	struct buf b = { 0 };

	if (w->breaker_service == NULL)
		return;
	jw_open(&b, NULL);
	jw_str(&b, "service", w->breaker_service);
	jw_str(&b, "state", breaker_state_name(w->breaker));
	jw_close(&b);
	event_list_add(&wc->events, "breaker", &b);
}

/*
 * A fence comes again where a claim was lost with its primary; the epoch of who
 * claims does not.
 */
static int64_t
work_owner(const struct work *w)
{
	return w->guest || !run_has_owner(w->state.status)
		   ? 0
		   : w->state.owner_epoch;
}

void
work_commit_init(struct work *w, struct work_commit *wc)
{
	struct run_commit *c = &wc->c;

	memset(wc, 0, sizeof(*wc));
	wc->arena = arena_new(NULL);
	wc->n_own_events = -1;
	wc->filled_at = -1;
	c->run_id = w->run_id;
	c->thread_id = w->thread_id;
	c->tenant_id = w->state.tenant_id;
	c->ns = w->state.ns;
	c->from = c->to = w->state.status;
	c->fence = w->state.fence;
	c->owner = work_owner(w);
	c->step = w->state.step;
	c->heads = w->state.heads;
	c->attempt = w->state.attempt;
	c->beside = w->state.branch.beside;
	c->bump_fence = w->takes_over;
	c->events = &wc->events;
	c->now_us = engine_now_us(w->e);
	commit_spent(w, wc);
	commit_breaker(w, wc);
}

void
work_commit_fini(struct work_commit *wc)
{
	work_fill_clear(wc);
	event_list_clear(&wc->events);
	event_list_clear(&wc->told);
	arena_free(wc->arena);
}

/* All messages of a commit stand in one array, grown one by one. */
struct run_message *
work_add_message(struct work *w, struct work_commit *wc, const char *role)
{
	struct run_message *all, *m;
	size_t n = (size_t)wc->c.n_messages;

	all = arena_alloc(wc->arena, (n + 1) * sizeof(*all));
	if (n > 0)
		memcpy(all, wc->messages, n * sizeof(*all));
	wc->c.messages = wc->messages = all;
	m = &all[n];
	wc->c.n_messages++;
	m->id = engine_new_id(w->e);
	m->parent_id = n > 0 ? all[n - 1].id : w->last_id;
	m->role = role;
	m->content = "";
	m->parts = "[]";
	m->state = "final";
	m->step = w->state.step + 1;
	m->sequence = wc->c.heads.msg_seq + (int64_t)n;
	m->created_at = wc->c.now_us;
	return m;
}

void
work_message_created(struct work *w, struct work_commit *wc,
    const struct run_message *m)
{
	run_message_created(&wc->events, m, w->thread_id, w->run_id);
}

const char *
work_text(struct work_commit *wc, struct buf *b)
{
	const char *s = arena_strndup(wc->arena, b->data, b->len);

	buf_free(b);
	return s;
}

void
work_message_start(struct work *w, struct work_commit *wc)
{
	bool again = w->message_open;

	if (!again)
		w->message_id = engine_new_id(w->e);
	w->message_open = true;
	if (again)
		run_message_reset(&wc->events, w->message_id, w->state.fence);
	else
		run_message_started(&wc->events, w->message_id, w->state.fence,
		    w->model);
}

static void
checkpoint_manifest(struct work_commit *wc)
{
	struct run_commit *c = &wc->c;
	struct buf body = { 0 };

	jw_open(&body, NULL);
	jw_int(&body, "messages", c->heads.msg_seq + c->n_messages - 1);
	jw_close(&body);
	c->checkpoint_manifest = work_text(wc, &body);
}

/*
 * The state of the interactive graph is its messages, so a checkpoint is their
 * head.  Its hash covers the one before and what every message since then says,
 * the first one also the question; no ids, so that a replay comes to the same.
 */
void
work_checkpoint(struct work *w, struct work_commit *wc)
{
	struct run_commit *c = &wc->c;
	struct hash before = w->chain;
	struct buf body = { 0 };
	char hex[HASH_TEXT];

	for (int i = 0; i < c->n_messages; i++)
		work_chain_add(w, wc->messages[i].role, wc->messages[i].parts);
	hash_end(&w->chain, c->checkpoint_hash);
	w->chain = before; /* until it is written */
	c->checkpoint_id = engine_new_id(w->e);
	c->checkpoint_parent = w->state.checkpoint_id;
	if (w->state.branch.beside && uuid_is_nil(c->checkpoint_parent))
		c->checkpoint_parent = w->run_id; /* of the fork */
	checkpoint_manifest(wc);
	text_hex(hex, c->checkpoint_hash, HASH_LEN);
	jw_open(&body, NULL);
	jw_uuid(&body, "checkpoint_id", c->checkpoint_id);
	if (w->state.ns[0] == '\0') /* a subagent's frame says it itself */
		jw_str(&body, "ns", "");
	jw_int(&body, "step", c->step + 1);
	jw_str(&body, "state_hash", hex);
	jw_close(&body);
	event_list_add(&wc->events, "checkpoint", &body);
	c->advance = true;
}

/* ---- Committing ---------------------------------------------------- */

static void
state_apply(struct work *w, const struct run_commit *c)
{
	w->state.heads = run_commit_heads(c);
	w->state.n_blocked -= c->n_unblocks;
	w->state.pending_children += c->n_children;
	if (c->n_messages > 0)
		w->last_id = c->messages[c->n_messages - 1].id;
	if (c->n_messages > 0 && !uuid_is_nil(w->state.leaf))
		w->state.leaf = w->last_id;
	w->state.step += c->advance ? 1 : 0;
	w->state.fence += c->bump_fence ? 1 : 0;
	w->state.attempt = c->attempt;
	w->breaker_service = NULL;
	w->has_spent = false;
	w->spent_tokens = w->spent_micros = 0;
	w->state.cost_micros += c->cost_micros;
	if (c->deadline_at > 0)
		w->state.deadline_at = c->deadline_at;
	w->state.status = c->to;
	if (!uuid_is_nil(c->checkpoint_id)) {
		w->state.checkpoint_id = c->checkpoint_id;
		memcpy(w->state.checkpoint_hash, c->checkpoint_hash, HASH_LEN);
		work_chain_begin(w);
		return;
	}
	for (int i = 0; i < c->n_messages; i++)
		work_chain_add(w, c->messages[i].role, c->messages[i].parts);
	for (int i = 0; run_is_open(c->to) && i < c->n_unblocks; i++) {
		const struct run_message *m = c->unblocks[i].message;

		w->last_id = m->id;
		if (!uuid_is_nil(w->state.leaf))
			w->state.leaf = w->last_id;
		work_chain_add(w, m->role, m->parts);
	}
}

void
work_state_look(struct work *w, const struct run_state *now)
{
	w->state.heads = now->heads;
	w->state.status = now->status;
	w->state.cancel_mode = now->cancel_mode;
	w->state.active_run_id = now->active_run_id;
	w->state.thread_leaf = now->thread_leaf;
	w->state.parent = now->parent;
	w->state.n_blocked = now->n_blocked;
	w->state.n_steers = now->n_steers;
	w->state.next_multitask = now->next_multitask;
}

/*
 * What the row says after a miss or, `unknown`, after a try of which nobody
 * knows the outcome.  AS_OK: it was ours and is written; AS_BUSY: not written,
 * the same commit may be tried again.
 */
static SUSPENDS enum as_status
commit_resolve(struct work *w, struct run_commit *c, bool unknown,
    struct error *err)
{
	bool moved, taken;
	struct run_state now;
	enum as_status st;

	st = run_store_state(w->e->c.runs, w->run_id, w->arena, &now, err);
	if (st != AS_OK)
		return st == AS_NOTFOUND ? AS_CANCELED : AS_BUSY;
	taken = now.fence != w->state.fence ||
		(c->owner != 0 && run_has_owner(now.status) &&
		    now.owner_epoch != c->owner);
	/* Beside the owner only a cancel writes, once, and it is one event. */
	moved = !w->guest && !taken && now.heads.run_seq > c->heads.run_seq + 1;
	if (uuid_equal(now.last_commit_id, c->commit_id) || (moved && unknown))
		return AS_OK;
	/* Moved: we gave this run up once, and what we sent then came late. */
	if (moved || taken || now.step != w->state.step ||
	    (w->guest ? now.heads.run_seq != c->heads.run_seq
		      : !run_has_owner(now.status))) {
		run_count_refused("fence");
		w->lost = true;
		return AS_CANCELED;
	}
	work_state_look(w, &now);
	c->heads = now.heads;
	if (now.status == RUN_CANCELLING && c->from == RUN_RUNNING) {
		w->cancel = true;
		return AS_CONFLICT;
	}
	if (c->version != 0 && now.version != c->version)
		return AS_CONFLICT; /* what it was decided by has changed */
	return AS_BUSY;
}

/*
 * The person goes on looking at what this run says, and at what the next one is
 * asked.
 */
static void
commit_leaf(const struct work *w, struct run_commit *c)
{
	const struct run_branch *b = &w->state.branch;

	c->leaf = (struct uuid){ 0 };
	if (!uuid_is_nil(b->leaf) && !b->beside) {
		if (c->void_messages)
			c->leaf = c->back_to = b->before;
		else if (c->n_messages > 0)
			c->leaf = c->messages[c->n_messages - 1].id;
		else if (c->n_unblocks > 0 && c->unblocks[0].to != RUN_QUEUED)
			c->leaf = c->unblocks[c->n_unblocks - 1].message->id;
	}
	if (!uuid_is_nil(c->branch.leaf))
		c->leaf = c->branch.leaf;
	if (c->n_unblocks > 0 && !uuid_is_nil(c->unblocks[0].branch.leaf))
		c->leaf = c->unblocks[0].branch.leaf;
}

/*
 * Its messages keep their numbers: who holds the thread alone gives them.  Not
 * so what depends on the runs that wait.
 */
static SUSPENDS enum as_status
commit_try(struct work *w, struct work_commit *wc, struct error *err)
{
	struct run_commit *c = &wc->c;
	enum as_status st = AS_OK;

	if (wc->fill == NULL && run_commit_frees_thread(c))
		wc->fill = work_fill_next;
	/* As long as the head is the same, this may have been written. */
	if (wc->fill != NULL && wc->filled_at != c->heads.seq) {
		st = wc->fill(w, wc, err);
		wc->filled_at = st == AS_OK ? c->heads.seq : -1;
	}
	if (st != AS_OK)
		return st;
	commit_leaf(w, c);
	return run_store_commit(w->e->c.runs, c, err);
}

/* The message_created of a message that has another number now. */
static void
event_renumber(struct event_list *events, const struct run_message *m,
    struct uuid thread_id, struct uuid run_id)
{
	static const char start[] = "{\"message\":{\"id\":\"";
	struct event_list fresh = { 0 };
	char id[UUID_TEXT];

	uuid_format(m->id, id);
	for (int i = 0; i < events->n; i++) {
		struct event *e = &events->items[i];

		if (strcmp(e->type, "message_created") != 0 ||
		    strncmp(e->body, start, sizeof(start) - 1) != 0 ||
		    strncmp(e->body + sizeof(start) - 1, id, strlen(id)) != 0)
			continue;
		run_message_created(&fresh, m, thread_id, run_id);
		free(e->body);
		e->body = fresh.items[0].body;
		free(fresh.items);
		return;
	}
}

/*
 * Another run of the thread, a subagent or its parent, has written messages:
 * ours come behind them.
 */
static void
commit_renumber(struct work *w, struct work_commit *wc, int64_t before)
{
	int64_t by = wc->c.heads.msg_seq - before;

	if (by == 0)
		return;
	for (int i = 0; i < wc->c.n_messages; i++) {
		wc->messages[i].sequence += by;
		event_renumber(&wc->events, &wc->messages[i], w->thread_id,
		    w->run_id);
	}
	for (int i = 0; i < wc->c.n_children; i++) {
		wc->children[i].message.sequence += by;
		event_renumber(wc->children[i].events, &wc->children[i].message,
		    w->thread_id, wc->children[i].run_id);
	}
	if (!uuid_is_nil(wc->c.checkpoint_id))
		checkpoint_manifest(wc);
}

static void
publish_to(struct work *w, struct work_commit *wc, struct uuid run_id,
    const char *ns, struct run_heads *at, const struct event_list *events)
{
	engine_publish_ns(w->e->c.bus, w->thread_id, run_id, ns, at, events,
	    wc->c.now_us);
	at->seq += events->n;
}

/* In the order of their numbers. */
static void
commit_publish(struct work *w, struct work_commit *wc)
{
	const struct run_commit *c = &wc->c;
	struct run_heads at = c->heads;

	publish_to(w, wc, w->run_id, w->state.ns, &at, c->events);
	for (int i = 0; i < c->n_children; i++) {
		at.run_seq = 0;
		publish_to(w, wc, c->children[i].run_id, c->children[i].ns, &at,
		    c->children[i].events);
	}
	if (c->tell.events != NULL && c->tell.events->n > 0) {
		at.run_seq = c->tell.run_seq;
		publish_to(w, wc, c->tell.run_id, c->tell.parent_ns, &at,
		    c->tell.events);
	}
	if (c->tell.last) /* it can go on, or end */
		engine_starve(w->e);
}

SUSPENDS enum as_status
work_commit(struct work *w, struct work_commit *wc, struct error *err)
{
	struct run_commit *c = &wc->c;
	bool unknown = false;
	int64_t before;
	enum as_status st;

	c->commit_id = engine_new_id(w->e);
	MUTANT_DO(PUBLISH_EARLY,
	    engine_publish(w->e->c.bus, w->thread_id, w->run_id, &c->heads,
		c->events, c->now_us));
	for (int i = 0, failed = 0;; i++) {
		error_clear(err);
		child_tell(w, wc);
		FAILPOINT("commit.pre_send");
		st = commit_try(w, wc, err);
		if (st == AS_OK || st == AS_CANCELED)
			break;
		if (st != AS_CONFLICT) {
			unknown = true;
			if (!work_is_passing(st) && ++failed == COMMIT_TRIES)
				break;
			if (fiber_sleep(work_backoff_ms(w, i)) != FIBER_WOKEN)
				break;
		}
		before = c->heads.msg_seq;
		st = commit_resolve(w, c, unknown, err);
		if (st != AS_BUSY)
			break;
		commit_renumber(w, wc, before);
	}
	if (st == AS_OK) {
		FAILPOINT("commit.post_ack");
		if (!uuid_is_nil(c->tell.run_id))
			FAILPOINT("child.end");
		if (!run_is_open(c->to))
			run_count_end(c->to,
			    (double)(c->now_us - w->state.created_at) / 1e6);
		commit_publish(w, wc);
		work_unblocked(w, c);
		state_apply(w, c);
	} else if (st != AS_CONFLICT) {
		w->gave_up = st != AS_CANCELED;
		w->lost = true;
		log_warn("run", "commit of step %lld given up: %s",
		    (long long)c->step, err != NULL ? err->detail : "");
	}
	return st;
}
