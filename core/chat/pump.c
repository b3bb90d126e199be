/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/pump.h"

#include "core/base/mem.h"

/* See pump.h. */

static SUSPENDS void pump_main(void *arg);

static bool
is_full(const struct pump *p)
{
	return p->reader.pending(p->arg) > STREAM_HIGH_WATER;
}

void
pump_send(struct pump *p, const char *type, int64_t id, struct rcbuf *frame)
{
	p->reader.send(p->arg, type, id, frame);
}

void
pump_end(struct pump *p, enum stream_over why)
{
	struct stream_ops reader = p->reader;
	void *arg = p->arg;

	pump_close(p);
	reader.over(arg, why);
}

/* ---- A reader that is slow ----------------------------------------- */

static void
on_slow(struct loop_timer *t)
{
	pump_end(container_of(t, struct pump, slow), STREAM_SLOW);
}

bool
pump_is_full(struct pump *p)
{
	if (!is_full(p))
		return false;
	if (!p->lagging) {
		p->lagging = true;
		p->slow.fn = on_slow;
		loop_timer_set(p->loop, &p->slow,
		    loop_now_ms(p->loop) + STREAM_SLOW_MS);
	}
	return true;
}

SUSPENDS bool
pump_wait(struct pump *p)
{
	uint64_t until = loop_now_ms(p->loop) + STREAM_SLOW_MS;

	while (!p->closed && is_full(p)) {
		p->wait = fiber_prepare();
		if (fiber_suspend(until) != FIBER_WOKEN) {
			if (!p->closed && is_full(p))
				pump_end(p, STREAM_SLOW);
			return false;
		}
	}
	return !p->closed;
}

void
pump_drained(struct pump *p)
{
	fiber_wake(p->wait);
	if (!p->lagging)
		return;
	p->lagging = false;
	loop_timer_clear(&p->slow);
	pump_more(p);
}

/* ---- The fiber ----------------------------------------------------- */

static bool
pump_start(struct pump *p)
{
	p->catching = fiber_spawn(p->loop, "stream catch-up", pump_main, p).f !=
		      NULL;
	return p->catching;
}

void
pump_more(struct pump *p)
{
	if (p->catching)
		p->dirty = true;
	else if (!pump_start(p))
		pump_end(p, STREAM_BROKEN);
}

static void
on_last(struct loop_hook *h)
{
	struct pump *p = container_of(h, struct pump, last);

	p->ops->gone(p);
}

static void
free_later(struct pump *p)
{
	p->last.fn = on_last;
	loop_at_turn_end(p->loop, &p->last);
}

static SUSPENDS void
pump_main(void *arg)
{
	struct pump *p = arg;

	do {
		fiber_deadline_set(loop_now_ms(p->loop) + 10 * STREAM_SLOW_MS);
		p->dirty = false;
		if (!p->closed)
			p->ops->supply(p);
	} while (!p->closed && p->dirty);
	p->catching = false;
	if (p->closed)
		free_later(p);
	else if (p->ops->idle != NULL)
		p->ops->idle(p);
}

/* ---- Open and close ------------------------------------------------ */

bool
pump_open(struct pump *p, struct loop *loop, const struct pump_ops *ops,
    const struct stream_ops *reader, void *arg)
{
	p->loop = loop;
	p->ops = ops;
	p->reader = *reader;
	p->arg = arg;
	return pump_start(p);
}

static void
on_signed_out(const struct bus_msg *m, void *arg)
{
	if (!m->look)
		pump_end(arg, STREAM_SIGNED_OUT);
}

static void
on_access_lost(struct access_seat *seat, enum access_lost why)
{
	pump_end(container_of(seat, struct pump, seat),
	    why == ACCESS_SESSION ? STREAM_SIGNED_OUT
	    : why == ACCESS_ROLE  ? STREAM_ROLE_CHANGED
				  : STREAM_NO_THREAD);
}

void
pump_guard(struct pump *p, struct access *access, struct bus *bus,
    const struct principal *who, struct uuid thread_id)
{
	bus_unsubscribe(p->session);
	p->session = NULL;
	access_leave(&p->seat);
	if (uuid_is_nil(who->session_id))
		return;
	p->session = bus_subscribe(bus, who->session_id, on_signed_out, p);
	p->seat.who = *who;
	p->seat.thread_id = thread_id;
	p->seat.lost = on_access_lost;
	access_join(access, &p->seat);
}

void
pump_close(struct pump *p)
{
	if (p->closed)
		return;
	p->closed = true;
	bus_unsubscribe(p->session);
	access_leave(&p->seat);
	p->ops->stop(p);
	loop_timer_clear(&p->slow);
	if (p->catching)
		fiber_wake(p->wait);
	else
		free_later(p);
}
