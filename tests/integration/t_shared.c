/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/bus/breaker_redis.h"
#include "core/bus/rate_redis.h"
#include "tests/integration/redis_env.h"
#include "tests/integration/redis_node.h"
#include "tests/tap.h"

/*
 * What processes count together, by two nodes on one loop.  The test sets the
 * clock of breakers; that of Redis is what it writes into their hash.
 */

#define S 1000u /* ms */

struct node {
	struct redis_node at;
	struct breakers *breakers;
	struct breaker_redis *shared;
	unsigned turn;
};

static struct loop *loop;
static struct node here, there;
static uint64_t now, wait_ms;
static int64_t ask_ms;

static void
node_open(struct node *n)
{
	const struct bus_redis_config config = { .ask_ms = ask_ms,
		.grace_ms = 200 };

	redis_node_open(&n->at, loop, &config);
	n->breakers = breakers_new();
	n->shared = breaker_redis_new(n->at.redis, n->at.bus, n->breakers);
}

static void
node_close(struct node *n)
{
	redis_node_close(&n->at);
	breaker_redis_free(n->shared);
	breakers_free(n->breakers);
}

static bool
both_up(void *arg)
{
	(void)arg;
	return redis_node_is_up(&here.at) && redis_node_is_up(&there.at);
}

static bool
none_up(void *arg)
{
	(void)arg;
	return !redis_node_is_up(&here.at) && !redis_node_is_up(&there.at);
}

static SUSPENDS void
begin(void)
{
	breaker_redis_listen(here.shared, loop);
	breaker_redis_listen(there.shared, loop);
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
}

static void
end(void)
{
	breaker_redis_deafen(here.shared);
	breaker_redis_deafen(there.shared);
	loop_stop(loop);
}

static void
run(fiber_fn fn)
{
	ask_ms = ask_ms > 0 ? ask_ms : REDIS_NODE_WAIT_MS;
	if (!redis_env_start(NULL))
		return;
	loop = loop_new();
	node_open(&here);
	node_open(&there);
	now = loop_now_ms(loop);
	fiber_spawn(loop, "test", fn, NULL);
	loop_run(loop);
	loop_drain(loop);
	node_close(&here);
	node_close(&there);
	loop_free(loop);
	redis_env_stop();
	ask_ms = 0;
}

/* ---- Breakers ------------------------------------------------------ */

static SUSPENDS bool
allow(struct node *n)
{
	return breaker_allow(n->breakers, "a", now, &n->turn, &wait_ms);
}

static enum breaker_state
report(struct node *n, enum breaker_outcome outcome)
{
	enum breaker_state after;

	breaker_report(n->breakers, "a", n->turn, now, outcome, &after);
	return after;
}

/* The state as breaker_learn has left it: nobody tries by asking that. */
static enum breaker_state
state_of(struct node *n)
{
	enum breaker_state state;

	breaker_report(n->breakers, "a", (unsigned)-1, now, BREAKER_OK, &state);
	return state;
}

static bool
is_open(void *arg)
{
	return state_of(arg) == BREAKER_OPEN;
}

static bool
is_closed(void *arg)
{
	return state_of(arg) == BREAKER_CLOSED;
}

static long
number_of(const char *command)
{
	char *got = redis_env_ask(command);
	long n = strtol(got, NULL, 10);

	free(got);
	return n;
}

static bool
is_half(void *arg)
{
	(void)arg;
	return number_of("hexists test:b:a by") == 0;
}

static SUSPENDS void
call(struct node *n, enum breaker_outcome outcome)
{
	CU_ASSERT_TRUE(allow(n));
	(void)report(n, outcome);
}

/* By both clocks, and as both must know it. */
static SUSPENDS void
pass_open_time(void)
{
	CU_ASSERT_TRUE(redis_node_wait(is_open, &here));
	CU_ASSERT_TRUE(redis_node_wait(is_open, &there));
	free(redis_env_ask("hset test:b:a until 1"));
	now += 301 * S;
}

static void
open_fiber(void *arg)
{
	(void)arg;
	begin();
	for (int i = 0; i < 5; i++)
		call(&here, BREAKER_TIMED_OUT);
	CU_ASSERT_EQUAL(state_of(&here), BREAKER_OPEN);
	CU_ASSERT_TRUE(redis_node_wait(is_open, &there));
	CU_ASSERT_FALSE(allow(&there));
	CU_ASSERT_TRUE(wait_ms > 1 * S && wait_ms <= 45 * S);
	CU_ASSERT_TRUE(number_of("ttl test:b:a") > 500);
	end();
}

static void
test_open(void)
{
	run(open_fiber);
}

/* Neither has seen enough to judge; together they have. */
static void
together_fiber(void *arg)
{
	(void)arg;
	begin();
	for (int i = 0; i < 10; i++) {
		call(&here, i % 2 == 0 ? BREAKER_FAILED : BREAKER_OK);
		CU_ASSERT_TRUE(redis_node_wait(is_closed, &here));
	}
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(state_of(&there), BREAKER_CLOSED);
		call(&there, BREAKER_FAILED);
	}
	CU_ASSERT_TRUE(redis_node_wait(is_open, &here));
	CU_ASSERT_TRUE(redis_node_wait(is_open, &there));
	end();
}

static void
test_together(void)
{
	run(together_fiber);
}

static void
probe_fiber(void *arg)
{
	(void)arg;
	begin();
	for (int i = 0; i < 5; i++)
		call(&here, BREAKER_TIMED_OUT);
	pass_open_time();
	/* One of all tries. */
	CU_ASSERT_TRUE(allow(&here));
	CU_ASSERT_FALSE(allow(&there));
	CU_ASSERT_EQUAL(wait_ms, 1 * S);
	CU_ASSERT_FALSE(allow(&here));
	/* It fails: all leave it alone, for twice as long. */
	CU_ASSERT_EQUAL(report(&here, BREAKER_FAILED), BREAKER_OPEN);
	CU_ASSERT_TRUE(redis_node_wait(is_open, &there));
	CU_ASSERT_EQUAL(number_of("hget test:b:a open"), 30000);
	pass_open_time();
	/* Three successes, whoever has them, and all may again. */
	call(&here, BREAKER_OK);
	CU_ASSERT_TRUE(redis_node_wait(is_half, NULL));
	call(&there, BREAKER_OK);
	CU_ASSERT_TRUE(redis_node_wait(is_half, NULL));
	CU_ASSERT_EQUAL(number_of("hget test:b:a ok"), 2);
	call(&there, BREAKER_NO_FAULT); /* says nothing */
	CU_ASSERT_TRUE(redis_node_wait(is_half, NULL));
	call(&here, BREAKER_OK);
	CU_ASSERT_TRUE(redis_node_wait(is_closed, &here));
	CU_ASSERT_TRUE(redis_node_wait(is_closed, &there));
	CU_ASSERT_EQUAL(number_of("exists test:b:a"), 0);
	end();
}

static void
test_probe(void)
{
	run(probe_fiber);
}

/* Who was to try has died. */
static void
dead_fiber(void *arg)
{
	(void)arg;
	begin();
	for (int i = 0; i < 5; i++)
		call(&here, BREAKER_TIMED_OUT);
	pass_open_time();
	CU_ASSERT_TRUE(allow(&here));
	CU_ASSERT_FALSE(allow(&there));
	free(redis_env_ask("hset test:b:a probe 1"));
	CU_ASSERT_TRUE(allow(&there));
	end();
}

static void
test_dead(void)
{
	run(dead_fiber);
}

static void
lost_fiber(void *arg)
{
	uint64_t began;

	(void)arg;
	begin();
	for (int i = 0; i < 5; i++)
		call(&here, BREAKER_TIMED_OUT);
	pass_open_time();
	redis_env_signal(SIGSTOP);
	began = loop_now_ms(loop);
	CU_ASSERT_TRUE(allow(&here)); /* after a moment */
	CU_ASSERT_TRUE(loop_now_ms(loop) - began < 10 * 100);
	/* The next one does not wait. */
	CU_ASSERT_EQUAL(rate_redis_take(here.at.redis, "x", 3), -1);
	redis_env_signal(SIGCONT);
	redis_env_kill();
	CU_ASSERT_TRUE(redis_node_wait(none_up, NULL));
	CU_ASSERT_TRUE(allow(&there)); /* at once */
	CU_ASSERT_EQUAL(report(&here, BREAKER_OK), BREAKER_HALF_OPEN);
	call(&here, BREAKER_OK);
	call(&here, BREAKER_OK);
	CU_ASSERT_EQUAL(state_of(&here), BREAKER_CLOSED);
	CU_ASSERT_EQUAL(report(&there, BREAKER_FAILED), BREAKER_OPEN);
	/* It is back, and knows nothing. */
	redis_env_again(NULL);
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	now += 301 * S;
	for (int i = 0; i < 3; i++)
		call(&there, BREAKER_OK);
	CU_ASSERT_EQUAL(state_of(&there), BREAKER_CLOSED);
	for (int i = 0; i < 5; i++)
		call(&there, BREAKER_TIMED_OUT);
	CU_ASSERT_TRUE(redis_node_wait(is_open, &here));
	end();
}

static void
test_lost(void)
{
	ask_ms = 100;
	run(lost_fiber);
}

/* ---- Rates --------------------------------------------------------- */

static void
rates_fiber(void *arg)
{
	int64_t wait;

	(void)arg;
	begin();
	/* A minute's tokens, whoever draws them; they flow in meanwhile. */
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(rate_redis_take(i % 2 ? here.at.redis
						      : there.at.redis,
				    "x", 3),
		    0);
	wait = rate_redis_take(here.at.redis, "x", 3);
	CU_ASSERT_TRUE(wait > 0 && wait <= 20000);
	wait = rate_redis_take(there.at.redis, "x", 3);
	CU_ASSERT_TRUE(wait > 0 && wait <= 20000);
	CU_ASSERT_EQUAL(rate_redis_take(here.at.redis, "y", 3), 0);
	rate_redis_give(here.at.redis, "x", 3);
	CU_ASSERT_EQUAL(rate_redis_take(here.at.redis, "x", 3), 0);
	CU_ASSERT_TRUE(rate_redis_take(here.at.redis, "x", 3) > 0);
	CU_ASSERT_TRUE(number_of("pttl test:q:x") > 0);
	/* None more than there is room for. */
	rate_redis_give(here.at.redis, "y", 3);
	rate_redis_give(here.at.redis, "y", 3);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(rate_redis_take(here.at.redis, "y", 3), 0);
	CU_ASSERT_TRUE(rate_redis_take(here.at.redis, "y", 3) > 0);
	redis_env_kill();
	CU_ASSERT_TRUE(redis_node_wait(none_up, NULL));
	CU_ASSERT_EQUAL(rate_redis_take(here.at.redis, "x", 3), -1);
	rate_redis_give(here.at.redis, "x", 3);
	redis_env_again(NULL);
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	/* Something else has that name. */
	free(redis_env_ask("set test:q:z 1"));
	CU_ASSERT_EQUAL(rate_redis_take(here.at.redis, "z", 3), -1);
	end();
}

static void
test_rates(void)
{
	run(rates_fiber);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "one opens, all know", test_open },
		{ "calls are counted together", test_together },
		{ "one tries for all", test_probe },
		{ "who tries dies", test_dead },
		{ "without Redis each goes by its own", test_lost },
		{ "rates", test_rates },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "shared by Redis", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
