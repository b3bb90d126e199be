/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/chat/ambient.h"
#include "tests/integration/engine_env.h"

/*
 * Runs that wait for people: which calls do, what each answer makes of them,
 * several at once, in any order, twice, too late, by nobody.
 */

static const char by_effect[] = "{\"default\":\"by_effect\"}";
static const char
    each[] = "{\"default\":\"by_effect\",\"resume_when\":\"each\"}";
static const char asks[] = "{\"default\":\"by_effect\",\"questions\":true}";

static void
policy(const char *json)
{
	bed_sql(arena_printf(bed.arena,
		    "UPDATE agents SET approval = '%s' WHERE id = $1 AND"
		    " ($2 IS NOT NULL) AND tenant_id = $3",
		    json),
	    bed.agent_id, bed.agent_id);
}

/* The item of the newest call with this ordinal. */
static SUSPENDS struct uuid
item(int ordinal)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id), SQL_INT(ordinal) };
	struct rows *r = NULL;
	struct uuid id;

	MUST(store_db_run(env.db,
		 "SELECT id FROM inbox_items WHERE run_id = $1 AND"
		 " ordinal = $2 AND kind IN ('approval', 'question')"
		 " ORDER BY step DESC LIMIT 1",
		 args, 2, &r, NULL) == AS_OK);
	id = rows_uuid(r, 0, 0);
	rows_free(r);
	CU_ASSERT_FALSE(uuid_is_nil(id));
	return id;
}

static SUSPENDS struct engine_answer
say(int ordinal, const char *type, const char *args)
{
	return (struct engine_answer){ .item_id = item(ordinal),
		.type = type,
		.args = args,
		.key = arena_printf(bed.arena, "%s %s", type,
		    args != NULL ? args : ""),
		.by = bed.ctx.who.user_id };
}

static SUSPENDS enum as_status
respond(const struct engine_answer *a, int n)
{
	error_clear(&bed.err);
	return engine_respond(bed.engine, bed.run_id, a, n, &bed.err);
}

static SUSPENDS enum as_status
answer(int ordinal, const char *type, const char *args)
{
	struct engine_answer a = say(ordinal, type, args);

	return respond(&a, 1);
}

static bool
was_told(const char *text)
{
	return fake.last_messages != NULL &&
	       strstr(fake.last_messages, text) != NULL;
}

static const char *with_policy;

static SUSPENDS void
begin(void)
{
	if (with_policy != NULL)
		policy(with_policy);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
}

static void
run_calls(void (*fn)(void), const char *rules, const char *a, const char *b,
    const char *c)
{
	const struct fake_turn turns[] = { { .calls = { a, b, c } },
		{ .text = "ok" }, { .text = "well" } };

	with_policy = rules;
	bed_run(fn, turns, 3);
}

static SUSPENDS void
waits(int n)
{
	bed_until("waiting_human");
	CU_ASSERT_EQUAL(bed_questions("pending"), n);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM jobs WHERE run_id ="
				  " $1"),
	    0);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT t.status FROM threads t"
					" JOIN runs r ON r.thread_id = t.id"
					" WHERE r.id = $1"),
	    "waiting");
	bed_wait_end();
}

/* ---- One ----------------------------------------------------------- */

static void
accepted(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_EQUAL(bed_calls("awaiting_approval"), 1);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_questions("answered"), 1);
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":1}"));
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
	run_calls(accepted, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

static void
edited(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(answer(0, "edit", "{\"x\":9}"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":9}"));
	CU_ASSERT_TRUE(was_told("A person has changed the arguments"));
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
	run_calls(edited, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

/* The class of the call is that of its new arguments. */
static void
edited_effect(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(answer(0, "edit", "{\"mode\":\"read\"}"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT effect FROM tool_invocations "
					"WHERE run_id = $1"),
	    "P");
}

static void
test_edited_effect(void)
{
	run_calls(edited_effect, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

static void
edited_badly(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(answer(0, "edit", "[1]"), AS_INVALID);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(bed_calls("awaiting_approval"), 1);
	bed_sql("UPDATE agents SET toolkits = '[]' WHERE id = $1 AND $2 IS NOT"
		" NULL AND tenant_id = $3",
	    bed.agent_id, bed.agent_id);
	CU_ASSERT_EQUAL(answer(0, "edit", "{\"x\":2}"), AS_INVALID);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(answer(0, "ignore", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
}

static void
test_edited_badly(void)
{
	run_calls(edited_badly, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

static void
responded(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(answer(0, "response", "\"not today\""), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_TRUE(was_told("not today"));
	CU_ASSERT_TRUE(was_told("\"is_error\":false"));
	CU_ASSERT_EQUAL(bed_calls("skipped"), 1);
}

static void
test_responded(void)
{
	run_calls(responded, by_effect, "t_K {\"x\":1}", NULL, NULL);
}

static void
ignored(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(answer(0, "ignore", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_TRUE(was_told("rejected by the person"));
	CU_ASSERT_TRUE(was_told("\"is_error\":true"));
}

static void
test_ignored(void)
{
	run_calls(ignored, by_effect, "t_V {\"x\":1}", NULL, NULL);
}

static void
not_allowed(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(answer(0, "edit", "{\"x\":2}"), AS_INVALID);
	CU_ASSERT_EQUAL(answer(0, "response", "\"x\""), AS_INVALID);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_not_allowed(void)
{
	run_calls(not_allowed,
	    "{\"tools\":{\"t_N\":{\"when\":\"always\",\"allow\":[\"accept\","
	    "\"ignore\"]}}}",
	    "t_N {\"x\":1}", NULL, NULL);
}

static void
question(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(bed_calls("parked"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT description FROM inbox_items "
					"WHERE run_id = $1"),
	    "Which one?");
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_INVALID);
	CU_ASSERT_EQUAL(answer(0, "response", "\"the red one\""), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(was_told("the red one"));
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
}

static void
test_question(void)
{
	run_calls(question, asks, "ask_human {\"question\":\"Which one?\"}",
	    NULL, NULL);
}

/* A chat has its person in front of it: nothing is asked by itself. */
static void
by_default(void)
{
	begin();
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(was_told("no tool named 'ask_human'"));
}

static void
test_by_default(void)
{
	run_calls(by_default, NULL, "t_U {\"x\":1}",
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
	waits(2);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_STRING_EQUAL(fake.tools[0], "t_P");
	CU_ASSERT_EQUAL(bed_calls("awaiting_approval"), 1);
	CU_ASSERT_EQUAL(bed_calls("parked"), 1);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	CU_ASSERT_EQUAL(answer(2, "response", "\"this one\""), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(was_told("this one"));
}

static void
test_ambient(void)
{
	run_calls(ambient, NULL, "t_U {\"x\":1}", "t_P {\"x\":2}",
	    "ask_human {\"question\":\"Which one?\"}");
}

/* A run that waits does not grow old. */
static void
time_stands_still(void)
{
	begin();
	waits(1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM runs WHERE id = $1 AND"
				  " budget LIKE '%wall_left_ms%'"),
	    1);
	bed_sql("UPDATE runs SET deadline_at = 1 WHERE id = $1 AND $2 IS NOT"
		" NULL AND tenant_id = $3",
	    bed.run_id, bed.run_id);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_time_stands_still(void)
{
	run_calls(time_stands_still, by_effect, "t_U {\"x\":1}", NULL, NULL);
}

/* ---- Several ------------------------------------------------------- */

static void
some_wait(void)
{
	begin();
	waits(2);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(answer(2, "accept", NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"waiting_human\"");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(answer(0, "edit", "{\"x\":7}"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":7}"));
	CU_ASSERT_EQUAL(bed_questions("answered"), 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 2);
}

static void
test_some_wait(void)
{
	run_calls(some_wait, by_effect, "t_U {\"x\":1}", "t_P {\"x\":2}",
	    "t_K {\"x\":3}");
}

static void
batch(void)
{
	struct engine_answer a[3];

	begin();
	waits(3);
	a[0] = say(2, "response", "\"blue\"");
	a[1] = say(0, "accept", NULL);
	a[2] = say(1, "ignore", NULL);
	CU_ASSERT_EQUAL(respond(a, 3), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(was_told("blue"));
	/* All again, and one alone: harmless; another answer is not. */
	CU_ASSERT_EQUAL(respond(a, 3), AS_OK);
	CU_ASSERT_EQUAL(respond(&a[1], 1), AS_OK);
	a[1].key = "another";
	CU_ASSERT_EQUAL(respond(a, 3), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 3);
}

static void
test_batch(void)
{
	run_calls(batch, asks, "t_U {\"x\":1}", "t_V {\"x\":2}",
	    "ask_human {\"question\":\"Which?\",\"choices\":[\"red\","
	    "\"blue\"]}");
}

/* One of a batch is answered already: nothing of the batch is written. */
static void
all_or_none(void)
{
	struct engine_answer a[2];

	begin();
	waits(2);
	a[0] = say(0, "ignore", NULL);
	a[1] = say(1, "accept", NULL);
	CU_ASSERT_EQUAL(answer(1, "ignore", NULL), AS_OK);
	CU_ASSERT_EQUAL(respond(a, 2), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_all_or_none(void)
{
	run_calls(all_or_none, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    NULL);
}

struct person {
	struct engine_answer a;
	enum as_status st;
	bool done;
};

static SUSPENDS void
person_main(void *arg)
{
	struct person *p = arg;
	struct error err = { 0 };

	fiber_deadline_set(loop_now_ms(env.loop) + 20000);
	p->st = engine_respond(bed.engine, bed.run_id, &p->a, 1, &err);
	error_clear(&err);
	p->done = true;
}

static SUSPENDS void
at_once(struct person *p, int n)
{
	bool all = false;

	for (int i = 0; i < n; i++)
		MUST(fiber_spawn(env.loop, "person", person_main, &p[i]).f !=
		     NULL);
	while (!all) {
		fiber_yield();
		all = true;
		for (int i = 0; i < n; i++)
			all = all && p[i].done;
	}
}

static void
two_people(void)
{
	struct person p[4] = { 0 };

	begin();
	waits(2);
	p[0].a = say(0, "accept", NULL);
	p[1].a = say(0, "ignore", NULL);
	p[2].a = say(1, "accept", NULL);
	p[3].a = say(1, "accept", NULL);
	at_once(p, 4);
	/* One of two wins; the same answer twice is one. */
	CU_ASSERT_TRUE((p[0].st == AS_OK) != (p[1].st == AS_OK));
	CU_ASSERT_TRUE(p[0].st == AS_CONFLICT || p[1].st == AS_CONFLICT);
	CU_ASSERT_TRUE(p[2].st == AS_OK && p[3].st == AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, p[0].st == AS_OK ? 2 : 1);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 2);
}

static void
test_two_people(void)
{
	run_calls(two_people, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    NULL);
}

/* ---- Each answer lets it go on ------------------------------------- */

static void
each_goes_on(void)
{
	begin();
	waits(2);
	CU_ASSERT_EQUAL(answer(1, "accept", NULL), AS_OK);
	while (bed_calls("succeeded") < 1)
		fiber_yield();
	waits(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
}

static void
test_each_goes_on(void)
{
	run_calls(each_goes_on, each, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

/* The second answer comes while the first call is at work. */
static void
each_at_work(void)
{
	struct engine_answer a;

	fake.tool_hangs = true;
	begin();
	waits(3);
	CU_ASSERT_EQUAL(answer(1, "accept", NULL), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	a = say(0, "edit", "{\"x\":5}");
	CU_ASSERT_EQUAL(respond(&a, 1), AS_OK);
	CU_ASSERT_EQUAL(respond(&a, 1), AS_OK);
	a.key = "another";
	CU_ASSERT_EQUAL(respond(&a, 1), AS_CONFLICT);
	/* It is begun at once, beside the other one. */
	while (fake.n_hanging < 2)
		fiber_yield();
	fake_release();
	waits(1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(answer(2, "ignore", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(was_told("{\\\"x\\\":5}"));
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 3);
}

static void
test_each_at_work(void)
{
	run_calls(each_at_work, each, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    "t_V {}");
}

/* Answered while it is queued, or by a process that does not have it. */
static void
each_elsewhere(void)
{
	begin();
	waits(3);
	bed_stop(false); /* nobody claims it */
	CU_ASSERT_EQUAL(answer(1, "accept", NULL), AS_OK);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_next(), 0);
	waits(1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(answer(2, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
}

static void
test_each_elsewhere(void)
{
	run_calls(each_elsewhere, each, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    "t_V {}");
}

/* ---- Ends ---------------------------------------------------------- */

static void
cancelled(void)
{
	begin();
	waits(2);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(fake.n_tools, 0);
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 2);
	CU_ASSERT_EQUAL(bed_questions("dismissed"), 1);
	CU_ASSERT_EQUAL(bed_questions("answered"), 1);
	CU_ASSERT_EQUAL(answer(1, "accept", NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL_FATAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(was_told("stopped before this call"));
}

static void
test_cancelled(void)
{
	run_calls(cancelled, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

/* A cancel among calls at work and calls that wait. */
static void
cancelled_at_work(void)
{
	fake.tool_hangs = true;
	begin();
	while (fake.n_hanging < 1)
		fiber_yield();
	bed_cancel(false);
	bed_until("cancelled");
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 2);
	CU_ASSERT_EQUAL(bed_questions("pending"), 0);
}

static void
test_cancelled_at_work(void)
{
	run_calls(cancelled_at_work, by_effect, "t_P {\"x\":1}",
	    "t_K {\"x\":2}", NULL);
}

static void
died(void)
{
	begin();
	waits(2);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_EQUAL(answer(1, "edit", "{\"x\":4}"), AS_OK);
	bed_stop(true);
	CU_ASSERT_EQUAL(bed_next(), 0);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"waiting_human\"");
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
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
	run_calls(died, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

/* ---- Nobody answers ------------------------------------------------ */

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
	begin();
	waits(2);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_questions("pending"), 2);
	time_is_over();
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_questions("expired"), 2);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(was_told("nobody has approved this call in time"));
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items WHERE"
				  " run_id = $1 AND responded_by IS NULL"),
	    2);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 2);
}

static void
test_expired_reject(void)
{
	run_calls(expired_reject,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"tools\":"
	    "{\"t_K\":{\"when\":\"always\",\"on_expire\":\"approve\"}}}",
	    "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

static void
expired_fail(void)
{
	begin();
	waits(2);
	time_is_over();
	bed_until("failed");
	CU_ASSERT_EQUAL(bed_questions("expired"), 2);
	CU_ASSERT_EQUAL(bed_calls("cancelled"), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"), "EXPIRED"));
}

static void
test_expired_fail(void)
{
	run_calls(expired_fail,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"on_expire\":"
	    "\"fail\"}",
	    "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

static void
expired_escalate(void)
{
	begin();
	waits(1);
	bed_sql("UPDATE inbox_items SET assignee = $2 WHERE run_id = $1 AND"
		" tenant_id = $3",
	    bed.run_id, bed.agent_id);
	time_is_over();
	waits(1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items WHERE"
				  " run_id = $1 AND assignee IS NULL AND"
				  " expires_at IS NULL AND escalated_at > 0"),
	    1);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	engine_expire(bed.engine);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
}

static void
test_expired_escalate(void)
{
	run_calls(expired_escalate,
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
	begin();
	waits(1);
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
	run_calls(expired_elsewhere,
	    "{\"default\":\"by_effect\",\"expires_s\":3600,\"on_expire\":"
	    "\"escalate\"}",
	    "t_U {\"x\":1}", NULL, NULL);
}

/* ---- Beside other waits -------------------------------------------- */

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
	begin();
	waits(2);
	CU_ASSERT_EQUAL(answer(0, "accept", NULL), AS_OK);
	bed_until("recoverable_error");
	bed_wait_end();
	/* What a person says now is not lost. */
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(answer(1, "accept", NULL), AS_OK);
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
	run_calls(unknown_too, each, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

static CU_TestInfo tests[] = {
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
	{ "two wait, one does not", test_some_wait },
	{ "a batch, and again", test_batch },
	{ "a batch is all or none", test_all_or_none },
	{ "two people at once", test_two_people },
	{ "each: it goes on with one", test_each_goes_on },
	{ "each: an answer while it is at work", test_each_at_work },
	{ "each: an answer while it is queued", test_each_elsewhere },
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

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "interrupt on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    tests },
		{ "interrupt on postgres", env_postgres_open, env_close, NULL,
		    NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
