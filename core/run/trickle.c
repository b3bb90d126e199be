/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/trickle.h"

#include <string.h>

#include "core/base/mem.h"

/* See trickle.h. */

static void
on_hook(struct loop_hook *h)
{
	struct trickle *t = container_of(h, struct trickle, hook);

	t->show(t);
}

static void
on_timer(struct loop_timer *timer)
{
	struct trickle *t = container_of(timer, struct trickle, timer);

	t->show(t);
}

void
trickle_init(struct trickle *t, struct loop *loop,
    void (*show)(struct trickle *t))
{
	*t = (struct trickle){ .loop = loop, .show = show };
	t->hook.fn = on_hook;
	t->timer.fn = on_timer;
}

static void
trickle_still(struct trickle *t)
{
	loop_hook_clear(t->loop, &t->hook);
	loop_timer_clear(&t->timer);
}

void
trickle_come(struct trickle *t, const char *piece, size_t len, size_t waiting)
{
	bool line = memchr(piece, '\n', len) != NULL;
	uint64_t due = t->shown_ms + (line ? TRICKLE_LINE_MS : TRICKLE_MS);

	if (!t->begun || waiting >= TRICKLE_BYTES ||
	    due <= loop_now_ms(t->loop))
		loop_at_turn_end(t->loop, &t->hook);
	else if (t->timer.at_ms == 0 || due < t->timer.at_ms)
		loop_timer_set(t->loop, &t->timer, due);
}

void
trickle_shown(struct trickle *t)
{
	trickle_still(t);
	t->shown_ms = loop_now_ms(t->loop);
	t->begun = true;
}

void
trickle_reset(struct trickle *t)
{
	trickle_still(t);
	t->begun = false;
}
