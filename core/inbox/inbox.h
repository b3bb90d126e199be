/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_INBOX_H
#define CORE_INBOX_INBOX_H

/*
 * The inbox: what agents ask people, and what they tell them.
 *
 * An item belongs to the owner of its thread.  He sees it, so does whom it is
 * assigned to, and so do the admins of the tenant; for everybody else it does
 * not exist (NOT_FOUND).
 */

#include "core/chat/chat.h"

struct world;

struct inbox_filter {
	const char *status, *kind; /* NULL: any */
	struct uuid agent_id, thread_id, run_id; /* nil: any */
	struct uuid assignee; /* nil: any */
	bool unassigned, unread; /* only those that are */
};

/* Of what the person sees: open requests, and what nobody has read yet. */
struct inbox_counts {
	int64_t pending, unread;
};

SUSPENDS enum as_status inbox_list(const struct chat_ctx *ctx,
    const struct inbox_filter *filter, struct row_page *page,
    struct json_object **items, struct error *err);
SUSPENDS enum as_status inbox_count(const struct chat_ctx *ctx,
    struct inbox_counts *out, struct error *err);
struct json_object *inbox_counts_json(const struct inbox_counts *c);
SUSPENDS enum as_status inbox_get(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **item, struct error *err);

/* Harmless when it has been read. */
SUSPENDS enum as_status inbox_mark_read(const struct chat_ctx *ctx,
    struct uuid id, struct error *err);
/*
 * Give it to somebody of the tenant, or, nil, to nobody: for its owner and for
 * admins; who has it may give it back.  FORBIDDEN, CONFLICT: it is closed.
 */
SUSPENDS enum as_status inbox_assign(const struct chat_ctx *ctx, struct uuid id,
    struct uuid assignee, struct json_object **out, struct error *err);

/* Is somebody asked, or only told? */
bool inbox_is_note(const char *kind);
/* Does an operator decide: see core/chat/operator.h? */
bool inbox_is_decision(const char *kind);

#endif
