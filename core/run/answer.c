/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/answer.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/builtin.h"
#include "core/run/compact.h"
#include "core/run/history.h"
#include "core/run/prompt.h"
#include "core/run/retry.h"
#include "core/run/run_metrics.h"

/*
 * The model's turn: one request on a child fiber, its text shown as it comes,
 * its whole answer committed at the end together with the intent of every tool
 * call it asks for.  Nothing of it is acted on before that commit.
 */

/* ---- Before it is asked -------------------------------------------- */

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

/* ---- The turn ------------------------------------------------------ */

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
	work_child_wait(w, a->fiber, &a->done);
	run_count_tokens(a->end.input, a->end.output);
	work_spend(w, &a->end);
	breaker_tell(a);
	answer_name_calls(a);
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
