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

/* The JSON members of an agent as they are stored: compact text. */
struct agent_text {
	const char *memory, *toolkits, *task_prompts, *job_prompts;
	const char *fallback_models, *approval, *builtins;
};

struct agent {
	struct uuid id, tenant_id, user_id;
	const char *name, *description, *purpose, *system_prompt;
	const char *model_name; /* NULL: the default at each run */
	struct json_object *memory; /* {"enabled", "facts": [..]} */
	struct json_object *fallback_models; /* array of "provider/model" */
	struct json_object *builtins; /* array of names of built-in tools */
	struct json_object *approval; /* see core/run/approval.h */
	const char *state; /* draft ready paused error */
	struct json_object *toolkits; /* array of slugs */
	struct json_object *suggested_task_prompts;
	struct json_object *suggested_job_prompts;
	bool is_public;
	int64_t version;
	int64_t created_at, updated_at;
	bool deleted;
	struct agent_text text;
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

/* ---- As its owner works with it ------------------------------------ */

/*
 * As agent_get, but memory, toolkits and prompts are there as text only: cheap,
 * for agent_encode.  To others than its owner the facts are not shown.
 */
SUSPENDS enum as_status agent_show(struct store *store,
    const struct principal *who, struct uuid id, struct arena *arena,
    struct agent **out, struct error *err);

struct agent_query {
	bool with_public;
	int64_t limit;
	struct uuid before; /* ids below this one; nil: from the newest */
};

/* Newest first, as agent_show; *out is an array of *n in the arena. */
SUSPENDS enum as_status agent_list(struct store *store,
    const struct principal *who, const struct agent_query *query,
    struct arena *arena, struct agent **out, size_t *n, struct error *err);

/* body has passed its schema; what is left out goes to its default. */
SUSPENDS enum as_status agent_create(struct store *store, struct plug *plug,
    const struct principal *who, struct json_object *body, struct arena *arena,
    struct agent **out, struct error *err);

enum agent_change {
	AGENT_REPLACE = 1,
	AGENT_MERGE
};

/*
 * Replaces, or merges (RFC 7396).  Members that nobody may write are accepted
 * as they are.  if_version > 0: VERSION_CONFLICT with current_version if it is
 * another one; else the last write wins.  FORBIDDEN: somebody else's.
 */
SUSPENDS enum as_status agent_update(struct store *store, struct plug *plug,
    const struct principal *who, struct uuid id, enum agent_change how,
    struct json_object *body, int64_t if_version, struct arena *arena,
    struct agent **out, struct error *err);

/* Leaves a tombstone; the caller cancels its open runs. */
SUSPENDS enum as_status agent_delete(struct store *store,
    const struct principal *who, struct uuid id, int64_t if_version,
    struct error *err);

/* The agent as the API shows it, as text and as a value. */
struct buf;
void agent_encode(struct buf *b, const struct agent *a);
struct json_object *agent_json(const struct agent *a);

#endif
