/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"

/* Toolkits and their tools, as the plugins describe them. */

static struct json_object *
toolkit_json(const struct plug_toolkit_info *t)
{
	const struct plug_tool_info *tool;
	struct json_object *o = jobj();
	bool connects = t->service != NULL;

	for (size_t i = 0; (tool = plug_toolkit_tool(t, i)) != NULL; i++)
		connects |= tool->needs_connection;
	jput_str(o, "slug", t->slug);
	jput_str(o, "name", t->name);
	jput_str(o, "description",
	    t->description != NULL ? t->description : "");
	jput_str(o, "version", t->version != NULL ? t->version : "");
	jput_int(o, "tools_count", (int64_t)t->n_tools);
	jput_bool(o, "needs_connection", connects);
	jput_str(o, "service", t->service);
	return o;
}

static struct json_object *
tool_json(const struct plug_tool_info *t)
{
	struct json_object *o = jobj();

	jput_str(o, "name", t->name);
	jput_str(o, "description", t->doc != NULL ? t->doc : "");
	/* Copies: the schemas are shared by all loops. */
	jput(o, "input_schema",
	    t->input_schema != NULL ? json_copy(t->input_schema) : jobj());
	if (t->output_schema != NULL)
		jput(o, "output_schema", json_copy(t->output_schema));
	else
		jput_null(o, "output_schema");
	jput_str(o, "effect", plug_effect_name(t->effect));
	jput_bool(o, "needs_approval", t->needs_approval);
	jput_bool(o, "needs_connection", t->needs_connection);
	jput_str(o, "version", t->version != NULL ? t->version : "");
	return o;
}

void
toolkits_list(struct http_req *req)
{
	struct plug *plug = app_of(req)->plug;
	const struct plug_toolkit_info *t;
	struct json_object *items;
	struct error err = { 0 };
	struct page page;
	size_t i, end;

	if (page_read(req, &page, &err) != AS_OK) {
		api_fail(req, &err);
		return;
	}
	i = (size_t)page.after_int;
	end = i + (size_t)page.rows.limit;
	items = jarr();
	for (; i < end && (t = plug_toolkit(plug, i)) != NULL; i++)
		json_object_array_add(items, toolkit_json(t));
	page_reply(req, items,
	    plug_toolkit(plug, i) != NULL ? page_cursor_int(req, (int64_t)i)
					  : NULL);
}

/* NULL: the request has been answered with 404. */
static const struct plug_toolkit_info *
toolkit_of(struct http_req *req)
{
	const char *slug = http_param(req, "slug");
	const struct plug_toolkit_info *t;
	struct error err = { 0 };

	t = plug_toolkit_find(app_of(req)->plug, slug);
	if (t == NULL) {
		error_not_found(&err, "toolkit", slug);
		api_fail(req, &err);
	}
	return t;
}

void
toolkit_read(struct http_req *req)
{
	const struct plug_toolkit_info *t = toolkit_of(req);

	if (t != NULL)
		http_reply_json(req, 200, toolkit_json(t));
}

void
toolkit_tools(struct http_req *req)
{
	const struct plug_toolkit_info *t = toolkit_of(req);
	const struct plug_tool_info *tool;
	struct json_object *items;
	struct error err = { 0 };
	struct page page;
	size_t i, end;

	if (t == NULL)
		return;
	if (page_read(req, &page, &err) != AS_OK) {
		api_fail(req, &err);
		return;
	}
	i = (size_t)page.after_int;
	end = i + (size_t)page.rows.limit;
	items = jarr();
	while (i < end && (tool = plug_toolkit_tool(t, i))) {
		json_object_array_add(items, tool_json(tool));
		i++;
	}
	page_reply(req, items,
	    plug_toolkit_tool(t, i) != NULL ? page_cursor_int(req, (int64_t)i)
					    : NULL);
}
