/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/operator.h"
#include "tests/integration/engine_env.h"

/*
 * Tool calls whose outcome is not known, by the class of their effect; what
 * people say about them; results that come late; calls that are handed over.
 */

/* Calls of the run in this state. */
/* An operator decides about the call with this ordinal. */
static SUSPENDS enum as_status
resolve(int ordinal, const char *outcome, const char *result)
{
	struct operator_filter filter = { .run_id = bed.run_id };
	struct row_page page = { .limit = 100 };
	struct json_object *list, *one, *said = NULL;
	struct uuid id = { { 0 } };
	char key[48];
	enum as_status st;

	snprintf(key, sizeof(key), "c1_%d", ordinal);
	MUST(operator_list(&bed.ctx, &filter, &page, &list, &bed.err) == AS_OK);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		one = json_object_array_get_idx(list, i);
		if (uuid_is_nil(id) && /* the newest */
		    strcmp(jget_str(jget(one, "action_request"), "tool_call_id",
			       ""),
			key) == 0)
			jget_uuid(one, "id", &id);
	}
	json_object_put(list);
	CU_ASSERT_FALSE(uuid_is_nil(id));
	if (result != NULL)
		said = json_object_new_string(result);
	error_clear(&bed.err);
	st = operator_resolve(&bed.ctx, id, outcome, said, &bed.err);
	json_object_put(said);
	return st;
}

static SUSPENDS void
parked_unknown(int n)
{
	bed_until("recoverable_error");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "OUTCOME_UNKNOWN"));
	CU_ASSERT_EQUAL(bed_calls("unknown"), n);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), n);
}

static bool
same_key(int a, int b)
{
	return strcmp(fake.idem_keys[a], fake.idem_keys[b]) == 0;
}

static bool
was_told(const char *text)
{
	return fake.last_messages != NULL &&
	       strstr(fake.last_messages, text) != NULL;
}

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

static const struct fake_call maybe = { .fail = ERR_UNAVAILABLE,
	.maybe_done = true };
static const struct fake_call all_maybe[] = { { .fail = ERR_UNAVAILABLE,
						  .maybe_done = true },
	{ .fail = ERR_UPSTREAM_UNAVAILABLE, .maybe_done = true },
	{ .fail = ERR_TIMEOUT }, { .fail = ERR_CRASHED },
	{ .fail = ERR_UNAVAILABLE, .maybe_done = true } };

static void
fake_calls(const struct fake_call *list, int n)
{
	fake.calls = list;
	fake.n_calls = n;
}

/* One call of this tool, then an answer. */
static void
run_one(void (*fn)(void), const char *call)
{
	const struct fake_turn turns[] = { { .calls = { call } },
		{ .text = "ok" }, { .text = "well" } };

	bed_run(fn, turns, 3);
}

static void
run_two(void (*fn)(void), const char *one, const char *two)
{
	const struct fake_turn turns[] = { { .calls = { one, two } },
		{ .text = "ok" }, { .text = "well" } };

	bed_run(fn, turns, 3);
}

/* ---- Once ---------------------------------------------------------- */

static void
timed_out(void)
{
	fake.timeout_ms = 20;
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM messages WHERE"
				  " run_id = $1 AND role = 'tool'"),
	    0);
	CU_ASSERT_EQUAL(resolve(0, "happened", "order 17"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(was_told("order 17"));
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
	run_one(timed_out, "t_U {}");
}

static void
not_happened(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(resolve(0, "not_happened", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_FALSE(same_key(0, 1));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT idem_key FROM tool_invocations"
					" WHERE run_id = $1"),
	    fake.idem_keys[1]);
}

static void
test_not_happened(void)
{
	run_one(not_happened, "t_U {}");
}

/* It did not happen, and when it is made again it is unknown again. */
static void
unknown_twice(void)
{
	fake_calls(all_maybe, 2);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(resolve(0, "not_happened", NULL), AS_OK);
	while (fake.n_tools < 2)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	parked_unknown(1);
	CU_ASSERT_EQUAL(bed_items("outcome", "answered"), 1);
	CU_ASSERT_EQUAL(resolve(0, "not_happened", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_FALSE(same_key(0, 1) || same_key(1, 2) || same_key(0, 2));
}

static void
test_unknown_twice(void)
{
	run_one(unknown_twice, "t_U {}");
}

static void
skipped(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(resolve(0, "skip", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_calls("skipped"), 1);
	CU_ASSERT_TRUE(was_told("has skipped this call"));
	CU_ASSERT_TRUE(was_told("\"is_error\":true"));
}

static void
test_skipped(void)
{
	run_one(skipped, "t_U {}");
}

/* Each is decided on its own; the run goes on after the last one. */
static void
two_unknown(void)
{
	fake_calls(all_maybe, 2);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(2);
	error_clear(&bed.err);
	CU_ASSERT_EQUAL(run_resume(&bed.ctx, bed.run_id, "retry", NULL,
			    &bed.err),
	    AS_CONFLICT);
	CU_ASSERT_EQUAL(resolve(1, "not_happened", NULL), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(resolve(1, "skip", NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL(resolve(0, "happened", "seen"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 2);
	CU_ASSERT_TRUE(was_told("seen"));
}

static void
test_two_unknown(void)
{
	run_two(two_unknown, "t_U {}", "t_U {}");
}

/* What is known besides is told to the model, after all is decided. */
static void
one_of_two(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(resolve(0, "happened", "seen"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(was_told("seen") && was_told("{\\\"x\\\":1}"));
}

static void
test_one_of_two(void)
{
	run_two(one_of_two, "t_U {}", "t_P {\"x\":1}");
}

static void
cancelled(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	bed_cancel(false);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"cancelled\"");
	CU_ASSERT_EQUAL(bed_items("outcome", "dismissed"), 1);
	bed_message(-1, "tool",
	    bed_text("SELECT result FROM tool_invocations"
		     " WHERE run_id = $1"),
	    "final");
	CU_ASSERT_EQUAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(was_told("it may have happened (key as1-"));
	CU_ASSERT_FALSE(was_told("No result:"));
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_cancelled(void)
{
	run_one(cancelled, "t_U {}");
}

static void
superseded(void)
{
	struct uuid first;

	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	first = bed.run_id;
	CU_ASSERT_EQUAL(bed_send("never mind"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(was_told("it may have happened (key as1-"));
	bed.run_id = first;
	CU_ASSERT_EQUAL(bed_items("outcome", "superseded"), 1);
	CU_ASSERT_EQUAL(resolve(0, "happened", NULL), AS_CONFLICT);
}

static void
test_superseded(void)
{
	run_one(superseded, "t_U {}");
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
		CU_ASSERT_TRUE(same_key(0, i));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_keyed(void)
{
	run_one(same_key_again, "t_K {}");
}

static void
test_repeated(void)
{
	run_one(same_key_again, "t_N {}");
}

static void
never_known(void)
{
	fake_calls(all_maybe, 5);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 5);
}

static void
test_never_known(void)
{
	run_one(never_known, "t_K {}");
}

/* The service has forgotten the key: sent again, it would happen again. */
static void
key_is_over(void)
{
	fake.key_valid_ms = 1;
	fake.timeout_ms = 20;
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_key_is_over(void)
{
	run_one(key_is_over, "t_K {}");
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
	CU_ASSERT_TRUE(was_told("it happened"));
	CU_ASSERT_STRING_EQUAL(bed_text(
				   "SELECT resolution FROM tool_invocations"
				   " WHERE run_id = $1"),
	    "verify");
}

static void
test_verified(void)
{
	run_one(verified, "t_V {}");
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
	CU_ASSERT_TRUE(same_key(0, 1));
}

static void
test_verified_not(void)
{
	run_one(verified_not, "t_V {}");
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
	CU_ASSERT_TRUE(was_told("it happened"));
}

static void
test_verified_after_its_time(void)
{
	run_one(verified_after_its_time, "t_V {}");
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
	run_one(verified_not_after_its_time, "t_V {}");
}

static void
verify_fails(void)
{
	fake_calls(&maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	parked_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake.n_verifies > 1);
}

static void
test_verify_fails(void)
{
	run_one(verify_fails, "t_V {}");
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
	    was_told("Error UPSTREAM_UNAVAILABLE: the tool says no"));
	CU_ASSERT_TRUE(was_told("Error TIMEOUT: the tool says no"));
}

static void
test_only_read(void)
{
	run_two(only_read, "t_P {}", "t_P {}");
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
	CU_ASSERT_TRUE(same_key(0, 1) && same_key(0, 2));
	CU_ASSERT_TRUE(fake.tools_ms[1] - fake.tools_ms[0] >= 50);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
}

static void
test_refused(void)
{
	run_one(refused, "t_U {}");
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
	CU_ASSERT_TRUE(was_told("Error RATE_LIMITED"));
}

static void
test_always_refused(void)
{
	run_one(always_refused, "t_U {}");
}

/* ---- Fences and leases --------------------------------------------- */

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

static SUSPENDS void
wait_idle(struct engine *e)
{
	while (engine_active(e) > 0)
		if (fiber_yield() != FIBER_WOKEN)
			return;
}

/* The owner that was declared dead knows best what became of its call. */
static void
late(void)
{
	double before = counted_late();
	struct engine *old;

	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	old = bed_usurp();
	engine_claim(bed.engine);
	parked_unknown(1);
	fake_release();
	wait_idle(old);
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
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":5}"));
	engine_free(old);
}

static void
test_late(void)
{
	run_one(late, "t_U {\"x\":5}");
}

/* It comes before the new owner has looked at the call. */
static void
late_first(void)
{
	struct engine *old;

	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	old = bed_usurp();
	fake_release();
	wait_idle(old);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	engine_claim(bed.engine);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending") +
			    bed_items("outcome", "superseded"),
	    0);
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":5}"));
	engine_free(old);
}

static void
test_late_first(void)
{
	run_one(late_first, "t_U {\"x\":5}");
}

/* It comes while its new owner waits for other calls. */
static void
late_between(void)
{
	static const struct fake_call list[] = { { .hang = true },
		{ .hang = true }, { .hang = true } };
	struct engine *old;

	fake_calls(list, 3);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
	old = bed_usurp();
	engine_claim(bed.engine);
	while (fake.n_hanging < 3)
		fiber_yield();
	fake_release_call(0);
	wait_idle(old);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	fake_release_call(2);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending") +
			    bed_items("outcome", "superseded"),
	    0);
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":5}"));
	engine_free(old);
}

static void
test_late_between(void)
{
	run_two(late_between, "t_U {\"x\":5}", "t_P {}");
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
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	old = bed_usurp();
	/* It learns of its loss before its call ends. */
	old->works->lost = true;
	fake_release();
	wait_idle(old);
	CU_ASSERT_EQUAL(counted_late(), before);
	CU_ASSERT_EQUAL(bed_calls("started"), 1);
	engine_claim(bed.engine);
	parked_unknown(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	engine_free(old);
}

static void
test_late_unknown(void)
{
	run_one(late_unknown, "t_U {}");
}

static void
too_late(void)
{
	static const struct fake_call first[] = { { .hang = true } };
	double accepted = counted_late(), before = refused_late();
	struct engine *old;

	fake_calls(first, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	old = bed_usurp();
	engine_claim(bed.engine);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(same_key(0, 1));
	fake_release();
	wait_idle(old);
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
	run_one(too_late, "t_K {}");
}

/* A person was faster than the result. */
static void
late_after_operator(void)
{
	double before = refused_late();
	struct engine *old;

	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	old = bed_usurp();
	engine_claim(bed.engine);
	parked_unknown(1);
	CU_ASSERT_EQUAL(resolve(0, "happened", "seen"), AS_OK);
	bed_until("succeeded");
	fake_release();
	wait_idle(old);
	CU_ASSERT_EQUAL(refused_late(), before + 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT result FROM tool_invocations"
					" WHERE run_id = $1"),
	    "seen");
	engine_free(old);
}

static void
test_late_after_operator(void)
{
	run_one(late_after_operator, "t_U {}");
}

/* ---- A stop in order ----------------------------------------------- */

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

static void
releaser(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++)
		fiber_yield();
	fake_release();
}

/* What is under way may end; what was never sent is sent by the next one. */
static void
drain_tools(void)
{
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
	fiber_spawn(env.loop, "releaser", releaser, NULL);
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
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
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
	CU_ASSERT_TRUE(same_key(0, 1));
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_drain_refused(void)
{
	run_one(drain_refused, "t_U {}");
}

static const struct fake_call hang_and_maybe[] = {
	{ .hang = true, .fail = ERR_UNAVAILABLE, .maybe_done = true }
};

static SUSPENDS void
drain_maybe(void)
{
	fake_calls(hang_and_maybe, 1);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	fiber_spawn(env.loop, "releaser", releaser, NULL);
	bed.drain_until = loop_now_ms(env.loop) + 20000;
	bed_stop(false);
}

/* What fails while the process stops may have happened as well as ever. */
static void
drain_maybe_once(void)
{
	drain_maybe();
	parked_unknown(1);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_EQUAL(resolve(0, "not_happened", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
}

static void
test_drain_maybe_once(void)
{
	run_one(drain_maybe_once, "t_U {}");
}

static void
drain_maybe_keyed(void)
{
	drain_maybe();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(same_key(0, 1));
}

static void
test_drain_maybe_keyed(void)
{
	run_one(drain_maybe_keyed, "t_K {}");
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
	run_one(cancel_pause_refused, "t_U {}");
	run_one(cancel_pause_maybe, "t_K {}");
}

static CU_TestInfo tests[] = {
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
	{ "verified: not, after its time", test_verified_not_after_its_time },
	{ "verified: nobody knows", test_verify_fails },
	{ "none: the model is told", test_only_read },
	{ "refused: again after Retry-After", test_refused },
	{ "always refused: the model is told", test_always_refused },
	{ "without trust in its lease", test_untrusted },
	{ "a late result", test_late },
	{ "a late result before the takeover", test_late_first },
	{ "a late result among other calls", test_late_between },
	{ "an old owner who does not know", test_late_unknown },
	{ "a late result of what is done", test_too_late },
	{ "a late result after a person's word", test_late_after_operator },
	{ "a drain while a model answers", test_drain_answer },
	{ "a drain among tools", test_drain_tools },
	{ "a drain that waits for nothing", test_drain_at_once },
	{ "a drain while a call waits", test_drain_refused },
	{ "a drain and an unknown outcome", test_drain_maybe_once },
	{ "a drain and a call with a key", test_drain_maybe_keyed },
	{ "cancel while a call waits", test_cancel_pause },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "unknown on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    tests },
		{ "unknown on postgres", env_postgres_open, env_close, NULL,
		    NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
