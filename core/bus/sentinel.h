/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_SENTINEL_H
#define CORE_BUS_SENTINEL_H

/*
 * Sentinels, who know which Redis is the master just now: private to core/bus.
 *
 * All of them are asked, all the time, each by a connection of its own that
 * comes back by itself.  What most of all say is so; as long as there is no
 * such majority, each master that is named at all may be tried.  Who is dead
 * says nothing, and who lies is outvoted, or its master turns out to be none.
 *
 * Of one loop, as everything here.
 */

#include "core/bus/redis.h"

struct sentinels;

/*
 * Those of url, who know us by login; moved is called when one of them says
 * something new, and may ask, but not free.
 */
struct sentinels *sentinels_new(struct loop *loop, struct pool *pool,
    const struct redis_url *url, const struct redis_login *login,
    void (*moved)(void *arg), void *arg);
void sentinels_free(struct sentinels *s); /* NULL does nothing */

/* Where to try now, after so many failures.  False: nobody says anything. */
bool sentinels_master(const struct sentinels *s, unsigned failures,
    struct redis_host *out);
/* Do most of them name another one? */
bool sentinels_deny(const struct sentinels *s, const char *host, uint16_t port);

#endif
