/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/hooks_api.h"

#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"

/* /api/webhooks, and what /api/agents/{id}/triggers has in common with it. */

struct hook_ctx
hook_ctx_of(struct http_req *req)
{
	return (struct hook_ctx){ .store = app_of(req)->store,
		.seal = app_of(req)->seal,
		.who = *api_who(req),
		.arena = http_arena(req) };
}

SUSPENDS void
hook_answer(struct http_req *req, const struct hook_ctx *ctx, int status,
    SUSPENDS enum as_status (*act)(const struct hook_ctx *ctx,
	struct json_object *body, struct json_object **out, struct error *err))
{
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = act(ctx, body, &out, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else if (status == 201)
		api_created(req, out);
	else
		http_reply_json(req, status, out);
}

SUSPENDS void
hook_answer_page(struct http_req *req, const struct hook_ctx *ctx,
    SUSPENDS enum as_status (*list)(const struct hook_ctx *ctx,
	struct row_page *page, struct json_object **items, struct error *err))
{
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = list(ctx, &page.rows, &items, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, page_next(req, &page));
}

/* ---- Webhooks ---------------------------------------------------------- */

static struct hook_ctx
webhook_ctx_of(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);

	ctx.id = http_param_uuid(req, "id");
	ctx.delivery_id = http_param_uuid(req, "delivery_id");
	ctx.status = http_query(req, "status");
	return ctx;
}

void
webhooks_list(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer_page(req, &ctx, webhook_list);
}

void
webhook_deliveries(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer_page(req, &ctx, delivery_list);
}

void
webhooks_create(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 201, webhook_create);
}

void
webhook_read(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 200, webhook_get);
}

void
webhook_patch(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 200, webhook_change);
}

void
webhook_delete(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 204, webhook_remove);
}

void
webhook_new_secret(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 200, webhook_rotate);
}

void
webhook_test(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 202, delivery_test);
}

void
webhook_delivery_replay(struct http_req *req)
{
	struct hook_ctx ctx = webhook_ctx_of(req);

	hook_answer(req, &ctx, 202, delivery_replay);
}
