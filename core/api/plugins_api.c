/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"

/* /api/admin/plugins: what runs in this process, and the reload of one. */

void
plugins_list(struct http_req *req)
{
	page_reply(req, plug_list(app_of(req)->plug), NULL);
}

void
plugin_reload_post(struct http_req *req)
{
	struct json_object *list = NULL;
	struct error err = { 0 };

	if (plug_reload(app_of(req)->plug, http_param(req, "name"), &list,
		&err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200,
		    json_object_get(json_object_array_get_idx(list, 0)));
	json_object_put(list);
}
