/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/prompt.h"
#include "core/run/run_metrics.h"
#include "core/run/work.h"

/*
 * The tools' turn: every call whose intent is committed runs on a child fiber
 * of its own, at most parallel_tools at once.  The owner commits results as
 * they come in, all that are there in one transaction; the last of them carry
 * the step.  A call found `started` by a new owner is sent again only if its
 * effect class allows it.
 */

struct call {
	struct tools *t;
	struct run_tool row;
	struct fiber_ref fiber;
	uint64_t began_ms;
	enum as_status st;
	struct error err;
	struct json_object *result;
	const char *outcome; /* succeeded failed unknown cancelled skipped */
	bool resumed; /* somebody before us may have sent it */
	bool begun, done;
	bool taken; /* stands in the commit that is under way */
	bool written;
};

struct tools {
	struct work *w;
	struct arena *arena;
	struct call *calls;
	int n, n_running;
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

/* For what an owner before us may have sent; AS_BUSY: send it now. */
static SUSPENDS enum as_status
call_resume(struct call *c, const struct plug_caller *who,
    struct json_object *args)
{
	const struct world *world = c->t->w->e->c.world;
	enum as_status st;

	if (effect_is(c, "V")) {
		st = world->verify(world->arg, who, c->row.tool, args,
		    &c->result, &c->err);
		if (st == AS_OK)
			return AS_OK;
		error_clear(&c->err);
		if (st == AS_NOTFOUND)
			return AS_BUSY;
	} else if (!effect_is(c, "U"))
		return AS_BUSY;
	c->outcome = "unknown";
	return error_set(&c->err, ERR_CRASHED,
	    "the host stopped during this call; it may or may not have "
	    "happened, so it was not made again");
}

static SUSPENDS void
call_main(void *arg)
{
	struct call *c = arg;
	struct work *w = c->t->w;
	const struct world *world = w->e->c.world;
	struct json_object *args = NULL;
	struct plug_caller who;
	enum as_status st = AS_BUSY;
	int64_t ms = (c->row.deadline_us - engine_now_us(w->e)) / 1000;

	if (c->resumed || ms < 1)
		ms = w->e->c.limits.tool_timeout_ms;
	fiber_correlation_set(w->state.correlation_id);
	fiber_deadline_set(
	    loop_now_ms(w->e->c.loop) + ((uint64_t)ms < work_wall_left(w)
						? (uint64_t)ms
						: work_wall_left(w)));
	work_caller(w, &who);
	who.idem_key = c->row.idem_key;
	who.attempt = (int)w->state.fence;
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
	else if (c->resumed)
		st = call_resume(c, &who, args);
	if (st == AS_BUSY && c->outcome == NULL)
		st = world->call(world->arg, &who, c->row.tool, args,
		    &c->result, &c->err);
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
	if (c->st != AS_OK)
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

/* One result: its row, its event, its message. */
static void
result_add(struct call *c, struct work_commit *wc)
{
	struct work *w = c->t->w;
	const char *text = result_text(c, wc->arena);
	struct run_message *m = work_add_message(w, wc, "tool");
	struct run_tool *done = &wc->tools_done[wc->c.n_tools_done++];

	*done = c->row;
	done->state = c->outcome;
	done->result = text;
	done->error_code = c->st == AS_OK ? NULL : error_name(c->err.code);
	m->ordinal = c->row.ordinal;
	m->content = text;
	m->tool_name = c->row.tool;
	m->tool_call_id = c->row.call_id;
	m->parts = work_result_parts(wc, c->row.call_id, text, c->st != AS_OK);
	result_event(c, wc, text);
	work_message_created(w, wc, m);
}

static void
results_add(struct tools *t, struct work_commit *wc)
{
	wc->c.tools_done = wc->tools_done = arena_alloc(wc->arena,
	    (size_t)t->n * sizeof(*wc->tools_done) + 1);
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		/* What ends while the commit waits is of the next one. */
		c->taken = c->done && !c->written;
		if (c->taken)
			result_add(c, wc);
	}
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

/* Commits what is there; with the last results, the step and what follows. */
static SUSPENDS enum as_status
results_commit(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct work_commit wc;
	bool last = all_done(t);
	enum as_status st;

	work_commit_init(w, &wc);
	results_add(t, &wc);
	if (last) {
		work_checkpoint(w, &wc);
		if (!w->cancel)
			work_message_start(w, &wc);
	}
	st = work_commit(w, &wc, err);
	if (st == AS_CONFLICT && last && !w->cancel)
		w->message_open = false;
	for (int i = 0; st == AS_OK && i < t->n; i++)
		if (t->calls[i].taken)
			t->calls[i].written = true;
	work_commit_fini(&wc);
	return st;
}

/* ---- The owner ----------------------------------------------------- */

static SUSPENDS enum as_status
tools_load(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct run_tool *rows;
	enum as_status st;
	int n;

	st = run_store_tools(w->e->c.runs, w->run_id, w->state.step, t->arena,
	    &rows, &n, err);
	if (st != AS_OK)
		return st;
	t->calls = xcalloc((size_t)n + 1, sizeof(*t->calls));
	for (int i = 0; i < n; i++) {
		struct call *c;

		if (strcmp(rows[i].state, "started") != 0)
			continue;
		c = &t->calls[t->n++];
		c->t = t;
		c->row = rows[i];
		c->resumed = w->resumed;
	}
	w->resumed = false;
	return AS_OK;
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
	for (int i = 0; i < t->n; i++)
		if (t->calls[i].done && !t->calls[i].written)
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
		c->outcome = effect_is(c, "P") || effect_is(c, "N")
				 ? "cancelled"
				 : "unknown";
		error_set(&c->err, ERR_CANCELED,
		    "the run was stopped during this call");
	}
}

/* A drain begins no call, but lets those end that are under way. */
static bool
must_stop(const struct tools *t)
{
	const struct work *w = t->w;

	if (w->drain && !w->abort && !w->cancel && !w->lost &&
	    work_wall_left(w) > 0 && !fiber_is_canceled())
		return t->n_running == 0 && !something_new(t);
	return work_must_stop(w);
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
			if (st == AS_OK && all_written(t))
				return;
			continue;
		}
		w->wait = fiber_prepare();
		(void)fiber_suspend(w->wall_end_ms);
	}
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

SUSPENDS enum work_end
work_tools(struct work *w)
{
	struct tools *t = xcalloc(1, sizeof(*t));
	struct error err = { 0 };
	enum work_end end = WORK_ENDED;

	t->w = w;
	t->arena = arena_new(NULL);
	if (tools_load(t, &err) != AS_OK || t->n == 0) {
		if (err.code == ERR_NONE)
			error_set(&err, ERR_INTERNAL,
			    "tool calls without their rows");
		work_fail(w, &err, NULL, 0);
	} else {
		tools_run(t, &err);
		if (!w->lost && !w->drain &&
		    work_reload_history(w, &err) == AS_OK)
			end = WORK_GOES_ON;
	}
	if (end == WORK_GOES_ON && !w->cancel && work_wall_left(w) == 0) {
		error_set(&err, ERR_LIMIT_REACHED,
		    "the time of a run, %lld s, is used up",
		    (long long)w->e->c.limits.max_wall_ms / 1000);
		work_fail(w, &err, NULL, 0);
		end = WORK_ENDED;
	}
	error_clear(&err);
	tools_free(t);
	return end;
}
