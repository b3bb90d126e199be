/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/retry.h"
#include "tests/tap.h"

/*
 * What is tried again, and when.
 */

static bool
makes_sense(enum error_code code, const char *told)
{
	struct error err = { 0 };
	bool yes;

	error_set(&err, code, "x");
	if (told != NULL)
		error_member(&err, "retryable",
		    json_object_new_boolean(told[0] == 't'));
	yes = retry_makes_sense(&err);
	error_clear(&err);
	return yes;
}

static void
test_makes_sense(void)
{
	static const enum error_code yes[] = { ERR_RATE_LIMITED,
		ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_UPSTREAM_UNAVAILABLE };
	static const enum error_code no[] = { ERR_VALIDATION_FAILED,
		ERR_NOT_FOUND, ERR_FORBIDDEN, ERR_AUTH_REQUIRED, ERR_INTERNAL,
		ERR_CANCELED, ERR_CONFLICT, ERR_LIMIT_REACHED, ERR_TOO_LARGE,
		ERR_OUTCOME_UNKNOWN };

	for (size_t i = 0; i < N_ITEMS(yes); i++) {
		CU_ASSERT_TRUE(makes_sense(yes[i], NULL));
		CU_ASSERT_TRUE(makes_sense(yes[i], "true"));
		CU_ASSERT_FALSE(makes_sense(yes[i], "false"));
	}
	for (size_t i = 0; i < N_ITEMS(no); i++) {
		CU_ASSERT_FALSE(makes_sense(no[i], NULL));
		CU_ASSERT_TRUE(makes_sense(no[i], "true"));
	}
}

static void
test_maybe_done(void)
{
	struct error err = { 0 };

	error_set(&err, ERR_TIMEOUT, "x");
	CU_ASSERT_TRUE(retry_maybe_done(&err));
	error_set(&err, ERR_CRASHED, "x");
	CU_ASSERT_TRUE(retry_maybe_done(&err));
	error_set(&err, ERR_UNAVAILABLE, "x");
	CU_ASSERT_FALSE(retry_maybe_done(&err));
	error_member(&err, "maybe_done", json_object_new_boolean(true));
	CU_ASSERT_TRUE(retry_maybe_done(&err));
	error_set(&err, ERR_RATE_LIMITED, "x");
	error_member(&err, "maybe_done", json_object_new_boolean(false));
	CU_ASSERT_FALSE(retry_maybe_done(&err));
	error_clear(&err);
}

/* ---- Delays -------------------------------------------------------- */

static uint32_t asked; /* the n of the last call */

static uint32_t
lowest(void *arg, uint32_t n)
{
	(void)arg;
	asked = n;
	return 0;
}

static uint32_t
highest(void *arg, uint32_t n)
{
	(void)arg;
	asked = n;
	return n - 1;
}

static void
test_delay(void)
{
	static const int64_t caps[] = { 1000, 2000, 4000, 8000, 16000, 32000,
		64000, 120000, 120000 };

	for (size_t i = 0; i < N_ITEMS(caps); i++) {
		CU_ASSERT_EQUAL(retry_delay_ms((int64_t)i + 1, 0, lowest, NULL),
		    1);
		CU_ASSERT_EQUAL(asked, caps[i]);
		CU_ASSERT_EQUAL(retry_delay_ms((int64_t)i + 1, 0, highest,
				    NULL),
		    caps[i]);
	}
	CU_ASSERT_EQUAL(retry_delay_ms(INT64_MAX, 0, highest, NULL),
	    RETRY_CAP_MS);
	/* Nothing has failed, or so it seems: as after the first. */
	CU_ASSERT_EQUAL(retry_delay_ms(0, 0, highest, NULL), RETRY_BASE_MS);
}

/* Never before the time that the service has named, nor long after. */
static void
test_retry_after(void)
{
	int64_t ms;

	for (int64_t i = 1; i < 12; i++)
		for (int64_t after = 1; after < 200000; after *= 7) {
			ms = retry_delay_ms(i, after, lowest, NULL);
			CU_ASSERT_TRUE(ms >= after && ms < after + 1000);
			ms = retry_delay_ms(i, after, highest, NULL);
			CU_ASSERT_TRUE(ms >= after && ms < after + 1000);
		}
	/* What is no time is none. */
	CU_ASSERT_EQUAL(retry_delay_ms(1, -5, lowest, NULL), 1);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "what makes sense to try again", test_makes_sense },
		{ "what may have happened", test_maybe_done },
		{ "the cap doubles", test_delay },
		{ "Retry-After", test_retry_after },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "retry", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
