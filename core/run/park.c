/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/run/ambient.h"

/*
 * A run that stops here and goes on later: at a time, when this process has
 * stopped, or when a person has decided.  Its owner lets go of it in the commit
 * that says so; an answer that was being written starts again.
 */

/* ---- Items --------------------------------------------------------- */

/* The same question asked again has the same id, so there is one item. */
static struct uuid
interrupt_id(const struct work *w, const char *key, int64_t n)
{
	uint8_t sum[HASH_LEN];
	struct uuid id;
	char run[UUID_TEXT];
	struct hash h;

	uuid_format(w->run_id, run);
	hash_init(&h);
	hash_field_str(&h, "i1");
	hash_field_str(&h, run);
	hash_field_str(&h, key);
	hash_field_int(&h, n);
	hash_end(&h, sum);
	memcpy(&id, sum, sizeof(id));
	return id;
}

/* Items of a commit stand in one array, grown one by one. */
struct run_item *
work_item_add(struct work *w, struct work_commit *wc, const char *kind)
{
	size_t n = (size_t)wc->c.n_items_new;
	struct run_item *all, *t;

	all = arena_alloc(wc->arena, (n + 1) * sizeof(*all));
	if (n > 0)
		memcpy(all, wc->items, n * sizeof(*all));
	wc->c.items_new = wc->items = all;
	wc->c.n_items_new++;
	t = &all[n];
	t->id = engine_new_id(w->e);
	t->agent_id = w->state.agent_id;
	t->user_id = w->state.user_id;
	t->correlation_id = w->state.correlation_id;
	t->kind = kind;
	return t;
}

void
work_item_event(struct work_commit *wc, const struct run_item *t)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_uuid(&b, "item_id", t->id);
	jw_uuid(&b, "interrupt_id", t->interrupt_id);
	jw_str(&b, "kind", t->kind);
	jw_raw(&b, "action_request", t->action_request);
	jw_raw(&b, "config", t->config);
	jw_str(&b, "description", t->description);
	jw_time(&b, "expires_at", t->expires_at);
	jw_close(&b);
	event_list_add(&wc->events, "hitl_request", &b);
}

static const char *
request_of(struct work_commit *wc, const struct run_tool *t)
{
	struct buf b = { 0 };
	char id[UUID_TEXT];

	uuid_format(t->id, id);
	jw_open(&b, NULL);
	jw_str(&b, "action", t->tool);
	jw_raw(&b, "args", t->args);
	jw_str(&b, "call_id", id);
	jw_str(&b, "tool_call_id", t->call_id);
	jw_str(&b, "idempotency_key", t->idem_key);
	jw_time(&b, "sender_may_live_until", t->deadline_us);
	jw_close(&b);
	return work_text(wc, &b);
}

void
work_item_unknown(struct work *w, struct work_commit *wc,
    const struct run_tool *t)
{
	struct run_item *item = work_item_add(w, wc, "outcome");

	item->ordinal = t->ordinal;
	item->interrupt_id = interrupt_id(w, t->idem_key, 0);
	item->title = arena_printf(wc->arena, "Did %s happen?", t->tool);
	item->description =
	    "The call was sent, or may have been, and there is no answer. "
	    "Look at the service: then say that it happened (with its result), "
	    "that it did not (it is made again), or skip it.";
	item->action_request = request_of(wc, t);
	item->config = "{\"outcomes\":[\"happened\",\"not_happened\","
		       "\"skip\"]}";
	ambient_expires(w, wc, item);
	work_item_event(wc, item);
}

static const char *
error_request(struct work_commit *wc, const struct error *why)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "action", "decide");
	jw_open(&b, "args");
	jw_str(&b, "code", error_name(why->code));
	jw_str(&b, "message", why->detail);
	jw_close(&b);
	jw_close(&b);
	return work_text(wc, &b);
}

void
work_item_error(struct work *w, struct work_commit *wc, const char *kind,
    const struct error *why)
{
	struct run_item *item = work_item_add(w, wc, kind);
	struct buf b = { 0 };

	item->interrupt_id = interrupt_id(w, kind, wc->c.heads.run_seq);
	item->title = error_title(why->code);
	item->description = arena_strdup(wc->arena, why->detail);
	item->action_request = error_request(wc, why);
	jw_open(&b, NULL);
	run_actions_write(&b, why->code);
	jw_close(&b);
	item->config = work_text(wc, &b);
	if (strcmp(kind, "error") == 0)
		ambient_expires(w, wc, item);
	work_item_event(wc, item);
}

void
work_item_answer(struct work_commit *wc, const struct engine_resume *how)
{
	struct buf b = { 0 };

	wc->c.item_id = how->item_id;
	wc->c.response_type = how->response_type;
	wc->c.response = how->response;
	wc->c.responded_by = how->by;
	if (uuid_is_nil(how->item_id))
		return;
	jw_open(&b, NULL);
	jw_uuid(&b, "item_id", how->item_id);
	jw_str(&b, "response_type", how->response_type);
	jw_uuid(&b, "responded_by", how->by);
	jw_close(&b);
	event_list_add(&wc->events, "hitl_resolved", &b);
}

/* ---- Parking ------------------------------------------------------- */

static void
park_into(struct work *w, struct work_commit *wc, const struct error *why)
{
	struct buf b = { 0 };

	wc->c.to = RUN_RECOVERABLE_ERROR;
	run_error_write(&b, NULL, why, wc->c.to);
	wc->c.error_code = error_name(why->code);
	wc->c.error = work_text(wc, &b);
	event_list_add_status(&wc->events, wc->c.to, NULL, why,
	    &w->state.usage);
}

void
work_park_unknown(struct work *w, struct work_commit *wc, int n)
{
	struct error why = { 0 };

	if (n == 1)
		error_set(&why, ERR_OUTCOME_UNKNOWN,
		    "nobody knows whether a tool call has happened");
	else
		error_set(&why, ERR_OUTCOME_UNKNOWN,
		    "nobody knows whether %d tool calls have happened", n);
	park_into(w, wc, &why);
}

/*
 * A cancel that was faster is obeyed.  open: was an answer being written before
 * this commit?
 */
static SUSPENDS void
let_go(struct work *w, struct work_commit *wc, bool open, const char *text,
    size_t len)
{
	enum as_status st = work_commit(w, wc, NULL);

	work_commit_fini(wc);
	if (st != AS_CONFLICT)
		return;
	w->message_open = open;
	work_finish_cancel(w, text, len);
}

SUSPENDS void
work_park(struct work *w, const struct error *why, const char *text, size_t len)
{
	bool open = w->message_open;
	struct work_commit wc;

	if (!uuid_is_nil(w->state.parent_run_id)) { /* its parent decides */
		work_fail(w, why, text, len);
		return;
	}
	log_warn("run", "run needs a decision: %s: %s", error_name(why->code),
	    why->detail);
	work_commit_init(w, &wc);
	work_keep_partial(w, &wc, text, len, "error");
	work_item_error(w, &wc, "error", why);
	park_into(w, &wc, why);
	let_go(w, &wc, open, text, len);
}

static void
wait_event(struct work *w, struct work_commit *wc, const struct error *why,
    int64_t wait_ms, const char *model)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "status", "running");
	jw_str(&b, "state", run_status_name(RUN_WAITING_TIMER));
	jw_str(&b, "reason", "retry");
	jw_int(&b, "in_ms", wait_ms);
	if (model != NULL)
		jw_str(&b, "model", model);
	run_error_write(&b, "error", why, RUN_WAITING_TIMER);
	run_usage_write(&b, "usage", &w->state.usage);
	jw_close(&b);
	event_list_add(&wc->events, "run_status", &b);
}

SUSPENDS void
work_wait(struct work *w, const struct error *why, int64_t wait_ms,
    int64_t attempt, const char *model)
{
	struct work_commit wc;

	log_info("run", "%s: %s; again in %lld ms", error_name(why->code),
	    why->detail, (long long)wait_ms);
	work_commit_init(w, &wc);
	wc.c.to = RUN_WAITING_TIMER;
	wc.c.attempt = attempt;
	wc.c.model = model;
	wc.c.run_at = wc.c.now_us + wait_ms * 1000;
	/* Waiting does not use up the run's time. */
	wc.c.deadline_at = w->state.deadline_at + wait_ms * 1000;
	wait_event(w, &wc, why, wait_ms, model);
	let_go(w, &wc, w->message_open, NULL, 0);
	if (!w->lost && w->state.status == RUN_WAITING_TIMER)
		engine_due(w->e, wait_ms);
}

/* ---- Handing back -------------------------------------------------- */

/* Calls that were never sent may be sent by anybody. */
static SUSPENDS void
calls_unsend(struct work *w, struct work_commit *wc)
{
	struct run_tool *rows;
	int n;

	if (w->n_unsent == 0 ||
	    work_read_tools(w, wc->arena, &rows, &n, NULL) != AS_OK)
		return;
	wc->c.tools_done = wc->tools_done = arena_alloc(wc->arena,
	    (size_t)n * sizeof(*wc->tools_done) + 1);
	for (int i = 0; i < n; i++) {
		struct run_tool *t;

		if (strcmp(rows[i].state, "started") != 0 ||
		    !work_is_unsent(w, rows[i].id))
			continue;
		t = &wc->tools_done[wc->c.n_tools_done++];
		*t = rows[i];
		t->state = "planned";
	}
}

SUSPENDS void
work_yield(struct work *w)
{
	struct work_commit wc;

	work_commit_init(w, &wc);
	wc.c.to = RUN_QUEUED;
	wc.c.run_at = wc.c.now_us;
	calls_unsend(w, &wc);
	event_list_add_status(&wc.events, RUN_QUEUED, "yielded", NULL,
	    &w->state.usage);
	let_go(w, &wc, w->message_open, NULL, 0);
}
