/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/counter.h"
#include "core/chat/operator.h"
#include "tests/integration/engine_env.h"

/*
 * A run that is parked after a failure, and what people may do about it.
 */

static double
refused(const char *what)
{
	return counter_value(counter_get(COUNTER, "run_writes_refused_total",
	    "Writes and decisions that came too late.", "what", &what));
}

static void
parked(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_TRUE(bed_thread_is("error"));
	CU_ASSERT_EQUAL(bed_items("error", "pending"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT config FROM inbox_items WHERE "
					"run_id = $1"),
	    "{\"actions\":[\"retry\",\"switch_model\",\"cancel\"]}");
	CU_ASSERT_STRING_EQUAL(bed_events(),
	    "message_created run_status:running message_start message_end"
	    " message_created hitl_request run_status:recoverable_error");
	bed_message(-1, "assistant", "half", "interrupted");
	/* The run itself says it anew. */
	CU_ASSERT_EQUAL(bed_resume("retry", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_PTR_NULL(strstr(fake.last_messages, "half"));
	CU_ASSERT_EQUAL(bed_items("error", "answered"), 1);
	CU_ASSERT_STRING_EQUAL(bed_text("SELECT response_type FROM inbox_items"
					" WHERE run_id = $1 AND responded_by "
					"IS NOT NULL"),
	    "retry");
	CU_ASSERT_TRUE(bed_thread_is("idle"));
	CU_ASSERT_STRING_EQUAL(bed_run_member("error"), "null");
}

static void
test_parked(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(UPSTREAM_UNAVAILABLE),
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
	CU_ASSERT_EQUAL(bed_resume("retry", NULL), AS_CONFLICT);
}

static void
test_superseded(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(UPSTREAM_UNAVAILABLE),
		{ .text = "whole" } };

	bed_run(superseded, turns, 2);
}

static void
switch_model(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("recoverable_error");
	CU_ASSERT_EQUAL(bed_resume("switch_model", "fake/gone"), AS_INVALID);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"),
	    "\"recoverable_error\"");
	CU_ASSERT_EQUAL(bed_resume("switch_model", "other/x"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_STRING_EQUAL(fake.models[1], "other/x");
	CU_ASSERT_STRING_EQUAL(bed_run_member("model"), "\"other/x\"");
}

static void
test_switch_model(void)
{
	const struct fake_turn turns[] = { FAKE_FAILS(AUTH_REQUIRED),
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
	CU_ASSERT_EQUAL(bed_resume("retry", NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed_resume("extend", NULL), AS_CONFLICT);
	CU_ASSERT_STRING_EQUAL(bed_events(), events);
	CU_ASSERT_EQUAL(bed_count(version), v);
	CU_ASSERT_EQUAL(refused("state"), before + 2);
	fake_release();
	bed_wait_end();
	CU_ASSERT_EQUAL(bed_resume("retry", NULL), AS_CONFLICT);
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
	const struct fake_turn turns[] = { FAKE_FAILS(UNAVAILABLE),
		{ .text = "whole" } };

	bed_run(deciders, turns, 2);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "parked, and tried again", test_parked },
		{ "parked, and superseded by a message", test_superseded },
		{ "parked, and another model", test_switch_model },
		{ "nothing but a parked run goes on", test_not_parked },
		{ "several decide at once", test_deciders },
		CU_TEST_INFO_NULL,
	};

	return env_main("parked", tests, env_close);
}
