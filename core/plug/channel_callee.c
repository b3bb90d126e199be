/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/channel.h"

#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/loop/pool.h"

#define OVERDUE "the deadline of the call has passed"

/* The plugin's side of a channel, suspended on a fiber or blocked on a thread. */

void
callee_hears(struct loop_msg *m)
{
	struct channel *ch = container_of(m, struct knock, msg)->ch;
	struct fiber_wait wait;
	struct fiber_ref fiber;
	bool left;

	pthread_mutex_lock(&ch->lock);
	ch->to_callee.under_way = false;
	wait = ch->callee;
	fiber = ch->fiber;
	left = ch->left;
	pthread_mutex_unlock(&ch->lock);
	if (left)
		fiber_cancel(fiber);
	else if (wait.f != NULL)
		fiber_wake(wait);
	channel_unref(ch);
}

struct channel_job {
	struct pool_job job;
	struct channel *ch;
	bool started;
};

/* Takes f. */
static enum as_status
frame_push(struct channel *ch, struct frame *f, bool is_end)
{
	enum as_status st;

	pthread_mutex_lock(&ch->lock);
	st = ch->left ? AS_CANCELED : ch->said;
	if (st == AS_OK && !is_end && ch->frames.bytes + f->len > MSG_MAX)
		st = AS_LIMIT;
	if (is_end && !ch->left)
		st = AS_OK;
	if (st == AS_OK) {
		frames_push(&ch->frames, f);
		ch->ended = is_end;
		channel_knock(ch, &ch->to_caller, ch->caller_loop);
		f = NULL;
	}
	pthread_mutex_unlock(&ch->lock);
	free(f);
	return st;
}

static enum as_status
channel_emit(struct as_call *call, const struct msg *m)
{
	struct channel *ch = call->far;
	struct frame *f;

	/* A process of its own has no log to write to. */
	if (m->kind == EMIT_LOG && !ch->is_relayed) {
		unit_log(ch->unit, call_info(call)->correlation_id, m->n,
		    m->name);
		return AS_OK;
	}
	if (m->kind == EMIT_COUNT && !ch->is_relayed) {
		unit_count(ch->unit, m->name, m->x);
		return AS_OK;
	}
	f = frame_new(m);
	return f != NULL ? frame_push(ch, f, false) : AS_LIMIT;
}

static enum as_status
overdue(struct as_call *call)
{
	return call_fail(call, AS_TIMEOUT, "%s", OVERDUE);
}

/* With the lock held; false at that time (clock_mono_ms). */
static bool
thread_wait(struct channel *ch, int64_t until_ms)
{
	struct timespec ts;

	if (until_ms == INT64_MAX) {
		pthread_cond_wait(&ch->cond, &ch->lock);
		return true;
	}
	ts.tv_sec = until_ms / 1000;
	ts.tv_nsec = until_ms % 1000 * 1000000;
	return pthread_cond_timedwait(&ch->cond, &ch->lock, &ts) == 0;
}

SUSPENDS static enum as_status
channel_sleep(struct as_call *call, int64_t ms)
{
	struct channel *ch = call->far;
	int64_t now = clock_mono_ms(), until = now + ms;
	bool late, left;

	if (ch->home != NULL)
		return fiber_wait_ms(call, ms);
	pthread_mutex_lock(&ch->lock);
	if (until > ch->deadline_ms)
		until = ch->deadline_ms;
	while (ms > 0 && !ch->left && thread_wait(ch, until))
		continue;
	left = ch->left;
	pthread_mutex_unlock(&ch->lock);
	late = ms > 0 ? until == ch->deadline_ms : now >= ch->deadline_ms;
	return left ? AS_CANCELED : late ? overdue(call) : AS_OK;
}

/* The answer, or NULL with the reason; the lock is held at both ends. */
SUSPENDS static struct frame *
answer_wait(struct channel *ch, enum as_status *st)
{
	enum fiber_exit x = FIBER_WOKEN;
	struct frame *f;
	bool in_time = true;

	while (ch->answer == NULL && !ch->left && in_time && x == FIBER_WOKEN) {
		if (ch->home == NULL) {
			in_time = thread_wait(ch, ch->deadline_ms);
			continue;
		}
		ch->callee = fiber_prepare();
		pthread_mutex_unlock(&ch->lock);
		x = fiber_suspend(0);
		pthread_mutex_lock(&ch->lock);
	}
	f = ch->answer;
	ch->answer = NULL;
	*st = ch->left || x == FIBER_CANCELED ? AS_CANCELED : AS_TIMEOUT;
	return f;
}

SUSPENDS static void
channel_serve(struct as_call *call, const struct msg *m, struct answer *out)
{
	struct channel *ch = call->far;
	struct frame *f = frame_new(m);

	out->status = f != NULL ? frame_push(ch, f, false) : AS_LIMIT;
	if (out->status != AS_OK)
		return;
	pthread_mutex_lock(&ch->lock);
	f = answer_wait(ch, &out->status);
	pthread_mutex_unlock(&ch->lock);
	if (f != NULL)
		frame_answer(f, out);
	else if (out->status == AS_TIMEOUT) {
		/* The service may go on without us. */
		out->value = failure_new(OVERDUE);
		jput_int(out->value, "maybe_done", AS_YES);
	}
}

static const struct link channel_link = {
	.values = LINK_READS,
	.emit = channel_emit,
	.serve = channel_serve,
	.sleep = channel_sleep,
};

static void
channel_end(struct channel *ch, enum as_status st, struct json_object *failure)
{
	struct msg m = { .kind = MSG_END, .n = st, .value = failure };
	struct frame *f = frame_new(&m);

	if (f == NULL) {
		m.value = NULL;
		f = frame_new(&m);
	}
	frame_push(ch, f, true);
	json_object_put(failure);
}

/* From the first frame to the last, on whichever thread. */
SUSPENDS static void
callee_run(struct channel *ch)
{
	struct arena *arena = arena_new(NULL);
	struct json_object *failure = NULL;
	enum as_status st = AS_INTERNAL;
	struct as_call_info info;
	struct msg op;

	if (msg_decode(ch->op->data, ch->op->len, &op, arena) &&
	    info_decode(ch->info.data, ch->info.len, &info)) {
		st = call_run(ch->unit, &op, &info, &channel_link, ch,
		    &failure);
	}
	channel_end(ch, st, failure);
	arena_free(arena);
	unit_drop(ch->unit);
}

SUSPENDS static void
home_fiber(void *arg)
{
	struct channel *ch = arg;
	int64_t left = ch->deadline_ms - clock_mono_ms();

	fiber_crumb_set(ch->crumb);
	if (ch->deadline_ms != INT64_MAX)
		fiber_deadline_set(
		    loop_now_ms(ch->home) + (uint64_t)(left > 0 ? left : 1));
	callee_run(ch);
	channel_unref(ch);
}

void
home_starts(struct loop_msg *m)
{
	struct channel *ch = container_of(m, struct knock, msg)->ch;
	struct fiber_ref fiber = fiber_spawn(ch->home, ch->unit->name,
	    home_fiber, ch);

	if (fiber.f == NULL) {
		channel_end(ch, AS_UNAVAILABLE,
		    failure_new("too many calls are open"));
		unit_drop(ch->unit);
		channel_unref(ch);
		return;
	}
	pthread_mutex_lock(&ch->lock);
	ch->fiber = fiber;
	pthread_mutex_unlock(&ch->lock);
}

SUSPENDS static void
pool_starts(struct pool_job *job)
{
	struct channel_job *cj = container_of(job, struct channel_job, job);

	cj->started = true;
	callee_run(cj->ch);
}

static void
pool_ends(struct pool_job *job)
{
	struct channel_job *cj = container_of(job, struct channel_job, job);

	if (!cj->started) {
		channel_end(cj->ch, AS_UNAVAILABLE,
		    failure_new("too much work is waiting for the pool"));
		unit_drop(cj->ch->unit);
	}
	channel_unref(cj->ch);
	free(cj);
}

/* Waits for the job in the caller's place, who has frames to read. */
SUSPENDS static void
pool_fiber(void *arg)
{
	struct channel *ch = arg;
	struct channel_job *cj = xcalloc(1, sizeof(*cj));

	cj->job.fn = pool_starts;
	cj->job.free = pool_ends;
	cj->ch = ch;
	channel_ref(ch);
	if (pool_run(ch->unit->plug->services.pool, &cj->job, NULL) == AS_OK)
		pool_job_put(&cj->job);
	channel_unref(ch);
}

bool
callee_start(struct channel *ch)
{
	channel_ref(ch);
	unit_hold(ch->unit);
	if (ch->home != NULL) {
		ch->crumb = fiber_crumb();
		loop_post(ch->home, &ch->start.msg);
		return true;
	}
	if (fiber_spawn(ch->caller_loop, "plugin-pool", pool_fiber, ch).f !=
	    NULL)
		return true;
	unit_drop(ch->unit);
	channel_unref(ch);
	return false;
}
