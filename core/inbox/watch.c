/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/watch.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/inbox/internal.h"
#include "core/run/item_bell.h"

/*
 * A pass is one fiber; a bell during a pass means another one.  Between two
 * there is a pause, so that a thousand runs that end at once are one look.
 * `known` is the number up to which all watchers have been told; when there was
 * nobody it is -1, and the first pass tells everybody.
 */

#define PAUSE_MS 20
#define PASS_MS 10000

struct inbox_watch {
	struct loop *loop;
	struct store *store;
	struct bus *bus;
	struct bus_sub *bell;
	struct loop_timer timer;
	struct watcher *watchers, **tail; /* tail: what told is to go on with */
	int64_t known;
	bool passing, rung;
};

static SUSPENDS void pass(void *arg);

static void
pass_in(struct inbox_watch *w, uint64_t ms)
{
	loop_timer_set(w->loop, &w->timer, loop_now_ms(w->loop) + ms);
}

static void
on_timer(struct loop_timer *t)
{
	struct inbox_watch *w = container_of(t, struct inbox_watch, timer);

	if (w->watchers == NULL || w->passing)
		return;
	w->rung = false;
	w->passing = fiber_spawn(w->loop, "inbox watch", pass, w).f != NULL;
	if (!w->passing)
		pass_in(w, WATCH_MS);
}

static void
on_bell(const struct bus_msg *m, void *arg)
{
	struct inbox_watch *w = arg;

	(void)m;
	if (w->rung)
		return;
	w->rung = true;
	if (!w->passing)
		pass_in(w, PAUSE_MS);
}

/* ---- Telling ------------------------------------------------------- */

static bool
concerns(const struct change_of *c, const struct principal *who)
{
	if (inbox_is_admin(who))
		return c->of_owner && uuid_equal(c->tenant_id, who->tenant_id);
	return uuid_equal(c->user_id, who->user_id);
}

static bool
any_concerns(const struct change_of *c, int n, const struct principal *who)
{
	for (int i = 0; i < n; i++)
		if (concerns(&c[i], who))
			return true;
	return false;
}

/*
 * c NULL: everybody.  Where the next one stands is kept in the watch, since
 * whoever is told may take any of them out.
 */
static void
tell(struct inbox_watch *w, const struct change_of *c, int n)
{
	struct watcher *who;

	w->tail = &w->watchers;
	while ((who = *w->tail) != NULL) {
		w->tail = &who->next;
		if (c == NULL || any_concerns(c, n, &who->who))
			who->news(who);
	}
	w->tail = NULL;
}

static SUSPENDS enum as_status
tell_new(struct inbox_watch *w, int64_t head, struct error *err)
{
	struct arena *arena = arena_new(NULL);
	struct change_of *c;
	enum as_status st = AS_OK;
	int n = 1;

	while (st == AS_OK && n > 0 && w->known < head) {
		st = changes_whose(w->store, w->known, arena, &c, &n, err);
		if (st != AS_OK || n == 0)
			break;
		w->known = c[n - 1].seq;
		tell(w, c, n);
	}
	arena_free(arena);
	return st;
}

static SUSPENDS void
pass(void *arg)
{
	struct inbox_watch *w = arg;
	struct changes_head head = { 0 };
	struct error err = { 0 };
	enum as_status st;

	fiber_deadline_set(loop_now_ms(w->loop) + PASS_MS);
	st = changes_look(w->store, &head, &err);
	if (st == AS_OK && w->known < 0) {
		w->known = head.seq;
		tell(w, NULL, 0);
	} else if (st == AS_OK)
		st = tell_new(w, head.seq, &err);
	if (st != AS_OK)
		log_debug("inbox", "changes not read: %s", err.detail);
	error_clear(&err);
	w->passing = false;
	if (w->watchers != NULL && !fiber_is_canceled())
		pass_in(w, w->rung || head.unnumbered ? PAUSE_MS : WATCH_MS);
}

/* ---- For watchers -------------------------------------------------- */

struct inbox_watch *
inbox_watch_new(struct loop *loop, struct store *store, struct bus *bus)
{
	struct inbox_watch *w = xcalloc(1, sizeof(*w));

	w->loop = loop;
	w->store = store;
	w->bus = bus;
	w->timer.fn = on_timer;
	w->known = -1;
	return w;
}

void
inbox_watch_free(struct inbox_watch *w)
{
	if (w == NULL)
		return;
	MUST(w->watchers == NULL && !w->passing);
	loop_timer_clear(&w->timer);
	free(w);
}

void
inbox_watch_join(struct inbox_watch *w, struct watcher *who)
{
	if (w->watchers == NULL) {
		w->known = -1;
		w->bell = bus_subscribe(w->bus, item_bell_topic, on_bell, w);
		if (!w->passing)
			pass_in(w, PAUSE_MS);
	}
	who->next = w->watchers;
	if (who->next != NULL)
		who->next->at = &who->next;
	who->at = &w->watchers;
	w->watchers = who;
}

void
inbox_watch_leave(struct inbox_watch *w, struct watcher *who)
{
	if (who->at == NULL)
		return;
	if (w->tail == &who->next)
		w->tail = who->at;
	*who->at = who->next;
	if (who->next != NULL)
		who->next->at = who->at;
	who->at = NULL;
	if (w->watchers != NULL)
		return;
	bus_unsubscribe(w->bell);
	w->bell = NULL;
	loop_timer_clear(&w->timer);
}
