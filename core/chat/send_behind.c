/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/chat/send_impl.h"
#include "core/run/wire.h"

/*
 * A message while another run holds the thread.  Unless it is refused, it is
 * stored before anything is done to that run: what has been accepted is
 * answered whatever dies next.
 */

#define STOP_MAX_MS 15000 /* longer than who ends a run may take */
#define STOP_LOOK_MS 20
#define QUEUE_FULL_MS 5000 /* when to ask again; a guess */
/* More than a thread will ever have events. */
#define BEFORE_OTHERS (INT64_C(1) << 40)

static enum as_status
busy(const struct sending *s, struct error *err)
{
	enum as_status st = error_set(err, ERR_THREAD_BUSY,
	    "a run is at work in this thread");
	char id[UUID_TEXT];

	uuid_format(s->thread.active_run_id, id);
	error_member_str(err, "active_run_id", id);
	return st;
}

SQL(OPEN_ITEMS, "SELECT id, title FROM inbox_items WHERE run_id = $1"
		" AND status = 'pending' ORDER BY id");

static SUSPENDS enum as_status
waits_for_human(const struct sending *s, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(s->thread.active_run_id) };
	struct json_object *items = jarr(), *o;
	struct rows *r = NULL;
	char id[UUID_TEXT];
	enum as_status st = store_query(s->ctx->store, &OPEN_ITEMS, args, 1, &r,
	    err);

	if (st != AS_OK) {
		json_object_put(items);
		return st;
	}
	for (int i = 0; i < rows_count(r); i++) {
		o = jobj();
		jput_uuid(o, "id", rows_uuid(r, i, 0));
		jput_str(o, "title", rows_text(r, i, 1));
		json_object_array_add(items, o);
	}
	rows_free(r);
	st = error_set(err, ERR_THREAD_WAITING_HUMAN,
	    "the thread's run waits for a person's answer");
	uuid_format(s->thread.active_run_id, id);
	error_member_str(err, "active_run_id", id);
	error_member(err, "items", items);
	return st;
}

static enum as_status
queue_full(struct error *err)
{
	enum as_status st = error_set(err, ERR_THREAD_QUEUE_FULL,
	    "%d messages wait for this thread already", CHAT_QUEUE_MAX);

	err->retry_after_ms = QUEUE_FULL_MS;
	return st;
}

static bool
interrupts(const struct sending *s)
{
	return s->multitask == RUN_INTERRUPT || s->multitask == RUN_ROLLBACK;
}

/*
 * Its first event's number is new in the thread, and so is its place.  Who
 * interrupts stands before all who do not.
 */
static int64_t
block_pos(const struct sending *s)
{
	int64_t seq = s->thread.heads.seq + 1;

	return interrupts(s) ? seq - BEFORE_OTHERS : seq;
}

static void
blocked_event(const struct sending *s, struct event_list *events)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "status", "running");
	jw_str(&b, "state", run_status_name(RUN_BLOCKED));
	jw_str(&b, "reason", run_multitask_name(s->multitask));
	jw_int(&b, "position", interrupts(s) ? 1 : s->thread.n_blocked + 1);
	jw_close(&b);
	event_list_add(events, "run_status", &b);
}

static SUSPENDS enum as_status
block_once(struct sending *s, struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	struct event_list events = { 0 };
	struct run_create c = { .block_pos = block_pos(s) };
	enum as_status st;

	send_fill(s, &c, &events);
	c.message.state = "staged";
	run_message_created(&events, &c.message, s->thread.id, s->run_id);
	blocked_event(s, &events);
	FAILPOINT("block.pre_commit");
	st = run_store_create(ctx->runs, &c, err);
	if (st == AS_OK) {
		FAILPOINT("block.post_commit");
		engine_publish(ctx->bus, s->thread.id, s->run_id, &c.heads,
		    &events, c.now_us);
	}
	event_list_clear(&events);
	return st;
}

/* The run that held the thread when this message was accepted. */
static SUSPENDS void
interrupt_active(const struct sending *s)
{
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };
	struct error err = { 0 };

	/* Whoever works on it finds out by itself if this does not succeed. */
	if (chat_cancel_as(s->ctx, s->thread.active_run_id,
		s->multitask == RUN_ROLLBACK, &how, &err) != AS_OK)
		log_warn("chat", "no interrupt yet: %s", err.detail);
	error_clear(&err);
}

/* A run that waits for a decision keeps nobody from talking: it ends here. */
static SUSPENDS enum as_status
make_way(const struct sending *s, struct error *err)
{
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };

	return engine_end(s->ctx->engine, s->thread.active_run_id,
	    s->multitask == RUN_ROLLBACK ? RUN_ROLLED_BACK : RUN_CANCELLED,
	    &how, err);
}

/*
 * Where the message is to stand, found before anything is stopped for it: what
 * is edited may be rolled back itself.
 */
static SUSPENDS enum as_status
place_settle(struct sending *s, struct error *err)
{
	struct chat_place *place = arena_alloc(s->ctx->arena, sizeof(*place));
	enum as_status st = branch_spot(s->ctx, &s->thread, s->place,
	    s->message_id, &s->spot, err);

	*place = (struct chat_place){ .how = CHAT_AFTER,
		.message_id = s->spot.parent_id };
	if (st == AS_OK)
		s->place = place;
	return st;
}

static SUSPENDS enum as_status
wait_for_end(const struct sending *s, struct run_state *run, struct error *err)
{
	uint64_t until = loop_now_ms(loop_self()) + STOP_MAX_MS;
	enum as_status st = AS_OK;

	while (st == AS_OK && run_is_open(run->status) &&
	       loop_now_ms(loop_self()) < until) {
		if (fiber_sleep(STOP_LOOK_MS) != FIBER_WOKEN)
			return error_set(err, ERR_CANCELED, "stopped");
		st = run_store_state(s->ctx->runs, s->thread.active_run_id,
		    s->ctx->arena, run, err);
	}
	return st;
}

/*
 * Nobody knows what the leaf will be, nor whether that place will be there: a
 * message elsewhere does not wait.  It may stop the run, and then comes at
 * once; but what others have said meanwhile is not stopped for it.
 */
static SUSPENDS enum as_status
stop_for_place(struct sending *s, struct run_state *run, struct error *err)
{
	enum as_status st = AS_OK;

	if (interrupts(s) && s->thread.n_blocked == 0) {
		st = place_settle(s, err);
		if (st != AS_OK)
			return st;
		interrupt_active(s);
		st = wait_for_end(s, run, err);
		if (st != AS_OK)
			return st;
		if (!run_is_open(run->status))
			return AS_CONFLICT;
	}
	return run->status == RUN_WAITING_HUMAN ? waits_for_human(s, err)
						: busy(s, err);
}

SUSPENDS enum as_status
send_behind(struct sending *s, struct error *err)
{
	const struct chat_ctx *ctx = s->ctx;
	struct run_state run;
	enum as_status st = run_store_state(ctx->runs, s->thread.active_run_id,
	    ctx->arena, &run, err);

	if (st != AS_OK)
		return st;
	if (!run_is_open(run.status))
		return AS_CONFLICT;
	if (s->place->how != CHAT_AT_LEAF &&
	    run.status != RUN_RECOVERABLE_ERROR)
		return stop_for_place(s, &run, err);
	if (s->multitask == RUN_REJECT)
		return run.status == RUN_WAITING_HUMAN ? waits_for_human(s, err)
						       : busy(s, err);
	if (run.status == RUN_RECOVERABLE_ERROR) {
		st = make_way(s, err);
		return st == AS_OK ? AS_CONFLICT : st;
	}
	if (s->thread.n_blocked >= CHAT_QUEUE_MAX)
		return queue_full(err);
	st = block_once(s, err);
	if (st == AS_OK && interrupts(s))
		interrupt_active(s);
	return st;
}
