/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * Tools that ask people while they work: the run waits without them, they are
 * called again from the top, and what they have kept is there, whoever has died
 * in between.
 */

/* With every answer the same call was made once more. */
static void
same_keys(int n)
{
	CU_ASSERT_EQUAL(fake.n_tools, n);
	for (int i = 1; i < n; i++)
		CU_ASSERT_STRING_EQUAL(fake.idem_keys[i], fake.idem_keys[0]);
}

/* ---- One call ------------------------------------------------------ */

#define TWO "t_U {\"ask\":[\"a\",\"b\"]}"

static void
twice(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(bed_calls("parked"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT description FROM inbox_items "
					"WHERE run_id = $1"),
	    "Shall I?");
	CU_ASSERT_EQUAL(people_answer(0, "ignore", NULL), AS_INVALID);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	while (bed_questions("answered") < 1 || bed_questions("pending") < 1)
		fiber_yield();
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_acted, 0);
	CU_ASSERT_EQUAL(people_answer(0, "response", "\"but quickly\""), AS_OK);
	bed_until("succeeded");
	same_keys(3);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	CU_ASSERT_EQUAL(fake.n_kept, 1);
	CU_ASSERT_EQUAL(bed_questions("answered"), 2);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_TRUE(
	    fake_was_told("kept 1, a: accept {\\\"ask\\\":[\\\"a\\\","
			  "\\\"b\\\"]}, b: response but quickly"));
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start message_end"
	    " message_created tool_call checkpoint hitl_request"
	    " run_status:waiting_human hitl_resolved run_status:queued"
	    " run_status:running hitl_request run_status:waiting_human"
	    " hitl_resolved run_status:queued run_status:running"
	    " tool_result message_created checkpoint message_start message_end"
	    " message_created checkpoint run_status:succeeded");
}

static void
test_twice(void)
{
	people_run(twice, NULL, TWO, NULL, NULL);
}

/* Dead wherever it is possible: nothing is lost, and nothing is unknown. */
static void
died(void)
{
	people_begin();
	people_wait(1);
	bed_stop(true);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_EQUAL(bed_calls("parked"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"x\":2}"), AS_OK);
	while (bed_questions("answered") < 1 || bed_questions("pending") < 1)
		fiber_yield();
	people_wait(1);
	bed_stop(true);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	same_keys(3);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	CU_ASSERT_EQUAL(fake.n_kept, 1);
	CU_ASSERT_EQUAL(bed_calls("unknown"), 0);
	CU_ASSERT_TRUE(
	    fake_was_told("kept 1, a: edit {\\\"x\\\":2}, b: accept"));
	/* The arguments of the call are what they were. */
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT args FROM tool_invocations "
					"WHERE run_id = $1"),
	    "{\"ask\":[\"a\",\"b\"]}");
}

static void
test_died(void)
{
	people_run(died, NULL, TWO, NULL, NULL);
}

/* What was kept is there for a call that is sent again after a crash, too. */
static void
died_at_work(void)
{
	static const struct fake_call hangs[] = { { 0 }, { .hang = true } };

	fake_calls(hangs, 2);
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until_hanging(1);
	bed_restart(true);
	bed_until("succeeded");
	same_keys(3);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	CU_ASSERT_EQUAL(fake.n_kept, 1);
	CU_ASSERT_TRUE(fake_was_told("kept 1, a: accept"));
}

static void
test_died_at_work(void)
{
	people_run(died_at_work, NULL, "t_N {\"ask\":[\"a\"]}", NULL, NULL);
}

/* After the answer the class of its effect counts again. */
static void
died_unknown(void)
{
	static const struct fake_call hangs[] = { { 0 }, { .hang = true } };

	fake_calls(hangs, 2);
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until_hanging(1);
	bed_restart(true);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(bed_calls("unknown"), 1);
	CU_ASSERT_EQUAL(fake.n_acted, 0);
}

static void
test_died_unknown(void)
{
	people_run(died_unknown, NULL, "t_U {\"ask\":[\"a\"]}", NULL, NULL);
}

static void
approved_first(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"ask\":[\"a\"]}"), AS_OK);
	while (bed_calls("parked") < 1)
		fiber_yield();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	same_keys(2);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	CU_ASSERT_TRUE(fake_was_told("A person has changed the arguments"));
}

static void
test_approved_first(void)
{
	people_run(approved_first, "{\"default\":\"by_effect\"}", TWO, NULL,
	    NULL);
}

/* ---- Beside others ------------------------------------------------- */

/* It is answered while another call of the step is at work. */
static void
beside(void)
{
	static const struct fake_call hangs[] = { { .hang = true }, { 0 } };
	struct engine_answer a;

	fake_calls(hangs, 2);
	people_begin();
	while (bed_questions("pending") < 1)
		fiber_yield();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"running\"");
	a = people_say(1, "accept", NULL);
	CU_ASSERT_EQUAL(people_respond(&a, 1), AS_OK);
	CU_ASSERT_EQUAL(people_respond(&a, 1), AS_OK);
	a.key = "another";
	CU_ASSERT_EQUAL(people_respond(&a, 1), AS_CONFLICT);
	while (fake.n_acted < 1)
		fiber_yield();
	fake_release();
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(fake.n_kept, 1);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 1);
}

static void
test_beside(void)
{
	people_run(beside, NULL, "t_P {}", "t_U {\"ask\":[\"a\"]}", NULL);
}

static void
both(void)
{
	people_begin();
	people_wait(2);
	CU_ASSERT_EQUAL(people_answer(1, "accept", NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"waiting_human\"");
	CU_ASSERT_EQUAL(people_answer(0, "response", "\"no\""), AS_OK);
	while (bed_questions("answered") < 2 || bed_questions("pending") < 1)
		fiber_yield();
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_acted, 2);
	CU_ASSERT_EQUAL(fake.n_kept, 2);
	CU_ASSERT_EQUAL(fake.n_tools, 5);
}

static void
test_both(void)
{
	people_run(both, NULL, TWO, "t_K {\"ask\":[\"a\"]}", NULL);
}

/* ---- Nobody answers ------------------------------------------------ */

static void
expired(void)
{
	fake.expires_ms = 3600000;
	people_begin();
	people_wait(1);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	bed_sql("UPDATE inbox_items SET expires_at = 1 WHERE run_id = $1 AND $2"
		" IS NOT NULL AND tenant_id = $3 AND expires_at IS NOT NULL",
	    bed.run_id, bed.run_id);
	engine_expire(bed.engine);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_questions("expired"), 1);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	CU_ASSERT_TRUE(fake_was_told("kept 1, a: ignore"));
}

static void
test_expired(void)
{
	people_run(expired, NULL, "t_U {\"ask\":[\"a\"]}", NULL, NULL);
}

/* So long that it is no time: it waits for the person. */
static void
for_ever(void)
{
	fake.expires_ms = INT64_MAX;
	people_begin();
	people_wait(1);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_questions("expired"), 0);
	CU_ASSERT_EQUAL(fake.n_acted, 1);
}

static void
test_for_ever(void)
{
	people_run(for_ever, NULL, "t_U {\"ask\":[\"a\"]}", NULL, NULL);
}

static void
cancelled(void)
{
	people_begin();
	people_wait(1);
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(bed_questions("dismissed"), 1);
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 1);
	CU_ASSERT_EQUAL(fake.n_acted, 0);
	CU_ASSERT_EQUAL_FATAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake_was_told("stopped before this call"));
}

static void
test_cancelled(void)
{
	people_run(cancelled, NULL, TWO, NULL, NULL);
}

/* The cancel comes before the question is written. */
static void
cancelled_at_work(void)
{
	static const struct fake_call hangs[] = { { .hang = true } };

	fake.calls = hangs;
	fake.n_calls = 1;
	people_begin();
	bed_until_hanging(1);
	fake_release();
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(bed_questions("pending"), 0);
	CU_ASSERT_EQUAL(bed_calls("parked"), 0);
	CU_ASSERT_EQUAL(fake.n_acted, 0);
}

static void
test_cancelled_at_work(void)
{
	people_run(cancelled_at_work, NULL, TWO, NULL, NULL);
}

/* ---- Whose call it is ---------------------------------------------- */

/* Who has lost the run keeps nothing for it. */
static void
usurped(void)
{
	static const struct fake_call hangs[] = { { .hang = true } };
	struct engine *old;

	fake.calls = hangs;
	fake.n_calls = 1;
	people_begin();
	bed_until_hanging(1);
	old = bed_usurp();
	fake_release();
	while (fake.n_kept < 1)
		fiber_yield();
	while (fake.keep == AS_OK && fake.n_tools < 2)
		fiber_yield();
	CU_ASSERT_EQUAL(fake.keep, AS_CANCELED);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM call_notes n JOIN"
				  " tool_invocations t ON t.id ="
				  " n.invocation_id WHERE t.run_id = $1"),
	    0);
	engine_claim(bed.engine);
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_acted, 0);
	engine_free(old);
}

static void
test_usurped(void)
{
	people_run(usurped, NULL, "t_N {\"ask\":[\"a\"]}", NULL, NULL);
}

static CU_TestInfo tests[] = {
	{ "asks twice, keeps once, acts once", test_twice },
	{ "the process dies while it waits", test_died },
	{ "the process dies after the answer", test_died_at_work },
	{ "the same, of class U", test_died_unknown },
	{ "approved before it asks", test_approved_first },
	{ "answered while others are at work", test_beside },
	{ "two calls ask", test_both },
	{ "nobody answers", test_expired },
	{ "it would expire after the end of time", test_for_ever },
	{ "cancel", test_cancelled },
	{ "cancel before it has asked", test_cancelled_at_work },
	{ "somebody else has the run", test_usurped },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("ask", tests, env_close);
}
