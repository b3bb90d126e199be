/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/answer.h"

/*
 * The model's request on a child fiber: what comes is collected, and shown in
 * pieces (trickle.h says when).
 */

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

void
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

SUSPENDS void
answer_main(void *arg)
{
	struct answer *a = arg;
	struct work *w = a->w;
	const struct world *world = w->e->c.world;
	struct plug_sink sink = { .arg = a, .delta = answer_delta };
	struct plug_caller who;
	char key[RUN_IDEM_KEY];

	work_ask_begin(w, w->state.ns, &who, key);
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
