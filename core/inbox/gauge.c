/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/gauge.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"

/* See gauge.h.  A look that has begun outlives the stop, and frees. */

struct inbox_gauge {
	struct loop *loop;
	struct store *store;
	struct loop_timer timer;
	bool looking, stopped;
};

static const char *const kinds[] = { "approval", "question", "notification",
	"report", "outcome", "error", "dead_letter" };

SQL(PENDING, "SELECT kind, count(*) FROM inbox_items WHERE status = 'pending'"
	     " GROUP BY kind");

static void
gauge_set(const char *kind, double n)
{
	counter_set(counter_get(GAUGE, "inbox_pending",
			"Inbox items that wait, by kind.", "kind", &kind),
	    n);
}

/* Kinds of which there is none have no row. */
static void
gauges_set(const struct rows *r)
{
	double n;

	for (size_t k = 0; k < N_ITEMS(kinds); k++) {
		n = 0;
		for (int i = 0; i < rows_count(r); i++)
			if (strcmp(rows_text(r, i, 0), kinds[k]) == 0)
				n = (double)rows_int(r, i, 1);
		gauge_set(kinds[k], n);
	}
}

static SUSPENDS void
look(void *arg)
{
	struct inbox_gauge *g = arg;
	struct rows *r = NULL;

	fiber_deadline_set(loop_now_ms(g->loop) + INBOX_GAUGE_MS);
	if (store_query(g->store, &PENDING, NULL, 0, &r, NULL) == AS_OK)
		gauges_set(r);
	rows_free(r);
	g->looking = false;
	if (g->stopped)
		free(g);
	else
		loop_timer_set(g->loop, &g->timer,
		    loop_now_ms(g->loop) + INBOX_GAUGE_MS);
}

static void
on_timer(struct loop_timer *t)
{
	struct inbox_gauge *g = container_of(t, struct inbox_gauge, timer);

	g->looking = fiber_spawn(g->loop, "inbox gauge", look, g).f != NULL;
	if (!g->looking)
		loop_timer_set(g->loop, t,
		    loop_now_ms(g->loop) + INBOX_GAUGE_MS);
}

struct inbox_gauge *
inbox_gauge_start(struct loop *loop, struct store *store)
{
	struct inbox_gauge *g = xcalloc(1, sizeof(*g));

	g->loop = loop;
	g->store = store;
	g->timer.fn = on_timer;
	on_timer(&g->timer);
	return g;
}

void
inbox_gauge_stop(struct inbox_gauge *g)
{
	if (g == NULL)
		return;
	g->stopped = true;
	loop_timer_clear(&g->timer);
	if (!g->looking)
		free(g);
}
