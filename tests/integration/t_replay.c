/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/replay.h"
#include "tests/integration/run_env.h"
#include "tests/tap.h"

/*
 * Runs that the engine has recorded are replayed to the same hashes, whatever
 * has happened to them, without a model or a tool being asked; and a record
 * that was changed is noticed at the step where it was.
 */

static struct replay_result result;

static SUSPENDS void
replay(void)
{
	struct error err = { 0 };
	int n_chats = fake.n_chats, n_tools = fake.n_tools;
	enum as_status st;

	st = replay_run(env.loop, env.store, bed.run_id, bed.arena, &result,
	    &err);
	CU_ASSERT_EQUAL(st, AS_OK);
	if (st != AS_OK)
		tap_note("cannot replay: %s", err.detail);
	error_clear(&err);
	CU_ASSERT_EQUAL(fake.n_chats, n_chats);
	CU_ASSERT_EQUAL(fake.n_tools, n_tools);
}

static SUSPENDS void
replay_same(const char *status, int steps)
{
	CU_ASSERT_TRUE(et_status_is(status));
	replay();
	CU_ASSERT_PTR_NULL(result.what);
	if (result.what != NULL)
		tap_note("step %lld: %s: expected '%s', got '%s'",
		    (long long)result.at, result.what, result.expected,
		    result.got);
	CU_ASSERT_EQUAL(result.n_steps, steps);
	CU_ASSERT_EQUAL(result.n_steps,
	    et_int("SELECT count(*) FROM checkpoints WHERE run_id = $1"));
	for (int i = 0; i < result.n_steps; i++)
		CU_ASSERT_TRUE(result.steps[i].same &&
			       result.steps[i].has_hash &&
			       result.steps[i].step == i + 1);
	CU_ASSERT_STRING_EQUAL(run_status_name(result.status), status);
	CU_ASSERT_TRUE(result.whole);
}

/* The same of a run that has not ended. */
static SUSPENDS void
replay_open(const char *status, int steps)
{
	CU_ASSERT_TRUE(et_status_is(status));
	replay();
	CU_ASSERT_PTR_NULL(result.what);
	if (result.what != NULL)
		tap_note("step %lld: %s: expected '%s', got '%s'",
		    (long long)result.at, result.what, result.expected,
		    result.got);
	CU_ASSERT_EQUAL(result.n_steps, steps);
	CU_ASSERT_FALSE(result.whole);
}

/* ---- Runs that end by themselves ----------------------------------- */

static void
text(void)
{
	et_say("hi");
	replay_same("succeeded", 1);
	et_say("and more");
	replay_same("succeeded", 1);
}

static void
test_text(void)
{
	const struct fake_turn turns[] = { { .text = "hell\xc3\xb6 \"you\"\n" },
		{ .text = "", .bare = true } };

	bed_run(text, turns, 2);
}

static void
tools(void)
{
	et_say("go");
	replay_same("succeeded", 3);
}

static void
test_parallel(void)
{
	const struct fake_turn turns[] = { { .text = "let me see",
					       .calls = { "t_P {\"x\":1.50}",
						   "t_N {\"x\":[]}", "t_U {}",
						   "t_K {\"y\":null}" } },
		{ .text = "done" } };

	bed_run(tools, turns, 2);
}

/* Everything that a person may say, one thing for each call. */
static void
asked(void)
{
	struct engine_answer a[4] = {
		{ .type = "edit", .args = "{\"x\":9}", .key = "1" },
		{ .type = "response", .args = "\"no\"", .key = "2" },
		{ .type = "ignore", .key = "3" },
		{ .type = "response", .args = "\"blue\"", .key = "4" }
	};

	et_sql("UPDATE agents SET approval = '{\"default\":\"always\","
	       "\"questions\":true}' WHERE $1 IS NOT NULL AND $2 IS NOT NULL");
	et_say("go");
	for (int i = 0; i < 4; i++) {
		struct sql_arg args[] = { SQL_UUID(bed.run_id), SQL_INT(i) };
		struct rows *r = NULL;

		MUST(store_db_run(env.db,
			 "SELECT id, user_id FROM inbox_items WHERE run_id ="
			 " $1 AND ordinal = $2",
			 args, 2, &r, NULL) == AS_OK);
		a[i].item_id = rows_uuid(r, 0, 0);
		a[i].by = rows_uuid(r, 0, 1);
		rows_free(r);
	}
	CU_ASSERT_EQUAL(engine_respond(bed.engine, bed.run_id, a, 4, NULL),
	    AS_OK);
	bed_wait_end();
	replay_same("succeeded", 3);
}

static void
test_asked(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {\"x\":1}",
						 "t_K {}", "t_V {}",
						 "ask_human {\"question\":"
						 "\"Which?\"}" } },
		{ .text = "done" } };

	bed_run(asked, turns, 2);
}

/* It waits, and then it is stopped. */
static void
asked_and_stopped(void)
{
	et_sql("UPDATE agents SET approval = '{\"default\":\"by_effect\"}'"
	       " WHERE $1 IS NOT NULL AND $2 IS NOT NULL");
	et_say("go");
	replay_open("waiting_human", 1);
	bed_cancel(false);
	replay_same("cancelled", 1);
}

static void
test_asked_and_stopped(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "t_U {\"x\":1}", "t_P {}", "t_K {}" } }
	};

	bed_run(asked_and_stopped, turns, 1);
}

/* What a tool asks is its own affair: its result is what is played. */
static SUSPENDS void
answer_tool(const char *type, const char *args)
{
	struct sql_arg run[] = { SQL_UUID(bed.run_id) };
	struct engine_answer a = { .type = type, .args = args, .key = type };
	struct rows *r = NULL;

	MUST(store_db_run(env.db,
		 "SELECT id, user_id FROM inbox_items WHERE run_id = $1 AND"
		 " status = 'pending'",
		 run, 1, &r, NULL) == AS_OK);
	CU_ASSERT_EQUAL(rows_count(r), 1);
	a.item_id = rows_uuid(r, 0, 0);
	a.by = rows_uuid(r, 0, 1);
	rows_free(r);
	CU_ASSERT_EQUAL(engine_respond(bed.engine, bed.run_id, &a, 1, NULL),
	    AS_OK);
	bed_wait_end();
}

static void
tool_asks(void)
{
	et_say("go");
	replay_open("waiting_human", 1);
	answer_tool("edit", "{\"x\":2}");
	replay_open("waiting_human", 1);
	answer_tool("response", "\"well\"");
	CU_ASSERT_EQUAL(fake.n_acted, 1);
	replay_same("succeeded", 3);
}

static void
test_tool_asks(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "t_U {\"ask\":[\"a\",\"b\"]}", "t_P {}",
		      "t_K {}" } },
		{ .text = "done" }
	};

	bed_run(tool_asks, turns, 2);
}

static void
tool_asks_and_stopped(void)
{
	et_say("go");
	replay_open("waiting_human", 1);
	bed_cancel(false);
	replay_same("cancelled", 1);
}

static void
test_tool_asks_and_stopped(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "t_U {\"ask\":[\"a\"]}", "t_P {}" } }
	};

	bed_run(tool_asks_and_stopped, turns, 1);
}

static void
many_steps(void)
{
	et_say("go");
	replay_same("succeeded", 5);
}

static void
test_many_steps(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}", "t_P {}" } },
		{ .text = "hm", .calls = { "t_P {}", "t_P {}" }, .bare = true },
		{ .text = "done" } };

	bed_run(many_steps, turns, 3);
}

static void
tool_fails(void)
{
	fake.tool_fails = ERR_UPSTREAM_UNAVAILABLE;
	et_say("go");
	replay_same("succeeded", 3);
}

static void
test_tool_errors(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}", "nope {}",
						 "t_P {broken", "t_K {}" } },
		{ .text = "sorry" } };

	bed_run(tool_fails, turns, 2);
}

static void
cut(void)
{
	fake.result_len = 5000;
	et_say("go");
	replay_same("succeeded", 3);
	CU_ASSERT_EQUAL(et_int("SELECT count(*) FROM messages WHERE run_id = $1"
			       " AND content LIKE '%[cut: 100 of 5000 bytes]'"),
	    2);
}

static void
test_cut(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}", "t_U {}" } },
		{ .text = "ok" } };

	bed_run(cut, turns, 2);
}

/* The agent has changed since: that is not what the record is about. */
static void
remember(void)
{
	et_say("I like tea");
	et_sql("UPDATE agents SET memory = '{\"enabled\":false,\"facts\":[]}',"
	       " toolkits = '[]' WHERE id = (SELECT agent_id FROM runs"
	       " WHERE id = $1)");
	replay_same("succeeded", 3);
}

static void
test_remember(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "remember {\"fact\":\"likes tea\"}", "t_P {}",
		      "remember {\"fact\":\"likes tea\"}", "remember {}" } },
		{ .text = "noted" }
	};

	bed_run(remember, turns, 2);
}

/* ---- Runs that fail, or wait for a decision ------------------------- */

static void
model_fails(void)
{
	et_say("go");
	replay_same("failed", 2);
}

static void
test_model_fails(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}" } },
		{ .text = "half", .fail = ERR_INTERNAL } };

	bed_run(model_fails, turns, 2);
}

/* Asked once more, and once more; then the person goes on without it. */
static void
parked(void)
{
	et_say("go");
	replay_open("recoverable_error", 2);
	et_resume(NULL);
	replay_open("recoverable_error", 2);
	et_resume(NULL);
	replay_same("succeeded", 3);
	et_say("again");
	replay_open("recoverable_error", 0);
	MUST(bed_send("never mind") == AS_OK);
	et_cancel_last(false);
	replay_same("cancelled", 0);
}

static void
test_parked(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}" } },
		{ .text = "half", .fail = ERR_UPSTREAM_UNAVAILABLE },
		{ .fail = ERR_UPSTREAM_UNAVAILABLE }, { .text = "whole" },
		{ .text = "bad", .fail = ERR_UPSTREAM_UNAVAILABLE },
		{ .text = "fine" } };

	bed_run(parked, turns, 6);
}

/* The first run ended without an answer; the second has no question. */
static void
taken_up(void)
{
	et_say("go");
	replay_same("failed", 0);
	et_take_up();
	replay_same("succeeded", 3);
	et_sql("UPDATE runs SET forked_from_run = NULL WHERE id = $1");
	CU_ASSERT_EQUAL(replay_run(env.loop, env.store, bed.run_id, bed.arena,
			    &result, NULL),
	    AS_CONFLICT);
}

static void
test_taken_up(void)
{
	const struct fake_turn turns[] = { { .text = "half",
					       .fail = ERR_INTERNAL },
		{ .calls = { "t_P {}" } }, { .text = "whole" } };

	bed_run(taken_up, turns, 3);
}

static void
limit(void)
{
	et_say("go");
	replay_open("recoverable_error", 10);
}

static void
test_limit(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {\"x\":1}" } },
		{ .calls = { "t_P {\"x\":2}" } },
		{ .calls = { "t_P {\"x\":2}" } },
		{ .calls = { "t_P {\"x\":2}" } },
		{ .calls = { "t_P {\"x\":2}" } }, { .text = "done" } };

	bed_run(limit, turns, 6); /* and the model is told at the third */
}

/* ---- Runs that are stopped ----------------------------------------- */

static void
cancel_keep(void)
{
	MUST(bed_send("go") == AS_OK);
	bed_until_text("partial");
	bed_cancel(false);
	bed_wait_end();
	replay_same("cancelled", 0);
}

static void
cancel_discard(void)
{
	MUST(bed_send("go") == AS_OK);
	bed_until_text("partial");
	bed_cancel(true);
	bed_wait_end();
	replay_same("rolled_back", 0);
}

static void
test_cancel_answer(void)
{
	const struct fake_turn turns[] = { { .text = "partial",
	    .hang = true } };

	bed_run(cancel_keep, turns, 1);
	bed_run(cancel_discard, turns, 1);
}

static void
cancel_tools(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_cancel(false);
	bed_wait_end();
	CU_ASSERT_EQUAL(et_int("SELECT count(*) FROM messages WHERE run_id = $1"
			       " AND content LIKE '%before this call'"),
	    2);
	replay_same("cancelled", 2);
}

static void
discard_tools(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_cancel(true);
	bed_wait_end();
	replay_same("rolled_back", 2);
}

static void
test_cancel_tools(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}", "t_P {}",
						 "t_P {}", "t_N {}" } },
		{ .text = "ok" } };

	bed_run(cancel_tools, turns, 2);
	bed_run(discard_tools, turns, 2);
}

/* Whatever the run was doing when it was stopped. */
static void
cancel_any_time(void)
{
	int steps;

	for (int k = 0; k < 24; k++) {
		fake.n_chats = 0;
		fake.tool_hangs = k % 2;
		MUST(bed_send("go") == AS_OK);
		for (int i = 0; i < k; i++)
			fiber_yield();
		bed_cancel(k % 3 == 0);
		bed_wait_end();
		steps = (int)et_int(
		    "SELECT count(*) FROM checkpoints WHERE run_id = $1");
		replay_same(k % 3 == 0 ? "rolled_back" : "cancelled", steps);
	}
}

static void
test_cancel_any_time(void)
{
	const struct fake_turn turns[] = {
		{ .text = "ab", .calls = { "t_U {}", "t_P {}", "t_P {}" } },
		{ .text = "cd", .hang = true }
	};

	bed_run(cancel_any_time, turns, 2);
}

/* ---- Runs that changed hands --------------------------------------- */

static void
takeover_answer(void)
{
	bool in_order = fake.verify == AS_OK;

	MUST(bed_send("go") == AS_OK);
	bed_until_text("lost");
	bed_restart(!in_order);
	bed_wait_end();
	CU_ASSERT_TRUE(et_int("SELECT fence FROM runs WHERE id = $1") > 1);
	replay_same("succeeded", 1);
}

static void
stopped_answer(void)
{
	fake.verify = AS_OK; /* in order */
	takeover_answer();
}

static void
stopped_tools(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_restart(false);
	bed_wait_end();
	if (!et_status_is("succeeded"))
		return;
	replay_same("succeeded", 3);
}

static void
test_takeover_answer(void)
{
	const struct fake_turn turns[] = { { .text = "lost", .hang = true },
		{ .text = "found" } };

	const struct fake_turn more[] = { { .calls = { "t_P {}", "t_N {}",
						"t_U {}", "t_K {}" } },
		{ .text = "ok" } };

	bed_run(takeover_answer, turns, 2);
	bed_run(stopped_answer, turns, 2);
	bed_run(stopped_tools, more, 2);
}

/* Of the call that was sent nobody knows; a person does, then. */
static SUSPENDS void
take_over_unknown(void)
{
	fake.tool_hangs = true;
	fake.verify = AS_OK;
	fake.timeout_ms = 100;
	bed_send_hanging(2);
	bed_restart(true);
	bed_wait_end();
	CU_ASSERT_EQUAL(et_int("SELECT count(*) FROM tool_invocations"
			       " WHERE run_id = $1 AND state = 'unknown'"),
	    1);
	replay_open("recoverable_error", 1);
}

static SUSPENDS void
decide(const char *state, const char *text)
{
	struct run_tool row = { .state = state,
		.result = text,
		.resolution = "operator" };

	et_unknown(&row);
	et_resume(&row);
}

static void
decided_happened(void)
{
	take_over_unknown();
	decide("succeeded", "it did");
	replay_same("succeeded", 3);
}

static void
decided_skip(void)
{
	take_over_unknown();
	decide("skipped", "Error CANCELED: somebody has skipped it.");
	replay_same("succeeded", 3);
}

/* It did not happen: it is made again, under a new key. */
static void
decided_again(void)
{
	struct run_tool row = { .state = "planned", .resolution = "operator" };
	char key[RUN_IDEM_KEY];

	take_over_unknown();
	et_unknown(&row);
	run_idem_key(bed.run_id, "", row.step, row.ordinal, 1, key);
	row.idem_key = key;
	et_resume(&row);
	CU_ASSERT_EQUAL(fake.n_tools, 2 + 1 + 1);
	replay_same("succeeded", 3);
}

static void
undecided(void)
{
	take_over_unknown();
	MUST(bed_send("never mind") == AS_OK);
	et_cancel_last(false);
	replay_same("cancelled", 1);
}

static void
test_takeover_tools(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}", "t_V {}",
						 "t_P {}" } },
		{ .text = "ok" } };

	bed_run(decided_happened, turns, 2);
	bed_run(decided_skip, turns, 2);
	bed_run(decided_again, turns, 2);
	bed_run(undecided, turns, 2);
}

/* ---- Runs that have not ended -------------------------------------- */

static void
open_run(void)
{
	MUST(bed_send("go") == AS_OK);
	bed_until_text("wait");
	replay_open("running", 2);
	fake_release();
	bed_wait_end();
	replay_same("succeeded", 3);
}

static void
test_open_run(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}" } },
		{ .text = "wait", .hang = true } };

	bed_run(open_run, turns, 2);
}

static void
no_run(void)
{
	struct error err = { 0 };

	CU_ASSERT_EQUAL(replay_run(env.loop, env.store, uuid_v7(), bed.arena,
			    &result, &err),
	    AS_NOTFOUND);
	error_clear(&err);
}

static void
test_no_run(void)
{
	bed_run(no_run, NULL, 0);
}

/* ---- Records that were changed ------------------------------------- */

static SUSPENDS void
replay_differs(int64_t step, const char *what)
{
	replay();
	CU_ASSERT_PTR_NOT_NULL_FATAL(result.what);
	CU_ASSERT_EQUAL(result.at, step);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.what, what));
	if (result.at != step || strstr(result.what, what) == NULL)
		tap_note("step %lld: %s: expected '%s', got '%s'",
		    (long long)result.at, result.what, result.expected,
		    result.got);
	CU_ASSERT_FALSE(result.steps[result.n_steps - 1].same);
	CU_ASSERT_EQUAL(result.steps[result.n_steps - 1].step, step);
	for (int i = 0; i < result.n_steps - 1; i++)
		CU_ASSERT_TRUE(result.steps[i].same);
}

#define OF_RUN_AND " WHERE run_id = $1 AND "

static void
changed(void)
{
	et_say("go");
	replay_same("succeeded", 3);
	/* The last answer, its parts and so what the model says. */
	et_sql("UPDATE messages SET parts = replace(parts, 'done', 'dome'),"
	       " content = 'dome'" OF_RUN_AND "content = 'done'");
	replay_differs(3, "hash of the state");
	/* What is shown of it is not what it is. */
	et_sql("UPDATE messages SET content = 'done'" OF_RUN_AND
	       "content = 'dome'");
	replay_differs(3, "message 4: content");
	/* A result in the thread only. */
	et_sql("UPDATE messages SET content = 'x', parts ="
	       " replace(parts, 'is_error\":false', "
	       "'is_error\":true')" OF_RUN_AND "role = 'tool' AND ordinal = 1");
	replay_differs(2, "message 3: content");
	/* A result in all places where it is. */
	et_sql("UPDATE tool_invocations SET result = '{\"x\":1}'" OF_RUN_AND
	       "ordinal = 1");
	replay_differs(2, "message 3: content");
	et_sql("UPDATE messages SET content = '{\"x\":1}', parts ="
	       " '[{\"type\":\"tool_result\",\"id\":\"c1_1\",\"text\":"
	       "\"{\\\"x\\\":1}\",\"is_error\":false}]'" OF_RUN_AND
	       "role = 'tool' AND ordinal = 1");
	replay_differs(2, "hash of the state");
	/* What a tool was asked. */
	et_sql("UPDATE tool_invocations SET idem_key = 'as1-'" OF_RUN_AND
	       "ordinal = 1");
	replay_differs(1, "tool call 1: idempotency key");
	et_sql("UPDATE tool_invocations SET args_hash = (SELECT args_hash FROM"
	       " tool_invocations WHERE run_id = $1 AND ordinal = 1)" OF_RUN_AND
	       "ordinal = 0");
	replay_differs(1, "tool call 0: hash of arguments");
	et_sql("UPDATE messages SET parts = replace(parts, 'go', "
	       "'no')" OF_RUN_AND "role = 'user'");
	et_sql("DELETE FROM tool_invocations WHERE run_id = $1");
	replay_differs(1, "one tool call more");
}

static void
test_changed(void)
{
	const struct fake_turn turns[] = { { .text = "let me see",
					       .calls = { "t_P {\"x\":1}",
						   "t_N {\"x\":2}" } },
		{ .text = "done" } };

	bed_run(changed, turns, 2);
}

static void
question_changed(void)
{
	et_say("go");
	et_sql("UPDATE messages SET parts = replace(parts, 'go', "
	       "'no')" OF_RUN_AND "role = 'user'");
	replay_differs(1, "hash of the state");
}

static void
end_changed(void)
{
	et_say("go");
	et_sql("UPDATE runs SET status = 'dead_lettered' WHERE id = $1");
	replay_differs(1, "end of run 1: state");
	et_sql("DELETE FROM messages" OF_RUN_AND "role = 'assistant'");
	replay_differs(1, "hash of the state");
}

static void
test_end_changed(void)
{
	const struct fake_turn turns[] = { { .text = "yes" } };

	bed_run(question_changed, turns, 1);
	bed_run(end_changed, turns, 1);
}

static CU_TestInfo tests[] = {
	{ "text", test_text },
	{ "parallel tools", test_parallel },
	{ "people are asked", test_asked },
	{ "people are asked, and it is stopped", test_asked_and_stopped },
	{ "a tool asks people", test_tool_asks },
	{ "a tool asks people, and it is stopped", test_tool_asks_and_stopped },
	{ "many steps", test_many_steps },
	{ "tools that fail or are none", test_tool_errors },
	{ "results that were cut", test_cut },
	{ "the model remembers", test_remember },
	{ "a model that fails", test_model_fails },
	{ "a model that fails for a while", test_parked },
	{ "a run that takes up another one", test_taken_up },
	{ "a limit, the same calls again", test_limit },
	{ "stopped in an answer", test_cancel_answer },
	{ "stopped among tools", test_cancel_tools },
	{ "stopped at any moment", test_cancel_any_time },
	{ "takeover while a model answers", test_takeover_answer },
	{ "takeover among tools", test_takeover_tools },
	{ "a run that has not ended", test_open_run },
	{ "no such run", test_no_run },
	{ "a changed record", test_changed },
	{ "a changed question, a changed end", test_end_changed },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	log_configure("error");
	return env_main("replay", tests, env_close);
}
