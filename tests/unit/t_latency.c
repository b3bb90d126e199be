/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/plug/latency.h"
#include "tests/tap.h"

/* Quantiles of what was counted: never too low, at most a quarter too high. */

static void
test_quantiles(void)
{
	static const double qs[] = { 0.01, 0.5, 0.9, 0.99, 0.999 };
	struct latency l = { 0 };
	double want, is;

	CU_ASSERT_EQUAL(latency_mean(&l), 0);
	CU_ASSERT_EQUAL(latency_quantile(&l, 0.99), 0);
	for (int64_t us = 1; us <= 100000; us++)
		latency_add(&l, us);
	CU_ASSERT(fabs(latency_mean(&l) - 50000.5) < 0.01);
	for (unsigned i = 0; i < 5; i++) {
		want = qs[i] * 100000;
		is = latency_quantile(&l, qs[i]);
		if (is < want || is > want * 1.25)
			tap_note("%g: %g, not %g", qs[i], is, want);
		CU_ASSERT(is >= want && is <= want * 1.25);
	}
}

static void
test_edges(void)
{
	struct latency l = { 0 };

	latency_add(&l, -5);
	CU_ASSERT_EQUAL(latency_quantile(&l, 0.5), 0);
	latency_add(&l, 3);
	latency_add(&l, 3);
	CU_ASSERT_EQUAL(latency_quantile(&l, 0.99), 3);
	latency_add(&l, INT64_MAX);
	CU_ASSERT(latency_quantile(&l, 1) > 1e9);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "quantiles", test_quantiles },
		{ "edges", test_edges },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "latency", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
