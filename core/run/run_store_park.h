/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_STORE_PARK_H
#define CORE_RUN_RUN_STORE_PARK_H

/*
 * What a commit writes beyond the rows of a step: its job's next life, items
 * for people, a dead letter, the next run of the thread.  Private to the bodies of run_store.h in SQL.
 */

#include "core/run/batch.h"
#include "core/run/run_store.h"

/* Does it write any of that? */
bool run_store_parks(const struct run_commit *c);
/*
 * Behind the guard, in its transaction.  Each statement finds the run by the
 * stamp of this very commit, so it does nothing if the guard has missed.
 */
void run_store_park_add(struct batch *b, const struct run_commit *c);

/* run_inbox.c: one answer, in the same way. */
void run_inbox_add(struct batch *b, const struct run_commit *c,
    const struct run_answer *a);

bool run_tool_is_open(const struct run_tool *t); /* not ended, not unknown */
const char *run_tool_resolution(const struct run_tool *t);

#endif
