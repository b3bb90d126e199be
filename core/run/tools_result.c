/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/run/ask_tool.h"
#include "core/run/call.h"

/*
 * What becomes of calls that have ended: all that are there in one commit, those
 * whose outcome nobody knows as items for a person, and with the last of them
 * the step.
 */

bool
call_waits(const struct call *c)
{
	return c->done && call_is_unknown(c) && !c->t->w->cancel;
}

/* For t_replay_mutant: results in another order, which a replay must notice. */
#ifdef REPLAY_MUTANT
extern bool replay_mutant;
#define NTH_CALL(t, i) \
	(replay_mutant ? &(t)->calls[(t)->n - 1 - (i)] : &(t)->calls[i])
#else
#define NTH_CALL(t, i) (&(t)->calls[i])
#endif

static void
results_add(struct tools *t, struct work_commit *wc)
{
	wc->c.tools_done = wc->tools_done = arena_alloc(wc->arena,
	    (size_t)t->n * sizeof(*wc->tools_done) + 1);
	for (int i = 0; i < t->n; i++) {
		struct call *c = NTH_CALL(t, i);

		/* What ends while the commit waits is of the next one. */
		c->taken = c->done && !c->written && !call_waits(c);
		if (c->taken && c->parked)
			ask_tool_park(c, wc);
		else if (c->taken)
			call_result(c, wc);
	}
}

/* The rows of calls that wait for a person, with an item each. */
static int
unknowns_add(struct tools *t, struct work_commit *wc)
{
	int n = 0;

	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (!call_waits(c))
			continue;
		if (strcmp(c->row.state, "unknown") != 0)
			call_row(c, &wc->tools_done[wc->c.n_tools_done++],
			    NULL);
		work_item_unknown(t->w, wc, &c->row);
		n++;
	}
	return n;
}

static bool
all_done(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (!t->calls[i].done || t->calls[i].parked)
			return false;
	return true;
}

bool
tools_none_left(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (!t->calls[i].done && !t->calls[i].asks)
			return false;
	return true;
}

/*
 * Before somebody is asked: the one who had the run before us may have known,
 * and told it in the meantime.
 */
static SUSPENDS void
unknowns_look(struct tools *t)
{
	struct run_tool *rows;
	int n;

	if (work_read_tools(t->w, t->arena, &rows, &n, NULL) != AS_OK)
		return;
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		for (int k = 0; k < n && call_waits(c); k++)
			if (uuid_equal(rows[k].id, c->row.id) &&
			    rows[k].result != NULL) {
				error_clear(&c->err);
				c->st = AS_OK;
				c->row = rows[k];
				call_from_row(c);
			}
	}
}

static bool
any_waits(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (call_waits(&t->calls[i]))
			return true;
	return false;
}

SUSPENDS void
tools_look_again(struct tools *t)
{
	struct engine_resume how = { .reason = "late_result",
		.items_close = "superseded" };

	(void)engine_resume(t->w->e, t->w->run_id, &how, NULL);
}

/* One that waits for a person now may be answered already. */
static void
call_written(struct call *c)
{
	c->written = !c->parked;
	if (!c->parked)
		return;
	ask_tool_parked(c);
	c->t->w->asks = c->t->w->look = true;
}

SUSPENDS enum as_status
tools_commit(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct work_commit wc;
	bool idle = tools_none_left(t), last = all_done(t), begun = false;
	int n_unknown;
	enum as_status st;

	if (idle && any_waits(t))
		unknowns_look(t);
	work_commit_init(w, &wc);
	results_add(t, &wc);
	n_unknown = idle ? unknowns_add(t, &wc) : 0;
	if (n_unknown > 0)
		work_park_unknown(w, &wc, n_unknown);
	else if (last) {
		work_checkpoint(w, &wc);
		if ((begun = !w->cancel))
			work_message_start(w, &wc);
	}
	FAILPOINT("tool.pre_result");
	st = work_commit(w, &wc, err);
	FAILPOINT("tool.post_result");
	if (st == AS_CONFLICT && begun)
		w->message_open = false;
	t->parked = st == AS_OK && n_unknown > 0;
	if (t->parked)
		tools_look_again(t); /* it may have come meanwhile */
	for (int i = 0; st == AS_OK && i < t->n; i++)
		if (t->calls[i].taken)
			call_written(&t->calls[i]);
	work_commit_fini(&wc);
	return st;
}
