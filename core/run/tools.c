/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/mutant.h"
#include "core/run/prompt.h"
#include "core/run/retry.h"
#include "core/run/run_metrics.h"
#include "core/run/work.h"

/*
 * The tools' turn: every call whose intent is committed runs on a child fiber
 * of its own, at most parallel_tools at once.  The owner commits results as
 * they come in, all that are there in one transaction; the last of them carry
 * the step.  A call found `started` by a new owner is sent again only if its
 * effect class allows it.
 */

#define CALL_TRIES 5

struct call {
	struct tools *t;
	struct run_tool row;
	struct fiber_ref fiber;
	uint64_t began_ms;
	enum as_status st;
	struct error err;
	struct json_object *result;
	const char *outcome; /* succeeded failed unknown cancelled skipped */
	int tries;
	int64_t sender_until_us; /* of whoever may have sent it before */
	bool resumed; /* somebody before us may have sent it */
	bool recorded; /* its result is in the row, its message is missing */
	bool sent; /* by us, and not refused for certain */
	bool pausing; /* until its next try */
	bool begun, done;
	bool taken; /* stands in the commit that is under way */
	bool written;
};

struct tools {
	struct work *w;
	struct arena *arena;
	struct call *calls;
	int n, n_running;
	bool parked; /* a person decides now */
};

/* ---- The child ----------------------------------------------------- */

static const struct plug_tool_info *
world_tool_of(const struct call *c)
{
	const struct world *world = c->t->w->e->c.world;

	return world->tool(world->arg, c->row.tool);
}

static void
call_end(struct call *c, enum as_status st)
{
	struct work *w = c->t->w;

	c->st = st;
	if (c->outcome == NULL)
		c->outcome = st == AS_OK ? "succeeded" : "failed";
	c->done = true;
	c->t->n_running--;
	run_count_tool(world_tool_of(c) != NULL ? c->row.tool : "other",
	    c->outcome);
	fiber_correlation_set(NULL);
	fiber_wake(w->wait);
}

static bool
effect_is(const struct call *c, const char *letter)
{
	return strcmp(c->row.effect, letter) == 0;
}

static SUSPENDS enum as_status
call_remember(struct call *c, struct json_object *args)
{
	struct work *w = c->t->w;
	const char *fact = jget_str(args, "fact", "");
	enum as_status st;

	if (!jget_bool(w->agent->memory, "enabled", false))
		return error_set(&c->err, ERR_NOT_FOUND, "no tool named '%s'",
		    PROMPT_REMEMBER);
	if (fact[0] == '\0')
		return error_field(&c->err, "fact", "is required");
	st = w->e->c.world->remember(w->e->c.world->arg, w->agent->id, fact,
	    &c->err);
	if (st == AS_OK)
		c->result = json_object_new_string("Remembered.");
	return st;
}

/* Is the tool one that this agent was given? */
static bool
call_is_allowed(const struct call *c)
{
	const struct agent *a = c->t->w->agent;
	const struct plug_tool_info *info = world_tool_of(c);
	const char *slug;

	for (size_t i = 0;
	     info != NULL && i < json_object_array_length(a->toolkits); i++) {
		slug = json_object_get_string(
		    json_object_array_get_idx(a->toolkits, i));
		if (slug != NULL && strcmp(slug, info->toolkit) == 0)
			return true;
	}
	return false;
}

static bool
is_unknown(const struct call *c)
{
	return c->outcome != NULL && strcmp(c->outcome, "unknown") == 0;
}

static enum as_status
call_unknown(struct call *c, const char *why)
{
	c->outcome = "unknown";
	return error_set(&c->err, ERR_OUTCOME_UNKNOWN, "%s", why);
}

static int64_t
call_timeout_ms(const struct call *c)
{
	const struct plug_tool_info *info = world_tool_of(c);

	return info != NULL && info->timeout_ms > 0
		   ? info->timeout_ms
		   : c->t->w->e->c.limits.tool_timeout_ms;
}

/*
 * Each try has the tool's whole time, the run's time permitting; but who may
 * have to be asked whether it happened is not sent after the time that the
 * row tells others.
 */
static void
call_deadline(const struct call *c)
{
	struct work *w = c->t->w;
	int64_t ms = call_timeout_ms(c);
	int64_t left = (c->row.deadline_us - engine_now_us(w->e)) / 1000;

	if (effect_is(c, "V") && ms > left)
		ms = left > 0 ? left : 0;
	if ((uint64_t)ms > work_wall_left(w))
		ms = (int64_t)work_wall_left(w);
	fiber_deadline_set(loop_now_ms(w->e->c.loop) + (uint64_t)ms);
}

/* Whoever sent it before may do so until its time is over. */
static SUSPENDS enum as_status
call_verify(struct call *c, const struct plug_caller *who,
    struct json_object *args)
{
	struct work *w = c->t->w;
	const struct world *world = w->e->c.world;
	int64_t ms = (c->sender_until_us - engine_now_us(w->e)) / 1000;
	enum as_status st;

	fiber_deadline_set(w->wall_end_ms);
	if (ms > 0 && fiber_sleep((uint64_t)ms + 1) != FIBER_WOKEN)
		return error_set(&c->err, ERR_CANCELED, "stopped");
	call_deadline(c);
	FAILPOINT("tool.pre_verify");
	st = world->verify(world->arg, who, c->row.tool, args, &c->result,
	    &c->err);
	if (st == AS_OK)
		c->row.resolution = "verify";
	if (st == AS_OK || st == AS_CANCELED)
		return st;
	error_clear(&c->err);
	if (st == AS_NOTFOUND)
		return AS_BUSY;
	return error_set(&c->err, ERR_TIMEOUT,
	    "nobody can say whether this call has happened");
}

/* Before what may have been sent is sent again; AS_BUSY: send it. */
static SUSPENDS enum as_status
call_look(struct call *c, const struct plug_caller *who,
    struct json_object *args)
{
	if (effect_is(c, "V"))
		return call_verify(c, who, args);
	if (effect_is(c, "K") && c->row.key_until > 0 &&
	    c->row.key_until < engine_now_us(c->t->w->e))
		return call_unknown(c,
		    "the service does not know the key of this call any more");
	if (effect_is(c, "U") && !MUTANT(RESEND_UNSAFE))
		return call_unknown(c,
		    "the call may or may not have happened, so it was not "
		    "made again");
	return AS_BUSY;
}

/* The last look before something happens outside. */
static SUSPENDS enum as_status
call_send(struct call *c, const struct plug_caller *who,
    struct json_object *args)
{
	struct work *w = c->t->w;
	const struct world *world = w->e->c.world;
	enum as_status st;

	FAILPOINT("tool.pre_call");
	if (w->lost || !work_is_trusted(w)) {
		w->distrusted = !w->lost;
		w->lost = true;
		return error_set(&c->err, ERR_CANCELED,
		    "another process may own the run");
	}
	c->sent = true;
	st = world->call(world->arg, who, c->row.tool, args, &c->result,
	    &c->err);
	FAILPOINT("tool.post_call");
	return st;
}

/* A drain is no reason: the next owner goes on where this call pauses. */
static bool
call_must_stop(const struct call *c)
{
	const struct work *w = c->t->w;

	return w->cancel || w->lost || work_wall_left(w) == 0 ||
	       fiber_is_canceled() || c->err.retry_after_ms > RETRY_CAP_MS;
}

/* Is there another try?  *maybe: this one may have had its effect. */
static bool
call_goes_on(struct call *c, enum as_status st, bool *maybe)
{
	bool busy = st == AS_BUSY || st == AS_UNAVAILABLE;
	bool again = c->tries < CALL_TRIES && !call_must_stop(c);

	if (st == AS_CANCELED || c->outcome != NULL)
		return false;
	if (retry_maybe_done(&c->err) && !effect_is(c, "P")) {
		*maybe = true;
		if (again && !effect_is(c, "U"))
			return true;
		(void)call_unknown(c, "the call was made and there is no "
				      "answer; it may have happened");
		return false;
	}
	again = again && busy && retry_makes_sense(&c->err);
	if (again && !*maybe)
		c->sent = false;
	return again;
}

static SUSPENDS bool
call_pause(struct call *c)
{
	struct work *w = c->t->w;
	int64_t ms = retry_delay_ms(c->tries, c->err.retry_after_ms,
	    w->e->c.env.random, w->e->c.env.arg);
	bool goes_on;

	fiber_deadline_set(w->wall_end_ms);
	c->pausing = true;
	if (w->drain)
		fiber_wake(w->wait);
	goes_on = fiber_sleep((uint64_t)ms) == FIBER_WOKEN;
	c->pausing = false;
	return goes_on;
}

/* The run stops while it pauses. */
static enum as_status
call_given_up(struct call *c, bool maybe)
{
	if (maybe)
		return call_unknown(c,
		    "the run was stopped before it was known whether this call "
		    "has happened");
	return error_set(&c->err, ERR_CANCELED,
	    "the run was stopped before this call");
}

static SUSPENDS enum as_status
call_make(struct call *c, const struct plug_caller *who,
    struct json_object *args)
{
	bool maybe = c->resumed;
	enum as_status st = AS_BUSY;

	for (c->tries = 1;; c->tries++) {
		error_clear(&c->err);
		call_deadline(c);
		if (maybe)
			st = call_look(c, who, args);
		if (!maybe || st == AS_BUSY)
			st = call_send(c, who, args);
		if (st == AS_OK)
			return AS_OK;
		if (!call_goes_on(c, st, &maybe))
			return c->outcome != NULL ? AS_INTERNAL : st;
		if (!call_pause(c))
			return call_given_up(c, maybe);
	}
}

static SUSPENDS void
call_main(void *arg)
{
	struct call *c = arg;
	struct work *w = c->t->w;
	struct json_object *args = NULL;
	struct plug_caller who;
	enum as_status st;

	fiber_correlation_set(w->state.correlation_id);
	work_caller(w, &who);
	who.idem_key = c->row.idem_key;
	who.attempt = (int)w->state.fence;
	MUTANT_DO(KEY_ATTEMPT,
	    who.idem_key = mutant_key(c->row.idem_key, w->state.fence));
	if (json_parse(c->row.args, strlen(c->row.args), &args, NULL) !=
		AS_OK ||
	    !json_object_is_type(args, json_type_object))
		st = error_field(&c->err, "",
		    "arguments are not a JSON object");
	else if (strcmp(c->row.tool, PROMPT_REMEMBER) == 0)
		st = call_remember(c, args);
	else if (!call_is_allowed(c))
		st = error_set(&c->err, ERR_NOT_FOUND, "no tool named '%s'",
		    c->row.tool);
	else
		st = call_make(c, &who, args);
	json_object_put(args);
	call_end(c, st);
}

/* ---- Results ------------------------------------------------------- */

/* What the model reads. */
static const char *
result_text(struct call *c, struct arena *arena)
{
	size_t max = c->t->w->e->c.limits.max_output, len;
	struct buf clean = { 0 };
	const char *s;

	if (c->st != AS_OK) {
		struct json_object *details = jget(c->err.extra, "details");

		return arena_printf(arena, "Error %s: %s%s%s",
		    error_name(c->err.code), c->err.detail,
		    details != NULL ? " " : "",
		    details != NULL ? json_text(details) : "");
	}
	s = json_object_is_type(c->result, json_type_string)
		? json_object_get_string(c->result)
		: json_text(c->result);
	len = strlen(s);
	if (len > max)
		len = text_utf8_whole(s, max);
	text_add_clean(&clean, s, len);
	if (strlen(s) > len)
		buf_printf(&clean, "\n[cut: %zu of %zu bytes]", len, strlen(s));
	s = arena_strndup(arena, clean.data != NULL ? clean.data : "",
	    clean.len);
	buf_free(&clean);
	return s;
}

static void
failure_write(const struct call *c, struct buf *b)
{
	jw_open(b, "error");
	jw_str(b, "code", error_name(c->err.code));
	jw_str(b, "message", c->err.detail);
	jw_bool(b, "retryable",
	    c->st == AS_BUSY || c->st == AS_UPSTREAM ||
		c->st == AS_UNAVAILABLE);
	jw_close(b);
}

static void
result_event(struct call *c, struct work_commit *wc, const char *text)
{
	uint64_t now = loop_now_ms(c->t->w->e->c.loop);
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "tool_call_id", c->row.call_id);
	jw_str(&b, "name", c->row.tool);
	if (c->recorded)
		jw_str(&b, "result", text);
	else if (c->st != AS_OK)
		failure_write(c, &b);
	else if (strlen(text) <= c->t->w->e->c.limits.max_output &&
		 !json_object_is_type(c->result, json_type_string))
		jw_raw(&b, "result", json_text(c->result));
	else
		jw_str(&b, "result", text);
	jw_bool(&b, "is_error", c->st != AS_OK);
	jw_int(&b, "duration_ms",
	    c->began_ms > 0 ? (int64_t)(now - c->began_ms) : 0);
	jw_str(&b, "outcome", c->outcome);
	jw_close(&b);
	event_list_add(&wc->events, "tool_result", &b);
}

static void
row_done(struct call *c, struct run_tool *done, const char *text)
{
	*done = c->row;
	done->state = c->outcome;
	done->result = text;
	done->error_code = c->st == AS_OK ? NULL : error_name(c->err.code);
}

/* A model that asks for the same again and again is told so, once. */
static const char *
result_nudge(struct call *c, struct arena *arena, const char *text)
{
	struct work *w = c->t->w;

	if (run_repeats(w->history, w->n_history, w->run_id) !=
	    RUN_REPEATS_TOLD)
		return text;
	return arena_printf(arena,
	    "%s" RUN_REPEATS_NOTE "%d times in a row: the result does not "
	    "change; go on without it]",
	    text, RUN_REPEATS_TOLD);
}

/* One result: its row, its event, its message. */
static void
result_add(struct call *c, struct work_commit *wc)
{
	struct work *w = c->t->w;
	const char *text = c->recorded ? c->row.result
				       : result_nudge(c, wc->arena,
					     result_text(c, wc->arena));
	struct run_message *m = work_add_message(w, wc, "tool");

	if (!c->recorded)
		row_done(c, &wc->tools_done[wc->c.n_tools_done++], text);
	m->ordinal = c->row.ordinal;
	m->content = text;
	m->tool_name = c->row.tool;
	m->tool_call_id = c->row.call_id;
	m->parts = work_result_parts(wc, c->row.call_id, text, c->st != AS_OK);
	result_event(c, wc, text);
	work_message_created(w, wc, m);
}

/* Nobody knows its outcome, and the run is not being stopped. */
static bool
call_waits(const struct call *c)
{
	return c->done && is_unknown(c) && !c->t->w->cancel;
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
		if (c->taken)
			result_add(c, wc);
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
			row_done(c, &wc->tools_done[wc->c.n_tools_done++],
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
		if (!t->calls[i].done)
			return false;
	return true;
}

static bool
all_written(const struct tools *t)
{
	for (int i = 0; i < t->n; i++)
		if (!t->calls[i].written)
			return false;
	return true;
}

static void call_from_row(struct call *c);

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

/* The same once more, for what has come during the commit that parks. */
static SUSPENDS void
parked_look(struct tools *t)
{
	struct engine_resume how = { .reason = "late_result",
		.items_close = "superseded" };

	(void)engine_resume(t->w->e, t->w->run_id, &how, NULL);
}

/* Commits what is there; with the last results, the step and what follows. */
static SUSPENDS enum as_status
results_commit(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct work_commit wc;
	bool last = all_done(t), begun = false;
	int n_unknown;
	enum as_status st;

	if (last && any_waits(t))
		unknowns_look(t);
	work_commit_init(w, &wc);
	results_add(t, &wc);
	n_unknown = last ? unknowns_add(t, &wc) : 0;
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
		parked_look(t);
	for (int i = 0; st == AS_OK && i < t->n; i++)
		if (t->calls[i].taken)
			t->calls[i].written = true;
	work_commit_fini(&wc);
	return st;
}

/* ---- The owner ----------------------------------------------------- */

/* What a row that has no message yet means for its call. */
static void
call_from_row(struct call *c)
{
	const char *state = c->row.state;

	c->resumed = strcmp(state, "started") == 0 && c->t->w->resumed;
	c->sender_until_us = c->resumed ? c->row.deadline_us : 0;
	if (strcmp(state, "started") == 0 || strcmp(state, "planned") == 0)
		return;
	c->begun = c->done = true;
	c->outcome = state;
	c->recorded = c->row.result != NULL;
	if (strcmp(state, "succeeded") != 0)
		c->st = error_set(&c->err,
		    is_unknown(c) ? ERR_OUTCOME_UNKNOWN : ERR_CANCELED,
		    "the outcome of this call is recorded: %s", state);
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
	w->resumed = false;
	w->n_unsent = 0;
	return AS_OK;
}

/* Must its row say anew until when it may be sent? */
static bool
needs_intent(const struct call *c)
{
	return strcmp(c->row.state, "planned") == 0 ||
	       (c->resumed && effect_is(c, "V"));
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

		if (c->begun || t->n_running >= w->e->c.limits.parallel_tools)
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
	bool all = all_done(t);

	for (int i = 0; i < t->n; i++)
		if (t->calls[i].done && !t->calls[i].written &&
		    (all || !call_waits(&t->calls[i])))
			return true;
	return false;
}

/* Ends what has begun and never begins the rest. */
static SUSPENDS void
tools_stop(struct tools *t)
{
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (!c->begun) {
			c->begun = c->done = true;
			c->outcome = "cancelled";
			c->st = error_set(&c->err, ERR_CANCELED,
			    "the run was stopped before this call");
		} else if (!c->done)
			fiber_cancel(c->fiber);
	}
	for (int i = 0; i < t->n; i++)
		if (!t->calls[i].done)
			fiber_reap(t->calls[i].fiber);
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (c->written || c->st != AS_CANCELED ||
		    strcmp(c->outcome, "failed") != 0)
			continue;
		c->outcome = !c->sent || effect_is(c, "P") || effect_is(c, "N")
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
	struct engine_resume how = { .reason = "late_result",
		.items_close = "superseded" };
	struct run_tool row;

	row_done(c, &row, result_text(c, arena));
	if (run_store_late(w->e->c.runs, w->run_id, &row, engine_now_us(w->e),
		NULL) == AS_OK) {
		run_count_late();
		log_info("run", "a late result of %s was accepted",
		    c->row.tool);
		/* If that was all it waited for, it goes on. */
		(void)engine_resume(w->e, w->run_id, &how, NULL);
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

		if (c->begun && !c->done && (!c->sent || effect_is(c, "P")))
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
		    c->st != AS_CANCELED && !is_unknown(c))
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

static SUSPENDS void
tools_run(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	enum as_status st = AS_OK;

	while (!w->lost && (st == AS_OK || st == AS_CONFLICT)) {
		if (must_stop(t))
			break;
		if (!w->drain)
			tools_begin(t);
		if (something_new(t)) {
			st = results_commit(t, err);
			if (st == AS_OK && (t->parked || all_written(t)))
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
		if (results_commit(t, err) != AS_CONFLICT)
			break;
}

static void
tools_free(struct tools *t)
{
	for (int i = 0; i < t->n; i++) {
		json_object_put(t->calls[i].result);
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
		    (long long)w->e->c.limits.max_wall_ms / 1000);
		work_park(w, &err, NULL, 0);
		end = WORK_ENDED;
	}
	error_clear(&err);
	tools_free(t);
	return end;
}
