/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "tests/tap.h"

/*
 * SHA-256 over fields, base32.
 */

static void
test_text(void)
{
	char text[HASH_TEXT];

	hash_text("abc", 3, text);
	CU_ASSERT_STRING_EQUAL(text, "ba7816bf8f01cfea414140de5dae2223"
				     "b00361a396177a9cb410ff61f20015ad");
}

static void
fields(const char *a, const char *b, uint8_t out[HASH_LEN])
{
	struct hash h;

	hash_init(&h);
	hash_field_str(&h, a);
	hash_field_str(&h, b);
	hash_end(&h, out);
}

static void
test_fields(void)
{
	uint8_t one[HASH_LEN], two[HASH_LEN], want[HASH_LEN];
	struct hash h;

	fields("ab", "c", one);
	fields("a", "bc", two);
	CU_ASSERT_NOT_EQUAL(memcmp(one, two, HASH_LEN), 0);
	hash_init(&h);
	hash_bytes(&h, "\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c", 19);
	hash_end(&h, want);
	CU_ASSERT_EQUAL(memcmp(one, want, HASH_LEN), 0);
	hash_init(&h);
	hash_field_int(&h, -2);
	hash_end(&h, one);
	hash_init(&h);
	hash_bytes(&h, "\0\0\0\0\0\0\0\x8\xff\xff\xff\xff\xff\xff\xff\xfe", 16);
	hash_end(&h, want);
	CU_ASSERT_EQUAL(memcmp(one, want, HASH_LEN), 0);
}

/* RFC 4648, section 10, in lower case. */
static void
test_base32(void)
{
	static const char *const want[] = { "", "my", "mzxq", "mzxw6",
		"mzxw6yq", "mzxw6ytb", "mzxw6ytboi" };
	char out[32];
	size_t i;

	for (i = 0; i <= 6; i++) {
		hash_base32((const uint8_t *)"foobar", i, out, 31);
		CU_ASSERT_STRING_EQUAL(out, want[i]);
	}
	hash_base32((const uint8_t *)"foobar", 6, out, 4);
	CU_ASSERT_STRING_EQUAL(out, "mzxw");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "of text", test_text },
		{ "of fields", test_fields },
		{ "base32", test_base32 },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "hash", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
