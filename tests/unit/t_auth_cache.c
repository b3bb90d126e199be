/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>

#include "core/auth/cache.h"
#include "tests/tap.h"

/* The cache of credentials: what it forgets, and that it stays forgotten. */

#define NOW INT64_C(1000)

static struct auth_cache *cache;
static const struct uuid nil;

static int
setup(void)
{
	cache = auth_cache_new();
	return 0;
}

static int
teardown(void)
{
	auth_cache_free(cache);
	return 0;
}

static void
key_of(int n, uint8_t key[HASH_LEN])
{
	struct hash h;

	hash_init(&h);
	hash_field_int(&h, n);
	hash_end(&h, key);
}

static struct principal
person(int session, int user)
{
	struct principal p = { .role = ROLE_MEMBER };

	p.session_id.b[0] = (uint8_t)session;
	p.user_id.b[0] = (uint8_t)user;
	return p;
}

static void
put(int n, int64_t until, struct principal p)
{
	uint8_t key[HASH_LEN];

	key_of(n, key);
	auth_cache_put(cache, key, until, auth_cache_generation(cache), &p);
}

static bool
has(int n, int64_t now)
{
	uint8_t key[HASH_LEN];
	struct principal p;

	key_of(n, key);
	return auth_cache_get(cache, key, now, &p);
}

static void
test_time(void)
{
	put(1, NOW + 5, person(1, 1));
	CU_ASSERT_TRUE(has(1, NOW + 4));
	CU_ASSERT_FALSE(has(1, NOW + 5));
	CU_ASSERT_FALSE(has(2, NOW));
	put(1, NOW + 9, person(1, 1));
	CU_ASSERT_TRUE(has(1, NOW + 5));
}

static void
test_drop(void)
{
	put(10, NOW + 9, person(1, 1));
	put(11, NOW + 9, person(1, 1));
	put(12, NOW + 9, person(2, 1));
	put(13, NOW + 9, person(3, 2));
	auth_cache_drop(cache, person(1, 0).session_id, nil);
	CU_ASSERT_FALSE(has(10, NOW));
	CU_ASSERT_FALSE(has(11, NOW));
	CU_ASSERT_TRUE(has(12, NOW));
	auth_cache_drop(cache, nil, person(0, 1).user_id);
	CU_ASSERT_FALSE(has(12, NOW));
	CU_ASSERT_TRUE(has(13, NOW));
}

/* An answer of the database from before a log-out comes too late. */
static void
test_late(void)
{
	uint64_t generation = auth_cache_generation(cache);
	struct principal p = person(1, 1);
	uint8_t key[HASH_LEN];

	key_of(20, key);
	auth_cache_drop(cache, p.session_id, nil);
	auth_cache_put(cache, key, NOW + 9, generation, &p);
	CU_ASSERT_FALSE(has(20, NOW));
}

static void
test_many(void)
{
	int n = 0;

	for (int i = 0; i < 100000; i++)
		put(i, NOW + i, person(1, 1));
	for (int i = 0; i < 100000; i++)
		n += has(i, 0);
	CU_ASSERT(n > 4000 && n <= 8192);
	CU_ASSERT_TRUE(has(99999, NOW));
}

static void *
busy(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		put(i % 100, NOW + 9, person(i % 7, 1));
		has(i % 100, NOW);
		if (i % 1000 == 0)
			auth_cache_drop(cache, person(i % 7, 0).session_id,
			    nil);
	}
	return arg;
}

static void
test_threads(void)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, busy, NULL),
		    0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	auth_cache_drop(cache, nil, person(0, 1).user_id);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_FALSE(has(i, NOW));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "time", test_time },
		{ "drop", test_drop },
		{ "too late", test_late },
		{ "more than fit", test_many },
		{ "threads", test_threads },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "auth_cache", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
