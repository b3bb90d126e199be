/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/hook/owned.h"
#include "core/run/run_outbox.h"

/* Webhooks that go out: whom to tell of what. */

#define COLUMNS \
	"id, url, description, events, paused, paused_reason, failures," \
	" last_status, last_at, created_at, updated_at"
#define MINE " WHERE id = $1 AND tenant_id = $2 AND user_id = $3"

SQL(WEBHOOKS,
    "SELECT " COLUMNS " FROM webhooks WHERE tenant_id = $2 AND user_id = $3"
    " AND ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $4");
SQL(WEBHOOK, "SELECT " COLUMNS " FROM webhooks" MINE);
/* quota_exec: nobody has more by asking at once. */
SQL(WEBHOOK_NEW,
    "INSERT INTO webhooks (id, tenant_id, user_id, url, description, events,"
    " event_mask, paused, paused_reason, secret, key_id, created_at,"
    " updated_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
    " now_us(), now_us() WHERE (SELECT count(*) FROM webhooks w"
    " WHERE w.tenant_id = $2 AND w.user_id = $3) < $12 RETURNING " COLUMNS);
SQL(WEBHOOK_CHANGE,
    "UPDATE webhooks SET url = COALESCE($4, url),"
    " description = COALESCE($5, description), events = COALESCE($6, events),"
    " event_mask = COALESCE($7, event_mask),"
    " paused = CASE $8 WHEN 1 THEN TRUE WHEN 0 THEN FALSE ELSE paused END,"
    " paused_reason = CASE $8 WHEN 1 THEN 'user' WHEN 0 THEN NULL"
    " ELSE paused_reason END,"
    " failures = CASE $8 WHEN 0 THEN 0 ELSE failures END,"
    " updated_at = now_us()" MINE " RETURNING " COLUMNS);
SQL(WEBHOOK_ROTATE, "UPDATE webhooks SET secret_before = secret,"
		    " before_until = now_us() + $4, secret = $5, key_id = $6,"
		    " updated_at = now_us()" MINE " RETURNING " COLUMNS);
SQL(WEBHOOK_UNSENT,
    "DELETE FROM outbox WHERE webhook_id IN (SELECT id FROM webhooks" MINE ")");
SQL(WEBHOOK_REMOVE, "DELETE FROM webhooks" MINE);

static struct json_object *
webhook_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", rows_uuid(r, i, 0));
	jput_str(o, "url", rows_text(r, i, 1));
	jput_str(o, "description", rows_text(r, i, 2));
	jput_json(o, "events", rows_text(r, i, 3));
	jput_bool(o, "paused", rows_bool(r, i, 4));
	jput_str(o, "paused_reason", rows_text(r, i, 5));
	jput_int(o, "failures", rows_int(r, i, 6));
	put_row_int(o, "last_status", r, i, 7);
	jput_time(o, "last_at", rows_int(r, i, 8));
	jput_time(o, "created_at", rows_int(r, i, 9));
	jput_time(o, "updated_at", rows_int(r, i, 10));
	return o;
}

static const struct owned webhooks = { .name = "webhook",
	.n_mine = 3,
	.page = &WEBHOOKS,
	.get = &WEBHOOK,
	.insert = &WEBHOOK_NEW,
	.change = &WEBHOOK_CHANGE,
	.rotate = &WEBHOOK_ROTATE,
	.json = webhook_json };

/* ---- What may be written -------------------------------------------- */

/* Where it leads is looked at when something is sent. */
static enum as_status
url_check(const char *url, struct error *err)
{
	const char *host = strstr(url, "://");
	size_t len;

	if (!text_has_prefix(url, "https://") &&
	    !text_has_prefix(url, "http://"))
		return error_field(err, "url", "must be an http or https URL");
	host += 3;
	len = strcspn(host, "/?#");
	if (len == 0 || host[0] == ':')
		return error_field(err, "url", "has no host");
	if (memchr(host, '@', len) != NULL)
		return error_field(err, "url",
		    "must not have a user name or password");
	for (const char *p = url; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '#')
			return error_field(err, "url",
			    "must be ASCII without blanks and fragment");
	return AS_OK;
}

static int64_t
events_mask(struct json_object *events)
{
	size_t n = events != NULL ? json_object_array_length(events) : 0;
	int64_t mask = 0;

	for (size_t i = 0; i < n; i++)
		mask |= run_outbox_mask(json_object_get_string(
		    json_object_array_get_idx(events, i)));
	return mask;
}

/* ---- Reading and writing ----------------------------------------------- */

SUSPENDS enum as_status
webhook_list(const struct hook_ctx *ctx, struct row_page *page,
    struct json_object **items, struct error *err)
{
	return owned_list(&webhooks, ctx, page, items, err);
}

SUSPENDS enum as_status
webhook_get(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	(void)body;
	return owned_get(&webhooks, ctx, out, err);
}

SUSPENDS enum as_status
webhook_create(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	struct json_object *events = jget(body, "events");
	const char *url = jget_str(body, "url", "");
	bool paused = jget_bool(body, "paused", false);
	struct sql_arg own[] = { SQL_TEXT(url),
		SQL_TEXT(jget_str(body, "description", "")),
		SQL_TEXT(json_text(events)), SQL_INT(events_mask(events)),
		SQL_BOOL(paused), SQL_TEXT(paused ? "user" : NULL) };
	struct hook_ctx fresh = *ctx;
	enum as_status st = url_check(url, err);

	fresh.id = uuid_v7();
	return st != AS_OK ? st
			   : owned_insert(&webhooks, SECRET_WEBHOOK, &fresh,
				 own, N_ITEMS(own), out, err);
}

SUSPENDS enum as_status
webhook_change(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	struct json_object *events = jget(body, "events");
	const char *url = jget_str(body, "url", NULL);
	struct sql_arg own[] = { SQL_TEXT(url),
		SQL_TEXT(jget_str(body, "description", NULL)),
		SQL_TEXT(events != NULL ? json_text(events) : NULL),
		sql_time(events_mask(events)), flag_arg(body, "paused") };
	enum as_status st = url != NULL ? url_check(url, err) : AS_OK;

	return st != AS_OK
		   ? st
		   : owned_change(&webhooks, ctx, own, N_ITEMS(own), out, err);
}

SUSPENDS enum as_status
webhook_rotate(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	return owned_rotate(&webhooks, SECRET_WEBHOOK, ctx, body, out, err);
}

SUSPENDS enum as_status
webhook_remove(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id) };
	struct sql_call calls[] = { { &WEBHOOK_UNSENT, args, 3 },
		{ &WEBHOOK_REMOVE, args, 3 } };
	struct rows *rows[2] = { NULL };
	enum as_status st = store_batch(ctx->store, calls, 2, rows, err);

	(void)body;
	(void)out;
	if (st == AS_OK && rows_affected(rows[1]) == 0)
		st = hook_missing("webhook", ctx->id, err);
	rows_free(rows[0]);
	rows_free(rows[1]);
	return st;
}
