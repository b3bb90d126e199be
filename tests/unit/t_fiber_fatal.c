/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/loop/impl.h"
#include "tests/tap.h"
#include "tests/unit/fiber_env.h"

/*
 * What ends a process, tried in a child.
 */

/* Runs fn in a child; its standard error in text, its wait status returned. */
static int
in_child(void (*fn)(void), char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd[2], status;
	pid_t pid;

	fflush(NULL);
	CU_ASSERT_FATAL(pipe(fd) == 0);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		fn();
		_exit(0);
	}
	close(fd[1]);
	while (
	    len < size - 1 && (n = read(fd[0], text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd[0]);
	CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
	return status;
}

static void
overflow_run(void *arg)
{
	(void)arg;
	CU_ASSERT_NOT_EQUAL(overflow_deep(1000000), 1);
}

static void
overflow_child(void)
{
	struct loop *l = loop_new();

	/* A neighbour, which a jump over the guard would hit. */
	fiber_spawn(l, "before", parked_run, &(int){ 0 });
	fiber_spawn(l, "GET /agents/7", overflow_run, NULL);
	loop_run(l);
}

static unsigned
n_guard_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, " ---p ") != NULL;
	fclose(f);
	return n;
}

static void
overflow_child_mprotect(void)
{
	unsigned before = n_guard_maps();
	struct loop *l;

	setenv("FIBER_MPROTECT", "1", 1);
	l = loop_new();
	fiber_spawn(l, "before", parked_run, &(int){ 0 });
	if (n_guard_maps() < before + 60)
		_exit(0); /* not what was asked for */
	overflow_child();
}

/* These three are the first tests: a process chooses its guards once. */
static void
check_overflow(void (*child)(void))
{
	static char text[16384];
	int status = in_child(child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(text, "fatal: fiber 'GET /agents/7' overflowed its "));
}

static void
test_overflow(void)
{
	check_overflow(overflow_child);
}

static void
test_overflow_mprotect(void)
{
	check_overflow(overflow_child_mprotect);
}

static void
cap_child(void)
{
	struct fiber_ref r[4];
	int n = 0;

	loop = loop_new();
	fiber_limit(3);
	for (int i = 0; i < 4; i++)
		r[i] = fiber_spawn(loop, "one", parked_run, &n);
	if (r[2].f == NULL || r[3].f != NULL)
		_exit(1);
	loop_drain(loop);
	if (fiber_spawn(loop, "again", parked_run, &n).f == NULL)
		_exit(2);
	loop_free(loop);
	_exit(n == 4 ? 0 : 3);
}

static void
test_cap(void)
{
	char text[4096];
	int status = in_child(cap_child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *
foreign_thread(void *arg)
{
	fiber_cancel(*(struct fiber_ref *)arg);
	return NULL;
}

static void
foreign_run(void *arg)
{
	struct fiber_ref self = fiber_self_ref();
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, foreign_thread, &self);
	pthread_join(t, NULL);
	_exit(0);
}

static void
foreign_child(void)
{
	struct loop *l = loop_new();

	signal(SIGABRT, SIG_DFL);
	fiber_spawn(l, "foreign", foreign_run, NULL);
	loop_run(l);
}

static void
spinning_run(void *arg)
{
	bool *done = arg;

	fiber_cancel(fiber_self_ref());
	while (!*done) {
		(void)fiber_prepare();
		(void)fiber_suspend(0);
	}
}

static void
spinning_child(void)
{
	bool done = false;
	struct loop *l = loop_new();

	signal(SIGABRT, SIG_DFL);
	fiber_spawn(l, "the top", spinning_run, &done);
	loop_run(l);
}

static void
test_spinning(void)
{
	char text[4096];
	int status = in_child(spinning_child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "the top"));
}

static void
test_foreign_thread(void)
{
	char text[4096];
	int status = in_child(foreign_child, text, sizeof(text));

	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "must hold"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "overflow", test_overflow },
		{ "overflow, mprotect", test_overflow_mprotect },
		{ "cap", test_cap },
		{ "a wait that ignores cancel", test_spinning },
		{ "foreign thread", test_foreign_thread },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "fiber fatal", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
