/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "tests/integration/engine_env.h"

/*
 * Processes that stop or die, and what the next owner of their runs finds.
 */

/* ---- Takeover: what the next owner finds --------------------------- */

static SUSPENDS void
die_and_take_over(void)
{
	bed_restart(true);
}

/* It waits for its next owner, with a message open and a call started. */
static void
takeover_cancelled(void)
{
	int64_t dead = bed.epoch;
	int n = 0;

	fake.tool_hangs = true;
	bed_send_hanging(1);
	engine_drain(bed.engine, bed.drain_until);
	engine_free(bed.engine);
	MUST(run_store_node_leave(bed.runs, dead, &bed.err) == AS_OK);
	MUST(run_store_node_join(bed.runs, "next", "1", 60000000, &bed.epoch,
		 &bed.err) == AS_OK);
	MUST(run_store_reap(bed.runs, bed.epoch, false, 3600000000, &n,
		 &bed.err) == AS_OK);
	bed.ctx.engine = bed.engine = bed_engine();
	bed_cancel(false);
	while (strcmp(bed_run_member("status"), "\"cancelled\"") != 0)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"cancelled\"");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'started'"),
	    0);
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT count(*) FROM run_events"
			    " WHERE run_id = $1 AND type = 'tool_result'"),
	    1);
}

static void
test_takeover_cancelled(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}" } } };

	bed_run(takeover_cancelled, turns, 1);
}

static void
takeover_answer(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("lost");
	die_and_take_over();
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start"
	    " run_status:running message_reset message_end message_created"
	    " checkpoint run_status:succeeded");
	bed_message(-1, "assistant", "found", "final");
}

static void
test_takeover_answer(void)
{
	const struct fake_turn turns[] = { { .text = "lost", .hang = true },
		{ .text = "found" } };

	bed_run(takeover_answer, turns, 2);
}

static void
takeover_tools(void)
{
	struct engine_resume how = { .reason = "resolved",
		.items_close = "answered" };
	struct run_tool *rows, done;
	int n;

	fake.tool_hangs = true;
	fake.timeout_ms = 100;
	fake.verify = AS_OK;
	bed_send_hanging(2);
	die_and_take_over();
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "OUTCOME_UNKNOWN"));
	/* U was sent once and is unknown; V was asked; P was sent again. */
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'unknown'"
				  " AND effect = 'U'"),
	    1);
	CU_ASSERT_EQUAL(fake.n_verifies, 1);
	CU_ASSERT_EQUAL(fake.n_tools, 2 + 1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items"
				  " WHERE run_id = $1 AND status = 'pending'"),
	    1);
	/* An operator knows: it did. */
	MUST(run_store_tools(bed.runs, bed.run_id, 1, bed.arena, &rows, &n,
		 &bed.err) == AS_OK);
	done = rows[0];
	done.state = "succeeded";
	done.result = "seen by a person";
	done.resolution = "operator";
	how.decided = &done;
	CU_ASSERT_EQUAL(engine_resume(bed.engine, bed.run_id, &how, &bed.err),
	    AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "it happened"));
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "seen by a person"));
	CU_ASSERT_EQUAL(fake.n_tools, 2 + 1);
}

static void
test_takeover_tools(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}", "t_V {}",
						 "t_P {}" } },
		{ .text = "ok" } };

	bed_run(takeover_tools, turns, 2);
}

/* A stop in order: what was sent is waited for, what was not is not sent. */
static void
drain_tools(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_release_soon();
	bed.drain_until = loop_now_ms(env.loop) + 20000;
	bed_restart(false);
	bed.drain_until = 0;
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'succeeded'"),
	    3);
	CU_ASSERT_EQUAL(fake.n_tools, 3);
}

static void
test_drain_tools(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}", "t_P {}",
						 "t_P {}" } },
		{ .text = "ok" } };

	bed_run(drain_tools, turns, 2);
}

/* ---- At any moment ------------------------------------------------- */

#define MOMENTS 40

static const struct fake_turn any_turns[] = {
	{ .text = "ab", .calls = { "t_P {}", "t_K {}", "t_N {}" } },
	{ .text = "ok" }
};
static const struct fake_turn once_turns[] = {
	{ .text = "ab", .calls = { "t_U {}", "t_U {}", "t_U {}" } },
	{ .text = "ok" }
};

/* Each run has an answer, and each call has a result, once. */
static SUSPENDS void
assert_whole(void)
{
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM messages WHERE"
				  " run_id = $1 AND state = 'final'"),
	    1 + 1 + 3 + 1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'succeeded'"),
	    3);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM run_events WHERE"
				  " run_id = $1 AND type = 'tool_result'"),
	    3);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items"
				  " WHERE run_id = $1"),
	    0);
}

/* Only of an owner that was lost it is said that the run was recovered. */
static SUSPENDS void
assert_said_why(bool lost)
{
	const char *why = bed_starts();

	CU_ASSERT_STRING_NOT_EQUAL(why, "");
	CU_ASSERT_EQUAL(strstr(why, "recovered") != NULL, lost);
}

static SUSPENDS void
stop_any_time(bool dies)
{
	bool lost;

	for (int k = 0; k < MOMENTS; k++) {
		fake.n_chats = fake.n_tools = 0;
		CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		for (int i = 0; i < k; i++)
			fiber_yield();
		bed_stop(dies);
		/* Whichever answer it was at, it is asked again. */
		fake.n_chats = bed_count("SELECT count(*) FROM messages WHERE"
					 " run_id = $1 AND role = 'assistant'");
		lost = bed_next() > 0;
		bed_until("succeeded");
		assert_whole();
		assert_said_why(lost);
		CU_ASSERT_TRUE(dies || fake.n_tools == 3);
		bed_wait_end();
	}
	(void)bed_events(); /* without a gap */
}

/* Done or parked. */
static SUSPENDS bool
is_settled(void)
{
	const char *status = bed_run_member("status");

	return strcmp(status, "\"succeeded\"") == 0 ||
	       strcmp(status, "\"recoverable_error\"") == 0;
}

/* Whatever is known in the end, no call has been made twice. */
static void
dies_among_once(void)
{
	for (int k = 0; k < MOMENTS; k++) {
		fake.n_chats = fake.n_tools = 0;
		CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		for (int i = 0; i < k; i++)
			fiber_yield();
		bed_stop(true);
		fake.n_chats = bed_count("SELECT count(*) FROM messages WHERE"
					 " run_id = $1 AND role = 'assistant'");
		(void)bed_next();
		while (!is_settled())
			if (fiber_yield() != FIBER_WOKEN)
				break;
		CU_ASSERT_TRUE(is_settled());
		CU_ASSERT_TRUE(fake.n_tools <= 3);
		for (int i = 1; i < fake.n_tools && i < 16; i++)
			CU_ASSERT_STRING_NOT_EQUAL(fake.idem_keys[i],
			    fake.idem_keys[i - 1]);
		CU_ASSERT_EQUAL(bed_count(
				    "SELECT count(*) FROM inbox_items WHERE"
				    " run_id = $1 AND status = 'pending'"),
		    bed_count("SELECT count(*) FROM tool_invocations WHERE"
			      " run_id = $1 AND state = 'unknown'"));
		bed_wait_end();
	}
	(void)bed_events();
}

static void
test_dies_among_once(void)
{
	bed_run(dies_among_once, once_turns, 2);
}

static void
dies_any_time(void)
{
	stop_any_time(true);
}

static void
drains_any_time(void)
{
	bed.drain_until = UINT64_MAX;
	stop_any_time(false);
}

static void
test_dies_any_time(void)
{
	bed_run(dies_any_time, any_turns, 2);
}

static void
test_drains_any_time(void)
{
	bed_run(drains_any_time, once_turns, 2);
}

/* ---- Fences -------------------------------------------------------- */

static void
stale_fence(void)
{
	struct run_state s;
	struct event_list events = { 0 };
	struct run_commit c = { .events = &events };

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("a");
	MUST(run_store_state(bed.runs, bed.run_id, bed.arena, &s, &bed.err) ==
	     AS_OK);
	event_list_add_status(&events, RUN_SUCCEEDED, NULL, NULL, NULL);
	c.run_id = bed.run_id;
	c.thread_id = bed.thread_id;
	c.tenant_id = s.tenant_id;
	c.commit_id = uuid_v7();
	c.from = RUN_RUNNING;
	c.to = RUN_SUCCEEDED;
	c.fence = s.fence + 1;
	c.heads = s.heads;
	c.now_us = s.now_us;
	CU_ASSERT_EQUAL(run_store_commit(bed.runs, &c, &bed.err), AS_CONFLICT);
	c.fence = s.fence;
	c.step = s.step + 1;
	CU_ASSERT_EQUAL(run_store_commit(bed.runs, &c, &bed.err), AS_CONFLICT);
	c.step = s.step;
	c.owner = bed.epoch + 1;
	CU_ASSERT_EQUAL(run_store_commit(bed.runs, &c, &bed.err), AS_CONFLICT);
	c.owner = bed.epoch;
	c.heads.seq--;
	CU_ASSERT_EQUAL(run_store_commit(bed.runs, &c, &bed.err), AS_CONFLICT);
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start");
	event_list_clear(&events);
	fake_release();
	bed_wait_end();
}

static void
test_stale_fence(void)
{
	const struct fake_turn turns[] = { { .text = "a", .hang = true } };

	bed_run(stale_fence, turns, 1);
}

/*
 * The claim was lost with its primary, and the fence has come again: the row is
 * as this process believes, but for who owns it.
 */
static void
fence_again(void)
{
	int64_t other = bed.epoch + 1;
	struct sql_arg args[] = { SQL_NULL, SQL_INT(other) };

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("a");
	args[0] = SQL_UUID(bed.run_id);
	MUST(store_db_run(env.db,
		 "UPDATE runs SET owner_epoch = $2 WHERE id = $1", args, 2,
		 NULL, NULL) == AS_OK);
	fake_release();
	engine_drain(bed.engine, bed.drain_until);
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM runs WHERE id = $1"
				  " AND status = 'running' AND fence = 1"),
	    1);
	/* Nobody is to find it. */
	MUST(store_db_run(env.db, "DELETE FROM jobs WHERE run_id = $1", args, 1,
		 NULL, NULL) == AS_OK);
}

static void
test_fence_again(void)
{
	const struct fake_turn turns[] = { { .text = "a", .hang = true } };

	bed_run(fence_again, turns, 1);
}

/* The owner is alive, but was declared dead: what it commits is refused. */
static void
zombie(void)
{
	int n = 0;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("mine");
	MUST(run_store_reap(bed.runs, bed.epoch, false, -1000000, &n,
		 &bed.err) == AS_OK);
	CU_ASSERT_EQUAL(n, 1);
	fake_release();
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	engine_claim(bed.engine);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	bed_message(-1, "assistant", "theirs", "final");
	/* And one that is handed back unworked. */
	MUST(run_store_release(bed.runs, bed.epoch, bed.thread_id, bed.run_id,
		 &bed.err) == AS_NOTFOUND);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
}

static void
test_zombie(void)
{
	const struct fake_turn turns[] = { { .text = "mine", .hang = true },
		{ .text = "theirs" } };

	bed_run(zombie, turns, 2);
}

static CU_TestInfo tests[] = {
	{ "cancel before the takeover", test_takeover_cancelled },
	{ "takeover while a model answers", test_takeover_answer },
	{ "takeover among tools", test_takeover_tools },
	{ "a drain among tools", test_drain_tools },
	{ "a process that dies at any moment", test_dies_any_time },
	{ "one that dies among calls made once", test_dies_among_once },
	{ "a process that stops at any moment", test_drains_any_time },
	{ "a stale belief writes nothing", test_stale_fence },
	{ "nor does one whose fence has come again", test_fence_again },
	{ "an owner that was declared dead", test_zombie },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("takeover", tests, env_close);
}
