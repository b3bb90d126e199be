/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "tests/integration/engine_env.h"

/*
 * Runs that reach a limit, and go on when it is extended; the same calls again
 * and again.
 */

static SUSPENDS void
limit_reached(const char *code)
{
	bed_until("recoverable_error");
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"), code));
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"),
	    "\"actions\":[\"extend\",\"cancel\"]"));
}

static void
steps(void)
{
	bed_limits()->max_steps = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 2);
	CU_ASSERT_EQUAL(fake.n_tools, 2); /* what was asked for is done */
	/* A retry grants nothing. */
	CU_ASSERT_EQUAL(bed_resume("retry", NULL), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 2);
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 4);
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_OK);
	bed_until("succeeded");
}

static void
test_steps(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {\"x\":1}" } },
		{ .calls = { "t_P {\"x\":2}" } },
		{ .calls = { "t_P {\"x\":3}" } },
		{ .calls = { "t_P {\"x\":4}" } }, { .text = "ok" } };

	bed_run(steps, turns, 5);
}

static void
tokens(void)
{
	bed_limits()->max_tokens = 20;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 1);
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_count("SELECT used_tokens FROM runs WHERE id = $1"),
	    40);
}

static void
cost(void)
{
	static const char *const prices[] = { "fake/fake=1,2" };
	static const struct as_list list = { prices, N_ITEMS(prices) };

	bed_limits()->prices = &list;
	bed_limits()->max_cost_micros = 30;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 1);
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT used_cost_micros FROM runs WHERE id = $1"),
	    60);
}

static const struct fake_turn two_turns[] = { { .calls = { "t_P {}" } },
	{ .text = "ok" } };

static void
test_tokens(void)
{
	bed_run(tokens, two_turns, 2);
}

static void
test_cost(void)
{
	bed_run(cost, two_turns, 2);
}

static void
wall(void)
{
	bed_limits()->max_wall_ms = 500;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	bed_message(-1, "assistant", "slow", "interrupted");
	bed_limits()->max_wall_ms = 60000;
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_OK);
	bed_until("succeeded");
}

static void
test_wall(void)
{
	const struct fake_turn turns[] = { { .text = "slow", .hang = true },
		{ .text = "ok" } };

	bed_run(wall, turns, 2);
}

static int
count_in(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
circle(void)
{
	bed_limits()->max_steps = 50;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LOOP_DETECTED");
	CU_ASSERT_EQUAL(fake.n_chats, 5);
	CU_ASSERT_EQUAL(fake.n_tools, 5);
	/* The third result says so, and no other one. */
	CU_ASSERT_EQUAL(count_in(fake.last_messages, "the same call"), 1);
	CU_ASSERT_EQUAL(bed_count("SELECT ordinal + step FROM messages WHERE "
				  "run_id = $1"
				  " AND content LIKE '%the same call%'"),
	    6);
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 7);
}

static void
test_circle(void)
{
	const struct fake_turn t = { .calls = { "t_P {\"x\":1}" } };
	const struct fake_turn turns[] = { t, t, t, t, t, t, { .text = "ok" } };

	bed_run(circle, turns, 7);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "the limit of steps, extended", test_steps },
		{ "the limit of tokens, extended", test_tokens },
		{ "the limit of cost, extended", test_cost },
		{ "the limit of time, extended", test_wall },
		{ "the same calls again and again", test_circle },
		CU_TEST_INFO_NULL,
	};

	return env_main("run limits", tests, env_close);
}
