/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdlib.h>

#include "core/api/chat_ctx.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/chat/queue.h"
#include "core/inbox/changes.h"
#include "core/run/breaker_store.h"
#include "core/run/run_store.h"
#include "core/run/sweep.h"
#include "core/store/store_lock.h"

/*
 * The heart of a node, and what it looks after between its beats.
 *
 * It beats on the first loop and vouches for all of them.  What the lease is
 * worth is counted from the moment before its renewal was sent, on a clock that
 * goes on while the machine sleeps, and ends a margin before others may take
 * over (node_epoch.c).  Nobody can take over from a process that has the
 * database for itself: there a lease that ran out is simply renewed.
 */

#define REAP_MS 250
#define REAP_ALONE_MS 1000
#define FRESH_US 1000000 /* a loop that has turned in this time is well */
#define AGAIN_MS 250
#define GAUGES_MS 2000
#define FORGET_MS 600000 /* at least so often, old changes are forgotten */
#define UNSTALL_MS 2000 /* only a crash makes it necessary */
#define NO_FIBER_MS 100
#define DATABASE_MS 5000

static struct app *
node_app(struct node *n)
{
	return &node_first(n)->app;
}

static void
timer_in(struct node *n, struct loop_timer *t, int64_t ms)
{
	struct loop *loop = node_app(n)->loop;

	loop_timer_set(loop, t, loop_now_ms(loop) + (uint64_t)ms);
}

/* ---- Heartbeat ----------------------------------------------------- */

/* A loop that hangs is named once. */
static bool
all_loops_turn(struct node *n)
{
	int i = node_pulse_missing(n, FRESH_US);

	if (i >= 0 && i != n->hung)
		log_err("serve", "loop %d hangs; the lease is not renewed", i);
	n->hung = i;
	return i < 0;
}

static SUSPENDS enum as_status
renew(struct node *n, struct error *err)
{
	int64_t sent = clock_boot_us();
	enum as_status st;

	st = run_store_node_renew(node_app(n)->runs, n->epoch, n->lease_us,
	    err);
	if (st == AS_OK)
		node_trust_from(n, sent);
	return st;
}

/* Where a standby took over, the epoch ends whatever its lease says. */
static SUSPENDS enum as_status
beat(struct node *n, struct error *err)
{
	enum as_status st = renew(n, err);

	if (!node_env_promoted(&n->env) || (st != AS_OK && st != AS_CONFLICT))
		return st;
	n->cut_off = true;
	error_clear(err);
	return error_set(err, ERR_CONFLICT, "the database was promoted");
}

static SUSPENDS void
beat_fiber(void *arg)
{
	struct node *n = arg;
	int64_t next_ms = n->p.settings->worker.beat;
	struct error err = { 0 };
	enum as_status st = AS_UNAVAILABLE;

	fiber_deadline_set(
	    loop_now_ms(node_app(n)->loop) + (uint64_t)n->lease_us / 1000);
	if (all_loops_turn(n))
		st = beat(n, &err);
	if (st == AS_CONFLICT && !n->left)
		st = node_epoch_over(n, err.detail);
	else if (st != AS_OK)
		n->cut_off = n->hung < 0;
	error_clear(&err);
	if (st == AS_OK) {
		n->cut_off = false;
		node_env_tune(&n->env, node_app(n)->store);
	}
	if (st != AS_OK && next_ms > AGAIN_MS)
		next_ms = AGAIN_MS;
	if (!n->left)
		timer_in(n, &n->beat, next_ms);
	queue_refresh(node_app(n)->queue, GAUGES_MS);
}

/* ---- Reaper -------------------------------------------------------- */

/*
 * Who has just lost his own lock may have lost it as the others lost theirs:
 * he judges nobody before they have had the time to come back.
 */
static SUSPENDS int
doom(struct node *n)
{
	int gone = 0;

	if (store_lock_held_us(n->lock) < n->p.settings->worker.beat * 1000)
		return 0;
	(void)run_store_node_doom(node_app(n)->runs, n->epoch, n->lease_us,
	    &gone, NULL);
	if (gone > 0)
		log_warn("serve", "%d processes have died", gone);
	return gone;
}

static SUSPENDS void
reap(struct node *n)
{
	int freed = 0;

	if (run_store_reap(node_app(n)->runs, n->epoch, false,
		node_max_age_us(n), &freed, NULL) != AS_OK ||
	    freed == 0)
		return;
	log_warn("serve", "%d runs of dead processes are taken over", freed);
	node_ring(n);
}

/* ---- What else is to be looked at --------------------------------- */

/* Ours, cancelled through whichever process; who does not end it loses it. */
static SUSPENDS void
cancels_look(struct node *n)
{
	struct app *app = node_app(n);
	struct run_cancelling *list;
	char id[UUID_TEXT];
	int count;

	(void)run_store_cancelling(app->runs, n->epoch, &list, &count, NULL);
	for (int i = 0; i < count; i++) {
		cancel_notify_here(app, list[i].run_id);
		if (list[i].age_us < n->p.settings->worker.grace * 1000)
			continue;
		uuid_format(list[i].run_id, id);
		if (run_store_release(app->runs, n->epoch, list[i].thread_id,
			list[i].run_id, NULL) == AS_OK)
			log_warn("serve", "run %s does not end by itself", id);
		node_ring(n);
	}
	free(list);
}

static SUSPENDS void
orphans_look(struct node *n)
{
	struct app *app = node_app(n);

	if (n->stopping || loop_now_ms(app->loop) < n->look_at_ms)
		return;
	n->look_at_ms = loop_now_ms(app->loop) + ENGINE_LOOK_MS;
	engine_look(app->engine);
}

static SUSPENDS void
forget(struct node *n)
{
	uint64_t now = loop_now_ms(node_app(n)->loop);
	int64_t keep = n->p.settings->inbox.keep;

	if (now < n->forget_at_ms)
		return;
	n->forget_at_ms = now + (uint64_t)(keep < FORGET_MS ? keep : FORGET_MS);
	(void)changes_forget(node_app(n)->store, keep * 1000, NULL);
}

static SUSPENDS void
queues_look(struct node *n)
{
	struct app *app = node_app(n);

	if (n->stopping || loop_now_ms(app->loop) < n->unstall_at_ms)
		return;
	n->unstall_at_ms = loop_now_ms(app->loop) + UNSTALL_MS;
	engine_unstall(app->engine);
}

static SUSPENDS void
look_fiber(void *arg)
{
	struct node *n = arg;

	fiber_deadline_set(loop_now_ms(node_app(n)->loop) + 10000);
	if (n->sweep.cancels)
		cancels_look(n);
	orphans_look(n);
	queues_look(n);
	breaker_sync(node_app(n)->store, n->breakers,
	    loop_now_ms(node_app(n)->loop), n->sweep.breakers);
	n->looking = false;
}

static SUSPENDS void
expire_fiber(void *arg)
{
	struct node *n = arg;

	fiber_deadline_set(loop_now_ms(node_app(n)->loop) + 60000);
	if (n->sweep.overdue)
		engine_expire(node_app(n)->engine);
	forget(n);
	n->expiring = false;
}

/* There may be much to do, which must not keep the reaper, nor be done twice. */
static void
look_start(struct node *n, bool *busy, const char *name, fiber_fn fn)
{
	if (!*busy)
		*busy = fiber_spawn(node_app(n)->loop, name, fn, n).f != NULL;
}

/* Whom his lock betrays has held something: that is not looked for again. */
static SUSPENDS void
dead_look(struct node *n)
{
	bool vain = n->sweep.vain;

	if (n->lock != NULL) {
		node_guard_tell(n);
		if (n->sweep.silent && doom(n) > 0)
			vain = true;
	}
	if (vain)
		reap(n);
}

static SUSPENDS void
reap_fiber(void *arg)
{
	struct node *n = arg;

	fiber_deadline_set(loop_now_ms(node_app(n)->loop) + 10000);
	sweep_look(node_app(n)->store, n->epoch, node_max_age_us(n), &n->sweep);
	n->reaping = true;
	if (!n->between)
		dead_look(n);
	n->reaping = false;
	if (n->stopping)
		return;
	look_start(n, &n->looking, "look", look_fiber);
	look_start(n, &n->expiring, "expire", expire_fiber);
	timer_in(n, &n->reap, n->alone ? REAP_ALONE_MS : REAP_MS);
}

/* For /readyz: standbys come and go, and without one no beat comes through. */
static SUSPENDS void
database_fiber(void *arg)
{
	struct node *n = arg;

	fiber_deadline_set(loop_now_ms(node_app(n)->loop) + DATABASE_MS);
	(void)store_look(node_app(n)->store, NULL);
	n->database_looking = false;
}

static void
database_look(struct node *n)
{
	uint64_t now = loop_now_ms(node_app(n)->loop);

	if (now < n->database_at_ms)
		return;
	n->database_at_ms = now + DATABASE_MS;
	look_start(n, &n->database_looking, "database", database_fiber);
}

/* The fiber sets the timer again; without one the timer tries once more. */
static void
spawn_or_wait(struct node *n, struct loop_timer *t, const char *name,
    fiber_fn fn)
{
	if (fiber_spawn(node_app(n)->loop, name, fn, n).f != NULL)
		return;
	log_err("serve", "no fiber for %s", name);
	timer_in(n, t, NO_FIBER_MS);
}

static void
on_beat(struct loop_timer *t)
{
	database_look(container_of(t, struct node, beat));
	spawn_or_wait(container_of(t, struct node, beat), t, "heartbeat",
	    beat_fiber);
}

static void
on_reap(struct loop_timer *t)
{
	spawn_or_wait(container_of(t, struct node, reap), t, "reaper",
	    reap_fiber);
}

/* Who executes nothing need not look for what others left. */
void
node_beat_start(struct node *n)
{
	n->hung = -1;
	n->beat.fn = on_beat;
	n->reap.fn = on_reap;
	timer_in(n, &n->beat, n->p.settings->worker.beat);
	if (n->executes)
		timer_in(n, &n->reap, REAP_MS);
}

void
node_reap_stop(struct node *n)
{
	loop_timer_clear(&n->reap);
}
