/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdlib.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/crumb.h"

/*
 * Does every loop turn?  Each notes the time, four times a second.  The heart
 * beats only while all notes are fresh, so a loop that hangs is not vouched for
 * by its neighbours, and a thread of its own ends the process when a loop hangs
 * for good: it would be a process that others take over and that still holds
 * its connections.
 *
 * A process that is stopped as a whole (SIGSTOP, a suspended machine) hangs
 * nowhere.  The watching thread is stopped as well, and counts only time in
 * which it ran.
 */

#define PULSE_MS 250
#define WATCH_US 250000
#define FRESH_US 1000000

static void
on_pulse(struct loop_timer *t)
{
	struct node_loop *l = container_of(t, struct node_loop, pulse);

	atomic_store_explicit(&l->turned_us, clock_mono_us(),
	    memory_order_relaxed);
	loop_timer_set(l->app.loop, t, loop_now_ms(l->app.loop) + PULSE_MS);
}

void
node_pulse_start(struct node_loop *l)
{
	l->pulse.fn = on_pulse;
	on_pulse(&l->pulse);
}

void
node_pulse_stop(struct node_loop *l)
{
	loop_timer_clear(&l->pulse);
	atomic_store(&l->turned_us, 0);
}

static bool
pulse_is_missing(const struct node_loop *l, int64_t now_us, int64_t max_us)
{
	int64_t at = atomic_load_explicit(&l->turned_us, memory_order_relaxed);

	return at != 0 && now_us - at > max_us;
}

int
node_pulse_missing(struct node *n, int64_t max_us)
{
	int64_t now = clock_mono_us();

	for (int i = 0; i < n->n_loops; i++)
		if (pulse_is_missing(&n->loops[i], now, max_us))
			return i;
	return -1;
}

/* ---- The thread ---------------------------------------------------- */

/* False: it is to end. */
static bool
watch_wait(struct node_watch *w)
{
	struct timespec until;
	bool ending;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)WATCH_US * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&w->mu);
	if (!w->ending)
		pthread_cond_timedwait(&w->cond, &w->mu, &until);
	ending = w->ending;
	pthread_mutex_unlock(&w->mu);
	return !ending;
}

static void
watch_loop(struct node_loop *l, int64_t now_us, int64_t step_us,
    int64_t limit_us)
{
	if (step_us > FRESH_US || !pulse_is_missing(l, now_us, FRESH_US))
		l->stalled_us = 0;
	else
		l->stalled_us += step_us;
	if (l->stalled_us <= limit_us)
		return;
	log_err("serve", "loop %d has hung for %lld ms; this process ends",
	    (int)(l - l->node->loops), (long long)(l->stalled_us / 1000));
	loop_crumb_crashed(l->app.loop);
	abort();
}

static void *
watch_main(void *arg)
{
	struct node *n = arg;
	int64_t last = clock_mono_us(), now;

	while (watch_wait(&n->watch)) {
		now = clock_mono_us();
		for (int i = 0; i < n->n_loops; i++)
			watch_loop(&n->loops[i], now, now - last,
			    n->lease_us - n->margin_us);
		last = now;
	}
	return NULL;
}

void
node_watch_start(struct node *n)
{
	struct node_watch *w = &n->watch;
	pthread_condattr_t attr;

	pthread_mutex_init(&w->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	MUST(pthread_create(&w->thread, NULL, watch_main, n) == 0);
	w->running = true;
}

void
node_watch_stop(struct node *n)
{
	struct node_watch *w = &n->watch;

	if (!w->running)
		return;
	pthread_mutex_lock(&w->mu);
	w->ending = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->mu);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->mu);
	w->running = false;
}
