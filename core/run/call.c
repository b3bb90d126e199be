/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/call.h"

#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/run/approval.h"
#include "core/run/ask_tool.h"
#include "core/run/builtin.h"
#include "core/run/mutant.h"
#include "core/run/retry.h"
#include "core/run/run_metrics.h"
#include "core/run/what_if.h"

/*
 * The fiber of one tool call: may it be made, has it perhaps been made before,
 * and, if its service is away for a moment, how often is it tried.  Nothing is
 * sent without a look at the lease.
 */

#define CALL_TRIES 5

const struct plug_tool_info *
call_tool(const struct call *c)
{
	const struct world *world = c->t->w->e->c.world;

	return world->tool(world->arg, c->row.tool);
}

void
call_end(struct call *c, enum as_status st)
{
	struct work *w = c->t->w;

	c->st = st;
	if (c->outcome == NULL)
		c->outcome = st == AS_OK       ? "succeeded"
			     : st == AS_PARKED ? "parked"
					       : "failed";
	c->parked = st == AS_PARKED;
	c->done = true;
	c->t->n_running--;
	run_count_tool(call_tool(c) != NULL ||
			       builtin_find(w, c->row.tool) != NULL
			   ? c->row.tool
			   : "other",
	    c->outcome);
	fiber_correlation_set(NULL);
	fiber_wake(w->wait);
}

bool
call_effect_is(const struct call *c, const char *letter)
{
	return strcmp(c->row.effect, letter) == 0;
}

bool
call_is_offered(const struct work *w, const struct plug_tool_info *info)
{
	const struct agent *a = w->agent;
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

bool
call_is_unknown(const struct call *c)
{
	return c->outcome != NULL && strcmp(c->outcome, "unknown") == 0;
}

static enum as_status
call_unknown(struct call *c, const char *why)
{
	c->outcome = "unknown";
	return error_set(&c->err, ERR_OUTCOME_UNKNOWN, "%s", why);
}

int64_t
call_timeout_ms(const struct call *c)
{
	const struct plug_tool_info *info = call_tool(c);

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

	if (call_effect_is(c, "V") && ms > left)
		ms = left > 0 ? left : 0;
	if ((uint64_t)ms > work_wall_left(w))
		ms = (int64_t)work_wall_left(w);
	fiber_deadline_set(loop_now_ms(w->e->c.loop) + (uint64_t)ms);
}

/* It has not happened, and others would not wait for it to be sent now. */
static enum as_status
call_too_late(struct call *c)
{
	c->outcome = "failed";
	return error_set(&c->err, ERR_TIMEOUT,
	    "the call did not happen, and its time is over");
}

/*
 * Whoever sent it before may do so until its time is over.  To ask has a time
 * of its own: it may be asked because the call's time was not enough.
 */
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
	ms = call_timeout_ms(c);
	if ((uint64_t)ms > work_wall_left(w))
		ms = (int64_t)work_wall_left(w);
	fiber_deadline_set(loop_now_ms(w->e->c.loop) + (uint64_t)ms);
	FAILPOINT("tool.pre_verify");
	st = world->verify(world->arg, who, c->row.tool, args, &c->result,
	    &c->err);
	if (st == AS_OK)
		c->row.resolution = "verify";
	if (st == AS_OK || st == AS_CANCELED)
		return st;
	error_clear(&c->err);
	if (st == AS_NOTFOUND && c->row.deadline_us <= engine_now_us(w->e))
		return call_too_late(c);
	if (st == AS_NOTFOUND) {
		call_deadline(c);
		return AS_BUSY;
	}
	return error_set(&c->err, ERR_TIMEOUT,
	    "nobody can say whether this call has happened");
}

/* Before what may have been sent is sent again; AS_BUSY: send it. */
static SUSPENDS enum as_status
call_look(struct call *c, const struct plug_caller *who,
    struct json_object *args)
{
	if (call_effect_is(c, "V"))
		return call_verify(c, who, args);
	if (call_effect_is(c, "K") && c->row.key_until > 0 &&
	    c->row.key_until < engine_now_us(c->t->w->e))
		return call_unknown(c,
		    "the service does not know the key of this call any more");
	if (call_effect_is(c, "U") && !MUTANT(RESEND_UNSAFE))
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
	if (w->lost || !engine_is_trusted(w->e)) {
		w->distrusted = !w->lost;
		w->lost = true;
		return error_set(&c->err, ERR_CANCELED,
		    "another process may own the run");
	}
	c->sent = true;
	ask_tool_begin(c);
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

	if (st == AS_CANCELED || st == AS_PARKED || c->outcome != NULL)
		return false;
	if (retry_maybe_done(&c->err) && !call_effect_is(c, "P")) {
		*maybe = true;
		if (again && !call_effect_is(c, "U"))
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

SUSPENDS void
call_main(void *arg)
{
	struct call *c = arg;
	struct work *w = c->t->w;
	const struct builtin *b = builtin_find(w, c->row.tool);
	struct json_object *args = NULL;
	struct plug_caller who;
	enum as_status st;

	fiber_correlation_set(w->state.correlation_id);
	work_caller(w, &who);
	who.idem_key = c->row.idem_key;
	who.attempt = (int)w->state.fence;
	who.asking = &c->asking;
	who.reply_max = w->e->c.limits.max_output;
	MUTANT_DO(KEY_ATTEMPT,
	    who.idem_key = mutant_key(c->row.idem_key, w->state.fence));
	if (json_parse(c->row.args, strlen(c->row.args), &args, NULL) !=
		AS_OK ||
	    !json_object_is_type(args, json_type_object))
		st = error_field(&c->err, "",
		    "arguments are not a JSON object");
	else if (what_if_holds(w, &c->row))
		st = what_if_answer(c, args);
	else if (b != NULL)
		st = builtin_call(b, c, args);
	else if (!call_is_offered(w, call_tool(c)))
		st = error_set(&c->err, ERR_NOT_FOUND, "no tool named '%s'",
		    c->row.tool);
	else
		st = call_make(c, &who, args);
	json_object_put(args);
	call_end(c, st);
}
