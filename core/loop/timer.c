/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "core/base/mem.h"
#include "core/loop/impl.h"

/*
 * Timers of a loop: a binary heap of pointers, earliest first.  A timer that
 * is armed has at_ms != 0 and its place in impl.
 */

static size_t
timer_at(const struct loop_timer *t)
{
	return (size_t)(uintptr_t)t->impl;
}

static void
timer_place(struct loop *l, size_t i, struct loop_timer *t)
{
	l->timers[i] = t;
	t->impl = (void *)(uintptr_t)i;
}

static void
timer_up(struct loop *l, size_t i, struct loop_timer *t)
{
	size_t parent;

	for (; i > 0; i = parent) {
		parent = (i - 1) / 2;
		if (l->timers[parent]->at_ms <= t->at_ms)
			break;
		timer_place(l, i, l->timers[parent]);
	}
	timer_place(l, i, t);
}

static void
timer_down(struct loop *l, size_t i, struct loop_timer *t)
{
	size_t child;

	while ((child = 2 * i + 1) < l->n_timers) {
		if (child + 1 < l->n_timers &&
		    l->timers[child + 1]->at_ms < l->timers[child]->at_ms)
			child++;
		if (t->at_ms <= l->timers[child]->at_ms)
			break;
		timer_place(l, i, l->timers[child]);
		i = child;
	}
	timer_place(l, i, t);
}

/* Where t belongs, given that only t may be out of order. */
static void
timer_settle(struct loop *l, size_t i, struct loop_timer *t)
{
	if (i > 0 && t->at_ms < l->timers[(i - 1) / 2]->at_ms)
		timer_up(l, i, t);
	else
		timer_down(l, i, t);
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms)
{
	bool armed = t->at_ms != 0;

	loop_check_owner(l);
	MUST(t->fn != NULL && (!armed || t->loop == l));
	t->loop = l;
	t->at_ms = at_ms != 0 ? at_ms : 1;
	if (armed) {
		timer_settle(l, timer_at(t), t);
		return;
	}
	if (l->n_timers == l->max_timers) {
		l->max_timers = l->max_timers != 0 ? 2 * l->max_timers : 64;
		l->timers = xrealloc(l->timers,
		    l->max_timers * sizeof(struct loop_timer *));
	}
	timer_up(l, l->n_timers++, t);
}

void
loop_timer_clear(struct loop_timer *t)
{
	struct loop *l = t->loop;
	struct loop_timer *last;
	size_t i = timer_at(t);

	if (t->at_ms == 0)
		return;
	loop_check_owner(l);
	MUST(i < l->n_timers && l->timers[i] == t);
	t->at_ms = 0;
	last = l->timers[--l->n_timers];
	if (last != t)
		timer_settle(l, i, last);
}

/* Bounded: one that sets itself for a past moment cannot hold up the turn. */
void
timers_run(struct loop *l)
{
	struct loop_timer *t;
	size_t n;

	for (n = l->n_timers; n > 0 && l->n_timers > 0; n--) {
		t = l->timers[0];
		if (t->at_ms > l->now_ms)
			break;
		loop_timer_clear(t);
		t->fn(t);
	}
}
