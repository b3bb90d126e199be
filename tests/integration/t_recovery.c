/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tests/integration/engine_env.h"

/*
 * A model that fails: it is asked again, or another one is.
 */

static void
passing(void)
{
	bed_limits()->model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start"
	    " run_status:waiting_timer run_status:running message_reset"
	    " run_status:waiting_timer run_status:running message_reset"
	    " message_end message_created checkpoint run_status:succeeded");
	CU_ASSERT_STRING_EQUAL(bed_starts(), "started retry retry");
	CU_ASSERT_EQUAL(
	    bed_count("SELECT count(*) FROM run_events WHERE run_id = $1 AND"
		      " payload LIKE '%\"state\":\"waiting_timer\",'"
		      " || '\"reason\":\"retry\",\"in_ms\":1,%'"),
	    2);
	/* What was used for nothing counts; what was said does not. */
	CU_ASSERT_STRING_EQUAL(bed_run_member("usage"),
	    "{\"input_tokens\":30,\"output_tokens\":30,\"cached_tokens\":0,"
	    "\"reasoning_tokens\":0}");
	CU_ASSERT_EQUAL(bed_count("SELECT used_tokens FROM runs WHERE id = $1"),
	    60);
	CU_ASSERT_EQUAL(bed_count("SELECT attempt FROM runs WHERE id = $1"), 0);
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT count(*) FROM messages WHERE run_id = $1"),
	    2);
	bed_message(-1, "assistant", "whole", "final");
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 0);
}

static void
test_passing(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(UNAVAILABLE),
		FAKE_FAILS(RATE_LIMITED), { .text = "whole" } };

	bed_run(passing, turns, 3);
}

/* Each answer has all its tries. */
static void
tries_anew(void)
{
	bed_limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 4);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_tries_anew(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(TIMEOUT),
		{ .calls = { "t_P {}" } }, FAKE_FAILS(TIMEOUT),
		{ .text = "ok" } };

	bed_run(tries_anew, turns, 4);
}

/* An owner knows that nobody has sent what itself has intended. */
static void
tries_then_tools(void)
{
	bed_limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(fake.n_verifies, 0);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_tries_then_tools(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(TIMEOUT),
		{ .calls = { "t_U {}", "t_V {}", "t_K {}" } },
		{ .text = "ok" } };

	bed_run(tries_then_tools, turns, 3);
}

static void
tries_spent(void)
{
	bed_limits()->model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 3);
	CU_ASSERT_EQUAL(bed_jobs(), 0);
	/* A person lets it try: as often as before. */
	CU_ASSERT_EQUAL(bed_resume("retry", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 6);
}

static void
test_tries_spent(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(UNAVAILABLE),
		FAKE_FAILS(UNAVAILABLE), FAKE_FAILS(UNAVAILABLE),
		FAKE_FAILS(UNAVAILABLE), FAKE_FAILS(UNAVAILABLE),
		{ .text = "ok" } };

	bed_run(tries_spent, turns, 6);
}

static void
hopeless(void)
{
	bed_limits()->model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 1);
	CU_ASSERT_EQUAL(bed_send("once more"), AS_OK);
	bed_until("recoverable_error"); /* by its kind */
	CU_ASSERT_EQUAL(fake.n_chats, 2);
}

static void
test_hopeless(void)
{
	const struct fake_turn turns[] = {
		{ .text = "half", .fail = ERR_UNAVAILABLE, .hopeless = true },
		FAKE_FAILS(VALIDATION_FAILED)
	};

	bed_run(hopeless, turns, 2);
}

static void
retry_after(void)
{
	bed_limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake.chats_ms[1] - fake.chats_ms[0] >= 50);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM run_events WHERE "
				  "run_id = $1 AND"
				  " payload LIKE '%\"in_ms\":51,%'"),
	    1);
}

static void
test_retry_after(void)
{
	const struct fake_turn turns[] = { { .fail = ERR_RATE_LIMITED,
					       .retry_after_ms = 50 },
		{ .text = "ok" } };

	bed_run(retry_after, turns, 2);
}

static void
fallbacks(void)
{
	bed_sql("UPDATE agents SET fallback_models = '[\"b/one\",\"c/two\"]'"
		" WHERE id = $1 AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.agent_id, bed.agent_id);
}

static void
falls_back(void)
{
	fallbacks();
	bed_limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 4);
	CU_ASSERT_STRING_EQUAL(fake.models[0], "fake/fake");
	CU_ASSERT_STRING_EQUAL(fake.models[1], "fake/fake");
	CU_ASSERT_STRING_EQUAL(fake.models[2], "b/one");
	CU_ASSERT_STRING_EQUAL(fake.models[3], "c/two");
	CU_ASSERT_STRING_EQUAL(bed_run_member("model"), "\"c/two\"");
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT model FROM messages WHERE "
					"run_id = $1"
					" AND role = 'assistant'"),
	    "c/two");
	CU_ASSERT_STRING_EQUAL(bed_starts(), "started retry retry retry");
}

static void
test_falls_back(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(UNAVAILABLE),
		FAKE_FAILS(UNAVAILABLE), FAKE_FAILS(AUTH_REQUIRED),
		{ .text = "ok" } };

	bed_run(falls_back, turns, 4);
}

static void
all_fail(void)
{
	fallbacks();
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 3);
	CU_ASSERT_STRING_EQUAL(fake.models[2], "c/two");
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 1);
}

static void
test_all_fail(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(UNAVAILABLE),
		FAKE_FAILS(UNAVAILABLE), FAKE_FAILS(UNAVAILABLE) };

	bed_run(all_fail, turns, 3);
}

#define BREAKER_EVENT \
	"SELECT payload FROM run_events WHERE run_id = $1 AND type = " \
	"'breaker'"

/* After five timeouts in a row nobody asks it any more. */
static void
breaker_opens(void)
{
	bed_limits()->model_tries = 9;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 5);
	CU_ASSERT_STRING_EQUAL(bed_text(BREAKER_EVENT),
	    "{\"service\":\"fake\",\"state\":\"open\"}");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "UPSTREAM_UNAVAILABLE"));
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_events(),
	    " breaker run_status:waiting_timer run_status:running"));
	/* With a model elsewhere it goes on there, without a try here. */
	fallbacks();
	CU_ASSERT_EQUAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 6);
	CU_ASSERT_STRING_EQUAL(fake.models[5], "b/one");
}

static void
test_breaker_opens(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(TIMEOUT),
		FAKE_FAILS(TIMEOUT), FAKE_FAILS(TIMEOUT), FAKE_FAILS(TIMEOUT),
		FAKE_FAILS(TIMEOUT), { .text = "ok" } };

	bed_run(breaker_opens, turns, 6);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a model that fails for a moment", test_passing },
		{ "each answer has all its tries", test_tries_anew },
		{ "a second try that asks for tools", test_tries_then_tools },
		{ "all tries are spent", test_tries_spent },
		{ "a failure that does not pass", test_hopeless },
		{ "Retry-After of a model", test_retry_after },
		{ "the next model is asked", test_falls_back },
		{ "all models fail", test_all_fail },
		{ "a breaker opens", test_breaker_opens },
		CU_TEST_INFO_NULL,
	};

	return env_main("recovery", tests, env_close);
}
