/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/run/run_metrics.h"
#include "core/run/work.h"

/*
 * What is done to runs that nobody works on, on the fiber of whoever asks: to
 * end one that is queued or parked, and to let a parked one go on.  The commit
 * tests that it is still so.
 */

#define CANCEL_TRIES 16

/* A work without a fiber, in no engine's list. */
SUSPENDS enum as_status
work_guest(struct engine *e, struct uuid run_id, struct work **out,
    struct error *err)
{
	struct work *w = xcalloc(1, sizeof(*w));
	enum as_status st;

	w->e = e;
	w->run_id = run_id;
	w->guest = true;
	w->arena = arena_new(NULL);
	st = run_store_state(e->c.runs, run_id, w->arena, &w->state, err);
	w->thread_id = w->state.thread_id;
	if (st == AS_OK)
		st = work_load(w, err);
	*out = w;
	return st;
}

void
work_guest_free(struct work *w)
{
	arena_free(w->history_arena);
	arena_free(w->arena);
	free(w);
}

static enum as_status
moved_on(const struct work *w, struct error *err)
{
	run_count_refused("state");
	return error_set(err, ERR_CONFLICT, "the run is %s",
	    run_status_name(w->state.status));
}

SUSPENDS enum as_status
engine_end(struct engine *e, struct uuid run_id, enum run_status to,
    const struct engine_resume *how, struct error *err)
{
	struct work_ending end = { .to = to,
		.reason = how->reason,
		.items_close = how->items_close,
		.why = how->why,
		.decision = how };
	struct work *w;
	enum as_status st = work_guest(e, run_id, &w, err);

	/* One that waits for its subagents ends behind them: engine_cancel. */
	if (st == AS_OK &&
	    (!run_is_open(w->state.status) || run_has_owner(w->state.status) ||
		w->state.status == RUN_WAITING_CHILD))
		st = moved_on(w, err);
	w->takes_over = true;
	if (st == AS_OK && (st = work_end(w, &end)) != AS_OK)
		st = error_set(err,
		    st == AS_CONFLICT || st == AS_CANCELED ? ERR_CONFLICT
							   : ERR_UNAVAILABLE,
		    "the run could not be ended");
	work_guest_free(w);
	return st;
}

/* ---- Cancel -------------------------------------------------------- */

/*
 * One try with the heads as they are; AS_CONFLICT: somebody was faster.  Its
 * owner ends a running one, since only he knows what was shown.
 */
static SUSPENDS enum as_status
cancel_once(struct engine *e, const struct run_state *s, bool rollback,
    const struct engine_resume *how, bool *asked, struct error *err)
{
	struct event_list events = { 0 };
	struct run_commit c = {
		.run_id = s->id,
		.thread_id = s->thread_id,
		.tenant_id = s->tenant_id,
		.commit_id = engine_new_id(e),
		.ns = s->ns,
		.from = s->status,
		.to = RUN_CANCELLING,
		.fence = s->fence,
		.step = s->step,
		.heads = s->heads,
		.attempt = s->attempt,
		.cancel_mode = rollback ? "discard" : "keep",
		.events = &events,
		.now_us = engine_now_us(e),
	};
	enum as_status st;

	if (s->status != RUN_RUNNING && s->status != RUN_WAITING_CHILD)
		return engine_end(e, s->id,
		    rollback ? RUN_ROLLED_BACK : RUN_CANCELLED, how, err);
	c.run_at = c.now_us;
	event_list_add_status(&events, c.to, how->reason, NULL, NULL);
	FAILPOINT("cancel.pre_commit");
	st = run_store_commit(e->c.runs, &c, err);
	if (st == AS_OK) {
		FAILPOINT("cancel.post_commit");
		engine_publish_ns(e->c.bus, s->thread_id, s->id, s->ns,
		    &s->heads, &events, c.now_us);
		engine_notify_cancel(e, s->id);
		if (run_commit_queues(&c))
			engine_starve(e);
		*asked = true;
	}
	event_list_clear(&events);
	return st;
}

SUSPENDS enum as_status
engine_cancel(struct engine *e, struct uuid run_id, bool rollback,
    const struct engine_resume *how, bool *asked, struct error *err)
{
	struct arena *arena = arena_new(NULL);
	struct run_state s;
	enum as_status st = AS_CONFLICT;

	*asked = false;
	for (int i = 0; i < CANCEL_TRIES && st == AS_CONFLICT; i++) {
		error_clear(err);
		st = run_store_state(e->c.runs, run_id, arena, &s, err);
		if (st != AS_OK || !run_is_open(s.status) ||
		    s.status == RUN_CANCELLING)
			break;
		st = cancel_once(e, &s, rollback, how, asked, err);
	}
	arena_free(arena);
	if (st != AS_CONFLICT)
		return st;
	error_clear(err);
	return error_set(err, ERR_CONFLICT,
	    "the run changes too fast; try again");
}

/* ---- Going on ------------------------------------------------------ */

static SUSPENDS enum as_status
still_unknown(struct work *w, const struct run_tool *decided, int *n_unknown,
    struct error *err)
{
	struct run_tool *rows;
	enum as_status st;
	int n;

	*n_unknown = 0;
	st = work_read_tools(w, w->arena, &rows, &n, err);
	for (int i = 0; st == AS_OK && i < n; i++)
		if (strcmp(rows[i].state, "unknown") == 0 &&
		    (decided == NULL || !uuid_equal(decided->id, rows[i].id)))
			(*n_unknown)++;
	return st;
}

/* With the model if it is another one: the log has to tell it. */
static void
queued_event(struct work_commit *wc, const struct engine_resume *how)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "status", "running");
	jw_str(&b, "state", run_status_name(RUN_QUEUED));
	jw_str(&b, "reason", how->reason);
	if (how->model != NULL)
		jw_str(&b, "model", how->model);
	jw_close(&b);
	event_list_add(&wc->events, "run_status", &b);
}

static void
resume_queue(struct work *w, struct work_commit *wc,
    const struct engine_resume *how)
{
	const struct engine_limits limits = work_limits(w), *l = &limits;
	struct buf b = { 0 };

	wc->c.to = RUN_QUEUED;
	wc->c.run_at = wc->c.now_us;
	wc->c.attempt = 0;
	wc->c.model = how->model;
	wc->c.deadline_at = wc->c.now_us + l->max_wall_ms * 1000;
	if (how->extend) {
		run_budget_extend(&w->granted, l);
		run_budget_write(&b, &w->granted);
		wc->c.budget = work_text(wc, &b);
	}
	queued_event(wc, how);
}

static SUSPENDS enum as_status
resume_commit(struct work *w, const struct engine_resume *how, int n_unknown,
    struct error *err)
{
	struct run_tool decided;
	struct work_commit wc;
	enum as_status st;

	work_commit_init(w, &wc);
	wc.c.items_close = how->items_close;
	work_item_answer(&wc, how);
	if (how->decided != NULL) {
		decided = *how->decided;
		wc.c.tools_done = &decided;
		wc.c.n_tools_done = 1;
	}
	/* It stays parked while other calls wait for a decision, too. */
	if (n_unknown > 0)
		work_park_unknown(w, &wc, n_unknown);
	else
		resume_queue(w, &wc, how);
	st = work_commit(w, &wc, err);
	work_commit_fini(&wc);
	if (st == AS_CONFLICT || st == AS_CANCELED)
		st = moved_on(w, err);
	else if (st == AS_OK && n_unknown == 0)
		engine_starve(w->e);
	return st;
}

SUSPENDS enum as_status
engine_resume(struct engine *e, struct uuid run_id,
    const struct engine_resume *how, struct error *err)
{
	struct work *w;
	int n_unknown = 0;
	enum as_status st = work_guest(e, run_id, &w, err);

	if (st == AS_OK && w->state.status != RUN_RECOVERABLE_ERROR)
		st = moved_on(w, err);
	if (st == AS_OK)
		st = still_unknown(w, how->decided, &n_unknown, err);
	if (st == AS_OK && n_unknown > 0 && how->decided == NULL)
		st = error_set(err, ERR_CONFLICT,
		    "%d tool calls wait for a decision", n_unknown);
	if (st == AS_OK)
		st = resume_commit(w, how, n_unknown, err);
	work_guest_free(w);
	return st;
}
