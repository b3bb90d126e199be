/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_FORK_H
#define CORE_CHAT_FORK_H

/* A new run from a checkpoint of a thread. */

#include "core/chat/chat.h"

struct agent;

struct fork_request {
	const char *mode; /* live what_if */
	const char *content; /* a question after the checkpoint, or NULL */
	/* A message of the checkpoint's state is this text instead. */
	struct uuid patch_id; /* nil: none is */
	const char *patch;
	bool make_head; /* the thread goes on there */
	const char *dedup; /* see chat_place */
	struct json_object
	    *grant; /* names of tools that what_if calls, or NULL */
};

/*
 * NOT_FOUND: no such checkpoint in this thread.  VALIDATION_FAILED, CONFLICT:
 * nothing can follow it as asked for.
 */
SUSPENDS enum as_status fork_run(const struct chat_ctx *ctx, struct uuid thread,
    struct uuid checkpoint, const struct fork_request *how,
    struct chat_sent *out, struct error *err);

/*
 * The run of a checkpoint once more from its log, without any effect; what came
 * out is compared step by step.  CONFLICT: it has not ended.
 */
SUSPENDS enum as_status fork_replay(const struct chat_ctx *ctx,
    struct loop *loop, struct uuid thread, struct uuid checkpoint,
    struct json_object **out, struct error *err);

/* ---- For send.c ---------------------------------------------------- */

/* The message is of the same kind as that one, with its own text. */
void fork_message(const struct chat_ctx *ctx, const struct run_message *like,
    struct run_message *m);
/* The calls that the run begins with, as its own. */
void fork_tools(const struct chat_ctx *ctx, const struct chat_place *place,
    const struct agent *agent, struct run_create *c);

#endif
