/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/auth/auth.h"
#include "core/base/json.h"
#include "core/inbox/feed.h"
#include "core/inbox/respond.h"

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
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = filter_read(req, &filter, &err);
	if (st == AS_OK)
		st = inbox_list(&ctx, &filter, &page.rows, &items, &err);
	if (st == AS_OK)
		st = inbox_count(&ctx, &counts, &err);
	if (st != AS_OK) {
		json_object_put(items);
		api_fail(req, &err);
		return;
	}
	answer = page_json(items, page_next(req, &page));
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

/* ---- Answers ------------------------------------------------------- */

void
inbox_item_respond(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct inbox_reply reply = { .item_id = http_param_uuid(req, "id") };
	struct error err = { 0 };
	enum as_status st = api_body(req, &reply.body, &err);

	if (st == AS_OK) {
		inbox_respond(&ctx, app_of(req)->world, &reply, 1);
		st = reply.st;
		error_move(&err, &reply.err);
	}
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, json_object_get(reply.item));
	inbox_reply_clear(&reply);
}

/* The list of answers as replies; one item must not be there twice. */
static enum as_status
replies_read(struct http_req *req, struct inbox_reply **out, int *n,
    struct error *err)
{
	struct json_object *body = NULL, *list;
	struct inbox_reply *r;
	char field[64];
	enum as_status st = api_body(req, &body, err);

	list = jget(body, "answers");
	*n = (int)json_object_array_length(list);
	*out = r = arena_alloc(http_arena(req), (size_t)*n * sizeof(*r));
	for (int i = 0; i < *n; i++) {
		r[i] = (struct inbox_reply){
			.body = json_object_array_get_idx(list, (size_t)i)
		};
		jget_uuid(r[i].body, "item_id", &r[i].item_id);
		for (int k = 0; k < i; k++) {
			if (!uuid_equal(r[i].item_id, r[k].item_id))
				continue;
			snprintf(field, sizeof(field), "/answers/%d/item_id",
			    i);
			st = error_field(err, field, "is there twice");
		}
	}
	return st;
}

static struct json_object *
reply_json(struct http_req *req, const struct inbox_reply *r)
{
	struct json_object *o = jobj();

	jput_uuid(o, "item_id", r->item_id);
	jput_int(o, "status", r->st == AS_OK ? 200 : error_http(r->err.code));
	jput(o, "item", json_object_get(r->item));
	jput(o, "error",
	    r->st == AS_OK ? NULL
			   : error_body(&r->err, http_path(req),
				 http_correlation_id(req)));
	return o;
}

void
inbox_respond_many(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *answer, *results;
	struct inbox_reply *replies;
	struct error err = { 0 };
	int n;

	if (replies_read(req, &replies, &n, &err) != AS_OK) {
		api_fail(req, &err);
		return;
	}
	inbox_respond(&ctx, app_of(req)->world, replies, n);
	results = jarr();
	for (int i = 0; i < n; i++) {
		json_object_array_add(results, reply_json(req, &replies[i]));
		inbox_reply_clear(&replies[i]);
	}
	answer = jobj();
	jput(answer, "results", results);
	http_reply_json(req, 200, answer);
}

void
run_respond(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *body = NULL, *items = NULL, *answer;
	struct error err = { 0 };
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = inbox_respond_run(&ctx, app_of(req)->world,
		    http_param_uuid(req, "id"), body, &items, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	answer = jobj();
	jput(answer, "items", items);
	http_reply_json(req, 200, answer);
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

/* Whoever has waited may have lost the right to hear of it. */
static SUSPENDS enum as_status
still_may(struct http_req *req, struct error *err)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	enum role role = ctx.who.role;
	enum as_status st = auth_again(ctx.store, &ctx.who, err);

	if (st == AS_OK && ctx.who.role != role)
		st = error_set(err, ERR_FORBIDDEN, "your role has changed");
	return st;
}

static SUSPENDS void
feed_page(struct http_req *req, const struct inbox_feed_config *config)
{
	struct json_object *frames = NULL, *answer;
	struct inbox_counts counts = { 0 };
	struct error err = { 0 };
	int64_t limit, wait, head = 0;
	bool start_over = false;
	uint64_t until;
	enum as_status st = events_query(req, &limit, &wait, &until, &err);

	if (st == AS_OK)
		st = inbox_feed_page(config, limit, until, &frames, &counts,
		    &head, &start_over, &err);
	if (st == AS_OK && wait > 0)
		st = still_may(req, &err);
	if (st != AS_OK) {
		json_object_put(frames);
		api_fail(req, &err);
		return;
	}
	answer = jobj();
	jput(answer, "items", frames);
	jput_int(answer, "head", head);
	jput(answer, "counts", inbox_counts_json(&counts));
	jput_bool(answer, "start_over", start_over);
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
		.access = app->access,
		.ctx = stream_ctx_of(app, api_who(req)),
		.ending = &app->draining };
	struct error err = { 0 };

	if (events_cursor(req, -1, &config.after, &err) != AS_OK)
		api_refuse(req, &err);
	else if (!http_accepts(req, "text/event-stream"))
		feed_page(req, &config);
	else if (events_room(req, &err) != AS_OK)
		api_refuse(req, &err);
	else
		events_feed(req, &ops, &config);
}
