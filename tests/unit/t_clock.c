/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/clock.h"
#include "tests/tap.h"

/*
 * The clocks, real and driven by a test.
 */

static void
test_real(void)
{
	int64_t a = clock_mono_us(), b = clock_mono_us();

	CU_ASSERT_FALSE(clock_is_fake());
	CU_ASSERT(b >= a);
	CU_ASSERT(clock_mono_ms() >= a / 1000);
	CU_ASSERT(clock_wall_us() > INT64_C(1600000000000000));
}

static void
test_fake(void)
{
	clock_fake(5000, 1000000);
	CU_ASSERT_TRUE(clock_is_fake());
	CU_ASSERT_EQUAL(clock_mono_us(), 5000);
	CU_ASSERT_EQUAL(clock_mono_ms(), 5);
	CU_ASSERT_EQUAL(clock_wall_us(), 1000000);
	clock_advance(1500);
	CU_ASSERT_EQUAL(clock_mono_us(), 6500);
	CU_ASSERT_EQUAL(clock_mono_ms(), 6);
	CU_ASSERT_EQUAL(clock_wall_us(), 1001500);
	clock_real();
	CU_ASSERT_FALSE(clock_is_fake());
	CU_ASSERT(clock_wall_us() > 1001500);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "real", test_real },
		{ "fake", test_fake },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "clock", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
