/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/mem.h"
#include "tests/integration/engine_env.h"
#include "tests/integration/people_env.h"

/*
 * Several questions at once: in any order, in one request, by several people;
 * and a run that goes on with each answer.
 */

static const char by_effect[] = "{\"default\":\"by_effect\"}";
static const char
    each[] = "{\"default\":\"by_effect\",\"resume_when\":\"each\"}";
static const char asks[] = "{\"default\":\"by_effect\",\"questions\":true}";

static void
some_wait(void)
{
	people_begin();
	people_wait(2);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_calls("succeeded"), 1);
	CU_ASSERT_EQUAL(people_answer(2, "accept", NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"waiting_human\"");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(people_answer(0, "edit", "{\"x\":7}"), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":7}"));
	CU_ASSERT_EQUAL(bed_questions("answered"), 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 2);
}

static void
test_some_wait(void)
{
	people_run(some_wait, by_effect, "t_U {\"x\":1}", "t_P {\"x\":2}",
	    "t_K {\"x\":3}");
}

static void
batch(void)
{
	struct engine_answer a[3];

	people_begin();
	people_wait(3);
	a[0] = people_say(2, "response", "\"blue\"");
	a[1] = people_say(0, "accept", NULL);
	a[2] = people_say(1, "ignore", NULL);
	CU_ASSERT_EQUAL(people_respond(a, 3), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_TRUE(fake_was_told("blue"));
	/* All again, and one alone: harmless; another answer is not. */
	CU_ASSERT_EQUAL(people_respond(a, 3), AS_OK);
	CU_ASSERT_EQUAL(people_respond(&a[1], 1), AS_OK);
	a[1].key = "another";
	CU_ASSERT_EQUAL(people_respond(a, 3), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 3);
}

static void
test_batch(void)
{
	people_run(batch, asks, "t_U {\"x\":1}", "t_V {\"x\":2}",
	    "ask_human {\"question\":\"Which?\",\"choices\":[\"red\","
	    "\"blue\"]}");
}

/* One of a batch is answered already: nothing of the batch is written. */
static void
all_or_none(void)
{
	struct engine_answer a[2];

	people_begin();
	people_wait(2);
	a[0] = people_say(0, "ignore", NULL);
	a[1] = people_say(1, "accept", NULL);
	CU_ASSERT_EQUAL(people_answer(1, "ignore", NULL), AS_OK);
	CU_ASSERT_EQUAL(people_respond(a, 2), AS_CONFLICT);
	CU_ASSERT_EQUAL(bed_questions("pending"), 1);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 1);
}

static void
test_all_or_none(void)
{
	people_run(all_or_none, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}",
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

	people_begin();
	people_wait(2);
	p[0].a = people_say(0, "accept", NULL);
	p[1].a = people_say(0, "ignore", NULL);
	p[2].a = people_say(1, "accept", NULL);
	p[3].a = people_say(1, "accept", NULL);
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
	people_run(two_people, by_effect, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    NULL);
}

static void
each_goes_on(void)
{
	people_begin();
	people_wait(2);
	CU_ASSERT_EQUAL(people_answer(1, "accept", NULL), AS_OK);
	while (bed_calls("succeeded") < 1)
		fiber_yield();
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_tools, 1);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(bed_events_of("hitl_request"), 2);
}

static void
test_each_goes_on(void)
{
	people_run(each_goes_on, each, "t_U {\"x\":1}", "t_K {\"x\":2}", NULL);
}

/* The second answer comes while the first call is at work. */
static void
each_at_work(void)
{
	struct engine_answer a;

	fake.tool_hangs = true;
	people_begin();
	people_wait(3);
	CU_ASSERT_EQUAL(people_answer(1, "accept", NULL), AS_OK);
	bed_until_hanging(1);
	a = people_say(0, "edit", "{\"x\":5}");
	CU_ASSERT_EQUAL(people_respond(&a, 1), AS_OK);
	CU_ASSERT_EQUAL(people_respond(&a, 1), AS_OK);
	a.key = "another";
	CU_ASSERT_EQUAL(people_respond(&a, 1), AS_CONFLICT);
	/* It is begun at once, beside the other one. */
	bed_until_hanging(2);
	fake_release();
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(people_answer(2, "ignore", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_TRUE(fake_was_told("{\\\"x\\\":5}"));
	CU_ASSERT_EQUAL(bed_events_of("hitl_resolved"), 3);
}

static void
test_each_at_work(void)
{
	people_run(each_at_work, each, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    "t_V {}");
}

/* Answered while it is queued, or by a process that does not have it. */
static void
each_elsewhere(void)
{
	people_begin();
	people_wait(3);
	bed_stop(false); /* nobody claims it */
	CU_ASSERT_EQUAL(people_answer(1, "accept", NULL), AS_OK);
	CU_ASSERT_EQUAL(people_answer(0, "accept", NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), "\"queued\"");
	CU_ASSERT_EQUAL(bed_next(), 0);
	people_wait(1);
	CU_ASSERT_EQUAL(fake.n_tools, 2);
	CU_ASSERT_EQUAL(people_answer(2, "accept", NULL), AS_OK);
	bed_until("succeeded");
	CU_ASSERT_EQUAL(fake.n_tools, 3);
}

static void
test_each_elsewhere(void)
{
	people_run(each_elsewhere, each, "t_U {\"x\":1}", "t_K {\"x\":2}",
	    "t_V {}");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "two wait, one does not", test_some_wait },
		{ "a batch, and again", test_batch },
		{ "a batch is all or none", test_all_or_none },
		{ "two people at once", test_two_people },
		{ "each: it goes on with one", test_each_goes_on },
		{ "each: an answer while it is at work", test_each_at_work },
		{ "each: an answer while it is queued", test_each_elsewhere },
		CU_TEST_INFO_NULL,
	};

	return env_main("interrupt many", tests, env_close);
}
