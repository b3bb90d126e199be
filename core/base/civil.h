/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_CIVIL_H
#define CORE_BASE_CIVIL_H

/*
 * The proleptic Gregorian calendar, without libc's time zones.  Days count
 * from 1970-01-01.  Pure functions, any thread.
 */

#include <stdbool.h>
#include <stdint.h>

/* Month 1 to 12, mday 1 to 31. */
void civil_date(int64_t day, int64_t *year, int *month, int *mday);
/* The other way round; year is at least -400. */
int64_t civil_day(int64_t year, int month, int mday);

bool civil_is_leap(int64_t year);
int civil_month_days(int64_t year, int month);
int civil_weekday(int64_t day); /* 0 is Sunday */

#endif
