/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/engine.h"

/*
 * When to look for work.  Who makes something ready in this process rings, and
 * every loop that has room, or will have, looks at once.  What other processes
 * made ready is found by the poll, or when it is due.
 */

static void
on_ring(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, ring);

	atomic_store(&l->rung, false);
	if (l->app.engine != NULL)
		engine_rung(l->app.engine);
}

void
node_ring_make(struct node_loop *l)
{
	l->ring.fn = on_ring;
}

void
node_ring(struct node *n)
{
	if (!n->executes)
		return;
	for (int i = 0; i < n->n_loops; i++) {
		struct node_loop *l = &n->loops[i];

		if (!atomic_exchange(&l->rung, true))
			loop_post(l->app.loop, &l->ring);
	}
}

/* ---- The poll ------------------------------------------------------ */

/* The timer is of the first loop; it never fires later than it was set to. */
static void
claim_in(struct node *n, int64_t ms)
{
	struct loop *loop = node_first(n)->app.loop;
	uint64_t at = loop_now_ms(loop) + (uint64_t)(ms > 1 ? ms : 1);

	if (n->claim.at_ms == 0 || at < n->claim.at_ms)
		loop_timer_set(loop, &n->claim, at);
}

/* Also what another process parked here and then died with is on time. */
static SUSPENDS void
due_fiber(void *arg)
{
	struct node *n = arg;
	struct app *app = &node_first(n)->app;
	int64_t in_us = -1;

	fiber_deadline_set(loop_now_ms(app->loop) + 10000);
	(void)run_store_next_due(app->runs, &in_us, NULL);
	if (in_us >= 0 && !n->stopping)
		claim_in(n, in_us / 1000 + 1);
}

static void
on_claim(struct loop_timer *t)
{
	struct node *n = container_of(t, struct node, claim);

	node_ring(n);
	claim_in(n, n->p.settings->worker.poll);
	(void)fiber_spawn(node_first(n)->app.loop, "next due", due_fiber, n);
}

void
node_claim_start(struct node *n)
{
	n->claim.fn = on_claim;
	if (n->executes)
		claim_in(n, 1);
}

void
node_claim_stop(struct node *n)
{
	loop_timer_clear(&n->claim);
}
