/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_ASK_TOOL_H
#define CORE_RUN_ASK_TOOL_H

/*
 * Calls whose tool asks a person while it works: private to core/run.
 *
 * Such a call ends without a result.  The commit that takes note of it makes
 * its row `parked` and an item of kind question with what is asked, so a call
 * that waits has ended for certain, whatever its class of effect.  The answer
 * makes the row `planned`, and the call is made again from the top, with all
 * answers so far and with what it has kept (call_notes).
 */

#include "core/run/ask.h"

/* Is the row, which waits, one whose tool has asked? */
bool ask_is_of_tool(const struct run_tool *row);
/* Which question of its call the item is; 0: an approval, the model's own. */
int64_t ask_turn(const struct run_asked *item);

/* The row and the item of a call that ended with a question, for the commit. */
void ask_tool_park(struct call *c, struct work_commit *wc);
/* That commit is done: the call waits. */
void ask_tool_parked(struct call *c);

/* What it was answered, from all items of the run. */
void ask_tool_answers(struct call *c, const struct run_asked *all, int n);
/* Answers and notes of calls that may have been made before us. */
SUSPENDS enum as_status ask_tool_recall(struct tools *t, struct error *err);

/* For who->asking, before the call is made. */
void ask_tool_begin(struct call *c);
void ask_tool_free(struct call *c);

#endif
