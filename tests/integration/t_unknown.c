/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/operator.h"
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * Tool calls whose outcome is not known, by the class of their effect, and what
 * people say about them.
 */

static const struct fake_call maybe = { .fail = ERR_UNAVAILABLE,
	.maybe_done = true };
static const struct fake_call all_maybe[] = { { .fail = ERR_UNAVAILABLE,
						  .maybe_done = true },
	{ .fail = ERR_UPSTREAM_UNAVAILABLE, .maybe_done = true },
	{ .fail = ERR_TIMEOUT }, { .fail = ERR_CRASHED },
	{ .fail = ERR_UNAVAILABLE, .maybe_done = true } };

/* ---- Once ---------------------------------------------------------- */

static void
timed_out(void)
{
	fake.timeout_ms = 20;
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM messages WHERE"
				  " run_id = $1 AND role = 'tool'"),
	    0);
	CU_ASSERT_EQUAL(people_resolve(0, "happened", "order 17"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake_was_told("order 17"));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "answered"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text(
				   "SELECT resolution FROM tool_invocations"
				   " WHERE run_id = $1"),
	    "operator");
}

static void
test_timed_out(void)
{
	people_run(timed_out, NULL, "t_U {}", NULL, NULL);
}

static void
not_happened(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(people_resolve(0, "not_happened", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_FALSE(fake_same_key(0, 1));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT idem_key FROM tool_invocations"
					" WHERE run_id = $1"),
	    fake.idem_keys[1]);
}

static void
test_not_happened(void)
{
	people_run(not_happened, NULL, "t_U {}", NULL, NULL);
}

/* It did not happen, and when it is made again it is unknown again. */
static void
unknown_twice(void)
{
	fake_calls(all_maybe, 2);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(people_resolve(0, "not_happened", NULL), AS_OK);
	while (fake.n_tools < 2)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(bed_items("outcome", "answered"), 1);
	CU_ASSERT_EQUAL(people_resolve(0, "not_happened", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_FALSE(
	    fake_same_key(0, 1) || fake_same_key(1, 2) || fake_same_key(0, 2));
}

static void
test_unknown_twice(void)
{
	people_run(unknown_twice, NULL, "t_U {}", NULL, NULL);
}

static void
skipped(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(people_resolve(0, "skip", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_calls("skipped"), 1);
	CU_ASSERT_TRUE(fake_was_told("has skipped this call"));
	CU_ASSERT_TRUE(fake_was_told("\"is_error\":true"));
}

static void
test_skipped(void)
{
	people_run(skipped, NULL, "t_U {}", NULL, NULL);
}

/* Each is decided on its own; the run goes on after the last one. */
static void
two_unknown(void)
{
	fake_calls(all_maybe, 2);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(2);
	error_clear(&bed.err);
	CU_ASSERT_EQUAL(run_resume(&bed.ctx, bed.run_id, "retry", NULL,
			    &bed.err),
	    AS_CONFLICT);
	CU_ASSERT_EQUAL(people_resolve(1, "not_happened", NULL), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(people_resolve(1, "skip", NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL(people_resolve(0, "happened", "seen"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 2);
	CU_ASSERT_TRUE(fake_was_told("seen"));
}

static void
test_two_unknown(void)
{
	people_run(two_unknown, NULL, "t_U {}", "t_U {}", NULL);
}

/* What is known besides is told to the model, after all is decided. */
static void
one_of_two(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(people_resolve(0, "happened", "seen"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(fake_was_told("seen") && fake_was_told("{\\\"x\\\":1}"));
}

static void
test_one_of_two(void)
{
	people_run(one_of_two, NULL, "t_U {}", "t_P {\"x\":1}", NULL);
}

static void
cancelled(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	bed_cancel(false);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"cancelled\"");
	CU_ASSERT_EQUAL(bed_items("outcome", "dismissed"), 1);
	bed_message(-1, "tool",
	    bed_text("SELECT result FROM tool_invocations"
		     " WHERE run_id = $1"),
	    "final");
	CU_ASSERT_EQUAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake_was_told("it may have happened (key as1-"));
	CU_ASSERT_FALSE(fake_was_told("No result:"));
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_cancelled(void)
{
	people_run(cancelled, NULL, "t_U {}", NULL, NULL);
}

static void
superseded(void)
{
	struct uuid first;

	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	first = bed.run_id;
	CU_ASSERT_EQUAL(bed_send("never mind"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake_was_told("it may have happened (key as1-"));
	bed.run_id = first;
	CU_ASSERT_EQUAL(bed_items("outcome", "superseded"), 1);
	CU_ASSERT_EQUAL(people_resolve(0, "happened", NULL), AS_CONFLICT);
}

static void
test_superseded(void)
{
	people_run(superseded, NULL, "t_U {}", NULL, NULL);
}

/* ---- The other classes --------------------------------------------- */

static void
same_key_again(void)
{
	fake_calls(all_maybe, 4);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 5);
	for (int i = 1; i < 5; i++)
		CU_ASSERT_TRUE(fake_same_key(0, i));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_keyed(void)
{
	people_run(same_key_again, NULL, "t_K {}", NULL, NULL);
}

static void
test_repeated(void)
{
	people_run(same_key_again, NULL, "t_N {}", NULL, NULL);
}

static void
never_known(void)
{
	fake_calls(all_maybe, 5);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 5);
}

static void
test_never_known(void)
{
	people_run(never_known, NULL, "t_K {}", NULL, NULL);
}

/* The service has forgotten the key: sent again, it would happen again. */
static void
key_is_over(void)
{
	fake.key_valid_ms = 1;
	fake.timeout_ms = 20;
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_key_is_over(void)
{
	people_run(key_is_over, NULL, "t_K {}", NULL, NULL);
}

static void
verified(void)
{
	fake.verify = AS_OK;
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(fake.n_verifies, 1);
	CU_ASSERT_TRUE(fake_was_told("it happened"));
	CU_ASSERT_STRING_EQUAL(bed_text(
				   "SELECT resolution FROM tool_invocations"
				   " WHERE run_id = $1"),
	    "verify");
}

static void
test_verified(void)
{
	people_run(verified, NULL, "t_V {}", NULL, NULL);
}

static void
verified_not(void)
{
	fake.verify = AS_NOTFOUND;
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(fake.n_verifies, 1);
	CU_ASSERT_TRUE(fake_same_key(0, 1));
}

static void
test_verified_not(void)
{
	people_run(verified_not, NULL, "t_V {}", NULL, NULL);
}

/* The call has used up its time; whether it happened can be asked. */
static void
verified_after_its_time(void)
{
	fake.verify = AS_OK;
	fake.timeout_ms = 20;
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(fake.n_verifies, 1);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_TRUE(fake_was_told("it happened"));
}

static void
test_verified_after_its_time(void)
{
	people_run(verified_after_its_time, NULL, "t_V {}", NULL, NULL);
}

/* Others may ask as soon as the row's time is over: it is not sent then. */
static void
verified_not_after_its_time(void)
{
	fake.verify = AS_NOTFOUND;
	fake.timeout_ms = 20;
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(fake.n_verifies, 1);
	CU_ASSERT_EQUAL(bed_calls("failed"), 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_verified_not_after_its_time(void)
{
	people_run(verified_not_after_its_time, NULL, "t_V {}", NULL, NULL);
}

static void
verify_fails(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	people_wait_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake.n_verifies > 1);
}

static void
test_verify_fails(void)
{
	people_run(verify_fails, NULL, "t_V {}", NULL, NULL);
}

/* A call that only reads: the model may ask again. */
static void
only_read(void)
{
	fake_calls(&all_maybe[1], 2);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(bed_calls("failed"), 2);
	CU_ASSERT_TRUE(
	    fake_was_told("Error UPSTREAM_UNAVAILABLE: the tool says no"));
	CU_ASSERT_TRUE(fake_was_told("Error TIMEOUT: the tool says no"));
}

static void
test_only_read(void)
{
	people_run(only_read, NULL, "t_P {}", "t_P {}", NULL);
}

/* It has certainly not happened: then its class does not matter. */
static void
refused(void)
{
	static const struct fake_call list[] = { { .fail = ERR_RATE_LIMITED,
						     .retry_after_ms = 50 },
		{ .fail = ERR_UNAVAILABLE } };

	fake_calls(list, 2);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_TRUE(fake_same_key(0, 1) && fake_same_key(0, 2));
	CU_ASSERT_TRUE(fake.tools_ms[1] - fake.tools_ms[0] >= 50);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
}

static void
test_refused(void)
{
	people_run(refused, NULL, "t_U {}", NULL, NULL);
}

static void
always_refused(void)
{
	static const struct fake_call list[] = { { .fail = ERR_RATE_LIMITED },
		{ .fail = ERR_RATE_LIMITED }, { .fail = ERR_RATE_LIMITED },
		{ .fail = ERR_RATE_LIMITED }, { .fail = ERR_RATE_LIMITED } };

	fake_calls(list, 5);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 5);
	CU_ASSERT_EQUAL(bed_calls("failed"), 1);
	CU_ASSERT_TRUE(fake_was_told("Error RATE_LIMITED"));
}

static void
test_always_refused(void)
{
	people_run(always_refused, NULL, "t_U {}", NULL, NULL);
}

/* A cancel while a call waits for its next try. */
static SUSPENDS void
cancel_pause(const struct fake_call *first, const char *state)
{
	fake_calls(first, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_tools < 1)
		fiber_yield();
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_calls(state), 1);
}

static void
cancel_pause_refused(void)
{
	static const struct fake_call no = { .fail = ERR_RATE_LIMITED,
		.retry_after_ms = 60000 };

	cancel_pause(&no, "cancelled");
}

static void
cancel_pause_maybe(void)
{
	static const struct fake_call no = { .fail = ERR_UNAVAILABLE,
		.maybe_done = true,
		.retry_after_ms = 60000 };

	cancel_pause(&no, "unknown");
}

static void
test_cancel_pause(void)
{
	people_run(cancel_pause_refused, NULL, "t_U {}", NULL, NULL);
	people_run(cancel_pause_maybe, NULL, "t_K {}", NULL, NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "once: a timeout, and it happened", test_timed_out },
		{ "once: it did not happen", test_not_happened },
		{ "once: it did not happen, twice", test_unknown_twice },
		{ "once: skip it", test_skipped },
		{ "two unknown, one after the other", test_two_unknown },
		{ "one of two is unknown", test_one_of_two },
		{ "cancel among unknown calls", test_cancelled },
		{ "a message among unknown calls", test_superseded },
		{ "keyed: again with the same key", test_keyed },
		{ "repeat: again with the same key", test_repeated },
		{ "keyed: never known", test_never_known },
		{ "keyed: the key is not valid any more", test_key_is_over },
		{ "verified: it happened", test_verified },
		{ "verified: it did not", test_verified_not },
		{ "verified: after its time", test_verified_after_its_time },
		{ "verified: not, after its time",
		    test_verified_not_after_its_time },
		{ "verified: nobody knows", test_verify_fails },
		{ "none: the model is told", test_only_read },
		{ "refused: again after Retry-After", test_refused },
		{ "always refused: the model is told", test_always_refused },
		{ "cancel while a call waits", test_cancel_pause },
		CU_TEST_INFO_NULL,
	};

	return env_main("unknown", tests, env_close);
}
