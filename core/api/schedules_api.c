/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/sched/sched.h"

/* Schedules over HTTP.  The version is the entity tag, as with agents. */

struct schedule_req {
	struct chat_ctx chat;
	struct schedule_ctx ctx;
	struct uuid agent_id, id;
};

/* In the request's arena: the contexts point at one another. */
static struct schedule_req *
schedule_req_of(struct http_req *req)
{
	struct schedule_req *q = arena_alloc(http_arena(req), sizeof(*q));

	q->chat = chat_ctx_of(req);
	q->ctx.chat = &q->chat;
	q->ctx.zoneinfo = app_of(req)->settings->schedules.zoneinfo;
	q->agent_id = http_param_uuid(req, "id");
	return q;
}

static struct schedule_req *
schedule_req_one(struct http_req *req)
{
	struct schedule_req *q = schedule_req_of(req);

	q->id = http_param_uuid(req, "sid");
	return q;
}

static void
schedule_reply(struct http_req *req, int status, const struct schedule_req *q,
    const struct schedule *s)
{
	struct json_object *o = schedule_json(&q->ctx, s);

	http_set_header(req, "ETag",
	    arena_printf(http_arena(req), "\"%lld\"", (long long)s->version));
	if (status == 201)
		api_created(req, o);
	else
		http_reply_json(req, status, o);
}

void
schedules_list(struct http_req *req)
{
	struct schedule_req *q = schedule_req_of(req);
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct page page;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = schedule_list(&q->ctx, q->agent_id, &page.rows, &items,
		    &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, page_next(req, &page));
}

void
schedules_create(struct http_req *req)
{
	struct schedule_req *q = schedule_req_of(req);
	struct json_object *body;
	struct error err = { 0 };
	struct schedule s;
	enum as_status st = api_body(req, &body, &err);

	if (st == AS_OK)
		st = schedule_create(&q->ctx, q->agent_id, body, &s, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	sched_wake(app_of(req)->sched);
	schedule_reply(req, 201, q, &s);
}

void
schedule_read(struct http_req *req)
{
	struct schedule_req *q = schedule_req_one(req);
	struct error err = { 0 };
	struct schedule s;

	if (schedule_get(&q->ctx, q->agent_id, q->id, &s, &err) != AS_OK)
		api_fail(req, &err);
	else
		schedule_reply(req, 200, q, &s);
}

static SUSPENDS void
do_change(struct http_req *req, enum schedule_change how)
{
	struct schedule_req *q = schedule_req_one(req);
	struct json_object *body = NULL;
	struct error err = { 0 };
	struct schedule s;
	int64_t version;
	enum as_status st = api_if_match(req, &version, &err);

	if (st == AS_OK && how <= SCHEDULE_MERGE)
		st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = schedule_change(&q->ctx, q->agent_id, q->id, how, body,
		    version, &s, &err);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	sched_wake(app_of(req)->sched);
	if (how == SCHEDULE_DELETE)
		http_reply_json(req, 204, NULL);
	else
		schedule_reply(req, 200, q, &s);
}

void
schedule_replace(struct http_req *req)
{
	do_change(req, SCHEDULE_REPLACE);
}

void
schedule_patch(struct http_req *req)
{
	do_change(req, SCHEDULE_MERGE);
}

void
schedule_remove(struct http_req *req)
{
	do_change(req, SCHEDULE_DELETE);
}

void
schedule_pause(struct http_req *req)
{
	do_change(req, SCHEDULE_PAUSE);
}

void
schedule_resume(struct http_req *req)
{
	do_change(req, SCHEDULE_RESUME);
}

void
schedule_history(struct http_req *req)
{
	struct schedule_req *q = schedule_req_one(req);
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct page page;
	int64_t next = 0;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = schedule_runs(&q->ctx, q->agent_id, q->id, page.after_int,
		    page.rows.limit, &items, &next, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items,
		    next > 0 ? page_cursor_int(req, next) : NULL);
}
