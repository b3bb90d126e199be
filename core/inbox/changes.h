/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_CHANGES_H
#define CORE_INBOX_CHANGES_H

/*
 * The log of what has happened to items: the rows that triggers of the table
 * write, numbered in the order in which they can be seen.
 *
 * On SQLite a number is there with the row.  On PostgreSQL a row that is written
 * early may be committed late, so numbers are given to rows that have been
 * committed, by one process at a time: changes_number.  A reader that has seen
 * a number has seen, or never sees, all before it.
 */

#include "core/inbox/inbox.h"

struct changes_head {
	int64_t seq; /* the last number */
	bool unnumbered; /* there are rows without one */
	int64_t floor; /* up to this one they have been forgotten */
};

/*
 * Numbers what waits for it, if nobody else is doing so, then tells how far the
 * numbers go.
 */
SUSPENDS enum as_status changes_look(struct store *store,
    struct changes_head *out, struct error *err);

/* What is older than that is forgotten; by whoever comes first. */
SUSPENDS enum as_status changes_forget(struct store *store, int64_t keep_us,
    struct error *err);

/* Whom something has happened to; admins hear of `of_owner` in their tenant. */
struct change_of {
	int64_t seq;
	struct uuid tenant_id, user_id;
	bool of_owner;
};

/* After seq, oldest first, at most CHANGES_MAX; *out is the arena's. */
#define CHANGES_MAX 500
SUSPENDS enum as_status changes_whose(struct store *store, int64_t after,
    struct arena *arena, struct change_of **out, int *n, struct error *err);

/*
 * What the person is told, after seq, oldest first: frames of type inbox_item,
 * each with the counts as they are now.  *last: the seq of the last one.
 */
SUSPENDS enum as_status changes_read(const struct chat_ctx *ctx, int64_t after,
    int64_t limit, const struct inbox_counts *counts,
    struct json_object **frames, int64_t *last, struct error *err);

#endif
