/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/bells.h"
#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/api/page.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/bus/bus_redis.h"

/* /api/runs: look at runs, follow them, end them. */

static enum as_status
filter_read(struct http_req *req, struct run_filter *f, struct error *err)
{
	const char *status = http_query(req, "status");
	enum as_status st = query_uuid(req, "thread_id", &f->thread_id, err);

	if (st == AS_OK)
		st = query_uuid(req, "agent_id", &f->agent_id, err);
	if (st == AS_OK && status != NULL &&
	    (f->status = run_status_by_name(status)) == 0)
		st = error_field(err, "status", "is not a run's status");
	return st;
}

void
runs_list(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *items = NULL;
	struct run_filter filter = { 0 };
	struct error err = { 0 };
	struct page page;
	enum as_status st;

	st = page_read(req, &page, &err);
	if (st == AS_OK)
		st = filter_read(req, &filter, &err);
	if (st == AS_OK)
		st = run_list(&ctx, &filter, &page.rows, &items, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		page_reply(req, items, page_next(req, &page));
}

void
run_get(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *run = NULL;
	struct error err = { 0 };

	if (run_read(&ctx, http_param_uuid(req, "id"), &run, &err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, run);
}

void
run_events(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct uuid id = http_param_uuid(req, "id"), thread;
	struct error err = { 0 };
	enum run_status status;
	int64_t head;

	if (run_find(&ctx, id, &thread, &status, &head, &err) != AS_OK)
		api_refuse(req, &err);
	else
		events_serve(req, LOG_OF_RUN, id, thread);
}

/* ---- Cancel -------------------------------------------------------- */

struct cancel_msg {
	struct loop_msg msg;
	struct app *app; /* its engine is that loop's to look at */
	struct uuid run_id;
};

static void
on_cancel_msg(struct loop_msg *m)
{
	struct cancel_msg *c = container_of(m, struct cancel_msg, msg);

	if (c->app->engine != NULL)
		engine_notify_cancel(c->app->engine, c->run_id);
	free(c);
}

void
cancel_notify_all(void *arg, struct uuid run_id)
{
	struct app *app = arg;
	struct bus_msg m = { .topic = bell_cancel_topic, .run_id = run_id };

	cancel_notify_here(app, run_id);
	if (app->redis != NULL)
		bus_redis_tell(app->redis, &m);
}

void
cancel_notify_here(struct app *app, struct uuid run_id)
{

	for (struct app *const *a = app->all; *a != NULL; a++) {
		struct cancel_msg *c;

		if (*a == app) {
			engine_notify_cancel(app->engine, run_id);
			continue;
		}
		c = xcalloc(1, sizeof(*c));
		c->msg.fn = on_cancel_msg;
		c->app = *a;
		c->run_id = run_id;
		loop_post((*a)->loop, &c->msg);
	}
}

void
run_cancel(struct http_req *req)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct uuid id = http_param_uuid(req, "id");
	struct json_object *body = NULL, *run = NULL;
	struct error err = { 0 };
	bool rollback;
	enum as_status st;

	st = api_body(req, &body, &err);
	rollback = strcmp(jget_str(body, "action", "interrupt"), "rollback") ==
		   0;
	if (st == AS_OK)
		st = chat_cancel(&ctx, id, rollback,
		    jget_str(body, "reason", NULL), &err);
	if (st == AS_OK)
		st = run_read(&ctx, id, &run, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 202, run);
}
