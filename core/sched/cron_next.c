/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/civil.h"
#include "core/sched/cron.h"
#include "core/sched/zone.h"

/*
 * When a cron line is due next.  Between two changes of the clock, local time
 * is UTC plus a number, so each such stretch is searched as if there were no
 * zones; what is left to say is what happens where two stretches meet.
 */

#define DAY_S INT64_C(86400)
#define ANY_HOUR UINT32_C(0xffffff)
/* Changes nearer to each other than this may leave out or repeat together. */
#define NEAR_S (4 * DAY_S)
#define FAR_YEARS 100

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool
day_matches(const struct cron *c, int64_t day, int mday)
{
	bool by_mday = c->mday >> mday & 1;
	bool by_wday = c->wday >> civil_weekday(day) & 1;

	if (c->mday_any || c->wday_any)
		return by_mday && by_wday;
	return by_mday || by_wday;
}

/* The first day at or after this one that matches; may be at `end` or later. */
static int64_t
next_day(const struct cron *c, int64_t day, int64_t end)
{
	int64_t year;
	int month, mday, days;

	while (day < end) {
		civil_date(day, &year, &month, &mday);
		days = civil_month_days(year, month);
		if (!(c->month >> month & 1)) {
			day += days - mday + 1;
			continue;
		}
		for (; mday <= days; mday++, day++)
			if (day_matches(c, day, mday))
				return day;
	}
	return end;
}

/* The first minute of the day at or after this one, or -1. */
static int
next_minute(const struct cron *c, int from)
{
	int minute = from % 60;
	uint64_t bits;

	for (int hour = from / 60; hour < 24; hour++, minute = 0) {
		if (!(c->hour >> hour & 1))
			continue;
		bits = c->minute >> minute;
		if (bits != 0)
			return hour * 60 + minute + __builtin_ctzll(bits);
	}
	return -1;
}

int64_t
cron_next_local(const struct cron *c, int64_t from, int64_t until)
{
	int64_t first = floor_div(from + 59, 60), day = floor_div(first, 1440);
	int64_t end = floor_div(until - 1, DAY_S) + 1, at, next;
	int minute = (int)(first - day * 1440);

	for (; day < end; day++, minute = 0) {
		next = next_day(c, day, end);
		if (next > day)
			minute = 0;
		day = next;
		if (day >= end)
			break;
		minute = next_minute(c, minute);
		if (minute < 0)
			continue;
		at = day * DAY_S + minute * 60;
		return at < until ? at : CRON_NEVER;
	}
	return CRON_NEVER;
}

/* ---- Where the clock changes --------------------------------------- */

/*
 * The latest that clocks have shown before this change: beyond it every time
 * is new, up to it every time has been there or was left out already.
 */
static int64_t
seen_before(const struct zone *z, const struct zone_change *change)
{
	struct zone_change c = *change;
	int64_t seen = c.at + c.before;

	while (
	    zone_change_before(z, c.at - 1, &c) && c.at > change->at - NEAR_S)
		if (c.at + c.before > seen)
			seen = c.at + c.before;
	return seen;
}

/* One stretch: after t, from its beginning if *change is one. */
static int64_t
next_in(const struct cron *c, const struct zone *z, int64_t t,
    const struct zone_change *change, int32_t offset, int64_t until)
{
	int64_t from = t + 1 + offset, end, seen, at;

	end = until == ZONE_NO_CHANGE ? from + FAR_YEARS * 366 * DAY_S
				      : until + offset;
	if (change != NULL && c->hour != ANY_HOUR) {
		seen = seen_before(z, change);
		if (t < change->at && change->at + offset > seen &&
		    cron_next_local(c, seen, change->at + offset) != CRON_NEVER)
			return change->at;
		if (from < seen)
			from = seen;
	}
	if (from >= end)
		return CRON_NEVER;
	at = cron_next_local(c, from, end);
	return at == CRON_NEVER ? at : at - offset;
}

int64_t
cron_next(const struct cron *c, const struct zone *z, int64_t t)
{
	struct zone_change begin, next;
	bool has_begin = zone_change_before(z, t + 1, &begin), has_next;
	int64_t last = t + FAR_YEARS * 366 * DAY_S, at;

	do {
		has_next = zone_change_after(z, t + 1, &next);
		at = next_in(c, z, t, has_begin ? &begin : NULL,
		    has_begin ? begin.after : zone_offset(z, t + 1),
		    has_next ? next.at : ZONE_NO_CHANGE);
		if (at != CRON_NEVER || !has_next)
			return at;
		begin = next;
		has_begin = true;
		t = next.at - 1;
	} while (t < last);
	return CRON_NEVER;
}
