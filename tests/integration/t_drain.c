/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * A process that stops in order: what is at work ends or is handed over.
 */

#define YIELDED \
	"SELECT count(*) FROM run_events WHERE run_id = $1 AND payload LIKE" \
	" '%\"state\":\"queued\",\"reason\":\"yielded\"%'"

static void
drain_answer(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("half");
	bed_stop(false);
	CU_ASSERT_EQUAL(engine_active(bed.engine), 0);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_count(YIELDED), 1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM jobs WHERE run_id = $1"
				  " AND state = 0"),
	    1);
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	bed_message(-1, "assistant", "whole", "final");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start"
	    " run_status:queued run_status:running message_reset message_end"
	    " message_created checkpoint run_status:succeeded");
}

static void
test_drain_answer(void)
{
	const struct fake_turn turns[] = { { .text = "half", .hang = true },
		{ .text = "whole" } };

	bed_run(drain_answer, turns, 2);
}

/* What is under way may end; what was never sent is sent by the next one. */
static void
drain_tools(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_release_soon();
	bed.drain_until = loop_now_ms(env.loop) + 20000;
	bed_stop(false);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_count(YIELDED), 1);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 2);
	CU_ASSERT_EQUAL(bed_calls("planned"), 1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	fake.tool_hangs = false;
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_STRING_EQUAL(fake.tools[2], "t_U");
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 3);
}

static const struct fake_turn three_calls[] = {
	{ .calls = { "t_P {}", "t_P {}", "t_U {}" } }, { .text = "ok" }
};

static void
test_drain_tools(void)
{
	bed_run(drain_tools, three_calls, 2);
}

/* Nothing is waited for: what was sent is found as sent, and only that. */
static void
drain_at_once(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_stop(false);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_calls("started"), 2);
	CU_ASSERT_EQUAL(bed_calls("planned"), 1);
	fake.tool_hangs = false;
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	/* Those that only read once more, the other one once. */
	CU_ASSERT_EQUAL(fake.n_tools, 2 + 3);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 3);
}

static void
test_drain_at_once(void)
{
	bed_run(drain_at_once, three_calls, 2);
}

/* A call that was refused, and waits to be made again, has not happened. */
static void
drain_refused(void)
{
	static const struct fake_call list[] = { { .fail = ERR_RATE_LIMITED,
	    .retry_after_ms = 60000 } };

	fake_calls(list, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_tools < 1)
		fiber_yield();
	bed_stop(false);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(fake_same_key(0, 1));
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_drain_refused(void)
{
	people_run(drain_refused, NULL, "t_U {}", NULL, NULL);
}

static const struct fake_call hang_and_maybe[] = {
	{ .hang = true, .fail = ERR_UNAVAILABLE, .maybe_done = true }
};

static SUSPENDS void
drain_maybe(void)
{
	fake_calls(hang_and_maybe, 1);
	bed_send_hanging(1);
	bed_release_soon();
	bed.drain_until = loop_now_ms(env.loop) + 20000;
	bed_stop(false);
}

/* What fails while the process stops may have happened as well as ever. */
static void
drain_maybe_once(void)
{
	drain_maybe();
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_EQUAL(people_resolve(0, "not_happened", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
}

static void
test_drain_maybe_once(void)
{
	people_run(drain_maybe_once, NULL, "t_U {}", NULL, NULL);
}

static void
drain_maybe_keyed(void)
{
	drain_maybe();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(fake_same_key(0, 1));
}

static void
test_drain_maybe_keyed(void)
{
	people_run(drain_maybe_keyed, NULL, "t_K {}", NULL, NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a drain while a model answers", test_drain_answer },
		{ "a drain among tools", test_drain_tools },
		{ "a drain that waits for nothing", test_drain_at_once },
		{ "a drain while a call waits", test_drain_refused },
		{ "a drain and an unknown outcome", test_drain_maybe_once },
		{ "a drain and a call with a key", test_drain_maybe_keyed },
		CU_TEST_INFO_NULL,
	};

	return env_main("drain", tests, env_close);
}
