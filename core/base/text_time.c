/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/civil.h"
#include "core/base/text.h"

/* RFC 3339 times. */

#define DAY_US INT64_C(86400000000)
#define YEAR_0_US INT64_C(-62167219200000000)
#define YEAR_9999_US INT64_C(253402300799999999)

static void
digits(char *out, int n, int64_t value)
{
	while (n > 0) {
		out[--n] = (char)('0' + value % 10);
		value /= 10;
	}
}

void
text_time(char out[TEXT_TIME_LEN], int64_t us)
{
	int64_t day, rest, year;
	int month, mday;

	if (us < YEAR_0_US)
		us = YEAR_0_US;
	if (us > YEAR_9999_US)
		us = YEAR_9999_US;
	day = us / DAY_US;
	rest = us % DAY_US;
	if (rest < 0) {
		rest += DAY_US;
		day--;
	}
	civil_date(day, &year, &month, &mday);
	memcpy(out, "0000-00-00T00:00:00.000000Z", TEXT_TIME_LEN);
	digits(out, 4, year);
	digits(out + 5, 2, month);
	digits(out + 8, 2, mday);
	digits(out + 11, 2, rest / 3600000000);
	digits(out + 14, 2, rest / 60000000 % 60);
	digits(out + 17, 2, rest / 1000000 % 60);
	digits(out + 20, 6, rest % 1000000);
}

/* n digits at *s within [min, max]; moves *s. */
static bool
number(const char **s, int n, int min, int max, int *out)
{
	int value = 0;

	while (n-- > 0) {
		if (**s < '0' || **s > '9')
			return false;
		value = value * 10 + *(*s)++ - '0';
	}
	*out = value;
	return value >= min && value <= max;
}

static bool
literal(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* ".123" with 1 to 9 digits; what is finer than a microsecond is cut. */
static bool
fraction(const char **s, int *us)
{
	int n;

	*us = 0;
	if (!literal(s, '.'))
		return true;
	for (n = 0; **s >= '0' && **s <= '9'; n++, (*s)++) {
		if (n < 6)
			*us = *us * 10 + **s - '0';
	}
	if (n == 0 || n > 9)
		return false;
	for (; n < 6; n++)
		*us *= 10;
	return true;
}

static bool
zone(const char **s, int *minutes)
{
	int hour, minute, sign;

	*minutes = 0;
	if (literal(s, 'Z') || literal(s, 'z'))
		return true;
	sign = **s == '-' ? -1 : 1;
	if (!literal(s, '+') && !literal(s, '-'))
		return false;
	if (!number(s, 2, 0, 23, &hour) || !literal(s, ':') ||
	    !number(s, 2, 0, 59, &minute))
		return false;
	*minutes = sign * (hour * 60 + minute);
	return true;
}

bool
text_time_parse(const char *s, int64_t *us)
{
	int year, month, mday, hour, minute, second, micro, offset;
	int64_t seconds;

	if (!number(&s, 4, 0, 9999, &year) || !literal(&s, '-') ||
	    !number(&s, 2, 1, 12, &month) || !literal(&s, '-') ||
	    !number(&s, 2, 1, civil_month_days(year, month), &mday))
		return false;
	if (!literal(&s, 'T') && !literal(&s, 't'))
		return false;
	if (!number(&s, 2, 0, 23, &hour) || !literal(&s, ':') ||
	    !number(&s, 2, 0, 59, &minute) || !literal(&s, ':') ||
	    !number(&s, 2, 0, 59, &second) || !fraction(&s, &micro) ||
	    !zone(&s, &offset) || *s != '\0')
		return false;
	seconds = civil_day(year, month, mday) * 86400 + hour * 3600 +
		  minute * 60 + second - offset * 60;
	*us = seconds * 1000000 + micro;
	return true;
}
