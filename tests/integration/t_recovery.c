/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/chat/operator.h"
#include "tests/integration/engine_env.h"

/*
 * Runs that do not end at once: a model that fails, limits that are reached,
 * a process that dies again and again; and what people may do about it.
 */

#define FAILS(code) \
	{ \
		.text = "half", .fail = ERR_##code \
	}

static struct engine_limits *
limits(void)
{
	return &bed.engine->c.limits;
}

static SUSPENDS enum as_status
go_on(const char *action, const char *model)
{
	error_clear(&bed.err);
	return run_resume(&bed.ctx, bed.run_id, action, model, &bed.err);
}

/* Of the run, with this kind and status. */
static SUSPENDS bool
thread_is(const char *status)
{
	return bed_count(arena_printf(bed.arena,
		   "SELECT count(*) FROM threads t JOIN runs r"
		   " ON r.thread_id = t.id WHERE r.id = $1 AND t.status = '%s'"
		   " AND (t.active_run_id IS NULL) = (t.status = 'idle')",
		   status)) == 1;
}

static SUSPENDS int
jobs(void)
{
	return bed_count("SELECT count(*) FROM jobs WHERE run_id = $1");
}

static double
refused(const char *what)
{
	return counter_value(counter_get(COUNTER, "run_writes_refused_total",
	    "Writes and decisions that came too late.", "what", &what));
}

/* ---- A model that fails for a moment ------------------------------- */

static void
passing(void)
{
	limits()->model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start"
	    " run_status:waiting_timer run_status:running message_reset"
	    " run_status:waiting_timer run_status:running message_reset"
	    " message_end message_created checkpoint run_status:succeeded");
	CU_ASSERT_STRING_EQUAL(bed_starts(), "started retry retry");
	CU_ASSERT_EQUAL(
	    bed_count("SELECT count(*) FROM run_events WHERE run_id = $1 AND"
		      " payload LIKE '%\"state\":\"waiting_timer\",'"
		      " || '\"reason\":\"retry\",\"in_ms\":1,%'"),
	    2);
	/* What was used for nothing counts; what was said does not. */
	CU_ASSERT_STRING_EQUAL(bed_run_member("usage"),
	    "{\"input_tokens\":30,\"output_tokens\":30,\"cached_tokens\":0,"
	    "\"reasoning_tokens\":0}");
	CU_ASSERT_EQUAL(bed_count("SELECT used_tokens FROM runs WHERE id = $1"),
	    60);
	CU_ASSERT_EQUAL(bed_count("SELECT attempt FROM runs WHERE id = $1"), 0);
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT count(*) FROM messages WHERE run_id = $1"),
	    2);
	bed_message(-1, "assistant", "whole", "final");
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 0);
}

static void
test_passing(void)
{
	const struct fake_turn turns[] = { FAILS(UNAVAILABLE),
		FAILS(RATE_LIMITED), { .text = "whole" } };

	bed_run(passing, turns, 3);
}

/* Each answer has all its tries. */
static void
tries_anew(void)
{
	limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 4);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_tries_anew(void)
{
	const struct fake_turn turns[] = { FAILS(TIMEOUT),
		{ .calls = { "t_P {}" } }, FAILS(TIMEOUT), { .text = "ok" } };

	bed_run(tries_anew, turns, 4);
}

/* An owner knows that nobody has sent what itself has intended. */
static void
tries_then_tools(void)
{
	limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_EQUAL(fake.n_verifies, 0);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), 0);
}

static void
test_tries_then_tools(void)
{
	const struct fake_turn turns[] = { FAILS(TIMEOUT),
		{ .calls = { "t_U {}", "t_V {}", "t_K {}" } },
		{ .text = "ok" } };

	bed_run(tries_then_tools, turns, 3);
}

static void
tries_spent(void)
{
	limits()->model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 3);
	CU_ASSERT_EQUAL(jobs(), 0);
	/* A person lets it try: as often as before. */
	CU_ASSERT_EQUAL(go_on("retry", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 6);
}

static void
test_tries_spent(void)
{
	const struct fake_turn turns[] = { FAILS(UNAVAILABLE),
		FAILS(UNAVAILABLE), FAILS(UNAVAILABLE), FAILS(UNAVAILABLE),
		FAILS(UNAVAILABLE), { .text = "ok" } };

	bed_run(tries_spent, turns, 6);
}

static void
hopeless(void)
{
	limits()->model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 1);
	CU_ASSERT_EQUAL(bed_send("once more"), AS_OK);
	bed_until("recoverable_error"); /* by its kind */
	CU_ASSERT_EQUAL(fake.n_chats, 2);
}

static void
test_hopeless(void)
{
	const struct fake_turn turns[] = {
		{ .text = "half", .fail = ERR_UNAVAILABLE, .hopeless = true },
		FAILS(VALIDATION_FAILED)
	};

	bed_run(hopeless, turns, 2);
}

static void
retry_after(void)
{
	limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_TRUE(fake.chats_ms[1] - fake.chats_ms[0] >= 50);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM run_events WHERE "
				  "run_id = $1 AND"
				  " payload LIKE '%\"in_ms\":51,%'"),
	    1);
}

static void
test_retry_after(void)
{
	const struct fake_turn turns[] = { { .fail = ERR_RATE_LIMITED,
					       .retry_after_ms = 50 },
		{ .text = "ok" } };

	bed_run(retry_after, turns, 2);
}

/* ---- Another model ------------------------------------------------- */

static void
fallbacks(void)
{
	bed_sql("UPDATE agents SET fallback_models = '[\"b/one\",\"c/two\"]'"
		" WHERE id = $1 AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.agent_id, bed.agent_id);
}

static void
falls_back(void)
{
	fallbacks();
	limits()->model_tries = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 4);
	CU_ASSERT_STRING_EQUAL(fake.models[0], "fake/fake");
	CU_ASSERT_STRING_EQUAL(fake.models[1], "fake/fake");
	CU_ASSERT_STRING_EQUAL(fake.models[2], "b/one");
	CU_ASSERT_STRING_EQUAL(fake.models[3], "c/two");
	CU_ASSERT_STRING_EQUAL(bed_run_member("model"), "\"c/two\"");
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT model FROM messages WHERE "
					"run_id = $1"
					" AND role = 'assistant'"),
	    "c/two");
	CU_ASSERT_STRING_EQUAL(bed_starts(), "started retry retry retry");
}

static void
test_falls_back(void)
{
	const struct fake_turn turns[] = { FAILS(UNAVAILABLE),
		FAILS(UNAVAILABLE), FAILS(AUTH_REQUIRED), { .text = "ok" } };

	bed_run(falls_back, turns, 4);
}

static void
all_fail(void)
{
	fallbacks();
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 3);
	CU_ASSERT_STRING_EQUAL(fake.models[2], "c/two");
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 1);
}

static void
test_all_fail(void)
{
	const struct fake_turn turns[] = { FAILS(UNAVAILABLE),
		FAILS(UNAVAILABLE), FAILS(UNAVAILABLE) };

	bed_run(all_fail, turns, 3);
}

#define BREAKER_EVENT \
	"SELECT payload FROM run_events WHERE run_id = $1 AND type = " \
	"'breaker'"

/* After five timeouts in a row nobody asks it any more. */
static void
breaker_opens(void)
{
	limits()->model_tries = 9;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(fake.n_chats, 5);
	CU_ASSERT_STRING_EQUAL(bed_text(BREAKER_EVENT),
	    "{\"service\":\"fake\",\"state\":\"open\"}");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "UPSTREAM_UNAVAILABLE"));
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_events(),
	    " breaker run_status:waiting_timer run_status:running"));
	/* With a model elsewhere it goes on there, without a try here. */
	fallbacks();
	CU_ASSERT_EQUAL(bed_send("and now?"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 6);
	CU_ASSERT_STRING_EQUAL(fake.models[5], "b/one");
}

static void
test_breaker_opens(void)
{
	const struct fake_turn turns[] = { FAILS(TIMEOUT), FAILS(TIMEOUT),
		FAILS(TIMEOUT), FAILS(TIMEOUT), FAILS(TIMEOUT),
		{ .text = "ok" } };

	bed_run(breaker_opens, turns, 6);
}

/* ---- Parked -------------------------------------------------------- */

static void
parked(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_TRUE(thread_is("error"));
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT config FROM inbox_items WHERE "
					"run_id = $1"),
	    "{\"actions\":[\"retry\",\"switch_model\",\"cancel\"]}");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start message_end"
	    " message_created hitl_request run_status:recoverable_error");
	bed_message(-1, "assistant", "half", "interrupted");
	/* The run itself says it anew. */
	CU_ASSERT_EQUAL(go_on("retry", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "half"));
	CU_ASSERT_EQUAL(bed_items("error", "answered"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT response_type FROM inbox_items"
					" WHERE run_id = $1 AND responded_by "
					"IS NOT NULL"),
	    "retry");
	CU_ASSERT_TRUE(thread_is("idle"));
	CU_ASSERT_STRING_EQUAL(bed_run_member("error"), "null");
}

static void
test_parked(void)
{
	const struct fake_turn turns[] = { FAILS(UPSTREAM_UNAVAILABLE),
		{ .text = "whole" } };

	bed_run(parked, turns, 2);
}

/* A person who goes on talking decides as well. */
static void
superseded(void)
{
	struct uuid first;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	first = bed.run_id;
	CU_ASSERT_EQUAL(bed_send("never mind"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.last_messages, "half"));
	bed.run_id = first;
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"cancelled\"");
	CU_ASSERT_EQUAL(bed_items("error", "superseded"), 1);
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM run_events WHERE "
				  "run_id = $1 AND"
				  " payload LIKE '%\"state\":\"cancelled\",'"
				  " || '\"reason\":\"superseded\"%'"),
	    1);
	CU_ASSERT_EQUAL(go_on("retry", NULL), AS_CONFLICT);
}

static void
test_superseded(void)
{
	const struct fake_turn turns[] = { FAILS(UPSTREAM_UNAVAILABLE),
		{ .text = "whole" } };

	bed_run(superseded, turns, 2);
}

static void
switch_model(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(go_on("switch_model", "fake/gone"), AS_INVALID);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_EQUAL(go_on("switch_model", "other/x"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_STRING_EQUAL(fake.models[1], "other/x");
	CU_ASSERT_STRING_EQUAL(bed_run_member("model"), "\"other/x\"");
}

static void
test_switch_model(void)
{
	const struct fake_turn turns[] = { FAILS(AUTH_REQUIRED),
		{ .text = "whole" } };

	bed_run(switch_model, turns, 2);
}

/* Only a parked run goes on because somebody says so. */
static void
not_parked(void)
{
	double before = refused("state");
	const char *events, *version = "SELECT version FROM runs WHERE id = $1";
	int v;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("a");
	events = bed_events();
	v = bed_count(version);
	CU_ASSERT_EQUAL(go_on("retry", NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_CONFLICT);
	CU_ASSERT_STRING_EQUAL(bed_events(), events);
	CU_ASSERT_EQUAL(bed_count(version), v);
	CU_ASSERT_EQUAL(refused("state"), before + 2);
	fake_release();
	bed_wait_end();
	CU_ASSERT_EQUAL(go_on("retry", NULL), AS_CONFLICT);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"succeeded\"");
	CU_ASSERT_EQUAL(refused("state"), before + 3);
}

static void
test_not_parked(void)
{
	const struct fake_turn turns[] = { { .text = "a", .hang = true } };

	bed_run(not_parked, turns, 1);
}

static int n_ok, n_conflicts, n_deciders;

static SUSPENDS void
decider(void *arg)
{
	enum as_status st;
	struct error err = { 0 };

	(void)arg;
	st = run_resume(&bed.ctx, bed.run_id, "retry", NULL, &err);
	n_ok += st == AS_OK;
	n_conflicts += st == AS_CONFLICT;
	n_deciders--;
	error_clear(&err);
}

/* Several people decide at once: one of them does. */
static void
deciders(void)
{
	n_ok = n_conflicts = 0;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	for (n_deciders = 0; n_deciders < 5; n_deciders++)
		fiber_spawn(env.loop, "decider", decider, NULL);
	while (n_deciders > 0)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	bed_until("succeeded");
	CU_ASSERT_EQUAL(n_ok, 1);
	CU_ASSERT_EQUAL(n_conflicts, 4);
	CU_ASSERT_EQUAL(fake.n_chats, 2);
}

static void
test_deciders(void)
{
	const struct fake_turn turns[] = { FAILS(UNAVAILABLE),
		{ .text = "whole" } };

	bed_run(deciders, turns, 2);
}

/* ---- Limits -------------------------------------------------------- */

static SUSPENDS void
limit_reached(const char *code)
{
	bed_until("recoverable_error");
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"), code));
	CU_ASSERT_PTR_NOT_NULL(strstr(bed_run_member("error"),
	    "\"actions\":[\"extend\",\"cancel\"]"));
}

static void
steps(void)
{
	limits()->max_steps = 2;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 2);
	CU_ASSERT_EQUAL(fake.n_tools, 2); /* what was asked for is done */
	/* A retry grants nothing. */
	CU_ASSERT_EQUAL(go_on("retry", NULL), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 2);
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 4);
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_OK);
	bed_until("succeeded");
}

static void
test_steps(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {\"x\":1}" } },
		{ .calls = { "t_P {\"x\":2}" } },
		{ .calls = { "t_P {\"x\":3}" } },
		{ .calls = { "t_P {\"x\":4}" } }, { .text = "ok" } };

	bed_run(steps, turns, 5);
}

static void
tokens(void)
{
	limits()->max_tokens = 20;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 1);
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_count("SELECT used_tokens FROM runs WHERE id = $1"),
	    40);
}

static void
cost(void)
{
	static const char *const prices[] = { "fake/fake=1,2" };
	static const struct as_list list = { prices, N_ITEMS(prices) };

	limits()->prices = &list;
	limits()->max_cost_micros = 30;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	CU_ASSERT_EQUAL(fake.n_chats, 1);
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT used_cost_micros FROM runs WHERE id = $1"),
	    60);
}

static const struct fake_turn two_turns[] = { { .calls = { "t_P {}" } },
	{ .text = "ok" } };

static void
test_tokens(void)
{
	bed_run(tokens, two_turns, 2);
}

static void
test_cost(void)
{
	bed_run(cost, two_turns, 2);
}

static void
wall(void)
{
	limits()->max_wall_ms = 500;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LIMIT_REACHED");
	bed_message(-1, "assistant", "slow", "interrupted");
	limits()->max_wall_ms = 60000;
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_OK);
	bed_until("succeeded");
}

static void
test_wall(void)
{
	const struct fake_turn turns[] = { { .text = "slow", .hang = true },
		{ .text = "ok" } };

	bed_run(wall, turns, 2);
}

static int
count_in(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
circle(void)
{
	limits()->max_steps = 50;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	limit_reached("LOOP_DETECTED");
	CU_ASSERT_EQUAL(fake.n_chats, 5);
	CU_ASSERT_EQUAL(fake.n_tools, 5);
	/* The third result says so, and no other one. */
	CU_ASSERT_EQUAL(count_in(fake.last_messages, "the same call"), 1);
	CU_ASSERT_EQUAL(bed_count("SELECT ordinal + step FROM messages WHERE "
				  "run_id = $1"
				  " AND content LIKE '%the same call%'"),
	    6);
	CU_ASSERT_EQUAL(go_on("extend", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 7);
}

static void
test_circle(void)
{
	const struct fake_turn t = { .calls = { "t_P {\"x\":1}" } };
	const struct fake_turn turns[] = { t, t, t, t, t, t, { .text = "ok" } };

	bed_run(circle, turns, 7);
}

/* ---- Ends ---------------------------------------------------------- */

/* Nobody works on what is sent now. */
static SUSPENDS void
send_queued(void)
{
	limits()->slots = 0;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	limits()->slots = 4;
}

static void
dead_letter(void)
{
	send_queued();
	bed_sql("UPDATE runs SET crash_count = 3, crash_step = 0 WHERE id = $1"
		" AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.run_id, bed.run_id);
	engine_claim(bed.engine);
	bed_until("dead_lettered");
	CU_ASSERT_EQUAL(fake.n_chats, 0);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT reason FROM jobs_dead WHERE "
					"run_id = $1"),
	    "crashed");
	CU_ASSERT_EQUAL(jobs(), 0);
	CU_ASSERT_EQUAL(bed_items("dead_letter", "pending"), 1);
	CU_ASSERT_TRUE(thread_is("idle"));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "\"code\":\"CRASHED\""));
}

static void
test_dead_letter(void)
{
	bed_run(dead_letter, NULL, 0);
}

/* The process dies, and its breadcrumb names this run. */
static SUSPENDS void
crash(void)
{
	bed_stop(true);
	CU_ASSERT_EQUAL(run_store_charge(bed.runs, bed.run_id, &bed.err),
	    AS_OK);
	CU_ASSERT_EQUAL(bed_next(), 1);
}

/* The process dies at the same step again and again. */
static void
crashes(void)
{
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		bed_until_text(fake.turns[i].text);
		CU_ASSERT_EQUAL(
		    bed_count("SELECT crash_count FROM runs WHERE id = $1"), i);
		crash();
	}
	bed_until("dead_lettered");
	CU_ASSERT_EQUAL(fake.n_chats, 3);
	CU_ASSERT_EQUAL(bed_items("dead_letter", "pending"), 1);
}

static void
test_crashes(void)
{
	const struct fake_turn turns[] = { { .text = "a", .hang = true },
		{ .text = "b", .hang = true }, { .text = "c", .hang = true },
		{ .text = "d" } };

	bed_run(crashes, turns, 4);
}

/* Each step has its own count, and a stop in order is no crash. */
static void
no_crashes(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_text("a");
	crash();
	bed_until_text("b");
	bed_stop(false);
	CU_ASSERT_EQUAL(bed_next(), 0);
	bed_until_text("c");
	CU_ASSERT_EQUAL(bed_count("SELECT crash_count FROM runs WHERE id = $1"),
	    1);
	crash();
	bed_until_text("d"); /* two steps further */
	crash();
	bed_until("succeeded");
	CU_ASSERT_EQUAL(bed_count("SELECT crash_count FROM runs WHERE id = $1"),
	    1);
	CU_ASSERT_EQUAL(bed_count("SELECT crash_step FROM runs WHERE id = $1"),
	    2);
}

static void
test_no_crashes(void)
{
	const struct fake_turn turns[] = { { .text = "a", .hang = true },
		{ .text = "b", .hang = true }, { .text = "c", .hang = true },
		{ .calls = { "t_P {}" } }, { .text = "d", .hang = true },
		{ .text = "ok" } };

	bed_run(no_crashes, turns, 6);
}

static void
expired(void)
{
	send_queued();
	bed_sql("UPDATE runs SET deadline_at = 1 WHERE id = $1"
		" AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.run_id, bed.run_id);
	engine_claim(bed.engine);
	bed_until("expired");
	CU_ASSERT_EQUAL(fake.n_chats, 0);
	CU_ASSERT_EQUAL(jobs(), 0);
	CU_ASSERT_TRUE(thread_is("idle"));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "\"code\":\"EXPIRED\""));
	CU_ASSERT_EQUAL(bed_send("again"), AS_OK);
	bed_until("succeeded");
}

static void
test_expired(void)
{
	const struct fake_turn turns[] = { { .text = "ok" } };

	bed_run(expired, turns, 1);
}

/* ---- Cancel, where nobody is at work ------------------------------- */

/* At once: in the request that asks for it. */
static SUSPENDS void
cancelled_at_once(bool rollback)
{
	bed_cancel(rollback);
	CU_ASSERT_EQUAL(engine_active(bed.engine), 0);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    rollback ? "\"rolled_back\"" : "\"cancelled\"");
	CU_ASSERT_EQUAL(jobs(), 0);
	CU_ASSERT_TRUE(thread_is("idle"));
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 0);
	CU_ASSERT_EQUAL(bed_count(
			    "SELECT count(*) FROM messages WHERE run_id = $1"
			    " AND state = 'rolled_back'"),
	    rollback ? bed_count("SELECT count(*) FROM messages"
				 " WHERE run_id = $1")
		     : 0);
}

static void
cancel_parked(void)
{
	limits()->model_tries = 2;
	for (int i = 0; i < 2; i++) {
		send_queued();
		cancelled_at_once(i == 1);
		CU_ASSERT_EQUAL(bed_send("go"), AS_OK);
		bed_until("waiting_timer");
		bed_wait_end();
		cancelled_at_once(i == 1);
		CU_ASSERT_EQUAL(bed_send("go"), AS_OK);
		bed_until("recoverable_error");
		CU_ASSERT_EQUAL(bed_items("error", "pending"), 1);
		bed_wait_end();
		cancelled_at_once(i == 1);
		CU_ASSERT_EQUAL(bed_items("error", "dismissed"), 1);
	}
	CU_ASSERT_EQUAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_chats, 5);
}

static void
test_cancel_parked(void)
{
	const struct fake_turn wait = { .text = "half",
		.fail = ERR_RATE_LIMITED,
		.retry_after_ms = 3600000 };
	const struct fake_turn park = FAILS(AUTH_REQUIRED);
	const struct fake_turn turns[] = { wait, park, wait, park,
		{ .text = "ok" } };

	bed_run(cancel_parked, turns, 5);
}

#define MOMENTS 40

/* Whatever it waits for, a cancel ends it and leaves nothing open. */
static void
cancel_any_time(void)
{
	limits()->model_tries = 2;
	for (int k = 0; k < MOMENTS; k++) {
		CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		for (int i = 0; i < k; i++)
			fiber_yield();
		bed_cancel(k % 3 == 0);
		bed_until(k % 3 == 0 ? "rolled_back" : "cancelled");
		CU_ASSERT_EQUAL(jobs(), 0);
		CU_ASSERT_TRUE(thread_is("idle"));
		CU_ASSERT_EQUAL(bed_items("error", "pending"), 0);
		CU_ASSERT_EQUAL(bed_count(
				    "SELECT count(*) FROM run_events WHERE"
				    " run_id = $1 AND type = 'message_start'"),
		    k % 3 == 0
			? 1
			: bed_count("SELECT count(*) FROM run_events WHERE"
				    " run_id = $1 AND type = 'message_end'"));
		bed_wait_end();
	}
	(void)bed_events(); /* without a gap */
}

static void
test_cancel_any_time(void)
{
	struct fake_turn turns[MOMENTS * 2];

	for (int i = 0; i < MOMENTS * 2; i++)
		turns[i] = (struct fake_turn)FAILS(UNAVAILABLE);
	bed_run(cancel_any_time, turns, MOMENTS * 2);
}

/* It has come when the run is about to be parked. */
static void
cancel_faster(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	while (fake.n_chats < 1)
		fiber_yield();
	bed_sql("UPDATE runs SET status = 'cancelling', cancel_mode = 'keep'"
		" WHERE id = $1 AND $2 IS NOT NULL AND $3 IS NOT NULL",
	    bed.run_id, bed.run_id);
	fake_release();
	bed_until("cancelled");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start message_end"
	    " run_status:cancelled");
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 0);
}

static void
test_cancel_faster(void)
{
	const struct fake_turn turns[] = { { .hang = true,
	    .fail = ERR_UNAVAILABLE } };

	bed_run(cancel_faster, turns, 1);
}

static CU_TestInfo tests[] = {
	{ "a model that fails for a moment", test_passing },
	{ "each answer has all its tries", test_tries_anew },
	{ "a second try that asks for tools", test_tries_then_tools },
	{ "all tries are spent", test_tries_spent },
	{ "a failure that does not pass", test_hopeless },
	{ "Retry-After of a model", test_retry_after },
	{ "the next model is asked", test_falls_back },
	{ "all models fail", test_all_fail },
	{ "a breaker opens", test_breaker_opens },
	{ "parked, and tried again", test_parked },
	{ "parked, and superseded by a message", test_superseded },
	{ "parked, and another model", test_switch_model },
	{ "nothing but a parked run goes on", test_not_parked },
	{ "several decide at once", test_deciders },
	{ "the limit of steps, extended", test_steps },
	{ "the limit of tokens, extended", test_tokens },
	{ "the limit of cost, extended", test_cost },
	{ "the limit of time, extended", test_wall },
	{ "the same calls again and again", test_circle },
	{ "a dead letter", test_dead_letter },
	{ "crashes at one step", test_crashes },
	{ "crashes that are few enough", test_no_crashes },
	{ "a run that has expired", test_expired },
	{ "cancel where nobody is at work", test_cancel_parked },
	{ "cancel at any moment of a retry", test_cancel_any_time },
	{ "cancel before the run is parked", test_cancel_faster },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "recovery on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    tests },
		{ "recovery on postgres", env_postgres_open, env_close, NULL,
		    NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
