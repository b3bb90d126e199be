/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"

/* The models of all providers, as the plugins list them. */

/* "tools vision" to ["tools", "vision"]. */
static struct json_object *
words_json(const char *s)
{
	struct json_object *list = jarr();
	size_t len;

	for (; s != NULL && *s != '\0'; s += len) {
		s += strspn(s, " ");
		len = strcspn(s, " ");
		if (len > 0)
			json_object_array_add(list,
			    json_object_new_string_len(s, (int)len));
	}
	return list;
}

static void
put_known(struct json_object *o, const char *key, int64_t n)
{
	if (n > 0)
		jput_int(o, key, n);
	else
		jput_null(o, key);
}

static struct json_object *
model_json(const struct plug_model_info *m)
{
	struct json_object *o = jobj();

	jput_str(o, "id", m->id);
	jput_str(o, "provider", m->provider);
	jput_str(o, "name", m->name);
	jput_str(o, "title", m->title != NULL ? m->title : m->name);
	jput_bool(o, "is_default", m->is_default);
	put_known(o, "window", m->window);
	put_known(o, "max_output", m->max_output);
	jput(o, "abilities", words_json(m->abilities));
	put_known(o, "dim", m->dim);
	return o;
}

void
models_list(struct http_req *req)
{
	struct plug *plug = app_of(req)->plug;
	const struct plug_model_info *m;
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
	for (; i < end && (m = plug_model(plug, i)) != NULL; i++)
		json_object_array_add(items, model_json(m));
	page_reply(req, items,
	    plug_model(plug, i) != NULL ? page_cursor_int(req, (int64_t)i)
					: NULL);
}
