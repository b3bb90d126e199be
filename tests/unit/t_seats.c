/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "core/api/seats.h"
#include "tests/tap.h"

/* Sockets of a person are counted over all threads. */

static struct uuid
user(uint8_t n)
{
	return (struct uuid){ .b = { [0] = n, [15] = 1 } };
}

static void
test_limit(void)
{
	struct seats *s = seats_new();

	CU_ASSERT(!seats_take(s, user(1), 0));
	CU_ASSERT(seats_take(s, user(1), 2));
	CU_ASSERT(seats_take(s, user(1), 2));
	CU_ASSERT(!seats_take(s, user(1), 2));
	CU_ASSERT(!seats_have_room(s, user(1), 2));
	CU_ASSERT(seats_have_room(s, user(1), 3));
	CU_ASSERT(seats_have_room(s, user(2), 2));
	CU_ASSERT(!seats_have_room(s, user(2), 0));
	CU_ASSERT(seats_take(s, user(2), 2));
	seats_leave(s, user(1));
	CU_ASSERT(seats_take(s, user(1), 2));
	seats_leave(s, user(1));
	seats_leave(s, user(1));
	seats_leave(s, user(2));
	CU_ASSERT(seats_take(s, user(1), 1));
	seats_leave(s, user(1));
	seats_free(s); /* ends the test if a seat were still taken */
}

#define ROUNDS 20000

static void *
take_and_leave(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct uuid id = user((uint8_t)i);

		if (seats_take(arg, id, 3))
			seats_leave(arg, id);
	}
	return NULL;
}

static void
test_threads(void)
{
	struct seats *s = seats_new();
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, take_and_leave, s);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	seats_free(s);
}

int
main(void)
{
	CU_TestInfo tests[] = { { "limit", test_limit },
		{ "threads", test_threads }, CU_TEST_INFO_NULL };
	CU_SuiteInfo suites[] = { { "seats", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL };

	return tap_run(suites);
}
