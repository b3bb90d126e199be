/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/failpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/*
 * Faults on demand: which hit an action falls on, and that it is what was
 * asked for.  What ends a process is tried in a child.
 */

static void
test_nth(void)
{
	struct error err = { 0 };

	failpoint_clear();
	CU_ASSERT_EQUAL(failpoint_set("t.a=error:UNAVAILABLE,nth=3", NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(failpoint_error("t.a", &err), AS_OK);
	CU_ASSERT_EQUAL(failpoint_error("t.b", &err), AS_OK);
	CU_ASSERT_EQUAL(failpoint_error("t.a", &err), AS_OK);
	CU_ASSERT_EQUAL(err.code, ERR_NONE);
	CU_ASSERT_EQUAL(failpoint_error("t.a", &err), AS_UNAVAILABLE);
	CU_ASSERT_EQUAL(err.code, ERR_UNAVAILABLE);
	CU_ASSERT_EQUAL(failpoint_error("t.a", &err), AS_OK);
	error_clear(&err);
	/* Once more from the start. */
	failpoint_set("t.b=error:TIMEOUT;t.a=error:TIMEOUT", NULL);
	CU_ASSERT_EQUAL(failpoint_error("t.a", &err), AS_TIMEOUT);
	CU_ASSERT_EQUAL(failpoint_error("t.b", &err), AS_TIMEOUT);
	error_clear(&err);
	/* A place that cannot fail goes on. */
	failpoint_set("t.a=error:TIMEOUT", NULL);
	failpoint_hit("t.a");
}

static int
count_faults(const char *text, int n)
{
	int faults = 0;

	failpoint_clear();
	CU_ASSERT_EQUAL(failpoint_set(text, NULL), AS_OK);
	for (int i = 0; i < n; i++)
		if (failpoint_error("t.p", NULL) != AS_OK)
			faults = faults * 31 + i;
	return faults;
}

static void
test_probability(void)
{
	int n = 0;

	failpoint_clear();
	failpoint_set("t.p=error:TIMEOUT,prob=0.25,seed=7", NULL);
	for (int i = 0; i < 10000; i++)
		n += failpoint_error("t.p", NULL) != AS_OK;
	CU_ASSERT(n > 2250 && n < 2750);
	CU_ASSERT_EQUAL(count_faults("t.p=error:TIMEOUT,prob=0", 100), 0);
	CU_ASSERT_EQUAL(count_faults("t.p=error:TIMEOUT,prob=.5,seed=7", 6),
	    count_faults("t.p=error:TIMEOUT,seed=7,prob=.5", 6));
	CU_ASSERT_NOT_EQUAL(count_faults("t.p=error:TIMEOUT,prob=.5,seed=7", 6),
	    count_faults("t.p=error:TIMEOUT,prob=.5,seed=8", 6));
}

static void
test_invalid(void)
{
	static const char *const texts[] = { "t.a", "=kill", "t.a=", "t.a=die",
		"t.a=error", "t.a=error:NO_SUCH_CODE", "t.a=kill,nth=0",
		"t.a=kill,prob=2", "t.a=kill,prob=", "t.a=kill,often",
		"t.a=kill;t.b" };
	struct buf hits = { 0 };

	failpoint_clear();
	for (size_t i = 0; i < N_ITEMS(texts); i++)
		CU_ASSERT_EQUAL(failpoint_set(texts[i], NULL), AS_INVALID);
	/* Also not the half that would have been right. */
	failpoint_hit("t.a");
	failpoint_hits(&hits);
	CU_ASSERT_STRING_EQUAL(hits.data, "t.a 1\n");
	buf_free(&hits);
}

static void
test_hits(void)
{
	struct buf hits = { 0 };

	failpoint_clear();
	failpoint_set("t.never=error:TIMEOUT", NULL);
	failpoint_hit("t.one");
	failpoint_hit("t.two");
	failpoint_hit("t.two");
	failpoint_hits(&hits);
	CU_ASSERT_STRING_EQUAL(hits.data, "t.one 1\nt.two 2\n");
	buf_free(&hits);
}

/* ---- What a process does to itself --------------------------------- */

static pid_t
child_start(const char *points, const char *log)
{
	int null;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid > 0)
		return pid;
	null = open("/dev/null", O_WRONLY);
	dup2(null, STDERR_FILENO);
	setenv("AGENT_STUDIO_FAILPOINTS", points, 1);
	if (log != NULL)
		setenv("AGENT_STUDIO_FAILPOINT_LOG", log, 1);
	/* A new program, whose first hit reads the environment. */
	execl("/proc/self/exe", "t_failpoint", "hit", (char *)NULL);
	_exit(99);
}

static int
child_status(const char *points, const char *log)
{
	int status;

	MUST(waitpid(child_start(points, log), &status, 0) > 0);
	return status;
}

static void
test_actions(void)
{
	int status = child_status("t.x=kill", NULL);

	CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = child_status("t.y=abort", NULL);
	CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = child_status("t.x=kill,nth=2", NULL);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	status = child_status("t.x=no such thing", NULL);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

static void
test_stop(void)
{
	pid_t pid = child_start("t.x=stop", NULL);
	int status;

	CU_ASSERT_EQUAL(waitpid(pid, &status, WUNTRACED), pid);
	CU_ASSERT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	kill(pid, SIGCONT);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

static void
test_log(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = xasprintf("%s/t_failpoint.XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	char text[64] = "";
	int fd = mkstemp(path);

	MUST(fd >= 0);
	child_status("t.y=kill", path);
	child_status("t.x=kill", path);
	CU_ASSERT(read(fd, text, sizeof(text) - 1) > 0);
	CU_ASSERT_STRING_EQUAL(text, "t.x\nt.y\nt.x\n");
	close(fd);
	unlink(path);
	free(path);
}

static void
test_clock(void)
{
	CU_ASSERT_EQUAL(failpoint_clock_us(), 0);
	failpoint_clock_set(61000000);
	CU_ASSERT_EQUAL(failpoint_clock_us(), 61000000);
	failpoint_clear();
	CU_ASSERT_EQUAL(failpoint_clock_us(), 61000000);
	failpoint_clock_set(0);
}

int
main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
		{ "nth", test_nth },
		{ "probability", test_probability },
		{ "invalid", test_invalid },
		{ "hits", test_hits },
		{ "actions", test_actions },
		{ "stop", test_stop },
		{ "log", test_log },
		{ "clock", test_clock },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "failpoint", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	if (argc > 1 && strcmp(argv[1], "hit") == 0) {
		failpoint_hit("t.x");
		failpoint_hit("t.y");
		return 3;
	}
	return tap_run(suites);
}
