/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/base/json.h"

/*
 * Tickets for WebSockets of pages that have no cookie here.  Only a page that
 * may open one is given any, whatever its credential.
 */

/* The thread that it is for, if the body names one, must be theirs. */
static SUSPENDS enum as_status
ticket_thread(struct http_req *req, struct json_object *body,
    struct uuid *thread_id, struct error *err)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	int64_t head;

	*thread_id = (struct uuid){ { 0 } };
	if (jget_str(body, "thread_id", NULL) == NULL)
		return AS_OK;
	if (!jget_uuid(body, "thread_id", thread_id))
		return error_field(err, "thread_id", "must be a UUID");
	return log_head(&ctx, LOG_OF_THREAD, *thread_id, &head, err);
}

void
ws_ticket_post(struct http_req *req)
{
	struct auth_ctx ctx = api_auth_ctx(req);
	struct json_object *body = NULL, *o;
	const char *ticket = NULL;
	struct error err = { 0 };
	struct uuid thread_id;
	enum as_status st;

	if (!http_origin_allowed(req))
		st = error_set(&err, ERR_ORIGIN_FORBIDDEN,
		    "this origin may not open a WebSocket");
	else
		st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = ticket_thread(req, body, &thread_id, &err);
	if (st == AS_OK)
		st = auth_ticket_new(&ctx, api_who(req), thread_id,
		    http_header(req, "origin"), &ticket, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	o = jobj();
	jput_str(o, "ticket", ticket);
	jput_int(o, "expires_in", AUTH_TICKET_MS / 1000);
	http_set_header(req, "Cache-Control", "no-store");
	http_reply_json(req, 201, o);
}
