/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/node.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/run/work.h"

/*
 * What core/cmd/node.c does around an engine: join, beat, reap, claim, drain.
 * Times are those of a server, but for the polls, which are slower.
 */

#define LEASE_MS 8000
#define BEAT_MS 2000
#define MARGIN_MS 2000
#define REAP_MS 1000
#define CLAIM_MS 500
#define UNSTALL_MS 2000
#define GRACE_MS 10000

struct sim_waiter {
	struct sim_waiter *next, **link;
	struct fiber_wait wait;
};

/* ---- Waiting ------------------------------------------------------- */

static void
waiter_link(struct sim_node *n, struct sim_waiter *w)
{
	w->next = n->waiters;
	w->link = &n->waiters;
	if (w->next != NULL)
		w->next->link = &w->next;
	n->waiters = w;
}

static void
waiter_unlink(struct sim_waiter *w)
{
	*w->link = w->next;
	if (w->next != NULL)
		w->next->link = w->link;
}

static uint64_t
due_at(const struct sim_node *n, uint64_t at_ms, bool frozen)
{
	return frozen && n->paused_until > at_ms ? n->paused_until : at_ms;
}

SUSPENDS enum as_status
node_wait(struct sim_node *n, uint64_t at_ms, bool frozen, struct error *err)
{
	struct loop *loop = n->sim->loop;
	enum fiber_exit x = FIBER_WOKEN;
	struct sim_waiter w;
	uint64_t due;

	for (;;) {
		if (n->dead)
			return error_set(err, ERR_CANCELED, "a dead node");
		due = due_at(n, at_ms, frozen);
		if (loop_now_ms(loop) >= due)
			return AS_OK;
		if (x != FIBER_WOKEN)
			return fiber_exit_status(x, err);
		w.wait = fiber_prepare();
		waiter_link(n, &w);
		x = fiber_suspend(due);
		waiter_unlink(&w);
	}
}

/* ---- Its fibers ---------------------------------------------------- */

static struct uuid
env_id(void *arg)
{
	struct sim_node *n = arg;

	return sim_id(n->sim);
}

/* Two machines never agree on the time to the millisecond. */
static int64_t
env_wall(void *arg)
{
	struct sim_node *n = arg;

	return model_now_us(n->sim->model) + (n->index - 1) * 3000;
}

static uint32_t
env_random(void *arg, uint32_t n)
{
	struct sim_node *node = arg;

	return rng_below(&node->rng, n);
}

static bool
env_trusted(void *arg)
{
	struct sim_node *n = arg;

	return !n->dead && loop_now_ms(n->sim->loop) < n->trusted_until;
}

static void
engine_make(struct sim_node *n)
{
	struct engine_config c = {
		.loop = n->sim->loop,
		.runs = &n->link,
		.world = &n->world,
		.bus = n->sim->bus,
		.live = n->live,
		.breakers = n->breakers,
		.env = { .arg = n,
		    .new_id = env_id,
		    .wall_us = env_wall,
		    .random = env_random,
		    .trusted = env_trusted },
		.epoch = n->epoch,
		.limits = { .max_steps = 9,
		    .max_tokens = 100000,
		    .max_wall_ms = NODE_WALL_MS,
		    .model_tries = 4,
		    .call_timeout_ms = 6000,
		    .tool_timeout_ms = 4000,
		    .parallel_tools = 2,
		    .subagents = 3,
		    .subagent_depth = 2,
		    .max_output = 4096,
		    .compact_percent = 75,
		    .slots = 2,
		    .reserved = 1,
		    .weight = { 4, 2, 1 },
		    .promote_us = { 0, 500000, 2000000 } },
	};

	n->engine = engine_new(&c);
}

/* False: it is over. */
static SUSPENDS bool
node_nap(struct sim_node *n, uint64_t ms)
{
	fiber_deadline_set(0);
	if (node_wait(n, loop_now_ms(n->sim->loop) + ms, true, NULL) != AS_OK)
		return false;
	fiber_deadline_set(loop_now_ms(n->sim->loop) + LEASE_MS);
	return !n->draining;
}

static SUSPENDS void
beat_main(void *arg)
{
	struct sim_node *n = arg;
	uint64_t sent;
	enum as_status st;

	while (node_nap(n, BEAT_MS)) {
		sent = loop_now_ms(n->sim->loop);
		st = run_store_node_renew(&n->link, n->epoch, LEASE_MS * 1000,
		    NULL);
		if (st == AS_OK)
			n->trusted_until = sent + LEASE_MS - MARGIN_MS;
		if (st == AS_CONFLICT) {
			sim_trace(n->sim, "node %d epoch %lld: lease lost",
			    n->index, (long long)n->epoch);
			node_crash(n, 200);
		}
	}
	n->n_users--;
}

/* Cancelled through whichever node; who does not end it loses it. */
static SUSPENDS void
cancels_look(struct sim_node *n)
{
	struct run_cancelling *list;
	int count;

	(void)run_store_cancelling(&n->link, n->epoch, &list, &count, NULL);
	for (int i = 0; i < count; i++) {
		engine_notify_cancel(n->engine, list[i].run_id);
		if (list[i].age_us < GRACE_MS * 1000)
			continue;
		(void)run_store_release(&n->link, n->epoch, list[i].thread_id,
		    list[i].run_id, NULL);
		engine_rung(n->engine);
	}
	free(list);
}

static SUSPENDS void
reap_main(void *arg)
{
	struct sim_node *n = arg;
	int freed;

	do {
		freed = 0;
		if (run_store_reap(&n->link, n->epoch, false,
			(int64_t)NODE_FREE_AFTER_MS * 1000, &freed,
			NULL) == AS_OK &&
		    freed > 0)
			sim_trace(n->sim, "node %d reaps %d", n->index, freed);
		cancels_look(n);
		engine_expire(n->engine);
	} while (node_nap(n, REAP_MS));
	n->n_users--;
}

static SUSPENDS void
look_main(void *arg)
{
	struct sim_node *n = arg;

	while (node_nap(n, ENGINE_LOOK_MS))
		engine_look(n->engine);
	n->n_users--;
}

static SUSPENDS void
unstall_main(void *arg)
{
	struct sim_node *n = arg;

	while (node_nap(n, UNSTALL_MS))
		engine_unstall(n->engine);
	n->n_users--;
}

static SUSPENDS void
claim_main(void *arg)
{
	struct sim_node *n = arg;

	do
		engine_claim(n->engine);
	while (node_nap(n, CLAIM_MS));
	n->n_users--;
}

static void
node_fiber(struct sim_node *n, const char *name, fiber_fn fn)
{
	n->n_users++;
	MUST(fiber_spawn(n->sim->loop, name, fn, n).f != NULL);
}

/* What the machine's last process was at when it died is charged with it. */
static SUSPENDS void
crumb_charge(struct sim_node *n)
{
	struct uuid run = n->sim->crumbs[n->index];

	if (uuid_is_nil(run))
		return;
	if (run_store_charge(&n->link, run, NULL) == AS_OK)
		n->sim->crumbs[n->index] = (struct uuid){ 0 };
}

static SUSPENDS void
boot_main(void *arg)
{
	struct sim_node *n = arg;
	uint64_t sent = loop_now_ms(n->sim->loop);
	enum as_status st;

	do {
		st = run_store_node_join(&n->link, "sim", "1", LEASE_MS * 1000,
		    &n->epoch, NULL);
		if (st == AS_OK)
			break;
		sent = loop_now_ms(n->sim->loop) + 100;
	} while (node_wait(n, sent, true, NULL) == AS_OK);
	if (st == AS_OK) {
		n->trusted_until = sent + LEASE_MS - MARGIN_MS;
		sim_trace(n->sim, "node %d joins as epoch %lld", n->index,
		    (long long)n->epoch);
		crumb_charge(n);
		engine_make(n);
		node_fiber(n, "beat", beat_main);
		node_fiber(n, "reap", reap_main);
		node_fiber(n, "claim", claim_main);
		node_fiber(n, "look", look_main);
		node_fiber(n, "unstall", unstall_main);
	}
	n->n_users--;
}

void
node_boot(struct sim *s, int index)
{
	struct sim_node *n = xcalloc(1, sizeof(*n));

	n->sim = s;
	n->index = index;
	n->rng.state = s->seed * 1000003 +
		       (uint64_t)(index * 101 + ++s->n_lives[index]);
	n->link.ops = &link_ops;
	n->link.arg = n;
	n->live = live_new();
	n->breakers = breakers_new();
	world_init(&n->world, n);
	n->next = s->lives;
	s->lives = n;
	s->machines[index] = n;
	node_fiber(n, "boot", boot_main);
}

/* ---- Its end ------------------------------------------------------- */

struct revival {
	struct sim *sim;
	int index;
	uint64_t after_ms;
};

static SUSPENDS void
revive_main(void *arg)
{
	struct revival *r = arg;

	(void)fiber_sleep(r->after_ms);
	if (!r->sim->over && r->sim->machines[r->index] == NULL)
		node_boot(r->sim, r->index);
	free(r);
}

static void
node_comes_back(struct sim_node *n, uint64_t after_ms)
{
	struct revival *r = xcalloc(1, sizeof(*r));

	*r = (struct revival){ n->sim, n->index, after_ms };
	MUST(fiber_spawn(n->sim->loop, "revive", revive_main, r).f != NULL);
}

/* Nothing of the engine's memory may be believed any more. */
static void
works_end(struct engine *e)
{
	e->draining = true;
	for (struct work *w = e->works; w != NULL; w = w->next) {
		w->lost = w->drain = w->abort = true;
		fiber_cancel(w->fiber);
		fiber_wake(w->wait);
	}
}

void
node_crash(struct sim_node *n, uint64_t after_ms)
{
	if (n->dead)
		return;
	sim_trace(n->sim, "node %d epoch %lld crashes", n->index,
	    (long long)n->epoch);
	n->dead = true;
	if (n->engine != NULL)
		works_end(n->engine);
	for (struct sim_waiter *w = n->waiters; w != NULL; w = w->next)
		fiber_wake(w->wait);
	if (n->sim->machines[n->index] == n)
		n->sim->machines[n->index] = NULL;
	if (after_ms > 0)
		node_comes_back(n, after_ms);
}

SUSPENDS void
node_drain(struct sim_node *n, uint64_t after_ms)
{
	struct loop *loop = n->sim->loop;

	if (!node_is_up(n))
		return;
	sim_trace(n->sim, "node %d epoch %lld drains", n->index,
	    (long long)n->epoch);
	n->draining = true;
	n->n_users++;
	engine_drain(n->engine, loop_now_ms(loop) + 3000);
	(void)run_store_node_leave(&n->link, n->epoch, NULL);
	n->n_users--;
	node_crash(n, after_ms);
}

bool
node_is_up(const struct sim_node *n)
{
	return n != NULL && !n->dead && !n->draining && n->engine != NULL;
}

bool
node_is_gone(const struct sim_node *n)
{
	return n->dead && n->n_users == 0 &&
	       (n->engine == NULL ||
		   (engine_active(n->engine) == 0 && !n->engine->claiming));
}

void
node_free(struct sim_node *n)
{
	engine_free(n->engine);
	live_free(n->live);
	breakers_free(n->breakers);
	free(n);
}

struct sim_node *
node_any(struct sim *s, struct rng *r)
{
	int first = (int)rng_below(r, SIM_NODES);

	for (int i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = s->machines[(first + i) % SIM_NODES];

		if (node_is_up(n))
			return n;
	}
	return NULL;
}
