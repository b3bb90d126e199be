/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/hooks_api.h"
#include "core/base/json.h"
#include "core/hook/trigger_fire.h"

/* /api/agents/{id}/triggers, and /api/hooks/{id}, where messages come in. */

static struct hook_ctx
trigger_ctx_of(struct http_req *req)
{
	struct hook_ctx ctx = hook_ctx_of(req);

	ctx.agent_id = http_param_uuid(req, "id");
	ctx.id = http_param_uuid(req, "trigger_id");
	return ctx;
}

void
triggers_list(struct http_req *req)
{
	struct hook_ctx ctx = trigger_ctx_of(req);

	hook_answer_page(req, &ctx, trigger_list);
}

void
triggers_create(struct http_req *req)
{
	struct hook_ctx ctx = trigger_ctx_of(req);

	hook_answer(req, &ctx, 201, trigger_create);
}

void
trigger_read(struct http_req *req)
{
	struct hook_ctx ctx = trigger_ctx_of(req);

	hook_answer(req, &ctx, 200, trigger_get);
}

void
trigger_patch(struct http_req *req)
{
	struct hook_ctx ctx = trigger_ctx_of(req);

	hook_answer(req, &ctx, 200, trigger_change);
}

void
trigger_delete(struct http_req *req)
{
	struct hook_ctx ctx = trigger_ctx_of(req);

	hook_answer(req, &ctx, 204, trigger_remove);
}

void
trigger_new_secret(struct http_req *req)
{
	struct hook_ctx ctx = trigger_ctx_of(req);

	hook_answer(req, &ctx, 200, trigger_rotate);
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
