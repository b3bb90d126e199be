/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_RATE_REDIS_H
#define CORE_BUS_RATE_REDIS_H

/*
 * Buckets of tokens that all processes draw from.  Redis is asked for some
 * milliseconds at most; who gets no answer goes by his own count.
 */

#include "core/bus/bus_redis.h"

/*
 * Takes a token.  0: there was one; more: after so many milliseconds there
 * will be one; -1: nobody knows.  The key is text without blanks.
 */
SUSPENDS int64_t rate_redis_take(struct bus_redis *b, const char *key,
    int64_t per_minute);
/* It was not used. */
void rate_redis_give(struct bus_redis *b, const char *key, int64_t per_minute);

#endif
