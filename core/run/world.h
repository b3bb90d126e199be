/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_WORLD_H
#define CORE_RUN_WORLD_H

/*
 * Everything outside the store that a run can reach: its agent, models, tools.
 *
 * The engine of a server has the plugins here; a replay has a recording, a
 * simulation what it makes up.  Members that suspend run on the fiber of the
 * caller, whose deadline and cancel they obey.
 */

#include "core/plug/plug.h"

struct agent;
struct arena;
struct store;

struct world {
	void *arg;
	/* By id alone, tombstones included; everything lives in the arena. */
	SUSPENDS enum as_status (*agent)(void *arg, struct uuid id,
	    struct arena *arena, struct agent **out, struct error *err);
	/*
	 * All that is called was called before, and this world knows what came
	 * of it: the engine's own tools do nothing, they are asked for here.
	 */
	bool replays;
	/* The full name of the model, of the default one if name is NULL. */
	bool (*model)(void *arg, const char *name, char *out, size_t size);
	/* Keeps a fact in the agent's memory. */
	SUSPENDS enum as_status (*remember)(void *arg, struct uuid agent_id,
	    const char *fact, struct error *err);
	/* The agent's tools as a model is told of them; the caller owns it. */
	struct json_object *(*offer)(void *arg, const struct agent *a);
	/* Borrowed, or NULL. */
	const struct plug_tool_info *(*tool)(void *arg, const char *name);
	/* As plug_chat, plug_tool_call and plug_tool_verify. */
	SUSPENDS enum as_status (*chat)(void *arg,
	    const struct plug_caller *who, const char *model,
	    struct json_object *messages, struct json_object *tools,
	    const struct plug_sink *sink, struct plug_chat_end *end,
	    struct error *err);
	SUSPENDS enum as_status (*call)(void *arg,
	    const struct plug_caller *who, const char *tool,
	    struct json_object *args, struct json_object **result,
	    struct error *err);
	SUSPENDS enum as_status (*verify)(void *arg,
	    const struct plug_caller *who, const char *tool,
	    struct json_object *args, struct json_object **result,
	    struct error *err);
	/* Tokens that the model can be told at once; 0: nobody knows. */
	int64_t (*window)(void *arg, const char *model);
	/*
	 * What this tool has answered to the same arguments (their hash) in
	 * that run, in the arena; NULL: nothing.  No such member: nothing.
	 */
	SUSPENDS enum as_status (*recorded)(void *arg, struct uuid run_id,
	    const char *tool, const uint8_t args_hash[32], struct arena *arena,
	    const char **out, struct error *err);
};

/* The plugins and this loop's store, both of which outlive it. */
struct world *world_new(struct plug *plug, struct store *store);
void world_free(struct world *w); /* NULL does nothing */

#endif
