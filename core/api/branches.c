/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/base/json.h"
#include "core/chat/branch.h"

/* The branches of a thread: which there are, another one, a new one. */

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

void
chat_message_again(struct http_req *req)
{
	struct chat_place place = { .how = CHAT_AGAIN,
		.message_id = http_param_uuid(req, "mid") };
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *answer = NULL;
	struct error err = { 0 };
	struct chat_sent sent;
	enum as_status st = chat_send_at(&ctx, http_param_uuid(req, "id"), NULL,
	    0, NULL, &place, &sent, &err);

	if (st == AS_OK)
		st = chat_sent_json(&ctx, &sent, &answer, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 202, answer);
}
