/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/auth/idempotency_store.h"
#include "core/base/mem.h"
#include "core/store/store.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* What becomes of an Idempotency-Key on both databases. */

#define T0 INT64_C(1800000000000000)
#define MINUTE INT64_C(60000000)
#define DAY INT64_C(86400000000)

static struct arena *arena;
static struct error err;
static struct idem_answer answer;

static void
run(void (*fn)(void *))
{
	if (!env_ready())
		return;
	MUST(store_db_run(env.db, "DELETE FROM idempotency_keys", NULL, 0, NULL,
		 NULL) == AS_OK);
	MUST(store_clock_set(env.db, T0) == AS_OK);
	arena = arena_new(NULL);
	env_run(fn, NULL);
	error_clear(&err);
	arena_free(arena);
	store_clock_set(env.db, 0);
}

static struct idem_key
key(const char *name, const char *body)
{
	struct idem_key k = { .scope = "t u POST /x", .key = name };
	struct hash h;

	hash_init(&h);
	hash_field_str(&h, body);
	hash_end(&h, k.request);
	return k;
}

static SUSPENDS enum error_code
claim(const char *name, const char *body)
{
	struct idem_key k = key(name, body);

	error_clear(&err);
	idem_claim(env.store, &k, arena, &answer, &err);
	return err.code;
}

static SUSPENDS void
keep(const char *name, const char *body, const char *text)
{
	struct idem_key k = key(name, body);
	struct idem_answer a = { .status = 201,
		.content_type = "application/json",
		.location = "/x/1",
		.body = text,
		.len = strlen(text) };

	CU_ASSERT_EQUAL(idem_keep(env.store, &k, &a, NULL), AS_OK);
}

static void
once(void *arg)
{
	(void)arg;
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 0);
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_IDEMPOTENCY_IN_PROGRESS);
	CU_ASSERT(err.retry_after_ms > 0);
	CU_ASSERT_EQUAL(claim("k", "b"), ERR_IDEMPOTENCY_KEY_REUSED);
	keep("k", "a", "{\"id\":1}");
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 201);
	CU_ASSERT_STRING_EQUAL(answer.body, "{\"id\":1}");
	CU_ASSERT_EQUAL(answer.len, 8);
	CU_ASSERT_STRING_EQUAL(answer.location, "/x/1");
	CU_ASSERT_STRING_EQUAL(answer.content_type, "application/json");
	CU_ASSERT_EQUAL(claim("k", "b"), ERR_IDEMPOTENCY_KEY_REUSED);
	CU_ASSERT_EQUAL(claim("other", "b"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 0);
}

static void
test_once(void)
{
	run(once);
}

static void
expiry(void *arg)
{
	(void)arg;
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_NONE);
	store_clock_set(env.db, T0 + MINUTE - 1);
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_IDEMPOTENCY_IN_PROGRESS);
	/* Its process has died: somebody else may. */
	store_clock_set(env.db, T0 + MINUTE);
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 0);
	keep("k", "a", "{}");
	store_clock_set(env.db, T0 + MINUTE + DAY - 1);
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 201);
	store_clock_set(env.db, T0 + MINUTE + DAY);
	CU_ASSERT_EQUAL(claim("k", "b"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 0);
}

static void
test_expiry(void)
{
	run(expiry);
}

static void
released(void *arg)
{
	struct idem_key k = key("k", "a");

	(void)arg;
	CU_ASSERT_EQUAL(claim("k", "a"), ERR_NONE);
	CU_ASSERT_EQUAL(idem_release(env.store, &k, NULL), AS_OK);
	CU_ASSERT_EQUAL(claim("k", "b"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 0);
	/* An answer that is there stays. */
	keep("k", "b", "{}");
	k = key("k", "b");
	CU_ASSERT_EQUAL(idem_release(env.store, &k, NULL), AS_OK);
	CU_ASSERT_EQUAL(claim("k", "b"), ERR_NONE);
	CU_ASSERT_EQUAL(answer.status, 201);
}

static void
test_released(void)
{
	run(released);
}

static int n_claimed;

static void
race_one(void *arg)
{
	struct idem_key k = key("race", "a");
	struct arena *own = arena_new(NULL);
	struct idem_answer a;

	(void)arg;
	if (idem_claim(env.store, &k, own, &a, NULL) == AS_OK)
		n_claimed++;
	arena_free(own);
}

static void
race(void *arg)
{
	struct fiber_ref refs[8];

	(void)arg;
	n_claimed = 0;
	for (int i = 0; i < 8; i++)
		refs[i] = fiber_spawn(env.loop, "race", race_one, NULL);
	for (int i = 0; i < 8; i++)
		fiber_join(refs[i], 0);
	CU_ASSERT_EQUAL(n_claimed, 1);
}

static void
test_race(void)
{
	run(race);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "once", test_once },
		{ "expiry", test_expiry },
		{ "released", test_released },
		{ "eight at once", test_race },
		CU_TEST_INFO_NULL,
	};

	return env_main("idempotency", tests, env_close);
}
