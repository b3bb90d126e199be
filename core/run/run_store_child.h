/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_STORE_CHILD_H
#define CORE_RUN_RUN_STORE_CHILD_H

/*
 * What a commit writes into other runs of its thread: the subagents that it
 * begins, and the parent that a subagent's end is told to.  Private to the
 * bodies of run_store.h in SQL.
 *
 * All runs of a family write into one thread, and every commit tests and moves
 * that thread's head.  So whoever read the family and the head together knows,
 * if the head still holds, that nothing of the family has changed.
 */

#include "core/run/batch.h"
#include "core/run/run_store.h"

bool run_store_has_child(const struct run_commit *c);
/* Behind the guard; see run_store_park_add. */
void run_store_child_add(struct batch *b, const struct run_commit *c);

#endif
