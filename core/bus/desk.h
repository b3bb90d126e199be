/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_DESK_H
#define CORE_BUS_DESK_H

/*
 * The runs that this process is working on, on whichever loop.  Any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/base/uuid.h"

struct desk;

struct desk *desk_new(void);
void desk_free(struct desk *d); /* empty; NULL does nothing */

/* A run may be there more than once: each put is followed by one take. */
void desk_put(struct desk *d, struct uuid run_id);
void desk_take(struct desk *d, struct uuid run_id);
bool desk_has(struct desk *d, struct uuid run_id);
size_t desk_count(struct desk *d); /* different runs */

#endif
