/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tests/integration/engine_env.h"

/*
 * Ends of runs that nobody is at work on: dead letters, crashes, time that is
 * over, and cancel at any moment.
 */

/* Nobody works on what is sent now. */
static SUSPENDS void
send_queued(void)
{
	bed_limits()->slots = 0;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	bed_limits()->slots = 4;
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
	CU_ASSERT_EQUAL(bed_jobs(), 0);
	CU_ASSERT_EQUAL(bed_items("dead_letter", "pending"), 1);
	CU_ASSERT_TRUE(bed_thread_is("idle"));
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
	CU_ASSERT_EQUAL(bed_jobs(), 0);
	CU_ASSERT_TRUE(bed_thread_is("idle"));
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

/* At once: in the request that asks for it. */
static SUSPENDS void
cancelled_at_once(bool rollback)
{
	bed_cancel(rollback);
	CU_ASSERT_EQUAL(engine_active(bed.engine), 0);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    rollback ? "\"rolled_back\"" : "\"cancelled\"");
	CU_ASSERT_EQUAL(bed_jobs(), 0);
	CU_ASSERT_TRUE(bed_thread_is("idle"));
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
	bed_limits()->model_tries = 2;
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
	const struct fake_turn park = FAKE_FAILS(AUTH_REQUIRED);
	const struct fake_turn turns[] = { wait, park, wait, park,
		{ .text = "ok" } };

	bed_run(cancel_parked, turns, 5);
}

#define MOMENTS 40

/* Whatever it waits for, a cancel ends it and leaves nothing open. */
static void
cancel_any_time(void)
{
	bed_limits()->model_tries = 2;
	for (int k = 0; k < MOMENTS; k++) {
		CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		for (int i = 0; i < k; i++)
			fiber_yield();
		bed_cancel(k % 3 == 0);
		bed_until(k % 3 == 0 ? "rolled_back" : "cancelled");
		CU_ASSERT_EQUAL(bed_jobs(), 0);
		CU_ASSERT_TRUE(bed_thread_is("idle"));
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
		turns[i] = (struct fake_turn)FAKE_FAILS(UNAVAILABLE);
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

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a dead letter", test_dead_letter },
		{ "crashes at one step", test_crashes },
		{ "crashes that are few enough", test_no_crashes },
		{ "a run that has expired", test_expired },
		{ "cancel where nobody is at work", test_cancel_parked },
		{ "cancel at any moment of a retry", test_cancel_any_time },
		{ "cancel before the run is parked", test_cancel_faster },
		CU_TEST_INFO_NULL,
	};

	return env_main("run ends", tests, env_close);
}
