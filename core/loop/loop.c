/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/impl.h"

/*
 * The turn.  libevent waits for descriptors only: the loop's own timers are in
 * a heap (timer.c), and a timerfd wakes the loop for the earliest.  So a faked
 * clock needs nothing but to be looked at: while clock_is_fake() and a timer
 * is armed, the loop waits a millisecond of real time at most and then
 * compares its timers with the fake clock.
 *
 * A message is posted by compare-and-swap; who finds the mailbox empty writes
 * the eventfd.  The loop looks into the mailbox before it sleeps, and the
 * eventfd is edge-triggered, so it is never read.
 */

#define HOOK_ROUNDS 8
#define DRAIN_SLOW_MS 5000

static _Thread_local struct loop *loop_tls;
static _Thread_local char loop_thread; /* its address names the thread */
static pthread_mutex_t loops_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t loop_once = PTHREAD_ONCE_INIT;
static struct loop *loops; /* for the debugger */

static void
loop_hooks_setup(void)
{
	must_where = fiber_name;
	log_correlation = fiber_correlation;
}

static uint64_t
loop_clock_us(void)
{
	return (uint64_t)clock_mono_us();
}

/* Rounded up: waiting from here never ends early. */
uint64_t
loop_clock_ms(void)
{
	return (loop_clock_us() + 999) / 1000;
}

static void
loop_clock_refresh(struct loop *l)
{
	l->woke_us = loop_clock_us();
	l->now_ms = l->woke_us / 1000;
	l->is_waiting = false;
}

static void
loop_woken(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)what;
	if (fd == l->tick_fd)
		l->tick_at = 0;
}

static struct event *
loop_wakes(struct loop *l, int fd)
{
	struct event *ev;

	MUST(fd >= 0);
	ev = event_new(l->base, fd, EV_READ | EV_PERSIST | EV_ET, loop_woken,
	    l);
	MUST(ev != NULL && event_add(ev, NULL) == 0);
	return ev;
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	struct event_config *cfg = event_config_new();

	pthread_once(&loop_once, loop_hooks_setup);
	MUST(cfg != NULL);
	event_config_require_features(cfg, EV_FEATURE_ET);
	event_config_set_flag(cfg,
	    EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	l->base = event_base_new_with_config(cfg);
	MUST(l->base != NULL);
	event_config_free(cfg);
	l->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->mail_ev = loop_wakes(l, l->mail_fd);
	l->tick_fd = timerfd_create(CLOCK_MONOTONIC,
	    TFD_NONBLOCK | TFD_CLOEXEC);
	l->tick_ev = loop_wakes(l, l->tick_fd);
	l->hooks_tail = &l->hooks;
	l->crumb = &l->no_crumb;
	fiber_setup(l);
	loop_clock_refresh(l);
	pthread_mutex_lock(&loops_mu);
	l->list = loops;
	loops = l;
	pthread_mutex_unlock(&loops_mu);
	return l;
}

static void
mail_run(struct loop *l)
{
	struct loop_msg *m, *next, *fifo = NULL;

	if (atomic_load_explicit(&l->mail, memory_order_relaxed) == NULL)
		return;
	for (m = atomic_exchange(&l->mail, NULL); m != NULL; m = next) {
		next = m->next;
		m->next = fifo;
		fifo = m;
	}
	for (m = fifo; m != NULL; m = next) {
		next = m->next; /* fn may free it or post it again */
		m->fn(m);
	}
}

/* What a hook queues runs in the same turn, unless it goes round and round. */
static void
hooks_run(struct loop *l)
{
	struct loop_hook *h;

	for (int i = 0; i < HOOK_ROUNDS && l->hooks != NULL; i++) {
		l->hooks_now = l->hooks;
		l->hooks = NULL;
		l->hooks_tail = &l->hooks;
		while ((h = l->hooks_now) != NULL) {
			l->hooks_now = h->next;
			h->queued = false;
			h->fn(h);
		}
	}
}

static void
tick_set(struct loop *l, uint64_t at_ms, int flags)
{
	struct itimerspec its = { { 0, 0 },
		{ (time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000 } };

	MUST(timerfd_settime(l->tick_fd, flags, &its, NULL) == 0);
}

/* Lazy: a tick that comes too early does no harm. */
static void
tick_arm(struct loop *l)
{
	uint64_t at;

	if (l->n_timers == 0)
		return;
	if (clock_is_fake()) {
		tick_set(l, 1, 0);
		l->tick_at = 0;
		return;
	}
	at = l->timers[0]->at_ms;
	if (l->tick_at == 0 || l->tick_at > at) {
		tick_set(l, at, TFD_TIMER_ABSTIME);
		l->tick_at = at;
	}
}

static bool
loop_is_busy(const struct loop *l)
{
	return l->ready != NULL || l->hooks != NULL ||
	       atomic_load_explicit(&l->mail, memory_order_relaxed) != NULL ||
	       (l->n_timers > 0 &&
		   l->timers[0]->at_ms <= loop_clock_us() / 1000);
}

static void
loop_lag_note(struct loop *l)
{
	uint64_t us = l->ended_us > l->woke_us ? l->ended_us - l->woke_us : 0;
	uint64_t second = l->ended_us / 1000000;
	atomic_uint_fast64_t *slot = &l->lag[second % LAG_SLOTS];
	uint64_t v = atomic_load_explicit(slot, memory_order_relaxed);

	if (us > UINT32_MAX)
		us = UINT32_MAX;
	if (v >> 32 != (second & UINT32_MAX) || us > (v & UINT32_MAX))
		atomic_store_explicit(slot, second << 32 | us,
		    memory_order_relaxed);
}

static void
turn_run(struct loop *l)
{
	mail_run(l);
	timers_run(l);
	fiber_run_ready(l);
	hooks_run(l);
	l->ended_us = loop_clock_us();
	loop_lag_note(l);
	atomic_store_explicit(&l->ticks, loop_ticks(l) + 1,
	    memory_order_relaxed);
}

static void
loop_turn(struct loop *l)
{
	int flags = EVLOOP_ONCE;

	if (loop_is_busy(l))
		flags |= EVLOOP_NONBLOCK;
	else
		tick_arm(l);
	l->is_waiting = true;
	MUST(event_base_loop(l->base, flags) >= 0);
	if (l->is_waiting)
		loop_clock_refresh(l);
	turn_run(l);
}

/* From here until loop_leave the loop belongs to this thread. */
static void *
loop_enter(struct loop *l)
{
	const void *nobody = NULL;
	struct crumb_slot *slot;

	MUST(loop_tls == NULL);
	MUST(atomic_compare_exchange_strong(&l->owner, &nobody, &loop_thread));
	loop_tls = l;
	if (l->crumb == &l->no_crumb && (slot = crumb_take()) != NULL)
		l->crumb = slot;
	crumb_enter(l->crumb);
	ctx_init_thread(&l->main);
	return fault_enter();
}

static void
loop_leave(struct loop *l, void *sigstack)
{
	fault_leave(sigstack);
	crumb_enter(NULL);
	loop_tls = NULL;
	atomic_store(&l->owner, NULL);
}

void
loop_run(struct loop *l)
{
	void *sigstack = loop_enter(l);

	while (!loop_is_stopping(l))
		loop_turn(l);
	atomic_store(&l->stop, false);
	loop_leave(l, sigstack);
}

void
loop_run_faked(struct loop *l)
{
	void *sigstack = loop_enter(l);

	MUST(clock_is_fake());
	while (!loop_is_stopping(l) && (loop_is_busy(l) || l->n_timers > 0)) {
		if (!loop_is_busy(l))
			clock_advance((int64_t)l->timers[0]->at_ms * 1000 -
				      clock_mono_us());
		loop_clock_refresh(l);
		turn_run(l);
	}
	atomic_store(&l->stop, false);
	loop_leave(l, sigstack);
}

void
loop_drain(struct loop *l)
{
	void *sigstack = loop_enter(l);
	struct fiber *f;
	uint64_t until = l->now_ms + DRAIN_SLOW_MS;

	l->draining = true;
	fiber_cancel_all(l);
	while (fiber_count(l) > 0) {
		loop_turn(l);
		if (l->now_ms < until)
			continue;
		for (f = l->all; f != NULL; f = f->all)
			if (f->state != FIBER_IDLE)
				log_err("loop", "fiber '%s' does not end",
				    f->name);
		until = l->now_ms + DRAIN_SLOW_MS;
	}
	while (l->hooks != NULL || atomic_load(&l->mail) != NULL) {
		mail_run(l);
		hooks_run(l);
	}
	l->draining = false;
	loop_leave(l, sigstack);
}

void
loop_free(struct loop *l)
{
	struct loop **p;

	if (l == NULL)
		return;
	loop_drain(l);
	fiber_free_all(l);
	pthread_mutex_lock(&loops_mu);
	for (p = &loops; *p != l; p = &(*p)->list)
		MUST(*p != NULL);
	*p = l->list;
	pthread_mutex_unlock(&loops_mu);
	event_free(l->mail_ev);
	event_free(l->tick_ev);
	close(l->mail_fd);
	close(l->tick_fd);
	event_base_free(l->base);
	free(l->timers);
	free(l);
}

void
loop_stop(struct loop *l)
{
	loop_check_owner(l);
	atomic_store(&l->stop, true);
}

bool
loop_is_stopping(const struct loop *l)
{
	return atomic_load_explicit(&l->stop, memory_order_relaxed);
}

struct loop *
loop_self(void)
{
	return loop_tls;
}

void
loop_check_owner(const struct loop *l)
{
	const void *owner = atomic_load_explicit(&l->owner,
	    memory_order_relaxed);

	MUST(owner == NULL || owner == &loop_thread);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

/* After a long wait the first who asks must not see the last turn's clock. */
uint64_t
loop_now_ms(const struct loop *l)
{
	if (l->is_waiting && l == loop_tls)
		loop_clock_refresh(loop_tls);
	return l->now_ms;
}

void
loop_post(struct loop *l, struct loop_msg *m)
{
	struct loop_msg *head = atomic_load(&l->mail);
	uint64_t one = 1;

	do
		m->next = head;
	while (!atomic_compare_exchange_weak(&l->mail, &head, m));
	if (head == NULL && l != loop_tls)
		(void)!write(l->mail_fd, &one, sizeof(one));
}

void
loop_at_turn_end(struct loop *l, struct loop_hook *h)
{
	loop_check_owner(l);
	if (h->queued)
		return;
	h->queued = true;
	h->next = NULL;
	*l->hooks_tail = h;
	l->hooks_tail = &h->next;
}

static bool
hook_unlink(struct loop_hook **list, const struct loop_hook *h)
{
	for (; *list != NULL; list = &(*list)->next)
		if (*list == h) {
			*list = h->next;
			return true;
		}
	return false;
}

void
loop_hook_clear(struct loop *l, struct loop_hook *h)
{
	loop_check_owner(l);
	if (!h->queued)
		return;
	h->queued = false;
	if (hook_unlink(&l->hooks_now, h))
		return;
	MUST(hook_unlink(&l->hooks, h));
	for (l->hooks_tail = &l->hooks; *l->hooks_tail != NULL;)
		l->hooks_tail = &(*l->hooks_tail)->next;
}

double
loop_lag(const struct loop *l)
{
	uint64_t second = loop_clock_us() / 1000000;
	uint64_t v, worst = 0;

	for (int i = 0; i < LAG_SLOTS; i++) {
		v = atomic_load_explicit(&l->lag[i], memory_order_relaxed);
		if (((second - (v >> 32)) & UINT32_MAX) < LAG_SLOTS &&
		    (v & UINT32_MAX) > worst)
			worst = v & UINT32_MAX;
	}
	return (double)worst / 1e6;
}

uint64_t
loop_ticks(const struct loop *l)
{
	return atomic_load_explicit(&l->ticks, memory_order_relaxed);
}
