/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BREAKER_H
#define CORE_BUS_BREAKER_H

/*
 * Circuit breakers: a service that fails again and again is left alone for a
 * while, by all loops of the process.
 *
 * closed -> open after half of at least 20 calls of the last 30 s have failed,
 * or 5 in a row have timed out; open for 15 s, twice as long each time it opens
 * again, 5 min at most; then half open: one call may try, and after 3
 * successes it is closed.  Time is the caller's: milliseconds of any monotonic
 * clock.  Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/loop/loop.h"

struct breakers;

enum breaker_state {
	BREAKER_CLOSED = 0,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN
};

enum breaker_outcome {
	BREAKER_OK,
	BREAKER_FAILED,
	BREAKER_TIMED_OUT,
	BREAKER_NO_FAULT /* it says nothing of the service: a cancel, a 400 */
};

struct breakers *breakers_new(void);
void breakers_free(struct breakers *b); /* NULL does nothing */

/*
 * May the service be called now?  Every true is followed by one breaker_report
 * with the same *turn.  False: *wait_ms until it makes sense to ask again.  It
 * suspends only when this process would be the one that tries.
 */
SUSPENDS bool breaker_allow(struct breakers *b, const char *scope,
    uint64_t now_ms, unsigned *turn, uint64_t *wait_ms);
/*
 * True: the state has changed, to *now.  A call that was allowed before the
 * last change says nothing any more.
 */
bool breaker_report(struct breakers *b, const char *scope, unsigned turn,
    uint64_t now_ms, enum breaker_outcome outcome, enum breaker_state *now);

/* What a process tells another one of a breaker. */
struct breaker_note {
	char scope[64];
	bool open; /* else it has closed */
	uint64_t left_ms; /* that it stays open */
	uint64_t open_ms; /* that it is open in all, this time */
};

/* One that has opened or closed since it was told; false: none has. */
bool breaker_news(struct breakers *b, uint64_t now_ms,
    struct breaker_note *out);
/* Another process has found it open, or closed: so it is here. */
void breaker_learn(struct breakers *b, const struct breaker_note *note,
    uint64_t now_ms);

/* Other processes, for those that are told at once; see breaker_redis.h. */
struct breaker_peers {
	/* False: another one tries, or it is open; *wait_ms as breaker_allow. */
	SUSPENDS bool (*probe)(void *arg, const char *scope, uint64_t *wait_ms);
	/* opened_ms: it is open here now, for so long in all; 0: it is not. */
	void (*report)(void *arg, const char *scope,
	    enum breaker_outcome outcome, uint64_t opened_ms);
	void *arg;
};
/* Before there are other threads; NULL: no longer. */
void breakers_share(struct breakers *b, const struct breaker_peers *peers);

const char *breaker_state_name(enum breaker_state s);

#endif
