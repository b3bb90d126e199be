/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/fiber.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/impl.h"

/*
 * A fiber is idle, ready (on the loop's list), running or parked.  It leaves
 * parked by a wake with the ticket of this suspension, by its timer or by
 * cancel, whichever is first; a wake that still comes before it has run again
 * wins, because then the result is there.
 *
 * Timers are lazy: one that would fire too early is left alone and sets itself
 * again, also across reuse, so a stream of requests with the same timeout does
 * no work in the heap.
 */

#define STALL_MS 50
#define SWEEP_MS 1000
#define TRIM_FROM 512 /* fibers of a loop; the stacks of fewer are no matter */
#define SPIN_MAX 1000000u

/* On the stack of the fiber that joins, unlinked before it returns. */
struct fiber_join {
	struct fiber_join *next;
	struct fiber_wait wait;
};

static void *(*_Atomic eh_globals)(void);

static void
fiber_ready(struct fiber *f)
{
	f->state = FIBER_READY;
	f->next = NULL;
	*f->loop->ready_tail = f;
	f->loop->ready_tail = &f->next;
}

/* Leaves for the loop and comes back when the loop resumes the fiber. */
static void
fiber_park(struct fiber *f)
{
	void *(*globals)(
	    void) = atomic_load_explicit(&eh_globals, memory_order_acquire);
	int saved = errno;
	void **eh = NULL;

	if (globals != NULL) {
		eh = globals();
		f->eh[0] = eh[0];
		f->eh[1] = eh[1];
		eh[0] = eh[1] = NULL;
	}
	ctx_switch(&f->ctx, &f->loop->main);
	if (eh != NULL) {
		eh[0] = f->eh[0];
		eh[1] = f->eh[1];
	}
	errno = saved;
}

static void
fiber_end(struct fiber *f)
{
	struct fiber_join *j;

	f->gen++;
	f->seq++;
	f->correlation = NULL;
	f->guest = NULL;
	while ((j = f->joins) != NULL) {
		f->joins = j->next;
		fiber_wake(j->wait);
	}
	f->state = FIBER_IDLE;
}

/* No frame is ever abandoned: a fiber that is not needed leaves from here. */
static void
fiber_main(void)
{
	struct fiber *f;

	ctx_started();
	f = fiber_self();
	while (f->fn != NULL) {
		f->fn(f->arg);
		fiber_end(f);
		ctx_switch(&f->ctx, &f->loop->main);
	}
	ctx_leave(&f->ctx, &f->loop->main);
}

static struct fiber *
fiber_new(struct loop *l)
{
	char *stack = stack_get();
	struct fiber *f;

	if (stack == NULL)
		return NULL;
	f = xcalloc(1, sizeof(*f));
	f->loop = l;
	f->stack = stack;
	f->seq = 1;
	f->gen = 1;
	ctx_init(&f->ctx, stack, fiber_main);
	f->all = l->all;
	l->all = f;
	return f;
}

static void
fiber_timer(struct loop_timer *t)
{
	struct fiber *f = container_of(t, struct fiber, timer);

	if (f->state != FIBER_PARKED || f->wait_until == 0)
		return;
	if (f->wait_until > f->loop->now_ms) {
		loop_timer_set(f->loop, t, f->wait_until);
		return;
	}
	f->exit = FIBER_TIMEOUT;
	fiber_ready(f);
}

/*
 * The list is last in, first out: everything below the first fiber that did
 * not run since the last sweep did not run either.
 */
static void
idle_sweep(struct loop *l)
{
	for (struct fiber *f = l->idle; f != NULL && f->is_deep; f = f->next) {
		stack_trim(f->stack);
		f->is_deep = false;
	}
}

/*
 * Who waits for a model or a person waits long, with a stack that some call
 * long ago has touched far down.  True: some may be found still waiting by the
 * next sweep.
 */
static bool
parked_sweep(struct loop *l)
{
	bool again = false;

	for (struct fiber *f = l->all; f != NULL; f = f->all) {
		if (f->state != FIBER_PARKED || f->trimmed == f->seq + 1)
			continue;
		if (f->seen == f->seq + 1) {
			stack_trim_below(f->stack, ctx_top(&f->ctx));
			f->trimmed = f->seq + 1;
		} else
			again = true;
		f->seen = f->seq + 1;
	}
	return again;
}

static void
fiber_sweep(struct loop_timer *t)
{
	struct loop *l = t->loop;

	idle_sweep(l);
	if (fiber_count(l) >= TRIM_FROM && parked_sweep(l))
		loop_timer_set(l, t, l->now_ms + SWEEP_MS);
}

static void
fiber_rest(struct loop *l, struct fiber *f)
{
	f->next = l->idle;
	f->is_deep = true;
	l->idle = f;
	atomic_store_explicit(&l->n_live, fiber_count(l) - 1,
	    memory_order_relaxed);
	if (l->sweep.at_ms == 0)
		loop_timer_set(l, &l->sweep, l->now_ms + SWEEP_MS);
}

static void
fiber_resume(struct loop *l, struct fiber *f)
{
	f->state = FIBER_RUNNING;
	l->running = f;
	l->crumb->id = f->crumb;
	ctx_switch(&l->main, &f->ctx);
	l->crumb->id = (struct uuid){ { 0 } };
	l->running = NULL;
	if (f->state == FIBER_IDLE)
		fiber_rest(l, f);
}

/* Real time, coarse: a few nanoseconds to read, enough to see a stall. */
static int64_t
fiber_stopwatch(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
fiber_run_ready(struct loop *l)
{
	struct fiber *f, *list = l->ready;
	int64_t start, end;

	if (list == NULL)
		return;
	l->ready = NULL;
	l->ready_tail = &l->ready;
	start = fiber_stopwatch();
	while ((f = list) != NULL) {
		list = f->next;
		fiber_resume(l, f);
		end = fiber_stopwatch();
		if (end - start > STALL_MS)
			log_line(LOG_WARNING, "loop", f->correlation,
			    "fiber '%s' kept the loop for %lld ms", f->name,
			    (long long)(end - start));
		start = end;
	}
}

void
fiber_setup(struct loop *l)
{
	l->ready_tail = &l->ready;
	l->sweep.fn = fiber_sweep;
}

/* All are idle. */
void
fiber_free_all(struct loop *l)
{
	struct fiber *f;

	loop_timer_clear(&l->sweep);
	ctx_init_thread(&l->main);
	while ((f = l->all) != NULL) {
		l->all = f->all;
		loop_timer_clear(&f->timer);
		f->fn = NULL;
		ctx_switch(&l->main, &f->ctx);
		ctx_fini(&f->ctx, f->stack);
		stack_put(f->stack);
		free(f);
	}
}

/* snprintf would cost more than all the rest of a spawn. */
static void
fiber_name_set(struct fiber *f, const char *name)
{
	size_t len = strnlen(name, sizeof(f->name) - 1);

	memcpy(f->name, name, len);
	f->name[len] = '\0';
}

struct fiber_ref
fiber_spawn(struct loop *l, const char *name, fiber_fn fn, void *arg)
{
	struct fiber *f;
	unsigned n;

	loop_check_owner(l);
	MUST(fn != NULL);
	if (l->draining)
		return (struct fiber_ref){ 0 };
	if ((f = l->idle) != NULL)
		l->idle = f->next;
	else if ((f = fiber_new(l)) == NULL)
		return (struct fiber_ref){ 0 };
	fiber_name_set(f, name);
	f->fn = fn;
	f->arg = arg;
	f->deadline = 0;
	f->crumb = fiber_crumb();
	f->n_refused = 0;
	f->woken = f->canceled = false;
	f->timer.fn = fiber_timer;
	n = fiber_count(l) + 1;
	atomic_store_explicit(&l->n_live, n, memory_order_relaxed);
	if (n > fiber_count_peak(l))
		atomic_store_explicit(&l->n_peak, n, memory_order_relaxed);
	fiber_ready(f);
	return (struct fiber_ref){ f, f->gen };
}

struct fiber *
fiber_self(void)
{
	struct loop *l = loop_self();

	return l != NULL ? l->running : NULL;
}

struct fiber_ref
fiber_self_ref(void)
{
	struct fiber *f = fiber_self();

	return (struct fiber_ref){ f, f != NULL ? f->gen : 0 };
}

const char *
fiber_name(void)
{
	struct fiber *f = fiber_self();

	return f != NULL ? f->name : "loop";
}

uint64_t
fiber_deadline_set(uint64_t at_ms)
{
	struct fiber *f = fiber_self();
	uint64_t old;

	MUST(f != NULL);
	old = f->deadline;
	f->deadline = at_ms;
	return old;
}

uint64_t
fiber_deadline(void)
{
	struct fiber *f = fiber_self();

	return f != NULL ? f->deadline : 0;
}

uint64_t
fiber_time_left(void)
{
	struct fiber *f = fiber_self();

	if (f == NULL || f->deadline == 0)
		return UINT64_MAX;
	return f->deadline > f->loop->now_ms ? f->deadline - f->loop->now_ms
					     : 0;
}

static void
fiber_cancel_one(struct fiber *f)
{
	f->canceled = true;
	if (f->state == FIBER_PARKED) {
		f->exit = FIBER_CANCELED;
		fiber_ready(f);
	}
}

void
fiber_cancel(struct fiber_ref r)
{
	if (r.f == NULL)
		return;
	loop_check_owner(r.f->loop);
	if (r.f->gen == r.gen)
		fiber_cancel_one(r.f);
}

void
fiber_expire(struct fiber_ref r)
{
	struct fiber *f = r.f;

	if (f == NULL)
		return;
	loop_check_owner(f->loop);
	if (f->gen != r.gen)
		return;
	f->deadline = f->loop->now_ms > 0 ? f->loop->now_ms : 1;
	if (f->state == FIBER_PARKED) {
		f->exit = FIBER_TIMEOUT;
		fiber_ready(f);
	}
}

void
fiber_cancel_all(struct loop *l)
{
	struct fiber *f;

	loop_check_owner(l);
	for (f = l->all; f != NULL; f = f->all)
		if (f->state != FIBER_IDLE)
			fiber_cancel_one(f);
}

bool
fiber_is_canceled(void)
{
	struct fiber *f = fiber_self();

	return f != NULL && f->canceled;
}

bool
fiber_is_alive(struct fiber_ref r)
{
	if (r.f == NULL)
		return false;
	loop_check_owner(r.f->loop);
	return r.f->gen == r.gen;
}

void
fiber_correlation_set(const char *id)
{
	struct fiber *f = fiber_self();

	MUST(f != NULL);
	f->correlation = id;
}

const char *
fiber_correlation(void)
{
	struct fiber *f = fiber_self();

	return f != NULL ? f->correlation : NULL;
}

static _Thread_local const char *thread_guest;

const char *
fiber_guest_set(const char *name)
{
	struct fiber *f = fiber_self();
	const char **guest = f != NULL ? &f->guest : &thread_guest;
	const char *before = *guest;

	*guest = name;
	return before;
}

const char *
fiber_guest(void)
{
	struct fiber *f = fiber_self();

	return f != NULL ? f->guest : thread_guest;
}

void
fiber_crumb_set(struct uuid id)
{
	struct fiber *f = fiber_self();

	MUST(f != NULL);
	f->crumb = id;
	f->loop->crumb->id = id;
}

struct uuid
fiber_crumb(void)
{
	struct fiber *f = fiber_self();

	return f != NULL ? f->crumb : (struct uuid){ { 0 } };
}

struct fiber_wait
fiber_prepare(void)
{
	struct fiber *f = fiber_self();

	MUST(f != NULL);
	f->woken = false;
	return (struct fiber_wait){ f, ++f->seq };
}

static void
fiber_wait_for(struct fiber *f, uint64_t at_ms)
{
	f->wait_until = at_ms;
	if (at_ms != 0 && (f->timer.at_ms == 0 || f->timer.at_ms > at_ms))
		loop_timer_set(f->loop, &f->timer, at_ms);
	f->state = FIBER_PARKED;
	f->n_refused = 0;
	fiber_park(f);
}

/*
 * Whoever waits again and again although cancelled or late keeps the loop for
 * ever: that is a bug, and its name is better than a process that hangs.
 */
static void
fiber_refuse(struct fiber *f, enum fiber_exit x)
{
	MUST(++f->n_refused < SPIN_MAX);
	f->exit = x;
}

enum fiber_exit
fiber_suspend(uint64_t at_ms)
{
	struct fiber *f = fiber_self();

	MUST(f != NULL);
	if (f->deadline != 0 && (at_ms == 0 || f->deadline < at_ms))
		at_ms = f->deadline;
	if (f->woken)
		f->exit = FIBER_WOKEN;
	else if (f->canceled)
		fiber_refuse(f, FIBER_CANCELED);
	else if (at_ms != 0 && at_ms <= f->loop->now_ms)
		fiber_refuse(f, FIBER_TIMEOUT);
	else
		fiber_wait_for(f, at_ms);
	f->seq++; /* the ticket is spent, whichever exit it was */
	f->woken = false;
	return f->exit;
}

void
fiber_wake(struct fiber_wait w)
{
	struct fiber *f = w.f;

	if (f == NULL)
		return;
	loop_check_owner(f->loop); /* before anything of it is looked at */
	if (f->seq != w.seq)
		return;
	if (f->state == FIBER_PARKED) {
		f->exit = FIBER_WOKEN;
		fiber_ready(f);
	} else if (f->state == FIBER_READY)
		f->exit = FIBER_WOKEN;
	else
		f->woken = true;
}

static void
fiber_wake_arrived(struct loop_msg *m)
{
	fiber_wake(container_of(m, struct fiber_wake_msg, msg)->wait);
}

void
fiber_wake_post(struct loop *l, struct fiber_wake_msg *m)
{
	m->msg.fn = fiber_wake_arrived;
	loop_post(l, &m->msg);
}

/* From now, not from the start of the turn, and never too short. */
enum fiber_exit
fiber_sleep(uint64_t ms)
{
	struct fiber *f = fiber_self();
	uint64_t until = loop_clock_ms() + ms;
	enum fiber_exit x;

	(void)fiber_prepare();
	x = fiber_suspend(until);
	if (x == FIBER_TIMEOUT && (f->deadline == 0 || until <= f->deadline))
		return FIBER_WOKEN;
	return x;
}

enum fiber_exit
fiber_yield(void)
{
	struct fiber *f = fiber_self();

	(void)fiber_prepare();
	if (f->canceled)
		return FIBER_CANCELED;
	if (f->deadline != 0 && f->deadline <= f->loop->now_ms)
		return FIBER_TIMEOUT;
	fiber_ready(f);
	fiber_park(f);
	f->seq++;
	return f->canceled ? FIBER_CANCELED : FIBER_WOKEN;
}

static void
join_link(struct fiber_join *j, struct fiber *target)
{
	MUST(target != fiber_self());
	j->wait = fiber_prepare();
	j->next = target->joins;
	target->joins = j;
}

/* False: the target has ended, and took the list with it. */
static bool
join_unlink(struct fiber_join *j, struct fiber_ref r)
{
	struct fiber_join **p;

	if (r.f->gen != r.gen)
		return false;
	for (p = &r.f->joins; *p != j; p = &(*p)->next)
		MUST(*p != NULL);
	*p = j->next;
	return true;
}

enum fiber_exit
fiber_join(struct fiber_ref r, uint64_t at_ms)
{
	struct fiber_join j;
	enum fiber_exit x;

	if (!fiber_is_alive(r))
		return FIBER_WOKEN;
	join_link(&j, r.f);
	x = fiber_suspend(at_ms);
	return join_unlink(&j, r) ? x : FIBER_WOKEN;
}

/* Parks without looking at cancel, which only makes it look again. */
void
fiber_reap(struct fiber_ref r)
{
	struct fiber *f = fiber_self();
	struct fiber_join j;
	bool alive;

	fiber_cancel(r);
	alive = fiber_is_alive(r);
	while (alive) {
		join_link(&j, r.f);
		fiber_wait_for(f, 0);
		f->seq++;
		alive = join_unlink(&j, r);
	}
}

enum as_status
fiber_exit_status(enum fiber_exit x, struct error *err)
{
	switch (x) {
	case FIBER_TIMEOUT:
		return error_set(err, ERR_TIMEOUT, "the deadline has passed");
	case FIBER_CANCELED:
		return error_set(err, ERR_CANCELED, "cancelled");
	default:
		return AS_OK;
	}
}

unsigned
fiber_count(const struct loop *l)
{
	return atomic_load_explicit(&l->n_live, memory_order_relaxed);
}

unsigned
fiber_count_peak(const struct loop *l)
{
	return atomic_load_explicit(&l->n_peak, memory_order_relaxed);
}

void
fiber_limit(unsigned max_fibers)
{
	stack_limit(max_fibers);
}

void
fiber_eh_globals(void *(*fn)(void))
{
	atomic_store_explicit(&eh_globals, fn, memory_order_release);
}
