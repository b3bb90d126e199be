/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/loop/crumb.h"
#include "core/loop/fiber.h"
#include "core/loop/pool.h"
#include "tests/tap.h"

/*
 * Breadcrumbs.  Each test lets a child process work and die in its own way, and
 * looks at what it left behind.
 */

static const struct uuid guilty = { { 1, 2, 3 } };
static const struct uuid innocent = { { 9, 9, 9 } };
static char folder[] = "/tmp/agent-studio-crumbs-XXXXXX";
static void (*how)(void);

static void
parked(void *arg)
{
	(void)arg;
	fiber_crumb_set(innocent);
	(void)fiber_sleep(60000);
}

static void
dies(void *arg)
{
	(void)arg;
	how();
}

/* What it spawns works for the same. */
static void
parent(void *arg)
{
	fiber_crumb_set(guilty);
	(void)fiber_yield(); /* others run in between */
	(void)fiber_spawn(arg, "the culprit", dies, NULL);
	fiber_crumb_set((struct uuid){ { 0 } });
	(void)fiber_sleep(60000);
}

/* The wait status of a child that dies in that way. */
static int
die(void (*fn)(void), void (*run)(void *))
{
	struct loop *loop;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		how = fn;
		MUST(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2) == 2);
		MUST(crumb_open(folder, NULL) == AS_OK);
		loop = loop_new();
		(void)fiber_spawn(loop, "innocent", parked, NULL);
		(void)fiber_spawn(loop, "parent", run, loop);
		loop_run(loop);
		loop_free(loop);
		crumb_close();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	return status;
}

/* One file, with the guilty one in it, or with nobody; then none. */
static void
check_left(const char *what)
{
	struct crumb_dead *list;
	int n;

	list = crumb_dead_find(folder, &n);
	CU_ASSERT_EQUAL_FATAL(n, 1);
	if (what != NULL) {
		const struct crumb_slot *slot = crumb_dead_slot(list, 0);

		CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
		CU_ASSERT_TRUE(uuid_equal(slot->id, guilty));
		CU_ASSERT_STRING_EQUAL(slot->what, what);
	}
	CU_ASSERT_PTR_NULL(crumb_dead_slot(list, what != NULL ? 1 : 0));
	crumb_dead_remove(list);
	crumb_dead_free(list, n);
	list = crumb_dead_find(folder, &n);
	CU_ASSERT_EQUAL(n, 0);
	crumb_dead_free(list, n);
}

static void
by_fault(void)
{
	/* Not NULL: a sanitizer would end the process in its own way. */
	static volatile uintptr_t nowhere = 64;

	*(int *)nowhere = 1;
}

static void
by_division(void)
{
	raise(SIGFPE);
}

static void
by_kill(void)
{
	raise(SIGKILL);
}

static void
by_leaving(void)
{
	loop_stop(loop_self());
}

static void
test_signals(void)
{
	CU_ASSERT_NOT_EQUAL(die(by_fault, parent), 0);
	check_left("the culprit");
	CU_ASSERT_NOT_EQUAL(die(abort, parent), 0);
	check_left("the culprit");
	CU_ASSERT_NOT_EQUAL(die(by_division, parent), 0);
	check_left("the culprit");
}

static void
test_kill(void)
{
	CU_ASSERT_TRUE(WIFSIGNALED(die(by_kill, parent)));
	check_left(NULL);
}

static void
nobody_run(void *arg)
{
	(void)arg;
	abort();
}

/* Nobody works for anything when it happens. */
static void
test_nobody(void)
{
	CU_ASSERT_NOT_EQUAL(die(abort, nobody_run), 0);
	check_left(NULL);
}

static void
test_leaving(void)
{
	struct crumb_dead *list;
	int n;

	CU_ASSERT_EQUAL(die(by_leaving, parent), 0);
	list = crumb_dead_find(folder, &n);
	CU_ASSERT_EQUAL(n, 0);
	crumb_dead_free(list, n);
}

/* ---- The pool ------------------------------------------------------ */

static void
job_run(struct pool_job *job)
{
	(void)job;
	abort();
}

static void
job_free(struct pool_job *job)
{
	free(job);
}

static void
pool_fiber(void *arg)
{
	struct pool *pool = pool_new(1, 1);
	struct pool_job *job = xcalloc(1, sizeof(*job));

	(void)arg;
	fiber_crumb_set(guilty);
	job->fn = job_run;
	job->free = job_free;
	(void)pool_run(pool, job, NULL);
}

static void
test_pool(void)
{
	CU_ASSERT_NOT_EQUAL(die(abort, pool_fiber), 0);
	check_left("loop");
}

/* ---- Files --------------------------------------------------------- */

static void
test_alive(void)
{
	struct crumb_dead *list;
	int n;

	CU_ASSERT_EQUAL_FATAL(crumb_open(folder, NULL), AS_OK);
	list = crumb_dead_find(folder, &n);
	CU_ASSERT_EQUAL(n, 0);
	crumb_dead_free(list, n);
	crumb_close();
}

/* A file of something else, or cut short, accuses nobody. */
static void
test_garbage(void)
{
	char *path = xasprintf("%s/garbage", folder);
	FILE *f = fopen(path, "we");

	MUST(f != NULL);
	fputs("as-crumb-1", f);
	fclose(f);
	check_left(NULL);
	free(path);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "fatal signals name who ran", test_signals },
		{ "SIGKILL accuses nobody", test_kill },
		{ "a crash while nobody works", test_nobody },
		{ "an orderly end leaves nothing", test_leaving },
		{ "a crash on the pool", test_pool },
		{ "the file of a process that lives", test_alive },
		{ "a file that is none", test_garbage },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "crumb", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	int rc;

	MUST(mkdtemp(folder) != NULL);
	rc = tap_run(suites);
	rmdir(folder);
	return rc;
}
