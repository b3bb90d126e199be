/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/sender.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/hook/outbox.h"
#include "core/hook/sender_impl.h"

/*
 * The one who looks: takes what is due as long as there is room, a fiber for
 * each message, and removes what is over.
 */

#define TAKE_MAX 16
#define LEASE_MORE_MS 1000
#define DEPTH_EVERY_MS 5000
#define PRUNE_EVERY_MS 3600000
#define DRAIN_POLL_MS 10

static void
look_in(struct hook_sender *s, int64_t ms)
{
	if (!s->stopping)
		loop_timer_set(s->c.loop, &s->tick,
		    loop_now_ms(s->c.loop) + (uint64_t)ms);
}

/* ---- What is over ---------------------------------------------------- */

/* What cannot be removed now is kept; if this process dies, it is sent again. */
static SUSPENDS void
remove_done(struct hook_sender *s)
{
	int64_t ids[SENDER_DONE_MAX];
	int n = s->n_done;

	if (n == 0 || s->removing)
		return;
	s->removing = true;
	memcpy(ids, s->done, (size_t)n * sizeof(*ids));
	FAILPOINT("outbox.pre_delete");
	if (outbox_remove(s->c.store, ids, n, NULL) == AS_OK) {
		s->n_done -= n;
		memmove(s->done, s->done + n, (size_t)s->n_done * sizeof(*ids));
	}
	s->removing = false;
}

void
sender_done(struct hook_sender *s, int64_t id)
{
	if (s->n_done < SENDER_DONE_MAX)
		s->done[s->n_done++] = id;
	look_in(s, 1);
}

/* ---- What is due ----------------------------------------------------- */

static void
message_start(struct hook_sender *s, const struct outbox_row *row)
{
	struct message *m = xcalloc(1, sizeof(*m));

	m->s = s;
	m->arena = arena_new(NULL);
	m->row = *row;
	m->row.event = arena_strdup(m->arena, row->event);
	m->row.ref = arena_strdup(m->arena, row->ref);
	s->n_flying++;
	if (fiber_spawn(s->c.loop, "webhook", sender_message, m).f == NULL)
		sender_message_free(m); /* its lease will run out */
}

/* False: there may be more. */
static SUSPENDS bool
take(struct hook_sender *s)
{
	/* To be answered, and to write that down. */
	int64_t lease_us = (2 * s->c.timeout_ms + LEASE_MORE_MS) * 1000;
	int room = s->c.parallel - s->n_flying, n = 0;
	struct arena *arena;
	struct outbox_row *rows;
	struct error err = { 0 };

	if (room > SENDER_DONE_MAX - s->n_done - s->n_flying)
		room = SENDER_DONE_MAX - s->n_done - s->n_flying;
	if (room > TAKE_MAX)
		room = TAKE_MAX;
	if (room <= 0 || s->stopping)
		return true;
	arena = arena_new(NULL);
	if (outbox_take(s->c.store, s->c.seal, lease_us, room, arena, &rows, &n,
		&err) != AS_OK)
		log_warn("webhook", "cannot look for messages: %s", err.detail);
	error_clear(&err);
	for (int i = 0; i < n; i++)
		message_start(s, &rows[i]);
	arena_free(arena);
	return n < room;
}

static SUSPENDS void
keep_house(struct hook_sender *s)
{
	uint64_t now = loop_now_ms(s->c.loop);
	int64_t n = 0;

	if (now >= s->depth_at_ms &&
	    outbox_depth(s->c.store, &n, NULL) == AS_OK) {
		s->depth_at_ms = now + DEPTH_EVERY_MS;
		counter_set(s->depth, (double)n);
	}
	if (now < s->prune_at_ms)
		return;
	s->prune_at_ms = now + PRUNE_EVERY_MS;
	(void)outbox_prune(s->c.store, s->c.keep_ms * 1000, NULL);
}

static SUSPENDS void
look(void *arg)
{
	struct hook_sender *s = arg;
	int64_t due = INT64_MAX, wait = s->c.poll_ms;

	fiber_deadline_set(loop_now_ms(s->c.loop) + 10000);
	remove_done(s);
	(void)outbox_due(s->c.store, &due, NULL);
	if (due <= 0)
		while (!take(s))
			continue;
	else if (due / 1000 < wait)
		wait = due / 1000 + 1;
	keep_house(s);
	s->looking = false;
	/* Nothing is forgotten that has come to an end meanwhile. */
	look_in(s, s->n_done > 0 ? 1 : wait);
}

static void
on_tick(struct loop_timer *t)
{
	struct hook_sender *s = container_of(t, struct hook_sender, tick);

	if (s->looking)
		return;
	s->looking = true;
	if (fiber_spawn(s->c.loop, "outbox", look, s).f != NULL)
		return;
	s->looking = false;
	look_in(s, s->c.poll_ms);
}

/* ---- Coming and going ------------------------------------------------ */

struct hook_sender *
hook_sender_start(const struct hook_sender_config *config)
{
	struct hook_sender *s = xcalloc(1, sizeof(*s));

	s->c = *config;
	s->tick.fn = on_tick;
	s->depth = counter_get(GAUGE, "outbox_depth",
	    "Webhook messages that are not delivered yet.", NULL, NULL);
	look_in(s, 1);
	return s;
}

SUSPENDS void
hook_sender_drain(struct hook_sender *s, uint64_t until_ms)
{
	if (s == NULL)
		return;
	s->stopping = true;
	loop_timer_clear(&s->tick);
	while ((s->n_flying > 0 || s->looking) &&
	       loop_now_ms(s->c.loop) < until_ms &&
	       fiber_sleep(DRAIN_POLL_MS) == FIBER_WOKEN)
		continue;
	remove_done(s);
}

void
hook_sender_free(struct hook_sender *s)
{
	if (s == NULL)
		return;
	loop_timer_clear(&s->tick);
	free(s);
}
