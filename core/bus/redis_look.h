/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_REDIS_LOOK_H
#define CORE_BUS_REDIS_LOOK_H

/* What a Redis says of itself.  Blocks: for a command, not for a loop. */

#include "core/bus/redis.h"

struct redis_facts {
	int version; /* the first number; 0: not to be seen */
	char version_text[32];
	char policy[32]; /* "": not to be seen */
	int64_t maxmemory; /* 0: no limit */
	double ping_ms; /* the median of a few */
};

/* password: "" is none; sentinels: how they know us, if url has any. */
enum as_status redis_look(const struct redis_url *url, const char *password,
    const struct redis_login *sentinels, struct redis_facts *out,
    struct error *err);

#endif
