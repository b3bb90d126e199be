/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/desk.h"
#include "core/run/engine.h"
#include "core/run/run_store.h"
#include "core/store/store_lock.h"

/*
 * A node's place in the database: an epoch under a lease, and a lock that tells
 * others sooner than the lease when we die.
 *
 * An epoch that is over is over for good; others have its runs.  Who hung or
 * slept through his lease ends, and a new process takes a new epoch.  Who was
 * only cut off from the database, as all are when it restarts for longer than a
 * lease, lets go of his runs and takes the new epoch himself: people stay
 * connected, and nobody has to start him.  The same where a standby was
 * promoted: the last commits of an epoch may have gone with the old primary.
 */

#define SILENCE_MORE_MS 250 /* than a beat, for a beat that is late */
#define LOCK_WAIT_MS 2000 /* before work begins without it */
#define LOCK_POLL_MS 5
#define LAST_POLL_MS 20
#define AGAIN_MS 250
#define SHED_MS 5000 /* for calls that were cut short */

static struct app *
node_app(struct node *n)
{
	return &node_first(n)->app;
}

void
node_trust_from(struct node *n, int64_t sent_us)
{
	int64_t beat_us = n->p.settings->worker.beat * 1000;

	if (n->alone)
		node_env_trust(&n->env, INT64_MAX, INT64_MAX);
	else
		node_env_trust(&n->env, sent_us + n->lease_us - n->margin_us,
		    sent_us + beat_us);
}

/* A run ends at its limit of time; the margin is for its last commit. */
int64_t
node_max_age_us(const struct node *n)
{
	const struct run_settings *r = &n->p.settings->runs;
	int64_t longest = r->max_wall > r->ambient_wall ? r->max_wall
							: r->ambient_wall;

	return (longest + 120000) * 1000;
}

/* Others are told whether the lock means anything. */
SUSPENDS void
node_guard_tell(struct node *n)
{
	bool held = store_lock_held_us(n->lock) >= 0;
	int64_t silence_ms = n->p.settings->worker.beat + SILENCE_MORE_MS;

	if (held == n->guarded)
		return;
	if (held)
		atomic_store(&n->env.guarded, true);
	if (run_store_node_guard(node_app(n)->runs, n->epoch,
		held ? silence_ms * 1000 : 0, NULL) == AS_OK)
		n->guarded = held;
	if (!held && !n->guarded)
		atomic_store(&n->env.guarded, false);
}

/* Whoever dies with work had said that his lock tells of it. */
static SUSPENDS void
lock_take(struct node *n)
{
	struct loop *loop = node_app(n)->loop;
	uint64_t until_ms = loop_now_ms(loop) + LOCK_WAIT_MS;

	n->lock = store_lock_new(n->p.db, RUN_NODE_LOCK,
	    run_node_lock_key(n->epoch));
	atomic_store(&n->env.lock, n->lock);
	while (store_lock_held_us(n->lock) < 0 && loop_now_ms(loop) < until_ms)
		if (fiber_sleep(LOCK_POLL_MS) != FIBER_WOKEN)
			return;
	node_guard_tell(n);
}

/* ---- Coming and going ---------------------------------------------- */

static SUSPENDS enum as_status
node_enter(struct node *n, int64_t *epoch, struct error *err)
{
	char name[128] = "node";

	/* Before it: what comes after is another one's epoch. */
	atomic_store(&n->env.timeline, store_db_timeline(n->p.db));
	gethostname(name, sizeof(name) - 1);
	return run_store_node_join(node_app(n)->runs, name, PACKAGE_VERSION,
	    n->lease_us, epoch, err);
}

SUSPENDS enum as_status
node_join(struct node *n, struct error *err)
{
	struct run_store *runs = node_app(n)->runs;
	int64_t sent = clock_boot_us();
	int freed = 0;
	enum as_status st;

	st = node_enter(n, &n->epoch, err);
	if (st == AS_OK) {
		node_trust_from(n, sent);
		st = node_crumb_charge(n, err);
	}
	if (st == AS_OK)
		st = run_store_reap(runs, n->epoch, n->alone,
		    node_max_age_us(n), &freed, err);
	if (freed > 0)
		log_info("serve", "%d runs go on", freed);
	if (st == AS_OK && n->executes && !n->alone &&
	    n->p.settings->worker.lock)
		lock_take(n);
	if (st == AS_OK)
		node_env_tune(&n->env, node_app(n)->store);
	return st;
}

/* ---- An epoch that is over ----------------------------------------- */

static void
time_limit(struct node *n, int64_t ms)
{
	fiber_deadline_set(loop_now_ms(node_app(n)->loop) + (uint64_t)ms);
}

/* On each loop, once more for each time that it is told. */
static void
on_epoch_msg(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, epoch);
	struct node *n = l->node;

	if (l->app.engine != NULL && n->shedding)
		engine_shed(l->app.engine);
	else if (l->app.engine != NULL && n->executes)
		engine_epoch_set(l->app.engine, n->epoch);
	atomic_fetch_sub(&n->n_untold, 1);
}

/* Returns when every loop has turned with it. */
static SUSPENDS bool
loops_tell(struct node *n)
{
	/* A message is in one queue at a time: those of whoever gave up first. */
	while (atomic_load(&n->n_untold) > 0)
		if (fiber_sleep(LAST_POLL_MS) != FIBER_WOKEN)
			return false;
	atomic_store(&n->n_untold, n->n_loops);
	for (int i = 0; i < n->n_loops; i++) {
		n->loops[i].epoch.fn = on_epoch_msg;
		loop_post(n->loops[i].app.loop, &n->loops[i].epoch);
	}
	while (atomic_load(&n->n_untold) > 0)
		if (fiber_sleep(LAST_POLL_MS) != FIBER_WOKEN)
			return false;
	return true;
}

static SUSPENDS void
desk_wait(struct node *n, int64_t ms)
{
	struct loop *loop = node_app(n)->loop;
	uint64_t until = loop_now_ms(loop) + (uint64_t)ms;

	while (desk_count(n->desk) > 0 && loop_now_ms(loop) < until)
		if (fiber_sleep(LAST_POLL_MS) != FIBER_WOKEN)
			break;
}

/*
 * Others own our runs now.  But what we have sent may have been answered, and
 * nobody else can know: our runs have as long as a lease to notice, and to
 * offer such results.  They begin nothing.
 */
static SUSPENDS bool
runs_let_go(struct node *n)
{
	desk_wait(n, n->lease_us / 1000);
	if (desk_count(n->desk) == 0 || !n->cut_off)
		return desk_count(n->desk) == 0;
	n->shedding = true;
	if (loops_tell(n))
		desk_wait(n, SHED_MS);
	n->shedding = false;
	return desk_count(n->desk) == 0;
}

/* No other loop looks at the lock once all have turned without it. */
static SUSPENDS bool
lock_drop(struct node *n)
{
	atomic_store(&n->env.guarded, false);
	atomic_store(&n->env.lock, NULL);
	while (n->reaping)
		if (fiber_sleep(LAST_POLL_MS) != FIBER_WOKEN)
			return false;
	if (!loops_tell(n))
		return false;
	store_lock_free(n->lock);
	n->lock = NULL;
	n->guarded = false;
	return true;
}

/* Waits for the database for as long as it takes. */
static SUSPENDS enum as_status
epoch_next(struct node *n)
{
	enum as_status st = AS_UNAVAILABLE;
	int64_t sent = 0, epoch = 0;

	while (st != AS_OK && !n->left) {
		time_limit(n, n->lease_us / 1000);
		/* After a promotion it may not be over yet. */
		(void)run_store_node_leave(node_app(n)->runs, n->epoch, NULL);
		sent = clock_boot_us();
		st = node_enter(n, &epoch, NULL);
		if (st != AS_OK && fiber_sleep(AGAIN_MS) == FIBER_CANCELED)
			return AS_CANCELED;
	}
	if (st != AS_OK)
		return st;
	n->epoch = epoch;
	time_limit(n, n->lease_us / 1000);
	if (!lock_drop(n)) {
		/* Not some loops in one epoch and some in another. */
		if (!n->stopping && !fiber_is_canceled())
			_exit(1);
		return AS_CANCELED;
	}
	node_trust_from(n, sent);
	if (n->executes && n->p.settings->worker.lock)
		lock_take(n);
	return AS_OK;
}

SUSPENDS enum as_status
node_epoch_over(struct node *n, const char *why)
{
	enum as_status st = AS_CONFLICT;

	log_err("serve", "%s; %s", why,
	    n->cut_off ? "a new epoch is taken" : "this process ends");
	node_env_trust(&n->env, 0, 0);
	n->between = true;
	time_limit(n, n->lease_us / 1000 + 2 * SHED_MS);
	if (!runs_let_go(n) || !n->cut_off)
		_exit(1);
	st = epoch_next(n);
	n->between = false;
	if (st != AS_OK)
		return st;
	log_warn("serve", "this process goes on as node epoch %lld",
	    (long long)n->epoch);
	node_ring(n);
	return AS_OK;
}

/* A beat under way that comes after it finds no lease: that means nothing. */
SUSPENDS void
node_leave(struct node *n)
{
	n->left = true;
	loop_timer_clear(&n->beat);
	(void)run_store_node_leave(node_app(n)->runs, n->epoch, NULL);
}
