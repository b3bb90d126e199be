/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/ambient.h"
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * A run that waits for a person: which calls do, and what each answer makes of
 * them.
 */

static const char by_effect[] = "{\"default\":\"by_effect\"}";
static const char asks[] = "{\"default\":\"by_effect\",\"questions\":true}";

static void
accepted(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_EQUAL(bed_calls("awaiting_approval"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_questions("answered"), 1);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":1}"));
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start message_end"
	    " message_created tool_call checkpoint hitl_request"
	    " run_status:waiting_human hitl_resolved run_status:queued"
	    " run_status:running tool_result message_created checkpoint"
	    " message_start message_end message_created checkpoint"
	    " run_status:succeeded");
	CU_ASSERT_STRING_EQUAL(bed_starts(), "started resumed");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM run_events WHERE"
				  " run_id = $1 AND type = 'tool_call' AND"
				  " payload LIKE '%needs_approval\":true%'"),
	    1);
}

static void
test_accepted(void)
{
	people_run(accepted, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

static void
edited(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"x\":9}"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":9}"));
	CU_ASSERT_TRUE(fake_was_told("A person has changed the arguments"));
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT args FROM tool_invocations "
					"WHERE run_id = $1"),
	    "{\"x\":9}");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM run_events WHERE"
				  " run_id = $1 AND type = 'hitl_resolved' AND"
				  " payload LIKE '%\"args\":{\"x\":9}%'"),
	    1);
}

static void
test_edited(void)
{
	people_run(edited, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

/* The class of the call is that of its new arguments. */
static void
edited_effect(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"mode\":\"read\"}"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT effect FROM tool_invocations "
					"WHERE run_id = $1"),
	    "P");
}

static void
test_edited_effect(void)
{
	people_run(edited_effect, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

static void
edited_badly(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "[1]"), AS_INVALID);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(bed_calls("awaiting_approval"), 1);
	bed_sql("UPDATE agents SET toolkits = '[]' WHERE id = $1 AND $2 IS NOT"
		" NULL AND tenant_id = $3",
	    bed.agent_id, bed.agent_id);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"x\":2}"), AS_INVALID);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "ignore", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
}

static void
test_edited_badly(void)
{
	people_run(edited_badly, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

static void
responded(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "response", "\"not today\""), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_TRUE(fake_was_told("not today"));
	CU_ASSERT_TRUE(fake_was_told("\"is_error\":false"));
	CU_ASSERT_EQUAL(bed_calls("skipped"), 1);
}

static void
test_responded(void)
{
	people_run(responded, by_effect, "t_K {\"x\":1}", NULL, NULL);
}

static void
ignored(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "ignore", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_TRUE(fake_was_told("rejected by the person"));
	CU_ASSERT_TRUE(fake_was_told("\"is_error\":true"));
}

static void
test_ignored(void)
{
	people_run(ignored, by_effect, "t_V {\"x\":1}", NULL, NULL);
}

static void
not_allowed(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"x\":2}"), AS_INVALID);
	CU_ASSERT_EQUAL(people_answer(0, "response", "\"x\""), AS_INVALID);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_not_allowed(void)
{
	people_run(not_allowed,
	    "{\"tools\":{\"t_N\":{\"when\":\"always\",\"allow\":[\"accept\","
	    "\"ignore\"]}}}",
	    "t_N {\"x\":1}", NULL, NULL);
}

static void
question(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(bed_calls("parked"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT description FROM inbox_items "
					"WHERE run_id = $1"),
	    "Which one?");
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_INVALID);
	CU_ASSERT_EQUAL(people_answer(0, "response", "\"the red one\""), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake_was_told("the red one"));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
}

static void
test_question(void)
{
	people_run(question, asks, "ask_human {\"question\":\"Which one?\"}",
	    NULL, NULL);
}

/* A chat has its person in front of it: nothing is asked by itself. */
static void
by_default(void)
{
	people_begin();
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake_was_told("no tool named 'ask_human'"));
}

static void
test_by_default(void)
{
	people_run(by_default, NULL, "t_U {\"x\":1}",
	    "ask_human {\"question\":\"Which one?\"}", NULL);
}

/* Nobody sits in front of an ambient run: it asks by itself. */
static void
ambient(void)
{
	struct ambient_task task = { .tenant_id = bed.ctx.who.tenant_id,
		.user_id = bed.ctx.who.user_id,
		.agent_id = bed.agent_id,
		.task = "go",
		.class = 1,
		.origin = "{\"kind\":\"user\"}" };
	struct ambient_started started;

	CU_ASSERT_EQUAL_FATAL(ambient_start(&bed.ctx, &task, &started,
				  &bed.err),
	    AS_OK);
	bed.run_id = started.run_id;
	engine_claim(bed.engine);
	people_wait(2);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_STRING_EQUAL(fake.tools[0], "t_P");
	CU_ASSERT_EQUAL(bed_calls("awaiting_approval"), 1);
	CU_ASSERT_EQUAL(bed_calls("parked"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	CU_ASSERT_EQUAL(people_answer(2, "response", "\"this one\""), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(fake_was_told("this one"));
}

static void
test_ambient(void)
{
	people_run(ambient, NULL, "t_U {\"x\":1}", "t_P {\"x\":2}",
	    "ask_human {\"question\":\"Which one?\"}");
}

/* A run that waits does not grow old. */
static void
time_stands_still(void)
{
	people_begin();
	people_wait(1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM runs WHERE id = $1 AND"
				  " budget LIKE '%wall_left_ms%'"),
	    1);
	bed_sql("UPDATE runs SET deadline_at = 1 WHERE id = $1 AND $2 IS NOT"
		" NULL AND tenant_id = $3",
	    bed.run_id, bed.run_id);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_time_stands_still(void)
{
	people_run(time_stands_still, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "accept", test_accepted },
		{ "edit", test_edited },
		{ "edit: another class of effect", test_edited_effect },
		{ "edit: refused", test_edited_badly },
		{ "response", test_responded },
		{ "ignore", test_ignored },
		{ "an answer that is not allowed", test_not_allowed },
		{ "a question", test_question },
		{ "a chat asks nothing by itself", test_by_default },
		{ "an ambient run asks by itself", test_ambient },
		{ "its time stands still", test_time_stands_still },
		CU_TEST_INFO_NULL,
	};

	return env_main("interrupt", tests, env_close);
}
