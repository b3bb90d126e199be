/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_SEND_H
#define CORE_CHAT_SEND_H

/*
 * What a message that starts a run needs, whoever it is from: private to
 * core/chat.
 */

#include "core/chat/chat.h"

struct agent;

#define CHAT_MODEL_LEN 256

/* What a person or a task says: not empty, UTF-8, at most CHAT_CONTENT_MAX. */
enum as_status chat_text_check(const char *field, const char *s, size_t len,
    struct error *err);
/*
 * May this user have this agent work, and with which model?  AGENT_NOT_READY if
 * not; the agent lives in the arena.
 */
SUSPENDS enum as_status chat_agent_load(const struct chat_ctx *ctx,
    struct uuid agent_id, struct uuid user_id, struct arena *arena,
    struct agent **out, char model[CHAT_MODEL_LEN], struct error *err);
/* The start of the first message, cut at a character. */
const char *chat_title_from(struct arena *arena, const char *content);
/* run_status: it waits from now on, at this place. */
struct queue_place;
void chat_queued_event(struct event_list *events,
    const struct queue_place *place);
/* A user's message of this text; id, parent and sequence are the caller's. */
void chat_message_fill(const struct chat_ctx *ctx, struct run_message *m,
    const char *content, int64_t now_us);

#endif
