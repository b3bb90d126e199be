/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/chat/branch.h"
#include "core/chat/checkpoint.h"
#include "core/chat/fork.h"

/*
 * The branches of a thread: which there are, another one, a new one; its
 * checkpoints, and a run from one of them.
 */

void
chat_branches_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *out = NULL;
	struct error err = { 0 };

	if (branch_list(&ctx, http_param_uuid(req, "id"), &out, &err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, out);
}

void
chat_leaf_put(struct http_req *req)
{
	struct uuid id = http_param_uuid(req, "id"), message;
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *body, *thread = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK && !jget_uuid(body, "message_id", &message))
		st = error_field(&err, "message_id", "must be a UUID");
	if (st == AS_OK)
		st = branch_switch(&ctx, id, message, &err);
	if (st == AS_OK)
		st = thread_get(&ctx, id, &thread, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, thread);
}

/* What is repeated under one key is one run, also after a crash. */
static const char *
repeat_key(struct http_req *req, struct uuid of)
{
	const char *key = http_header(req, "Idempotency-Key");
	char id[UUID_TEXT];

	if (key == NULL)
		return NULL;
	uuid_format(of, id);
	return arena_printf(http_arena(req), "branch %s %s", id, key);
}

void
chat_message_again(struct http_req *req)
{
	struct chat_place place = { .how = CHAT_AGAIN,
		.message_id = http_param_uuid(req, "mid"),
		.dedup = repeat_key(req, http_param_uuid(req, "mid")) };
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *answer = NULL;
	struct error err = { 0 };
	struct chat_sent sent;
	enum as_status st = chat_send_at(&ctx, http_param_uuid(req, "id"),
	    &(struct chat_message){ .content = NULL }, &place, &sent, &err);

	if (st == AS_OK)
		st = chat_sent_json(&ctx, &sent, &answer, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 202, answer);
}

/* ---- Checkpoints --------------------------------------------------- */

void
chat_history_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	const char *ns = http_query(req, "ns");
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = checkpoint_list(&ctx, http_param_uuid(req, "id"),
		    ns != NULL ? ns : "", &page.rows, &items, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, page_next(req, &page));
}

static enum as_status
fork_read(struct json_object *body, struct fork_request *how, struct error *err)
{
	struct json_object *patch = jget(body, "patch");
	bool replays, has_more;

	memset(how, 0, sizeof(*how));
	how->mode = jget_str(body, "mode", "");
	how->content = jget_str(body, "content", NULL);
	how->make_head = jget_bool(body, "make_head", false);
	how->grant = jget(body, "grant");
	if (patch != NULL) {
		(void)jget_uuid(patch, "message_id", &how->patch_id);
		how->patch = jget_str(patch, "content", "");
	}
	replays = strcmp(how->mode, "replay") == 0;
	has_more = patch != NULL || how->content != NULL || how->make_head;
	if (replays && has_more)
		return error_field(err, "mode", "replay changes nothing");
	if (how->grant != NULL && strcmp(how->mode, "what_if") != 0)
		return error_field(err, "grant", "is for what_if");
	return AS_OK;
}

static SUSPENDS void
fork_replayed(struct http_req *req, const struct chat_ctx *ctx,
    struct uuid checkpoint)
{
	struct json_object *out = NULL;
	struct error err = { 0 };

	if (fork_replay(ctx, app_of(req)->loop, http_param_uuid(req, "id"),
		checkpoint, &out, &err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, out);
}

void
chat_history_fork(struct http_req *req)
{
	struct uuid checkpoint = http_param_uuid(req, "cid");
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *body, *run = NULL, *out;
	struct error err = { 0 };
	struct fork_request how;
	struct chat_sent sent;
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = fork_read(body, &how, &err);
	if (st == AS_OK && strcmp(how.mode, "replay") == 0) {
		fork_replayed(req, &ctx, checkpoint);
		return;
	}
	how.dedup = repeat_key(req, checkpoint);
	if (st == AS_OK)
		st = fork_run(&ctx, http_param_uuid(req, "id"), checkpoint,
		    &how, &sent, &err);
	if (st == AS_OK)
		st = run_read(&ctx, sent.run_id, &run, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	out = jobj();
	jput_str(out, "mode", how.mode);
	jput(out, "run", run);
	jput_uuid(out, "checkpoint_id", sent.run_id);
	http_reply_json(req, 200, out);
}
