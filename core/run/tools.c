/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/ask_tool.h"
#include "core/run/builtin.h"
#include "core/run/child.h"
#include "core/run/mutant.h"
#include "core/run/run_metrics.h"

/*
 * The tools' turn: every call whose intent is committed runs on a child fiber
 * of its own, at most parallel_tools at once.  The owner commits results as
 * they come in, all that are there in one transaction; the last of them carry
 * the step.  A call found `started` by a new owner is sent again only if its
 * effect class allows it.
 */

/* What a row that has no message yet means for its call. */
void
call_from_row(struct call *c)
{
	const char *state = c->row.state;

	const struct builtin *b = builtin_find(c->t->w, c->row.tool);

	c->spawns = b != NULL && b->call == NULL;
	c->resumed = strcmp(state, "started") == 0 && c->t->w->resumed;
	c->sender_until_us = c->resumed ? c->row.deadline_us : 0;
	c->asks = ask_waits(&c->row);
	if (c->asks || strcmp(state, "started") == 0 ||
	    strcmp(state, "planned") == 0)
		return;
	c->begun = c->done = true;
	c->outcome = state;
	c->recorded = c->row.result != NULL;
	/* A person's word in the place of a call is no error. */
	if (strcmp(state, "succeeded") != 0 &&
	    (strcmp(state, "skipped") != 0 || c->row.error_code != NULL))
		c->st = error_set(&c->err,
		    call_is_unknown(c) ? ERR_OUTCOME_UNKNOWN : ERR_CANCELED,
		    "the outcome of this call is recorded: %s", state);
}

static bool
any_asks(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (t->calls[i].asks)
			return true;
	return false;
}

static SUSPENDS enum as_status
tools_load(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct run_tool *rows;
	enum as_status st;
	int n;

	st = work_read_tools(w, t->arena, &rows, &n, err);
	if (st != AS_OK)
		return st;
	FAILPOINT("tool.post_intent");
	t->calls = xcalloc((size_t)n + 1, sizeof(*t->calls));
	for (int i = 0; i < n; i++) {
		struct call *c;

		if (work_is_answered(w, &rows[i]))
			continue;
		c = &t->calls[t->n++];
		c->t = t;
		c->row = rows[i];
		call_from_row(c);
	}
	w->asks = any_asks(t);
	st = ask_tool_recall(t, err);
	w->resumed = false;
	w->n_unsent = 0;
	return st;
}

/* Must its row say anew until when it may be sent? */
static bool
needs_intent(const struct call *c)
{
	return strcmp(c->row.state, "planned") == 0 ||
	       (c->resumed && call_effect_is(c, "V"));
}

/*
 * The intents of calls that were handed back unsent, and of those that we may
 * send after others have: first they are durable.
 */
static SUSPENDS enum as_status
tools_intend(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct work_commit wc;
	enum as_status st = AS_OK;

	work_commit_init(w, &wc);
	wc.c.tools_done = wc.tools_done = arena_alloc(wc.arena,
	    (size_t)t->n * sizeof(*wc.tools_done) + 1);
	for (int i = 0; i < t->n; i++) {
		struct run_tool *row = &t->calls[i].row;
		int64_t from = wc.c.now_us;

		if (!needs_intent(&t->calls[i]))
			continue;
		if (t->calls[i].sender_until_us > from)
			from = t->calls[i].sender_until_us;
		row->state = "started";
		row->deadline_us = from + call_timeout_ms(&t->calls[i]) * 1000;
		wc.tools_done[wc.c.n_tools_done++] = *row;
	}
	if (wc.c.n_tools_done > 0)
		st = work_commit(w, &wc, err);
	work_commit_fini(&wc);
	return st;
}

/* Starts what may run; a call that finds no fiber fails like any other. */
static void
tools_begin(struct tools *t)
{
	struct work *w = t->w;

	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		MUTANT_DO(UNASKED, c->asks = false);
		if (c->begun || c->spawns || c->asks ||
		    t->n_running >= w->e->c.limits.parallel_tools)
			continue;
		c->begun = true;
		c->began_ms = loop_now_ms(w->e->c.loop);
		t->n_running++;
		c->fiber = fiber_spawn(w->e->c.loop, c->row.tool, call_main, c);
		if (c->fiber.f == NULL)
			call_end(c, error_set(&c->err, ERR_UNAVAILABLE,
					"too many fibers"));
	}
}

static bool
something_new(const struct tools *t)
{
	bool all = tools_none_left(t);

	for (int i = 0; i < t->n; i++)
		if (t->calls[i].done && !t->calls[i].written &&
		    (all || !call_waits(&t->calls[i])))
			return true;
	return false;
}

/* It wanted to ask, and nobody will hear of it. */
static void
call_unasked(struct call *c)
{
	c->parked = false;
	c->outcome = "cancelled";
	c->st = error_set(&c->err, ERR_CANCELED,
	    "the run was stopped before anybody could be asked");
}

/* Ends what has begun and never begins the rest. */
static SUSPENDS void
tools_stop(struct tools *t)
{
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (c->asks && !t->w->cancel)
			continue; /* it goes on waiting */
		if (!c->begun) {
			c->begun = c->done = true;
			c->asks = false;
			c->outcome = "cancelled";
			c->st = error_set(&c->err, ERR_CANCELED,
			    "the run was stopped before this call");
		} else if (!c->done)
			fiber_cancel(c->fiber);
	}
	for (int i = 0; i < t->n; i++)
		if (t->calls[i].begun && !t->calls[i].done)
			fiber_reap(t->calls[i].fiber);
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (c->parked && t->w->cancel)
			call_unasked(c);
		if (c->asks || c->written || c->st != AS_CANCELED ||
		    strcmp(c->outcome, "failed") != 0)
			continue;
		c->outcome = !c->sent || call_effect_is(c, "P") ||
				     call_effect_is(c, "N")
				 ? "cancelled"
				 : "unknown";
		error_set(&c->err, ERR_CANCELED,
		    "the run was stopped during this call");
	}
}

/* Calls that somebody else is at work on now. */
static bool
is_under_way(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (t->calls[i].begun && !t->calls[i].done &&
		    !t->calls[i].pausing)
			return true;
	return false;
}

/* A drain begins no call, but lets those end that are under way. */
static bool
must_stop(const struct tools *t)
{
	const struct work *w = t->w;

	if (w->drain && !w->abort && !w->cancel && !w->lost &&
	    work_wall_left(w) > 0 && !fiber_is_canceled())
		return !is_under_way(t) && !something_new(t);
	return work_must_stop(w);
}

/* ---- Results of a run that is lost --------------------------------- */

static SUSPENDS void
late_post(struct call *c)
{
	struct work *w = c->t->w;
	struct arena *arena = arena_new(NULL);
	struct run_tool row;

	call_row(c, &row, call_result_text(c, arena));
	if (run_store_late(w->e->c.runs, w->run_id, &row, engine_now_us(w->e),
		NULL) == AS_OK) {
		run_count_late();
		log_info("run", "a late result of %s was accepted",
		    c->row.tool);
		/* If that was all it waited for, it goes on. */
		tools_look_again(c->t);
	} else {
		run_count_refused("late_result");
		log_info("run", "a late result of %s was refused", c->row.tool);
	}
	arena_free(arena);
}

/*
 * Somebody else owns the run now, and may know less than we do: what has been
 * sent is waited for, and its result offered.
 */
static SUSPENDS void
tools_late(struct tools *t)
{
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (c->begun && !c->done &&
		    (!c->sent || call_effect_is(c, "P")))
			fiber_cancel(c->fiber);
	}
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		while (c->begun && !c->done) {
			t->w->wait = fiber_prepare();
			if (t->w->abort ||
			    fiber_suspend(t->w->wall_end_ms) != FIBER_WOKEN) {
				fiber_reap(c->fiber);
				break;
			}
		}
		if (c->sent && c->done && !c->written && !c->recorded &&
		    !c->parked && c->st != AS_CANCELED && !call_is_unknown(c))
			late_post(c);
	}
}

static void
tools_note_unsent(struct tools *t)
{
	struct work *w = t->w;

	w->n_unsent = 0;
	w->unsent = arena_alloc(w->arena,
	    (size_t)t->n * sizeof(*w->unsent) + 1);
	for (int i = 0; i < t->n; i++)
		if (!t->calls[i].sent && !t->calls[i].done &&
		    !t->calls[i].resumed)
			w->unsent[w->n_unsent++] = t->calls[i].row.id;
}

static bool
all_written(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (!t->calls[i].written)
			return false;
	return true;
}

/* All but those are written, and there are some. */
static bool
only_asks(const struct tools *t)
{
	bool any = false;

	for (int i = 0; i < t->n; i++) {
		any = any || t->calls[i].asks;
		if (!t->calls[i].written && !t->calls[i].asks)
			return false;
	}
	return any;
}

/* To wait for people is as good an end as any other. */
static bool
may_park(const struct tools *t)
{
	const struct work *w = t->w;

	return only_asks(t) && !w->cancel && !w->abort && !fiber_is_canceled();
}

/* Answers that are there are acted on; if that was all, the run waits. */
static SUSPENDS enum as_status
asks_go_on(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	bool idle = only_asks(t);
	int n;
	enum as_status st;

	w->look = false;
	if (idle)
		st = asks_turn(t, err);
	else
		st = asks_look(t, &n, err);
	w->asks = !t->parked && any_asks(t);
	return st;
}

static SUSPENDS void
tools_run(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	enum as_status st = AS_OK;

	while (!w->lost && (st == AS_OK || st == AS_CONFLICT)) {
		if (must_stop(t) && !may_park(t))
			break;
		if (!w->drain)
			tools_begin(t);
		if (something_new(t)) {
			st = tools_commit(t, err);
			if (st == AS_OK && (t->parked || all_written(t)))
				return;
			continue;
		}
		if (child_is_due(t) && !w->drain) {
			st = child_spawn(t, err);
			if (st == AS_OK && t->parked)
				return;
			continue;
		}
		if (only_asks(t) || w->look) {
			st = asks_go_on(t, err);
			if (t->parked)
				return;
			continue;
		}
		w->wait = fiber_prepare();
		(void)fiber_suspend(w->wall_end_ms);
	}
	if (w->lost && !w->abort) {
		tools_late(t);
		return;
	}
	tools_note_unsent(t);
	tools_stop(t);
	/* The cancel itself has moved the log: the first try learns that. */
	for (int i = 0; i < 2 && !w->lost && !w->drain && something_new(t); i++)
		if (tools_commit(t, err) != AS_CONFLICT)
			break;
}

static void
tools_free(struct tools *t)
{
	for (int i = 0; i < t->n; i++) {
		json_object_put(t->calls[i].result);
		ask_tool_free(&t->calls[i]);
		error_clear(&t->calls[i].err);
	}
	free(t->calls);
	arena_free(t->arena);
	free(t);
}

SUSPENDS enum work_turn
work_tools(struct work *w)
{
	struct tools *t = xcalloc(1, sizeof(*t));
	struct error err = { 0 };
	enum work_turn end = WORK_ENDED;

	t->w = w;
	t->arena = arena_new(NULL);
	if (tools_load(t, &err) != AS_OK || t->n == 0) {
		if (err.code == ERR_NONE)
			error_set(&err, ERR_INTERNAL,
			    "tool calls without their rows");
		work_fail(w, &err, NULL, 0);
	} else if (tools_intend(t, &err) == AS_OK) {
		tools_run(t, &err);
		if (!w->lost && !t->parked &&
		    work_reload_history(w, &err) == AS_OK)
			end = WORK_GOES_ON;
	}
	if (end == WORK_GOES_ON && !w->cancel && !w->drain &&
	    work_wall_left(w) == 0) {
		error_set(&err, ERR_LIMIT_REACHED,
		    "the time of a run, %lld s, is used up",
		    (long long)work_limits(w).max_wall_ms / 1000);
		work_park(w, &err, NULL, 0);
		end = WORK_ENDED;
	}
	error_clear(&err);
	tools_free(t);
	return end;
}
