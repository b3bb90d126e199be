/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/ambient.h"
#include "core/run/approval.h"
#include "core/run/builtin.h"
#include "core/run/call.h"
#include "core/run/compact.h"
#include "core/run/history.h"
#include "core/run/mutant.h"
#include "core/run/prompt.h"
#include "core/run/retry.h"
#include "core/run/run_metrics.h"
#include "core/run/trickle.h"

/*
 * The model's turn: one request on a child fiber, its text shown as it comes
 * (trickle.h says when), its whole answer committed at the end together with the
 * intent of every tool call it asks for.  Nothing of it is acted on before that
 * commit.
 */

struct answer_call {
	struct uuid id; /* of the invocation */
	char *call_id, *name;
	struct buf args;
	bool seen;
};

struct answer {
	struct work *w;
	struct json_object *messages, *tools;
	struct fiber_ref fiber;
	struct buf text, reasoning;
	struct trickle trickle;
	size_t text_shown, reasoning_shown; /* the rest of one of them waits */
	bool reasons; /* what came last is reasoning */
	struct json_object *extras; /* array */
	struct answer_call *calls;
	int n_calls;
	struct plug_chat_end end;
	struct error err;
	enum as_status st;
	enum as_status refused; /* not OK: a part of it was not taken */
	bool done;
};

/* ---- The child ----------------------------------------------------- */

static void
text_show(struct answer *a)
{
	struct work *w = a->w;
	const char *text = a->text.data + a->text_shown;
	size_t len = a->text.len - a->text_shown;
	struct bus_msg m = { 0 };

	a->text_shown = a->text.len;
	if (len == 0 || !live_append(w->e->c.live, w->thread_id, w->run_id,
			    (int)w->state.fence, text, len, &m))
		return;
	m.frame = event_delta_frame("message_delta", m.run_id, w->state.ns,
	    m.message_id, m.attempt, m.offset, text, m.len);
	bus_publish(w->e->c.bus, &m);
	rcbuf_unref(m.frame);
}

static void
reasoning_show(struct answer *a)
{
	struct work *w = a->w;
	size_t from = a->reasoning_shown, len = a->reasoning.len - from;
	struct bus_msg m = { .topic = w->thread_id, .run_id = w->run_id };

	a->reasoning_shown = a->reasoning.len;
	if (len == 0)
		return;
	m.frame = event_delta_frame("reasoning_delta", w->run_id, w->state.ns,
	    w->message_id, w->state.fence, (int64_t)from,
	    a->reasoning.data + from, len);
	bus_publish(w->e->c.bus, &m);
	rcbuf_unref(m.frame);
}

/* What has come since the last time, as one piece. */
static void
answer_show(struct trickle *t)
{
	struct answer *a = container_of(t, struct answer, trickle);

	trickle_shown(t);
	text_show(a);
	reasoning_show(a);
}

/* What is of another kind than the last stays in order, and is a first piece. */
static void
answer_turn(struct answer *a, bool reasons)
{
	if (reasons == a->reasons)
		return;
	a->reasons = reasons;
	answer_show(&a->trickle);
	trickle_reset(&a->trickle);
}

static void
calls_grow(struct answer *a, int n)
{
	a->calls = xrealloc(a->calls, (size_t)n * sizeof(*a->calls));
	memset(&a->calls[a->n_calls], 0,
	    (size_t)(n - a->n_calls) * sizeof(*a->calls));
	a->n_calls = n;
}

static enum as_status
call_delta(struct answer *a, const struct as_delta *d)
{
	struct answer_call *c;

	if (d->index >= WORK_CALLS_MAX)
		return AS_LIMIT;
	if ((int)d->index >= a->n_calls)
		calls_grow(a, (int)d->index + 1);
	c = &a->calls[d->index];
	if (d->type == AS_DELTA_TOOL && !c->seen) {
		c->seen = true;
		c->call_id = xstrdup(d->id);
		c->name = xstrdup(d->name != NULL ? d->name : "");
	} else if (d->type == AS_DELTA_ARGS) {
		if (c->args.len + d->len > WORK_TEXT_MAX)
			return AS_LIMIT;
		buf_add(&c->args, d->text, d->len);
	}
	return AS_OK;
}

static enum as_status
text_take(struct answer *a, const struct as_delta *d)
{
	if (a->text.len + d->len > WORK_TEXT_MAX)
		return AS_LIMIT;
	if (a->text.len == 0)
		FAILPOINT("llm.first_byte");
	else
		FAILPOINT("llm.mid");
	answer_turn(a, false);
	buf_add(&a->text, d->text, d->len);
	trickle_come(&a->trickle, d->text, d->len, a->text.len - a->text_shown);
	return AS_OK;
}

static enum as_status
reasoning_take(struct answer *a, const struct as_delta *d)
{
	if (a->reasoning.len + d->len > WORK_TEXT_MAX)
		return AS_LIMIT;
	answer_turn(a, true);
	buf_add(&a->reasoning, d->text, d->len);
	trickle_come(&a->trickle, d->text, d->len,
	    a->reasoning.len - a->reasoning_shown);
	return AS_OK;
}

static enum as_status
delta_take(struct answer *a, const struct as_delta *d)
{
	switch (d->type) {
	case AS_DELTA_TEXT:
		return text_take(a, d);
	case AS_DELTA_REASONING:
		return reasoning_take(a, d);
	case AS_DELTA_TOOL:
		answer_show(&a->trickle); /* its text is over, most likely */
		return call_delta(a, d);
	case AS_DELTA_ARGS:
		return call_delta(a, d);
	case AS_DELTA_EXTRA:
		json_object_array_add(a->extras,
		    json_object_get((struct json_object *)(uintptr_t)d->value));
		return AS_OK;
	default:
		return AS_OK;
	}
}

static enum as_status
answer_delta(void *arg, const struct as_delta *d)
{
	struct answer *a = arg;
	enum as_status st = work_must_stop(a->w) ? AS_CANCELED
						 : delta_take(a, d);

	if (a->refused == AS_OK)
		a->refused = st;
	return st;
}

static SUSPENDS void
answer_main(void *arg)
{
	struct answer *a = arg;
	struct work *w = a->w;
	const struct world *world = w->e->c.world;
	struct plug_sink sink = { .arg = a, .delta = answer_delta };
	uint64_t ms = (uint64_t)w->e->c.limits.call_timeout_ms;
	struct plug_caller who;
	char key[RUN_IDEM_KEY];

	if (work_wall_left(w) < ms)
		ms = work_wall_left(w);
	fiber_deadline_set(loop_now_ms(w->e->c.loop) + ms);
	fiber_correlation_set(w->state.correlation_id);
	work_caller(w, &who);
	run_idem_key(w->run_id, w->state.ns, w->state.step, 0, 0, key);
	who.idem_key = key;
	who.attempt = (int)w->state.fence;
	FAILPOINT("llm.pre_send");
	a->st = world->chat(world->arg, &who, w->model, a->messages, a->tools,
	    &sink, &a->end, &a->err);
	/* It may not have cared: half an answer is none. */
	if (a->st == AS_OK && a->refused != AS_OK)
		a->st = error_from_status(&a->err, a->refused,
		    "the answer could not be taken as a whole");
	answer_show(&a->trickle);
	FAILPOINT("llm.end");
	fiber_correlation_set(NULL);
	a->done = true;
	fiber_wake(w->wait);
}

/* ---- The owner ----------------------------------------------------- */

static struct answer *
answer_new(struct work *w)
{
	const struct world *world = w->e->c.world;
	struct answer *a = xcalloc(1, sizeof(*a));
	char *system = prompt_system(w->agent, run_is_alone(w->state.kind));

	a->w = w;
	trickle_init(&a->trickle, w->e->c.loop, answer_show);
	a->messages = history_build(system, w->history, w->n_history);
	a->tools = world->offer(world->arg, w->agent);
	builtin_offer(w, a->tools);
	a->extras = jarr();
	a->end.input = a->end.output = a->end.cached = a->end.reasoning = -1;
	free(system);
	return a;
}

static void
answer_free(struct answer *a)
{
	for (int i = 0; i < a->n_calls; i++) {
		free(a->calls[i].call_id);
		free(a->calls[i].name);
		buf_free(&a->calls[i].args);
	}
	free(a->calls);
	json_object_put(a->messages);
	json_object_put(a->tools);
	json_object_put(a->extras);
	buf_free(&a->text);
	buf_free(&a->reasoning);
	error_clear(&a->err);
	free(a);
}

/* Waits for the child; asks it to end as soon as the run must stop. */
static SUSPENDS void
answer_wait(struct answer *a)
{
	struct work *w = a->w;

	while (!a->done) {
		if (work_must_stop(w)) {
			fiber_reap(a->fiber);
			return;
		}
		w->wait = fiber_prepare();
		(void)fiber_suspend(w->wall_end_ms);
	}
}

static void
usage_of(struct run_usage *u, const struct plug_chat_end *end)
{
	u->input = end->input > 0 ? end->input : 0;
	u->output = end->output > 0 ? end->output : 0;
	u->cached = end->cached > 0 ? end->cached : 0;
	u->reasoning = end->reasoning > 0 ? end->reasoning : 0;
}

/* Names for calls that came without one, unique in the thread. */
static void
calls_name(struct answer *a)
{
	char id[UUID_TEXT];
	int k = 0;

	for (int i = 0; i < a->n_calls; i++)
		if (a->calls[i].seen) {
			if (k != i) {
				struct answer_call hole = a->calls[k];

				a->calls[k] = a->calls[i];
				a->calls[i] = hole;
			}
			k++;
		}
	for (int i = 0; i < k; i++) {
		a->calls[i].id = engine_new_id(a->w->e);
		if (a->calls[i].call_id != NULL &&
		    a->calls[i].call_id[0] != '\0')
			continue;
		free(a->calls[i].call_id);
		uuid_format(a->calls[i].id, id);
		a->calls[i].call_id = xasprintf("call_%s", id);
	}
	for (int i = k; i < a->n_calls; i++)
		buf_free(&a->calls[i].args);
	a->n_calls = k;
}

/* The arguments as a value; NULL if they are not a JSON object. */
static struct json_object *
call_args(const struct answer_call *c)
{
	struct json_object *args = NULL;

	if (c->args.len == 0)
		return jobj();
	if (json_parse(c->args.data, c->args.len, &args, NULL) == AS_OK &&
	    json_object_is_type(args, json_type_object))
		return args;
	json_object_put(args);
	return NULL;
}

static void
part_extra(struct buf *parts, struct json_object *value)
{
	jw_open(parts, NULL);
	jw_str(parts, "type", "extra");
	jw_raw(parts, "value", json_text(value));
	jw_close(parts);
}

static void
part_call(struct buf *parts, const struct answer_call *c)
{
	struct json_object *args = call_args(c);

	jw_open(parts, NULL);
	jw_str(parts, "type", "tool_call");
	jw_str(parts, "id", c->call_id);
	jw_str(parts, "name", c->name);
	jw_raw(parts, "args", args != NULL ? json_text(args) : "{}");
	jw_close(parts);
	json_object_put(args);
}

static void
answer_parts(struct answer *a, struct buf *parts)
{
	jw_open_list(parts, NULL);
	if (a->reasoning.len > 0)
		run_part_text(parts, "reasoning", a->reasoning.data,
		    a->reasoning.len);
	for (size_t i = 0; i < json_object_array_length(a->extras); i++)
		part_extra(parts, json_object_array_get_idx(a->extras, i));
	if (a->text.len > 0)
		run_part_text(parts, "text", a->text.data, a->text.len);
	for (int i = 0; i < a->n_calls; i++)
		part_call(parts, &a->calls[i]);
	jw_close_list(parts);
}

void
work_message_end(struct work *w, struct work_commit *wc, const char *text,
    size_t len, const char *why, const char *usage)
{
	struct buf b = { 0 };
	char sha[HASH_TEXT];

	hash_text(text != NULL ? text : "", len, sha);
	jw_open(&b, NULL);
	jw_uuid(&b, "message_id", w->message_id);
	jw_int(&b, "attempt", w->state.fence);
	jw_int(&b, "length", (int64_t)len);
	jw_str(&b, "sha256", sha);
	jw_raw(&b, "usage", usage);
	jw_str(&b, "finish_reason", why);
	jw_close(&b);
	event_list_add(&wc->events, "message_end", &b);
	w->message_open = false;
}

static const char *
why_word(enum as_chat_why why)
{
	switch (why) {
	case AS_END_TOOLS:
		return "tool_calls";
	case AS_END_LENGTH:
		return "length";
	case AS_END_STOP:
		return "stop_sequence";
	case AS_END_REFUSED:
		return "refused";
	default:
		return "stop";
	}
}

/* ---- Intents ------------------------------------------------------- */

/* Is it begun at once, or does a person come first? */
static const char *
intent_state(const struct work *w, const struct run_tool *t,
    const struct plug_tool_info *info, struct json_object *args)
{
	if (builtin_asks(w, t->tool, args))
		return "parked";
	if (info != NULL && call_is_offered(w, info) &&
	    approval_needed(w->agent->approval, w->state.root_kind, info,
		t->tool, t->effect))
		return "awaiting_approval";
	return "started";
}

static void
intent_fill(struct work *w, struct work_commit *wc, struct run_tool *t,
    const struct answer_call *c, int ordinal)
{
	const struct world *world = w->e->c.world;
	const struct builtin *own = builtin_find(w, c->name);
	const struct plug_tool_info *info = own == NULL
						? world->tool(world->arg,
						      c->name)
						: NULL;
	int64_t ms = info != NULL && info->timeout_ms > 0
			 ? info->timeout_ms
			 : w->e->c.limits.tool_timeout_ms;
	struct json_object *args = call_args(c);
	char key[RUN_IDEM_KEY];
	struct buf text = { 0 };
	struct hash h;

	run_idem_key(w->run_id, w->state.ns, w->state.step + 1, ordinal, 0,
	    key);
	t->id = c->id;
	t->step = w->state.step + 1;
	t->ordinal = ordinal;
	t->call_id = arena_strdup(wc->arena, c->call_id);
	t->idem_key = arena_strdup(wc->arena, key);
	t->tool = arena_strdup(wc->arena, c->name);
	t->version = info != NULL ? arena_strdup(wc->arena, info->version) : "";
	t->effect = info != NULL
			? run_effect_letter(plug_tool_effect(info, args))
		    : own != NULL ? own->effect
				  : "P";
	/* What is no object is kept as the model said it: a JSON string. */
	if (args != NULL)
		t->args = arena_strdup(wc->arena, json_text(args));
	else {
		text_add_clean(&text, c->args.data, c->args.len);
		args = json_object_new_string_len(text.data, (int)text.len);
		t->args = arena_strdup(wc->arena, json_text(args));
		buf_free(&text);
	}
	json_canonical(&text, args);
	hash_init(&h);
	hash_bytes(&h, text.data, text.len);
	hash_end(&h, t->args_hash);
	buf_free(&text);
	t->state = intent_state(w, t, info, args);
	json_object_put(args);
	if (info != NULL && strcmp(t->effect, "K") == 0 &&
	    info->key_valid_ms > 0)
		t->key_until = wc->c.now_us + info->key_valid_ms * 1000;
	t->deadline_us = wc->c.now_us + ms * 1000;
	run_tool_intended(&wc->events, t,
	    strcmp(t->state, "awaiting_approval") == 0);
}

/* ---- The commit ---------------------------------------------------- */

static void
answer_message(struct answer *a, struct work_commit *wc, const char *usage)
{
	struct buf parts = { 0 };
	struct work *w = a->w;
	struct run_message *m = work_add_message(w, wc, "assistant");

	m->id = w->message_id;
	m->content = arena_strndup(wc->arena,
	    a->text.data != NULL ? a->text.data : "", a->text.len);
	answer_parts(a, &parts);
	m->parts = work_text(wc, &parts);
	m->usage = usage;
	m->model = w->model;
	work_message_end(w, wc, a->text.data, a->text.len, why_word(a->end.why),
	    usage);
	work_message_created(w, wc, m);
}

/* Nobody has sent them, as long as tools.c does not begin with them. */
static void
calls_note_unsent(struct answer *a)
{
	struct work *w = a->w;

	w->resumed = false;
	w->unsent = arena_alloc(w->arena,
	    (size_t)a->n_calls * sizeof(*w->unsent) + 1);
	for (w->n_unsent = 0; w->n_unsent < a->n_calls; w->n_unsent++)
		w->unsent[w->n_unsent] = a->calls[w->n_unsent].id;
}

static SUSPENDS enum as_status
answer_commit(struct answer *a, struct error *err)
{
	struct work *w = a->w;
	struct run_usage one = { 0 };
	struct work_commit wc;
	struct buf b = { 0 };
	enum as_status st;

	work_commit_init(w, &wc);
	usage_of(&one, &a->end);
	run_usage_write(&b, NULL, &one);
	answer_message(a, &wc, work_text(&wc, &b));
	wc.c.attempt = 0;
	wc.c.n_tools_new = a->n_calls;
	wc.c.tools_new = wc.tools_new = arena_alloc(wc.arena,
	    (size_t)a->n_calls * sizeof(*wc.tools_new) + 1);
	for (int i = 0; i < a->n_calls; i++)
		intent_fill(w, &wc, &wc.tools_new[i], &a->calls[i], i);
	work_checkpoint(w, &wc);
	if (a->n_calls == 0) {
		wc.c.to = RUN_SUCCEEDED;
		event_list_add_status(&wc.events, RUN_SUCCEEDED, NULL, NULL,
		    &w->state.usage);
		ambient_report(w, &wc, wc.messages[0].content);
	}
	MUTANT_DO(DISPATCH_EARLY,
	    mutant_dispatch(w, wc.tools_new, wc.c.n_tools_new));
	st = work_commit(w, &wc, err);
	if (st == AS_CONFLICT)
		w->message_open = true;
	else if (st == AS_OK)
		calls_note_unsent(a);
	work_commit_fini(&wc);
	return st;
}

/* The limits that are looked at before a model is asked again. */
static SUSPENDS bool
limits_hold(struct work *w)
{
	struct run_used used = {
		/* Two steps a turn: the answer and its tools. */
		.steps = (w->state.step + 1) / 2,
		.tokens = w->state.usage.input + w->state.usage.output,
		.cost_micros = w->state.cost_micros,
		.repeats = run_repeats(w->history, w->n_history, w->run_id),
	};
	struct engine_limits limits = work_limits(w);
	struct error err = { 0 };

	if (run_limits_hold(&limits, &w->granted, &used, &err))
		return true;
	work_park(w, &err, NULL, 0);
	error_clear(&err);
	return false;
}

/* ---- Models that fail ---------------------------------------------- */

/* The agent's model after this one, or NULL: a part of its memory. */
static const char *
model_next(const struct work *w)
{
	struct json_object *list = w->agent->fallback_models;
	size_t n = json_object_is_type(list, json_type_array)
		       ? json_object_array_length(list)
		       : 0;
	size_t next = 0;
	const char *s;

	for (size_t i = 0; i < n; i++) {
		s = json_object_get_string(json_object_array_get_idx(list, i));
		if (s != NULL && w->model != NULL && strcmp(s, w->model) == 0)
			next = i + 1;
	}
	return next < n ? json_object_get_string(
			      json_object_array_get_idx(list, next))
			: NULL;
}

static const char *
service_of(struct work *w)
{
	const char *model = w->model != NULL ? w->model : "";

	return arena_strndup(w->arena, model, strcspn(model, "/"));
}

/* False: the run has stopped, or has another model, or waits for one. */
static SUSPENDS bool
breaker_lets(struct work *w)
{
	const char *next = model_next(w), *service;
	struct error err = { 0 };
	uint64_t wait_ms;

	if (w->e->c.breakers == NULL)
		return true;
	service = service_of(w);
	if (breaker_allow(w->e->c.breakers, service, loop_now_ms(w->e->c.loop),
		&w->breaker_turn, &wait_ms))
		return true;
	error_set(&err, ERR_UPSTREAM_UNAVAILABLE,
	    "%s fails again and again and is left alone for a while", service);
	err.retry_after_ms = (int64_t)wait_ms;
	if (next != NULL)
		work_wait(w, &err, 0, 0, next);
	else
		work_park(w, &err, NULL, 0);
	error_clear(&err);
	return false;
}

static enum breaker_outcome
outcome_of(const struct answer *a)
{
	if (a->st == AS_OK)
		return BREAKER_OK;
	if (work_must_stop(a->w) || !retry_makes_sense(&a->err))
		return BREAKER_NO_FAULT;
	return a->st == AS_TIMEOUT ? BREAKER_TIMED_OUT : BREAKER_FAILED;
}

static void
breaker_tell(struct answer *a)
{
	struct work *w = a->w;
	const char *service;

	if (w->e->c.breakers == NULL)
		return;
	service = service_of(w);
	if (breaker_report(w->e->c.breakers, service, w->breaker_turn,
		loop_now_ms(w->e->c.loop), outcome_of(a), &w->breaker))
		w->breaker_service = service;
}

/* Once more, or another model, or a person decides. */
static SUSPENDS void
answer_failed(struct answer *a)
{
	struct work *w = a->w;
	int64_t failed = w->state.attempt + 1;
	const char *next;
	int64_t wait_ms;

	if (a->st == AS_INTERNAL || a->st == AS_NOMEM) {
		work_fail(w, &a->err, a->text.data, a->text.len);
		return;
	}
	if (retry_makes_sense(&a->err) && failed < w->e->c.limits.model_tries) {
		wait_ms = retry_delay_ms(failed, a->err.retry_after_ms,
		    w->e->c.env.random, w->e->c.env.arg);
		work_wait(w, &a->err, wait_ms, failed, NULL);
	} else if ((next = model_next(w)) != NULL)
		work_wait(w, &a->err, 0, 0, next);
	else
		work_park(w, &a->err, a->text.data, a->text.len);
}

/* It has come before the stop that is asked for could matter. */
static bool
is_whole(const struct answer *a)
{
	return a->st == AS_OK && !a->w->cancel && !a->w->lost &&
	       work_wall_left(a->w) > 0;
}

static SUSPENDS void
answer_stopped(struct answer *a)
{
	struct work *w = a->w;
	struct error err = { 0 };

	if (w->cancel)
		work_finish_cancel(w, a->text.data, a->text.len);
	else if (!w->lost && !w->drain) {
		error_set(&err, ERR_LIMIT_REACHED,
		    "the time of a run, %lld s, is used up",
		    (long long)work_limits(w).max_wall_ms / 1000);
		work_park(w, &err, a->text.data, a->text.len);
		error_clear(&err);
	}
}

SUSPENDS enum work_turn
work_answer(struct work *w)
{
	enum work_turn end = WORK_ENDED;
	struct error err = { 0 };
	struct answer *a;
	enum as_status st;

	if (!limits_hold(w) || !breaker_lets(w))
		return WORK_ENDED;
	if (work_compact(w))
		return WORK_GOES_ON;
	a = answer_new(w);
	live_begin(w->e->c.live, w->thread_id, w->run_id, w->message_id,
	    (int)w->state.fence);
	a->fiber = fiber_spawn(w->e->c.loop, "model call", answer_main, a);
	if (a->fiber.f == NULL) {
		a->done = true;
		a->st = error_set(&a->err, ERR_UNAVAILABLE, "too many fibers");
	}
	answer_wait(a);
	run_count_tokens(a->end.input, a->end.output);
	work_spend(w, &a->end);
	breaker_tell(a);
	calls_name(a);
	if (w->drain && !w->lost && !w->cancel)
		end = WORK_GOES_ON; /* to be handed back */
	if (work_must_stop(w) && !(w->drain && is_whole(a)))
		answer_stopped(a);
	else if (a->st != AS_OK)
		answer_failed(a);
	else if ((st = answer_commit(a, &err)) == AS_CONFLICT)
		work_finish_cancel(w, a->text.data, a->text.len);
	else if (st == AS_OK && a->n_calls > 0 &&
		 work_reload_history(w, &err) == AS_OK)
		end = WORK_GOES_ON;
	if (!run_has_owner(w->state.status))
		end = WORK_ENDED;
	live_end(w->e->c.live, w->thread_id, w->run_id, (int)w->state.fence);
	error_clear(&err);
	answer_free(a);
	return end;
}
