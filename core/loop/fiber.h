/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_FIBER_H
#define CORE_LOOP_FIBER_H

/*
 * Fibers: straight-line code on an event loop.
 *
 * A loop belongs to one thread.  A fiber belongs to one loop for life and runs
 * only there.  Fibers switch only inside functions marked SUSPENDS.  All of
 * this is for the loop's own thread, except fiber_wake_post.
 *
 * A suspension has three exits.  The operation's own state decides, not the
 * exit: if the result is there, use it, even if cancel came in the same turn.
 * Cancel is sticky: after it every suspension returns FIBER_CANCELED at once,
 * so cleanup must not suspend.  errno means nothing after SUSPENDS.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"

enum fiber_exit {
	FIBER_WOKEN,
	FIBER_TIMEOUT,
	FIBER_CANCELED
};

/* Names one suspension.  A wake with an old ticket does nothing. */
struct fiber_wait {
	struct fiber *f;
	uint64_t seq;
};

/* Names one fiber.  Cancel or join of an ended fiber does nothing. */
struct fiber_ref {
	struct fiber *f;
	uint64_t gen;
};

struct fiber_wake_msg {
	struct loop_msg msg;
	struct fiber_wait wait;
};

typedef void (*fiber_fn)(void *arg);

/*
 * Starts in the next turn.  The name is copied.  f is NULL at the cap of
 * fibers: the caller refuses (503) what it was asked for.
 */
struct fiber_ref fiber_spawn(struct loop *loop, const char *name, fiber_fn fn,
    void *arg);
struct fiber *fiber_self(void); /* NULL outside any fiber */
struct fiber_ref fiber_self_ref(void);
const char *fiber_name(void);

/* Caps every later suspension of this fiber; 0: none.  Returns the old one. */
uint64_t fiber_deadline_set(uint64_t at_ms);
uint64_t fiber_deadline(void);
uint64_t fiber_time_left(void); /* ms; UINT64_MAX without a deadline */

void fiber_cancel(struct fiber_ref r);
/*
 * Its deadline is now: what it waits for ends with TIMEOUT, and so does every
 * later wait, until it sets another deadline.
 */
void fiber_expire(struct fiber_ref r);
bool fiber_is_canceled(void);
bool fiber_is_alive(struct fiber_ref r);
void fiber_cancel_all(struct loop *loop); /* then run until count is 0 */

/* A word that log lines of this fiber carry; borrowed, NULL to end it. */
void fiber_correlation_set(const char *id);
const char *fiber_correlation(void);

/*
 * Whose code runs from here on, such as a plugin's name, so that a fatal signal
 * can say so; borrowed, NULL for our own.  Gives what it was before.  Where
 * there is no fiber it is the thread's.
 */
const char *fiber_guest_set(const char *name);
const char *fiber_guest(void);

/*
 * What this fiber works for; fibers that it spawns work for the same.  If the
 * process crashes in one of them, that is known afterwards: crumb.h.
 */
void fiber_crumb_set(struct uuid id);
struct uuid fiber_crumb(void); /* nil outside any fiber */

/*
 * prepare, start the operation, suspend: nothing suspends in between.  A wake
 * that comes early is kept.  Wait in a loop on a condition, never on the wake
 * alone.  at_ms is on loop_now_ms; 0: only the fiber's deadline.
 */
struct fiber_wait fiber_prepare(void);
SUSPENDS enum fiber_exit fiber_suspend(uint64_t at_ms);
void fiber_wake(struct fiber_wait w); /* makes ready; never switches */
/* From any thread; the message lives until it is delivered. */
void fiber_wake_post(struct loop *loop, struct fiber_wake_msg *m);

SUSPENDS enum fiber_exit fiber_sleep(uint64_t ms); /* WOKEN: slept out */
SUSPENDS enum fiber_exit fiber_yield(void); /* one turn, after I/O */
SUSPENDS enum fiber_exit fiber_join(struct fiber_ref r, uint64_t at_ms);
/*
 * Cancels r and waits until it has ended.  Neither cancel nor deadline of the
 * caller ends this wait: it is for a child that uses the caller's memory.
 */
SUSPENDS void fiber_reap(struct fiber_ref r);

/* TIMEOUT and CANCELED as a status with its words; WOKEN is AS_OK. */

enum as_status fiber_exit_status(enum fiber_exit x, struct error *err);

unsigned fiber_count(const struct loop *loop);
unsigned fiber_count_peak(const struct loop *loop);
void fiber_limit(unsigned max_fibers); /* per process; before the first */

/* The loader calls it for the first C++ plugin (__cxa_get_globals). */
void fiber_eh_globals(void *(*fn)(void));

#endif
