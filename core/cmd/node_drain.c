/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/hook/sender.h"
#include "core/run/engine.h"
#include "core/sched/sched.h"

/*
 * The end of a node, in reverse of its start: it says so, and serves on until
 * balancers have heard it; then no new work, no new connections, sockets and
 * streams told to come back elsewhere, runs handed back, requests answered,
 * epoch given up.
 */

#define POLL_MS 10
#define SENDER_DRAIN_MS 2000 /* what is not answered by then is sent again */

/* ---- It says so ---------------------------------------------------- */

static void
loop_announce(struct node_loop *l)
{
	l->app.leaving = true;
	if (l->app.server != NULL)
		http_server_announce(l->app.server);
}

static void
on_announce_msg(struct loop_msg *m)
{
	loop_announce(container_of(m, struct node_loop, announce));
}

/* A worker, and a server that has not begun to listen, need not wait. */
static SUSPENDS void
delay(struct node *n)
{
	struct loop *loop = node_first(n)->app.loop;
	int64_t ms = n->p.settings->server.drain_delay;
	uint64_t until = loop_now_ms(loop) + (uint64_t)ms;

	if (ms == 0 || !n->started || n->p.api == NULL)
		return;
	loop_announce(node_first(n));
	for (int i = 1; i < n->n_loops; i++) {
		n->loops[i].announce.fn = on_announce_msg;
		loop_post(n->loops[i].app.loop, &n->loops[i].announce);
	}
	log_info("serve", "draining: listens for another %lld ms",
	    (long long)ms);
	while (!n->hurry && loop_now_ms(loop) < until) {
		n->delay = fiber_prepare();
		if (fiber_suspend(until) == FIBER_CANCELED)
			break;
	}
	n->delay.f = NULL;
}

void
node_shutdown_hurry(struct node *n)
{
	n->hurry = true;
	if (n->delay.f != NULL)
		fiber_wake(n->delay);
}

/* ---- Each loop ----------------------------------------------------- */

static SUSPENDS void
answers_wait(struct app *app, uint64_t until)
{
	while (!http_server_is_quiet(app->server) &&
	       loop_now_ms(app->loop) < until &&
	       fiber_sleep(POLL_MS) == FIBER_WOKEN)
		continue;
}

static SUSPENDS void
loop_finish(struct node *n, struct node_loop *l)
{
	struct app *app = &l->app;
	uint64_t until = loop_now_ms(app->loop) +
			 (uint64_t)n->p.settings->server.drain_timeout;

	app->leaving = app->draining = true;
	if (app->server != NULL)
		http_server_drain(app->server);
	if (app->engine != NULL)
		engine_drain(app->engine, until);
	if (app->server != NULL)
		answers_wait(app, until);
	node_pulse_stop(l);
}

static SUSPENDS void
stop_fiber(void *arg)
{
	struct node_loop *l = arg;

	loop_finish(l->node, l);
	loop_stop(l->app.loop);
}

static void
on_stop_msg(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, stop);

	if (fiber_spawn(l->app.loop, "stop", stop_fiber, l).f == NULL)
		loop_stop(l->app.loop);
}

void
node_others_stop(struct node *n)
{
	if (n->others_stop)
		return;
	n->others_stop = true;
	for (int i = 1; i < n->n_loops; i++) {
		n->loops[i].stop.fn = on_stop_msg;
		loop_post(n->loops[i].app.loop, &n->loops[i].stop);
	}
}

/* ---- The process --------------------------------------------------- */

/*
 * The others may need this loop until they have ended: it must not block.  The
 * heart beats for as long as runs are being handed back; what then is still
 * this epoch's goes with it.
 */
static SUSPENDS void
shutdown_fiber(void *arg)
{
	struct node *n = arg;
	struct node_loop *l = node_first(n);

	delay(n);
	node_claim_stop(n);
	node_bells_stop(n);
	node_control_stop(n);
	sched_stop(n->sched);
	node_reap_stop(n);
	node_others_stop(n);
	loop_finish(n, l);
	while (atomic_load(&n->n_others) > 0 &&
	       fiber_sleep(POLL_MS) == FIBER_WOKEN)
		continue;
	hook_sender_drain(n->sender,
	    loop_now_ms(l->app.loop) + SENDER_DRAIN_MS);
	fiber_deadline_set(loop_now_ms(l->app.loop) + 5000);
	plug_stop(n->plug);
	node_leave(n);
	loop_stop(l->app.loop);
}

void
node_shutdown(struct node *n)
{
	if (fiber_spawn(node_first(n)->app.loop, "shutdown", shutdown_fiber, n)
		.f == NULL)
		loop_stop(node_first(n)->app.loop);
}
