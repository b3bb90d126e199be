/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_RESPOND_H
#define CORE_INBOX_RESPOND_H

/*
 * Answering.  Whoever sees an item may answer it; what operators decide is for
 * admins, except an error, which the thread's owner may let go on as well.
 * The first answer counts; the same one again, by whomever, is harmless.
 */

#include "core/inbox/inbox.h"

struct inbox_reply {
	struct uuid item_id;
	struct json_object *body; /* an answer, see answer.h; borrowed */
	enum as_status st; /* set */
	struct json_object *item; /* set if AS_OK: as it is now; the caller's */
	/*
	 * Set: VALIDATION_FAILED, with the item still open; CONFLICT, which
	 * names the winner; EXPIRED; FORBIDDEN; NOT_FOUND; NOT_RECORDED:
	 * another answer to the same run was refused.
	 */
	struct error err;
};

/* Those to one run are recorded all together or not at all. */
SUSPENDS void inbox_respond(const struct chat_ctx *ctx,
    const struct world *world, struct inbox_reply *replies, int n);

/*
 * An answer to what a run has asked, without a name: a single one if one
 * request is open, else decisions for all of them in their order.  *items is
 * theirs.
 */
SUSPENDS enum as_status inbox_respond_run(const struct chat_ctx *ctx,
    const struct world *world, struct uuid run_id, struct json_object *body,
    struct json_object **items, struct error *err);

void inbox_reply_clear(struct inbox_reply *r);

#endif
