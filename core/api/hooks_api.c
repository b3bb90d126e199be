/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/hooks_api.h"

#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"

/* /api/webhooks */

struct hook_ctx
hook_ctx_of(struct http_req *req)
{
	return (struct hook_ctx){ .store = app_of(req)->store,
		.seal = app_of(req)->seal,
		.who = *api_who(req),
		.arena = http_arena(req) };
}

void
hook_answer(struct http_req *req, enum as_status st, int status,
    struct json_object *out, struct error *err)
{
	if (st != AS_OK)
		api_fail(req, err);
	else
		http_reply_json(req, status, out);
}

void
webhooks_list(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *items = NULL;
	struct hook_page list = { 0 };
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK) {
		list.limit = page.limit;
		list.after = page.after;
		st = webhook_list(&ctx, &list, &items, &err);
	}
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items,
		    list.more ? page_cursor(req, list.last) : NULL);
}

void
webhooks_create(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = webhook_create(&ctx, body, &out, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		api_created(req, out);
}

void
webhook_read(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *out = NULL;
	struct error err = { 0 };
	enum as_status st = webhook_get(&ctx, http_param_uuid(req, "id"), &out,
	    &err);

	hook_answer(req, st, 200, out, &err);
}

void
webhook_patch(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = webhook_change(&ctx, http_param_uuid(req, "id"), body,
		    &out, &err);
	hook_answer(req, st, 200, out, &err);
}

void
webhook_delete(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct error err = { 0 };
	enum as_status st = webhook_remove(&ctx, http_param_uuid(req, "id"),
	    &err);

	hook_answer(req, st, 204, NULL, &err);
}

void
webhook_new_secret(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = webhook_rotate(&ctx, http_param_uuid(req, "id"),
		    jget_int(body, "overlap_s", HOOK_OVERLAP_S), &out, &err);
	hook_answer(req, st, 200, out, &err);
}

void
webhook_test(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *out = NULL;
	struct error err = { 0 };
	enum as_status st = delivery_test(&ctx, http_param_uuid(req, "id"),
	    &out, &err);

	hook_answer(req, st, 202, out, &err);
}

void
webhook_deliveries(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *items = NULL;
	struct hook_page list = { 0 };
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK) {
		list.limit = page.limit;
		list.after = page.after;
		st = delivery_list(&ctx, http_param_uuid(req, "id"),
		    http_query(req, "status"), &list, &items, &err);
	}
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items,
		    list.more ? page_cursor(req, list.last) : NULL);
}

void
webhook_delivery_replay(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *out = NULL;
	struct error err = { 0 };
	enum as_status st = delivery_replay(&ctx, http_param_uuid(req, "id"),
	    http_param_uuid(req, "delivery_id"), &out, &err);

	hook_answer(req, st, 202, out, &err);
}
