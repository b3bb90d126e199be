/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/run/history.h"
#include "core/run/work.h"

/*
 * Ends that are no success: cancelled, rolled back, failed.  What was shown is
 * kept (or voided) in the same transaction, and no tool call is left without a
 * result, so the thread can go on with the next message.
 */

/* The text so far becomes a message of its own; nothing was said: no message. */
static void
keep_partial(struct work *w, struct work_commit *wc, const char *text,
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

static void
unknown_event(struct work_commit *wc, const struct run_tool *call)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "tool_call_id", call->call_id);
	jw_str(&b, "name", call->tool);
	jw_bool(&b, "is_error", true);
	jw_str(&b, "outcome", "unknown");
	jw_close(&b);
	event_list_add(&wc->events, "tool_result", &b);
}

/* Results for calls that have none: their rows are still `started`. */
static SUSPENDS void
close_calls(struct work *w, struct work_commit *wc, bool rolled_back)
{
	struct run_tool *rows;
	int n;

	if (run_store_tools(w->e->c.runs, w->run_id, w->state.step, wc->arena,
		&rows, &n, NULL) != AS_OK)
		return;
	wc->c.tools_done = wc->tools_done = arena_alloc(wc->arena,
	    (size_t)n * sizeof(*wc->tools_done) + 1);
	for (int i = 0; i < n; i++) {
		struct run_tool *done;
		struct run_message *m;

		if (strcmp(rows[i].state, "started") != 0)
			continue;
		done = &wc->tools_done[wc->c.n_tools_done++];
		*done = rows[i];
		done->state = "unknown";
		done->error_code = "CANCELED";
		done->result = "Error CANCELED: the run was stopped during "
			       "this call; it may have happened.";
		m = work_add_message(w, wc, "tool");
		m->state = rolled_back ? "rolled_back" : "final";
		m->ordinal = rows[i].ordinal;
		m->content = done->result;
		m->tool_name = rows[i].tool;
		m->tool_call_id = rows[i].call_id;
		m->parts = work_result_parts(wc, rows[i].call_id, done->result,
		    true);
		unknown_event(wc, &rows[i]);
		work_message_created(w, wc, m);
	}
}

static SUSPENDS enum as_status
finish_once(struct work *w, enum run_status to, const struct error *why,
    const char *text, size_t len)
{
	bool rolled_back = to == RUN_ROLLED_BACK;
	struct buf error = { 0 };
	struct work_commit wc;
	bool open = w->message_open;
	enum as_status st;

	work_commit_init(w, &wc);
	if (rolled_back && open)
		work_message_start(w, &wc); /* says that it is void */
	else
		keep_partial(w, &wc, text, len,
		    why != NULL ? "error" : "interrupted");
	close_calls(w, &wc, rolled_back);
	wc.c.to = to;
	wc.c.void_messages = rolled_back;
	if (why != NULL) {
		run_error_write(&error, NULL, why);
		wc.c.error_code = error_name(why->code);
		wc.c.error = work_text(&wc, &error);
	}
	event_list_add_status(&wc.events, to, NULL, why, &w->state.usage);
	st = work_commit(w, &wc, NULL);
	if (st != AS_OK)
		w->message_open = open;
	work_commit_fini(&wc);
	return st;
}

SUSPENDS void
work_finish_cancel(struct work *w, const char *text, size_t len)
{
	struct run_state now;
	enum run_status to;
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
		w->state.heads = now.heads;
		w->state.status = now.status;
		w->state.cancel_mode = now.cancel_mode;
		to = now.cancel_mode != NULL &&
			     strcmp(now.cancel_mode, "discard") == 0
			 ? RUN_ROLLED_BACK
			 : RUN_CANCELLED;
		if (finish_once(w, to, NULL, text, len) == AS_OK)
			return;
	}
}

SUSPENDS void
work_fail(struct work *w, const struct error *why, const char *text, size_t len)
{
	log_warn("run", "run failed: %s: %s", error_name(why->code),
	    why->detail);
	if (finish_once(w, RUN_FAILED, why, text, len) == AS_CONFLICT)
		work_finish_cancel(w, text, len);
}
