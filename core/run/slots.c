/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/run_metrics.h"
#include "core/run/work.h"

/*
 * When an engine looks for work, and how much of it: never more than it has
 * slots for.  Some of them are reserved for class priority, so what waits in
 * other classes may be held back while slots are free.
 */

/* What an epoch that may be over begins would only be taken away again. */
bool
engine_has_slot(const struct engine *e)
{
	return e->c.epoch != 0 && !e->draining &&
	       e->n_works < e->c.limits.slots && engine_is_trusted(e);
}

/* How many more may work that are not of class priority? */
static int
other_room(const struct engine *e)
{
	int n = e->c.limits.slots - e->c.limits.reserved - e->n_other;

	return n > 0 ? n : 0;
}

static SUSPENDS void
claim_main(void *arg)
{
	struct engine *e = arg;

	fiber_deadline_set(loop_now_ms(e->c.loop) + 10000);
	engine_claim(e);
	e->n_claimers--;
}

/* Whoever waits for a slot need not wait for the poll. */
void
engine_slot_freed(struct engine *e)
{
	if (!engine_has_slot(e) ||
	    !(e->starved || (e->held_back && other_room(e) > 0)))
		return;
	e->starved = e->held_back = false;
	if (fiber_spawn(e->c.loop, "claim", claim_main, e).f != NULL)
		e->n_claimers++;
}

void
engine_rung(struct engine *e)
{
	for (struct work *w = e->works; w != NULL; w = w->next)
		if (w->asks) {
			w->look = true;
			fiber_wake(w->wait);
		}
	e->starved = e->c.epoch != 0;
	engine_slot_freed(e);
}

void
engine_starve(struct engine *e)
{
	if (e->c.env.ring != NULL)
		e->c.env.ring(e->c.env.arg);
	else
		engine_rung(e);
}

/* ---- Claims -------------------------------------------------------- */

static struct run_claim_ask
ask_of(const struct engine *e)
{
	const struct engine_limits *l = &e->c.limits;
	int n = l->slots - e->n_works;
	struct run_claim_ask ask = run_claim_ask(e->c.epoch,
	    n < RUN_CLAIM_MAX ? n : RUN_CLAIM_MAX);

	ask.max_other = other_room(e);
	ask.after = e->last_tenant;
	for (int i = 0; i < RUN_CLASSES; i++) {
		ask.running[i] = e->n_lane[i];
		ask.promote_us[i] = l->promote_us[i];
		if (l->weight[i] > 0)
			ask.weight[i] = l->weight[i];
	}
	/* What has slots of its own does not use up its turns of the rest. */
	ask.running[0] -= ask.running[0] < l->reserved ? ask.running[0]
						       : l->reserved;
	return ask;
}

static SUSPENDS void
claims_start(struct engine *e, const struct run_claim *claims, int n)
{
	struct error err = { 0 };

	for (int i = 0; i < n; i++) {
		run_count_claim(claims[i].class, claims[i].lane);
		e->last_tenant = claims[i].tenant_id;
		if (engine_work(e, &claims[i], &err) != AS_OK)
			(void)run_store_release(e->c.runs, e->c.epoch,
			    claims[i].thread_id, claims[i].run_id, NULL);
		error_clear(&err);
	}
}

static int
others_of(const struct run_claim *claims, int n)
{
	int others = 0;

	for (int i = 0; i < n; i++)
		others += claims[i].class != 0 ? 1 : 0;
	return others;
}

SUSPENDS void
engine_claim(struct engine *e)
{
	struct run_claim_ask ask = ask_of(e);
	struct run_claim *claims;
	struct error err = { 0 };
	int n;

	if (e->claiming) { /* what came since is looked at next */
		e->starved = true;
		return;
	}
	if (!engine_has_slot(e))
		return;
	e->claiming = true;
	if (run_store_claim(e->c.runs, &ask, &claims, &n, &err) != AS_OK)
		log_warn("run", "no claim: %s", err.detail);
	if (n == ask.max) /* there may be more */
		e->starved = true;
	else if (others_of(claims, n) >= ask.max_other)
		e->held_back = true;
	claims_start(e, claims, n);
	free(claims);
	error_clear(&err);
	e->claiming = false;
	engine_slot_freed(e);
}

static void
on_due(struct loop_timer *t)
{
	struct engine *e = container_of(t, struct engine, due);

	engine_starve(e);
}

void
engine_due(struct engine *e, int64_t wait_ms)
{
	/* A little later, since the store's clock decides. */
	uint64_t at = loop_now_ms(e->c.loop) + (uint64_t)wait_ms + 2;

	if (e->c.epoch == 0 || (e->due.at_ms != 0 && e->due.at_ms <= at))
		return;
	e->due.fn = on_due;
	loop_timer_set(e->c.loop, &e->due, at);
}
