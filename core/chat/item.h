/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_ITEM_H
#define CORE_CHAT_ITEM_H

/*
 * Inbox items as rows and as people see them; for those who read the table with
 * SQL of their own.
 *
 * An item is either a request, which somebody's run or call waits for, or a
 * note, which only wants to be read.
 */

#include "core/chat/chat.h"

/* What item_json reads; t is the table's alias with its dot, or "". */
#define ITEM_COLUMNS(t) \
	t "id, " t "kind, " t "status, " t "title, " t "description, " t \
	  "action_request, " t "config, " t "user_id, " t "assignee, " t \
	  "agent_id, " t "thread_id, " t "run_id, " t "correlation_id, " t \
	  "interrupt_id, " t "step, " t "ordinal, " t "response_type, " t \
	  "response, " t "responded_by, " t "responded_at, " t \
	  "expires_at, " t "on_expire, " t "read_at, " t "created_at, " t \
	  "updated_at"

/* Kinds that operators decide: see operator.h. */
#define ITEM_DECISIONS "('outcome', 'error', 'dead_letter')"
/* Kinds that nobody has to answer, as a list in SQL. */
#define ITEM_NOTES "('notification', 'report')"

/* Row i; the caller owns it.  Its columns may begin with number `from`. */
struct json_object *item_json(const struct rows *r, int i);
struct json_object *item_json_from(const struct rows *r, int i, int from);

/*
 * What is open in a thread, oldest first: each as its hitl_request said it, with
 * the run and the title.  At most ITEMS_OPEN_MAX.
 */
#define ITEMS_OPEN_MAX 200
SUSPENDS enum as_status items_open(const struct chat_ctx *ctx,
    struct uuid thread_id, struct json_object **items, struct error *err);

#endif
