/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/fork.h"
#include "core/chat/queue.h"
#include "core/chat/send.h"
#include "core/chat/send_impl.h"
#include "core/run/run_branch.h"
#include "core/run/wire.h"

/*
 * From a person's words to a run.  The thread's heads are read, everything is
 * composed, and one request writes it all if the heads still hold; otherwise
 * the thread is looked at again.
 */

#define SEND_TRIES 200

static SUSPENDS enum as_status
agent_check(struct sending *s, struct error *err)
{
	s->arena = arena_new(NULL);
	return chat_agent_load(s->ctx, s->thread.agent_id, s->ctx->who.user_id,
	    s->arena, &s->agent, s->model, err);
}

static void
message_fill(struct sending *s, struct run_message *m, int64_t now_us)
{
	chat_message_fill(s->ctx, m, s->content, now_us);
	if (s->place->like != NULL)
		fork_message(s->ctx, s->place->like, m);
	m->id = s->message_id;
	m->client_message_id = s->client_message_id;
}

/* It is said now, and here. */
static void
place_fill(struct sending *s, struct run_create *c)
{
	c->dedup = s->place->dedup;
	c->forked_from = s->spot.forked_from;
	c->branch = s->spot.branch;
	c->fork = s->spot.fork;
	fork_tools(s->ctx, s->place, s->agent, c);
	c->message.sequence = s->thread.heads.msg_seq;
	if (s->content != NULL)
		c->message.parent_id = s->spot.parent_id;
}

static void
events_fill(struct sending *s, struct event_list *events,
    const struct run_create *c, bool owned, struct uuid answer_id,
    const struct queue_place *place)
{
	if (!uuid_is_nil(c->message.id))
		run_message_created(events, &c->message, s->thread.id,
		    s->run_id);
	for (int i = 0; i < c->fork.n_tools; i++)
		run_tool_intended(events, &c->fork.tools[i], false);
	if (!owned) {
		chat_queued_event(events, place);
		return;
	}
	event_list_add_status(events, RUN_RUNNING, "started", NULL, NULL);
	run_message_started(events, answer_id, 1, s->model);
}

static SUSPENDS void
run_begin(struct sending *s, struct work *w, struct uuid answer_id)
{
	struct arena *arena = s->arena;

	s->arena = NULL;
	if (engine_begin(w, answer_id, s->agent, arena, NULL) != AS_OK)
		(void)run_store_release(s->ctx->runs,
		    engine_epoch(s->ctx->engine), s->thread.id, s->run_id,
		    NULL);
}

void
send_fill(struct sending *s, struct run_create *c, struct event_list *events)
{
	const struct chat_ctx *ctx = s->ctx;

	c->run_id = s->run_id;
	c->thread_id = s->thread.id;
	c->agent_id = s->thread.agent_id;
	c->tenant_id = s->thread.tenant_id;
	c->user_id = ctx->who.user_id;
	c->model = s->model;
	c->correlation_id = ctx->correlation_id;
	c->traceparent = ctx->traceparent;
	c->heads = s->thread.heads;
	c->heads.run_seq = 0;
	c->multitask = run_multitask_name(s->multitask);
	c->now_us = engine_now_us(ctx->engine);
	c->deadline_at = c->now_us +
			 engine_limits(ctx->engine)->max_wall_ms * 1000;
	c->events = events;
	if (s->content != NULL)
		message_fill(s, &c->message, c->now_us);
}

static SUSPENDS enum as_status
create(struct sending *s, const struct run_create *c, struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	enum as_status st;

	if (run_create_forks(c))
		FAILPOINT("fork.pre_commit");
	FAILPOINT("api.create.pre_commit");
	st = run_store_create(ctx->runs, c, err);
	if (st == AS_OK && run_create_forks(c))
		FAILPOINT("fork.post_commit");
	if (st == AS_OK) {
		FAILPOINT("api.create.post_commit");
		engine_publish(ctx->bus, s->thread.id, s->run_id, &c->heads,
		    c->events, c->now_us);
	}
	return st;
}

static SUSPENDS enum as_status
send_once(struct sending *s, struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	struct engine *e = ctx->engine;
	/* Who begins with calls begins as one that goes on. */
	bool owned = s->place->n_tools == 0 && engine_has_slot(e);
	struct work *w = NULL;
	struct uuid answer_id = engine_new_id(e);
	struct event_list events = { 0 };
	struct run_create c = { .owner_epoch = owned ? engine_epoch(e) : 0 };
	struct queue_place place = { 0 };
	enum as_status st;

	send_fill(s, &c, &events);
	if (!owned && (st = queue_admit(ctx->queue, c.tenant_id, c.class,
			   &place, err)) != AS_OK)
		return st;
	c.title = s->content != NULL ? chat_title_from(ctx->arena, s->content)
				     : "";
	place_fill(s, &c);
	events_fill(s, &events, &c, owned, answer_id, &place);
	if (owned)
		w = engine_expect(e, &c);
	st = create(s, &c, err);
	if (st == AS_OK && owned)
		run_begin(s, w, answer_id);
	else if (owned)
		engine_forget(w, st);
	else if (st == AS_OK)
		engine_starve(e);
	event_list_clear(&events);
	return st;
}

/* The same for a run without a message of its own. */
static SUSPENDS enum as_status
find_repeat(struct sending *s, struct chat_sent *out, struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	struct run_claim run;
	struct run_state state;
	enum as_status st = run_store_by_dedup(ctx->runs, ctx->who.user_id,
	    s->thread.agent_id, s->place->dedup, &run, err);

	if (st != AS_OK || uuid_is_nil(run.run_id))
		return st;
	out->replayed = true;
	out->run_id = run.run_id;
	st = run_store_state(ctx->runs, run.run_id, ctx->arena, &state, err);
	if (st == AS_OK)
		out->message_id = uuid_is_nil(state.branch.leaf)
				      ? s->thread.last_message_id
				      : state.branch.leaf;
	return st;
}

/* Was it sent before under this client_message_id?  Then that is the answer. */
static SUSPENDS enum as_status
find_replay(struct sending *s, struct chat_sent *out, struct error *err)
{
	int64_t seq = 1;
	enum as_status st;

	if (s->place->dedup != NULL)
		return find_repeat(s, out, err);
	if (s->client_message_id == NULL)
		return AS_OK;
	st = run_store_by_client_id(s->ctx->runs, s->thread.id,
	    s->client_message_id, &out->message_id, &out->run_id, &seq, err);
	out->replayed = st == AS_OK && !uuid_is_nil(out->run_id);
	out->seq_before = seq - 1;
	return st;
}

static SUSPENDS enum as_status
send_here(struct sending *s, struct chat_sent *out, struct error *err)
{
	enum as_status st = branch_spot(s->ctx, &s->thread, s->place,
	    s->message_id, &s->spot, err);

	if (st != AS_OK)
		return st;
	out->message_id = s->spot.question_id;
	return send_once(s, err);
}

static SUSPENDS enum as_status
send_try(struct sending *s, struct uuid id, struct chat_sent *out,
    struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	enum as_status st = run_store_thread(ctx->runs, id, ctx->who.tenant_id,
	    ctx->who.user_id, &s->thread, err);

	if (st == AS_OK)
		st = find_replay(s, out, err);
	if (st != AS_OK || out->replayed)
		return st;
	if (s->agent == NULL && (st = agent_check(s, err)) != AS_OK)
		return st;
	out->seq_before = s->thread.heads.seq;
	out->run_id = s->run_id = engine_new_id(ctx->engine);
	if (s->content != NULL)
		s->message_id = engine_new_id(ctx->engine);
	out->message_id = s->message_id;
	if (!uuid_is_nil(s->thread.active_run_id))
		return send_behind(s, err);
	if (s->thread.n_blocked == 0)
		return send_here(s, out, err);
	/* It is free, and yet somebody waits: a crash has left it so. */
	engine_unstall(ctx->engine);
	return AS_CONFLICT;
}

/* Refused for what it is, and not because somebody was faster. */
static bool
is_refused(const struct error *err)
{
	return err->code == ERR_THREAD_BUSY ||
	       err->code == ERR_THREAD_WAITING_HUMAN ||
	       err->code == ERR_AGENT_NOT_READY;
}

/* Many at once: not all of them in step. */
static SUSPENDS enum as_status
step_back(const struct sending *s, uint32_t tries, struct error *err)
{
	uint32_t most = tries < 32 ? tries : 32;

	if (tries < 2 ||
	    fiber_sleep(engine_random(s->ctx->engine, most)) == FIBER_WOKEN)
		return AS_OK;
	return error_set(err, ERR_CANCELED, "stopped");
}

static SUSPENDS enum as_status
send_tries(struct sending *s, struct uuid id, struct chat_sent *out,
    struct error *err)
{
	enum as_status st = AS_CONFLICT;

	for (uint32_t i = 0; i < SEND_TRIES; i++) {
		st = send_try(s, id, out, err);
		if (st != AS_CONFLICT || is_refused(err))
			return st;
		error_clear(err);
		if ((st = step_back(s, i, err)) != AS_OK)
			return st;
	}
	return error_set(err, ERR_CONFLICT,
	    "the thread changes too fast; try again");
}

SUSPENDS enum as_status
chat_send(const struct chat_ctx *ctx, struct uuid id,
    const struct chat_message *message, struct chat_sent *out,
    struct error *err)
{
	static const struct chat_place leaf;

	return chat_send_at(ctx, id, message, &leaf, out, err);
}

SUSPENDS enum as_status
chat_send_at(const struct chat_ctx *ctx, struct uuid id,
    const struct chat_message *message, const struct chat_place *place,
    struct chat_sent *out, struct error *err)
{
	struct sending *s = arena_alloc(ctx->arena, sizeof(*s));
	enum as_status st = AS_OK;

	MUST(err != NULL);
	if (message->content != NULL)
		st = chat_text_check("content", message->content, message->len,
		    err);
	memset(out, 0, sizeof(*out));
	s->ctx = ctx;
	s->content = message->content;
	s->client_message_id = message->client_message_id;
	s->multitask = message->multitask != 0 ? message->multitask
					       : RUN_ENQUEUE;
	s->place = place;
	if (st == AS_OK)
		st = send_tries(s, id, out, err);
	if (st == AS_OK)
		FAILPOINT("api.create.pre_reply");
	arena_free(s->arena);
	return st;
}

SQL(USER_MESSAGE,
    "SELECT id, sequence, content, parts, client_message_id, parent_id, state,"
    " created_at, thread_id, role, run_id FROM messages WHERE id = $1");

SUSPENDS enum as_status
chat_sent_json(const struct chat_ctx *ctx, const struct chat_sent *sent,
    struct json_object **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(sent->message_id) };
	struct json_object *run = NULL;
	struct run_message m = { 0 };
	struct buf b = { 0 };
	struct rows *r = NULL;
	enum as_status st;

	st = run_read(ctx, sent->run_id, &run, err);
	if (st == AS_OK)
		st = store_query(ctx->store, &USER_MESSAGE, args, 1, &r, err);
	if (st == AS_OK && rows_count(r) == 1) {
		m.id = rows_uuid(r, 0, 0);
		m.sequence = rows_int(r, 0, 1);
		m.content = rows_text(r, 0, 2);
		m.parts = rows_text(r, 0, 3);
		m.client_message_id = rows_text(r, 0, 4);
		m.parent_id = rows_uuid(r, 0, 5);
		m.state = rows_text(r, 0, 6);
		m.created_at = rows_int(r, 0, 7);
		m.role = rows_text(r, 0, 9);
		*out = jobj();
		run_message_write(&b, NULL, &m, rows_uuid(r, 0, 8),
		    rows_uuid(r, 0, 10));
		jput(*out, "message", json_raw(buf_take(&b)));
		jput(*out, "run", json_object_get(run));
	} else if (st == AS_OK)
		st = error_set(err, ERR_INTERNAL, "a run without its message");
	rows_free(r);
	json_object_put(run);
	return st;
}
