/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_REDIS_LOOKUP_H
#define CORE_BUS_REDIS_LOOKUP_H

/* The address of a name, on a thread of the pool: private to core/bus. */

#include "core/loop/pool.h"

struct redis_lookup;

/* fn is called once, with NULL if there is none.  NULL: no fiber. */
struct redis_lookup *redis_lookup(struct loop *loop, struct pool *pool,
    const char *name, void (*fn)(void *arg, const char *address), void *arg);
/* fn is not called any more; NULL does nothing. */
void redis_lookup_leave(struct redis_lookup *l);

#endif
