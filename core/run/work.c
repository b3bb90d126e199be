/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/run/work.h"

/*
 * What all phases of a run share: its state as last committed, its history,
 * and whether it may go on.  work_commit.c changes them.
 */

bool
work_is_passing(enum as_status st)
{
	return st == AS_UNAVAILABLE || st == AS_TIMEOUT || st == AS_BUSY;
}

uint64_t
work_backoff_ms(struct work *w, int attempt)
{
	uint32_t cap = 50u << (attempt < 6 ? attempt : 6);

	return 10 + w->e->c.env.random(w->e->c.env.arg, cap);
}

SUSPENDS bool
work_wait_retry(struct work *w, enum as_status st, int attempt)
{
	return work_is_passing(st) &&
	       fiber_sleep(work_backoff_ms(w, attempt)) == FIBER_WOKEN;
}

SUSPENDS enum as_status
work_reload_history(struct work *w, struct error *err)
{
	struct arena *fresh = arena_new(NULL);
	enum as_status st;

	for (int i = 0;; i++) {
		error_clear(err);
		st = run_store_history(w->e->c.runs, w->thread_id, w->state.ns,
		    w->state.leaf, w->state.heads.msg_seq, fresh, &w->history,
		    &w->n_history, err);
		if (!work_wait_retry(w, st, i))
			break;
	}
	arena_free(w->history_arena);
	w->history_arena = fresh;
	return st;
}

void
work_chain_add(struct work *w, const char *role, const char *parts)
{
	hash_field_str(&w->chain, role);
	hash_field_str(&w->chain, parts);
}

void
work_chain_begin(struct work *w)
{
	hash_init(&w->chain);
	hash_field(&w->chain, w->state.checkpoint_hash, HASH_LEN);
}

/* What is stored of this run and stands in no checkpoint yet. */
static void
chain_load(struct work *w)
{
	bool first = uuid_is_nil(w->state.checkpoint_id);

	work_chain_begin(w);
	for (int i = 0; i < w->n_history; i++) {
		const struct run_history_row *m = &w->history[i];

		if (uuid_equal(m->run_id, w->run_id) &&
		    (first || m->step > w->state.step))
			work_chain_add(w, m->role, m->parts);
	}
}

static SUSPENDS enum as_status
load_once(struct work *w, struct error *err)
{
	struct run_store *runs = w->e->c.runs;
	const struct world *world = w->e->c.world;
	int attempt;
	enum as_status st = AS_OK;

	if (w->state.status == 0) /* not born here */
		st = run_store_state(runs, w->run_id, w->arena, &w->state, err);
	if (st == AS_OK && w->agent == NULL)
		st = world->agent(world->arg, w->state.agent_id, w->arena,
		    &w->agent, err);
	if (st == AS_OK)
		st = work_reload_history(w, err);
	if (w->n_history > 0)
		w->last_id = w->history[w->n_history - 1].id;
	chain_load(w);
	if (st == AS_OK && uuid_is_nil(w->message_id))
		st = run_store_open_message(runs, true, w->run_id, INT64_MAX,
		    &w->message_id, &attempt, err);
	w->model = w->state.model;
	run_budget_parse(&w->granted, w->state.budget);
	w->message_open = !uuid_is_nil(w->message_id);
	/* It may have come since the row was read: then it stays. */
	w->cancel = w->cancel || w->state.status == RUN_CANCELLING;
	w->resumed = w->state.fence > 1;
	return st;
}

SUSPENDS enum as_status
work_read_tools(struct work *w, struct arena *arena, struct run_tool **rows,
    int *n, struct error *err)
{
	enum as_status st;

	for (int i = 0;; i++) {
		error_clear(err);
		st = run_store_tools(w->e->c.runs, w->run_id, w->state.step,
		    arena, rows, n, err);
		if (!work_wait_retry(w, st, i))
			return st;
	}
}

bool
work_is_answered(const struct work *w, const struct run_tool *row)
{
	const struct run_history_row *h;

	for (int i = w->n_history - 1; i >= 0; i--) {
		h = &w->history[i];
		if (uuid_equal(h->run_id, w->run_id) &&
		    h->step == row->step + 1 && h->tool_call_id != NULL &&
		    strcmp(h->role, "tool") == 0 &&
		    strcmp(h->tool_call_id, row->call_id) == 0)
			return true;
	}
	return false;
}

bool
work_is_unsent(const struct work *w, struct uuid call_id)
{
	for (int i = 0; i < w->n_unsent; i++)
		if (uuid_equal(w->unsent[i], call_id))
			return true;
	return false;
}

/* A store that is away for a moment is no reason to leave a run alone. */
SUSPENDS enum as_status
work_load(struct work *w, struct error *err)
{
	enum as_status st;

	for (int i = 0;; i++) {
		error_clear(err);
		st = load_once(w, err);
		if (!work_wait_retry(w, st, i))
			return st;
	}
}

bool
work_must_stop(const struct work *w)
{
	return w->cancel || w->drain || w->lost || work_wall_left(w) == 0 ||
	       fiber_is_canceled();
}

struct engine_limits
work_limits(const struct work *w)
{
	return run_limits(&w->e->c.limits, w->state.kind);
}

uint64_t
work_wall_left(const struct work *w)
{
	uint64_t now = loop_now_ms(w->e->c.loop);

	return w->wall_end_ms > now ? w->wall_end_ms - now : 0;
}

void
work_caller(const struct work *w, struct plug_caller *who)
{
	memset(who, 0, sizeof(*who));
	who->tenant_id = w->state.tenant_id;
	who->user_id = w->state.user_id;
	who->agent_id = w->state.agent_id;
	who->thread_id = w->thread_id;
	who->run_id = w->run_id;
	who->correlation_id = w->state.correlation_id;
	who->traceparent = w->state.traceparent;
	who->attempt = 1;
}

void
work_ask_begin(const struct work *w, const char *ns, struct plug_caller *who,
    char key[RUN_IDEM_KEY])
{
	uint64_t ms = (uint64_t)w->e->c.limits.call_timeout_ms;

	if (work_wall_left(w) < ms)
		ms = work_wall_left(w);
	fiber_deadline_set(loop_now_ms(w->e->c.loop) + ms);
	fiber_correlation_set(w->state.correlation_id);
	work_caller(w, who);
	run_idem_key(w->run_id, ns, w->state.step, 0, 0, key);
	who->idem_key = key;
	who->attempt = (int)w->state.fence;
}

SUSPENDS void
work_child_wait(struct work *w, struct fiber_ref child, const bool *done)
{
	while (!*done) {
		if (work_must_stop(w)) {
			fiber_reap(child);
			return;
		}
		w->wait = fiber_prepare();
		(void)fiber_suspend(w->wall_end_ms);
	}
}
