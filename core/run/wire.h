/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_WIRE_H
#define CORE_RUN_WIRE_H

/*
 * How messages and effects look in events and in the API, written as text; see
 * core/base/json_write.h for key.  Pure.
 */

#include "core/plug/plug.h"
#include "core/run/run_store.h"

void run_message_write(struct buf *b, const char *key,
    const struct run_message *m, struct uuid thread_id, struct uuid run_id);
/* The parts of a message that is one text. */
void run_parts_of_text(struct buf *parts, const char *text, size_t len);
/* One part in an open list: its type and its text. */
void run_part_text(struct buf *parts, const char *type, const char *text,
    size_t len);

/* message_created */
void run_message_created(struct event_list *events, const struct run_message *m,
    struct uuid thread_id, struct uuid run_id);
/* message_start: an assistant's message of this model begins. */
void run_message_started(struct event_list *events, struct uuid message_id,
    int64_t attempt, const char *model);
/* message_reset: what was shown of it is void. */
void run_message_reset(struct event_list *events, struct uuid message_id,
    int64_t attempt);

/* tool_call: the intent of a call. */
void run_tool_intended(struct event_list *events, const struct run_tool *t,
    bool needs_approval);

const char *run_effect_word(const char *letter); /* "P" -> "none" */
const char *run_effect_letter(enum as_effect effect);

#endif
