/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_CRON_H
#define CORE_SCHED_CRON_H

/*
 * Cron lines: when something is due, by the clock on a wall.
 *
 * Five fields: minute, hour, day of the month, month, day of the week; or
 * @hourly, @daily, @weekly, @monthly, @yearly.  docs/schedules.md has the
 * grammar and what happens when clocks change.  Pure functions, any thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct zone;

/* Bit n is set: n matches. */
struct cron {
	uint64_t minute;
	uint32_t hour;
	uint32_t mday;
	uint16_t month;
	uint8_t wday; /* 0 is Sunday */
	bool mday_any, wday_any; /* the field starts with * */
};

#define CRON_LEN_MAX 256
#define CRON_WHY 128
#define CRON_NEVER INT64_MAX

/* False: why says what is wrong with which field.  It matches some day. */
bool cron_parse(const char *text, struct cron *out, char why[CRON_WHY]);

/*
 * The first time after t, in seconds since 1970, or CRON_NEVER.
 *
 * A time that a change of the clock leaves out is due once, at the first moment
 * after it; one that comes twice is due the first time only.  Where the hour is
 * any, all this does not apply: it is due whenever the clock shows such a
 * minute, so that it follows the time that really passes.
 */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t t);

/*
 * Of a clock that never changes: the first minute at or after `from` and
 * before `until`, both in seconds, or CRON_NEVER.
 */
int64_t cron_next_local(const struct cron *c, int64_t from, int64_t until);

#endif
