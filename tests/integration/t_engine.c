/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/stream.h"
#include "core/run/work.h"
#include "tests/integration/fake_plug.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * The engine on both databases, with a model and tools that do what the test
 * says: from a message to what is stored and what a reader sees.
 */

static struct chat_ctx ctx;
static struct engine *engine;
static struct run_store *runs;
static struct world *world;
static struct bus *bus;
static struct live *live;
static struct arena *arena;
static struct error err;
static struct uuid agent_id, thread_id, run_id;
static int64_t epoch;

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };

static struct uuid
new_id(void *arg)
{
	(void)arg;
	return uuid_v7();
}

static int64_t
wall_us(void *arg)
{
	(void)arg;
	return clock_wall_us();
}

static uint32_t
no_jitter(void *arg, uint32_t n)
{
	(void)arg, (void)n;
	return 0;
}

static void
notify_cancel(void *arg, struct uuid id)
{
	(void)arg;
	engine_notify_cancel(engine, id);
}

/* ---- What each test stands on -------------------------------------- */

static void
sql(const char *text, struct uuid a, struct uuid b)
{
	struct sql_arg args[] = { SQL_UUID(a), SQL_UUID(b), SQL_UUID(tenant) };

	MUST(store_db_run(env.db, text, args, 3, NULL, NULL) == AS_OK);
}

static struct engine *
engine_make(void)
{
	struct engine_config c = {
		.loop = env.loop,
		.runs = runs,
		.world = world,
		.bus = bus,
		.live = live,
		.env = { .new_id = new_id,
		    .wall_us = wall_us,
		    .random = no_jitter },
		.epoch = epoch,
		.limits = { .max_steps = 5,
		    .max_tokens = 1000,
		    .max_wall_ms = 60000,
		    .model_tries = 1,
		    .call_timeout_ms = 30000,
		    .tool_timeout_ms = 30000,
		    .parallel_tools = 2,
		    .max_output = 100,
		    .slots = 4 },
	};

	return engine_new(&c);
}

static SUSPENDS void
stand_up(void)
{
	runs = run_store_new(env.store);
	world = world_new(NULL, env.store);
	MUST(run_store_node_join(runs, "test", "1", 60000000, &epoch, &err) ==
	     AS_OK);
	engine = engine_make();
	ctx = (struct chat_ctx){ .store = env.store,
		.runs = runs,
		.engine = engine,
		.bus = bus,
		.arena = arena,
		.correlation_id = "test-test",
		.traceparent = "",
		.notify_cancel = notify_cancel };
	ctx.who.user_id = uuid_v7();
	ctx.who.tenant_id = tenant;
	ctx.who.role = ROLE_MEMBER;
	agent_id = uuid_v7();
	thread_id = uuid_v7();
	sql("INSERT INTO users (id, tenant_id, email, created_at, updated_at)"
	    " SELECT $1, $3, lower(CAST(now_us() AS TEXT)) || '@x', 1, 1"
	    " WHERE $2 IS NOT NULL",
	    ctx.who.user_id, agent_id);
	sql("INSERT INTO agents (id, tenant_id, user_id, name, description,"
	    " purpose, system_prompt, memory, agent_state, toolkits,"
	    " suggested_task_prompts, suggested_job_prompts, is_public,"
	    " version, created_at, updated_at) VALUES ($1, $3, $2, 'a', '', '',"
	    " 'sys', '{\"enabled\":true,\"facts\":[]}', 'ready', '[\"t\"]',"
	    " '[]', '[]', FALSE, 1, 1, 1)",
	    agent_id, ctx.who.user_id);
	MUST(run_store_thread_create(runs, thread_id, tenant, ctx.who.user_id,
		 agent_id, "", &err) == AS_OK);
}

static void (*test_fn)(void);

static SUSPENDS void
test_fiber(void *arg)
{
	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 30000);
	stand_up();
	test_fn();
	while (engine_active(engine) > 0)
		fiber_yield();
	engine_free(engine);
	world_free(world);
	run_store_free(runs);
}

static void
run(void (*fn)(void), const struct fake_turn *turns, int n)
{
	if (!env_ready())
		return;
	arena = arena_new(NULL);
	bus = bus_new_memory();
	bus_join(bus, env.loop);
	live = live_new();
	fake_reset(turns, n);
	test_fn = fn;
	env_run(test_fiber, NULL);
	live_free(live);
	bus_leave(bus, env.loop);
	bus_free(bus);
	error_clear(&err);
	arena_free(arena);
}

static SUSPENDS enum as_status
send_text(const char *text)
{
	struct chat_sent sent;
	enum as_status st;

	error_clear(&err);
	st = chat_send(&ctx, thread_id, text, strlen(text), NULL, &sent, &err);
	if (st == AS_OK)
		run_id = sent.run_id;
	return st;
}

/* ---- Looking at what is stored ------------------------------------- */

static SUSPENDS const char *
run_member(const char *key)
{
	struct json_object *o = NULL;
	const char *s;

	MUST(run_read(&ctx, run_id, &o, &err) == AS_OK);
	s = arena_strdup(arena, json_text(jget(o, key)));
	json_object_put(o);
	return s;
}

static SUSPENDS void
wait_end(void)
{
	while (engine_active(engine) > 0)
		if (fiber_yield() != FIBER_WOKEN)
			return;
}

/* Types of all events of the thread, with states, as one line. */
static SUSPENDS const char *
events_line(void)
{
	struct log_event *e = NULL;
	struct buf b = { 0 };
	const char *s;
	int n = 0;

	MUST(log_read(env.store, LOG_OF_THREAD, thread_id, 0, 1000, &e, &n,
		 &err) == AS_OK);
	for (int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(e[i].seq, i + 1);
		s = strstr(e[i].frame->data, "\"state\":\"");
		buf_printf(&b, "%s%s", i > 0 ? " " : "", e[i].type);
		if (strcmp(e[i].type, "run_status") == 0 && s != NULL)
			buf_printf(&b, ":%.*s", (int)strcspn(s + 9, "\""),
			    s + 9);
	}
	s = arena_strdup(arena, b.data);
	buf_free(&b);
	log_events_free(e, n);
	return s;
}

static SUSPENDS struct json_object *
messages(void)
{
	struct json_object *items = NULL, *read = NULL;
	const char *text;
	int64_t next;

	MUST(thread_messages(&ctx, thread_id, 0, 100, &items, &next, &err) ==
	     AS_OK);
	text = json_text(items);
	MUST(json_parse(text, strlen(text), &read, NULL) == AS_OK);
	json_object_put(items);
	return read;
}

static SUSPENDS void
assert_message(int i, const char *role, const char *content, const char *state)
{
	struct json_object *m = messages();
	struct json_object *one = json_object_array_get_idx(m,
	    i >= 0 ? (size_t)i : json_object_array_length(m) - (size_t)-i);

	CU_ASSERT_PTR_NOT_NULL_FATAL(one);
	CU_ASSERT_STRING_EQUAL(jget_str(one, "role", ""), role);
	CU_ASSERT_STRING_EQUAL(jget_str(one, "content", ""), content);
	CU_ASSERT_STRING_EQUAL(jget_str(one, "state", ""), state);
	json_object_put(m);
}

static SUSPENDS int
count(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };
	struct rows *r = NULL;
	int n;

	MUST(store_db_run(env.db, text, args, 1, &r, NULL) == AS_OK);
	n = (int)rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

/* ---- Turns --------------------------------------------------------- */

static void
simple(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("hi"), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(events_line(),
	    "message_created run_status:running message_start message_end"
	    " message_created checkpoint run_status:succeeded");
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
	assert_message(-1, "assistant", "hello", "final");
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM jobs WHERE run_id = $1"),
	    0);
	/* And again: the thread is free. */
	CU_ASSERT_EQUAL(send_text("more"), AS_OK);
	wait_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "hello"));
}

static void
test_simple(void)
{
	const struct fake_turn turns[] = { { .text = "hello" },
		{ .text = "again" } };

	run(simple, turns, 2);
}

static void
parallel(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
	CU_ASSERT_STRING_NOT_EQUAL(fake.idem_keys[0], fake.idem_keys[1]);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
			      " WHERE run_id = $1 AND state = 'succeeded'"),
	    3);
	CU_ASSERT_STRING_EQUAL(run_member("usage"),
	    "{\"input_tokens\":20,\"output_tokens\":20,\"cached_tokens\":0,"
	    "\"reasoning_tokens\":0}");
	/* The model saw the results in the order of its calls. */
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages,
	    "\"id\":\"c1_0\",\"text\":\"{\\\"x\\\":1}\",\"is_error\":false},"
	    "{\"type\":\"tool_result\",\"id\":\"c1_1\""));
	assert_message(-1, "assistant", "done", "final");
}

static void
test_parallel(void)
{
	const struct fake_turn turns[] = { { .text = "let me see",
					       .calls = { "t_P {\"x\":1}",
						   "t_N {\"x\":2}",
						   "t_U {\"x\":3}" } },
		{ .text = "done" } };

	run(parallel, turns, 2);
}

static void
by_argument(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
			      " WHERE run_id = $1 AND effect = 'P'"),
	    1);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
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

	run(by_argument, turns, 2);
}

static void
capped(void)
{
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
	fake_release();
	wait_end();
	CU_ASSERT_EQUAL(fake.n_parallel_max, 2);
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
}

static void
test_capped(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "t_P {}", "t_P {}", "t_P {}" }, .bare = true },
		{ .text = "ok" }
	};

	run(capped, turns, 2);
}

static void
tool_errors(void)
{
	fake.tool_fails = ERR_UPSTREAM_UNAVAILABLE;
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
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

	run(tool_errors, turns, 2);
}

static void
too_long(void)
{
	fake.result_len = 5000;
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(fake.last_messages, "[cut: 100 of 5000 bytes]"));
}

static void
test_too_long(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}" } },
		{ .text = "ok" } };

	run(too_long, turns, 2);
}

static void
remember(void)
{
	struct agent *a;

	CU_ASSERT_EQUAL_FATAL(send_text("I like tea"), AS_OK);
	wait_end();
	MUST(agent_load(env.store, agent_id, arena, &a, &err) == AS_OK);
	CU_ASSERT_STRING_EQUAL(json_text(jget(a->memory, "facts")),
	    "[\"likes tea\"]");
	CU_ASSERT_EQUAL_FATAL(send_text("and?"), AS_OK);
	wait_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "- likes tea"));
}

static void
test_remember(void)
{
	const struct fake_turn turns[] = {
		{ .calls = { "remember {\"fact\":\"likes tea\"}" } },
		{ .text = "noted" }, { .text = "yes" }
	};

	run(remember, turns, 3);
}

/* ---- Failures and limits ------------------------------------------- */

static void
model_fails(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"recoverable_error\"");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(run_member("error"), "\"code\":\"UPSTREAM_UNAVAILABLE\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(run_member("error"),
	    "\"actions\":[\"retry\",\"switch_model\",\"cancel\"]"));
	assert_message(-1, "assistant", "half", "interrupted");
	CU_ASSERT_EQUAL(send_text("again"), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
}

static void
test_model_fails(void)
{
	const struct fake_turn turns[] = {
		{ .text = "half", .fail = ERR_UPSTREAM_UNAVAILABLE },
		{ .text = "whole" }
	};

	run(model_fails, turns, 2);
}

static void
steps_limit(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"recoverable_error\"");
	CU_ASSERT_PTR_NOT_NULL(strstr(run_member("error"), "LIMIT_REACHED"));
	CU_ASSERT_EQUAL(fake.n_chats, 5);
}

static void
test_steps_limit(void)
{
	const struct fake_turn t = { .calls = { "t_P {}" } };
	const struct fake_turn turns[] = { t, t, t, t, t, t, t };

	run(steps_limit, turns, 7);
}

static void
not_ready(void)
{
	sql("UPDATE agents SET agent_state = 'paused' WHERE id = $1"
	    " AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    agent_id, agent_id);
	send_text("hi");
	CU_ASSERT_EQUAL(err.code, ERR_AGENT_NOT_READY);
	sql("UPDATE agents SET agent_state = 'ready', deleted_at = 1"
	    " WHERE id = $1 AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    agent_id, agent_id);
	send_text("hi");
	CU_ASSERT_EQUAL(err.code, ERR_AGENT_NOT_READY);
	send_text("");
	CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	send_text("\xff");
	CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	ctx.who.user_id = uuid_v7();
	send_text("hi");
	CU_ASSERT_EQUAL(err.code, ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(fake.n_chats, 0);
}

static void
test_not_ready(void)
{
	run(not_ready, NULL, 0);
}

static void
busy_thread(void)
{
	struct chat_sent a, b;

	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	send_text("and this");
	CU_ASSERT_EQUAL(err.code, ERR_THREAD_BUSY);
	CU_ASSERT_PTR_NOT_NULL(jget_str(err.extra, "active_run_id", NULL));
	fake_release();
	wait_end();
	/* The same client_message_id is the same message. */
	error_clear(&err);
	CU_ASSERT_EQUAL(chat_send(&ctx, thread_id, "x", 1, "k1", &a, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(chat_send(&ctx, thread_id, "x", 1, "k1", &b, &err),
	    AS_OK);
	CU_ASSERT_TRUE(b.replayed);
	CU_ASSERT_TRUE(uuid_equal(a.run_id, b.run_id));
	CU_ASSERT_EQUAL(a.seq_before, 7); /* after the first turn */
	CU_ASSERT_EQUAL(b.seq_before, a.seq_before);
	wait_end();
	CU_ASSERT_EQUAL(fake.n_chats, 2);
}

static void
test_busy_thread(void)
{
	const struct fake_turn turns[] = { { .text = "slow", .hang = true },
		{ .text = "quick" } };

	run(busy_thread, turns, 2);
}

/* ---- Cancel -------------------------------------------------------- */

static SUSPENDS void
cancel(bool rollback)
{
	error_clear(&err);
	CU_ASSERT_EQUAL(chat_cancel(&ctx, run_id, rollback, "enough", &err),
	    AS_OK);
}

static SUSPENDS void
until_text(const char *text)
{
	struct live_text t;
	bool there = false;

	while (!there) {
		if (live_get(live, thread_id, (struct uuid){ { 0 } }, 0, &t)) {
			there = strcmp(t.text.data, text) == 0;
			buf_free(&t.text);
		}
		if (!there && fiber_yield() != FIBER_WOKEN)
			return;
	}
}

static void
cancel_keep(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	until_text("partial");
	cancel(false);
	wait_end();
	CU_ASSERT_EQUAL(fake.n_canceled, 1);
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"cancelled\"");
	assert_message(-1, "assistant", "partial", "interrupted");
	CU_ASSERT_STRING_EQUAL(events_line(),
	    "message_created run_status:running message_start"
	    " run_status:cancelling message_end message_created"
	    " run_status:cancelled");
	cancel(false); /* harmless */
	CU_ASSERT_EQUAL(send_text("go on"), AS_OK);
	wait_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "partial"));
}

static void
test_cancel_keep(void)
{
	const struct fake_turn turns[] = { { .text = "partial", .hang = true },
		{ .text = "more" } };

	run(cancel_keep, turns, 2);
}

static void
cancel_discard(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	until_text("partial");
	cancel(true);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"rolled_back\"");
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM messages"
			      " WHERE run_id = $1 AND state <> 'rolled_back'"),
	    0);
	CU_ASSERT_EQUAL(send_text("anew"), AS_OK);
	wait_end();
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "\"go\""));
}

static void
test_cancel_discard(void)
{
	const struct fake_turn turns[] = { { .text = "partial", .hang = true },
		{ .text = "more" } };

	run(cancel_discard, turns, 2);
}

static void
cancel_tools(void)
{
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
	cancel(false);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"cancelled\"");
	/* What was sent and has an effect is unknown; the rest never began. */
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
			      " WHERE run_id = $1 AND state = 'unknown'"),
	    1);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
			      " WHERE run_id = $1 AND state = 'cancelled'"),
	    2);
	fake.tool_hangs = false;
	CU_ASSERT_EQUAL(send_text("go on"), AS_OK);
	wait_end();
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "No result:"));
}

static void
test_cancel_tools(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}", "t_P {}",
						 "t_P {}" } },
		{ .text = "ok" } };

	run(cancel_tools, turns, 2);
}

static SUSPENDS void
sender_main(void *arg)
{
	(void)arg;
	(void)send_text("go");
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
		run_id = thread_id;
		while (count("SELECT count(*) FROM threads WHERE id = $1"
			     " AND active_run_id IS NOT NULL") > 0) {
			engine_claim(engine); /* as the node does */
			fiber_yield();
		}
	}
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM messages WHERE"
			      " thread_id = $1 AND role = 'user'"),
	    fake.n_chats);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM messages WHERE"
			      " thread_id = $1 AND role = 'assistant'"),
	    fake.n_chats);
}

static void
test_sender_leaves(void)
{
	struct fake_turn turns[12];

	for (int i = 0; i < 12; i++)
		turns[i] = (struct fake_turn){ .text = "ok" };
	run(sender_leaves, turns, 12);
}

/* Between two turns of the run, not some turns later like cancel. */
static void
cancel_now(void)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };

	MUST(store_db_run(env.db,
		 "UPDATE runs SET status = 'cancelling', cancel_mode = 'keep'"
		 " WHERE id = $1",
		 args, 1, NULL, NULL) == AS_OK);
	engine_notify_cancel(engine, run_id);
}

/* Whatever the run is doing, it ends because of this and not by itself. */
static void
cancel_any_time(void)
{
	for (int k = 0; k < 24; k++) {
		CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
		for (int i = 0; i < k / 2; i++)
			fiber_yield();
		if (k % 2 == 0)
			cancel(false);
		else
			cancel_now();
		wait_end();
		CU_ASSERT_STRING_EQUAL(run_member("status"), "\"cancelled\"");
	}
}

static void
test_cancel_any_time(void)
{
	struct fake_turn turns[24];

	for (int i = 0; i < 24; i++)
		turns[i] = (struct fake_turn){ .text = "ab", .hang = true };
	run(cancel_any_time, turns, 24);
}

/* ---- Takeover: what the next owner finds --------------------------- */

static uint64_t drain_until; /* 0: tools at work are not waited for */

/*
 * The process stops at this point, in order or dead; another one goes on with
 * its runs.
 */
static SUSPENDS void
stop_and_go_on(bool dies)
{
	int64_t dead = epoch;
	int n = 0;

	for (struct work *w = engine->works; dies && w != NULL; w = w->next)
		w->lost = true;
	engine_drain(engine, drain_until);
	engine_free(engine);
	MUST(run_store_node_leave(runs, dead, &err) == AS_OK);
	MUST(run_store_node_join(runs, "next", "1", 60000000, &epoch, &err) ==
	     AS_OK);
	MUST(run_store_reap(runs, epoch, false, 3600000000, &n, &err) == AS_OK);
	CU_ASSERT_EQUAL(n, dies ? 1 : 0);
	ctx.engine = engine = engine_make();
	fake.tool_hangs = false;
	fake_release();
	engine_claim(engine);
}

static SUSPENDS void
die_and_take_over(void)
{
	stop_and_go_on(true);
}

/* It waits for its next owner, with a message open and a call started. */
static void
takeover_cancelled(void)
{
	int64_t dead = epoch;
	int n = 0;

	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	while (fake.n_hanging < 1)
		fiber_yield();
	engine_drain(engine, drain_until);
	engine_free(engine);
	MUST(run_store_node_leave(runs, dead, &err) == AS_OK);
	MUST(run_store_node_join(runs, "next", "1", 60000000, &epoch, &err) ==
	     AS_OK);
	MUST(run_store_reap(runs, epoch, false, 3600000000, &n, &err) == AS_OK);
	ctx.engine = engine = engine_make();
	cancel(false);
	while (strcmp(run_member("status"), "\"cancelled\"") != 0)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"cancelled\"");
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
			      " WHERE run_id = $1 AND state = 'started'"),
	    0);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM run_events"
			      " WHERE run_id = $1 AND type = 'tool_result'"),
	    1);
}

static void
test_takeover_cancelled(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_U {}" } } };

	run(takeover_cancelled, turns, 1);
}

static void
takeover_answer(void)
{
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	until_text("lost");
	die_and_take_over();
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
	CU_ASSERT_STRING_EQUAL(events_line(),
	    "message_created run_status:running message_start"
	    " run_status:running message_reset message_end message_created"
	    " checkpoint run_status:succeeded");
	assert_message(-1, "assistant", "found", "final");
}

static void
test_takeover_answer(void)
{
	const struct fake_turn turns[] = { { .text = "lost", .hang = true },
		{ .text = "found" } };

	run(takeover_answer, turns, 2);
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
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
	die_and_take_over();
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"recoverable_error\"");
	CU_ASSERT_PTR_NOT_NULL(strstr(run_member("error"), "OUTCOME_UNKNOWN"));
	/* U was sent once and is unknown; V was asked; P was sent again. */
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
			      " WHERE run_id = $1 AND state = 'unknown'"
			      " AND effect = 'U'"),
	    1);
	CU_ASSERT_EQUAL(fake.n_verifies, 1);
	CU_ASSERT_EQUAL(fake.n_tools, 2 + 1);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM inbox_items"
			      " WHERE run_id = $1 AND status = 'pending'"),
	    1);
	/* An operator knows: it did. */
	MUST(run_store_tools(runs, run_id, 1, arena, &rows, &n, &err) == AS_OK);
	done = rows[0];
	done.state = "succeeded";
	done.result = "seen by a person";
	done.resolution = "operator";
	how.decided = &done;
	CU_ASSERT_EQUAL(engine_resume(engine, run_id, &how, &err), AS_OK);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
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

	run(takeover_tools, turns, 2);
}

static void
releaser(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++)
		fiber_yield();
	fake_release();
}

/* A stop in order: what was sent is waited for, what was not is not sent. */
static void
drain_tools(void)
{
	fake.tool_hangs = true;
	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	while (fake.n_hanging < 2)
		fiber_yield();
	fiber_spawn(env.loop, "releaser", releaser, NULL);
	drain_until = loop_now_ms(env.loop) + 20000;
	stop_and_go_on(false);
	drain_until = 0;
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM tool_invocations"
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

	run(drain_tools, turns, 2);
}

/* ---- Fences -------------------------------------------------------- */

static void
stale_fence(void)
{
	struct run_state s;
	struct event_list events = { 0 };
	struct run_commit c = { .events = &events };

	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	until_text("a");
	MUST(run_store_state(runs, run_id, arena, &s, &err) == AS_OK);
	event_list_add_status(&events, RUN_SUCCEEDED, NULL, NULL, NULL);
	c.run_id = run_id;
	c.thread_id = thread_id;
	c.tenant_id = s.tenant_id;
	c.commit_id = uuid_v7();
	c.from = RUN_RUNNING;
	c.to = RUN_SUCCEEDED;
	c.fence = s.fence + 1;
	c.heads = s.heads;
	c.now_us = s.now_us;
	CU_ASSERT_EQUAL(run_store_commit(runs, &c, &err), AS_CONFLICT);
	c.fence = s.fence;
	c.step = s.step + 1;
	CU_ASSERT_EQUAL(run_store_commit(runs, &c, &err), AS_CONFLICT);
	c.step = s.step;
	c.heads.seq--;
	CU_ASSERT_EQUAL(run_store_commit(runs, &c, &err), AS_CONFLICT);
	CU_ASSERT_STRING_EQUAL(events_line(),
	    "message_created run_status:running message_start");
	event_list_clear(&events);
	fake_release();
	wait_end();
}

static void
test_stale_fence(void)
{
	const struct fake_turn turns[] = { { .text = "a", .hang = true } };

	run(stale_fence, turns, 1);
}

/* The owner is alive, but was declared dead: what it commits is refused. */
static void
zombie(void)
{
	int n = 0;

	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	until_text("mine");
	MUST(run_store_reap(runs, epoch, false, -1000000, &n, &err) == AS_OK);
	CU_ASSERT_EQUAL(n, 1);
	fake_release();
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"queued\"");
	engine_claim(engine);
	wait_end();
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
	assert_message(-1, "assistant", "theirs", "final");
	/* And one that is handed back unworked. */
	MUST(run_store_release(runs, epoch, thread_id, run_id, &err) ==
	     AS_NOTFOUND);
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
}

static void
test_zombie(void)
{
	const struct fake_turn turns[] = { { .text = "mine", .hang = true },
		{ .text = "theirs" } };

	run(zombie, turns, 2);
}

/* ---- Readers ------------------------------------------------------- */

struct reader {
	struct buf line, text;
	int64_t last;
	size_t pending;
	bool over, ordered;
};

static void
reader_send(void *arg, const char *type, int64_t id, struct rcbuf *frame)
{
	struct reader *r = arg;
	struct json_object *o = NULL;

	MUST(json_parse(frame->data, frame->len, &o, NULL) == AS_OK);
	if (strcmp(type, "message_delta") == 0) {
		r->ordered = r->ordered &&
			     jget_int(o, "offset", -1) == (int64_t)r->text.len;
		buf_add_str(&r->text, jget_str(o, "delta", ""));
	} else if (strcmp(type, "message_start") == 0 ||
		   strcmp(type, "message_reset") == 0)
		buf_reset(&r->text);
	if (id > 0 && strcmp(type, "snapshot") != 0)
		r->ordered = r->ordered && id == r->last + 1;
	if (id > 0)
		r->last = id;
	json_object_put(o);
}

static size_t
reader_pending(void *arg)
{
	return ((struct reader *)arg)->pending;
}

static void
reader_over(void *arg, enum stream_over why)
{
	((struct reader *)arg)->over = why == STREAM_RUN_ENDED;
}

static const struct stream_ops reader_ops = { reader_send, reader_pending,
	reader_over };

static struct stream *
reader_open(struct reader *r, bool by_run, int64_t after)
{
	struct stream_config c = { .loop = env.loop,
		.store = env.store,
		.bus = bus,
		.live = live,
		.ctx = ctx,
		.thread_id = thread_id,
		.run_id = run_id,
		.by_run = by_run,
		.after = after };

	memset(r, 0, sizeof(*r));
	r->last = after;
	r->ordered = true;
	return stream_open(&c, &reader_ops, r);
}

static void
readers(void)
{
	struct reader early, middle, slow, late;
	struct stream *s;

	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	reader_open(&early, true, 0);
	s = reader_open(&slow, true, 0);
	until_text("abcdef");
	slow.pending = STREAM_HIGH_WATER + 1; /* it stops reading */
	reader_open(&middle, true, 0);
	while (early.text.len < 6 || middle.text.len < 6)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	fake_release();
	wait_end();
	fiber_yield();
	slow.pending = 0;
	stream_drained(s);
	reader_open(&late, true, 2);
	while (!early.over || !middle.over || !slow.over || !late.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(early.over && middle.over && slow.over && late.over);
	CU_ASSERT_TRUE(
	    early.ordered && middle.ordered && slow.ordered && late.ordered);
	CU_ASSERT_EQUAL(early.last, 7);
	CU_ASSERT_EQUAL(slow.last, 7);
	CU_ASSERT_EQUAL(late.last, 7);
	CU_ASSERT_STRING_EQUAL(early.text.data, "abcdef");
	CU_ASSERT_STRING_EQUAL(middle.text.data, "abcdef");
	buf_free(&early.text);
	buf_free(&middle.text);
	buf_free(&slow.text);
	buf_free(&late.text);
}

/* A reader that comes when all is over gets every byte as text, too. */
static void
late_reader(void)
{
	struct reader r;

	CU_ASSERT_EQUAL_FATAL(send_text("go"), AS_OK);
	wait_end();
	reader_open(&r, true, 0);
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.ordered);
	CU_ASSERT_STRING_EQUAL_FATAL(r.text.data, "abc");
	buf_free(&r.text);
	reader_open(&r, true, 3); /* the message has begun already */
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_STRING_EQUAL(r.text.data, "abc");
	buf_free(&r.text);
}

static void
test_late_reader(void)
{
	const struct fake_turn turns[] = { { .text = "abc" } };

	run(late_reader, turns, 1);
}

static void
test_readers(void)
{
	const struct fake_turn turns[] = { { .text = "abcdef", .hang = true } };

	run(readers, turns, 1);
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
	CU_ASSERT_EQUAL_FATAL(send_text(text.data), AS_OK);
	buf_free(&text);
	wait_end();
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
		MUST(log_read(env.store, LOG_OF_THREAD, thread_id, seq, 1000,
			 &events, &n, &err) == AS_OK);
		CU_ASSERT_TRUE(n < N_LONG * 7);
		for (int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(events[i].seq, ++seq);
		log_events_free(events, n);
	} while (n > 0);
	CU_ASSERT_EQUAL(seq, N_LONG * 7);
	do {
		MUST(thread_messages(&ctx, thread_id, before, 100, &items,
			 &before, &err) == AS_OK);
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
	CU_ASSERT_STRING_EQUAL(run_member("status"), "\"succeeded\"");
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
	run(long_thread, turns, N_LONG);
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
	{ "cancel before the takeover", test_takeover_cancelled },
	{ "takeover while a model answers", test_takeover_answer },
	{ "takeover among tools", test_takeover_tools },
	{ "a drain among tools", test_drain_tools },
	{ "a stale belief writes nothing", test_stale_fence },
	{ "an owner that was declared dead", test_zombie },
	{ "a reader of what is over", test_late_reader },
	{ "readers: early, late, slow", test_readers },
	{ "a long thread is read in parts", test_long_thread },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "engine on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    tests },
		{ "engine on postgres", env_postgres_open, env_close, NULL,
		    NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
