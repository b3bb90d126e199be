/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/bus/breaker.h"
#include "tests/tap.h"

/*
 * Circuit breakers: when they open and close, with a clock that the test sets.
 */

#define S 1000u /* ms */

static struct breakers *breakers;
static uint64_t now, wait_ms;
static unsigned turn; /* of the last call that was allowed */

static bool
allow(void)
{
	return breaker_allow(breakers, "a", now, &turn, &wait_ms);
}

/* The state after it; *changed as breaker_report says. */
static enum breaker_state
report(enum breaker_outcome outcome, bool *changed)
{
	enum breaker_state after;
	bool c = breaker_report(breakers, "a", turn, now, outcome, &after);

	if (changed != NULL)
		*changed = c;
	return after;
}

static enum breaker_state
call(enum breaker_outcome outcome)
{
	CU_ASSERT_TRUE(allow());
	return report(outcome, NULL);
}

static void
calls(int n, enum breaker_outcome outcome)
{
	for (int i = 0; i < n; i++)
		CU_ASSERT_EQUAL(call(outcome), BREAKER_CLOSED);
}

static void
begin(void)
{
	breakers = breakers_new();
	now = 1000000;
}

static void
end(void)
{
	breakers_free(breakers);
}

/* ---- Closed -------------------------------------------------------- */

static void
test_half_of_twenty(void)
{
	bool changed;

	begin();
	calls(9, BREAKER_OK);
	calls(10, BREAKER_FAILED); /* 19 calls are too few to judge */
	CU_ASSERT_TRUE(allow());
	CU_ASSERT_EQUAL(report(BREAKER_OK, &changed), BREAKER_OPEN);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_FALSE(allow());
	CU_ASSERT_EQUAL(wait_ms, 15 * S);
	end();
	begin();
	calls(11, BREAKER_OK);
	calls(10, BREAKER_FAILED); /* 10 of 21 are less than half */
	CU_ASSERT_EQUAL(call(BREAKER_FAILED), BREAKER_OPEN);
	end();
}

/* What is older than half a minute does not count. */
static void
test_window(void)
{
	begin();
	calls(10, BREAKER_FAILED);
	now += 10 * S;
	calls(9, BREAKER_FAILED);
	now += 20 * S; /* the first ten are gone now */
	calls(10, BREAKER_FAILED);
	now += 5 * S; /* nineteen of them are still there */
	CU_ASSERT_EQUAL(call(BREAKER_FAILED), BREAKER_OPEN);
	end();
	/* A failure each few seconds never fills the window. */
	begin();
	for (int i = 0; i < 100; i++, now += 2 * S)
		CU_ASSERT_EQUAL(call(BREAKER_FAILED), BREAKER_CLOSED);
	end();
}

static void
test_timeouts(void)
{
	begin();
	calls(4, BREAKER_TIMED_OUT);
	calls(1, BREAKER_OK); /* not in a row any more */
	calls(4, BREAKER_TIMED_OUT);
	CU_ASSERT_EQUAL(call(BREAKER_TIMED_OUT), BREAKER_OPEN);
	end();
	begin();
	calls(4, BREAKER_TIMED_OUT);
	calls(1, BREAKER_NO_FAULT); /* says nothing */
	CU_ASSERT_EQUAL(call(BREAKER_TIMED_OUT), BREAKER_OPEN);
	end();
}

static void
test_no_fault(void)
{
	begin();
	calls(100, BREAKER_NO_FAULT);
	calls(19, BREAKER_FAILED);
	calls(100, BREAKER_NO_FAULT); /* still 19 */
	CU_ASSERT_EQUAL(call(BREAKER_FAILED), BREAKER_OPEN);
	end();
}

static void
test_scopes(void)
{
	enum breaker_state after;

	begin();
	calls(4, BREAKER_TIMED_OUT);
	CU_ASSERT_EQUAL(call(BREAKER_TIMED_OUT), BREAKER_OPEN);
	CU_ASSERT_TRUE(breaker_allow(breakers, "b", now, &turn, &wait_ms));
	CU_ASSERT_EQUAL(wait_ms, 0);
	CU_ASSERT_FALSE(
	    breaker_report(breakers, "b", turn, now, BREAKER_OK, &after));
	CU_ASSERT_EQUAL(after, BREAKER_CLOSED);
	CU_ASSERT_FALSE(allow());
	end();
}

/* ---- Open and half open -------------------------------------------- */

static void
open_it(void)
{
	calls(4, BREAKER_TIMED_OUT);
	CU_ASSERT_EQUAL(call(BREAKER_TIMED_OUT), BREAKER_OPEN);
}

/* What was sent before it opened changes nothing. */
static void
test_late_reports(void)
{
	bool changed;
	unsigned stray;

	begin();
	CU_ASSERT_TRUE(allow());
	stray = turn;
	open_it();
	turn = stray;
	CU_ASSERT_EQUAL(report(BREAKER_OK, &changed), BREAKER_OPEN);
	CU_ASSERT_FALSE(changed);
	now += 5 * S;
	CU_ASSERT_FALSE(allow());
	CU_ASSERT_EQUAL(wait_ms, 10 * S);
	end();
}

static void
test_probes(void)
{
	bool changed;

	begin();
	open_it();
	now += 15 * S - 1;
	CU_ASSERT_FALSE(allow());
	CU_ASSERT_EQUAL(wait_ms, 1);
	now += 1;
	CU_ASSERT_TRUE(allow()); /* one may try ... */
	CU_ASSERT_FALSE(allow()); /* ... and only one */
	CU_ASSERT_TRUE(wait_ms > 0);
	CU_ASSERT_EQUAL(report(BREAKER_OK, &changed), BREAKER_HALF_OPEN);
	CU_ASSERT_FALSE(changed);
	CU_ASSERT_EQUAL(call(BREAKER_NO_FAULT), BREAKER_HALF_OPEN);
	CU_ASSERT_EQUAL(call(BREAKER_OK), BREAKER_HALF_OPEN);
	CU_ASSERT_TRUE(allow());
	CU_ASSERT_EQUAL(report(BREAKER_OK, &changed), BREAKER_CLOSED);
	CU_ASSERT_TRUE(changed);
	/* It starts afresh: what failed before is forgotten. */
	calls(4, BREAKER_TIMED_OUT);
	end();
}

static void
test_doubling(void)
{
	static const uint64_t seconds[] = { 30, 60, 120, 240, 300, 300 };
	bool changed;

	begin();
	open_it();
	now += 15 * S;
	for (size_t i = 0; i < N_ITEMS(seconds); i++) {
		CU_ASSERT_TRUE(allow());
		CU_ASSERT_EQUAL(report(i % 2 == 0 ? BREAKER_FAILED
						  : BREAKER_TIMED_OUT,
				    &changed),
		    BREAKER_OPEN);
		CU_ASSERT_TRUE(changed);
		CU_ASSERT_FALSE(allow());
		CU_ASSERT_EQUAL(wait_ms, seconds[i] * S);
		now += wait_ms;
	}
	/* Once closed, it opens for as short as the first time. */
	CU_ASSERT_EQUAL(call(BREAKER_OK), BREAKER_HALF_OPEN);
	CU_ASSERT_EQUAL(call(BREAKER_OK), BREAKER_HALF_OPEN);
	CU_ASSERT_EQUAL(call(BREAKER_OK), BREAKER_CLOSED);
	open_it();
	CU_ASSERT_FALSE(allow());
	CU_ASSERT_EQUAL(wait_ms, 15 * S);
	end();
}

/*
 * A call from before it opened comes back while another one probes: it is not
 * taken for the probe, whatever it says.
 */
static void
test_stray(void)
{
	static const enum breaker_outcome says[] = { BREAKER_OK, BREAKER_FAILED,
		BREAKER_TIMED_OUT, BREAKER_NO_FAULT };
	unsigned stray, probe;

	begin();
	CU_ASSERT_TRUE(allow());
	stray = turn;
	open_it();
	now += 15 * S;
	CU_ASSERT_TRUE(allow());
	probe = turn;
	for (size_t i = 0; i < N_ITEMS(says); i++) {
		turn = stray;
		CU_ASSERT_EQUAL(report(says[i], NULL), BREAKER_HALF_OPEN);
		CU_ASSERT_FALSE(allow());
	}
	turn = probe;
	CU_ASSERT_EQUAL(report(BREAKER_FAILED, NULL), BREAKER_OPEN);
	CU_ASSERT_FALSE(allow());
	CU_ASSERT_EQUAL(wait_ms, 30 * S);
	end();
}

/* ---- What others say ----------------------------------------------- */

static void
learn(const char *scope, bool open, uint64_t left_ms)
{
	struct breaker_note note = { .open = open,
		.left_ms = left_ms,
		.open_ms = left_ms };

	snprintf(note.scope, sizeof(note.scope), "%s", scope);
	breaker_learn(breakers, &note, now);
}

static bool
is_open(const char *scope)
{
	unsigned t;

	return !breaker_allow(breakers, scope, now, &t, &wait_ms);
}

static void
test_learn(void)
{
	begin();
	learn("b", true, 20 * S);
	CU_ASSERT_TRUE(is_open("b"));
	CU_ASSERT_EQUAL(wait_ms, 20 * S);
	learn("b", false, 0);
	CU_ASSERT_FALSE(is_open("b"));
	learn("c", true, 20 * S);
	learn("c", false, 0);
	CU_ASSERT_FALSE(is_open("c"));
	end();
}

/* Whoever can write into Redis makes up what services he likes. */
static void
test_made_up(void)
{
	char scope[16];
	unsigned n = 0;

	begin();
	CU_ASSERT_TRUE(allow());
	learn("a", true, 5 * S);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(scope, sizeof(scope), "s%u", i);
		learn(scope, true, 20 * S + i);
		learn(scope + 1, false, 0);
	}
	CU_ASSERT_TRUE(is_open("a"));
	CU_ASSERT_TRUE(is_open("s19999"));
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(scope, sizeof(scope), "s%u", i);
		n += is_open(scope) ? 1 : 0;
	}
	CU_ASSERT_EQUAL(n, 256);
	end();
}

/* ---- Threads ------------------------------------------------------- */

static pthread_barrier_t barrier;

static void *
hammer(void *arg)
{
	int *allowed = arg;
	enum breaker_state after;
	uint64_t ms;
	unsigned t;

	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 10000; i++)
		if (breaker_allow(breakers, i % 2 == 0 ? "x" : "y", now, &t,
			&ms)) {
			(*allowed)++;
			breaker_report(breakers, i % 2 == 0 ? "x" : "y", t, now,
			    BREAKER_OK, &after);
		}
	pthread_barrier_wait(&barrier);
	if (breaker_allow(breakers, "a", now, &t, &ms))
		*allowed += 1000000;
	return NULL;
}

static void
test_threads(void)
{
	int allowed[2] = { 0, 0 };
	pthread_t t[2];

	begin();
	open_it();
	now += 15 * S;
	MUST(pthread_barrier_init(&barrier, NULL, 2) == 0);
	for (int i = 0; i < 2; i++)
		MUST(pthread_create(&t[i], NULL, hammer, &allowed[i]) == 0);
	for (int i = 0; i < 2; i++)
		MUST(pthread_join(t[i], NULL) == 0);
	pthread_barrier_destroy(&barrier);
	/* All calls of the healthy ones; of the half open one a single one. */
	CU_ASSERT_EQUAL(allowed[0] + allowed[1], 1000000 + 20000);
	end();
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "opens when half of twenty fail", test_half_of_twenty },
		{ "only the last 30 s count", test_window },
		{ "five timeouts in a row", test_timeouts },
		{ "what is nobody's fault", test_no_fault },
		{ "each service has its own", test_scopes },
		{ "what comes back late", test_late_reports },
		{ "half open: one probe, three successes", test_probes },
		{ "open twice as long each time", test_doubling },
		{ "a stray answer while a probe is out", test_stray },
		{ "what others say", test_learn },
		{ "services that are made up", test_made_up },
		{ "two threads", test_threads },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "breaker", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
