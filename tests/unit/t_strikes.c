/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/strikes.h"
#include "tests/tap.h"

/* Who is refused again and again waits; nobody else does. */

#define NOW 1000000

static struct uuid
user(uint8_t n)
{
	return (struct uuid){ .b = { [0] = n, [15] = 1 } };
}

static void
test_wait(void)
{
	struct strikes *s = strikes_new();

	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW), 0);
	strikes_add(s, user(1), STRIKES_FREE, NOW);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW), 0);
	strikes_add(s, user(1), 2, NOW);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW), 2 * STRIKE_MS);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(2), NOW), 0);
	/* Forgiven as time goes by, and not before. */
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW + STRIKE_MS),
	    STRIKE_MS);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW + 2 * STRIKE_MS), 0);
	strikes_add(s, user(1), 1, NOW + 2 * STRIKE_MS);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW + 2 * STRIKE_MS),
	    STRIKE_MS);
	strikes_free(s);
}

/* However many there were, it is over some seconds after the last. */
static void
test_most(void)
{
	struct strikes *s = strikes_new();
	uint64_t later = NOW + STRIKES_WAIT_MAX_MS;

	strikes_add(s, user(1), 100000, NOW);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW), STRIKES_WAIT_MAX_MS);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), later), 0);
	later += STRIKES_FREE * STRIKE_MS;
	strikes_add(s, user(1), STRIKES_FREE, later);
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), later), 0);
	strikes_free(s);
}

/* So many others that not all can be kept: the worst are, and nobody new is
 * taken for one of them. */
static void
test_many(void)
{
	struct strikes *s = strikes_new();

	strikes_add(s, user(1), 1000, NOW);
	for (int i = 0; i < 20000; i++) {
		struct uuid id = { .b = { [1] = (uint8_t)(i >> 8),
				       [2] = (uint8_t)i,
				       [7] = (uint8_t)(i >> 4),
				       [15] = (uint8_t)i } };

		CU_ASSERT_EQUAL(strikes_wait_ms(s, id, NOW), 0);
		strikes_add(s, id, 1, NOW);
	}
	CU_ASSERT_EQUAL(strikes_wait_ms(s, user(1), NOW), STRIKES_WAIT_MAX_MS);
	strikes_free(s);
}

static bool
same(const char *a, const char *b)
{
	return uuid_equal(strikes_key_of_address(a), strikes_key_of_address(b));
}

static void
test_addresses(void)
{
	CU_ASSERT(same("192.0.2.1", "192.0.2.1"));
	CU_ASSERT(!same("192.0.2.1", "192.0.2.2"));
	CU_ASSERT(same("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6"));
	CU_ASSERT(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
	CU_ASSERT(!same("192.0.2.1", "::1"));
}

int
main(void)
{
	CU_TestInfo tests[] = { { "wait", test_wait }, { "most", test_most },
		{ "many", test_many }, { "addresses", test_addresses },
		CU_TEST_INFO_NULL };
	CU_SuiteInfo suites[] = { { "strikes", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL };

	return tap_run(suites);
}
