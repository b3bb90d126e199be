/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/cmd/control.h"
#include "core/cmd/control_impl.h"
#include "core/loop/loop.h"
#include "tests/tap.h"

/* The names of control sockets, when many processes start at once. */

#define PROCESSES 6
#define ROUNDS 20

static enum as_status
never(void *arg, struct json_object *request, struct json_object **result,
    struct error *err)
{
	(void)arg, (void)request, (void)result, (void)err;
	return AS_OK;
}

struct listener {
	struct loop *loop;
	const char *folder;
	struct control *control;
	enum as_status status;
	struct error err;
};

static SUSPENDS void
listen_fiber(void *arg)
{
	struct listener *l = arg;

	l->status = control_listen(l->loop, l->folder, never, NULL, &l->control,
	    &l->err);
	loop_stop(l->loop);
}

static void
listen_to(struct listener *l, const char *folder)
{
	*l = (struct listener){ .loop = loop_new(), .folder = folder };
	(void)fiber_spawn(l->loop, "listen", listen_fiber, l);
	loop_run(l->loop);
}

/* Begins when `go` is closed, says its name, ends when `stop` is. */
static void
one_process(const char *folder, int go, int stop, int names)
{
	struct listener l;
	char name[CONTROL_NAME] = "", byte;

	(void)!read(go, &byte, 1);
	listen_to(&l, folder);
	if (l.status == AS_OK)
		snprintf(name, sizeof(name), "%s", control_name(l.control));
	(void)!write(names, name, sizeof(name));
	(void)!read(stop, &byte, 1);
	_exit(0);
}

static void
names_are_good(const char *folder, char names[PROCESSES][CONTROL_NAME])
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), i, j, fd;
	int firsts = 0;

	for (i = 0; i < PROCESSES; i++) {
		firsts += strcmp(names[i], CONTROL_FIRST) == 0;
		for (j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(names[i], names[j]);
		CU_ASSERT((fd = control_connect(dir, names[i])) >= 0);
		if (fd >= 0)
			close(fd);
		unlinkat(dir, names[i], 0);
	}
	CU_ASSERT_EQUAL(firsts, 1);
	close(dir);
}

static void
round_of(const char *folder)
{
	char names[PROCESSES][CONTROL_NAME] = { { 0 } };
	int go[2], stop[2], said[2], i;

	if (pipe(go) != 0 || pipe(stop) != 0 || pipe(said) != 0)
		CU_FAIL_FATAL("no pipes");
	for (i = 0; i < PROCESSES; i++) {
		if (fork() != 0)
			continue;
		close(go[1]);
		close(stop[1]);
		one_process(folder, go[0], stop[0], said[1]);
	}
	close(go[1]);
	for (i = 0; i < PROCESSES; i++)
		CU_ASSERT_EQUAL(read(said[0], names[i], CONTROL_NAME),
		    CONTROL_NAME);
	names_are_good(folder, names);
	close(stop[1]);
	for (i = 0; i < PROCESSES; i++)
		wait(NULL);
	close(go[0]);
	close(stop[0]);
	close(said[0]);
	close(said[1]);
}

static void
test_at_once(void)
{
	char folder[] = "/tmp/agent-studio-control.XXXXXX";
	int i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	for (i = 0; i < ROUNDS; i++)
		round_of(folder);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

/* It is told who does. */
static void
test_locked(void)
{
	char folder[] = "/tmp/agent-studio-control.XXXXXX", who[64];
	struct listener l;
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(flock(fd, LOCK_EX), 0);
	listen_to(&l, folder);
	CU_ASSERT_EQUAL(l.status, AS_UNAVAILABLE);
	snprintf(who, sizeof(who), "the data folder is locked by process %d",
	    (int)getpid());
	CU_ASSERT_STRING_EQUAL(l.err.detail, who);
	error_clear(&l.err);
	loop_free(l.loop);
	close(fd);
	listen_to(&l, folder);
	CU_ASSERT_EQUAL(l.status, AS_OK);
	control_close(l.control);
	loop_drain(l.loop);
	control_free(l.control);
	loop_free(l.loop);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "many that start at once", test_at_once },
		{ "a folder that somebody keeps locked", test_locked },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "control", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
