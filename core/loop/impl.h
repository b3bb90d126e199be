/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_IMPL_H
#define CORE_LOOP_IMPL_H

/*
 * What the files of core/loop share.  Nobody else includes this, except
 * script/fiber-gdb.py, which reads the members by name.
 */

#include <stdatomic.h>

#include "core/loop/crumb.h"
#include "core/loop/fiber.h"
#include "core/loop/loop.h"
#include "core/loop/switch.h"

struct event;
struct fiber_join;

#define FIBER_NAME 40
#define LAG_SLOTS 10

enum fiber_state {
	FIBER_IDLE = 1,
	FIBER_READY,
	FIBER_RUNNING,
	FIBER_PARKED
};

/*
 * A fiber and its stack are made together and not freed before the loop is:
 * so an old fiber_wait or fiber_ref can be looked at.  gen counts what has
 * ended on it, seq every suspension.
 */
struct fiber {
	struct ctx ctx;
	struct loop *loop;
	struct fiber *next; /* on the ready or the idle list */
	struct fiber *all; /* every fiber of the loop */
	char *stack;
	fiber_fn fn;
	void *arg;
	uint64_t gen;
	uint64_t seq;
	uint64_t deadline; /* 0: none */
	uint64_t wait_until; /* 0: for ever */
	struct loop_timer timer; /* may be armed too early; stays armed idle */
	struct fiber_join *joins;
	const char *correlation;
	const char *guest; /* whose code it runs, or NULL */
	struct uuid crumb; /* what it works for, or nil */
	void *eh[2];
	char name[FIBER_NAME];
	enum fiber_state state;
	enum fiber_exit exit;
	unsigned n_refused; /* suspensions in a row that did not happen */
	bool woken; /* before it suspended */
	bool canceled;
	uint64_t seen, trimmed; /* seq + 1 of the suspension: see fiber_sweep */
	bool is_deep; /* idle, and its stack not trimmed since */
};

struct loop {
	struct event_base *base;
	struct event *mail_ev;
	struct event *tick_ev;
	int mail_fd; /* eventfd, edge-triggered: never read */
	int tick_fd; /* timerfd of the earliest timer */
	uint64_t tick_at;
	_Atomic(struct loop_msg *) mail; /* newest first */
	_Atomic(const void *) owner; /* the thread it runs on */

	uint64_t now_ms;
	uint64_t woke_us; /* when this turn began */
	uint64_t ended_us; /* when the last one ended */
	bool is_waiting; /* the clock is of the last turn */
	struct loop_timer **timers; /* binary heap */
	size_t n_timers;
	size_t max_timers;
	struct loop_hook *hooks; /* of the next round */
	struct loop_hook **hooks_tail;
	struct loop_hook *hooks_now; /* left of this round */

	struct crumb_slot *crumb; /* never NULL once it has run */
	struct crumb_slot no_crumb; /* where there is no file */

	struct ctx main;
	struct fiber *running;
	struct fiber *ready;
	struct fiber **ready_tail;
	struct fiber *idle;
	struct fiber *all;
	struct loop_timer sweep; /* trims the stacks of idle fibers */
	atomic_uint n_live;
	atomic_uint n_peak;

	atomic_bool stop;
	bool draining;
	atomic_uint_fast64_t ticks;
	atomic_uint_fast64_t lag[LAG_SLOTS]; /* second << 32 | microseconds */
	struct loop *list; /* every loop, for the debugger */
};

/* On the thread that runs the loop, or before or after it runs. */
void loop_check_owner(const struct loop *loop);
uint64_t loop_clock_ms(void);

void timers_run(struct loop *loop); /* those that are due */

void fiber_setup(struct loop *loop);
void fiber_run_ready(struct loop *loop); /* each once */
void fiber_free_all(struct loop *loop);

#endif
