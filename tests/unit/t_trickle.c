/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/trickle.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "tests/tap.h"

/* What comes when, and what is shown when, on a clock that jumps. */

#define START_MS 1000000
#define PIECES_MAX 4000

struct piece {
	uint64_t at_ms;
	size_t len;
	bool line; /* it ends one */
};

struct shown {
	uint64_t at_ms;
	size_t up_to; /* bytes so far */
};

static struct {
	struct trickle t;
	const struct piece *pieces;
	int n;
	size_t came, seen;
	struct shown shown[PIECES_MAX];
	int n_shown;
} run;

static struct loop *loop;

static void
on_show(struct trickle *t)
{
	trickle_shown(t);
	run.seen = run.came;
	run.shown[run.n_shown++] = (struct shown){ loop_now_ms(loop) - START_MS,
		run.seen };
}

static void
send_all(void *arg)
{
	static char text[2048];

	(void)arg;
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < run.n; i++) {
		const struct piece *p = &run.pieces[i];

		if (START_MS + p->at_ms > loop_now_ms(loop)) {
			(void)fiber_prepare();
			(void)fiber_suspend(START_MS + p->at_ms);
		}
		text[p->len - 1] = p->line ? '\n' : 'x';
		run.came += p->len;
		trickle_come(&run.t, text, p->len, run.came - run.seen);
		text[p->len - 1] = 'x';
	}
}

static void
play(const struct piece *pieces, int n)
{
	clock_fake((int64_t)START_MS * 1000, 1);
	loop = loop_new();
	memset(&run, 0, sizeof(run));
	run.pieces = pieces;
	run.n = n;
	trickle_init(&run.t, loop, on_show);
	CU_ASSERT_PTR_NOT_NULL_FATAL(
	    fiber_spawn(loop, "pieces", send_all, NULL).f);
	loop_run_faked(loop);
	loop_free(loop);
	clock_real();
	CU_ASSERT_EQUAL(run.seen, run.came);
}

static void
shown_are(const struct shown *want, int n)
{
	CU_ASSERT_EQUAL(run.n_shown, n);
	for (int i = 0; i < n && i < run.n_shown; i++) {
		CU_ASSERT_EQUAL(run.shown[i].at_ms, want[i].at_ms);
		CU_ASSERT_EQUAL(run.shown[i].up_to, want[i].up_to);
	}
}

static void
test_first(void)
{
	static const struct piece pieces[] = { { 5, 3, false },
		{ 15, 3, false }, { 44, 3, false }, { 46, 1, false } };
	static const struct shown want[] = { { 5, 3 }, { 45, 9 }, { 85, 10 } };

	play(pieces, N_ITEMS(pieces));
	shown_are(want, N_ITEMS(want));
}

/* Who is slower than the pause is shown as he speaks. */
static void
test_slow(void)
{
	struct piece pieces[50];

	for (int i = 0; i < 50; i++)
		pieces[i] = (struct piece){ (uint64_t)i * 40, 4, false };
	play(pieces, 50);
	CU_ASSERT_EQUAL(run.n_shown, 50);
	for (int i = 0; i < run.n_shown; i++)
		CU_ASSERT_EQUAL(run.shown[i].at_ms, (uint64_t)i * 40);
}

static void
test_much(void)
{
	static const struct piece pieces[] = { { 0, 4, false },
		{ 1, 300, false }, { 2, 211, false }, { 3, 1, false },
		{ 4, 2000, false } };
	static const struct shown want[] = { { 0, 4 }, { 3, 516 },
		{ 4, 2516 } };

	play(pieces, N_ITEMS(pieces));
	shown_are(want, N_ITEMS(want));
}

static void
test_lines(void)
{
	static const struct piece pieces[] = { { 0, 4, false }, { 5, 4, false },
		{ 10, 4, true }, { 12, 4, false }, { 55, 4, true } };
	static const struct shown want[] = { { 0, 4 }, { 20, 16 }, { 55, 20 } };

	play(pieces, N_ITEMS(pieces));
	shown_are(want, N_ITEMS(want));
}

/* After a reset the next piece does not wait. */
static void
test_reset(void)
{
	clock_fake((int64_t)START_MS * 1000, 1);
	loop = loop_new();
	memset(&run, 0, sizeof(run));
	trickle_init(&run.t, loop, on_show);
	trickle_shown(&run.t);
	trickle_come(&run.t, "a", 1, 1);
	CU_ASSERT_TRUE(run.t.timer.at_ms > 0);
	CU_ASSERT_FALSE(run.t.hook.queued);
	trickle_reset(&run.t);
	CU_ASSERT_EQUAL(run.t.timer.at_ms, 0);
	trickle_come(&run.t, "b", 1, 1);
	CU_ASSERT_TRUE(run.t.hook.queued);
	trickle_shown(&run.t);
	CU_ASSERT_FALSE(run.t.hook.queued);
	loop_free(loop);
	clock_real();
}

static int
frames_of(int per_s, int every_line)
{
	static struct piece pieces[PIECES_MAX];
	int n = 10 * per_s;

	for (int i = 0; i < n; i++)
		pieces[i] = (struct piece){ (uint64_t)(i * 1000 / per_s), 4,
			every_line > 0 && i % every_line == every_line - 1 };
	play(pieces, n);
	return run.n_shown;
}

/* What it is for. */
static void
test_rates(void)
{
	static const struct {
		int per_s, line, max;
	} rows[] = { { 15, 0, 150 }, { 60, 0, 251 }, { 60, 12, 290 },
		{ 300, 0, 251 }, { 300, 12, 501 } };

	for (size_t i = 0; i < N_ITEMS(rows); i++) {
		int n = frames_of(rows[i].per_s, rows[i].line);

		tap_note("%d pieces/s, a line each %d: %.1f frames/s",
		    rows[i].per_s, rows[i].line, n / 10.0);
		CU_ASSERT_TRUE(n <= rows[i].max);
	}
}

/* However they come, none is late, and frames are apart or large. */
static void
test_any(void)
{
	static struct piece pieces[1000];
	unsigned seed = 1;

	for (int round = 0; round < 20; round++) {
		uint64_t at = 0;
		size_t up_to = 0;
		int k = 0;

		for (int i = 0; i < 1000; i++) {
			at += (uint64_t)(rand_r(&seed) % 9) *
			      (uint64_t)(rand_r(&seed) % (2 + round));
			pieces[i] = (struct piece){ at,
				1 + (size_t)(rand_r(&seed) % 100),
				rand_r(&seed) % 10 == 0 };
		}
		play(pieces, 1000);
		for (int i = 0; i < 1000; i++) {
			up_to += pieces[i].len;
			while (run.shown[k].up_to < up_to)
				k++;
			CU_ASSERT_TRUE(
			    run.shown[k].at_ms <= pieces[i].at_ms + TRICKLE_MS);
		}
		for (int i = 1; i < run.n_shown; i++)
			CU_ASSERT_TRUE(
			    run.shown[i].at_ms >=
				run.shown[i - 1].at_ms + TRICKLE_LINE_MS ||
			    run.shown[i].up_to >=
				run.shown[i - 1].up_to + TRICKLE_BYTES);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "the first piece at once, then every 40 ms", test_first },
		{ "slow pieces one by one", test_slow },
		{ "much text does not wait", test_much },
		{ "a line waits half as long", test_lines },
		{ "another kind of text begins anew", test_reset },
		{ "frames a second", test_rates },
		{ "any pieces at any time", test_any },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "trickle", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
