/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_BREAKER_REDIS_H
#define CORE_BUS_BREAKER_REDIS_H

/*
 * Breakers that all processes share: the calls of all of them are counted
 * together, who finds a service bad closes it off for all at once, and one
 * process tries whether it is well again.
 *
 * A call never waits for Redis, but for the one that tries, and it some
 * milliseconds only.  Without an answer each process goes by what it knows.
 */

#include "core/bus/breaker.h"
#include "core/bus/bus_redis.h"

struct breaker_redis;

/* These breakers are shared from now on, until it is freed. */
struct breaker_redis *breaker_redis_new(struct bus_redis *b, struct bus *bus,
    struct breakers *breakers);
/* When all links are closed; NULL does nothing. */
void breaker_redis_free(struct breaker_redis *s);

/* Hears what others find; a loop that has joined the bus, on its thread. */
void breaker_redis_listen(struct breaker_redis *s, struct loop *loop);
void breaker_redis_deafen(struct breaker_redis *s);

#endif
