/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/uuid.h"
#include "tests/tap.h"

/*
 * UUIDv7: layout, order inside a millisecond and after a step back of the
 * clock, text.
 */

static void
test_layout(void)
{
	struct uuid id;

	clock_fake(0, 2000000000123000);
	id = uuid_v7();
	CU_ASSERT_EQUAL(id.b[6] >> 4, 7);
	CU_ASSERT_EQUAL(id.b[8] >> 6, 2);
	CU_ASSERT_EQUAL(uuid_time_ms(id), 2000000000123);
	clock_advance(5000);
	CU_ASSERT_EQUAL(uuid_time_ms(uuid_v7()), 2000000000128);
	clock_real();
}

static void
test_order(void)
{
	struct uuid last, id;
	int i;

	clock_fake(0, 2000000001000000);
	last = uuid_v7();
	for (i = 0; i < 20000; i++) {
		if (i == 15000)
			clock_advance(-3600000000);
		id = uuid_v7();
		if (uuid_compare(last, id) >= 0)
			CU_FAIL("not increasing");
		last = id;
	}
	/* Full counters borrow from the next milliseconds only. */
	CU_ASSERT(uuid_time_ms(last) < 2000000001020);
	clock_real();
}

static void *
other_thread(void *out)
{
	*(struct uuid *)out = uuid_v7();
	return NULL;
}

static void
test_threads(void)
{
	struct uuid a = uuid_v7(), b;
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, other_thread, &b) == 0);
	pthread_join(thread, NULL);
	CU_ASSERT_NOT_EQUAL(memcmp(a.b + 8, b.b + 8, 8), 0);
}

/* A forked child must not repeat the random bytes of its parent. */
static void
test_fork(void)
{
	struct uuid mine, childs;
	int fds[2];
	pid_t pid;

	uuid_v7();
	MUST(pipe(fds) == 0);
	if ((pid = fork()) == 0) {
		mine = uuid_v7();
		_exit(write(fds[1], &mine, sizeof(mine)) != sizeof(mine));
	}
	MUST(pid > 0);
	mine = uuid_v7();
	CU_ASSERT_EQUAL(read(fds[0], &childs, sizeof(childs)), sizeof(childs));
	CU_ASSERT_NOT_EQUAL(memcmp(mine.b + 8, childs.b + 8, 8), 0);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	close(fds[1]);
}

static void
test_text(void)
{
	static const char good[] = "01890a5d-ac96-774b-bcce-b302099a8057";
	static const char *const bad[] = { "", "01890a5d",
		"01890A5D-ac96-774b-bcce-b302099a8057",
		"01890a5d-ac96-774b-bcce-b302099a805",
		"01890a5d-ac96-774b-bcce-b302099a80577",
		"01890a5dac96-774b-bcce-b302099a8057-",
		"01890a5d-ac96-774b-bcce-b302099a805g" };
	struct uuid id = { { 0 } }, same;
	char text[UUID_TEXT];
	size_t i;

	CU_ASSERT_TRUE(uuid_is_nil(id));
	CU_ASSERT_TRUE(uuid_parse(good, &id));
	CU_ASSERT_FALSE(uuid_is_nil(id));
	uuid_format(id, text);
	CU_ASSERT_STRING_EQUAL(text, good);
	for (i = 0; i < N_ITEMS(bad); i++)
		CU_ASSERT_FALSE(uuid_parse(bad[i], &same));
	CU_ASSERT_FALSE(uuid_parse(NULL, &same));
	same = id;
	CU_ASSERT_TRUE(uuid_equal(id, same));
	same.b[15]++;
	CU_ASSERT(uuid_compare(id, same) < 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "layout", test_layout },
		{ "order within a thread", test_order },
		{ "threads differ", test_threads },
		{ "a forked child differs", test_fork },
		{ "text", test_text },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "uuid", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
