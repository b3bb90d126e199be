/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cmd/systemd.h"
#include "tests/tap.h"

/*
 * Whose the standard error is; sockets and notes are tests/e2e/activation.mjs.
 */

static void
test_journal(void)
{
	char stream[64];
	struct stat st;
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	CU_ASSERT_EQUAL_FATAL(fstat(fds[1], &st), 0);
	unsetenv("JOURNAL_STREAM");
	CU_ASSERT_FALSE(systemd_has_journal(fds[1]));
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	CU_ASSERT_TRUE(systemd_has_journal(fds[1]));
	CU_ASSERT_FALSE(systemd_has_journal(STDIN_FILENO));
	CU_ASSERT_FALSE(systemd_has_journal(-1));
	setenv("JOURNAL_STREAM", "1:2", 1);
	CU_ASSERT_FALSE(systemd_has_journal(fds[1]));
	unsetenv("JOURNAL_STREAM");
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "the journal", test_journal },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "systemd", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
