/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_ASK_H
#define CORE_RUN_ASK_H

/*
 * Calls that wait for a person: private to core/run.
 *
 * Their rows are `awaiting_approval`, or `parked` for a question, from the
 * commit of their intent.  When nothing else is left to do the owner lets go of
 * the run, in the commit that has an item for each of them; if it waits for
 * subagents first, that is the commit that begins them.  An answer changes
 * the row: an approved call is `planned` and made like any other, all else is
 * its result.
 */

#include "core/run/call.h"

/* Does this row wait for a person? */
bool ask_waits(const struct run_tool *row);
/* The item of the row, the last one if its tool has asked again; or NULL. */
const struct run_asked *ask_find(const struct run_asked *all, int n,
    const struct run_tool *row);

/*
 * The row as the answer makes it.  AS_INVALID: new arguments that the tool does
 * not take, or a tool that the agent has not got any more.
 */
enum as_status ask_decide(struct work *w, struct arena *arena,
    const struct run_asked *item, struct run_tool *row, struct error *err);
/* hitl_resolved, with the arguments that a person has changed. */
void ask_resolved(struct work_commit *wc, const struct run_asked *item,
    const struct run_tool *row);

/* The same question of the same call has the same ids. */
void ask_ids_set(const struct work *w, const struct run_tool *row,
    const char *key, struct run_item *item);

/* ---- For the owner of the calls ------------------------------------ */

/* All items; not AS_OK: the work is lost. */
SUSPENDS enum as_status asks_read(struct tools *t, struct run_asked **all,
    int *n, int64_t *version, struct error *err);

/*
 * Answers that have come since: those calls are begun, or have their result.
 * *n: how many; AS_CONFLICT as of work_commit.
 */
SUSPENDS enum as_status asks_look(struct tools *t, int *n, struct error *err);
/*
 * The same; if there is none, the run waits now (t->parked).  AS_CONFLICT: it
 * is cancelled, or one has just come.
 */
SUSPENDS enum as_status asks_turn(struct tools *t, struct error *err);
/*
 * The commit lets go of the run for another reason, and nobody has been asked
 * yet in this step: its calls are not kept from people meanwhile.
 */
void asks_raise(struct tools *t, struct work_commit *wc);

#endif
