/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/chat/chat.h"
#include "core/chat/queue.h"
#include "core/run/wire.h"

/* Runs as people and admins see them. */

#define RUN_COLUMNS \
	"id, thread_id, agent_id, kind, status, model, step, head_seq, error," \
	" correlation_id, created_by_user_id, checkpoint_ns, checkpoint_id," \
	" cancel_requested_at, usage, created_at, started_at, completed_at," \
	" class, multitask, CASE WHEN block_pos IS NOT NULL THEN" \
	" (SELECT count(*) FROM runs b WHERE b.thread_id = runs.thread_id" \
	" AND b.block_pos <= runs.block_pos) END," \
	" parent_run_id, root_run_id, pending_children, todos"

/*
 * Mine, or of my tenant if I am an admin; written so that the primary key is
 * asked and not an index that begins with the tenant.
 */
#define RUN_VISIBLE "COALESCE(tenant_id, $1) = $1 AND ($2 = 1 OR user_id = $3)"

static void
put_id_or_null(struct json_object *o, const char *key, struct uuid id)
{
	if (uuid_is_nil(id))
		jput_null(o, key);
	else
		jput_uuid(o, key, id);
}

static struct json_object *
run_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();
	struct run_usage usage;
	struct buf b = { 0 };

	jput_uuid(o, "id", rows_uuid(r, i, 0));
	jput_uuid(o, "thread_id", rows_uuid(r, i, 1));
	jput_uuid(o, "agent_id", rows_uuid(r, i, 2));
	jput_str(o, "kind", rows_text(r, i, 3));
	jput_str(o, "status", rows_text(r, i, 4));
	jput_str(o, "model", rows_text(r, i, 5));
	jput_int(o, "step", rows_int(r, i, 6));
	jput_int(o, "head_run_seq", rows_int(r, i, 7));
	if (rows_is_null(r, i, 8))
		jput_null(o, "error");
	else
		jput_json(o, "error", rows_text(r, i, 8));
	jput_str(o, "correlation_id", rows_text(r, i, 9));
	put_id_or_null(o, "created_by_user_id", rows_uuid(r, i, 10));
	jput_str(o, "checkpoint_ns", rows_text(r, i, 11));
	put_id_or_null(o, "checkpoint_id", rows_uuid(r, i, 12));
	jput_time(o, "cancel_requested_at", rows_int(r, i, 13));
	run_usage_parse(&usage, rows_text(r, i, 14));
	run_usage_write(&b, NULL, &usage);
	jput(o, "usage", json_raw(buf_take(&b)));
	jput_time(o, "created_at", rows_int(r, i, 15));
	jput_time(o, "started_at", rows_int(r, i, 16));
	jput_time(o, "completed_at", rows_int(r, i, 17));
	jput_str(o, "class", run_class_name((int)rows_int(r, i, 18)));
	jput_str(o, "multitask", rows_text(r, i, 19));
	if (rows_is_null(r, i, 20))
		jput_null(o, "position");
	else
		jput_int(o, "position", rows_int(r, i, 20));
	jput_null(o, "est_wait_ms");
	put_id_or_null(o, "parent_run_id", rows_uuid(r, i, 21));
	jput_uuid(o, "root_run_id", rows_uuid(r, i, 22));
	jput_int(o, "pending_subagents", rows_int(r, i, 23));
	if (rows_is_null(r, i, 24))
		jput(o, "todos", jarr());
	else
		jput_json(o, "todos", rows_text(r, i, 24));
	return o;
}

static int
is_admin(const struct chat_ctx *ctx)
{
	return ctx->who.role >= ROLE_ADMIN ? 1 : 0;
}

/*
 * One statement for each index.  SQLite would rather sort all runs of a tenant
 * than walk them by id; the plus keeps it from that.
 */
#define LIST_OF(whose) \
	"SELECT " RUN_COLUMNS " FROM runs WHERE " whose \
	" AND ($3 IS NULL OR agent_id = $3) AND ($4 IS NULL OR status = $4)" \
	" AND id < $5 ORDER BY id DESC LIMIT $6"

SQL_BOTH(LIST_TENANT, LIST_OF("+tenant_id = $1 AND $2 IS NOT NULL"),
    LIST_OF("tenant_id = $1 AND $2 IS NOT NULL"));
SQL(LIST_MINE, LIST_OF("tenant_id = $1 AND user_id = $2"));
SQL_BOTH(LIST_THREAD,
    LIST_OF("+tenant_id = $1 AND ($7 = 1 OR +user_id = $2) AND thread_id = $8"),
    LIST_OF("tenant_id = $1 AND ($7 = 1 OR user_id = $2) AND thread_id = $8"));

static SUSPENDS enum as_status
list_rows(const struct chat_ctx *ctx, const struct run_filter *filter,
    const struct row_page *page, struct rows **r, struct error *err)
{
	static const struct uuid last = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), sql_uuid_or_null(filter->agent_id),
		SQL_TEXT(filter->status != 0 ? run_status_name(filter->status)
					     : NULL),
		SQL_UUID(uuid_is_nil(page->after) ? last : page->after),
		SQL_INT(page->limit + 1), SQL_INT(is_admin(ctx)),
		SQL_UUID(filter->thread_id) };

	if (!uuid_is_nil(filter->thread_id))
		return store_query(ctx->store, &LIST_THREAD, args, 8, r, err);
	return store_query(ctx->store,
	    is_admin(ctx) ? &LIST_TENANT : &LIST_MINE, args, 6, r, err);
}

SUSPENDS enum as_status
run_list(const struct chat_ctx *ctx, const struct run_filter *filter,
    struct row_page *page, struct json_object **items, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st;

	st = list_rows(ctx, filter, page, &r, err);
	if (st != AS_OK)
		return st;
	*items = row_page_json(r, page, run_json);
	rows_free(r);
	return AS_OK;
}

SQL(RUN_GET, "SELECT " RUN_COLUMNS " FROM runs WHERE id = $4 AND " RUN_VISIBLE);

static SUSPENDS enum as_status
run_row(const struct chat_ctx *ctx, struct uuid id, struct rows **r,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_INT(is_admin(ctx)), SQL_UUID(ctx->who.user_id),
		SQL_UUID(id) };
	char text[UUID_TEXT];
	enum as_status st;

	st = store_query(ctx->store, &RUN_GET, args, 4, r, err);
	if (st == AS_OK && rows_count(*r) == 0) {
		uuid_format(id, text);
		st = error_not_found(err, "run", text);
	}
	return st;
}

/* Of a run that is asked for by itself, since it takes a look of its own. */
static SUSPENDS void
place_put(const struct chat_ctx *ctx, struct uuid id, struct json_object *o)
{
	struct queue_place p;

	queue_place(ctx->queue, id, &p);
	if (!p.waits)
		return;
	jput_int(o, "position", p.position);
	if (p.est_wait_ms >= 0)
		jput_int(o, "est_wait_ms", p.est_wait_ms);
}

SUSPENDS enum as_status
run_read(const struct chat_ctx *ctx, struct uuid id, struct json_object **out,
    struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = run_row(ctx, id, &r, err);

	if (st == AS_OK)
		*out = run_json(r, 0);
	if (st == AS_OK &&
	    strcmp(rows_text(r, 0, 4), run_status_name(RUN_QUEUED)) == 0)
		place_put(ctx, id, *out);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
run_find(const struct chat_ctx *ctx, struct uuid id, struct uuid *thread_id,
    enum run_status *status, int64_t *head, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = run_row(ctx, id, &r, err);

	if (st == AS_OK) {
		*thread_id = rows_uuid(r, 0, 1);
		*status = run_status_by_name(rows_text(r, 0, 4));
		*head = rows_int(r, 0, 7);
	}
	rows_free(r);
	return st;
}

SQL(RUN_QUEUE, "SELECT " RUN_COLUMNS " FROM runs WHERE thread_id = $1"
	       " AND block_pos IS NOT NULL AND tenant_id = $2 AND user_id = $3"
	       " ORDER BY block_pos");

SUSPENDS enum as_status
run_queue(const struct chat_ctx *ctx, struct uuid thread_id,
    struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &RUN_QUEUE, args, 3, &r,
	    err);

	*items = jarr();
	for (int i = 0; i < rows_count(r); i++)
		json_object_array_add(*items, run_json(r, i));
	rows_free(r);
	return st;
}

/* ---- Cancel -------------------------------------------------------- */

SUSPENDS enum as_status
chat_cancel_as(const struct chat_ctx *ctx, struct uuid run_id, bool rollback,
    const struct engine_resume *how, struct error *err)
{
	bool asked = false;
	enum as_status st = engine_cancel(ctx->engine, run_id, rollback, how,
	    &asked, err);

	if (asked)
		ctx->notify_cancel(ctx->notify_arg, run_id);
	return st;
}

SUSPENDS enum as_status
chat_cancel(const struct chat_ctx *ctx, struct uuid id, bool rollback,
    const char *reason, struct error *err)
{
	struct engine_resume how = { .reason = reason,
		.items_close = "dismissed" };
	struct uuid thread;
	enum run_status status;
	int64_t head;
	enum as_status st = run_find(ctx, id, &thread, &status, &head, err);

	return st == AS_OK ? chat_cancel_as(ctx, id, rollback, &how, err) : st;
}

/* Those that wait come first, or the end of the others would start them. */
SQL(OPEN_OF_AGENT,
    "SELECT id, block_pos FROM runs WHERE block_pos IS NOT NULL AND thread_id"
    " IN (SELECT id FROM threads WHERE agent_id = $2 AND tenant_id = $1)"
    " UNION ALL SELECT active_run_id, NULL FROM threads WHERE agent_id = $2"
    " AND tenant_id = $1 AND active_run_id IS NOT NULL");

SUSPENDS enum as_status
chat_cancel_agent(const struct chat_ctx *ctx, struct uuid agent_id,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(agent_id) };
	struct chat_ctx as_admin = *ctx;
	struct rows *r = NULL;
	enum as_status st;

	/* Of other people's threads too: the agent is gone for everybody. */
	as_admin.who.role = ROLE_ADMIN;
	st = store_query(ctx->store, &OPEN_OF_AGENT, args, 2, &r, err);
	for (int turn = 0; turn < 2; turn++)
		for (int i = 0; st == AS_OK && i < rows_count(r); i++)
			if (rows_is_null(r, i, 1) == (turn == 1))
				st = chat_cancel(&as_admin, rows_uuid(r, i, 0),
				    false, "agent_deleted", err);
	rows_free(r);
	return st;
}
