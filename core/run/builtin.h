/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_BUILTIN_H
#define CORE_RUN_BUILTIN_H

/*
 * Tools that the engine itself has, beside those of plugins (and remember, see
 * prompt.h).  A question is no call: its row is `parked` from the beginning,
 * and a person's answer becomes its result.
 */

#include "core/run/work.h"

#define BUILTIN_ASK "ask_human" /* {"question", "choices"?} */

/* Adds those that this run has to what its model is offered. */
void builtin_offer(const struct work *w, struct json_object *tools);
/* Does this run have it, and are the arguments a question? */
bool builtin_asks(const struct work *w, const char *tool,
    struct json_object *args);

#endif
