/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/sched/cron.h"
#include "core/sched/zone.h"
#include "tests/tap.h"

/*
 * Cron lines: what they mean on a clock that never changes, and what is wrong
 * with those that mean nothing.  Zones are in tests/integration/t_zones.
 */

static void
test_fields(void)
{
	static const struct {
		const char *line;
		uint64_t minute;
		uint32_t hour, mday;
		uint16_t month;
		uint8_t wday;
	} rows[] = {
		{ "* * * * *", 0xfffffffffffffff, 0xffffff, 0xfffffffe, 0x1ffe,
		    0x7f },
		{ "0 9 1 1 0", 1, 1 << 9, 1 << 1, 1 << 1, 1 },
		{ "0 9 1 1 7", 1, 1 << 9, 1 << 1, 1 << 1, 1 },
		{ "1-5/2,7 */6 31 jan-mar fri-sun", 0xaa, 0x41041, 1u << 31,
		    0xe, 0x61 },
		{ " 59\t23  1,2 DEC Mon,Wed ", UINT64_C(1) << 59, 1 << 23, 6,
		    1 << 12, 0xa },
		{ "5-59/30 0 * * 5-7", UINT64_C(1) << 5 | UINT64_C(1) << 35, 1,
		    0xfffffffe, 0x1ffe, 0x61 },
		{ "@hourly", 1, 0xffffff, 0xfffffffe, 0x1ffe, 0x7f },
		{ " @weekly ", 1, 1, 0xfffffffe, 0x1ffe, 1 },
		{ "@yearly", 1, 1, 2, 2, 0x7f },
	};
	char why[CRON_WHY];
	struct cron c;

	for (size_t i = 0; i < N_ITEMS(rows); i++) {
		CU_ASSERT_TRUE(cron_parse(rows[i].line, &c, why));
		CU_ASSERT_EQUAL(c.minute, rows[i].minute);
		CU_ASSERT_EQUAL(c.hour, rows[i].hour);
		CU_ASSERT_EQUAL(c.mday, rows[i].mday);
		CU_ASSERT_EQUAL(c.month, rows[i].month);
		CU_ASSERT_EQUAL(c.wday, rows[i].wday);
	}
}

static void
test_wrong(void)
{
	static const char *const rows[][2] = {
		{ "", "expected five fields" },
		{ "* * * *", "got 4" },
		{ "0 * * * * *", "got 6" },
		{ "@often", "expected @hourly" },
		{ "@daily x", "expected @hourly" },
		{ "60 * * * *", "minute: 60 is not between 0 and 59" },
		{ "-1 * * * *", "minute: a number is missing" },
		{ "a * * * *", "minute: 'a' is not a number" },
		{ "1.5 * * * *", "minute: '1.5' is not a number" },
		{ "* 24 * * *", "hour: 24 is not between 0 and 23" },
		{ "* 5-3 * * *", "hour: the range 5-3 goes backwards" },
		{ "* 1- * * *", "hour: a number is missing" },
		{ "* 1,,2 * * *", "hour: a number is missing" },
		{ "* 1, * * *", "hour: a number is missing" },
		{ "* *5 * * *", "hour: '5' is not expected here" },
		{ "* * 0 * *", "day of month: 0 is not between 1 and 31" },
		{ "* * 5/2 * *", "day of month: a step needs a range" },
		{ "* * */0 * *", "day of month: the step '0'" },
		{ "* * */32 * *", "day of month: the step '32'" },
		{ "* * */ * *", "day of month: a number is missing" },
		{ "* * * foo *", "month: 'foo' is not a number or a name" },
		{ "* * * 13 *", "month: 13 is not between 1 and 12" },
		{ "* * * mon *", "month: 'mon'" },
		{ "* * * * 8", "day of week: 8 is not between 0 and 7" },
		{ "* * * * mon-fri-sun", "day of week: '-' is not expected" },
		{ "0 0 30 2 *", "day of month: none of these months" },
		{ "0 0 31 4,6,9,11 *", "day of month: none of these months" },
		{ "* * * * monmonmonmonmonmon", "day of week: is not made of" },
		{ "99999999999999999999 * * * *", "minute: is not made of" },
		{ "\xff * * * *", "minute: is not made of" },
		{ "0\n* * * * *", "minute: '0\n' is not" },
	};
	char why[CRON_WHY], longest[CRON_LEN_MAX + 8];
	struct cron c;

	for (size_t i = 0; i < N_ITEMS(rows); i++) {
		why[0] = '\0';
		CU_ASSERT_FALSE(cron_parse(rows[i][0], &c, why));
		CU_ASSERT_PTR_NOT_NULL(strstr(why, rows[i][1]));
		if (strstr(why, rows[i][1]) == NULL)
			tap_note("'%s': %s", rows[i][0], why);
	}
	memset(longest, ' ', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	CU_ASSERT_FALSE(cron_parse(longest, &c, why));
}

/* UTC: the n-th time after one. */
static const char *
nth(const char *line, const char *after, int n)
{
	static char text[TEXT_TIME_LEN];
	struct error err = { 0 };
	char why[CRON_WHY];
	struct cron c;
	struct zone *z;
	int64_t us, t;

	MUST(cron_parse(line, &c, why));
	MUST(text_time_parse(after, &us));
	MUST(zone_load("/", "UTC", "timezone", &z, &err) == AS_OK);
	for (t = us / 1000000; n > 0 && t != CRON_NEVER; n--)
		t = cron_next(&c, z, t);
	zone_free(z);
	if (t == CRON_NEVER)
		return "never";
	text_time(text, t * 1000000);
	text[16] = '\0';
	return text;
}

static void
test_next(void)
{
	static const struct {
		const char *line, *after;
		int n;
		const char *time;
	} rows[] = {
		{ "* * * * *", "2026-01-01T00:00:00Z", 1, "2026-01-01T00:01" },
		{ "* * * * *", "2026-01-01T00:00:59Z", 1, "2026-01-01T00:01" },
		{ "0 9 * * *", "2026-01-01T09:00:00Z", 1, "2026-01-02T09:00" },
		{ "59 23 31 12 *", "2026-12-31T23:59:00Z", 1,
		    "2027-12-31T23:59" },
		{ "0 0 29 2 *", "2096-02-29T00:00:00Z", 1, "2104-02-29T00:00" },
		{ "0 0 31 * *", "2026-01-31T00:00:00Z", 1, "2026-03-31T00:00" },
		{ "@monthly", "2026-01-01T00:00:00Z", 12, "2027-01-01T00:00" },
		/* Either day will do, unless one of the fields is any. */
		{ "0 0 13 * fri", "2026-01-01T00:00:00Z", 1,
		    "2026-01-02T00:00" },
		{ "0 0 13 * fri", "2026-01-09T00:00:00Z", 1,
		    "2026-01-13T00:00" },
		{ "0 0 13 * *", "2026-01-01T00:00:00Z", 1, "2026-01-13T00:00" },
		{ "0 0 * * fri", "2026-01-02T00:00:00Z", 1,
		    "2026-01-09T00:00" },
		/* A step of * is any: both have to match. */
		{ "0 0 */10 * fri", "2026-01-01T00:00:00Z", 1,
		    "2026-05-01T00:00" },
		{ "*/20 8-9 * * mon-fri", "2026-01-02T09:39:00Z", 1,
		    "2026-01-02T09:40" },
		{ "*/20 8-9 * * mon-fri", "2026-01-02T09:40:00Z", 1,
		    "2026-01-05T08:00" },
		{ "0 0 29 2 */6", "2026-01-01T00:00:00Z", 1,
		    "2032-02-29T00:00" },
		{ "0 12 * * 7", "1969-12-01T00:00:00Z", 2, "1969-12-14T12:00" },
	};

	for (size_t i = 0; i < N_ITEMS(rows); i++) {
		const char *got = nth(rows[i].line, rows[i].after, rows[i].n);

		CU_ASSERT_STRING_EQUAL(got, rows[i].time);
		if (strcmp(got, rows[i].time) != 0)
			tap_note("%s after %s: %s", rows[i].line, rows[i].after,
			    got);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "fields", test_fields },
		{ "what is wrong", test_wrong },
		{ "next times in UTC", test_next },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "cron", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
