/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/redis_node.h"

#include "tests/integration/redis_env.h"
#include "tests/tap.h"

/* See redis_node.h. */

void
redis_node_open(struct redis_node *n, struct loop *loop,
    const struct bus_redis_config *config)
{
	struct bus_redis_config c = *config;

	c.password = "";
	c.prefix = "test";
	CU_ASSERT_EQUAL(redis_url_parse(redis_env_url(), &c.url, NULL), AS_OK);
	n->loop = loop;
	n->bus = bus_new_memory();
	n->live = live_new();
	n->redis = bus_redis_new(n->bus, n->live, &c);
	bus_join(n->bus, loop);
	n->link = bus_link_open(n->redis, loop);
}

void
redis_node_close(struct redis_node *n)
{
	bus_link_close(n->link);
	bus_leave(n->bus, n->loop);
	bus_redis_free(n->redis);
	live_free(n->live);
	bus_free(n->bus);
}

bool
redis_node_is_up(const struct redis_node *n)
{
	return bus_link_state(n->link) == BUS_LINK_UP;
}

SUSPENDS bool
redis_node_wait(bool (*check)(void *arg), void *arg)
{
	struct loop *loop = loop_self();
	uint64_t until = loop_now_ms(loop) + REDIS_NODE_WAIT_MS;

	while (!check(arg) && loop_now_ms(loop) < until)
		(void)fiber_sleep(2);
	return check(arg);
}
