/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/channel.h"

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/* What both sides do with a channel, and the caller's side. */

static void
channel_free(struct channel *ch)
{
	frames_clear(&ch->frames);
	free(ch->answer);
	free(ch->op);
	buf_free(&ch->info);
	pthread_cond_destroy(&ch->cond);
	pthread_mutex_destroy(&ch->lock);
	free(ch);
}

void
channel_ref(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->refs++;
	pthread_mutex_unlock(&ch->lock);
}

void
channel_unref(struct channel *ch)
{
	bool last;

	pthread_mutex_lock(&ch->lock);
	last = --ch->refs == 0;
	pthread_mutex_unlock(&ch->lock);
	if (last)
		channel_free(ch);
}

void
channel_knock(struct channel *ch, struct knock *k, struct loop *loop)
{
	if (k->under_way)
		return;
	k->under_way = true;
	ch->refs++;
	loop_post(loop, &k->msg);
}

static void
caller_hears(struct loop_msg *m)
{
	struct channel *ch = container_of(m, struct knock, msg)->ch;
	struct fiber_wait wait;

	pthread_mutex_lock(&ch->lock);
	ch->to_caller.under_way = false;
	wait = ch->caller;
	pthread_mutex_unlock(&ch->lock);
	fiber_wake(wait);
	channel_unref(ch);
}

/* With the lock held. */
static void
callee_wake(struct channel *ch)
{
	if (ch->home != NULL)
		channel_knock(ch, &ch->to_callee, ch->home);
	else
		pthread_cond_broadcast(&ch->cond);
}

static struct channel *
channel_new(struct exchange *x, const struct as_call_info *info)
{
	bool blocking = x->unit->file->about.flags & AS_BLOCKING;
	struct channel *ch = xcalloc(1, sizeof(*ch));
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ch->cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&ch->lock, NULL);
	ch->refs = 1;
	ch->unit = x->unit;
	ch->is_relayed = x->relay != NULL;
	ch->caller_loop = loop_self();
	ch->home = blocking ? NULL : x->plug->services.home;
	ch->op = frame_new(&x->op);
	info_encode(info, &ch->info);
	ch->deadline_ms = info->deadline_ms == INT64_MAX
			      ? INT64_MAX
			      : clock_mono_ms() + info->deadline_ms;
	frames_init(&ch->frames);
	ch->to_caller.msg.fn = caller_hears;
	ch->to_callee.msg.fn = callee_hears;
	ch->start.msg.fn = home_starts;
	ch->to_caller.ch = ch->to_callee.ch = ch->start.ch = ch;
	return ch;
}

/* NULL: the caller's time is over, and the call has not ended. */
SUSPENDS static struct frame *
frame_next(struct channel *ch, enum fiber_exit *x)
{
	struct frame *f;
	bool ended;

	for (;;) {
		pthread_mutex_lock(&ch->lock);
		f = frames_pop(&ch->frames);
		ended = ch->ended;
		if (f == NULL)
			ch->caller = fiber_prepare();
		pthread_mutex_unlock(&ch->lock);
		if (f != NULL && (*x == FIBER_WOKEN || ended))
			return f;
		if (f == NULL && *x == FIBER_WOKEN) {
			*x = fiber_suspend(0);
			continue;
		}
		free(f);
		return NULL;
	}
}

SUSPENDS static void
caller_answers(struct channel *ch, struct exchange *x, const struct msg *m)
{
	struct answer a = { 0 };
	struct msg out;
	struct frame *f;

	exchange_serve(x, m, &a);
	out = answer_msg(&a);
	if ((f = frame_new(&out)) == NULL) {
		out = (struct msg){ .kind = MSG_ANSWER, .index = AS_LIMIT };
		f = frame_new(&out);
	}
	answer_clear(&a);
	pthread_mutex_lock(&ch->lock);
	free(ch->answer);
	ch->answer = f;
	callee_wake(ch);
	pthread_mutex_unlock(&ch->lock);
}

/* True: it was the last one. */
SUSPENDS static bool
caller_takes(struct channel *ch, struct exchange *x, const struct msg *m,
    enum as_status *st, struct json_object **failure)
{
	enum as_status said;

	if (m->kind == MSG_END) {
		*st = (enum as_status)m->n;
		*failure = json_object_get(m->value);
		return true;
	}
	if (m->kind >= SERVE_HTTP && m->kind < MSG_ANSWER) {
		caller_answers(ch, x, m);
		return false;
	}
	if ((said = exchange_emit(x, m)) != AS_OK) {
		pthread_mutex_lock(&ch->lock);
		ch->said = said;
		pthread_mutex_unlock(&ch->lock);
	}
	return false;
}

static void
caller_leaves(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->left = true;
	if (!ch->ended)
		callee_wake(ch);
	pthread_mutex_unlock(&ch->lock);
}

SUSPENDS static enum as_status
caller_run(struct channel *ch, struct exchange *x, struct json_object **failure)
{
	enum fiber_exit how = FIBER_WOKEN;
	enum as_status st = AS_INTERNAL;
	struct arena *arena;
	struct frame *f;
	bool last = false;
	struct msg m;

	while (!last) {
		if ((f = frame_next(ch, &how)) == NULL) {
			if (how == FIBER_CANCELED)
				return AS_CANCELED;
			*failure = failure_new("it did not answer in time");
			jput_int(*failure, "maybe_done", AS_YES);
			return AS_TIMEOUT;
		}
		arena = arena_new(NULL);
		if (msg_decode(f->data, f->len, &m, arena))
			last = caller_takes(ch, x, &m, &st, failure);
		else
			last = true;
		arena_free(arena);
		free(f);
	}
	return st;
}

enum as_status
channel_run(struct exchange *x, const struct as_call_info *info,
    struct json_object **failure)
{
	struct channel *ch = channel_new(x, info);
	enum as_status st;

	if (ch->op == NULL) {
		*failure = failure_new("arguments too large to pass on");
		st = AS_LIMIT;
	} else if (!callee_start(ch)) {
		*failure = failure_new("too many fibers");
		st = AS_UNAVAILABLE;
	} else {
		st = caller_run(ch, x, failure);
		caller_leaves(ch);
	}
	channel_unref(ch);
	return st;
}
