/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

/*
 * CUnit tests that print TAP.
 *
 *	static void
 *	test_push(void)
 *	{
 *		CU_ASSERT_EQUAL(1 + 1, 2);
 *	}
 *
 *	int
 *	main(void)
 *	{
 *		CU_TestInfo tests[] = {
 *			{ "push", test_push },
 *			CU_TEST_INFO_NULL,
 *		};
 *		CU_SuiteInfo suites[] = {
 *			{ "arena", NULL, NULL, NULL, NULL, tests },
 *			CU_SUITE_INFO_NULL,
 *		};
 *
 *		return tap_run(suites);
 *	}
 *
 * Each test is one line "ok N - suite: test"; a failed assertion is a comment
 * before it with file, line and condition.
 */

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <stdbool.h>

/* Run all suites; what main returns: 0, or 1 if a test failed. */
int tap_run(CU_SuiteInfo *suites);

/* The running test is reported as skipped (if nothing failed in it). */
void tap_skip(const char *why);

/* This program is missing: the test is skipped; where CI is set, it fails. */
void tap_lacks(const char *program);

/* part is in text; if it is not, a comment says what there is instead. */
bool tap_has(const char *text, const char *part);

/* A comment line in the output. */
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
