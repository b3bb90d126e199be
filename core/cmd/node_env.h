/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_NODE_ENV_H
#define CORE_CMD_NODE_ENV_H

/*
 * Ids, time, chance and trust in the lease for the run engine, as a real
 * process has them.  Time is this process's clock corrected by what the store's
 * clock said last.
 */

#include <stdatomic.h>

#include "core/base/arena.h"
#include "core/run/engine.h"
#include "core/store/store.h"
#include "core/store/store_lock.h"

struct node_env {
	struct arena *arena; /* lives as long as the process */
	_Atomic int64_t offset_us; /* store's clock minus ours */
	/* clock_boot_us at which trust ends: with the lock, and without it. */
	_Atomic int64_t trusted_us, unlocked_us;
	_Atomic(const struct store_lock *) lock; /* of this node, or NULL */
	atomic_bool guarded; /* others may look at the lock */
	const struct store_db *db;
	atomic_uint timeline; /* the database's, when the epoch was taken */
	void (*ring)(void *arg); /* there is work for this process; or NULL */
	void *ring_arg;
};

void node_env_init(struct node_env *env, const struct store_db *db);
void node_env_fini(struct node_env *env);
/*
 * The lease is worth something until then, by clock_boot_us; once the lock is
 * lost, only until unlocked_us.  Any thread.
 */
void node_env_trust(struct node_env *env, int64_t until_us,
    int64_t unlocked_us);
/* A standby took over since this epoch was taken.  Any thread. */
bool node_env_promoted(const struct node_env *env);
struct engine_env node_env_engine(struct node_env *env);
/* Asks the store for its time. */
SUSPENDS void node_env_tune(struct node_env *env, struct store *store);

#endif
