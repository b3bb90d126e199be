/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_REDIS_NODE_H
#define TESTS_INTEGRATION_REDIS_NODE_H

/* As much of a node as hears others by Redis: several fit on one loop. */

#include "core/bus/bus_redis.h"
#include "core/loop/fiber.h"

#define REDIS_NODE_WAIT_MS 30000

struct redis_node {
	struct loop *loop;
	struct bus *bus;
	struct live *live;
	struct bus_redis *redis;
	struct bus_link *link;
};

/* At the Redis of redis_env.h, without a password, whatever config says. */
void redis_node_open(struct redis_node *n, struct loop *loop,
    const struct bus_redis_config *config);
void redis_node_close(struct redis_node *n);
bool redis_node_is_up(const struct redis_node *n);

/* Waits for it; what it says in the end. */
SUSPENDS bool redis_node_wait(bool (*check)(void *arg), void *arg);

#endif
