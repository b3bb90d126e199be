/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json_write.h"
#include "core/hook/owned.h"

/* What a webhook was told, and telling it by hand. */

#define COLUMNS \
	"d.id, d.webhook_id, d.event, d.run_id, d.status, d.attempts, " \
	"d.response_status," \
	" d.error, d.duration_ms, d.next_at, d.created_at, d.updated_at, " \
	"d.body"
#define MINE " WHERE w.id = $1 AND w.tenant_id = $2 AND w.user_id = $3"

/* A row of nulls: there is such a webhook. */
SQL(DELIVERIES,
    "SELECT " COLUMNS " FROM webhooks w LEFT JOIN webhook_deliveries d"
    " ON d.webhook_id = w.id AND ($4 IS NULL OR d.status = $4)"
    " AND ($5 IS NULL OR d.id < $5)" MINE " ORDER BY d.id DESC LIMIT $6");
SQL(DELIVERY,
    "SELECT " COLUMNS " FROM webhooks w LEFT JOIN"
    " webhook_deliveries d ON d.webhook_id = w.id AND d.id = $4" MINE);
SQL(PAUSED, "SELECT w.paused FROM webhooks w" MINE);

#define TEST_NEW \
	"INSERT INTO webhook_deliveries (webhook_id, id, tenant_id, event," \
	" body, status, next_at, created_at, updated_at) SELECT w.id, $4," \
	" w.tenant_id, 'webhook.test', $5, 'pending', now_us(), now_us()," \
	" now_us() FROM webhooks w" MINE " AND NOT w.paused"
#define REPLAYED \
	"UPDATE webhook_deliveries SET status = 'pending'," \
	" next_at = now_us(), updated_at = now_us() WHERE id = $4" \
	" AND status <> 'pending' AND webhook_id = (SELECT w.id" \
	" FROM webhooks w" MINE " AND NOT w.paused)"
#define SENT \
	"INSERT INTO outbox (tenant_id, kind, dest, ref, webhook_id," \
	" event_id, next_at, created_at) SELECT d.tenant_id, 'webhook'," \
	" d.event, '{}', d.webhook_id, d.id, now_us(), now_us() FROM "
#define ALL_IN_ONE(what) \
	"WITH d AS (" what \
	" RETURNING webhook_id, id, tenant_id, event) " SENT "d RETURNING id"

/* On SQLite the guard of the next one. */
SQL_BOTH(TEST_DELIVERY, TEST_NEW, ALL_IN_ONE(TEST_NEW));
SQL_BOTH(REPLAY, REPLAYED, ALL_IN_ONE(REPLAYED));
SQL(SEND_IT, SENT "webhook_deliveries d WHERE d.webhook_id = $1 AND d.id = $2");

static struct json_object *
delivery_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", rows_uuid(r, i, 0));
	jput_uuid(o, "webhook_id", rows_uuid(r, i, 1));
	jput_str(o, "event", rows_text(r, i, 2));
	put_row_id(o, "run_id", r, i, 3);
	jput_str(o, "status", rows_text(r, i, 4));
	jput_int(o, "attempts", rows_int(r, i, 5));
	put_row_int(o, "response_status", r, i, 6);
	jput_str(o, "error", rows_text(r, i, 7));
	put_row_int(o, "duration_ms", r, i, 8);
	jput_time(o, "next_at", rows_int(r, i, 9));
	jput_time(o, "created_at", rows_int(r, i, 10));
	jput_time(o, "updated_at", rows_int(r, i, 11));
	jput_json(o, "body", rows_text(r, i, 12));
	return o;
}

SUSPENDS enum as_status
delivery_list(const struct hook_ctx *ctx, struct row_page *page,
    struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id),
		SQL_TEXT(ctx->status), sql_uuid_or_null(page->after),
		SQL_INT(page->limit + 1) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &DELIVERIES, args, 6, &r,
	    err);

	if (st == AS_OK && rows_count(r) == 0)
		st = hook_missing("webhook", ctx->id, err);
	else if (st == AS_OK && rows_is_null(r, 0, 0))
		*items = jarr();
	else if (st == AS_OK)
		*items = row_page_json(r, page, delivery_json);
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
delivery_get(const struct hook_ctx *ctx, struct json_object **out,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id),
		SQL_UUID(ctx->delivery_id) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &DELIVERY, args, 4, &r,
	    err);

	if (st == AS_OK && rows_count(r) == 0)
		st = hook_missing("webhook", ctx->id, err);
	else if (st == AS_OK && rows_is_null(r, 0, 0))
		st = hook_missing("delivery", ctx->delivery_id, err);
	else if (st == AS_OK)
		*out = delivery_json(r, 0);
	rows_free(r);
	return st;
}

static const char *
test_body(const struct hook_ctx *ctx)
{
	struct buf b = { 0 };
	const char *text;

	jw_open(&b, NULL);
	jw_str(&b, "type", "webhook.test");
	jw_time(&b, "timestamp", uuid_time_ms(ctx->delivery_id) * 1000);
	jw_open(&b, "data");
	jw_uuid(&b, "webhook_id", ctx->id);
	jw_close(&b);
	jw_close(&b);
	text = arena_strndup(ctx->arena, b.data, b.len);
	buf_free(&b);
	return text;
}

/* Why nothing was written. */
static SUSPENDS enum as_status
why_not(const struct hook_ctx *ctx, bool is_test, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id) };
	struct json_object *there = NULL;
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &PAUSED, args, 3, &r, err);

	if (st == AS_OK && rows_count(r) == 0)
		st = hook_missing("webhook", ctx->id, err);
	if (st == AS_OK && !is_test)
		st = delivery_get(ctx, &there, err);
	if (st == AS_OK)
		st = error_set(err, ERR_CONFLICT, "%s",
		    rows_bool(r, 0, 0) ? "the webhook is paused"
				       : "it is on its way");
	json_object_put(there);
	rows_free(r);
	return st;
}

/* CONFLICT: nothing was to be sent, and nothing has happened. */
static SUSPENDS enum as_status
send_once(const struct hook_ctx *ctx, const struct sql_call *call,
    struct error *err)
{
	struct sql_arg row[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->delivery_id) };
	struct sql_call calls[] = { *call, { &SEND_IT, row, 2 } };
	struct rows *r = NULL;
	enum as_status st;

	if (store_dialect(ctx->store) == STORE_SQLITE)
		return store_guarded(ctx->store, calls, 2, err);
	st = store_exec(ctx->store, call->sql, call->args, call->n_args, &r,
	    err);
	if (st == AS_OK && rows_count(r) == 0)
		st = error_set(err, ERR_CONFLICT, "nothing to send");
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
send(const struct hook_ctx *ctx, struct sql *sql, const char *body,
    struct json_object **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id),
		SQL_UUID(ctx->delivery_id), SQL_TEXT(body) };
	struct sql_call call = { sql, args, body != NULL ? 5 : 4 };
	enum as_status st = send_once(ctx, &call, err);

	if (st == AS_CONFLICT) {
		error_clear(err);
		return why_not(ctx, body != NULL, err);
	}
	return st == AS_OK ? delivery_get(ctx, out, err) : st;
}

SUSPENDS enum as_status
delivery_test(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	struct hook_ctx fresh = *ctx;

	(void)body;
	fresh.delivery_id = uuid_v7();
	return send(&fresh, &TEST_DELIVERY, test_body(&fresh), out, err);
}

SUSPENDS enum as_status
delivery_replay(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	(void)body;
	return send(ctx, &REPLAY, NULL, out, err);
}
