/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_OPERATOR_H
#define CORE_CHAT_OPERATOR_H

/*
 * What people decide for runs that cannot go on by themselves.
 *
 * A parked run's owner, or an admin, lets it go on; what only somebody who can
 * look at the service can know (has this call happened?), and what has failed
 * for good, are items for an admin of the tenant.
 */

#include "core/chat/chat.h"

/*
 * A run in recoverable_error goes on.  action: retry, extend (what the limits
 * allow once more), switch_model (to model, which must exist).  CONFLICT: it is
 * not parked, or calls wait for a decision.
 */
SUSPENDS enum as_status run_resume(const struct chat_ctx *ctx, struct uuid id,
    const char *action, const char *model, struct error *err);

/* Every tool call of a run, in order, with its state and key. */
SUSPENDS enum as_status run_calls(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **items, struct error *err);

struct operator_filter {
	const char *status; /* pending ...; NULL: any */
	const char *kind; /* outcome error dead_letter; NULL: any */
	struct uuid run_id; /* nil: any */
};

SUSPENDS enum as_status operator_list(const struct chat_ctx *ctx,
    const struct operator_filter *filter, struct row_page *page,
    struct json_object **items, struct error *err);
SUSPENDS enum as_status operator_get(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **item, struct error *err);

/*
 * Decide on an item.  By its kind, outcome is one of
 *	outcome:     happened (result: what the call has answered, may be NULL),
 *	             not_happened (it is made again, under a new key), skip
 *	error:       retry, extend, cancel
 *	dead_letter: requeue (a new run takes the thread up), dismiss
 * CONFLICT: it is not pending any more, with its status and response.
 */
SUSPENDS enum as_status operator_resolve(const struct chat_ctx *ctx,
    struct uuid id, const char *outcome, struct json_object *result,
    struct error *err);

#endif
