/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/json.h"
#include "core/chat/chat.h"
#include "core/run/wire.h"

/* Threads and their messages, for those who own them. */

#define THREAD_COLUMNS \
	"id, user_id, agent_id, title, status, head_seq, active_run_id," \
	" created_at, updated_at, active_leaf"

static struct json_object *
thread_json(const struct rows *r, int row)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", rows_uuid(r, row, 0));
	jput_uuid(o, "user_id", rows_uuid(r, row, 1));
	jput_uuid(o, "agent_id", rows_uuid(r, row, 2));
	jput_str(o, "title", rows_text(r, row, 3));
	jput_str(o, "status", rows_text(r, row, 4));
	jput_int(o, "head_seq", rows_int(r, row, 5));
	if (rows_is_null(r, row, 6))
		jput_null(o, "active_run_id");
	else
		jput_uuid(o, "active_run_id", rows_uuid(r, row, 6));
	jput_time(o, "created_at", rows_int(r, row, 7));
	jput_time(o, "updated_at", rows_int(r, row, 8));
	if (rows_is_null(r, row, 9))
		jput_null(o, "active_leaf");
	else
		jput_uuid(o, "active_leaf", rows_uuid(r, row, 9));
	return o;
}

SQL(THREAD_LIST, "SELECT " THREAD_COLUMNS " FROM threads WHERE tenant_id = $1"
		 " AND user_id = $2 AND ($3 IS NULL OR agent_id = $3)"
		 " AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5");

SUSPENDS enum as_status
thread_list(const struct chat_ctx *ctx, struct uuid agent_id,
    struct row_page *page, struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), sql_uuid_or_null(agent_id),
		sql_uuid_or_null(page->after), SQL_INT(page->limit + 1) };
	struct rows *r = NULL;
	enum as_status st;

	st = store_query(ctx->store, &THREAD_LIST, args, 5, &r, err);
	if (st != AS_OK)
		return st;
	*items = row_page_json(r, page, thread_json);
	rows_free(r);
	return AS_OK;
}

SUSPENDS enum as_status
thread_create(const struct chat_ctx *ctx, struct uuid agent_id,
    const char *title, struct json_object **out, struct error *err)
{
	struct uuid id = engine_new_id(ctx->engine);
	struct agent *agent;
	enum as_status st;

	st = agent_get(ctx->store, &ctx->who, agent_id, ctx->arena, &agent,
	    err);
	if (st == AS_OK)
		st = run_store_thread_create(ctx->runs, id, ctx->who.tenant_id,
		    ctx->who.user_id, agent_id, title, err);
	return st == AS_OK ? thread_get(ctx, id, out, err) : st;
}

SQL(THREAD_GET,
    "SELECT " THREAD_COLUMNS " FROM threads WHERE id = $1 AND tenant_id = $2"
    " AND user_id = $3");

SUSPENDS enum as_status
thread_get(const struct chat_ctx *ctx, struct uuid id, struct json_object **out,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id) };
	struct rows *r = NULL;
	char text[UUID_TEXT];
	enum as_status st;

	st = store_query(ctx->store, &THREAD_GET, args, 3, &r, err);
	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(id, text);
		st = error_not_found(err, "thread", text);
	}
	if (st == AS_OK)
		*out = thread_json(r, 0);
	rows_free(r);
	return st;
}

/* ---- Messages ------------------------------------------------------ */

#define PAGE_CHARS (4 * 1024 * 1024) /* of content and parts */

#define MESSAGE_COLUMNS \
	"m.id, m.run_id, m.sequence, m.role, m.content, m.parts," \
	" m.tool_name, m.tool_call_id, m.state, m.client_message_id," \
	" m.parent_id, m.usage, m.created_at"
#define MESSAGES_OF \
	"SELECT " MESSAGE_COLUMNS " FROM messages m JOIN threads t" \
	" ON t.id = m.thread_id"
#define OF_THREAD \
	" WHERE m.thread_id = $1 AND t.tenant_id = $2 AND t.user_id = $3"

/*
 * At most $5, and no more than fill a page, but at least one.  Only what has a
 * place in the history.
 */
SQL(MESSAGE_PAGE, MESSAGES_OF OF_THREAD
    " AND m.ns = '' AND m.sequence < $4 AND m.sequence >="
    " (SELECT MIN(b.sequence) FROM (SELECT a.sequence, SUM(a.size) OVER"
    " (ORDER BY a.sequence DESC) - a.size AS before_it FROM (SELECT sequence,"
    " length(content) + length(parts) AS size FROM messages"
    " WHERE thread_id = $1 AND ns = '' AND sequence < $4 AND sequence > 0"
    " ORDER BY sequence DESC LIMIT $5)"
    " a) b WHERE b.before_it < $6) ORDER BY m.sequence DESC");

/* What waits behind all of them, in the order of its runs. */
SQL(MESSAGES_STAGED,
    MESSAGES_OF " JOIN runs r ON r.id = m.run_id" OF_THREAD
		" AND m.state = 'staged' AND r.thread_id = $1"
		" AND r.block_pos IS NOT NULL ORDER BY r.block_pos");

/* The same upwards from $7; what is not before $4 is only walked over. */
#define IS_BEFORE "CASE WHEN m.sequence < $4 THEN "

SQL(PATH_PAGE,
    "WITH RECURSIVE path (at, parent_id, n, total, size) AS (SELECT m.id,"
    " m.parent_id, " IS_BEFORE "1 ELSE 0 END, CAST(0 AS bigint),"
    " " IS_BEFORE "length(m.content) + length(m.parts) ELSE 0 END"
    " FROM messages m JOIN threads t ON t.id = m.thread_id WHERE m.id = $7"
    " AND m.thread_id = $1 AND t.tenant_id = $2 AND t.user_id = $3"
    " UNION ALL SELECT m.id, m.parent_id, path.n + " IS_BEFORE "1 ELSE 0 END,"
    " path.total + path.size, " IS_BEFORE "length(m.content) +"
    " length(m.parts) ELSE 0 END FROM path JOIN messages m"
    " ON m.id = path.parent_id WHERE path.n < $5 AND"
    " path.total + path.size < $6) SELECT " MESSAGE_COLUMNS " FROM path"
    " JOIN messages m ON m.id = path.at WHERE m.sequence < $4"
    " ORDER BY m.sequence DESC");

static struct json_object *
message_json(const struct rows *r, int i, struct uuid thread_id)
{
	struct run_message m = {
		.id = rows_uuid(r, i, 0),
		.sequence = rows_int(r, i, 2),
		.role = rows_text(r, i, 3),
		.content = rows_text(r, i, 4),
		.parts = rows_text(r, i, 5),
		.tool_name = rows_text(r, i, 6),
		.tool_call_id = rows_text(r, i, 7),
		.state = rows_text(r, i, 8),
		.client_message_id = rows_text(r, i, 9),
		.parent_id = rows_uuid(r, i, 10),
		.usage = rows_text(r, i, 11),
		.created_at = rows_int(r, i, 12),
	};
	struct buf b = { 0 };

	run_message_write(&b, NULL, &m, thread_id, rows_uuid(r, i, 1));
	return json_raw(buf_take(&b));
}

SUSPENDS enum as_status
thread_messages(const struct chat_ctx *ctx, struct uuid id, struct uuid leaf,
    int64_t before, int64_t limit, struct json_object **items, int64_t *next,
    struct error *err)
{
	bool all = uuid_is_nil(leaf);
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id),
		SQL_INT(before > 0 ? before : INT64_MAX), SQL_INT(limit),
		SQL_INT(PAGE_CHARS), SQL_UUID(leaf) };
	struct rows *r = NULL;
	enum as_status st;
	int n;

	st = store_query(ctx->store, all ? &MESSAGE_PAGE : &PATH_PAGE, args,
	    all ? 6 : 7, &r, err);
	if (st != AS_OK)
		return st;
	n = rows_count(r);
	/* The sequence has no gaps and begins with 1. */
	*next = n > 0 ? rows_int(r, n - 1, 2) : 0;
	if (*next == 1 || (!all && n > 0 && rows_is_null(r, n - 1, 10)))
		*next = 0;
	*items = jarr();
	for (int i = n - 1; i >= 0; i--)
		json_object_array_add(*items, message_json(r, i, id));
	rows_free(r);
	r = NULL;
	if (before <= 0)
		st = store_query(ctx->store, &MESSAGES_STAGED, args, 3, &r,
		    err);
	for (int i = 0; i < rows_count(r); i++)
		json_object_array_add(*items, message_json(r, i, id));
	rows_free(r);
	return st;
}
