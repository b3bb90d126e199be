/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/chat/operator.h"

/* /api/operator, and what else people do to runs that are parked. */

void
run_resume_post(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct uuid id = http_param_uuid(req, "id");
	struct json_object *body = NULL, *run = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = run_resume(&ctx, id, jget_str(body, "action", "retry"),
		    jget_str(body, "model", NULL), &err);
	if (st == AS_OK)
		st = run_read(&ctx, id, &run, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 202, run);
}

void
run_calls_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *items = NULL;
	struct error err = { 0 };

	if (run_calls(&ctx, http_param_uuid(req, "id"), &items, &err) != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, NULL);
}

void
operator_items_list(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct operator_filter filter = { .status = http_query(req, "status"),
		.kind = http_query(req, "kind") };
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = query_uuid(req, "run_id", &filter.run_id, &err);
	if (st == AS_OK)
		st = operator_list(&ctx, &filter, &page.rows, &items, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, page_next(req, &page));
}

static SUSPENDS void
item_reply(struct http_req *req, const struct chat_ctx *ctx, struct uuid id)
{
	struct json_object *item = NULL;
	struct error err = { 0 };

	if (operator_get(ctx, id, &item, &err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, item);
}

void
operator_item_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);

	item_reply(req, &ctx, http_param_uuid(req, "id"));
}

void
operator_item_resolve(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct uuid id = http_param_uuid(req, "id");
	struct json_object *body = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = operator_resolve(&ctx, id, jget_str(body, "outcome", ""),
		    jget(body, "result"), &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		item_reply(req, &ctx, id);
}
