/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/run/ambient.h"
#include "core/run/ask.h"

/*
 * Ends that are no success: cancelled, rolled back, failed, expired, dead.
 * What was shown is kept (or voided) in the same transaction, and no tool call
 * is left without a result, so the thread can go on with the next message.
 */

void
work_keep_partial(struct work *w, struct work_commit *wc, const char *text,
    size_t len, const char *why)
{
	struct buf parts = { 0 };
	struct run_message *m;

	if (!w->message_open)
		return;
	if (len > 0) {
		run_parts_of_text(&parts, text, len);
		m = work_add_message(w, wc, "assistant");
		m->id = w->message_id;
		m->content = arena_strndup(wc->arena, text, len);
		m->parts = work_text(wc, &parts);
		m->state = "interrupted";
		m->ordinal = -wc->c.heads.run_seq; /* 0 is of the whole one */
		m->model = w->model;
	}
	work_message_end(w, wc, text, len, why, NULL);
	if (len > 0)
		work_message_created(w, wc,
		    &wc->messages[wc->c.n_messages - 1]);
}

const char *
work_result_parts(struct work_commit *wc, const char *call_id, const char *text,
    bool is_error)
{
	struct buf b = { 0 };

	jw_open_list(&b, NULL);
	jw_open(&b, NULL);
	jw_str(&b, "type", "tool_result");
	jw_str(&b, "id", call_id);
	jw_str(&b, "text", text);
	jw_bool(&b, "is_error", is_error);
	jw_close(&b);
	jw_close_list(&b);
	return work_text(wc, &b);
}

/* ---- Calls without a result ---------------------------------------- */

/*
 * What becomes of a call that the end of its run leaves behind.  One that was
 * never sent is cancelled; a result that is there is kept; of the rest nobody
 * knows.
 */
static void
call_settle(struct work_commit *wc, struct run_tool *t, bool *is_error)
{
	if (t->result != NULL) {
		*is_error = strcmp(t->state, "succeeded") != 0;
		return;
	}
	*is_error = true;
	t->error_code = "CANCELED";
	if (strcmp(t->state, "planned") == 0 || ask_waits(t)) {
		t->state = "cancelled";
		t->result = "Error CANCELED: the run was stopped before this "
			    "call; it has not happened.";
		return;
	}
	t->state = "unknown";
	t->result = arena_printf(wc->arena,
	    "Error CANCELED: the run was stopped during this call; it may "
	    "have happened (key %s).",
	    t->idem_key);
}

static void
settled_event(struct work_commit *wc, const struct run_tool *t, bool is_error)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "tool_call_id", t->call_id);
	jw_str(&b, "name", t->tool);
	if (!is_error)
		jw_str(&b, "result", t->result);
	jw_bool(&b, "is_error", is_error);
	jw_str(&b, "outcome", t->state);
	jw_close(&b);
	event_list_add(&wc->events, "tool_result", &b);
}

static void
call_close(struct work *w, struct work_commit *wc, const struct run_tool *row,
    bool rolled_back)
{
	struct run_tool *t = &wc->tools_done[wc->c.n_tools_done++];
	struct run_message *m;
	bool is_error;

	*t = *row;
	call_settle(wc, t, &is_error);
	m = work_add_message(w, wc, "tool");
	m->state = rolled_back ? "rolled_back" : "final";
	m->ordinal = t->ordinal;
	m->content = t->result;
	m->tool_name = t->tool;
	m->tool_call_id = t->call_id;
	m->parts = work_result_parts(wc, t->call_id, t->result, is_error);
	settled_event(wc, t, is_error);
	work_message_created(w, wc, m);
}

/* Results for the calls of this step that the history does not answer yet. */
static SUSPENDS enum as_status
close_calls(struct work *w, struct work_commit *wc, bool rolled_back)
{
	struct run_tool *rows;
	enum as_status st;
	int n;

	st = work_read_tools(w, wc->arena, &rows, &n, NULL);
	if (st != AS_OK)
		return st;
	wc->c.tools_done = wc->tools_done = arena_alloc(wc->arena,
	    (size_t)n * sizeof(*wc->tools_done) + 1);
	for (int i = 0; i < n; i++)
		if (!work_is_answered(w, &rows[i]))
			call_close(w, wc, &rows[i], rolled_back);
	return AS_OK;
}

/* ---- What cannot be rolled back ------------------------------------- */

/* Calls that have, or may have, changed something outside. */
static void
residue_write(struct buf *b, const struct run_tool *rows, int n)
{
	jw_open_list(b, "residue");
	for (int i = 0; i < n; i++) {
		const struct run_tool *t = &rows[i];
		bool known = strcmp(t->state, "succeeded") == 0;

		jw_open(b, NULL);
		jw_str(b, "tool_call_id", t->call_id);
		jw_str(b, "name", t->tool);
		jw_str(b, "effect", run_effect_word(t->effect));
		jw_str(b, "outcome", known ? "succeeded" : "unknown");
		jw_str(b, "idempotency_key", t->idem_key);
		jw_close(b);
	}
	jw_close_list(b);
}

static SUSPENDS enum as_status
rolled_back_event(struct work *w, struct work_commit *wc,
    const struct work_ending *end, struct error *err)
{
	struct run_tool *rows;
	struct buf b = { 0 };
	enum as_status st;
	int n;

	for (int i = 0;; i++) {
		st = run_store_effects(w->e->c.runs, w->run_id, wc->arena,
		    &rows, &n, err);
		if (!work_wait_retry(w, st, i))
			break;
	}
	if (st != AS_OK)
		return st;
	jw_open(&b, NULL);
	jw_str(&b, "status", "end");
	jw_str(&b, "state", run_status_name(end->to));
	jw_str(&b, "reason", end->reason);
	run_usage_write(&b, "usage", &w->state.usage);
	residue_write(&b, rows, n);
	jw_close(&b);
	event_list_add(&wc->events, "run_status", &b);
	return AS_OK;
}

static SUSPENDS enum as_status
end_event(struct work *w, struct work_commit *wc, const struct work_ending *end)
{
	if (end->to == RUN_ROLLED_BACK)
		return rolled_back_event(w, wc, end, NULL);
	event_list_add_status(&wc->events, end->to, end->reason, end->why,
	    &w->state.usage);
	return AS_OK;
}

/* ---- The end ------------------------------------------------------- */

static void
ending_item(struct work *w, struct work_commit *wc,
    const struct work_ending *end)
{
	if (end->dead_reason != NULL)
		work_item_error(w, wc, "dead_letter", end->why);
	else if (end->why != NULL)
		ambient_failed(w, wc, end->why);
}

SUSPENDS enum as_status
work_end(struct work *w, const struct work_ending *end)
{
	bool rolled_back = end->to == RUN_ROLLED_BACK;
	bool open = w->message_open;
	struct buf error = { 0 };
	struct work_commit wc;
	enum as_status st;

	work_commit_init(w, &wc);
	if (rolled_back && open)
		work_message_start(w, &wc); /* says that it is void */
	else
		work_keep_partial(w, &wc, end->text, end->len,
		    end->why != NULL ? "error" : "interrupted");
	st = close_calls(w, &wc, rolled_back);
	if (st == AS_OK) {
		wc.c.to = end->to;
		/* What was never said is not a part of the history. */
		wc.c.void_messages = rolled_back || wc.c.from == RUN_BLOCKED;
		wc.c.items_close = end->items_close;
		if (end->decision != NULL)
			work_item_answer(&wc, end->decision);
		wc.c.dead_reason = end->dead_reason;
		if (w->takes_over) /* nobody was asked to cancel it before */
			wc.c.cancel_mode = rolled_back ? "discard" : "keep";
		if (end->why != NULL) {
			run_error_write(&error, NULL, end->why, end->to);
			wc.c.error_code = error_name(end->why->code);
			wc.c.error = work_text(&wc, &error);
		}
		ending_item(w, &wc, end);
		st = end_event(w, &wc, end);
	}
	if (st == AS_OK)
		st = work_commit(w, &wc, NULL);
	if (st != AS_OK)
		w->message_open = open;
	work_commit_fini(&wc);
	return st;
}

SUSPENDS void
work_finish_cancel(struct work *w, const char *text, size_t len)
{
	struct work_ending end = { .text = text,
		.len = len,
		.items_close = "dismissed" };
	struct run_state now;
	enum as_status st;

	/* The cancel itself is an event: the heads have moved. */
	for (int i = 0; !w->lost; i++) {
		st = run_store_state(w->e->c.runs, w->run_id, w->arena, &now,
		    NULL);
		if (work_wait_retry(w, st, i))
			continue;
		if (st != AS_OK || now.fence != w->state.fence ||
		    now.status != RUN_CANCELLING)
			return;
		work_state_look(w, &now);
		end.to = now.cancel_mode != NULL &&
				 strcmp(now.cancel_mode, "discard") == 0
			     ? RUN_ROLLED_BACK
			     : RUN_CANCELLED;
		st = work_end(w, &end);
		if (st == AS_OK)
			return;
		if (st != AS_CONFLICT && !work_wait_retry(w, st, i))
			return;
	}
}

SUSPENDS void
work_fail(struct work *w, const struct error *why, const char *text, size_t len)
{
	struct work_ending end = { .to = RUN_FAILED,
		.why = why,
		.items_close = "dismissed",
		.text = text,
		.len = len };

	log_warn("run", "run failed: %s: %s", error_name(why->code),
	    why->detail);
	if (work_end(w, &end) == AS_CONFLICT)
		work_finish_cancel(w, text, len);
}
