/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/inbox/feed.h"

/* /api/inbox: what agents ask and tell. */

static enum as_status
assignee_read(struct http_req *req, struct inbox_filter *f, struct error *err)
{
	const char *who = http_query(req, "assignee");

	if (who == NULL)
		return AS_OK;
	if (strcmp(who, "me") == 0)
		f->assignee = api_who(req)->user_id;
	else if (strcmp(who, "none") == 0)
		f->unassigned = true;
	else if (!uuid_parse(who, &f->assignee))
		return error_field(err, "assignee",
		    "must be me, none or a UUID");
	return AS_OK;
}

static enum as_status
filter_read(struct http_req *req, struct inbox_filter *f, struct error *err)
{
	const char *unread = http_query(req, "unread");
	enum as_status st = query_uuid(req, "agent_id", &f->agent_id, err);

	f->status = http_query(req, "status");
	f->kind = http_query(req, "kind");
	f->unread = unread != NULL && strcmp(unread, "true") == 0;
	if (st == AS_OK)
		st = query_uuid(req, "thread_id", &f->thread_id, err);
	if (st == AS_OK)
		st = query_uuid(req, "run_id", &f->run_id, err);
	return st == AS_OK ? assignee_read(req, f, err) : st;
}

void
inbox_items_list(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *items = NULL, *answer;
	struct inbox_filter filter = { 0 };
	struct inbox_counts counts = { 0 };
	struct chat_page list = { 0 };
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = filter_read(req, &filter, &err);
	if (st == AS_OK) {
		list.limit = page.limit;
		list.after = page.after;
		st = inbox_list(&ctx, &filter, &list, &items, &err);
	}
	if (st == AS_OK)
		st = inbox_count(&ctx, &counts, &err);
	if (st != AS_OK) {
		json_object_put(items);
		api_fail(req, &err);
		return;
	}
	answer = page_json(items,
	    list.more ? page_cursor(req, list.last) : NULL);
	jput(answer, "counts", inbox_counts_json(&counts));
	http_reply_json(req, 200, answer);
}

static SUSPENDS void
item_reply(struct http_req *req, const struct chat_ctx *ctx)
{
	struct json_object *item = NULL;
	struct error err = { 0 };

	if (inbox_get(ctx, http_param_uuid(req, "id"), &item, &err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, item);
}

void
inbox_item_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);

	item_reply(req, &ctx);
}

void
inbox_item_read(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct error err = { 0 };

	if (inbox_mark_read(&ctx, http_param_uuid(req, "id"), &err) != AS_OK)
		api_fail(req, &err);
	else
		item_reply(req, &ctx);
}

void
inbox_item_assign(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct uuid assignee = { { 0 } };
	struct json_object *body = NULL, *item = NULL;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	(void)jget_uuid(body, "assignee", &assignee); /* null: nobody */
	if (st == AS_OK)
		st = inbox_assign(&ctx, http_param_uuid(req, "id"), assignee,
		    &item, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, item);
}

/* ---- The live stream ----------------------------------------------- */

static void *
feed_open(const void *config, const struct stream_ops *ops, void *arg)
{
	return inbox_feed_open(config, ops, arg);
}

static void
feed_drained(void *of)
{
	inbox_feed_drained(of);
}

static void
feed_close(void *of)
{
	inbox_feed_close(of);
}

static SUSPENDS void
feed_page(struct http_req *req, const struct inbox_feed_config *config)
{
	struct json_object *frames = NULL, *answer;
	struct inbox_counts counts = { 0 };
	struct error err = { 0 };
	int64_t limit, wait, head = 0;
	uint64_t until;
	enum as_status st = events_query(req, &limit, &wait, &until, &err);

	if (st == AS_OK)
		st = inbox_feed_page(config, limit, until, &frames, &counts,
		    &head, &err);
	if (st != AS_OK) {
		json_object_put(frames);
		api_fail(req, &err);
		return;
	}
	answer = jobj();
	jput(answer, "items", frames);
	jput_int(answer, "head", head);
	jput(answer, "counts", inbox_counts_json(&counts));
	http_reply_json(req, 200, answer);
}

void
inbox_events(struct http_req *req)
{
	static const struct feed_ops ops = { .open = feed_open,
		.drained = feed_drained,
		.close = feed_close };
	struct app *app = app_of(req);
	struct inbox_feed_config config = { .loop = app->loop,
		.watch = app->inbox,
		.ctx = stream_ctx_of(app, api_who(req)) };
	struct error err = { 0 };

	if (events_cursor(req, -1, &config.after, &err) != AS_OK)
		api_fail(req, &err);
	else if (http_accepts(req, "text/event-stream"))
		events_feed(req, &ops, &config);
	else
		feed_page(req, &config);
}
