/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_HISTORY_H
#define CORE_RUN_HISTORY_H

/*
 * From the stored messages of a thread to a history that every provider
 * accepts.
 *
 * Whatever happened before (a crash, a cancel, a late or doubled result), what
 * comes out obeys: it starts with a user's message; every tool call is
 * answered in the next message, in the order of the calls, exactly once; no
 * result stands without its call; no message is empty; neighbours of the same
 * role are one message.  Pure.
 */

#include "core/run/run_store.h"

/*
 * An array of messages in the form of agentstudio/llm.h, the system prompt
 * first if it is not empty.  The caller puts it.
 */
struct json_object *history_build(const char *system,
    const struct run_history_row *rows, int n);

/* Calls of the last assistant message that have no result: 0 if none. */
int history_open_calls(const struct run_history_row *rows, int n);

#endif
