/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AGENT_INTERNAL_H
#define CORE_AGENT_INTERNAL_H

/* What the files of core/agent share; nobody else includes it. */

#include "core/agent/agent.h"

#define AGENT_COLUMNS \
	"id, tenant_id, user_id, name, description, purpose, system_prompt," \
	" model_name, memory, agent_state, toolkits, suggested_task_prompts," \
	" suggested_job_prompts, is_public, version, deleted_at, created_at," \
	" updated_at, fallback_models, approval, builtins"

/* AGENT_COLUMNS of a row; text in the arena, JSON not parsed. */
void agent_from_row(struct arena *arena, const struct rows *r, int row,
    struct agent *a);
/* The JSON members from their text. */
void agent_parse(struct arena *arena, struct agent *a);
enum as_status agent_missing(struct uuid id, struct error *err);

#endif
