/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/api/seats.h"
#include "core/api/strikes.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/breaker_redis.h"
#include "core/bus/bus_redis.h"
#include "core/bus/live.h"
#include "core/chat/queue.h"
#include "core/hook/rate.h"
#include "core/loop/crumb.h"
#include "core/run/engine.h"
#include "core/sched/sched.h"
#include "core/store/store_lock.h"

/*
 * Start: every loop runs on its thread and opens its store; the first one
 * takes an epoch, brings back what dead processes held, starts the plugins,
 * and then tells the others to listen.  How it stops is in node_drain.c.
 */

void
node_fail(struct node *n, const char *what, struct error *err)
{
	log_err("serve", "%s: %s", what, err->detail);
	fprintf(stderr, "agent-studio: %s: %s\n", what, err->detail);
	error_clear(err);
	n->exit_code = 1;
}

/* ---- Start --------------------------------------------------------- */

static void
on_start_msg(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, start);

	node_loop_serve(l->node, l);
	if (l->failed) /* the first loop ends them all */
		kill(getpid(), SIGTERM);
}

/* A signal cancels it; what was started by then is stopped in order. */
static SUSPENDS void
start_fiber(void *arg)
{
	struct node *n = arg;
	struct error err = { 0 };

	fiber_deadline_set(loop_now_ms(node_first(n)->app.loop) + 60000);
	if (node_join(n, &err) != AS_OK) {
		if (!n->stopping)
			node_fail(n, "cannot join the database", &err);
		error_clear(&err);
		loop_stop(node_first(n)->app.loop);
		return;
	}
	if (!n->stopping)
		plug_start(n->plug);
	if (!n->stopping)
		node_loop_serve(n, node_first(n));
	if (n->stopping || node_first(n)->failed) {
		node_shutdown(n);
		return;
	}
	for (int i = 1; i < n->n_loops; i++) {
		n->loops[i].start.fn = on_start_msg;
		loop_post(n->loops[i].app.loop, &n->loops[i].start);
	}
	node_beat_start(n);
	node_claim_start(n);
	node_bells_start(n);
	node_sched_start(n);
	node_watch_start(n);
	node_control_start(n);
	n->started = true;
	if (n->stopping) { /* a signal has come meanwhile */
		node_shutdown(n);
		return;
	}
	node_report(n);
	node_notify_ready(n);
}

static void
on_signal(int fd, int what, void *arg)
{
	struct node *n = arg;
	struct signalfd_siginfo si;

	(void)what;
	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (n->stopping) {
		if (si.ssi_signo != SIGHUP)
			node_shutdown_hurry(n);
		return;
	}
	if (si.ssi_signo == SIGHUP) {
		if (n->started)
			node_reload_all(n);
		return;
	}
	n->stopping = true;
	log_info("serve", "signal %u: stopping", si.ssi_signo);
	node_notify_stopping();
	if (n->started)
		node_shutdown(n);
	else
		fiber_cancel(n->start);
}

/* ---- The process --------------------------------------------------- */

static void *
loop_thread(void *arg)
{
	struct node_loop *l = arg;

	loop_run(l->app.loop);
	api_gauges_stop(l->gauges);
	queue_stop(l->app.queue);
	loop_drain(l->app.loop);
	atomic_fetch_sub(&l->node->n_others, 1);
	return NULL;
}

static void
others_start(struct node *n)
{
	for (int i = 1; i < n->n_loops; i++) {
		atomic_fetch_add(&n->n_others, 1);
		MUST(pthread_create(&n->loops[i].thread, NULL, loop_thread,
			 &n->loops[i]) == 0);
	}
}

static void
others_join(struct node *n)
{
	node_others_stop(n);
	for (int i = 1; i < n->n_loops; i++)
		pthread_join(n->loops[i].thread, NULL);
}

static void
signals_block(struct node *n)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	n->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	MUST(n->signal_fd >= 0);
}

static int
loops_wanted(const struct settings *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->server.loops > 0)
		return (int)s->server.loops;
	return cores > 0 ? (int)cores : 1;
}

static void
ring(void *arg)
{
	node_ring(arg);
	node_bells_ring(arg);
}

static void
loops_make(struct node *n)
{
	n->n_loops = loops_wanted(n->p.settings);
	n->loops = xcalloc((size_t)n->n_loops, sizeof(*n->loops));
	n->apps = xcalloc((size_t)n->n_loops + 1, sizeof(struct app *));
	for (int i = 0; i < n->n_loops; i++) {
		n->apps[i] = &n->loops[i].app;
		node_loop_make(n, &n->loops[i]);
	}
	n->sched = sched_new(node_first(n)->app.loop);
	for (int i = 0; i < n->n_loops; i++)
		n->loops[i].app.sched = n->sched;
}

static struct node *
node_make(const struct node_parts *parts)
{
	struct node *n = xcalloc(1, sizeof(*n));

	n->p = *parts;
	n->alone = store_db_dialect(parts->db) == STORE_SQLITE;
	n->executes = parts->api == NULL || parts->settings->worker.embedded;
	n->lease_us = parts->settings->worker.lease * 1000;
	n->margin_us = n->lease_us / 4;
	node_env_init(&n->env, parts->db);
	n->env.ring = ring;
	n->env.ring_arg = n;
	node_lists_make(n);
	signals_block(n);
	fiber_limit((unsigned)parts->settings->server.max_fibers);
	n->bus = bus_new_memory();
	n->live = live_new();
	n->breakers = breakers_new();
	n->desk = desk_new();
	n->seats = seats_new();
	n->strikes = strikes_new();
	n->hook_rates = hook_rates_new(parts->settings->webhooks.rate);
	node_crumb_open(n);
	n->pool = pool_new(4, 256);
	node_redis_make(n);
	loops_make(n);
	return n;
}

/* Until it has been told to stop, and has. */
static void
node_serve(struct node *n)
{
	struct loop *first = node_first(n)->app.loop;

	n->signals = loop_watch(first, n->signal_fd, LOOP_READ, on_signal, n);
	others_start(n);
	n->start = fiber_spawn(first, "start", start_fiber, n);
	MUST(n->start.f != NULL);
	loop_run(first);
	loop_watch_free(n->signals);
	others_join(n);
}

/* The first loop, when there are no others any more. */
static void
node_rest(struct node *n)
{
	api_gauges_stop(node_first(n)->gauges);
	queue_stop(node_first(n)->app.queue);
	node_watch_stop(n);
	node_notify_end(n);
	loop_drain(node_first(n)->app.loop);
}

static void
node_unmake(struct node *n)
{
	store_lock_free(n->lock);
	pool_free(n->pool);
	for (int i = 0; i < n->n_loops; i++)
		node_loop_unmake(n, &n->loops[i]);
	node_metrics_free(n);
	breaker_redis_free(n->breaker_redis);
	bus_redis_free(n->redis);
	node_control_free(n);
	crumb_close();
	plug_free(n->plug);
	live_free(n->live);
	breakers_free(n->breakers);
	desk_free(n->desk);
	seats_free(n->seats);
	strikes_free(n->strikes);
	sched_free(n->sched);
	hook_rates_free(n->hook_rates);
	bus_free(n->bus);
	node_env_fini(&n->env);
	close(n->signal_fd);
	free(n->loops);
	free(n->apps);
	free(n);
}

int
node_run(const struct node_parts *parts)
{
	struct node *n = node_make(parts);
	int rc;

	if (node_plugins_load(n))
		node_serve(n);
	else
		n->exit_code = 1;
	node_rest(n);
	rc = n->exit_code;
	node_unmake(n);
	return rc;
}
