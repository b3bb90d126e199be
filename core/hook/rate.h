/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_RATE_H
#define CORE_HOOK_RATE_H

/*
 * How many messages a trigger takes, and how many that are refused one address
 * may send: buckets of tokens, one set a process.  A bucket holds a minute's
 * tokens and fills evenly.  The set has a fixed size; who finds no place pushes
 * out the one that was asked longest ago.  Any thread.
 *
 * With Redis, all processes draw from the same buckets; as long as it does not
 * answer, each from its own.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/loop/loop.h"

struct bus_redis;
struct hook_rates;

struct hook_rates *hook_rates_new(int64_t per_minute);
void hook_rates_free(struct hook_rates *r); /* NULL does nothing */

/* Before there are other threads. */
void hook_rates_share(struct hook_rates *r, struct bus_redis *redis);

/*
 * Takes a token.  0: there was one; else after how many milliseconds there will
 * be.  now_ms is monotonic.
 */
SUSPENDS int64_t hook_rates_take(struct hook_rates *r, const void *key,
    size_t len, uint64_t now_ms);
/* It was not used. */
void hook_rates_give(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms);

#endif
