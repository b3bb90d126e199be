/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/retry.h"

#include "core/base/json.h"

/* See retry.h.  Full jitter as Brooker describes it (AWS, 2015). */

bool
retry_makes_sense(const struct error *why)
{
	struct json_object *told = jget(why->extra, "retryable");

	if (told != NULL)
		return json_object_get_boolean(told);
	switch (error_status(why->code)) {
	case AS_BUSY:
	case AS_UNAVAILABLE:
	case AS_TIMEOUT:
	case AS_UPSTREAM:
		return true;
	default:
		return false;
	}
}

bool
retry_maybe_done(const struct error *why)
{
	return jget_bool(why->extra, "maybe_done", false) ||
	       why->code == ERR_TIMEOUT || why->code == ERR_CRASHED;
}

int64_t
retry_delay_ms(int64_t failed, int64_t retry_after_ms,
    uint32_t (*random)(void *arg, uint32_t n), void *arg)
{
	int64_t cap = RETRY_BASE_MS;

	for (int64_t i = 1; i < failed && cap < RETRY_CAP_MS; i++)
		cap *= 2;
	if (cap > RETRY_CAP_MS)
		cap = RETRY_CAP_MS;
	cap = 1 + random(arg, (uint32_t)cap);
	return retry_after_ms > 0 ? retry_after_ms + cap % RETRY_BASE_MS : cap;
}
