/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/hooks_api.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/hook/trigger_fire.h"

/* /api/agents/{id}/triggers, and /api/hooks/{id}, where messages come in. */

void
triggers_list(struct http_req *req)
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
		st = trigger_list(&ctx, http_param_uuid(req, "id"), &list,
		    &items, &err);
	}
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items,
		    list.more ? page_cursor(req, list.last) : NULL);
}

void
triggers_create(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = trigger_create(&ctx, http_param_uuid(req, "id"), body,
		    &out, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		api_created(req, out);
}

void
trigger_read(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *out = NULL;
	struct error err = { 0 };
	enum as_status st = trigger_get(&ctx, http_param_uuid(req, "id"),
	    http_param_uuid(req, "trigger_id"), &out, &err);

	hook_answer(req, st, 200, out, &err);
}

void
trigger_patch(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = trigger_change(&ctx, http_param_uuid(req, "id"),
		    http_param_uuid(req, "trigger_id"), body, &out, &err);
	hook_answer(req, st, 200, out, &err);
}

void
trigger_delete(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct error err = { 0 };
	enum as_status st = trigger_remove(&ctx, http_param_uuid(req, "id"),
	    http_param_uuid(req, "trigger_id"), &err);

	hook_answer(req, st, 204, NULL, &err);
}

void
trigger_new_secret(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);
	struct json_object *body = NULL, *out = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = trigger_rotate(&ctx, http_param_uuid(req, "id"),
		    http_param_uuid(req, "trigger_id"),
		    jget_int(body, "overlap_s", HOOK_OVERLAP_S), &out, &err);
	hook_answer(req, st, 200, out, &err);
}

/* ---- Coming in --------------------------------------------------------- */

static struct json_object *
fired_json(const struct ambient_started *s)
{
	struct json_object *o = jobj();

	jput_uuid(o, "run_id", s->run_id);
	jput_uuid(o, "thread_id", s->thread_id);
	jput_bool(o, "replayed", s->replayed);
	return o;
}

/* 202 for what it has started, 200 for what had been started before. */
void
trigger_post(struct http_req *req)
{
	struct app *app = app_of(req);
	struct chat_ctx ctx = chat_ctx_of(req);
	struct trigger_message m = {
		.trigger_id = http_param_uuid(req, "id"),
		.id = http_header(req, "webhook-id"),
		.timestamp = http_header(req, "webhook-timestamp"),
		.signature = http_header(req, "webhook-signature"),
		.github_id = http_header(req, "x-github-delivery"),
		.github_signature = http_header(req, "x-hub-signature-256"),
		.peer = http_peer(req),
	};
	struct ambient_started started = { .replayed = false };
	struct error err = { 0 };
	enum as_status st;

	m.body = http_body(req, &m.len);
	st = trigger_fire(&ctx, app->seal, app->hook_rates, &m, &started, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, started.replayed ? 200 : 202,
		    fired_json(&started));
}
