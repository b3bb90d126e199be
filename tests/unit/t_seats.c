/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>

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
#define PEOPLE 4
#define MAX 3

static atomic_int sits[PEOPLE], n_too_many, n_taken;

static void *
take_and_leave(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		int who = i % PEOPLE;

		if (!seats_take(arg, user((uint8_t)who), MAX))
			continue;
		atomic_fetch_add(&n_taken, 1);
		if (atomic_fetch_add(&sits[who], 1) >= MAX)
			atomic_fetch_add(&n_too_many, 1);
		atomic_fetch_sub(&sits[who], 1);
		seats_leave(arg, user((uint8_t)who));
	}
	return NULL;
}

static void
test_threads(void)
{
	struct seats *s = seats_new();
	pthread_t t[MAX + 1];

	for (int i = 0; i <= MAX; i++)
		CU_ASSERT_EQUAL(pthread_create(&t[i], NULL, take_and_leave, s),
		    0);
	for (int i = 0; i <= MAX; i++)
		pthread_join(t[i], NULL);
	CU_ASSERT_EQUAL(atomic_load(&n_too_many), 0);
	CU_ASSERT_TRUE(atomic_load(&n_taken) >= ROUNDS);
	for (int i = 0; i < PEOPLE; i++)
		CU_ASSERT_TRUE(seats_have_room(s, user((uint8_t)i), 1));
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
