/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/*
 * Growing and shared bytes.
 */

static void
test_add(void)
{
	struct buf b = { 0 };
	char *taken;
	int i;

	buf_add(&b, "", 0);
	CU_ASSERT_STRING_EQUAL(b.data, "");
	for (i = 0; i < 1000; i++)
		buf_add_char(&b, 'x');
	buf_add_str(&b, "end");
	CU_ASSERT_EQUAL(b.len, 1003);
	CU_ASSERT_STRING_EQUAL(b.data + 1000, "end");
	buf_drain(&b, 1001);
	CU_ASSERT_STRING_EQUAL(b.data, "nd");
	buf_drain(&b, 0);
	buf_reset(&b);
	CU_ASSERT_STRING_EQUAL(b.data, "");
	buf_printf(&b, "%s %5000d", "n", 1);
	CU_ASSERT_EQUAL(b.len, 5002);
	CU_ASSERT_EQUAL(b.data[5001], '1');
	taken = buf_take(&b);
	CU_ASSERT_EQUAL(strlen(taken), 5002);
	free(taken);
	CU_ASSERT_PTR_NULL(b.data);
	taken = buf_take(&b);
	CU_ASSERT_STRING_EQUAL(taken, "");
	free(taken);
	buf_free(&b);
}

static void
test_int(void)
{
	static const struct {
		int64_t i;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 7, "7" },
		{ -10, "-10" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };

		buf_add_int(&b, cases[i].i);
		CU_ASSERT_STRING_EQUAL(b.data, cases[i].text);
		buf_free(&b);
	}
}

static void
test_json_str(void)
{
	static const char raw[] = "a\"\\\b\f\n\r\t\x01\x1f\x7f/\xc3\xa9";
	struct buf b = { 0 };

	buf_add_json_str(&b, raw, sizeof(raw)); /* with its NUL */
	CU_ASSERT_STRING_EQUAL(b.data,
	    "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\xc3\xa9\\u0000\"");
	buf_reset(&b);
	buf_add_json_str(&b, "", 0);
	CU_ASSERT_STRING_EQUAL(b.data, "\"\"");
	buf_free(&b);
}

static void
test_shared(void)
{
	struct rcbuf *r = rcbuf_new("ab\0c", 4);

	CU_ASSERT_EQUAL(r->len, 4);
	CU_ASSERT_EQUAL(memcmp(r->data, "ab\0c", 5), 0);
	CU_ASSERT_PTR_EQUAL(rcbuf_ref(r), r);
	rcbuf_unref(r);
	CU_ASSERT_EQUAL(r->data[3], 'c');
	rcbuf_unref(r);
	rcbuf_unref(NULL);
	r = rcbuf_new(NULL, 0);
	CU_ASSERT_STRING_EQUAL(r->data, "");
	rcbuf_unref(r);
}

static void
test_mem(void)
{
	char *s = xasprintf("%d-%s", 12, "x");

	CU_ASSERT_STRING_EQUAL(s, "12-x");
	free(s);
	CU_ASSERT_PTR_NULL(xstrdup(NULL));
	s = xstrndup("abc", 2);
	CU_ASSERT_STRING_EQUAL(s, "ab");
	s = xrealloc(s, 0);
	CU_ASSERT_PTR_NOT_NULL(s);
	free(s);
	s = xcalloc(0, 8);
	CU_ASSERT_PTR_NOT_NULL(s);
	free(s);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "add, drain, take", test_add },
		{ "integers", test_int },
		{ "JSON strings", test_json_str },
		{ "shared bytes", test_shared },
		{ "memory that cannot fail", test_mem },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "buf", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
