/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * Waits for people that end otherwise: cancelled, after a crash, too late; and
 * beside a call whose outcome is not known.
 */

static const char by_effect[] = "{\"default\":\"by_effect\"}";
static const char
    each[] = "{\"default\":\"by_effect\",\"resume_when\":\"each\"}";

static void
cancelled(void)
{
	people_begin();
	people_wait(2);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 2);
	CU_ASSERT_EQUAL(bed_questions("dismissed"), 1);
	CU_ASSERT_EQUAL(bed_questions("answered"), 1);
	CU_ASSERT_EQUAL(people_answer(1, "accept", NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL_FATAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake_was_told("stopped before this call"));
}

static void
test_cancelled(void)
{
	people_run(cancelled, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    NULL);
}

/* A cancel among calls at work and calls that wait. */
static void
cancelled_at_work(void)
{
	fake.tool_hangs = true;
	people_begin();
	bed_until_hanging(1);
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 2);
	CU_ASSERT_EQUAL(bed_questions("pending"), 0);
}

static void
test_cancelled_at_work(void)
{
	people_run(cancelled_at_work, by_effect, "t_P {\"x\":1}",
	    "t_K {\"x\":2}", NULL);
}

static void
died(void)
{
	people_begin();
	people_wait(2);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_EQUAL(people_answer(1, "edit", "{\"x\":4}"), AS_OK);
	bed_stop(true);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"waiting_human\"");
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until_hanging(2);
	bed_restart(true);
	/* The keyed one again, with what the person has said. */
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(bed_calls("unknown"), 1);
	CU_ASSERT_EQUAL(bed_questions("answered"), 2);
}

static void
test_died(void)
{
	people_run(died, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

static SUSPENDS void
time_is_over(void)
{
	bed_sql("UPDATE inbox_items SET expires_at = 1 WHERE run_id = $1 AND $2"
		" IS NOT NULL AND tenant_id = $3 AND expires_at IS NOT NULL",
	    bed.run_id, bed.run_id);
	engine_expire(bed.engine);
}

static void
expired_reject(void)
{
	people_begin();
	people_wait(2);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_questions("pending"), 2);
	time_is_over();
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_questions("expired"), 2);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake_was_told("nobody has approved this call in time"));
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items WHERE"
				  " run_id = $1 AND responded_by IS NULL"),
	    2);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 2);
}

static void
test_expired_reject(void)
{
	people_run(expired_reject,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"tools\":"
	    "{\"t_K\":{\"when\":\"always\",\"on_expire\":\"approve\"}}}",
	    "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

static void
expired_fail(void)
{
	people_begin();
	people_wait(2);
	time_is_over();
	bed_until("failed");
	CU_ASSERT_EQUAL(bed_questions("expired"), 2);
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"), "EXPIRED"));
}

static void
test_expired_fail(void)
{
	people_run(expired_fail,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"on_expire\":"
	    "\"fail\"}",
	    "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

static void
expired_escalate(void)
{
	people_begin();
	people_wait(1);
	bed_sql("UPDATE inbox_items SET assignee = $2 WHERE run_id = $1 AND"
		" tenant_id = $3",
	    bed.run_id, bed.agent_id);
	time_is_over();
	people_wait(1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items WHERE"
				  " run_id = $1 AND assignee IS NULL AND"
				  " expires_at IS NULL AND escalated_at > 0"),
	    1);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
}

static void
test_expired_escalate(void)
{
	people_run(expired_escalate,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"on_expire\":"
	    "\"escalate\"}",
	    "t_U {\"x\":1}", NULL, NULL);
}

static SUSPENDS int
n_overdue(void)
{
	struct run_overdue *list;
	int n = -1;

	CU_ASSERT_EQUAL(run_store_overdue(bed.runs, 10, &list, &n, NULL),
	    AS_OK);
	free(list);
	return n;
}

/* What cannot be handed on now is not looked at again and again. */
static void
expired_elsewhere(void)
{
	people_begin();
	people_wait(1);
	bed_sql("UPDATE inbox_items SET expires_at = 1 WHERE run_id = $1 AND $2"
		" IS NOT NULL AND tenant_id = $3",
	    bed.run_id, bed.run_id);
	CU_ASSERT_EQUAL(n_overdue(), 1);
	bed_sql("UPDATE runs SET status = 'recoverable_error' WHERE id = $1"
		" AND $2 IS NOT NULL AND tenant_id = $3",
	    bed.run_id, bed.run_id);
	CU_ASSERT_EQUAL(n_overdue(), 0);
	bed_sql("UPDATE runs SET status = 'waiting_human' WHERE id = $1"
		" AND $2 IS NOT NULL AND tenant_id = $3",
	    bed.run_id, bed.run_id);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(n_overdue(), 0);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
}

static void
test_expired_elsewhere(void)
{
	people_run(expired_elsewhere,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"on_expire\":"
	    "\"escalate\"}",
	    "t_U {\"x\":1}", NULL, NULL);
}

/* One call's outcome is not known while another one waits for approval. */
static void
unknown_too(void)
{
	static const struct fake_call maybe = { .fail = ERR_UNAVAILABLE,
		.maybe_done = true };
	struct engine_resume how = { .reason = "retry",
		.items_close = "answered" };
	struct run_tool decided, *rows;
	int n;

	fake.calls = &maybe;
	fake.n_calls = 1;
	people_begin();
	people_wait(2);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("recoverable_error");
	bed_wait_end();
	/* What a person says now is not lost. */
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(people_answer(1, "accept", NULL), AS_OK);
	MUST(run_store_tools(bed.runs, bed.run_id, 1, bed.arena, &rows, &n,
		 NULL) == AS_OK);
	decided = rows[0];
	decided.state = "skipped";
	decided.error_code = "CANCELED";
	decided.result = "skipped";
	how.decided = &decided;
	CU_ASSERT_EQUAL(engine_resume(bed.engine, bed.run_id, &how, NULL),
	    AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 2);
}

static void
test_unknown_too(void)
{
	people_run(unknown_too, each, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "cancel", test_cancelled },
		{ "cancel while others are at work", test_cancelled_at_work },
		{ "the process dies between two answers", test_died },
		{ "nobody answers: reject, approve", test_expired_reject },
		{ "nobody answers: fail", test_expired_fail },
		{ "nobody answers: escalate", test_expired_escalate },
		{ "nobody answers, of another state", test_expired_elsewhere },
		{ "beside a call whose outcome is unknown", test_unknown_too },
		CU_TEST_INFO_NULL,
	};

	return env_main("interrupt end", tests, env_close);
}
