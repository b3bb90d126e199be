/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tap.h"

#include <CUnit/TestRun.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A TAP printer for CUnit.  One test is one point, printed when it ends and
 * flushed at once, so that after a crash the last line names the test before
 * the one that crashed, and the missing plan makes the harness report it.
 */

static unsigned n_done;
static unsigned n_failed;
static const char *skip_reason;

void
tap_skip(const char *why)
{
	skip_reason = why;
}

void
tap_lacks(const char *program)
{
	tap_note("there is no %s", program);
	if (getenv("CI") == NULL)
		skip_reason = "a program is missing";
	else
		CU_FAIL("nothing may be missing where CI is set");
}

void
tap_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

bool
tap_has(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		return true;
	tap_note("'%s' is not in '%s'", part, text);
	return false;
}

static void
print_point(const char *suite, const char *test, CU_pFailureRecord failure)
{
	CU_pFailureRecord f;

	for (f = failure; f != NULL; f = f->pNext)
		printf("# %s:%u: %s\n", f->strFileName, f->uiLineNumber,
		    f->strCondition);
	n_done++;
	n_failed += failure != NULL;
	printf("%s %u - %s: %s", failure != NULL ? "not ok" : "ok", n_done,
	    suite, test);
	if (failure == NULL && skip_reason != NULL)
		printf(" # SKIP %s", skip_reason);
	putchar('\n');
	fflush(stdout);
	skip_reason = NULL;
}

static void
on_test(const CU_pTest test, const CU_pSuite suite, CU_pFailureRecord failure)
{
	print_point(suite->pName, test->pName, failure);
}

static void
on_suite_init_failure(const CU_pSuite suite)
{
	n_done++;
	n_failed++;
	printf("not ok %u - %s: suite initialisation\n", n_done, suite->pName);
	fflush(stdout);
}

static void
on_suite_cleanup_failure(const CU_pSuite suite)
{
	n_done++;
	n_failed++;
	printf("not ok %u - %s: suite cleanup\n", n_done, suite->pName);
	fflush(stdout);
}

int
tap_run(CU_SuiteInfo *suites)
{
	if (CU_initialize_registry() != CUE_SUCCESS ||
	    CU_register_suites(suites) != CUE_SUCCESS) {
		printf("Bail out! %s\n", CU_get_error_msg());
		return 1;
	}
	CU_set_test_complete_handler(on_test);
	CU_set_suite_init_failure_handler(on_suite_init_failure);
	CU_set_suite_cleanup_failure_handler(on_suite_cleanup_failure);
	CU_run_all_tests();
	CU_cleanup_registry();
	printf("1..%u\n", n_done);
	fflush(stdout);
	return n_failed != 0;
}
