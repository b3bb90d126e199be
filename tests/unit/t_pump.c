/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/pump.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/*
 * Readers that are slow, on a clock that jumps: what waits for them is bounded,
 * nothing durable is left out, and who takes too long is told.
 */

#define START_MS 1000000
#define FRAME 1000
#define FRAMES 2000 /* more than the budget takes */

static struct loop *loop;

static struct {
	struct pump p;
	int sent, supplied; /* frames; times that the pump was asked */
	size_t pending, most;
	enum stream_over why;
	uint64_t began_ms, over_ms; /* it was full; it was told */
	uint64_t nap_ms; /* how long the database takes */
	bool tired; /* it was told to give up */
	bool gone;
} r;

static size_t
reader_pending(void *arg)
{
	(void)arg;
	return r.pending;
}

static void
reader_send(void *arg, const char *type, int64_t id, struct rcbuf *frame)
{
	(void)arg;
	(void)type;
	(void)id;
	(void)frame;
	r.sent++;
	r.pending += FRAME;
	if (r.pending > r.most)
		r.most = r.pending;
}

static void
reader_over(void *arg, enum stream_over why)
{
	(void)arg;
	r.why = why;
	r.over_ms = loop_now_ms(loop);
}

static SUSPENDS void
supply(struct pump *p)
{
	r.supplied++;
	if (r.nap_ms > 0) {
		if (r.supplied < 3)
			pump_more(p);
		r.tired = r.tired || fiber_sleep(r.nap_ms) != FIBER_WOKEN;
	}
	while (!p->closed && r.sent < FRAMES) {
		pump_send(p, "event", r.sent, NULL);
		if (!pump_wait(p))
			break;
	}
}

static void
stop(struct pump *p)
{
	(void)p;
}

static void
gone(struct pump *p)
{
	(void)p;
	r.gone = true;
}

static void
begin(void)
{
	static const struct pump_ops ops = { .supply = supply,
		.stop = stop,
		.gone = gone };
	static const struct stream_ops reader = { reader_send, reader_pending,
		reader_over };

	clock_fake((int64_t)START_MS * 1000, 1);
	loop = loop_new();
	memset(&r, 0, sizeof(r));
	CU_ASSERT_TRUE_FATAL(pump_open(&r.p, loop, &ops, &reader, NULL));
}

static void
end(void)
{
	loop_run_faked(loop);
	if (!r.p.closed) {
		pump_close(&r.p);
		loop_run_faked(loop);
	}
	CU_ASSERT_TRUE(r.gone);
	loop_free(loop);
	clock_real();
}

/* Reads all there is every `every` ms. */
struct drain {
	struct loop_timer timer;
	uint64_t every;
};

static void
on_drain(struct loop_timer *t)
{
	struct drain *d = container_of(t, struct drain, timer);

	r.pending = 0;
	pump_drained(&r.p);
	if (!r.p.closed && r.sent < FRAMES)
		loop_timer_set(loop, t, loop_now_ms(loop) + d->every);
}

static void
test_deaf(void)
{
	begin();
	end();
	CU_ASSERT_EQUAL(r.why, STREAM_SLOW);
	CU_ASSERT_EQUAL(r.over_ms, START_MS + STREAM_SLOW_MS);
	CU_ASSERT_TRUE(r.most <= STREAM_HIGH_WATER + FRAME);
}

static void
test_slow(void)
{
	struct drain d = { .timer.fn = on_drain, .every = STREAM_SLOW_MS - 1 };

	begin();
	loop_timer_set(loop, &d.timer, START_MS + d.every);
	end();
	CU_ASSERT_EQUAL(r.why, 0);
	CU_ASSERT_EQUAL(r.sent, FRAMES);
	CU_ASSERT_TRUE(r.most <= STREAM_HIGH_WATER + FRAME);
}

/* Live: while it is full nothing is sent, then it is supplied once more. */
static void
test_lagging(void)
{
	begin();
	r.sent = FRAMES;
	loop_run_faked(loop);
	CU_ASSERT_EQUAL(r.supplied, 1);
	r.pending = STREAM_HIGH_WATER + 1;
	CU_ASSERT_TRUE(pump_is_full(&r.p));
	r.pending = 0;
	pump_drained(&r.p);
	loop_run_faked(loop);
	CU_ASSERT_EQUAL(r.supplied, 2);
	CU_ASSERT_FALSE(pump_is_full(&r.p));
	r.pending = STREAM_HIGH_WATER + 1;
	r.began_ms = loop_now_ms(loop);
	CU_ASSERT_TRUE(pump_is_full(&r.p));
	end();
	CU_ASSERT_EQUAL(r.why, STREAM_SLOW);
	CU_ASSERT_EQUAL(r.over_ms, r.began_ms + STREAM_SLOW_MS);
}

/* Each look at the log has its own time, however many follow one another. */
static void
test_busy(void)
{
	begin();
	r.sent = FRAMES;
	r.nap_ms = 6 * (uint64_t)STREAM_SLOW_MS;
	end();
	CU_ASSERT_EQUAL(r.supplied, 3);
	CU_ASSERT_FALSE(r.tired);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "who reads nothing is cut off in time", test_deaf },
		{ "who reads slowly gets all of it", test_slow },
		{ "who lags behind gets the rest at once", test_lagging },
		{ "a busy thread is followed for long", test_busy },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "pump", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
