/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_FAILPOINT_H
#define CORE_BASE_FAILPOINT_H

/*
 * Places at which a test makes this process die, stop or fail; docs/faults.md
 * lists them.  Without --enable-failpoints they are no code at all.
 *
 * AGENT_STUDIO_FAILPOINTS, read at the first hit, says what happens where:
 *
 *	name=action[,option...][;name=action...]
 *
 * Actions: kill (SIGKILL), abort, stop (SIGSTOP, until somebody sends
 * SIGCONT), and error:CODE where the place can fail (FAILPOINT_ERROR; a plain
 * FAILPOINT ignores it).  Options: nth=N, at the N-th hit only (default 1);
 * prob=P, at each hit with this probability, with seed=S for its numbers.  A
 * text that does not parse ends the process: a test must not pass because its
 * fault was misspelt.
 *
 * Each hit is a line in the file AGENT_STUDIO_FAILPOINT_LOG, if that is set.
 * Any thread.
 */

#include "core/base/error.h"

struct buf;

#ifdef FAILPOINTS
#define FAILPOINT(name) failpoint_hit(name)
#define FAILPOINT_ERROR(name, err) failpoint_error(name, err)
#define FAILPOINT_CLOCK_US() failpoint_clock_us()
#else
#define FAILPOINT(name) ((void)0)
#define FAILPOINT_ERROR(name, err) ((void)(err), AS_OK)
#define FAILPOINT_CLOCK_US() INT64_C(0)
#endif

/* Names are static. */
void failpoint_hit(const char *name);
/* AS_OK, or the error that was asked for, in err. */
enum as_status failpoint_error(const char *name, struct error *err);

/*
 * As the environment's text; what it names is replaced and counts from 0.
 * INVALID: it does not parse, and nothing has changed.
 */
enum as_status failpoint_set(const char *text, struct error *err);
void failpoint_clear(void); /* no actions, no counts */
/*
 * What now_us() of SQLite adds to the clock; PostgreSQL has a function that a
 * test replaces.  At the start AGENT_STUDIO_CLOCK_AHEAD_US says how much.
 */
int64_t failpoint_clock_us(void);
void failpoint_clock_set(int64_t ahead_us);
/* One "name count" a line, in the order of their first hits. */
void failpoint_hits(struct buf *out);

#endif
