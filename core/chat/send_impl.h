/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_SEND_IMPL_H
#define CORE_CHAT_SEND_IMPL_H

/* Shared by send.c and send_behind.c. */

#include "core/chat/branch.h"
#include "core/chat/send.h"

struct sending {
	const struct chat_ctx *ctx;
	struct thread_state thread;
	struct agent *agent;
	struct arena *arena; /* of the agent; the run takes it */
	const char *content, *client_message_id;
	enum run_multitask multitask;
	char model[CHAT_MODEL_LEN];
	struct uuid run_id, message_id;
	const struct chat_place *place;
	struct branch_spot spot;
};

/* All but the message's place in the history, and its events. */
void send_fill(struct sending *s, struct run_create *c,
    struct event_list *events);
/* Another run holds the thread.  AS_CONFLICT: look at the thread again. */
SUSPENDS enum as_status send_behind(struct sending *s, struct error *err);

#endif
