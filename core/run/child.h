/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_CHILD_H
#define CORE_RUN_CHILD_H

/*
 * Subagents: a call of `task` is a run of its own, in the same thread but in a
 * name space of its own, while the run that called it waits.  Private to
 * core/run.
 */

#include "core/run/call.h"

/* How deep a name space is; 0: of a root. */
int child_depth(const char *ns);

/* Everything else of this step is written, and subagents are still to begin. */
bool child_is_due(const struct tools *t);
/*
 * Begins them in one commit that parks the run: t->parked.  Calls that cannot
 * be made have ended instead, and nothing else has happened.
 */
SUSPENDS enum as_status child_spawn(struct tools *t, struct error *err);

/* Of a run that ends: what its commit says to the one that waits for it. */
void child_tell(struct work *w, struct work_commit *wc);

/*
 * Of a run that is to end: its subagents end first.  False: not all have by
 * now; the run is to be given back.
 */
SUSPENDS bool child_end_all(struct work *w);

#endif
