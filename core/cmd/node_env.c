/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_env.h"

#include <sodium.h>

#include "core/base/clock.h"

/* See node_env.h. */

void
node_env_init(struct node_env *env, const struct store_db *db)
{
	env->db = db;
	env->arena = arena_new(NULL);
	atomic_store(&env->offset_us, 0);
	atomic_store(&env->trusted_us, 0);
	atomic_store(&env->unlocked_us, 0);
	atomic_store(&env->guarded, false);
	atomic_store(&env->lock, NULL);
	atomic_store(&env->timeline, 0);
	env->ring = NULL;
}

void
node_env_fini(struct node_env *env)
{
	arena_free(env->arena);
}

static struct uuid
env_new_id(void *arg)
{
	(void)arg;
	return uuid_v7();
}

static int64_t
env_wall_us(void *arg)
{
	struct node_env *env = arg;

	return clock_wall_us() + atomic_load(&env->offset_us);
}

static uint32_t
env_random(void *arg, uint32_t n)
{
	(void)arg;
	return randombytes_uniform(n);
}

void
node_env_trust(struct node_env *env, int64_t until_us, int64_t unlocked_us)
{
	atomic_store(&env->trusted_us, until_us);
	atomic_store(&env->unlocked_us, unlocked_us);
}

bool
node_env_promoted(const struct node_env *env)
{
	return store_db_timeline(env->db) != atomic_load(&env->timeline);
}

static bool
env_trusted(void *arg)
{
	struct node_env *env = arg;
	const struct store_lock *lock = atomic_load(&env->lock);
	bool unlocked;

	/* What the epoch rests on may have been lost with the old primary. */
	if (node_env_promoted(env))
		return false;
	unlocked = atomic_load(&env->guarded) && lock != NULL &&
		   store_lock_held_us(lock) < 0;
	return clock_boot_us() <
	       atomic_load(unlocked ? &env->unlocked_us : &env->trusted_us);
}

static void
env_ring(void *arg)
{
	struct node_env *env = arg;

	if (env->ring != NULL)
		env->ring(env->ring_arg);
}

struct engine_env
node_env_engine(struct node_env *env)
{
	struct engine_env e = { .arg = env,
		.new_id = env_new_id,
		.wall_us = env_wall_us,
		.random = env_random,
		.trusted = env_trusted,
		.ring = env_ring };

	return e;
}

SQL(STORE_NOW, "SELECT now_us()");

SUSPENDS void
node_env_tune(struct node_env *env, struct store *store)
{
	struct rows *rows = NULL;

	if (store_query(store, &STORE_NOW, NULL, 0, &rows, NULL) == AS_OK)
		atomic_store(&env->offset_us,
		    rows_int(rows, 0, 0) - clock_wall_us());
	rows_free(rows);
}
