/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_PROMPT_H
#define CORE_RUN_PROMPT_H

/*
 * What a model is told besides the conversation: who it is, what it should
 * remember, which tools it has.  Stable for equal input, byte for byte, so
 * that providers can cache it.  Pure but for reading plug's registry.
 */

#include "core/agent/agent.h"
#include "core/plug/plug.h"

/* alone: nobody watches.  malloc()ed. */
char *prompt_system(const struct agent *a, bool alone);
/* [{name, description, input_schema}], in the order of the agent's toolkits. */
struct json_object *prompt_tools(struct plug *plug, const struct agent *a);

#endif
