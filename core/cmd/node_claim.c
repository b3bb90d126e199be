/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/engine.h"

/*
 * When to look for work.  Who makes something ready in this process rings, and
 * every loop that has room, or will have, looks at once.  What other processes
 * made ready is found by the poll.
 */

static void
on_ring(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, ring);

	atomic_store(&l->rung, false);
	if (l->app.engine != NULL)
		engine_starve(l->app.engine);
}

void
node_ring(struct node *n)
{
	if (!n->executes)
		return;
	for (int i = 0; i < n->n_loops; i++) {
		struct node_loop *l = &n->loops[i];

		l->ring.fn = on_ring;
		if (!atomic_exchange(&l->rung, true))
			loop_post(l->app.loop, &l->ring);
	}
}

static void
on_claim(struct loop_timer *t)
{
	struct node *n = container_of(t, struct node, claim);
	struct loop *loop = node_first(n)->app.loop;

	node_ring(n);
	loop_timer_set(loop, t,
	    loop_now_ms(loop) + (uint64_t)n->p.settings->worker.poll);
}

void
node_claim_start(struct node *n)
{
	struct loop *loop = node_first(n)->app.loop;

	n->claim.fn = on_claim;
	if (n->executes)
		loop_timer_set(loop, &n->claim, loop_now_ms(loop) + 1);
}

void
node_claim_stop(struct node *n)
{
	loop_timer_clear(&n->claim);
}
