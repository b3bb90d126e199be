/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

/*
 * One life of a node: an engine with its epoch, its way to the store and to
 * the world.  A crash ends the life: from then on both ways are dead, so what
 * its fibers still do on their way out reaches nobody.  A pause holds what
 * goes out and what comes in, so its fibers go on as those of a zombie.
 */

#include "tests/sim/sim.h"

#define NODE_WALL_MS 30000 /* the longest run */
#define NODE_FREE_AFTER_MS (NODE_WALL_MS + 20000)

struct sim_waiter;

struct sim_node {
	struct sim_node *next; /* of all lives */
	struct sim *sim;
	int index; /* the machine */
	struct rng rng; /* its own, so that others do not change it */
	int64_t epoch;
	struct run_store link;
	struct world world;
	struct engine *engine; /* NULL until it has joined */
	struct live *live;
	struct breakers *breakers;
	bool dead; /* without any effect from now on */
	bool draining;
	uint64_t paused_until; /* loop clock */
	uint64_t trusted_until;
	int n_users; /* fibers that hold on to it, beside its runs */
	struct sim_waiter *waiters;
};

void node_boot(struct sim *s, int index);
/* At once, with all its fibers; it comes back after_ms later, 0: never. */
void node_crash(struct sim_node *n, uint64_t after_ms);
SUSPENDS void node_drain(struct sim_node *n, uint64_t after_ms);
bool node_is_up(const struct sim_node *n);
/* Has everything of it ended? */
bool node_is_gone(const struct sim_node *n);
void node_free(struct sim_node *n);
/* One that serves, or NULL. */
struct sim_node *node_any(struct sim *s, struct rng *r);

/*
 * Until the loop's clock is at_ms; frozen: and not while the node is paused.
 * AS_CANCELED: the node is dead, or the fiber is to end; AS_TIMEOUT: the
 * fiber's deadline.
 */
SUSPENDS enum as_status node_wait(struct sim_node *n, uint64_t at_ms,
    bool frozen, struct error *err);

/* link.c: what a request says that did not get through */
#define LINK_BROKEN "the connection to the database is lost"
extern const struct run_store_ops link_ops; /* arg is the node */

/* world.c */
struct witness *witness_new(void);
void witness_free(struct witness *w);
void world_init(struct world *w, struct sim_node *n);
/* What a tool has answered under this key, or would have, or NULL. */
const char *witness_answer(const struct sim *s, const char *key);
/* Effects and answers against what is stored. */
void witness_check(struct sim *s);

#endif
