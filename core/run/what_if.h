/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_WHAT_IF_H
#define CORE_RUN_WHAT_IF_H

/*
 * A fork that only asks what would happen: calls that change nothing are made,
 * any other is answered by what the run that it comes from was told, or by a
 * word that it was not made.  A person may have granted some tools.
 */

#include "core/run/call.h"

/* Is this call one that is not made? */
bool what_if_holds(const struct work *w, const struct run_tool *row);
SUSPENDS enum as_status what_if_answer(struct call *c,
    struct json_object *args);

#endif
