/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_LOOP_H
#define CORE_LOOP_LOOP_H

/*
 * One event loop: one thread, its fibers, timers, descriptors and mailbox.
 *
 * A turn: I/O callbacks and the mailbox, the clock, the timers that are due,
 * every ready fiber once, then the turn hooks (where drivers flush what fibers
 * queued).  That order is the batching.  Callbacks recover their object, store
 * the result and wake; they run on the loop's own stack and must not suspend.
 *
 * Under clock_fake the timers follow the fake clock: the loop looks at it
 * every millisecond, so clock_advance alone makes them fire.
 *
 * loop_post, loop_lag, loop_ticks and fiber_count are for any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUSPENDS /* may switch fibers: re-read shared state afterwards */

struct event_base;
struct loop;

/* Intrusive mailbox entry; the receiver owns it again once fn is called. */
struct loop_msg {
	struct loop_msg *next;
	void (*fn)(struct loop_msg *m);
};

/* Intrusive hook, run once at the end of the turn it was queued in. */
struct loop_hook {
	struct loop_hook *next;
	void (*fn)(struct loop_hook *h);
	bool queued;
};

/* Intrusive one-shot timer; zero-initialise, then set fn. */
struct loop_timer {
	void (*fn)(struct loop_timer *t);
	struct loop *loop;
	void *impl; /* core/loop's own */
	uint64_t at_ms; /* 0: not armed */
};

enum {
	LOOP_READ = 1,
	LOOP_WRITE = 2
};
struct loop_watch; /* a descriptor that is watched */
typedef void (*loop_watch_fn)(int fd, int what, void *arg);

struct loop *loop_new(void);
/* Drains first; NULL does nothing.  Free what watches or posts before it. */
void loop_free(struct loop *loop);
void loop_run(struct loop *loop); /* until loop_stop; may be run again */
/*
 * Tests only, under clock_fake: as loop_run, but whenever nothing is ready the
 * clock jumps to the next timer, so hours pass at once and the order is always
 * the same.  Looks at no descriptor.  Ends by itself when nothing is ready and
 * no timer is armed.
 */
void loop_run_faked(struct loop *loop);
/*
 * After loop_run: refuses new fibers, cancels those that are left, turns until
 * they have ended, and delivers what is still in the mailbox.
 */
void loop_drain(struct loop *loop);
void loop_stop(struct loop *loop); /* own thread; ends after this turn */
struct loop *loop_self(void); /* of this thread while it runs, or NULL */
struct event_base *loop_base(struct loop *loop); /* for core/net only */

uint64_t loop_now_ms(const struct loop *loop); /* monotonic, cached per turn */
void loop_post(struct loop *loop, struct loop_msg *m); /* any thread */
void loop_at_turn_end(struct loop *loop, struct loop_hook *h);
/* If it is queued, it is not called; before its memory goes. */
void loop_hook_clear(struct loop *loop, struct loop_hook *h);
bool loop_is_stopping(const struct loop *loop);

/* Arms or re-arms; at_ms is absolute on loop_now_ms. */
void loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t at_ms);
void loop_timer_clear(struct loop_timer *t); /* before its memory goes */

/* Level-triggered and persistent; `what` may be 0. */
struct loop_watch *loop_watch(struct loop *loop, int fd, int what,
    loop_watch_fn fn, void *arg);
void loop_watch_set(struct loop_watch *w, int what);
void loop_watch_free(struct loop_watch *w); /* NULL does nothing */

/* Seconds that one turn kept the descriptors waiting, worst of 10 s. */
double loop_lag(const struct loop *loop);
uint64_t loop_ticks(const struct loop *loop); /* turns so far */

#endif
