/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/integration/engine_env.h"

/*
 * The engine on both databases, with a model and tools that do what the test
 * says: from a message to what is stored.
 */

/* ---- Turns --------------------------------------------------------- */

static void
simple(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("hi"), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start message_end"
	    " message_created checkpoint run_status:succeeded");
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	bed_message(-1, "assistant", "hello", "final");
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT count(*) FROM jobs WHERE run_id = $1"),
	    0);
	/* And again: the thread is free. */
	CU_ASSERT_EQUAL(bed_send("more"), AS_OK);
	bed_wait_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "hello"));
}

static void
test_simple(void)
{
	const struct fake_turn turns[] = { { .text = "hello" },
		{ .text = "again" } };

	bed_run(simple, turns, 2);
}

static void
parallel(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_STRING_NOT_EQUAL(fake.idem_keys[0], fake.idem_keys[1]);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'succeeded'"),
	    3);
	CU_ASSERT_STRING_EQUAL(bed_run_member("usage"),
	    "{\"input_tokens\":20,\"output_tokens\":20,\"cached_tokens\":0,"
	    "\"reasoning_tokens\":0}");
	/* The model saw the results in the order of its calls. */
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages,
	    "\"id\":\"c1_0\",\"text\":\"{\\\"x\\\":1}\",\"is_error\":false},"
	    "{\"type\":\"tool_result\",\"id\":\"c1_1\""));
	bed_message(-1, "assistant", "done", "final");
}

static void
test_parallel(void)
{
	const struct fake_turn turns[] = { { .text = "let me see",
					       .calls = { "t_P {\"x\":1}",
						   "t_N {\"x\":2}",
						   "t_U {\"x\":3}" } },
		{ .text = "done" } };

	bed_run(parallel, turns, 2);
}

static void
by_argument(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND effect = 'P'"),
	    1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND effect = 'U'"),
	    2);
}

/* One tool, and an effect that depends on what it is asked. */
static void
test_by_argument(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "t_U {\"mode\":\"READ\"}",
		      "t_U {\"mode\":\"write\"}", "t_U {}" } },
		{ .text = "ok" }
	};

	bed_run(by_argument, turns, 2);
}

static void
capped(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	fake_release();
	bed_wait_end();
	CU_ASSERT_EQUAL(fake.n_parallel_max, 2);
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
}

static void
test_capped(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "t_P {}", "t_P {}", "t_P {}" }, .bare = true },
		{ .text = "ok" }
	};

	bed_run(capped, turns, 2);
}

static void
tool_errors(void)
{
	fake.tool_fails = ERR_UPSTREAM_UNAVAILABLE;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages,
	    "Error UPSTREAM_UNAVAILABLE: the tool says no"));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(fake.last_messages, "no tool named 'nope'"));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(fake.last_messages, "arguments are not a JSON object"));
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_tool_errors(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}", "nope {}",
						 "t_P {broken" } },
		{ .text = "sorry" } };

	bed_run(tool_errors, turns, 2);
}

static void
too_long(void)
{
	fake.result_len = 5000;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(fake.last_messages, "[cut: 100 of 5000 bytes]"));
}

static void
test_too_long(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}" } },
		{ .text = "ok" } };

	bed_run(too_long, turns, 2);
}

static void
remember(void)
{
	struct agent *a;

	CU_ASSERT_EQUAL_FATAL(bed_send("I like tea"), AS_OK);
	bed_wait_end();
	MUST(agent_load(env.store, bed.agent_id, bed.arena, &a, &bed.err) ==
	     AS_OK);
	CU_ASSERT_STRING_EQUAL(json_text(jget(a->memory, "facts")),
	    "[\"likes tea\"]");
	CU_ASSERT_EQUAL_FATAL(bed_send("and?"), AS_OK);
	bed_wait_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "- likes tea"));
}

static void
test_remember(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "remember {\"fact\":\"likes tea\"}" } },
		{ .text = "noted" }, { .text = "yes" }
	};

	bed_run(remember, turns, 3);
}

/* ---- Failures and limits ------------------------------------------- */

static void
model_fails(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"),
	    "\"code\":\"UPSTREAM_UNAVAILABLE\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"),
	    "\"actions\":[\"retry\",\"switch_model\",\"cancel\"]"));
	bed_message(-1, "assistant", "half", "interrupted");
	CU_ASSERT_EQUAL(bed_send("again"), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
}

static void
test_model_fails(void)
{
	const struct fake_turn turns[] = {
		{ .text = "half", .fail = ERR_UPSTREAM_UNAVAILABLE },
		{ .text = "whole" }
	};

	bed_run(model_fails, turns, 2);
}

static void
steps_limit(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "LIMIT_REACHED"));
	CU_ASSERT_EQUAL(fake.n_chats, 5);
}

static void
test_steps_limit(void)
{
	const struct fake_turn t = { .calls = { "t_P {}" } };
	const struct fake_turn turns[] = { t, t, t, t, t, t, t };

	bed_run(steps_limit, turns, 7);
}

static void
not_ready(void)
{
	bed_sql("UPDATE agents SET agent_state = 'paused' WHERE id = $1"
		" AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.agent_id, bed.agent_id);
	bed_send("hi");
	CU_ASSERT_EQUAL(bed.err.code, ERR_AGENT_NOT_READY);
	bed_sql("UPDATE agents SET agent_state = 'ready', deleted_at = 1"
		" WHERE id = $1 AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.agent_id, bed.agent_id);
	bed_send("hi");
	CU_ASSERT_EQUAL(bed.err.code, ERR_AGENT_NOT_READY);
	bed_send("");
	CU_ASSERT_EQUAL(bed.err.code, ERR_VALIDATION_FAILED);
	bed_send("\xff");
	CU_ASSERT_EQUAL(bed.err.code, ERR_VALIDATION_FAILED);
	bed.ctx.who.user_id = uuid_v7();
	bed_send("hi");
	CU_ASSERT_EQUAL(bed.err.code, ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(fake.n_chats, 0);
}

static void
test_not_ready(void)
{
	bed_run(not_ready, NULL, 0);
}

static void
busy_thread(void)
{
	struct chat_message m = { .content = "x",
		.len = 1,
		.client_message_id = "k1" };
	struct chat_sent a, b;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed.multitask = RUN_REJECT;
	bed_send("and this");
	CU_ASSERT_EQUAL(bed.err.code, ERR_THREAD_BUSY);
	CU_ASSERT_PTR_NOT_NULL(jget_str(bed.err.extra, "active_run_id", NULL));
	fake_release();
	bed_wait_end();
	/* The same client_message_id is the same message. */
	error_clear(&bed.err);
	CU_ASSERT_EQUAL(chat_send(&bed.ctx, bed.thread_id, &m, &a, &bed.err),
	    AS_OK);
	CU_ASSERT_EQUAL(chat_send(&bed.ctx, bed.thread_id, &m, &b, &bed.err),
	    AS_OK);
	CU_ASSERT_TRUE(b.replayed);
	CU_ASSERT_TRUE(uuid_equal(a.run_id, b.run_id));
	CU_ASSERT_EQUAL(a.seq_before, 7); /* after the first turn */
	CU_ASSERT_EQUAL(b.seq_before, a.seq_before);
	bed_wait_end();
	CU_ASSERT_EQUAL(fake.n_chats, 2);
}

static void
test_busy_thread(void)
{
	const struct fake_turn turns[] = { { .text = "slow", .hang = true },
		{ .text = "quick" } };

	bed_run(busy_thread, turns, 2);
}

/* ---- Cancel -------------------------------------------------------- */

static void
cancel_keep(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("partial");
	bed_cancel(false);
	bed_wait_end();
	CU_ASSERT_EQUAL(fake.n_canceled, 1);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"cancelled\"");
	bed_message(-1, "assistant", "partial", "interrupted");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start"
	    " run_status:cancelling message_end message_created"
	    " run_status:cancelled");
	bed_cancel(false); /* harmless */
	CU_ASSERT_EQUAL(bed_send("go on"), AS_OK);
	bed_wait_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "partial"));
}

static void
test_cancel_keep(void)
{
	const struct fake_turn turns[] = { { .text = "partial", .hang = true },
		{ .text = "more" } };

	bed_run(cancel_keep, turns, 2);
}

static void
cancel_discard(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("partial");
	bed_cancel(true);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"rolled_back\"");
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT count(*) FROM messages"
			    " WHERE run_id = $1 AND state <> 'rolled_back'"),
	    0);
	CU_ASSERT_EQUAL(bed_send("anew"), AS_OK);
	bed_wait_end();
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "\"go\""));
}

static void
test_cancel_discard(void)
{
	const struct fake_turn turns[] = { { .text = "partial", .hang = true },
		{ .text = "more" } };

	bed_run(cancel_discard, turns, 2);
}

static void
cancel_tools(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	bed_cancel(false);
	bed_wait_end();
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"cancelled\"");
	/* What was sent and has an effect is unknown; the rest never began. */
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'unknown'"),
	    1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM tool_invocations"
				  " WHERE run_id = $1 AND state = 'cancelled'"),
	    2);
	fake.tool_hangs = false;
	CU_ASSERT_EQUAL(bed_send("go on"), AS_OK);
	bed_wait_end();
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "No result:"));
}

static void
test_cancel_tools(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}", "t_P {}",
						 "t_P {}" } },
		{ .text = "ok" } };

	bed_run(cancel_tools, turns, 2);
}

static SUSPENDS void
sender_main(void *arg)
{
	(void)arg;
	(void)bed_send("go");
}

/*
 * Who sends may leave while the run is being created: nobody knows then
 * whether it was.  If it was, it is worked on all the same.
 */
static void
sender_leaves(void)
{
	struct fiber_ref f;

	for (int i = 0; i < 12; i++) {
		f = fiber_spawn(env.loop, "sender", sender_main, NULL);
		for (int k = 0; k < i % 4; k++)
			fiber_yield();
		fiber_cancel(f);
		fiber_reap(f);
		fiber_sleep(1); /* let the store end what it has begun */
		bed.run_id = bed.thread_id;
		while (bed_count("SELECT count(*) FROM threads WHERE id = $1"
				 " AND active_run_id IS NOT NULL") > 0) {
			engine_claim(bed.engine); /* as the node does */
			fiber_yield();
		}
	}
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM messages WHERE"
				  " thread_id = $1 AND role = 'user'"),
	    fake.n_chats);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM messages WHERE"
				  " thread_id = $1 AND role = 'assistant'"),
	    fake.n_chats);
}

static void
test_sender_leaves(void)
{
	struct fake_turn turns[12];

	for (int i = 0; i < 12; i++)
		turns[i] = (struct fake_turn){ .text = "ok" };
	bed_run(sender_leaves, turns, 12);
}

/* Between two turns of the run, not some turns later like cancel. */
static void
cancel_now(void)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id) };

	MUST(store_db_run(env.db,
		 "UPDATE runs SET status = 'cancelling', cancel_mode = 'keep'"
		 " WHERE id = $1",
		 args, 1, NULL, NULL) == AS_OK);
	engine_notify_cancel(bed.engine, bed.run_id);
}

/* Whatever the run is doing, it ends because of this and not by itself. */
static void
cancel_any_time(void)
{
	for (int k = 0; k < 24; k++) {
		CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		for (int i = 0; i < k / 2; i++)
			fiber_yield();
		if (k % 2 == 0)
			bed_cancel(false);
		else
			cancel_now();
		bed_wait_end();
		CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
		    "\"cancelled\"");
	}
}

static void
test_cancel_any_time(void)
{
	struct fake_turn turns[24];

	for (int i = 0; i < 24; i++)
		turns[i] = (struct fake_turn){ .text = "ab", .hang = true };
	bed_run(cancel_any_time, turns, 24);
}
/* ---- Long threads -------------------------------------------------- */

#define LONG_LEN (200 * 1024)
#define N_LONG 12

static SUSPENDS void
send_long(int i)
{
	struct buf text = { 0 };

	buf_printf(&text, "number %d ", i);
	while (text.len < LONG_LEN)
		buf_add_str(&text, "0123456789abcdef");
	CU_ASSERT_EQUAL_FATAL(bed_send(text.data), AS_OK);
	buf_free(&text);
	bed_wait_end();
}

/* Pages are cut by size, and all of them together are everything. */
static SUSPENDS void
assert_pages(void)
{
	struct json_object *items;
	struct log_event *events;
	int64_t before = 0, seq = 0;
	int n, n_messages = 0;

	do {
		MUST(log_read(env.store, LOG_OF_THREAD, bed.thread_id, seq,
			 1000, &events, &n, &bed.err) == AS_OK);
		CU_ASSERT_TRUE(n < N_LONG * 7);
		for (int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(events[i].seq, ++seq);
		log_events_free(events, n);
	} while (n > 0);
	CU_ASSERT_EQUAL(seq, N_LONG * 7);
	do {
		MUST(
		    thread_messages(&bed.ctx, bed.thread_id, (struct uuid){ 0 },
			before, 100, &items, &before, &bed.err) == AS_OK);
		n = (int)json_object_array_length(items);
		CU_ASSERT_TRUE(n > 0 && n < N_LONG * 2);
		n_messages += n;
		json_object_put(items);
	} while (before > 0 && n > 0);
	CU_ASSERT_EQUAL(n_messages, N_LONG * 2);
}

static void
long_thread(void)
{
	for (int i = 0; i < N_LONG; i++)
		send_long(i);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "number 0 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "number 11 "));
	assert_pages();
}

static void
test_long_thread(void)
{
	struct fake_turn turns[N_LONG];

	for (int i = 0; i < N_LONG; i++)
		turns[i] = (struct fake_turn){ .text = "I see" };
	bed_run(long_thread, turns, N_LONG);
}

static CU_TestInfo tests[] = {
	{ "a simple turn", test_simple },
	{ "parallel tools", test_parallel },
	{ "an effect by argument", test_by_argument },
	{ "at most so many tools at once", test_capped },
	{ "tool errors go back to the model", test_tool_errors },
	{ "a long result is cut", test_too_long },
	{ "the model remembers", test_remember },
	{ "a model that fails", test_model_fails },
	{ "the limit of steps", test_steps_limit },
	{ "messages that are refused", test_not_ready },
	{ "a busy thread, a repeated message", test_busy_thread },
	{ "cancel keeps the text", test_cancel_keep },
	{ "cancel takes the turn back", test_cancel_discard },
	{ "cancel among tools", test_cancel_tools },
	{ "cancel at any moment", test_cancel_any_time },
	{ "a sender who does not wait", test_sender_leaves },
	{ "a long thread is read in parts", test_long_thread },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("engine", tests, env_close);
}
