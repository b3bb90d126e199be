/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_BRANCH_H
#define CORE_CHAT_BRANCH_H

/*
 * The tree of a thread's messages: where a run begins in it, which branches
 * there are, and which of them is looked at.
 */

#include "core/chat/chat.h"

/* A place in the tree, as a run's create takes it. */
struct branch_spot {
	struct uuid parent_id; /* of the message, if there is one */
	struct uuid question_id; /* that the run answers */
	struct uuid forked_from; /* a run, or nil */
	struct run_branch branch;
	struct run_fork fork;
};

/*
 * message_id: of the message that is about to be made, or nil.  NOT_FOUND: the
 * place names no message of the thread; VALIDATION_FAILED: it cannot be one
 * there.
 */
SUSPENDS enum as_status branch_spot(const struct chat_ctx *ctx,
    const struct thread_state *thread, const struct chat_place *place,
    struct uuid message_id, struct branch_spot *out, struct error *err);

/*
 * Every message that has siblings, by parent:
 * {"active_leaf", "items": [{"parent_id", "siblings": [...]}]}.
 */
SUSPENDS enum as_status branch_list(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **out, struct error *err);

/*
 * The branch with this message is looked at from now on: it and what followed
 * it last.  THREAD_BUSY while a run is at work.
 */
SUSPENDS enum as_status branch_switch(const struct chat_ctx *ctx,
    struct uuid id, struct uuid message_id, struct error *err);

#endif
