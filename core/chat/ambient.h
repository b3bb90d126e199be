/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_AMBIENT_H
#define CORE_CHAT_AMBIENT_H

/*
 * Work that nobody watches: an agent gets a task, and a run of kind ambient
 * works on it in a thread of its own.
 */

#include "core/chat/chat.h"

struct ambient_task {
	struct uuid tenant_id, user_id, agent_id; /* whose work it is */
	const char *task; /* the first message */
	int class; /* 0 priority, 1 standard, 2 bulk */
	int64_t run_at; /* 0: now */
	const char *origin; /* JSON of runs.origin: what has started it */
	const char *title; /* NULL: from the task */
	const char *correlation_id; /* NULL: of the context */
	/* NULL, or what names this start for this user and agent for good. */
	const char *dedup;
};

struct ambient_started {
	struct uuid run_id, thread_id;
	bool replayed; /* the dedup was known already: it is the first start */
};

/*
 * Thread, first message and queued run in one transaction.  NOT_FOUND,
 * AGENT_NOT_READY, VALIDATION_FAILED, RATE_LIMITED with nothing stored; the
 * context's principal is not asked.
 */
SUSPENDS enum as_status ambient_start(const struct chat_ctx *ctx,
    const struct ambient_task *t, struct ambient_started *out,
    struct error *err);

#endif
