/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AGENT_AGENT_H
#define CORE_AGENT_AGENT_H

/*
 * Agents: who may see and change which, and what they consist of.
 *
 * Owner and tenant are part of every query; what one may not see does not
 * exist (NOT_FOUND).  is_public: any signed-in user of the tenant may read it
 * and chat with it, never change it.  Deleting leaves a tombstone.
 */

#include "core/auth/principal.h"
#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/store/store.h"

struct json_object;
struct plug;

struct agent {
	struct uuid id, tenant_id, user_id;
	const char *name, *description, *purpose, *system_prompt;
	const char *model_name; /* NULL: the default at each run */
	struct json_object *memory; /* {"enabled", "facts": [..]} */
	const char *state; /* draft ready paused error */
	struct json_object *toolkits; /* array of slugs */
	struct json_object *suggested_task_prompts;
	struct json_object *suggested_job_prompts;
	bool is_public;
	int64_t version;
	int64_t created_at, updated_at;
	bool deleted;
};

#define AGENT_FACTS_MAX 100
#define AGENT_FACT_LEN_MAX 500 /* characters */

/* Everything lives in the arena.  May be read by `who`: own or public. */
SUSPENDS enum as_status agent_get(struct store *store,
    const struct principal *who, struct uuid id, struct arena *arena,
    struct agent **out, struct error *err);

/* For the engine: by id alone, tombstones included. */
SUSPENDS enum as_status agent_load(struct store *store, struct uuid id,
    struct arena *arena, struct agent **out, struct error *err);

/* Add a fact that the model wants to keep; CONFLICT retried inside. */
SUSPENDS enum as_status agent_remember(struct store *store, struct uuid id,
    const char *fact, struct error *err);

struct json_object *agent_json(const struct agent *a);

#endif
