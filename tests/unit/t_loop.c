/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "tests/tap.h"

/* The turn: timers, descriptors, mailbox, hooks; and loops on two threads. */

#define START_MS 1000000

static struct loop *loop;

static void
loop_faked(void)
{
	clock_fake((int64_t)START_MS * 1000, 1);
	loop = loop_new();
}

static void
loop_done(void)
{
	loop_free(loop);
	clock_real();
}

/* ---- Timers -------------------------------------------------------- */

struct alarm {
	struct loop_timer timer;
	uint64_t due;
	int n_fired;
	struct alarm *victim;
};

static uint64_t last_fired;

static void
alarm_fired(struct loop_timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->n_fired++;
	CU_ASSERT_EQUAL(t->at_ms, 0);
	CU_ASSERT_TRUE(a->due <= loop_now_ms(loop));
	CU_ASSERT_TRUE(last_fired <= a->due);
	last_fired = a->due;
}

static void
many_timers_fiber(void *arg)
{
	struct alarm *a = arg;
	unsigned x = 7;

	for (int i = 0; i < 1000; i++) {
		x = x * 1103515245 + 12345;
		a[i].timer.fn = alarm_fired;
		a[i].due = START_MS + 1 + (x >> 16) % 500;
		/* Some are set twice, up or down. */
		if (i % 3 == 0)
			loop_timer_set(loop, &a[i].timer,
			    START_MS + (x >> 8) % 900);
		loop_timer_set(loop, &a[i].timer, a[i].due);
	}
	for (int i = 0; i < 1000; i += 10)
		loop_timer_clear(&a[i].timer);
	loop_timer_clear(&a[0].timer);
	for (int ms = 0; ms < 500; ms++) {
		clock_advance(1000);
		(void)fiber_yield();
	}
	for (int i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(a[i].n_fired, i % 10 == 0 ? 0 : 1);
	loop_stop(loop);
}

static void
test_timer_order(void)
{
	struct alarm *a = xcalloc(1000, sizeof(*a));

	last_fired = 0;
	loop_faked();
	fiber_spawn(loop, "timers", many_timers_fiber, a);
	loop_run(loop);
	loop_done();
	free(a);
}

static void
alarm_again(struct loop_timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	if (a->victim != NULL)
		loop_timer_clear(&a->victim->timer);
	if (++a->n_fired < 3)
		loop_timer_set(loop, t, loop_now_ms(loop)); /* at once */
}

static void
alarm_endless(struct loop_timer *t)
{
	container_of(t, struct alarm, timer)->n_fired++;
	loop_timer_set(loop, t, loop_now_ms(loop));
}

static void
again_fiber(void *arg)
{
	struct alarm a = { .timer.fn = alarm_again };
	struct alarm b = { .timer.fn = alarm_again };
	struct alarm endless = { .timer.fn = alarm_endless };

	(void)arg;
	a.victim = &b; /* both are due: the first to fire clears the other */
	b.victim = &a;
	loop_timer_set(loop, &a.timer, START_MS + 5);
	loop_timer_set(loop, &b.timer, START_MS + 5);
	clock_advance(5000);
	for (int i = 0; i < 4; i++)
		(void)fiber_yield();
	CU_ASSERT_EQUAL(a.n_fired + b.n_fired, 3);
	CU_ASSERT_TRUE(a.n_fired == 0 || b.n_fired == 0);
	loop_timer_clear(&a.timer);
	loop_timer_clear(&b.timer);
	loop_timer_set(loop, &endless.timer, START_MS);
	(void)fiber_yield(); /* the loop still turns */
	CU_ASSERT_TRUE(endless.n_fired > 0);
	loop_timer_clear(&endless.timer);
	loop_stop(loop);
}

static void
test_timer_again(void)
{
	loop_faked();
	fiber_spawn(loop, "again", again_fiber, NULL);
	loop_run(loop);
	loop_done();
}

static void
alarm_stop(struct loop_timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->n_fired++;
	loop_stop(loop);
}

static void
test_timer_real(void)
{
	struct alarm a = { .timer.fn = alarm_stop };
	int64_t start;

	loop = loop_new();
	start = clock_mono_ms();
	loop_timer_set(loop, &a.timer, loop_now_ms(loop) + 20);
	loop_run(loop);
	CU_ASSERT_EQUAL(a.n_fired, 1);
	CU_ASSERT_TRUE(clock_mono_ms() - start >= 19);
	/* The loop can be run again. */
	loop_timer_set(loop, &a.timer, loop_now_ms(loop) + 1);
	loop_run(loop);
	CU_ASSERT_EQUAL(a.n_fired, 2);
	loop_free(loop);
}

/* ---- Descriptors --------------------------------------------------- */

struct duplex {
	struct loop_watch *watch;
	int fd[2];
	int n_read;
	int n_write;
	uint64_t seen_ms;
};

static void
duplex_ready(int fd, int what, void *arg)
{
	struct duplex *d = arg;
	char c;

	d->seen_ms = loop_now_ms(loop);
	if (what & LOOP_WRITE)
		d->n_write++;
	if (what & LOOP_READ) {
		d->n_read++;
		if (read(fd, &c, 1) == 1 && c == 'q') {
			loop_watch_free(d->watch); /* inside its callback */
			d->watch = NULL;
			loop_stop(loop);
		}
	}
}

static void
watch_fiber(void *arg)
{
	struct duplex *d = arg;

	CU_ASSERT_EQUAL(write(d->fd[1], "ab", 2), 2);
	(void)fiber_yield();
	(void)fiber_yield();
	CU_ASSERT_EQUAL(d->n_read, 2); /* level-triggered, once a turn */
	CU_ASSERT_EQUAL(write(d->fd[1], "c", 1), 1);
	loop_watch_set(d->watch, 0);
	(void)fiber_yield();
	(void)fiber_yield();
	CU_ASSERT_EQUAL(d->n_read, 2);
	loop_watch_set(d->watch, LOOP_READ);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(d->n_read, 3);
	CU_ASSERT_EQUAL(write(d->fd[1], "q", 1), 1);
}

static void
test_watch(void)
{
	struct duplex d = { 0 };

	CU_ASSERT_FATAL(pipe(d.fd) == 0);
	loop = loop_new();
	d.watch = loop_watch(loop, d.fd[0], LOOP_READ, duplex_ready, &d);
	fiber_spawn(loop, "watch", watch_fiber, &d);
	loop_run(loop);
	CU_ASSERT_EQUAL(d.n_read, 4);
	CU_ASSERT_EQUAL(d.n_write, 0);
	CU_ASSERT_PTR_NULL(d.watch);
	loop_watch_free(NULL);
	loop_free(loop);
	close(d.fd[0]);
	close(d.fd[1]);
}

/* What comes after a long sleep must not see the clock of the last turn. */
static void *
late_writer(void *arg)
{
	struct duplex *d = arg;

	clock_advance(60 * 1000000);
	CU_ASSERT_EQUAL(write(d->fd[1], "q", 1), 1);
	return NULL;
}

static void
test_watch_clock(void)
{
	struct duplex d = { 0 };
	pthread_t t;

	CU_ASSERT_FATAL(pipe(d.fd) == 0);
	loop_faked();
	d.watch = loop_watch(loop, d.fd[0], LOOP_READ, duplex_ready, &d);
	pthread_create(&t, NULL, late_writer, &d);
	loop_run(loop);
	pthread_join(t, NULL);
	CU_ASSERT_EQUAL(d.seen_ms, START_MS + 60000);
	loop_done();
	close(d.fd[0]);
	close(d.fd[1]);
}

/* ---- A clock that the loop moves itself ---------------------------- */

static int n_naps;

static void
napper(void *arg)
{
	uint64_t *ended = arg;

	for (int i = 0; i < 1000; i++)
		if (fiber_sleep(3600000) == FIBER_WOKEN)
			n_naps++;
	*ended = loop_now_ms(loop);
}

/* Two fibers sleep for forty days each; the loop ends when they have. */
static void
test_faked(void)
{
	uint64_t ended[2] = { 0 };

	loop_faked();
	n_naps = 0;
	fiber_spawn(loop, "nap", napper, &ended[0]);
	fiber_spawn(loop, "nap", napper, &ended[1]);
	loop_run_faked(loop);
	CU_ASSERT_EQUAL(n_naps, 2000);
	CU_ASSERT_EQUAL(ended[0], START_MS + 3600000000);
	CU_ASSERT_EQUAL(ended[1], ended[0]);
	CU_ASSERT_EQUAL(fiber_count(loop), 0);
	loop_done();
}

static void
stop_fired(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void
test_faked_stop(void)
{
	struct loop_timer stop = { .fn = stop_fired };
	uint64_t ended = 0;

	loop_faked();
	n_naps = 0;
	fiber_spawn(loop, "nap", napper, &ended);
	loop_timer_set(loop, &stop, START_MS + 5 * 3600000 + 1);
	loop_run_faked(loop);
	CU_ASSERT_EQUAL(n_naps, 5);
	CU_ASSERT_EQUAL(loop_now_ms(loop), START_MS + 5 * 3600000 + 1);
	loop_done();
	CU_ASSERT_NOT_EQUAL(ended, 0);
}

/* ---- Hooks and mailbox --------------------------------------------- */

struct note {
	struct loop_hook hook;
	struct loop_msg msg;
	struct note *then;
	int from;
	int n;
};

static struct note *order[16];
static int n_order;

static void
note_hook(struct loop_hook *h)
{
	struct note *n = container_of(h, struct note, hook);

	order[n_order++] = n;
	n->n++;
	if (n->then != NULL)
		loop_at_turn_end(loop, &n->then->hook);
}

static void
note_clears(struct loop_hook *h)
{
	struct note *n = container_of(h, struct note, hook);

	order[n_order++] = n;
	loop_hook_clear(loop, &n->then->hook);
}

static void
hook_fiber(void *arg)
{
	struct note a = { .hook.fn = note_hook };
	struct note b = { .hook.fn = note_hook };
	struct note self = { .hook.fn = note_hook };
	struct note c[4];
	uint64_t tick = loop_ticks(loop);

	(void)arg;
	a.then = &b;
	n_order = 0;
	loop_at_turn_end(loop, &a.hook);
	loop_at_turn_end(loop, &a.hook); /* queued already */
	CU_ASSERT_EQUAL(n_order, 0);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(loop_ticks(loop), tick + 1);
	CU_ASSERT_EQUAL(n_order, 2); /* and what it queued, in that turn */
	CU_ASSERT_PTR_EQUAL(order[0], &a);
	CU_ASSERT_PTR_EQUAL(order[1], &b);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(n_order, 2);

	self.then = &self; /* goes round for ever: the loop still turns */
	loop_at_turn_end(loop, &self.hook);
	(void)fiber_yield();
	self.then = NULL;
	CU_ASSERT_TRUE(self.n >= 1 && self.n < 16);
	n_order = 0;
	(void)fiber_yield();

	/* Cleared: the first, the last, and by one that runs before it. */
	n_order = 0;
	for (int i = 0; i < 4; i++) {
		c[i] = (struct note){ .hook.fn = note_hook };
		loop_at_turn_end(loop, &c[i].hook);
	}
	c[1].hook.fn = note_clears;
	c[1].then = &c[2];
	loop_hook_clear(loop, &c[0].hook);
	loop_hook_clear(loop, &c[3].hook);
	loop_hook_clear(loop, &c[3].hook);
	loop_at_turn_end(loop, &a.hook);
	a.then = NULL;
	(void)fiber_yield();
	CU_ASSERT_EQUAL(n_order, 2);
	CU_ASSERT_PTR_EQUAL(order[0], &c[1]);
	CU_ASSERT_PTR_EQUAL(order[1], &a);
	loop_stop(loop);
}

static void
test_hooks(void)
{
	loop = loop_new();
	fiber_spawn(loop, "hooks", hook_fiber, NULL);
	loop_run(loop);
	loop_free(loop);
}

#define N_POST 1000

static int n_arrived;
static int last_from[2];

static void
note_msg(struct loop_msg *m)
{
	struct note *n = container_of(m, struct note, msg);

	CU_ASSERT_PTR_EQUAL(loop_self(), loop);
	CU_ASSERT_EQUAL(n->n, last_from[n->from]++);
	free(n);
	if (++n_arrived == 2 * N_POST)
		loop_stop(loop);
}

static void *
post_thread(void *arg)
{
	struct note *n;

	for (int i = 0; i < N_POST; i++) {
		n = xcalloc(1, sizeof(*n));
		n->msg.fn = note_msg;
		n->from = *(int *)arg;
		n->n = i;
		loop_post(loop, &n->msg);
	}
	return NULL;
}

static void
test_mailbox(void)
{
	int from[2] = { 0, 1 };
	pthread_t t[2];

	n_arrived = last_from[0] = last_from[1] = 0;
	loop = loop_new();
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, post_thread, &from[i]);
	loop_run(loop);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CU_ASSERT_EQUAL(n_arrived, 2 * N_POST);

	/* What nobody has read is delivered when the loop ends. */
	n_arrived = last_from[0] = 0;
	post_thread(&from[0]);
	loop_drain(loop);
	CU_ASSERT_EQUAL(n_arrived, N_POST);
	loop_free(loop);
}

/* A message that posts itself keeps the loop awake, without the eventfd. */
static void
note_self(struct loop_msg *m)
{
	struct note *n = container_of(m, struct note, msg);

	if (++n->n == 100)
		loop_stop(loop);
	else
		loop_post(loop, m);
}

static void
test_mailbox_self(void)
{
	struct note n = { .msg.fn = note_self };

	loop = loop_new();
	loop_post(loop, &n.msg);
	loop_run(loop);
	CU_ASSERT_EQUAL(n.n, 100);
	CU_ASSERT_TRUE(loop_ticks(loop) >= 100);
	CU_ASSERT_TRUE(loop_lag(loop) >= 0 && loop_lag(loop) < 5);
	loop_free(loop);
}

/* ---- Two loops ----------------------------------------------------- */

#define ROUNDS 2000

struct player {
	struct loop *loop;
	struct fiber_wake_msg wake; /* to this player */
	atomic_int ball;
	atomic_bool waits;
	struct player *other;
	int n;
};

/*
 * The message is on the heap of the test and used again only after it was
 * delivered: who waits no longer, because the ball is there, and comes too
 * late to say so, waits for the message all the same.
 */
static void
play(void *arg)
{
	struct player *p = arg;

	fiber_deadline_set(loop_now_ms(p->loop) + 60000);
	while (p->n < ROUNDS) {
		while (atomic_load(&p->ball) == 0) {
			p->wake.wait = fiber_prepare();
			atomic_store(&p->waits, true);
			if (atomic_load(&p->ball) != 0 &&
			    atomic_exchange(&p->waits, false))
				break;
			if (fiber_suspend(0) != FIBER_WOKEN)
				goto out;
		}
		atomic_fetch_sub(&p->ball, 1);
		p->n++;
		atomic_fetch_add(&p->other->ball, 1);
		if (atomic_exchange(&p->other->waits, false))
			fiber_wake_post(p->other->loop, &p->other->wake);
	}
out:
	loop_stop(p->loop);
}

static void *
player_thread(void *arg)
{
	struct player *p = arg;

	loop_run(p->loop);
	return NULL;
}

static void
test_two_loops(void)
{
	struct player *p = xcalloc(2, sizeof(*p));
	pthread_t t[2];

	for (int i = 0; i < 2; i++) {
		p[i].loop = loop_new();
		p[i].other = &p[1 - i];
		fiber_spawn(p[i].loop, "player", play, &p[i]);
	}
	p[0].ball = 1;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, player_thread, &p[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(p[i].n, ROUNDS);
	for (int i = 0; i < 2; i++)
		loop_free(p[i].loop);
	free(p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "1,000 timers", test_timer_order },
		{ "timers in timers", test_timer_again },
		{ "timer, real", test_timer_real },
		{ "watch", test_watch },
		{ "clock in a callback", test_watch_clock },
		{ "clock of its own", test_faked },
		{ "clock of its own, stopped", test_faked_stop },
		{ "hooks", test_hooks },
		{ "mailbox", test_mailbox },
		{ "mailbox to oneself", test_mailbox_self },
		{ "two loops", test_two_loops },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "loop", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
