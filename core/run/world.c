/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/world.h"

#include <stdlib.h>

#include "core/agent/agent.h"
#include "core/base/mem.h"
#include "core/run/prompt.h"

/* The world of a server: what its plugins do, its agents in its store. */

struct plugin_world {
	struct world w;
	struct plug *plug;
	struct store *store;
};

static SUSPENDS enum as_status
world_agent(void *arg, struct uuid id, struct arena *arena, struct agent **out,
    struct error *err)
{
	struct plugin_world *p = arg;

	return agent_load(p->store, id, arena, out, err);
}

static SUSPENDS enum as_status
world_remember(void *arg, struct uuid agent_id, const char *fact,
    struct error *err)
{
	struct plugin_world *p = arg;

	return agent_remember(p->store, agent_id, fact, err);
}

static bool
world_model(void *arg, const char *name, char *out, size_t size)
{
	struct plugin_world *p = arg;

	return plug_model_resolve(p->plug, name, out, size);
}

static struct json_object *
world_offer(void *arg, const struct agent *a)
{
	struct plugin_world *p = arg;

	return prompt_tools(p->plug, a);
}

static const struct plug_tool_info *
world_tool(void *arg, const char *name)
{
	struct plugin_world *p = arg;

	return plug_tool_find(p->plug, name);
}

static SUSPENDS enum as_status
world_chat(void *arg, const struct plug_caller *who, const char *model,
    struct json_object *messages, struct json_object *tools,
    const struct plug_sink *sink, struct plug_chat_end *end, struct error *err)
{
	struct plugin_world *p = arg;

	return plug_chat(p->plug, who, model, messages, tools, NULL, sink, end,
	    err);
}

static SUSPENDS enum as_status
world_call(void *arg, const struct plug_caller *who, const char *tool,
    struct json_object *args, struct json_object **result, struct error *err)
{
	struct plugin_world *p = arg;

	return plug_tool_call(p->plug, who, tool, args, NULL, result, err);
}

static SUSPENDS enum as_status
world_verify(void *arg, const struct plug_caller *who, const char *tool,
    struct json_object *args, struct json_object **result, struct error *err)
{
	struct plugin_world *p = arg;

	return plug_tool_verify(p->plug, who, tool, args, result, err);
}

static int64_t
world_window(void *arg, const char *model)
{
	struct plugin_world *p = arg;
	const struct plug_model_info *info = model != NULL
						 ? plug_model_find(p->plug,
						       model)
						 : NULL;

	return info != NULL ? info->window : 0;
}

SQL(RECORDED,
    "SELECT result FROM tool_invocations WHERE run_id = $1 AND tool = $2"
    " AND args_hash = $3 AND state = 'succeeded' AND result IS NOT NULL"
    " ORDER BY step DESC, ordinal DESC LIMIT 1");

static SUSPENDS enum as_status
world_recorded(void *arg, struct uuid run_id, const char *tool,
    const uint8_t args_hash[32], struct arena *arena, const char **out,
    struct error *err)
{
	struct plugin_world *p = arg;
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_TEXT(tool),
		SQL_BYTES(args_hash, 32) };
	struct rows *r = NULL;
	enum as_status st = store_query(p->store, &RECORDED, args, 3, &r, err);

	*out = NULL;
	if (st == AS_OK && rows_count(r) == 1)
		*out = arena_strdup(arena, rows_text(r, 0, 0));
	rows_free(r);
	return st;
}

struct world *
world_new(struct plug *plug, struct store *store)
{
	struct plugin_world *p = xcalloc(1, sizeof(*p));

	p->plug = plug;
	p->store = store;
	p->w = (struct world){ .arg = p,
		.agent = world_agent,
		.model = world_model,
		.remember = world_remember,
		.offer = world_offer,
		.tool = world_tool,
		.chat = world_chat,
		.call = world_call,
		.verify = world_verify,
		.recorded = world_recorded,
		.window = world_window };
	return &p->w;
}

void
world_free(struct world *w)
{
	free(w != NULL ? w->arg : NULL);
}
