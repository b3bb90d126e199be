/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_BRANCH_H
#define CORE_RUN_RUN_BRANCH_H

/*
 * Threads with branches: what their operations add to those of run_store.h.
 *
 * Each message names the one before it.  As long as a thread has one branch its
 * messages in order are the path, and nothing here is asked; from the first
 * branch on threads.active_leaf says which path is looked at.
 */

#include "core/run/batch.h"
#include "core/run/run_store.h"

/* The messages that a history is made of. */
#define RUN_COUNTS(table) table ".state IN ('final', 'interrupted')"
#define RUN_HISTORY_COLUMNS \
	"id, role, content, parts, tool_call_id, state, run_id, step," \
	" sequence, usage"

/* Where the thread's leaf is after the create; nil: where it was. */
struct uuid run_create_leaf(const struct run_create *c);
/* The same for its head checkpoint. */
struct uuid run_create_head(const struct run_create *c);
bool run_create_forks(const struct run_create *c);

/* The fork's checkpoint; its row is the only sign that the guard held. */
void run_branch_add_fork(struct batch *b, const struct run_create *c);
/* What the create on PostgreSQL leaves out, since it is rare. */
void run_branch_add_head(struct batch *b, const struct run_create *c);

/* The newest checkpoint on the path to message $4; column at. */
#define RUN_CHECKPOINT_OF_M \
	"(SELECT c.checkpoint_id FROM checkpoints c WHERE c.run_id = m.run_id" \
	" AND c.step <= m.step AND c.source = 'loop' ORDER BY c.step DESC" \
	" LIMIT 1)"
#define RUN_CHECKPOINT_AT_4 \
	"(WITH RECURSIVE up (parent_id, at) AS (SELECT m.parent_id," \
	" " RUN_CHECKPOINT_OF_M " FROM messages m WHERE m.id = $4" \
	" UNION ALL SELECT m.parent_id, " RUN_CHECKPOINT_OF_M " FROM up" \
	" JOIN messages m ON m.id = up.parent_id WHERE up.at IS NULL)" \
	" SELECT up.at FROM up WHERE up.at IS NOT NULL)"

/* RUN_HISTORY_COLUMNS of the path to leaf, oldest first; see run_store.h. */
SUSPENDS enum as_status run_branch_rows(struct store *store,
    struct uuid thread_id, struct uuid leaf, struct rows **out,
    struct error *err);
/* What such rows say. */
struct run_history_row *run_history_of(const struct rows *r,
    struct arena *arena, int *n);

#endif
