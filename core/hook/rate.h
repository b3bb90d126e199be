/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_RATE_H
#define CORE_HOOK_RATE_H

/*
 * How many messages a trigger takes, and how many that are refused one address
 * may send: buckets of tokens, one set a process.  A bucket holds a minute's
 * tokens and fills evenly.  The set has a fixed size; who finds no place pushes
 * out the one that was asked longest ago.  Any thread.
 */

#include <stddef.h>
#include <stdint.h>

struct hook_rates;

struct hook_rates *hook_rates_new(int64_t per_minute);
void hook_rates_free(struct hook_rates *r); /* NULL does nothing */

/*
 * Takes a token.  0: there was one; else after how many milliseconds there will
 * be.  now_ms is monotonic.
 */
int64_t hook_rates_take(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms);
/* It was not used. */
void hook_rates_give(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms);

#endif
