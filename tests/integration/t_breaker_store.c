/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/breaker_store.h"

#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* What one process finds out of a service, others heed; on both databases. */

#define NOW 1000000

static bool
allows(struct breakers *b, uint64_t now_ms, uint64_t *wait_ms)
{
	enum breaker_state state;
	unsigned turn;

	if (!breaker_allow(b, "provider", now_ms, &turn, wait_ms))
		return false;
	(void)breaker_report(b, "provider", turn, now_ms, BREAKER_NO_FAULT,
	    &state);
	return true;
}

static void
time_out(struct breakers *b, int n)
{
	enum breaker_state state;
	uint64_t wait_ms;
	unsigned turn;

	for (int i = 0; i < n; i++) {
		CU_ASSERT_TRUE_FATAL(
		    breaker_allow(b, "provider", NOW, &turn, &wait_ms));
		(void)breaker_report(b, "provider", turn, NOW,
		    BREAKER_TIMED_OUT, &state);
	}
}

static SUSPENDS void
shared(void *arg)
{
	struct breakers *here = breakers_new(), *there = breakers_new();
	uint64_t wait_ms;

	(void)arg;
	time_out(here, 5);
	CU_ASSERT_FALSE(allows(here, NOW, &wait_ms));
	CU_ASSERT_TRUE(allows(there, 5, &wait_ms));
	breaker_sync(env.store, here, NOW, true);
	/* The other process has another clock. */
	breaker_sync(env.store, there, 5, true);
	CU_ASSERT_FALSE(allows(there, 5, &wait_ms));
	CU_ASSERT_TRUE(wait_ms > 5000 && wait_ms <= 15000);
	/* It tries by itself when the time is over. */
	CU_ASSERT_TRUE(allows(there, 5 + wait_ms, &wait_ms));
	/* What it has learnt is no news of its own. */
	breaker_sync(env.store, here, NOW, true);
	CU_ASSERT_FALSE(allows(here, NOW, &wait_ms));
	breakers_free(here);
	breakers_free(there);
}

static SUSPENDS void
closed(void *arg)
{
	struct breakers *here = breakers_new(), *there = breakers_new();
	enum breaker_state state = BREAKER_OPEN;
	uint64_t wait_ms, later = NOW + 15000;
	unsigned turn;

	(void)arg;
	time_out(here, 5);
	breaker_sync(env.store, here, NOW, true);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_TRUE_FATAL(
		    breaker_allow(here, "provider", later, &turn, &wait_ms));
		(void)breaker_report(here, "provider", turn, later, BREAKER_OK,
		    &state);
	}
	CU_ASSERT_EQUAL(state, BREAKER_CLOSED);
	breaker_sync(env.store, here, later, true);
	breaker_sync(env.store, there, 5, true);
	CU_ASSERT_TRUE(allows(there, 5, &wait_ms));
	breakers_free(here);
	breakers_free(there);
}

static void
test_shared(void)
{
	if (env_ready())
		env_run(shared, NULL);
}

static void
test_closed(void)
{
	if (env_ready())
		env_run(closed, NULL);
}

static CU_TestInfo tests[] = {
	{ "open for all", test_shared },
	{ "closed for all", test_closed },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("breakers", tests, env_close);
}
