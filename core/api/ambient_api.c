/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/chat/ambient.h"

/* /api/agents/{id}/ambient-test: one task for an agent, by hand. */

static enum as_status
run_at_read(struct json_object *body, int64_t *out, struct error *err)
{
	const char *text = jget_str(body, "run_at", NULL);

	*out = 0;
	if (text != NULL && !text_time_parse(text, out))
		return error_field(err, "run_at", "must be a time");
	return AS_OK;
}

/*
 * The header again: should the process die before the answer is kept under it,
 * the second request still finds the run.
 */
static const char *
dedup_of(struct http_req *req)
{
	const char *key = http_header(req, "idempotency-key");
	uint8_t sha[HASH_LEN];
	char hex[HASH_TEXT];
	const char *body;
	struct hash h;
	size_t len;

	if (key == NULL)
		return NULL;
	body = http_body(req, &len);
	hash_init(&h);
	hash_field_str(&h, key);
	hash_field(&h, body, len);
	hash_end(&h, sha);
	text_hex(hex, sha, HASH_LEN);
	return arena_printf(http_arena(req), "test:%s", hex);
}

static SUSPENDS enum as_status
answer_of(const struct chat_ctx *ctx, const struct ambient_started *started,
    struct json_object **out, struct error *err)
{
	struct json_object *run = NULL, *thread = NULL;
	enum as_status st = run_read(ctx, started->run_id, &run, err);

	if (st == AS_OK)
		st = thread_get(ctx, started->thread_id, &thread, err);
	if (st != AS_OK) {
		json_object_put(run);
		return st;
	}
	*out = jobj();
	jput(*out, "run", run);
	jput(*out, "thread", thread);
	return AS_OK;
}

static SUSPENDS enum as_status
start(struct http_req *req, const struct chat_ctx *ctx,
    struct ambient_started *out, struct error *err)
{
	char user[UUID_TEXT];
	struct ambient_task t = { .tenant_id = ctx->who.tenant_id,
		.user_id = ctx->who.user_id,
		.agent_id = http_param_uuid(req, "id"),
		.dedup = dedup_of(req) };
	struct json_object *body;
	struct agent *agent;
	enum as_status st = api_body(req, &body, err);

	if (st == AS_OK)
		st = run_at_read(body, &t.run_at, err);
	if (st == AS_OK)
		st = agent_get(ctx->store, &ctx->who, t.agent_id, ctx->arena,
		    &agent, err);
	if (st != AS_OK)
		return st;
	uuid_format(t.user_id, user);
	t.task = jget_str(body, "task", "");
	t.class = run_class_by_name(jget_str(body, "class", "standard"));
	t.origin = arena_printf(ctx->arena, "{\"kind\":\"user\",\"id\":\"%s\"}",
	    user);
	return ambient_start(ctx, &t, out, err);
}

void
agent_ambient_test(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct ambient_started started;
	struct json_object *answer = NULL;
	struct error err = { 0 };
	char id[UUID_TEXT];
	enum as_status st = start(req, &ctx, &started, &err);

	if (st == AS_OK)
		st = answer_of(&ctx, &started, &answer, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	uuid_format(started.run_id, id);
	http_set_header(req, "Location",
	    arena_printf(http_arena(req), "/api/runs/%s", id));
	http_reply_json(req, 202, answer);
}
