/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/rate_redis.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/bus/bus_link.h"

/*
 * See rate_redis.h.  A bucket holds a minute's tokens and fills evenly; a full
 * one is no key.  The time is Redis's.
 */

static const struct link_script rate_script = { "q",
	"local t = redis.call('TIME')\n"
	"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
	"local burst, taken = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
	"local had = redis.call('HMGET', KEYS[1], 'n', 'at')\n"
	"local n, at = tonumber(had[1]) or burst, tonumber(had[2]) or now\n"
	"n = math.min(burst, n + math.max(0, now - at) * burst / 60000)\n"
	"local left = math.min(burst, n - taken)\n"
	"if left < 0 then return math.ceil(-left * 60000 / burst) end\n"
	"redis.call('HSET', KEYS[1], 'n', string.format('%.6f', left),"
	" 'at', string.format('%.0f', now))\n"
	"redis.call('PEXPIRE', KEYS[1], 60000)\n"
	"return 0\n" };

struct rate_args {
	char room[REDIS_NUMBER];
	struct redis_arg list[2];
};

static void
args_fill(struct rate_args *a, int64_t per_minute, const char *taken)
{
	a->list[0] = redis_number(a->room, (uint64_t)per_minute);
	a->list[1] = (struct redis_arg){ taken, strlen(taken) };
}

static bool
take_wait(const redisReply *r, void *arg)
{
	if (r->type != REDIS_REPLY_INTEGER || r->integer < 0)
		return false;
	*(int64_t *)arg = r->integer;
	return true;
}

SUSPENDS int64_t
rate_redis_take(struct bus_redis *b, const char *key, int64_t per_minute)
{
	struct rate_args a;
	int64_t wait = -1;

	args_fill(&a, per_minute, "1");
	if (!link_ask(b, &rate_script, key, a.list, N_ITEMS(a.list), take_wait,
		&wait))
		return -1;
	return wait;
}

void
rate_redis_give(struct bus_redis *b, const char *key, int64_t per_minute)
{
	struct rate_args a;

	args_fill(&a, per_minute, "-1");
	(void)link_eval(b, &rate_script, key, a.list, N_ITEMS(a.list), NULL,
	    NULL);
}
