/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/call.h"
#include "core/plug/child.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"

/*
 * The host's side of a call: who asks, which thread it runs on, and what a
 * failure means to the public.  A call that runs on the caller's own fiber
 * passes messages as they are; with plug_loopback they become bytes in between,
 * which must make no difference.
 */

enum as_status
exchange_emit(struct exchange *x, const struct msg *m)
{
	const char *id = x->who != NULL ? x->who->correlation_id : NULL;

	if (x->relay != NULL)
		return x->relay->emit(x, m);
	if (m->kind == EMIT_LOG) {
		unit_log(x->unit, id, m->n, m->name);
		return AS_OK;
	}
	if (m->kind == EMIT_COUNT) {
		unit_count(x->unit, m->name, m->x);
		return AS_OK;
	}
	if (m->kind == EMIT_OFFERS_CHANGED) {
		/* While it lists them it need not say so. */
		if (x->op.kind != OP_LIST)
			offers_changed(x->unit);
		return AS_OK;
	}
	if (fiber_self() != NULL && fiber_is_canceled())
		return AS_CANCELED;
	return x->take != NULL ? x->take(x, m) : AS_OK;
}

/* ---- On this fiber ------------------------------------------------- */

static enum as_status
direct_emit(struct as_call *call, const struct msg *m)
{
	return exchange_emit(call->far, m);
}

SUSPENDS static void
direct_serve(struct as_call *call, const struct msg *m, struct answer *out)
{
	const char *guest = fiber_guest_set(NULL);

	exchange_serve(call->far, m, out);
	fiber_guest_set(guest);
}

/* Waiting, wherever the plugin runs on a fiber. */
enum as_status
fiber_wait_ms(struct as_call *call, int64_t ms)
{
	enum as_status st = AS_OK;

	if (fiber_self() == NULL)
		return ms > 0 ? call_fail(call, AS_UNSUPPORTED,
				    "no waiting before the loops run")
			      : AS_OK;
	if (fiber_is_canceled())
		return AS_CANCELED;
	if (fiber_time_left() == 0)
		st = AS_TIMEOUT;
	else if (ms > 0)
		st = fiber_exit_status(fiber_sleep((uint64_t)ms), NULL);
	if (st == AS_TIMEOUT)
		return call_fail(call, AS_TIMEOUT,
		    "the deadline of the call has passed");
	return st;
}

static const struct link direct_link = {
	.values = LINK_BORROWS,
	.emit = direct_emit,
	.serve = direct_serve,
	.sleep = fiber_wait_ms,
};

/* The other side is another process: what is said becomes bytes. */
static const struct link relay_link = {
	.values = LINK_READS,
	.emit = direct_emit,
	.serve = direct_serve,
	.sleep = fiber_wait_ms,
};

/* ---- Through bytes ------------------------------------------------- */

/* There and back.  The frame lives in the arena, as the message does. */
static bool
through_bytes(const struct msg *m, struct msg *out, struct arena *arena)
{
	struct buf frame = { 0 };
	bool ok = msg_encode(m, &frame);

	if (ok)
		ok = msg_decode(arena_strndup(arena, frame.data, frame.len),
		    frame.len, out, arena);
	buf_free(&frame);
	return ok;
}

static enum as_status
loopback_emit(struct as_call *call, const struct msg *m)
{
	struct arena *arena = arena_new(NULL);
	enum as_status st = AS_LIMIT;
	struct msg copy;

	if (through_bytes(m, &copy, arena))
		st = exchange_emit(call->far, &copy);
	arena_free(arena);
	return st;
}

/* Answers cross like everything else; value and bytes become the caller's. */
static void
answer_through_bytes(const struct answer *a, struct answer *out,
    struct arena *arena)
{
	struct msg m = answer_msg(a), copy;

	memset(out, 0, sizeof(*out));
	if (!through_bytes(&m, &copy, arena)) {
		out->status = AS_LIMIT;
		out->value = failure_new("an answer too large to pass on");
		return;
	}
	out->status = (enum as_status)copy.index;
	out->n = copy.n;
	out->value = json_object_get(copy.value);
	out->len = copy.len;
	if (copy.len > 0 || a->bytes != NULL) {
		out->bytes = xmalloc(copy.len + 1);
		memcpy(out->bytes, copy.bytes, copy.len);
		out->bytes[copy.len] = '\0';
	}
}

SUSPENDS static void
loopback_serve(struct as_call *call, const struct msg *m, struct answer *out)
{
	struct arena *arena = arena_new(NULL);
	struct answer near = { 0 };
	struct msg copy;

	if (through_bytes(m, &copy, arena)) {
		exchange_serve(call->far, &copy, &near);
	} else {
		near.status = AS_LIMIT;
		near.value = failure_new("a request too large to pass on");
	}
	answer_through_bytes(&near, out, arena);
	answer_clear(&near);
	arena_free(arena);
}

static const struct link loopback_link = {
	.values = LINK_READS,
	.emit = loopback_emit,
	.serve = loopback_serve,
	.sleep = fiber_wait_ms,
};

/* The end crosses too: a failure is a value like any other. */
static enum as_status
end_through_bytes(enum as_status st, struct json_object **failure,
    struct arena *arena)
{
	struct msg end = { .kind = MSG_END, .n = st, .value = *failure };
	struct msg copy;

	if (!through_bytes(&end, &copy, arena))
		return AS_INTERNAL;
	json_object_put(*failure);
	*failure = json_object_get(copy.value);
	return (enum as_status)copy.n;
}

SUSPENDS static enum as_status
loopback_run(struct exchange *x, const struct as_call_info *info,
    struct json_object **failure)
{
	struct arena *arena = arena_new(NULL);
	enum as_status st = AS_LIMIT;
	struct as_call_info far_info;
	struct buf who = { 0 };
	struct msg op;

	info_encode(info, &who);
	if (through_bytes(&x->op, &op, arena) &&
	    info_decode(who.data, who.len, &far_info)) {
		st = call_run(x->unit, &op, &far_info, &loopback_link, x,
		    failure);
		st = end_through_bytes(st, failure, arena);
	} else
		*failure = failure_new("arguments too large to pass on");
	buf_free(&who);
	arena_free(arena);
	return st;
}

/* ---- The call ------------------------------------------------------ */

struct info_room {
	char tenant[UUID_TEXT], user[UUID_TEXT], agent[UUID_TEXT];
	char thread[UUID_TEXT], run[UUID_TEXT];
};

static const char *
id_text(struct uuid id, char out[UUID_TEXT])
{
	if (uuid_is_nil(id))
		return "";
	uuid_format(id, out);
	return out;
}

static void
info_make(const struct exchange *x, struct as_call_info *info,
    struct info_room *room)
{
	static const struct plug_caller nobody;
	const struct plug_caller *who = x->who != NULL ? x->who : &nobody;
	uint64_t left = fiber_self() != NULL ? fiber_time_left() : UINT64_MAX;

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->attempt = who->attempt > 0 ? (uint32_t)who->attempt : 1;
	info->deadline_ms = left > INT64_MAX ? INT64_MAX : (int64_t)left;
	info->idem_key = who->idem_key;
	info->correlation_id = who->correlation_id;
	info->traceparent = who->traceparent;
	info->tenant_id = id_text(who->tenant_id, room->tenant);
	info->user_id = id_text(who->user_id, room->user);
	info->agent_id = id_text(who->agent_id, room->agent);
	info->thread_id = id_text(who->thread_id, room->thread);
	info->run_id = id_text(who->run_id, room->run);
	info->plugin = x->unit->name;
	info->locale = who->locale;
}

static void
failure_members(struct error *err, struct json_object *failure)
{
	const char *service = jget_str(failure, "service", NULL);
	struct json_object *details = jget(failure, "details");
	const char *words;

	if (service != NULL)
		snprintf(err->service, sizeof(err->service), "%s", service);
	err->retry_after_ms = span_ms(jget_int(failure, "retry_after_ms", 0));
	if (jget_int(failure, "maybe_done", 0) == AS_YES)
		error_member(err, "maybe_done", json_object_new_boolean(true));
	if (jget_int(failure, "retryable", 0) != AS_DEFAULT)
		error_member(err, "retryable",
		    json_object_new_boolean(
			jget_int(failure, "retryable", 0) == AS_YES));
	if ((words = jget_str(failure, "code", NULL)) != NULL)
		error_member_str(err, "plugin_code", words);
	if ((words = jget_str(failure, "user_message", NULL)) != NULL)
		error_member_str(err, "user_message", words);
	if (details != NULL)
		error_member(err, "details", json_object_get(details));
}

/* Takes failure. */
static enum as_status
exchange_failed(struct exchange *x, enum as_status st,
    struct json_object *failure, struct error *err)
{
	const char *words = jget_str(failure, "message", "");
	struct error local = { 0 };

	if (st == AS_PARKED && x->parked) {
		json_object_put(failure);
		return st;
	}
	if (st == AS_PARKED) {
		st = AS_INTERNAL;
		words = "it waits for a person, but it has asked nothing";
	}
	if (st == AS_TIMEOUT && x->expired)
		words = "its plugin was replaced, and it took longer than "
			"plugins.grace";
	if (st != AS_CANCELED && *words == '\0')
		words = "it failed without saying why";
	error_from_status(&local, st, words);
	failure_members(&local, failure);
	json_object_put(failure);
	if (st == AS_INTERNAL)
		log_warn("plugin", "%s: %s", x->unit->name, local.detail);
	if (err != NULL)
		error_move(err, &local);
	error_clear(&local);
	return st;
}

static bool
runs_elsewhere(const struct exchange *x)
{
	const struct plug_services *s = &x->plug->services;
	uint32_t flags = x->unit->file->about.flags;

	if (x->op.kind == OP_INIT || x->op.kind == OP_FINI ||
	    fiber_self() == NULL || x->plug->loopback)
		return false;
	if (flags & AS_BLOCKING)
		return s->pool != NULL;
	return !(flags & AS_PARALLEL) && s->home != NULL &&
	       s->home != loop_self();
}

enum as_status
exchange_here(struct exchange *x, const struct as_call_info *info,
    struct json_object **failure)
{
	if (runs_elsewhere(x))
		return channel_run(x, info, failure);
	if (x->plug->loopback)
		return loopback_run(x, info, failure);
	return call_run(x->unit, &x->op, info,
	    x->relay != NULL ? &relay_link : &direct_link, x, failure);
}

SUSPENDS static enum as_status
exchange_go(struct exchange *x, struct json_object **failure)
{
	struct as_call_info info;
	struct info_room room;

	info_make(x, &info, &room);
	return x->unit->guard != NULL ? child_run(x, &info, failure)
				      : exchange_here(x, &info, failure);
}

/* The earlier of the fiber's deadline and the operation's own. */
static uint64_t
deadline_start(const struct exchange *x)
{
	uint64_t at, old = fiber_deadline();

	if (x->timeout_ms <= 0)
		return old;
	at = loop_now_ms(loop_self()) + (uint64_t)x->timeout_ms;
	if (old == 0 || at < old)
		fiber_deadline_set(at);
	return old;
}

/* The calls of all units that fibers of this thread's loop have begun. */
static _Thread_local struct exchange *calls;

static void
exchange_enter(struct exchange *x)
{
	x->fiber = fiber_self_ref();
	x->expired = false;
	x->next = calls;
	if (x->next != NULL)
		x->next->at = &x->next;
	x->at = &calls;
	calls = x;
}

static void
exchange_leave(struct exchange *x)
{
	*x->at = x->next;
	if (x->next != NULL)
		x->next->at = x->at;
}

void
exchanges_expire(const struct unit *u)
{
	struct exchange *x;

	for (x = calls; x != NULL; x = x->next) {
		if (x->unit != u)
			continue;
		x->expired = true;
		fiber_expire(x->fiber);
	}
}

/* A generation that is not offered any more ends what it has begun. */
static bool
may_run(const struct exchange *x)
{
	int state = atomic_load(&x->unit->state);

	return x->lifecycle || state == UNIT_SERVING || state == UNIT_DRAINING;
}

/* It does not serve: how is that, and why? */
static enum as_status
exchange_refused(struct unit *u, struct error *err)
{
	char why[sizeof(u->error)];

	pthread_mutex_lock(&u->plug->lock);
	memcpy(why, u->error, sizeof(why));
	pthread_mutex_unlock(&u->plug->lock);
	return error_set(err, ERR_UNAVAILABLE, "plugin %s is %s%s%.180s",
	    u->name, unit_state_name((enum unit_state)atomic_load(&u->state)),
	    why[0] != '\0' ? ": " : "", why);
}

SUSPENDS static enum as_status
exchange_held(struct exchange *x, struct error *err)
{
	struct json_object *failure = NULL;
	struct unit *u = x->unit;
	bool on_fiber = fiber_self() != NULL;
	int64_t since = clock_mono_us();
	uint64_t deadline = 0;
	enum as_status st;

	if (u->guard != NULL && !x->lifecycle)
		guard_await(u);
	if (!may_run(x))
		return exchange_refused(u, err);
	if (x->op.kind == OP_INIT)
		u->has_run = true;
	if (on_fiber) {
		deadline = deadline_start(x);
		exchange_enter(x);
	}
	st = exchange_go(x, &failure);
	if (st == AS_OK && x->succeeded != NULL)
		x->succeeded(x);
	if (st == AS_OK && x->files != NULL)
		st = serve_files_keep(x, &failure);
	if (on_fiber) {
		exchange_leave(x);
		fiber_deadline_set(deadline);
	}
	exchange_close(x);
	if (!x->lifecycle)
		unit_count_call(u, st != AS_OK && st != AS_CANCELED,
		    clock_mono_us() - since);
	if (st == AS_OK)
		return AS_OK;
	return exchange_failed(x, st, failure, err);
}

enum as_status
exchange_run(struct exchange *x, struct error *err)
{
	enum as_status st;

	/* First counted, then looked: plug_stop does it the other way round. */
	unit_hold(x->unit);
	st = exchange_held(x, err);
	unit_drop(x->unit);
	return st;
}
