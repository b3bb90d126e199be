/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/replay_impl.h"

/*
 * The world of a replay: models say what they said, tools end as they ended
 * and in that order.  What comes after the last checkpoint of a run that was
 * stopped or failed is played as far as it was kept.
 */

#define TOOLKIT "recorded" /* that all tools of the record are of */

static SUSPENDS enum as_status
world_agent(void *arg, struct uuid id, struct arena *arena, struct agent **out,
    struct error *err)
{
	struct replay *r = arg;

	(void)id, (void)arena, (void)err;
	*out = r->rec.agent;
	return AS_OK;
}

static struct json_object *
world_offer(void *arg, const struct agent *a)
{
	(void)arg, (void)a;
	return jarr();
}

static enum as_effect
effect_of(const char *letter)
{
	enum as_effect e = AS_EFFECT_ONCE;

	while (
	    e < AS_EFFECT_VERIFIED && strcmp(run_effect_letter(e), letter) != 0)
		e++;
	return e;
}

/* Tools that never were are there, too: the record says what came of them. */
static const struct plug_tool_info *
world_tool(void *arg, const char *name)
{
	struct replay *r = arg;
	struct plug_tool_info *info;

	for (int i = 0; i < r->rec.n_tools; i++) {
		const struct run_tool *t = &r->rec.tools[i];

		if (strcmp(t->tool, name) != 0)
			continue;
		info = arena_alloc(r->arena, sizeof(*info));
		info->toolkit = TOOLKIT;
		info->name = t->tool;
		info->version = t->version;
		info->effect = effect_of(t->effect);
		return info;
	}
	return NULL;
}

/* ---- The model ----------------------------------------------------- */

static enum as_status
say(const struct plug_sink *sink, enum as_delta_type type, uint32_t index,
    const char *text)
{
	struct as_delta d = { .size = sizeof(d),
		.type = type,
		.index = index,
		.text = text,
		.len = strlen(text) };

	return sink->delta(sink->arg, &d);
}

/* Arguments that were no JSON object are kept as a string of what was said. */
static enum as_status
say_args(const struct plug_sink *sink, uint32_t index, const struct run_tool *t)
{
	struct json_object *args = NULL;
	enum as_status st;

	if (json_parse(t->args, strlen(t->args), &args, NULL) == AS_OK &&
	    json_object_is_type(args, json_type_string))
		st = say(sink, AS_DELTA_ARGS, index,
		    json_object_get_string(args));
	else
		st = say(sink, AS_DELTA_ARGS, index, t->args);
	json_object_put(args);
	return st;
}

static enum as_status
say_call(struct replay *r, const struct plug_sink *sink, uint32_t index,
    struct json_object *part)
{
	const struct run_tool *t = record_tool_at(&r->rec, r->now.step + 1,
	    index);
	struct as_delta d = { .size = sizeof(d),
		.type = AS_DELTA_TOOL,
		.index = index,
		.id = jget_str(part, "id", ""),
		.name = jget_str(part, "name", "") };
	enum as_status st = sink->delta(sink->arg, &d);

	if (st != AS_OK)
		return st;
	if (t != NULL && !record_was_edited(t))
		return say_args(sink, index, t);
	return say(sink, AS_DELTA_ARGS, index, json_text(jget(part, "args")));
}

static enum as_status
say_part(struct replay *r, const struct plug_sink *sink,
    struct json_object *part, uint32_t *n_calls)
{
	const char *type = jget_str(part, "type", "");
	struct as_delta d = { .size = sizeof(d), .type = AS_DELTA_EXTRA };

	if (strcmp(type, "text") == 0)
		return say(sink, AS_DELTA_TEXT, 0, jget_str(part, "text", ""));
	if (strcmp(type, "reasoning") == 0)
		return say(sink, AS_DELTA_REASONING, 0,
		    jget_str(part, "text", ""));
	if (strcmp(type, "tool_call") == 0)
		return say_call(r, sink, (*n_calls)++, part);
	if (strcmp(type, "extra") != 0)
		return AS_OK;
	d.value = (const struct as_json *)(uintptr_t)jget(part, "value");
	return sink->delta(sink->arg, &d);
}

static enum as_chat_why
why_of(const struct record *rec, struct uuid message_id)
{
	static const struct {
		const char *word;
		enum as_chat_why why;
	} words[] = { { "tool_calls", AS_END_TOOLS },
		{ "length", AS_END_LENGTH }, { "stop_sequence", AS_END_STOP },
		{ "refused", AS_END_REFUSED } };
	const char *why = record_why(rec, message_id);

	for (size_t i = 0; i < N_ITEMS(words); i++)
		if (strcmp(why, words[i].word) == 0)
			return words[i].why;
	return AS_END_TURN;
}

static void
say_usage(const struct record_message *m, struct plug_chat_end *end)
{
	struct run_usage u;

	run_usage_parse(&u, m->usage);
	end->input = u.input;
	end->output = u.output;
	end->cached = u.cached;
	end->reasoning = u.reasoning;
}

static enum as_status
say_answer(struct replay *r, const struct record_message *m,
    const struct plug_sink *sink, struct plug_chat_end *end, struct error *err)
{
	struct json_object *parts = NULL;
	uint32_t n_calls = 0;
	enum as_status st = json_parse(m->parts, strlen(m->parts), &parts, err);

	for (size_t i = 0; st == AS_OK && i < json_object_array_length(parts);
	     i++)
		st = say_part(r, sink, json_object_array_get_idx(parts, i),
		    &n_calls);
	json_object_put(parts);
	say_usage(m, end);
	end->why = why_of(&r->rec, m->id);
	return st;
}

/* Until somebody cancels this fiber. */
static SUSPENDS enum as_status
until_cancelled(struct error *err)
{
	enum fiber_exit x;

	do {
		(void)fiber_prepare();
		x = fiber_suspend(0);
	} while (x == FIBER_WOKEN);
	return fiber_exit_status(x, err);
}

static enum as_status
recorded_error(const struct record *rec, struct error *err)
{
	struct json_object *o = NULL;
	enum error_code code;
	enum as_status st;

	if (rec->error != NULL)
		(void)json_parse(rec->error, strlen(rec->error), &o, NULL);
	code = error_by_name(jget_str(o, "code", ""));
	st = error_set(err, code != ERR_NONE ? code : ERR_INTERNAL, "%s",
	    jget_str(o, "message", ""));
	json_object_put(o);
	return st;
}

/* No whole answer came: how did it go on instead? */
static SUSPENDS enum as_status
no_answer(struct replay *r, struct error *err)
{
	if (r->rec.state.status == RUN_FAILED)
		return recorded_error(&r->rec, err);
	if (!replay_ends_cancelled(r)) {
		replay_over(r);
		return error_set(err, ERR_UNAVAILABLE, "the record ends here");
	}
	replay_cancel(r);
	return until_cancelled(err);
}

/* The text that was shown of an answer that broke off, or was stopped. */
static SUSPENDS enum as_status
say_partial(struct replay *r, const struct record_message *m,
    const struct plug_sink *sink, struct error *err)
{
	bool last = r->next == r->rec.n_messages - 1;
	enum as_status st = say(sink, AS_DELTA_TEXT, 0, m->content);

	if (st != AS_OK)
		return st;
	if (strcmp(record_why(&r->rec, m->id), "error") != 0 ||
	    (last && r->rec.state.status == RUN_FAILED))
		return no_answer(r, err);
	/* Which one it was is not stored; it made the run wait. */
	return error_set(err, ERR_UPSTREAM_UNAVAILABLE, "it broke off");
}

/* The summary that was made at this step, or NULL. */
static const struct record_message *
summary_next(const struct replay *r)
{
	const struct record_message *m = &r->rec.messages[r->next];

	return r->next < r->rec.n_messages && strcmp(m->role, "system") == 0
		   ? m
		   : NULL;
}

/* Known only where the record has a summary, so that it is made there. */
static int64_t
world_window(void *arg, const char *model)
{
	struct replay *r = arg;
	const struct record_message *m = summary_next(r);
	struct json_object *parts = NULL;
	int64_t window = 0;

	(void)model;
	if (m != NULL &&
	    json_parse(m->parts, strlen(m->parts), &parts, NULL) == AS_OK)
		window = jget_int(json_object_array_get_idx(parts, 0), "window",
		    0);
	json_object_put(parts);
	return window;
}

static enum as_status
say_summary(const struct record_message *m, const struct plug_sink *sink,
    struct plug_chat_end *end, struct error *err)
{
	struct json_object *parts = NULL;
	bool summarised = false;

	if (json_parse(m->parts, strlen(m->parts), &parts, NULL) == AS_OK)
		summarised = jget_bool(json_object_array_get_idx(parts, 0),
		    "summarised", false);
	json_object_put(parts);
	say_usage(m, end);
	return summarised ? say(sink, AS_DELTA_TEXT, 0, m->content)
			  : error_set(err, ERR_UPSTREAM_UNAVAILABLE,
				"there was no summary");
}

static SUSPENDS enum as_status
world_chat(void *arg, const struct plug_caller *who, const char *model,
    struct json_object *messages, struct json_object *tools,
    const struct plug_sink *sink, struct plug_chat_end *end, struct error *err)
{
	struct replay *r = arg;
	const struct record *rec = &r->rec;
	int i = record_answer_at(rec, r->now.step + 1);

	(void)who, (void)model, (void)messages, (void)tools;
	r->moves++;
	if (summary_next(r) != NULL)
		return say_summary(summary_next(r), sink, end, err);
	if (r->next < rec->n_messages &&
	    record_is_partial(&rec->messages[r->next]))
		return say_partial(r, &rec->messages[r->next], sink, err);
	if (i < 0 || record_checkpoint_at(rec, r->now.step + 1) == NULL)
		return no_answer(r, err);
	return say_answer(r, &rec->messages[i], sink, end, err);
}

/* ---- Tools --------------------------------------------------------- */

void
replay_world_wake(struct replay *r)
{
	for (int i = 0; i < r->n_waiting; i++)
		fiber_wake(r->waiting[i]);
	r->n_waiting = 0;
}

/* Without what the engine adds when it has seen the call too often. */
static const char *
without_nudge(struct replay *r, const char *text)
{
	const char *last = NULL;

	for (const char *p = text; (p = strstr(p, RUN_REPEATS_NOTE)) != NULL;
	     p++)
		last = p;
	return last != NULL
		   ? arena_strndup(r->arena, text, (size_t)(last - text))
		   : text;
}

/*
 * The details of a failure stand behind its sentence, as JSON; they may be
 * longer than a sentence can be, so they go back where they came from.
 */
static void
split_details(const char *text, struct error *err, enum error_code code)
{
	struct json_object *details = NULL;
	const char *p = text;

	while ((p = strchr(p, ' ')) != NULL) {
		p++;
		if ((*p == '{' || *p == '[') &&
		    json_parse(p, strlen(p), &details, NULL) == AS_OK)
			break;
	}
	if (p == NULL) {
		error_set(err, code, "%s", text);
		return;
	}
	error_set(err, code, "%.*s", (int)(p - 1 - text), text);
	error_member(err, "details", details);
}

/* "Error CODE: sentence", as the engine writes it for the model. */
static enum as_status
recorded_failure(const struct run_tool *t, const char *result,
    struct error *err)
{
	enum error_code code = t->error_code != NULL
				   ? error_by_name(t->error_code)
				   : ERR_NONE;
	const char *text = strstr(result, ": ");

	if (code == ERR_NONE)
		code = ERR_INTERNAL;
	split_details(text != NULL ? text + 2 : "", err, code);
	/* It was tried as often as it was worth. */
	error_member(err, "retryable", json_object_new_boolean(false));
	return error_status(code);
}

/* Is it the turn of a call that waits for a person's word? */
static bool
is_asked_next(const struct replay *r)
{
	const struct run_tool *t = NULL;

	if (r->next < r->rec.n_messages)
		t = record_call_of(&r->rec, &r->rec.messages[r->next]);
	return t != NULL && record_was_asked(t);
}

/* Waits until what ended before this call is written. */
static SUSPENDS enum as_status
await_turn(struct replay *r, const struct run_tool *t, struct error *err)
{
	int turn = record_turn(&r->rec, t);
	enum fiber_exit x = FIBER_WOKEN;

	while (x == FIBER_WOKEN && !r->over && r->next < turn) {
		if (is_asked_next(r))
			engine_rung(r->engine); /* it is answered now */
		MUST(r->n_waiting < WORK_CALLS_MAX);
		r->waiting[r->n_waiting++] = fiber_prepare();
		x = fiber_suspend(0);
	}
	r->moves++;
	return x == FIBER_WOKEN ? AS_OK : fiber_exit_status(x, err);
}

/*
 * Calls begin as soon as others have ended: if one never did that is written
 * together with this one, the stop had come before this one's end was seen.
 */
static bool
stopped_meanwhile(const struct replay *r, const struct run_tool *call)
{
	const struct record *rec = &r->rec;
	int i = record_result_at(rec, call);
	const struct run_tool *t;

	if (i < 0 || !replay_ends_cancelled(r))
		return false;
	for (int k = rec->messages[i].after; k < rec->n_messages; k++) {
		t = record_call_of(rec, &rec->messages[k]);
		if (t == NULL ||
		    rec->messages[k].after != rec->messages[i].after)
			return false;
		if (record_never_began(t))
			return true;
	}
	return false;
}

/*
 * It waited for subagents when it was cancelled.  They ended first, each with a
 * result; how the run itself ended then is not part of any step.
 */
static bool
ended_waiting(const struct replay *r, const struct run_tool *t)
{
	return t != NULL && strcmp(t->tool, "task") == 0 &&
	       replay_ends_cancelled(r) &&
	       record_checkpoint_at(&r->rec, t->step + 1) == NULL;
}

static SUSPENDS enum as_status
play_call(struct replay *r, const struct run_tool *call,
    struct json_object **result, struct error *err)
{
	const struct run_tool *t = record_tool_at(&r->rec, call->step,
	    call->ordinal);
	enum as_status st = await_turn(r, call, err);

	if (st != AS_OK)
		return st;
	if (t == NULL || t->result == NULL || ended_waiting(r, t) ||
	    (record_is_cut(t) && !replay_ends_cancelled(r))) {
		r->stuck = t != NULL && t->result != NULL &&
			   !ended_waiting(r, t);
		replay_over(r);
		return error_set(err, ERR_UNAVAILABLE, "the record ends here");
	}
	if (record_was_decided(t) || record_was_closed(t))
		return error_set(err, ERR_TIMEOUT, "nobody knows");
	if (record_is_cut(t)) {
		replay_cancel(r);
		return until_cancelled(err);
	}
	if (stopped_meanwhile(r, call))
		replay_cancel(r);
	if (t->error_code != NULL)
		return recorded_failure(t, without_nudge(r, t->result), err);
	*result = json_object_new_string(without_nudge(r, t->result));
	return AS_OK;
}

static SUSPENDS enum as_status
world_call(void *arg, const struct plug_caller *who, const char *tool,
    struct json_object *args, struct json_object **result, struct error *err)
{
	struct replay *r = arg;

	(void)args;
	for (int i = 0; i < r->n_tools; i++)
		if (strcmp(r->tools[i].idem_key, who->idem_key) == 0)
			return play_call(r, &r->tools[i], result, err);
	return error_set(err, ERR_INTERNAL, "%s was never asked for", tool);
}

/* Asked only of a call whose outcome shall stay unknown. */
static SUSPENDS enum as_status
world_verify(void *arg, const struct plug_caller *who, const char *tool,
    struct json_object *args, struct json_object **result, struct error *err)
{
	(void)arg, (void)who, (void)tool, (void)args, (void)result;
	return error_set(err, ERR_UNSUPPORTED, "nothing is verified here");
}

static void
put_json(void *arg)
{
	json_object_put(arg);
}

/* What the agent may do now is not what it might then: the record decides. */
static void
agent_allow_all(struct replay *r)
{
	struct agent *a = r->rec.agent;

	a->toolkits = jarr();
	json_object_array_add(a->toolkits, json_object_new_string(TOOLKIT));
	a->memory = jobj();
	jput_bool(a->memory, "enabled", true);
	a->approval = NULL; /* the record says who was asked */
	a->fallback_models = NULL; /* an answer that fails makes the run wait */
	arena_cleanup(r->arena, put_json, a->toolkits);
	arena_cleanup(r->arena, put_json, a->memory);
}

void
replay_world_init(struct replay *r)
{
	agent_allow_all(r);
	r->world = (struct world){ .arg = r,
		.agent = world_agent,
		.replays = true,
		.offer = world_offer,
		.tool = world_tool,
		.chat = world_chat,
		.call = world_call,
		.verify = world_verify,
		.window = world_window };
}
