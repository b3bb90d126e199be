/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

/* Begins when `go` is closed, says its name, ends when `stop` is. */
static void
one_process(const char *folder, int go, int stop, int names)
{
	struct loop *loop = loop_new();
	struct control *c = NULL;
	struct error err = { 0 };
	char name[CONTROL_NAME] = "", byte;

	(void)!read(go, &byte, 1);
	if (control_listen(loop, folder, never, NULL, &c, &err) == AS_OK)
		snprintf(name, sizeof(name), "%s", control_name(c));
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

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "many that start at once", test_at_once },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "control", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
