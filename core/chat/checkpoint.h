/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_CHECKPOINT_H
#define CORE_CHAT_CHECKPOINT_H

/* The checkpoints of a thread, as people see them. */

#include "core/chat/chat.h"

/*
 * Newest first, of all branches; each names its parent.  ns: "" is that of the
 * thread's own runs.
 */
SUSPENDS enum as_status checkpoint_list(const struct chat_ctx *ctx,
    struct uuid thread, const char *ns, struct row_page *page,
    struct json_object **items, struct error *err);

#endif
