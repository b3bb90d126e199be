/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/inbox.h"

#include <string.h>

#include "core/base/json.h"
#include "core/chat/item.h"
#include "core/inbox/internal.h"
#include "core/run/item_bell.h"

/* Reading and sorting; answers are in respond.c. */

bool
inbox_is_note(const char *kind)
{
	return strcmp(kind, "notification") == 0 || strcmp(kind, "report") == 0;
}

bool
inbox_is_decision(const char *kind)
{
	return strcmp(kind, "outcome") == 0 || strcmp(kind, "error") == 0 ||
	       strcmp(kind, "dead_letter") == 0;
}

/* ---- Lists --------------------------------------------------------- */

#define LIST_OF(whose) \
	"SELECT id FROM inbox_items WHERE tenant_id = $1 AND " whose \
	" AND id < $3 AND ($4 IS NULL OR status = $4)" \
	" AND ($5 IS NULL OR kind = $5) AND ($6 IS NULL OR agent_id = $6)" \
	" AND ($7 IS NULL OR thread_id = $7) AND ($8 IS NULL OR run_id = $8)" \
	" AND ($9 IS NULL OR assignee = $9)" \
	" AND ($10 = 0 OR assignee IS NULL)" \
	" AND ($11 = 0 OR read_at IS NULL) ORDER BY id DESC LIMIT $12"

/* One walk along each index, so that a page costs a page. */
#define ITEMS_OF(ids) \
	"SELECT " ITEM_COLUMNS("") " FROM inbox_items WHERE id IN (" ids ")" \
				   " ORDER BY id DESC LIMIT $12"

SQL(LIST_TENANT, ITEMS_OF(LIST_OF("$2 IS NOT NULL")));
SQL(LIST_MINE,
    ITEMS_OF("SELECT id FROM (" LIST_OF(
	"user_id = $2") ") a UNION"
			" SELECT id FROM (" LIST_OF("assignee = $2") ") b"));

SUSPENDS enum as_status
inbox_list(const struct chat_ctx *ctx, const struct inbox_filter *f,
    struct row_page *page, struct json_object **items, struct error *err)
{
	static const struct uuid last = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id),
		SQL_UUID(uuid_is_nil(page->after) ? last : page->after),
		SQL_TEXT(f->status), SQL_TEXT(f->kind),
		sql_uuid_or_null(f->agent_id), sql_uuid_or_null(f->thread_id),
		sql_uuid_or_null(f->run_id), sql_uuid_or_null(f->assignee),
		SQL_INT(f->unassigned), SQL_INT(f->unread),
		SQL_INT(page->limit + 1) };
	struct rows *r = NULL;
	enum as_status st;

	st = store_query(ctx->store,
	    inbox_is_admin(&ctx->who) ? &LIST_TENANT : &LIST_MINE, args, 12, &r,
	    err);
	if (st != AS_OK)
		return st;
	*items = row_page_json(r, page, item_json);
	rows_free(r);
	return AS_OK;
}

#define COUNT_OF(whose) \
	"SELECT count(*) FILTER (WHERE kind NOT IN " ITEM_NOTES \
	") AS pending," \
	" count(*) FILTER (WHERE read_at IS NULL) AS unread FROM inbox_items" \
	" WHERE status = 'pending' AND tenant_id = $1 AND " whose

SQL(COUNT_TENANT, COUNT_OF("$2 IS NOT NULL"));
/* Each from its index alone. */
SQL(COUNT_MINE,
    "SELECT CAST(sum(pending) AS BIGINT), CAST(sum(unread) AS BIGINT)"
    " FROM (" COUNT_OF("user_id = $2") " UNION ALL " COUNT_OF(
	"assignee = $2 AND user_id <> $2") ") x");

SUSPENDS enum as_status
inbox_count(const struct chat_ctx *ctx, struct inbox_counts *out,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store,
	    inbox_is_admin(&ctx->who) ? &COUNT_TENANT : &COUNT_MINE, args, 2,
	    &r, err);

	if (st == AS_OK) {
		out->pending = rows_int(r, 0, 0);
		out->unread = rows_int(r, 0, 1);
	}
	rows_free(r);
	return st;
}

struct json_object *
inbox_counts_json(const struct inbox_counts *c)
{
	struct json_object *o = jobj();

	jput_int(o, "pending", c->pending);
	jput_int(o, "unread", c->unread);
	return o;
}

/* ---- One ----------------------------------------------------------- */

SQL(GET, "SELECT " ITEM_COLUMNS("") " FROM inbox_items WHERE id = $1"
				    " AND tenant_id = $2 AND ($3 = 1 OR "
				    "user_id = $4 OR assignee = $4)");

SUSPENDS enum as_status
inbox_get(const struct chat_ctx *ctx, struct uuid id, struct json_object **item,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id),
		SQL_INT(inbox_is_admin(&ctx->who)),
		SQL_UUID(ctx->who.user_id) };
	struct rows *r = NULL;
	char text[UUID_TEXT];
	enum as_status st = store_query(ctx->store, &GET, args, 4, &r, err);

	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(id, text);
		st = error_not_found(err, "item", text);
	}
	if (st == AS_OK)
		*item = item_json(r, 0);
	rows_free(r);
	return st;
}

SQL(READ, "UPDATE inbox_items SET read_at = now_us(), updated_at = now_us()"
	  " WHERE id = $1 AND read_at IS NULL");

SUSPENDS enum as_status
inbox_mark_read(const struct chat_ctx *ctx, struct uuid id, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	struct json_object *item = NULL;
	enum as_status st = inbox_get(ctx, id, &item, err);

	if (st == AS_OK && jget_str(item, "read_at", NULL) == NULL) {
		st = store_exec(ctx->store, &READ, args, 1, NULL, err);
		if (st == AS_OK)
			item_bell_ring(ctx->bus);
	}
	json_object_put(item);
	return st;
}

/* ---- Whose it is --------------------------------------------------- */

SQL(ASSIGN, "UPDATE inbox_items SET assignee = $2, updated_at = $3"
	    " WHERE id = $1 AND status = 'pending'"
	    " AND assignee IS DISTINCT FROM $2");
/* Found by the stamp of the statement before it, in the same transaction. */
SQL(ASSIGN_AUDIT,
    "INSERT INTO audit_log (id, tenant_id, user_id, action, object_kind,"
    " object_id, detail, correlation_id, created_at)"
    " SELECT $3, tenant_id, $4, 'inbox_assign', 'inbox_item', id, $5, $6, $2"
    " FROM inbox_items WHERE id = $1 AND updated_at = $2"
    " AND status = 'pending'");
SQL(IS_COLLEAGUE, "SELECT 1 FROM users WHERE id = $1 AND tenant_id = $2"
		  " AND disabled_at IS NULL");

static SUSPENDS enum as_status
assignee_check(const struct chat_ctx *ctx, struct uuid assignee,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(assignee),
		SQL_UUID(ctx->who.tenant_id) };
	struct rows *r = NULL;
	enum as_status st = AS_OK;

	if (uuid_is_nil(assignee))
		return AS_OK;
	st = store_query(ctx->store, &IS_COLLEAGUE, args, 2, &r, err);
	if (st == AS_OK && rows_count(r) == 0)
		st = error_field(err, "assignee", "is nobody of this tenant");
	rows_free(r);
	return st;
}

/* Who may give it to whom. */
static enum as_status
assign_allowed(const struct chat_ctx *ctx, struct json_object *item,
    struct uuid assignee, struct error *err)
{
	struct uuid owner;

	if (jget_uuid(item, "user_id", &owner) &&
	    uuid_equal(owner, ctx->who.user_id))
		return AS_OK;
	if (inbox_is_admin(&ctx->who) || uuid_is_nil(assignee))
		return AS_OK;
	return error_set(err, ERR_FORBIDDEN,
	    "only its owner or an admin may give it to somebody");
}

static const char *
assign_detail(const struct chat_ctx *ctx, struct json_object *item,
    struct uuid assignee)
{
	struct json_object *o = jobj();
	const char *text;

	jput_str(o, "before", jget_str(item, "assignee", NULL));
	if (uuid_is_nil(assignee))
		jput_null(o, "after");
	else
		jput_uuid(o, "after", assignee);
	text = arena_strdup(ctx->arena, json_text(o));
	json_object_put(o);
	return text;
}

/* Nothing was changed: it is his already, or nobody is asked any more. */
static SUSPENDS enum as_status
assign_missed(const struct chat_ctx *ctx, struct uuid id, struct error *err)
{
	struct json_object *item = NULL;
	enum as_status st = inbox_get(ctx, id, &item, err);

	if (st == AS_OK && strcmp(jget_str(item, "status", ""), "pending") != 0)
		st = inbox_too_late(item, err);
	json_object_put(item);
	return st;
}

static SUSPENDS enum as_status
assign_write(const struct chat_ctx *ctx, struct json_object *item,
    struct uuid id, struct uuid assignee, struct error *err)
{
	int64_t now = engine_now_us(ctx->engine);
	struct sql_arg set[] = { SQL_UUID(id), sql_uuid_or_null(assignee),
		SQL_INT(now) };
	struct sql_arg audit[] = { SQL_UUID(id), SQL_INT(now),
		SQL_UUID(engine_new_id(ctx->engine)),
		SQL_UUID(ctx->who.user_id),
		SQL_TEXT(assign_detail(ctx, item, assignee)),
		SQL_TEXT(ctx->correlation_id) };
	struct sql_call calls[] = { { &ASSIGN, set, 3 },
		{ &ASSIGN_AUDIT, audit, 6 } };
	struct rows *r[2] = { NULL, NULL };
	enum as_status st = store_batch(ctx->store, calls, 2, r, err);

	if (st == AS_OK && rows_affected(r[0]) == 0)
		st = assign_missed(ctx, id, err);
	else if (st == AS_OK)
		item_bell_ring(ctx->bus);
	rows_free(r[0]);
	rows_free(r[1]);
	return st;
}

/* Who has given it back does not see it any more, but hears that it was done. */
SUSPENDS enum as_status
inbox_assign(const struct chat_ctx *ctx, struct uuid id, struct uuid assignee,
    struct json_object **out, struct error *err)
{
	struct chat_ctx as_admin = *ctx;
	struct json_object *item = NULL;
	enum as_status st = inbox_get(ctx, id, &item, err);

	if (st == AS_OK)
		st = assign_allowed(ctx, item, assignee, err);
	if (st == AS_OK)
		st = assignee_check(ctx, assignee, err);
	if (st == AS_OK)
		st = assign_write(ctx, item, id, assignee, err);
	json_object_put(item);
	as_admin.who.role = ROLE_ADMIN;
	return st == AS_OK ? inbox_get(&as_admin, id, out, err) : st;
}
