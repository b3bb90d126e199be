/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/text.h"

/*
 * Agents over HTTP.  The version is the entity tag.  An agent is text all the
 * way from its row to the answer.
 */

static void
agent_reply(struct http_req *req, int status, const struct agent *a)
{
	struct arena *arena = http_arena(req);
	char id[UUID_TEXT];
	struct buf b = { 0 };

	agent_encode(&b, a);
	http_set_header(req, "ETag",
	    arena_printf(arena, "\"%lld\"", (long long)a->version));
	if (status == 201) {
		uuid_format(a->id, id);
		http_set_header(req, "Location", api_location(req, id));
	}
	http_reply(req, status, "application/json", b.data, b.len);
	buf_free(&b);
}

void
agents_list(struct http_req *req)
{
	const char *with_public = http_query(req, "public");
	struct agent_query query = { 0 };
	struct error err = { 0 };
	struct agent *list = NULL;
	struct buf b = { 0 };
	struct page page;
	enum as_status st;
	size_t n = 0, i;

	st = page_read(req, &page, &err);
	query.with_public = with_public != NULL &&
			    strcmp(with_public, "true") == 0;
	query.limit = page.rows.limit + 1;
	query.before = page.rows.after;
	if (st == AS_OK)
		st = agent_list(app_of(req)->store, api_who(req), &query,
		    http_arena(req), &list, &n, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	buf_add_str(&b, "{\"items\":[");
	for (i = 0; i < n && i < (size_t)page.rows.limit; i++) {
		if (i > 0)
			buf_add_char(&b, ',');
		agent_encode(&b, &list[i]);
	}
	buf_add_str(&b, "],\"next_cursor\":");
	if (n > i)
		buf_printf(&b, "\"%s\"}", page_cursor(req, list[i - 1].id));
	else
		buf_add_str(&b, "null}");
	http_reply(req, 200, "application/json", b.data, b.len);
	buf_free(&b);
}

void
agents_create(struct http_req *req)
{
	struct app *app = app_of(req);
	struct error err = { 0 };
	struct json_object *body;
	struct agent *a = NULL;
	enum as_status st;

	st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = agent_create(app->store, app->plug, api_who(req), body,
		    http_arena(req), &a, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		agent_reply(req, 201, a);
}

void
agent_read(struct http_req *req)
{
	struct error err = { 0 };
	struct agent *a = NULL;

	if (agent_show(app_of(req)->store, api_who(req),
		http_param_uuid(req, "id"), http_arena(req), &a, &err) != AS_OK)
		api_fail(req, &err);
	else
		agent_reply(req, 200, a);
}

static SUSPENDS void
agent_do_update(struct http_req *req, enum agent_change how)
{
	struct app *app = app_of(req);
	struct error err = { 0 };
	struct json_object *body;
	struct agent *a = NULL;
	int64_t version;
	enum as_status st;

	st = api_if_match(req, &version, &err);
	if (st == AS_OK)
		st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = agent_update(app->store, app->plug, api_who(req),
		    http_param_uuid(req, "id"), how, body, version,
		    http_arena(req), &a, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		agent_reply(req, 200, a);
}

void
agent_replace(struct http_req *req)
{
	agent_do_update(req, AGENT_REPLACE);
}

void
agent_change(struct http_req *req)
{
	agent_do_update(req, AGENT_MERGE);
}

/* The agent is gone already: a run that goes on is no reason to say no. */
static SUSPENDS void
agent_stop_runs(struct http_req *req, struct uuid id)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct error err = { 0 };

	if (chat_cancel_agent(&ctx, id, &err) != AS_OK)
		log_warn("api", "runs of a deleted agent go on: %s",
		    err.detail);
	error_clear(&err);
}

void
agent_remove(struct http_req *req)
{
	struct uuid id = http_param_uuid(req, "id");
	struct error err = { 0 };
	int64_t version;
	enum as_status st;

	st = api_if_match(req, &version, &err);
	if (st == AS_OK)
		st = agent_delete(app_of(req)->store, api_who(req), id, version,
		    &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	agent_stop_runs(req, id);
	http_reply_json(req, 204, NULL);
}
