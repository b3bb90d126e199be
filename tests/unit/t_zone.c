/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/sched/zone.h"
#include "core/sched/zone_rule.h"
#include "tests/tap.h"

/*
 * Zone files made by hand: what is read from them, and what is refused.  The
 * system's own are in tests/integration/t_zones.
 */

struct tz_file {
	uint8_t bytes[1024];
	size_t len;
};

static void
put(struct tz_file *f, const void *p, size_t len)
{
	MUST(f->len + len <= sizeof(f->bytes));
	memcpy(f->bytes + f->len, p, len);
	f->len += len;
}

static void
put_number(struct tz_file *f, int64_t v, int size)
{
	for (int i = size - 1; i >= 0; i--) {
		uint8_t b = (uint8_t)((uint64_t)v >> (8 * i));

		put(f, &b, 1);
	}
}

static void
put_header(struct tz_file *f, char version, int n_times)
{
	char start[20] = "TZif";

	start[4] = version;
	put(f, start, sizeof(start));
	put_number(f, 0, 4);
	put_number(f, 0, 4);
	put_number(f, 0, 4);
	put_number(f, n_times, 4);
	put_number(f, 2, 4); /* types */
	put_number(f, 8, 4); /* characters */
}

/* Two types, UTC+1 and UTC+2; the times go to the second and back again. */
static void
put_part(struct tz_file *f, char version, const int64_t *times, int n, int size)
{
	put_header(f, version, n);
	for (int i = 0; i < n; i++)
		put_number(f, times[i], size);
	for (int i = 0; i < n; i++)
		put_number(f, (i + 1) % 2, 1);
	put_number(f, 3600, 4);
	put(f, "\0\0", 2);
	put_number(f, 7200, 4);
	put(f, "\1\4", 2);
	put(f, "CET\0CES", 8);
}

static struct tz_file
file_v2(const int64_t *times, int n, const char *footer)
{
	struct tz_file f = { .len = 0 };

	put_part(&f, '2', times, n, 4);
	put_part(&f, '2', times, n, 8);
	put(&f, "\n", 1);
	put(&f, footer, strlen(footer));
	put(&f, "\n", 1);
	return f;
}

static struct zone *
parse(const struct tz_file *f)
{
	uint8_t *copy = xmalloc(f->len);
	const char *why = NULL;
	struct zone *z;

	memcpy(copy, f->bytes, f->len);
	z = zone_parse(copy, f->len, &why);
	free(copy);
	CU_ASSERT((z == NULL) == (why != NULL));
	return z;
}

static const int64_t TIMES[] = { 1000, 2000, 3000 };

static void
test_versions(void)
{
	struct tz_file v1 = { .len = 0 }, v2;
	struct zone_change c;
	struct zone *z;

	put_part(&v1, '\0', TIMES, 3, 4);
	z = parse(&v1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(z);
	CU_ASSERT_EQUAL(zone_offset(z, 999), 3600);
	CU_ASSERT_EQUAL(zone_offset(z, 1000), 7200);
	CU_ASSERT_EQUAL(zone_offset(z, 2000), 3600);
	CU_ASSERT_EQUAL(zone_offset(z, INT64_C(9999999999)), 7200);
	CU_ASSERT(zone_change_after(z, 1000, &c) && c.at == 2000 &&
		  c.before == 7200 && c.after == 3600);
	CU_ASSERT_FALSE(zone_change_after(z, 3000, &c));
	CU_ASSERT(zone_change_before(z, 2999, &c) && c.at == 2000);
	CU_ASSERT_FALSE(zone_change_before(z, 999, &c));
	zone_free(z);
	v2 = file_v2(TIMES, 2, "");
	z = parse(&v2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(z);
	CU_ASSERT_EQUAL(zone_offset(z, INT64_C(9999999999)), 3600);
	zone_free(z);
}

static void
test_footer(void)
{
	struct tz_file f = file_v2(TIMES, 2, "CET-1CEST,M3.5.0,M10.5.0/3");
	struct zone *z = parse(&f);
	struct zone_change c;
	int64_t us;

	CU_ASSERT_PTR_NOT_NULL_FATAL(z);
	text_time_parse("2051-03-26T01:00:00Z", &us);
	CU_ASSERT(zone_change_after(z, us / 1000000 - 86400, &c) &&
		  c.at == us / 1000000 && c.before == 3600 && c.after == 7200);
	CU_ASSERT_EQUAL(zone_offset(z, c.at - 1), 3600);
	CU_ASSERT_EQUAL(zone_offset(z, c.at), 7200);
	CU_ASSERT(
	    zone_change_before(z, c.at + 86400, &c) && c.at == us / 1000000);
	/* Nothing of the rule holds before the last time of the table. */
	CU_ASSERT(zone_change_before(z, 2500, &c) && c.at == 2000);
	zone_free(z);
}

static void
test_rules(void)
{
	static const char *const good[] = { "UTC0", "<+0545>-5:45",
		"EST5EDT,M3.2.0,M11.1.0", "IST-1GMT0,M10.5.0,M3.5.0/1",
		"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "XXX3EDT4,0/0,J365/23",
		"AAA-24BBB-24:59:59,J1/+1:02:03,365/-167" };
	static const char *const bad[] = { "U0", "UTC", "UTC25", "<+05-5",
		"EST5EDT", "EST5EDT,", "EST5EDT,M3.2.0", "EST5EDT,M13.1.0,J1",
		"EST5EDT,M1.6.0,J1", "EST5EDT,M1.1.7,J1", "EST5EDT,J0,J1",
		"EST5EDT,J366,J1", "EST5EDT,366,J1", "EST5EDT,J1/168,J2",
		"EST5EDT,J1,J2,", "EST5:60", "EST5:", "EST5 ", "EST0005" };
	struct zone_rule r;
	size_t i;

	for (i = 0; i < N_ITEMS(good); i++)
		CU_ASSERT_TRUE(zone_rule_parse(good[i], strlen(good[i]), &r));
	for (i = 0; i < N_ITEMS(bad); i++)
		CU_ASSERT_FALSE(zone_rule_parse(bad[i], strlen(bad[i]), &r));
}

/* Summer time all the year: no change at all. */
static void
test_always_summer(void)
{
	struct tz_file f = file_v2(NULL, 0, "XXX3EDT4,0/0,J365/23");
	struct zone *z = parse(&f);
	struct zone_change c;

	CU_ASSERT_PTR_NOT_NULL_FATAL(z);
	CU_ASSERT_EQUAL(zone_offset(z, INT64_C(1700000000)), -4 * 3600);
	CU_ASSERT_FALSE(zone_change_after(z, INT64_C(1700000000), &c));
	CU_ASSERT_FALSE(zone_change_before(z, INT64_C(1700000000), &c));
	zone_free(z);
}

/* Each length but the whole one, and each of the things that are wrong. */
static void
test_broken(void)
{
	struct tz_file f = file_v2(TIMES, 3, "CET-1"), g;
	int64_t unordered[] = { 1000, 1000 };
	size_t half = 44 + 3 * 5 + 12 + 8;

	for (g = f, g.len = 0; g.len < f.len; g.len++)
		CU_ASSERT_PTR_NULL(parse(&g));
	g = file_v2(unordered, 2, "");
	CU_ASSERT_PTR_NULL(parse(&g));
	g = file_v2(TIMES, 2, "nonsense");
	CU_ASSERT_PTR_NULL(parse(&g));
	g = f;
	g.bytes[4] = '1'; /* no such version */
	CU_ASSERT_PTR_NULL(parse(&g));
	g = f;
	g.bytes[half + 44 + 24] = 2; /* no such type */
	CU_ASSERT_PTR_NULL(parse(&g));
	g = f;
	g.bytes[half + 44 + 27] = 0x7f; /* an offset of years */
	CU_ASSERT_PTR_NULL(parse(&g));
	g = f;
	g.bytes[half + 44 + 27 + 5] = 8; /* a name behind the names */
	CU_ASSERT_PTR_NULL(parse(&g));
	g = f;
	g.bytes[half + 39] = 0; /* no types */
	CU_ASSERT_PTR_NULL(parse(&g));
	g = f;
	g.bytes[half + 31] = 1; /* a leap second */
	CU_ASSERT_PTR_NULL(parse(&g));
}

static void
test_names(void)
{
	static const char *const good[] = { "UTC", "Europe/Berlin",
		"America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT" };
	static const char *const bad[] = { "", "/etc/passwd", "../etc/passwd",
		"Europe/../../etc/passwd", "Europe//Berlin", "Europe/",
		"Europe/Berlin ", "Europe\\Berlin", "a.b", "Z\xc3\xbcrich",
		"Europe/Europe/Europe/Europe/Europe/Europe/Europe/Europe/"
		"Europe/Berlin" };
	struct error err = { 0 };
	struct zone *z;
	size_t i;

	for (i = 0; i < N_ITEMS(good); i++)
		CU_ASSERT_TRUE(zone_name_ok(good[i]));
	for (i = 0; i < N_ITEMS(bad); i++) {
		CU_ASSERT_FALSE(zone_name_ok(bad[i]));
		CU_ASSERT_EQUAL(zone_load("/", bad[i], "timezone", &z, &err),
		    AS_INVALID);
		error_clear(&err);
	}
	/* A folder, a file that is no zone, no file; UTC needs none. */
	CU_ASSERT_EQUAL(zone_load("/", "usr", "timezone", &z, &err),
	    AS_INVALID);
	error_clear(&err);
	CU_ASSERT_EQUAL(zone_load("/", "etc/passwd", "timezone", &z, &err),
	    AS_INVALID);
	error_clear(&err);
	CU_ASSERT_EQUAL(zone_load("/", "none", "timezone", &z, &err),
	    AS_INVALID);
	error_clear(&err);
	CU_ASSERT_EQUAL(zone_load("/none", "UTC", "timezone", &z, &err), AS_OK);
	CU_ASSERT_EQUAL(zone_offset(z, 0), 0);
	zone_free(z);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "versions 1 and 2", test_versions },
		{ "footer", test_footer },
		{ "rules", test_rules },
		{ "summer all the year", test_always_summer },
		{ "broken files", test_broken },
		{ "names", test_names },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "zone", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
