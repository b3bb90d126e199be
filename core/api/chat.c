/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/* /api/chat: threads, messages, and the stream that answers a message. */

struct chat_ctx
chat_ctx_of(struct http_req *req)
{
	struct app *app = app_of(req);
	const struct principal *who = api_who(req);
	struct chat_ctx ctx = {
		.store = app->store,
		.runs = app->runs,
		.plug = app->plug,
		.engine = app->engine,
		.bus = app->bus,
		.queue = app->queue,
		.arena = http_arena(req),
		.correlation_id = http_correlation_id(req),
		.traceparent = http_traceparent(req),
		.notify_cancel = cancel_notify_all,
		.notify_arg = app,
	};

	if (who != NULL)
		ctx.who = *who;
	return ctx;
}

struct chat_ctx
stream_ctx_of(struct app *app, const struct principal *who)
{
	struct chat_ctx ctx = { .store = app->store,
		.runs = app->runs,
		.plug = app->plug,
		.engine = app->engine,
		.bus = app->bus,
		.queue = app->queue,
		.who = *who,
		.notify_cancel = cancel_notify_all,
		.notify_arg = app };

	return ctx;
}

struct stream_config
stream_config_of(struct app *app, const struct principal *who)
{
	struct stream_config c = {
		.loop = app->loop,
		.store = app->store,
		.bus = app->bus,
		.live = app->live,
		.link = app->link,
		.poll = app->poll,
		.ctx = stream_ctx_of(app, who),
	};

	return c;
}

enum as_status
query_uuid(struct http_req *req, const char *name, struct uuid *out,
    struct error *err)
{
	const char *s = http_query(req, name);

	memset(out, 0, sizeof(*out));
	if (s != NULL && !uuid_parse(s, out))
		return error_field(err, name, "must be a UUID");
	return AS_OK;
}

/* The path's id; a template says that it is a UUID, so it is one. */
static struct uuid
path_id(struct http_req *req)
{
	return http_param_uuid(req, "id");
}

void
chat_sessions_list(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct page page;
	struct uuid agent;
	enum as_status st;

	st = page_read(req, &page, &err);
	if (st == AS_OK)
		st = query_uuid(req, "agent_id", &agent, &err);
	if (st == AS_OK)
		st = thread_list(&ctx, agent, &page.rows, &items, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, page_next(req, &page));
}

void
chat_sessions_create(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *body, *thread = NULL;
	struct error err = { 0 };
	struct uuid agent;
	enum as_status st;

	st = api_body(req, &body, &err);
	if (st == AS_OK && !jget_uuid(body, "agent_id", &agent))
		st = error_field(&err, "agent_id", "must be a UUID");
	if (st == AS_OK)
		st = thread_create(&ctx, agent, jget_str(body, "title", ""),
		    &thread, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		api_created(req, thread);
}

void
chat_session_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *thread = NULL, *items = NULL, *queue = NULL;
	const char *branch = http_query(req, "branch");
	struct error err = { 0 };
	struct uuid leaf = { 0 };
	struct page page;
	int64_t next = 0;
	enum as_status st;

	if (branch == NULL)
		branch = "active";
	st = page_read(req, &page, &err);
	if (st == AS_OK && strcmp(branch, "active") != 0 &&
	    strcmp(branch, "all") != 0)
		st = error_field(&err, "branch", "is active or all");
	if (st == AS_OK)
		st = thread_get(&ctx, path_id(req), &thread, &err);
	if (st == AS_OK && strcmp(branch, "active") == 0)
		(void)jget_uuid(thread, "active_leaf", &leaf);
	if (st == AS_OK)
		st = thread_messages(&ctx, path_id(req), leaf, page.after_int,
		    page.rows.limit, &items, &next, &err);
	if (st == AS_OK)
		st = run_queue(&ctx, path_id(req), &queue, &err);
	if (st != AS_OK) {
		json_object_put(queue);
		json_object_put(items);
		json_object_put(thread);
		api_fail(req, &err);
		return;
	}
	jput(thread, "messages", items);
	jput(thread, "queue", queue);
	jput_str(thread, "next_cursor",
	    next > 0 ? page_cursor_int(req, next) : NULL);
	http_reply_json(req, 200, thread);
}

/* The length counts U+0000 too, so that it is seen and refused. */
static enum as_status
send_body(struct http_req *req, struct chat_message *m,
    struct json_object **body, struct error *err)
{
	struct json_object *v;
	enum as_status st = api_body(req, body, err);

	if (st != AS_OK)
		return st;
	v = jget(*body, "content");
	m->content = json_object_get_string(v);
	m->len = (size_t)json_object_get_string_len(v);
	m->client_message_id = jget_str(*body, "client_message_id", NULL);
	m->multitask = run_multitask_by_name(
	    jget_str(*body, "multitask", NULL));
	return AS_OK;
}

static enum as_status
place_read(struct json_object *body, struct chat_place *place,
    struct error *err)
{
	bool after = json_object_object_get_ex(body, "parent_id", NULL);

	memset(place, 0, sizeof(*place));
	if (jget_uuid(body, "edit_of", &place->message_id)) {
		place->how = CHAT_EDIT;
		if (after)
			return error_field(err, "parent_id",
			    "is that of edit_of already");
	} else if (after) {
		place->how = CHAT_AFTER;
		(void)jget_uuid(body, "parent_id", &place->message_id);
	}
	return AS_OK;
}

void
chat_message_post(struct http_req *req)
{
	struct chat_place place;
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *body, *answer = NULL;
	struct error err = { 0 };
	struct chat_message m = { 0 };
	struct chat_sent sent;
	enum as_status st;

	st = send_body(req, &m, &body, &err);
	if (st == AS_OK)
		st = place_read(body, &place, &err);
	if (st == AS_OK)
		st = chat_send_at(&ctx, path_id(req), &m, &place, &sent, &err);
	if (st == AS_OK)
		st = chat_sent_json(&ctx, &sent, &answer, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 202, answer);
}

void
chat_interactive_stream(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct stream_config config;
	struct json_object *body;
	struct error err = { 0 };
	struct chat_message m = { 0 };
	struct chat_sent sent;
	struct uuid thread;
	enum as_status st;

	st = send_body(req, &m, &body, &err);
	if (st == AS_OK && !jget_uuid(body, "thread_id", &thread))
		st = error_field(&err, "thread_id", "must be a UUID");
	if (st == AS_OK)
		st = chat_send(&ctx, thread, &m, &sent, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	config = stream_config_of(app_of(req), &ctx.who);
	config.thread_id = thread;
	config.run_id = sent.run_id;
	config.after = sent.seq_before;
	config.until_parked = true; /* nothing comes by itself any more */
	events_stream(req, &config);
}

void
chat_session_events(struct http_req *req)
{
	events_serve(req, LOG_OF_THREAD, path_id(req), path_id(req));
}
