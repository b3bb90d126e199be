/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_REPLAY_H
#define CORE_RUN_REPLAY_H

/*
 * A recorded run, played again by the engine itself.
 *
 * Models and tools answer from the record, so nothing leaves the process; what
 * the engine then wants to write is compared with what is stored: each message,
 * each intent of a tool call, the hash of each checkpoint, the end.  It stops
 * at the first difference.  Nothing is written.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/run/run.h"
#include "core/store/store.h"

struct arena;
struct loop;

struct replay_step {
	int64_t step;
	uint8_t hash[HASH_LEN]; /* as it came out */
	bool
	    has_hash; /* the difference was in front of the checkpoint if not */
	bool same;
};

struct replay_result {
	struct replay_step *steps;
	int n_steps;
	/* As it was recorded. */
	enum run_status status;
	int64_t step, fence;
	bool whole; /* the end was played, too, not only the steps before it */
	/* The first difference; what is NULL if there is none. */
	int64_t at;
	const char *what, *expected, *got;
};

/*
 * On a fiber of the loop of store.  Strings live in the arena.  AS_OK says that
 * the run was played, result whether it is the same; anything else that it
 * could not be: NOTFOUND, or its record is not complete.
 */
SUSPENDS enum as_status replay_run(struct loop *loop, struct store *store,
    struct uuid run_id, struct arena *arena, struct replay_result *out,
    struct error *err);

#endif
