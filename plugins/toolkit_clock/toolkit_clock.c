/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L /* gmtime_r */

#include <agentstudio/toolkit.h>
#include <time.h>

/* Tells the time.  It asks the host for it, so a replay sees the same. */

struct now {
	int64_t utc_offset_min;
};

static const struct as_field now_params[] = {
	AS_INT(struct now, utc_offset_min, 0, -720, 840, 0,
	    "Minutes east of UTC, such as 120 for Paris in summer."),
	AS_END,
};

static enum as_status
now(struct as_call *call, const void *in)
{
	const struct now *args = in;
	int64_t east = args->utc_offset_min;
	time_t t = (time_t)(as_now_ms(call) / 1000 + east * 60);
	long long away = east < 0 ? -east : east;
	char text[64];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%A %Y-%m-%d %H:%M:%S", &tm) == 0)
		return as_fail(call, AS_INTERNAL, "no date for %lld seconds",
		    (long long)t);
	return as_reply_text(call, "%s UTC%c%02lld:%02lld", text,
	    east < 0 ? '-' : '+', away / 60, away % 60);
}

static const struct as_tool tools[] = {
	{
	    .name = "now",
	    .doc = "The current date and time, with the day of the week.",
	    AS_PARAMS(struct now, now_params),
	    .effect = AS_EFFECT_NONE,
	    .timeout_ms = 5000,
	    .run = now,
	},
	AS_END,
};

AS_PLUGIN(.name = "toolkit_clock", .summary = "Tells the time.",
    .version = "1.0.0", .flags = AS_PARALLEL | AS_UNLOADABLE,
    .toolkit = AS_TOOLKIT(.title = "Clock", .tools = tools));
