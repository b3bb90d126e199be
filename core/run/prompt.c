/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/prompt.h"

#include "core/base/buf.h"
#include "core/base/json.h"

/* See prompt.h. */

/* The built-in graph `ambient`, as far as a model has to know of it. */
static const char alone_text[] =
    "\n\nYou work on this task alone: nobody reads along, and nobody answers "
    "a question that you write as text. Decide what can be decided; use your "
    "tools until the task is done or cannot be done. Then write the report "
    "that the person who gave you the task will find in their inbox: what you "
    "did, what came of it, and what is left open. Your first answer without a "
    "tool call is this report.";

char *
prompt_system(const struct agent *a, bool alone)
{
	struct json_object *facts = jget(a->memory, "facts");
	struct buf b = { 0 };

	if (a->system_prompt[0] != '\0')
		buf_add_str(&b, a->system_prompt);
	else {
		buf_printf(&b, "You are %s, a helpful agent.", a->name);
		if (a->purpose[0] != '\0')
			buf_printf(&b, " Your purpose: %s", a->purpose);
	}
	if (jget_bool(a->memory, "enabled", false) &&
	    json_object_is_type(facts, json_type_array) &&
	    json_object_array_length(facts) > 0) {
		buf_add_str(&b, "\n\nFacts you have kept:");
		for (size_t i = 0; i < json_object_array_length(facts); i++)
			buf_printf(&b, "\n- %s",
			    json_object_get_string(
				json_object_array_get_idx(facts, i)));
	}
	if (alone)
		buf_add_str(&b, alone_text);
	return buf_take(&b);
}

static void
tool_add(struct json_object *out, const char *name, const char *doc,
    struct json_object *schema)
{
	struct json_object *o = jobj();

	jput_str(o, "name", name);
	jput_str(o, "description", doc);
	jput(o, "input_schema", schema);
	json_object_array_add(out, o);
}

struct json_object *
prompt_tools(struct plug *plug, const struct agent *a)
{
	struct json_object *out = jarr();
	const struct plug_toolkit_info *kit;
	const struct plug_tool_info *t;
	const char *slug;

	for (size_t i = 0; i < json_object_array_length(a->toolkits); i++) {
		slug = json_object_get_string(
		    json_object_array_get_idx(a->toolkits, i));
		kit = plug_toolkit_find(plug, slug);
		for (size_t k = 0;
		     kit != NULL && (t = plug_toolkit_tool(kit, k)) != NULL;
		     k++)
			tool_add(out, t->name, t->doc,
			    json_copy(t->input_schema));
	}
	return out;
}
