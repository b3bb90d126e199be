/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/zone_rule.h"

#include <string.h>

#include "core/base/civil.h"

#define DAY_S INT64_C(86400)
#define HOUR_S 3600
/* A rule's day may be moved by a week (RFC 9636: 167 hours). */
#define HOURS_MAX 167
#define YEARS_AROUND 2

struct rule_text {
	const char *s, *end;
};

static bool
is_at(const struct rule_text *t, char c)
{
	return t->s < t->end && *t->s == c;
}

static bool
take(struct rule_text *t, char c)
{
	if (!is_at(t, c))
		return false;
	t->s++;
	return true;
}

/* One to three digits. */
static bool
take_number(struct rule_text *t, int min, int max, int *out)
{
	const char *start = t->s;

	*out = 0;
	while (
	    t->s < t->end && t->s - start < 3 && *t->s >= '0' && *t->s <= '9')
		*out = *out * 10 + *t->s++ - '0';
	return t->s > start && *out >= min && *out <= max;
}

/* "CET" or "<-03>"; what it says does not matter. */
static bool
take_name(struct rule_text *t)
{
	bool quoted = take(t, '<');
	const char *start = t->s;

	for (; t->s < t->end; t->s++) {
		char c = *t->s;
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool other = (c >= '0' && c <= '9') || c == '+' || c == '-';

		if (!letter && !(quoted && other))
			break;
	}
	return t->s - start >= 3 && (!quoted || take(t, '>'));
}

/* [+-]hh[:mm[:ss]] */
static bool
take_time(struct rule_text *t, int hours_max, int32_t *out)
{
	int sign = 1, hours, minutes = 0, seconds = 0;

	if (take(t, '-'))
		sign = -1;
	else
		(void)take(t, '+');
	if (!take_number(t, 0, hours_max, &hours))
		return false;
	if (take(t, ':')) {
		if (!take_number(t, 0, 59, &minutes))
			return false;
		if (take(t, ':') && !take_number(t, 0, 59, &seconds))
			return false;
	}
	*out = sign * (hours * HOUR_S + minutes * 60 + seconds);
	return true;
}

static bool
take_day(struct rule_text *t, struct zone_day *d)
{
	bool ok;

	if (take(t, 'J')) {
		d->kind = ZONE_DAY_JULIAN;
		ok = take_number(t, 1, 365, &d->n);
	} else if (take(t, 'M')) {
		d->kind = ZONE_DAY_OF_WEEK;
		ok = take_number(t, 1, 12, &d->month) && take(t, '.') &&
		     take_number(t, 1, 5, &d->week) && take(t, '.') &&
		     take_number(t, 0, 6, &d->wday);
	} else {
		d->kind = ZONE_DAY_OF_YEAR;
		ok = take_number(t, 0, 365, &d->n);
	}
	d->time = 2 * HOUR_S;
	if (ok && take(t, '/'))
		ok = take_time(t, HOURS_MAX, &d->time);
	return ok;
}

bool
zone_rule_parse(const char *text, size_t len, struct zone_rule *out)
{
	struct rule_text t = { text, text + len };
	int32_t west;

	memset(out, 0, sizeof(*out));
	if (!take_name(&t) || !take_time(&t, 24, &west))
		return false;
	out->standard = -west;
	if (t.s == t.end)
		return true;
	if (!take_name(&t))
		return false;
	out->has_summer = true;
	out->summer = out->standard + HOUR_S;
	if (!is_at(&t, ',')) {
		if (!take_time(&t, 24, &west))
			return false;
		out->summer = -west;
	}
	return take(&t, ',') && take_day(&t, &out->start) && take(&t, ',') &&
	       take_day(&t, &out->end) && t.s == t.end;
}

/* ---- What it means in a year --------------------------------------- */

static int64_t
weekday_of_month(const struct zone_day *d, int64_t year)
{
	int64_t first = civil_day(year, d->month, 1);
	int mday = (d->wday - civil_weekday(first) + 7) % 7 + 1 +
		   (d->week - 1) * 7;

	while (mday > civil_month_days(year, d->month))
		mday -= 7;
	return first + mday - 1;
}

/* By the clock that is on the wall until then. */
static int64_t
day_time(const struct zone_day *d, int64_t year)
{
	int64_t day;

	switch (d->kind) {
	case ZONE_DAY_JULIAN:
		day = civil_day(year, 1, 1) + d->n - 1;
		if (d->n >= 60 && civil_is_leap(year))
			day++;
		break;
	case ZONE_DAY_OF_YEAR:
		day = civil_day(year, 1, 1) + d->n;
		break;
	case ZONE_DAY_OF_WEEK:
	default:
		day = weekday_of_month(d, year);
	}
	return day * DAY_S + d->time;
}

static void
change_insert(struct zone_rule_change *list, int *n, struct zone_rule_change c)
{
	int i = (*n)++;

	/* Of two at the same time the later one of the list holds. */
	for (; i > 0 && list[i - 1].at > c.at; i--)
		list[i] = list[i - 1];
	list[i] = c;
}

/* Only what changes something: summer that begins when it ends never ends. */
static int
changes_clean(struct zone_rule_change *list, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		if (i + 1 < n && list[i + 1].at == list[i].at)
			continue;
		if (kept > 0 && list[kept - 1].after == list[i].after)
			continue;
		list[kept++] = list[i];
	}
	return kept;
}

int
zone_rule_changes(const struct zone_rule *r, int64_t around,
    struct zone_rule_change out[ZONE_RULE_CHANGES])
{
	int64_t year;
	int month, mday, n = 0;

	if (!r->has_summer)
		return 0;
	civil_date(around / DAY_S - (around % DAY_S < 0), &year, &month, &mday);
	for (int64_t y = year - YEARS_AROUND; y <= year + YEARS_AROUND; y++) {
		struct zone_rule_change end = {
			day_time(&r->end, y) - r->summer, r->standard
		};
		struct zone_rule_change start = {
			day_time(&r->start, y) - r->standard, r->summer
		};

		change_insert(out, &n, end);
		change_insert(out, &n, start);
	}
	return changes_clean(out, n);
}
