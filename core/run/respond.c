/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/approval.h"
#include "core/run/ask.h"
#include "core/run/run_metrics.h"

/*
 * What people answer, on the fiber of whoever tells it.
 *
 * A run that waits is changed by one commit: the items, the rows of their
 * calls, the log, and, if the rule of its agent is met, the queue.  While a run
 * is at work its log is its owner's, so an answer is left in the item and the
 * owner acts on it; see run_store_answer.
 */

#define RESPOND_TRIES 24

struct responding {
	struct engine *e;
	struct uuid run_id;
	const struct engine_answer *answers;
	int n;
	struct work *w;
	struct run_asked *all;
	int n_all;
	struct run_answer *left; /* answers that are not written yet */
	struct run_asked *said; /* their items, as they become */
	int n_left;
};

static struct run_asked *
item_of(const struct responding *r, struct uuid id)
{
	for (int i = 0; i < r->n_all; i++)
		if (uuid_equal(r->all[i].id, id))
			return &r->all[i];
	return NULL;
}

/* ---- May it be answered so? ---------------------------------------- */

static enum as_status
too_late(const struct run_asked *item, struct error *err)
{
	enum as_status st = error_set(err, ERR_CONFLICT, "the item is %s",
	    item->status);
	char id[UUID_TEXT];

	run_count_refused("answer");
	uuid_format(item->id, id);
	error_member_str(err, "item_id", id);
	error_member_str(err, "item_status", item->status);
	if (item->response_type != NULL)
		error_member_str(err, "response_type", item->response_type);
	if (!uuid_is_nil(item->responded_by)) {
		uuid_format(item->responded_by, id);
		error_member_str(err, "responded_by", id);
	}
	return st;
}

static bool
is_the_same(const struct run_asked *item, const struct engine_answer *a)
{
	if (uuid_is_nil(a->by))
		return strcmp(item->status, "expired") == 0;
	return strcmp(item->status, "answered") == 0 && a->key != NULL &&
	       item->response_key != NULL &&
	       strcmp(item->response_key, a->key) == 0;
}

/* An item that expires answers itself, whatever people may do with it. */
static enum as_status
type_check(const struct run_asked *item, const struct engine_answer *a,
    struct error *err)
{
	if (uuid_is_nil(a->by) || approval_config_allows(item->config, a->type))
		return AS_OK;
	return error_field(err, "type", "'%s' is not allowed here", a->type);
}

static enum as_status
answer_take(struct responding *r, const struct engine_answer *a,
    struct error *err)
{
	struct run_asked *item = item_of(r, a->item_id);
	bool expires = uuid_is_nil(a->by);
	char id[UUID_TEXT];
	enum as_status st;

	if (item == NULL) {
		uuid_format(a->item_id, id);
		return error_not_found(err, "item", id);
	}
	if (is_the_same(item, a))
		return AS_OK;
	if (strcmp(item->status, "pending") != 0)
		return too_late(item, err);
	if ((st = type_check(item, a, err)) != AS_OK)
		return st;
	item->status = expires ? "expired" : "answered";
	item->response_type = a->type;
	item->response = a->args;
	item->responded_by = a->by;
	r->said[r->n_left] = *item;
	r->left[r->n_left++] = (struct run_answer){ .item_id = a->item_id,
		.status = item->status,
		.type = a->type,
		.response = a->args,
		.key = a->key,
		.by = a->by };
	return AS_OK;
}

static SUSPENDS enum as_status
answers_take(struct responding *r, struct error *err)
{
	struct arena *arena = r->w->arena;
	int64_t version;
	enum as_status st = run_store_asked(r->e->c.runs, r->run_id, arena,
	    &r->all, &r->n_all, &version, err);

	r->left = arena_alloc(arena, (size_t)r->n * sizeof(*r->left) + 1);
	r->said = arena_alloc(arena, (size_t)r->n * sizeof(*r->said) + 1);
	r->n_left = 0;
	for (int i = 0; i < r->n && st == AS_OK; i++)
		st = answer_take(r, &r->answers[i], err);
	return st;
}

/* ---- A run that waits ---------------------------------------------- */

static bool
rule_is_met(const struct responding *r)
{
	if (approval_resumes_each(r->w->agent->approval))
		return true;
	for (int i = 0; i < r->n_all; i++)
		if (strcmp(r->all[i].status, "pending") == 0)
			return false;
	return true;
}

/* The call of the item, as the answer makes it; then its event. */
static enum as_status
call_answer(struct responding *r, struct work_commit *wc,
    const struct run_asked *item, const struct run_tool *rows, int n,
    struct error *err)
{
	struct run_tool *row = NULL;
	enum as_status st = AS_OK;

	for (int i = 0; i < n; i++)
		if (rows[i].step == item->step &&
		    rows[i].ordinal == item->ordinal && ask_waits(&rows[i])) {
			row = &wc->tools_done[wc->c.n_tools_done++];
			*row = rows[i];
			st = ask_decide(r->w, wc->arena, item, row, err);
		}
	ask_resolved(wc, item, row);
	return st;
}

static void
resume_queue(struct work *w, struct work_commit *wc)
{
	int64_t ms = w->granted.wall_left_ms;
	int64_t max = work_limits(w).max_wall_ms;

	if (ms <= 0 || ms > max)
		ms = max;
	wc->c.to = RUN_QUEUED;
	wc->c.run_at = wc->c.now_us;
	wc->c.deadline_at = wc->c.now_us + ms * 1000;
	event_list_add_status(&wc->events, RUN_QUEUED, "answered", NULL, NULL);
}

static SUSPENDS enum as_status
waiting_write(struct responding *r, struct work_commit *wc, struct error *err)
{
	struct run_tool *rows;
	enum as_status st;
	int n;

	st = work_read_tools(r->w, wc->arena, &rows, &n, err);
	if (st != AS_OK)
		return st;
	wc->c.tools_done = wc->tools_done = arena_alloc(wc->arena,
	    (size_t)r->n_left * sizeof(*wc->tools_done) + 1);
	for (int i = 0; i < r->n_left && st == AS_OK; i++)
		st = call_answer(r, wc, &r->said[i], rows, n, err);
	if (st != AS_OK)
		return st;
	wc->c.answers = r->left;
	wc->c.n_answers = r->n_left;
	if (rule_is_met(r))
		resume_queue(r->w, wc);
	FAILPOINT("respond.pre_commit");
	st = work_commit(r->w, wc, err);
	if (st == AS_OK)
		FAILPOINT("respond.post_commit");
	/* Somebody was faster, or nobody knows: look again. */
	return st == AS_CONFLICT || st == AS_CANCELED ? AS_BUSY : st;
}

static SUSPENDS enum as_status
waiting_answer(struct responding *r, struct error *err)
{
	struct work_commit wc;
	bool queued;
	enum as_status st;

	work_commit_init(r->w, &wc);
	st = waiting_write(r, &wc, err);
	queued = wc.c.to == RUN_QUEUED;
	work_commit_fini(&wc);
	if (st == AS_OK && queued)
		engine_starve(r->e);
	return st;
}

/* ---- A run that does not wait -------------------------------------- */

/* New arguments are looked at now: later there is nobody to tell. */
static SUSPENDS enum as_status
edits_check(struct responding *r, struct error *err)
{
	struct run_tool *rows, row;
	enum as_status st;
	int n;

	st = work_read_tools(r->w, r->w->arena, &rows, &n, err);
	for (int i = 0; i < r->n_left && st == AS_OK; i++)
		for (int k = 0; k < n && st == AS_OK; k++)
			if (ask_find(&r->said[i], 1, &rows[k]) != NULL) {
				row = rows[k];
				st = ask_decide(r->w, r->w->arena, &r->said[i],
				    &row, err);
			}
	return st;
}

static SUSPENDS enum as_status
beside_answer(struct responding *r, struct error *err)
{
	enum as_status st = edits_check(r, err);

	if (st != AS_OK)
		return st;
	FAILPOINT("respond.pre_commit");
	st = run_store_answer(r->e->c.runs, r->run_id, r->left, r->n_left,
	    engine_now_us(r->e), err);
	if (st == AS_OK)
		FAILPOINT("respond.post_commit");
	if (st == AS_OK)
		engine_starve(r->e);
	return st == AS_CONFLICT ? AS_BUSY : st;
}

/* ---- One try after the other --------------------------------------- */

/* AS_BUSY: it has moved on; look again. */
static SUSPENDS enum as_status
respond_once(struct responding *r, struct error *err)
{
	enum as_status st = work_guest(r->e, r->run_id, &r->w, err);

	if (st == AS_OK)
		st = answers_take(r, err);
	if (st == AS_OK && r->n_left > 0) {
		if (r->w->state.status == RUN_WAITING_HUMAN)
			st = waiting_answer(r, err);
		else if (run_is_open(r->w->state.status) &&
			 r->w->state.status != RUN_CANCELLING)
			st = beside_answer(r, err);
		else
			st = error_set(err, ERR_CONFLICT, "the run is %s",
			    run_status_name(r->w->state.status));
	}
	work_guest_free(r->w);
	return st;
}

SUSPENDS enum as_status
engine_respond(struct engine *e, struct uuid run_id,
    const struct engine_answer *answers, int n, struct error *err)
{
	struct responding r = { .e = e,
		.run_id = run_id,
		.answers = answers,
		.n = n };
	enum as_status st = AS_BUSY;

	for (int i = 0; st == AS_BUSY && i < RESPOND_TRIES; i++) {
		if (i > 0 &&
		    fiber_sleep(1 + e->c.env.random(e->c.env.arg,
					4u << (i < 6 ? i : 6))) != FIBER_WOKEN)
			break;
		error_clear(err);
		st = respond_once(&r, err);
	}
	if (st == AS_BUSY)
		st = error_set(err, ERR_UNAVAILABLE,
		    "the run changes too fast; try again");
	if (st == AS_OK)
		FAILPOINT("respond.pre_reply");
	return st;
}
