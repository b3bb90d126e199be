/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/counter.h"
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * Owners that have lost their run, or have doubts: they send nothing, and what
 * they had sent they may still report.
 */

static double
counted_late(void)
{
	return counter_value(counter_get(COUNTER, "tool_late_results_total",
	    "Results accepted from an owner that had lost its run.", NULL,
	    NULL));
}

static double
refused_late(void)
{
	const char *what = "late_result";

	return counter_value(counter_get(COUNTER, "run_writes_refused_total",
	    "Writes and decisions that came too late.", "what", &what));
}

/* Whoever has doubts about its lease sends nothing. */
static void
untrusted(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("a");
	bed.distrust = true;
	fake_release();
	bed_wait_end();
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_EQUAL(bed_calls("started"), 1);
	/* Whoever has none takes the run. */
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	/* Nor does it begin or claim anything. */
	CU_ASSERT_FALSE(engine_has_slot(bed.engine));
	bed.distrust = false;
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_untrusted(void)
{
	const struct fake_turn turns[] = {
		{ .text = "a", .calls = { "t_P {}" }, .hang = true },
		{ .text = "ok" }
	};

	bed_run(untrusted, turns, 2);
}

/* The owner that was declared dead knows best what became of its call. */
static void
late(void)
{
	double before = counted_late();
	struct engine *old;

	fake.tool_hangs = true;
	bed_send_hanging(1);
	old = bed_usurp();
	engine_claim(bed.engine);
	people_wait_unknown(1);
	fake_release();
	bed_wait_idle(old);
	/* Accepted; the run that it has lost is the new owner's. */
	CU_ASSERT_EQUAL(engine_active(old), 0);
	CU_ASSERT_EQUAL(counted_late(), before + 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "superseded"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text(
				   "SELECT resolution FROM tool_invocations"
				   " WHERE run_id = $1"),
	    "late");
	engine_claim(bed.engine);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":5}"));
	engine_free(old);
}

static void
test_late(void)
{
	people_run(late, NULL, "t_U {\"x\":5}", NULL, NULL);
}

/* It comes before the new owner has looked at the call. */
static void
late_first(void)
{
	struct engine *old;

	fake.tool_hangs = true;
	bed_send_hanging(1);
	old = bed_usurp();
	fake_release();
	bed_wait_idle(old);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	engine_claim(bed.engine);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending") +
			    bed_items("outcome", "superseded"),
	    0);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":5}"));
	engine_free(old);
}

static void
test_late_first(void)
{
	people_run(late_first, NULL, "t_U {\"x\":5}", NULL, NULL);
}

/* It comes while its new owner waits for other calls. */
static void
late_between(void)
{
	static const struct fake_call list[] = { { .hang = true },
		{ .hang = true }, { .hang = true } };
	struct engine *old;

	fake_calls(list, 3);
	bed_send_hanging(2);
	old = bed_usurp();
	engine_claim(bed.engine);
	bed_until_hanging(3);
	fake_release_call(0);
	bed_wait_idle(old);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	fake_release_call(2);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending") +
			    bed_items("outcome", "superseded"),
	    0);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":5}"));
	engine_free(old);
}

static void
test_late_between(void)
{
	people_run(late_between, NULL, "t_U {\"x\":5}", "t_P {}", NULL);
}

/* Its old owner does not know either: nothing is posted. */
static void
late_unknown(void)
{
	static const struct fake_call list[] = {
		{ .hang = true, .fail = ERR_UNAVAILABLE, .maybe_done = true }
	};
	double before = counted_late();
	struct engine *old;

	fake_calls(list, 1);
	bed_send_hanging(1);
	old = bed_usurp();
	/* It learns of its loss before its call ends. */
	old->works->lost = true;
	fake_release();
	bed_wait_idle(old);
	CU_ASSERT_EQUAL(counted_late(), before);
	CU_ASSERT_EQUAL(bed_calls("started"), 1);
	engine_claim(bed.engine);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	engine_free(old);
}

static void
test_late_unknown(void)
{
	people_run(late_unknown, NULL, "t_U {}", NULL, NULL);
}

static void
too_late(void)
{
	static const struct fake_call first[] = { { .hang = true } };
	double accepted = counted_late(), before = refused_late();
	struct engine *old;

	fake_calls(first, 1);
	bed_send_hanging(1);
	old = bed_usurp();
	engine_claim(bed.engine);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(fake_same_key(0, 1));
	fake_release();
	bed_wait_idle(old);
	CU_ASSERT_EQUAL(counted_late(), accepted);
	CU_ASSERT_EQUAL(refused_late(), before + 1);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_STRING_EQUAL(bed_text(
				   "SELECT resolution FROM tool_invocations"
				   " WHERE run_id = $1"),
	    "auto");
	engine_free(old);
}

static void
test_too_late(void)
{
	people_run(too_late, NULL, "t_K {}", NULL, NULL);
}

/* A person was faster than the result. */
static void
late_after_operator(void)
{
	double before = refused_late();
	struct engine *old;

	fake.tool_hangs = true;
	bed_send_hanging(1);
	old = bed_usurp();
	engine_claim(bed.engine);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(people_resolve(0, "happened", "seen"), AS_OK);
	bed_until("succeeded");
	fake_release();
	bed_wait_idle(old);
	CU_ASSERT_EQUAL(refused_late(), before + 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT result FROM tool_invocations"
					" WHERE run_id = $1"),
	    "seen");
	engine_free(old);
}

static void
test_late_after_operator(void)
{
	people_run(late_after_operator, NULL, "t_U {}", NULL, NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "without trust in its lease", test_untrusted },
		{ "a late result", test_late },
		{ "a late result before the takeover", test_late_first },
		{ "a late result among other calls", test_late_between },
		{ "an old owner who does not know", test_late_unknown },
		{ "a late result of what is done", test_too_late },
		{ "a late result after a person's word",
		    test_late_after_operator },
		CU_TEST_INFO_NULL,
	};

	return env_main("late", tests, env_close);
}
