/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "tests/tap.h"

/*
 * UTF-8, numbers, encodings, near names, times.
 */

static void
test_utf8(void)
{
	static const char *const good[] = { "", "plain ascii of some length",
		"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
		"\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "12345678\xc3\xa9" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf",
		"\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xff", "\xc3\x28" };
	size_t i;

	for (i = 0; i < N_ITEMS(good); i++)
		CU_ASSERT_TRUE(text_is_utf8(good[i], strlen(good[i])));
	for (i = 0; i < N_ITEMS(bad); i++)
		CU_ASSERT_FALSE(text_is_utf8(bad[i], strlen(bad[i])));
	CU_ASSERT_TRUE(text_is_utf8("a\0b", 3));
	CU_ASSERT_EQUAL(text_utf8_prefix("12345678901\xff", 12), 11);
}

static void
test_cut(void)
{
	CU_ASSERT_EQUAL(text_utf8_whole("ab", 2), 2);
	CU_ASSERT_EQUAL(text_utf8_whole("", 0), 0);
	CU_ASSERT_EQUAL(text_utf8_whole("a\xc3", 2), 1);
	CU_ASSERT_EQUAL(text_utf8_whole("a\xc3\xa9", 3), 3);
	CU_ASSERT_EQUAL(text_utf8_whole("a\xe2\x82", 3), 1);
	CU_ASSERT_EQUAL(text_utf8_whole("a\xf0\x9f\x98", 4), 1);
	CU_ASSERT_EQUAL(text_utf8_whole("\xf0\x9f\x98\x80", 4), 4);
}

static void
test_clean(void)
{
	struct buf b = { 0 };

	text_add_clean(&b, "a\xff\0b\xc3\xa9\xe2\x82", 8);
	CU_ASSERT_STRING_EQUAL(b.data, "a\xef\xbf\xbd\xef\xbf\xbd"
				       "b\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
	buf_free(&b);
}

static void
test_numbers(void)
{
	static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "1.0",
		"0x1", "9223372036854775808", "-9223372036854775809", "a" };
	int64_t n = 0;
	size_t i;

	CU_ASSERT(text_to_int("0", 0, 0, &n) && n == 0);
	CU_ASSERT(text_to_int("9223372036854775807", 0, INT64_MAX, &n) &&
		  n == INT64_MAX);
	CU_ASSERT(text_to_int("-9223372036854775808", INT64_MIN, 0, &n) &&
		  n == INT64_MIN);
	CU_ASSERT_FALSE(text_to_int("11", 0, 10, &n));
	for (i = 0; i < N_ITEMS(bad); i++)
		CU_ASSERT_FALSE(text_to_int(bad[i], INT64_MIN, INT64_MAX, &n));
}

static void
test_units(void)
{
	int64_t n = 0;

	CU_ASSERT(text_to_ms("20ms", &n) && n == 20);
	CU_ASSERT(text_to_ms("3s", &n) && n == 3000);
	CU_ASSERT(text_to_ms("5m", &n) && n == 300000);
	CU_ASSERT(text_to_ms("2h", &n) && n == 7200000);
	CU_ASSERT(text_to_ms("1d", &n) && n == 86400000);
	CU_ASSERT(text_to_ms("7", &n) && n == 7);
	CU_ASSERT_FALSE(text_to_ms("1w", &n));
	CU_ASSERT_FALSE(text_to_ms("-1s", &n));
	CU_ASSERT_FALSE(text_to_ms("s", &n));
	CU_ASSERT_FALSE(text_to_ms("999999999999999999d", &n));
	CU_ASSERT(text_to_bytes("64k", &n) && n == 65536);
	CU_ASSERT(text_to_bytes("8M", &n) && n == 8388608);
	CU_ASSERT(text_to_bytes("1G", &n) && n == 1073741824);
	CU_ASSERT_FALSE(text_to_bytes("1m", &n));
}

static long
decode(const char *from, bool plus, char *out)
{
	strcpy(out, from);
	return text_percent_decode(out, strlen(from), plus);
}

static void
test_percent(void)
{
	struct buf b = { 0 };
	char s[32];

	CU_ASSERT_EQUAL(decode("a%20b+c", false, s), 5);
	CU_ASSERT_EQUAL(memcmp(s, "a b+c", 5), 0);
	CU_ASSERT_EQUAL(decode("a+%2B", true, s), 3);
	CU_ASSERT_EQUAL(memcmp(s, "a +", 3), 0);
	CU_ASSERT_EQUAL(decode("%00", false, s), 1);
	CU_ASSERT_EQUAL(decode("%", false, s), -1);
	CU_ASSERT_EQUAL(decode("%4", false, s), -1);
	CU_ASSERT_EQUAL(decode("%4g", false, s), -1);
	text_percent_encode(&b, "a b/\xc3\xa9~", 7);
	CU_ASSERT_STRING_EQUAL(b.data, "a%20b%2F%C3%A9~");
	buf_free(&b);
}

static void
test_base64(void)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg" },
		{ "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" },
		{ "\xff\xfe\xfd", "__79" } };
	static const char *const bad[] = { "Z", "Zg=", "Zg==", "Z!", "Zh",
		"Zm9", "+/+/" };
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < N_ITEMS(pairs); i++) {
		buf_reset(&b);
		text_base64url(&b, pairs[i][0], strlen(pairs[i][0]));
		CU_ASSERT_EQUAL(b.len, strlen(pairs[i][1]));
		CU_ASSERT_EQUAL(memcmp(b.data ? b.data : "", pairs[i][1],
				    b.len),
		    0);
		buf_reset(&b);
		CU_ASSERT_TRUE(text_base64url_decode(&b, pairs[i][1],
		    strlen(pairs[i][1])));
		CU_ASSERT_STRING_EQUAL(b.data, pairs[i][0]);
	}
	buf_reset(&b);
	buf_add_str(&b, "keep");
	for (i = 0; i < N_ITEMS(bad); i++) {
		CU_ASSERT_FALSE(
		    text_base64url_decode(&b, bad[i], strlen(bad[i])));
		CU_ASSERT_STRING_EQUAL(b.data, "keep");
	}
	buf_free(&b);
}

static void
test_names(void)
{
	static const char *const names[] = { "port", "host", "loops",
		"max_body" };
	char hex[9];

	CU_ASSERT_STRING_EQUAL(text_nearest("prot", names, 4), "port");
	CU_ASSERT_STRING_EQUAL(text_nearest("loop", names, 4), "loops");
	CU_ASSERT_STRING_EQUAL(text_nearest("maxbody", names, 4), "max_body");
	CU_ASSERT_PTR_NULL(text_nearest("entirely", names, 4));
	CU_ASSERT_PTR_NULL(text_nearest("xy", names, 4));
	CU_ASSERT_PTR_NULL(text_nearest("", names, 4));
	CU_ASSERT_PTR_NULL(text_nearest("x", NULL, 0));
	CU_ASSERT_TRUE(text_has_prefix("abc", "ab"));
	CU_ASSERT_FALSE(text_has_prefix("a", "ab"));
	CU_ASSERT_TRUE(text_eq_nocase("Content-Type", "content-tYPE"));
	CU_ASSERT_FALSE(text_eq_nocase("a", "ab"));
	text_hex(hex, "\x00\x9f\xff\x01", 4);
	CU_ASSERT_STRING_EQUAL(hex, "009fff01");
}

static void
test_time(void)
{
	static const struct {
		const char *text;
		int64_t us;
	} times[] = {
		{ "1970-01-01T00:00:00.000000Z", 0 },
		{ "1969-12-31T23:59:59.999999Z", -1 },
		{ "2000-02-29T12:00:00.000000Z", 951825600000000 },
		{ "2026-11-20T21:28:03.123456Z", 1795210083123456 },
		{ "9999-12-31T23:59:59.999999Z", 253402300799999999 },
		{ "0000-01-01T00:00:00.000000Z", -62167219200000000 },
		{ "1900-03-01T00:00:00.000000Z", -2203891200000000 },
	};
	static const char *const bad[] = { "", "2026-11-20",
		"2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z", "2026-01-01 00:00:00Z",
		"2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
		"2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z",
		"2026-01-01T00:00:60Z", "2026-01-01T00:00:00+0100",
		"2026-01-01T00:00:00Zx", "2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z" };
	char text[TEXT_TIME_LEN];
	int64_t us = 0;
	size_t i;

	for (i = 0; i < N_ITEMS(times); i++) {
		text_time(text, times[i].us);
		CU_ASSERT_STRING_EQUAL(text, times[i].text);
		CU_ASSERT_TRUE(text_time_parse(times[i].text, &us));
		CU_ASSERT_EQUAL(us, times[i].us);
	}
	for (i = 0; i < N_ITEMS(bad); i++)
		CU_ASSERT_FALSE(text_time_parse(bad[i], &us));
	CU_ASSERT(text_time_parse("1970-01-01t01:30:00.5+01:30", &us) &&
		  us == 500000);
	CU_ASSERT(text_time_parse("1970-01-01T00:00:00.000000999-00:01", &us) &&
		  us == 60000000);
	text_time(text, INT64_MAX);
	CU_ASSERT_STRING_EQUAL(text, "9999-12-31T23:59:59.999999Z");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "UTF-8", test_utf8 },
		{ "cut characters", test_cut },
		{ "clean text", test_clean },
		{ "integers", test_numbers },
		{ "durations and sizes", test_units },
		{ "percent encoding", test_percent },
		{ "base64url", test_base64 },
		{ "names", test_names },
		{ "times", test_time },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "text", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
