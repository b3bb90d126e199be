/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/civil.h"

/* A year starts in March here, so that the leap day is its last. */

void
civil_date(int64_t day, int64_t *year, int *month, int *mday)
{
	int64_t z = day + 719468, era = z / 146097, doe = z % 146097, yoe, doy;
	int m;

	if (doe < 0) {
		era--;
		doe += 146097;
	}
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	m = (int)((5 * doy + 2) / 153);
	*mday = (int)(doy - (153 * m + 2) / 5 + 1);
	*month = m < 10 ? m + 3 : m - 9;
	*year = yoe + era * 400 + (*month <= 2);
}

int64_t
civil_day(int64_t year, int month, int mday)
{
	int64_t y = year - (month <= 2) + 400, era = y / 400, yoe = y % 400,
		doy;

	doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + mday - 1;
	return (era - 1) * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy -
	       719468;
}

bool
civil_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int
civil_month_days(int64_t year, int month)
{
	if (month == 2)
		return civil_is_leap(year) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

int
civil_weekday(int64_t day)
{
	int w = (int)((day + 4) % 7); /* 1970-01-01 was a Thursday */

	return w < 0 ? w + 7 : w;
}
