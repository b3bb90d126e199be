/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/sched.h"

#include <stdatomic.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * One fiber at a time looks; a wake while it does makes it look once more.
 */

#define LOOK_MS 60000 /* deadline of one look */
#define FAILED_MS 2000

struct sched {
	struct loop *loop;
	struct fire_ctx ctx;
	int64_t poll_ms;
	struct loop_timer timer;
	struct loop_msg wake;
	atomic_bool woken; /* wake is on its way */
	bool running, looking, again;
};

static void look_in(struct sched *s, int64_t ms);

static SUSPENDS void
look_fiber(void *arg)
{
	struct sched *s = arg;
	struct error err = { 0 };
	int64_t in_us = -1, ms = s->poll_ms;
	enum as_status st;

	fiber_deadline_set(loop_now_ms(s->loop) + LOOK_MS);
	st = fire_due(&s->ctx, &in_us, &err);
	if (st != AS_OK && s->running)
		log_warn("sched", "cannot look at the schedules: %s",
		    err.detail);
	error_clear(&err);
	if (st != AS_OK)
		ms = FAILED_MS < ms ? FAILED_MS : ms;
	else if (in_us >= 0 && in_us / 1000 < ms)
		ms = in_us / 1000 + 1;
	s->looking = false;
	if (s->again)
		ms = 0;
	look_in(s, ms);
}

static void
look(struct sched *s)
{
	if (!s->running)
		return;
	if (s->looking) {
		s->again = true;
		return;
	}
	loop_timer_clear(&s->timer);
	s->again = false;
	s->looking = fiber_spawn(s->loop, "schedules", look_fiber, s).f != NULL;
	if (!s->looking)
		look_in(s, FAILED_MS);
}

static void
look_in(struct sched *s, int64_t ms)
{
	if (s->running)
		loop_timer_set(s->loop, &s->timer,
		    loop_now_ms(s->loop) + (uint64_t)(ms > 1 ? ms : 1));
}

static void
on_timer(struct loop_timer *t)
{
	look(container_of(t, struct sched, timer));
}

static void
on_wake(struct loop_msg *m)
{
	struct sched *s = container_of(m, struct sched, wake);

	atomic_store(&s->woken, false);
	look(s);
}

struct sched *
sched_new(struct loop *loop)
{
	struct sched *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->timer.fn = on_timer;
	s->wake.fn = on_wake;
	return s;
}

void
sched_free(struct sched *s)
{
	free(s);
}

void
sched_start(struct sched *s, const struct sched_config *config)
{
	s->ctx.chat = config->chat;
	s->ctx.zoneinfo = config->zoneinfo;
	s->ctx.holder = uuid_v7();
	s->poll_ms = config->poll_ms;
	s->running = true;
	look_in(s, 1);
}

void
sched_stop(struct sched *s)
{
	s->running = false;
	loop_timer_clear(&s->timer);
}

void
sched_wake(struct sched *s)
{
	if (s != NULL && !atomic_exchange(&s->woken, true))
		loop_post(s->loop, &s->wake);
}
