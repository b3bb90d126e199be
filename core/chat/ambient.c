/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/ambient.h"

#include <string.h>

#include "core/agent/agent.h"
#include "core/base/failpoint.h"
#include "core/chat/queue.h"
#include "core/chat/send.h"
#include "core/run/wire.h"

/*
 * From a task to a run that waits for its turn.  What is written does not
 * depend on anything that is there, except for the dedup: the store takes each
 * once, and who comes second gets what the first one has made.
 */

struct starting {
	const struct chat_ctx *ctx;
	const struct ambient_task *t;
	char model[CHAT_MODEL_LEN];
};

static SUSPENDS enum as_status
agent_check(struct starting *s, struct error *err)
{
	const struct ambient_task *t = s->t;
	struct agent *agent = NULL;
	char id[UUID_TEXT];
	enum as_status st = chat_agent_load(s->ctx, t->agent_id, t->user_id,
	    s->ctx->arena, &agent, s->model, err);

	if (agent == NULL || uuid_equal(agent->tenant_id, t->tenant_id))
		return st;
	error_clear(err);
	uuid_format(t->agent_id, id);
	return error_not_found(err, "agent", id);
}

static SUSPENDS enum as_status
find_replay(const struct starting *s, struct ambient_started *out,
    struct error *err)
{
	const struct ambient_task *t = s->t;
	struct run_claim first;
	enum as_status st;

	if (t->dedup == NULL)
		return AS_OK;
	st = run_store_by_dedup(s->ctx->runs, t->user_id, t->agent_id, t->dedup,
	    &first, err);
	if (st != AS_OK || uuid_is_nil(first.run_id))
		return st;
	*out = (struct ambient_started){ .run_id = first.run_id,
		.thread_id = first.thread_id,
		.replayed = true };
	return AS_OK;
}

/* Those who have room hear of it. */
static void
ring(struct engine *e, const struct run_create *c)
{
	if (c->run_at <= c->now_us)
		engine_starve(e);
	else
		engine_due(e, (c->run_at - c->now_us) / 1000);
}

static const char *
correlation_of(const struct starting *s)
{
	if (s->t->correlation_id != NULL)
		return s->t->correlation_id;
	return s->ctx->correlation_id != NULL ? s->ctx->correlation_id : "";
}

static void
create_fill(const struct starting *s, struct run_create *c)
{
	const struct chat_ctx *ctx = s->ctx;
	const struct ambient_task *t = s->t;
	struct engine *e = ctx->engine;

	c->run_id = engine_new_id(e);
	c->thread_id = engine_new_id(e);
	c->agent_id = t->agent_id;
	c->tenant_id = t->tenant_id;
	c->user_id = t->user_id;
	c->model = s->model;
	c->correlation_id = correlation_of(s);
	c->traceparent = ctx->traceparent;
	c->title = t->title != NULL ? t->title
				    : chat_title_from(ctx->arena, t->task);
	c->new_thread = true;
	c->heads.msg_seq = 1;
	c->kind = "ambient";
	c->class = t->class;
	c->run_at = t->run_at;
	c->origin = t->origin;
	c->dedup = t->dedup;
	c->now_us = engine_now_us(e);
	chat_message_fill(ctx, &c->message, t->task, c->now_us);
	c->message.id = engine_new_id(e);
	c->message.sequence = c->heads.msg_seq;
}

static SUSPENDS enum as_status
start_once(const struct starting *s, struct ambient_started *out,
    struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	struct event_list events = { 0 };
	struct run_create c = { .events = &events };
	struct queue_place place;
	enum as_status st = queue_admit(ctx->queue, s->t->tenant_id,
	    s->t->class, &place, err);

	if (st != AS_OK)
		return st;
	if (place.position == 1 && engine_has_slot(ctx->engine))
		place.est_wait_ms = 0;
	create_fill(s, &c);
	run_message_created(&events, &c.message, c.thread_id, c.run_id);
	chat_queued_event(&events, &place);
	FAILPOINT("ambient.pre_commit");
	st = run_store_create(ctx->runs, &c, err);
	if (st == AS_OK) {
		FAILPOINT("ambient.post_commit");
		engine_publish(ctx->bus, c.thread_id, c.run_id, &c.heads,
		    &events, c.now_us);
		ring(ctx->engine, &c);
		*out = (struct ambient_started){ .run_id = c.run_id,
			.thread_id = c.thread_id };
	}
	event_list_clear(&events);
	return st;
}

SUSPENDS enum as_status
ambient_start(const struct chat_ctx *ctx, const struct ambient_task *t,
    struct ambient_started *out, struct error *err)
{
	struct starting s = { .ctx = ctx, .t = t };
	enum as_status st = chat_text_check("task", t->task, strlen(t->task),
	    err);

	memset(out, 0, sizeof(*out));
	if (st == AS_OK)
		st = find_replay(&s, out, err);
	if (st != AS_OK || out->replayed)
		return st;
	st = agent_check(&s, err);
	if (st == AS_OK)
		st = start_once(&s, out, err);
	if (st != AS_CONFLICT || t->dedup == NULL ||
	    err->code == ERR_AGENT_NOT_READY)
		return st;
	/* Somebody was faster with the same dedup. */
	error_clear(err);
	st = find_replay(&s, out, err);
	if (st == AS_OK && !out->replayed)
		st = error_set(err, ERR_CONFLICT,
		    "the task could not be started; try again");
	return st;
}
