/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/auth/quota.h"
#include "core/auth/seal.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/hook/hook.h"
#include "core/hook/secret.h"
#include "core/hook/template.h"

/* Triggers: what others may start here, and under which secret. */

#define COLUMNS \
	"id, agent_id, name, scheme, task, class, paused, fired, last_at," \
	" last_run_id, created_at, updated_at"
#define MINE \
	" WHERE id = $1 AND tenant_id = $2 AND user_id = $3 AND agent_id = $4"

SQL(TRIGGERS,
    "SELECT " COLUMNS " FROM triggers WHERE tenant_id = $1 AND user_id = $2"
    " AND agent_id = $3 AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5");
SQL(TRIGGER, "SELECT " COLUMNS " FROM triggers" MINE);
/* quota_exec: nobody has more by asking at once. */
SQL(TRIGGER_NEW,
    "INSERT INTO triggers (id, tenant_id, user_id, agent_id, name, scheme,"
    " task, class, paused, secret, key_id, created_at, updated_at)"
    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now_us(), now_us()"
    " WHERE (SELECT count(*) FROM triggers t WHERE t.agent_id = $4"
    " AND t.user_id = $3) < $12 RETURNING " COLUMNS);
SQL(TRIGGER_CHANGE,
    "UPDATE triggers SET name = COALESCE($5, name), task = COALESCE($6, task),"
    " class = CASE WHEN $7 < 0 THEN class ELSE $7 END,"
    " paused = CASE $8 WHEN 1 THEN TRUE WHEN 0 THEN FALSE ELSE paused END,"
    " updated_at = now_us()" MINE " RETURNING " COLUMNS);
SQL(TRIGGER_SCHEME, "SELECT scheme FROM triggers" MINE);
SQL(TRIGGER_ROTATE, "UPDATE triggers SET secret_before = secret,"
		    " before_until = now_us() + $5, secret = $6, key_id = $7,"
		    " updated_at = now_us()" MINE " RETURNING " COLUMNS);
SQL(TRIGGER_REMOVE, "DELETE FROM triggers" MINE);

static const char *const classes[] = { "priority", "standard", "bulk" };

static int
class_of(const char *name)
{
	for (int i = 0; i < 3; i++)
		if (strcmp(classes[i], name) == 0)
			return i;
	return -1;
}

static enum secret_of
secret_kind(const char *scheme)
{
	return strcmp(scheme, "github") == 0 ? SECRET_GITHUB : SECRET_TRIGGER;
}

static enum as_status
missing(struct uuid id, struct error *err)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return error_not_found(err, "trigger", text);
}

static struct json_object *
trigger_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();
	char path[32 + UUID_TEXT] = "/api/hooks/";
	int class = (int)rows_int(r, i, 5);

	uuid_format(rows_uuid(r, i, 0), path + strlen(path));
	jput_uuid(o, "id", rows_uuid(r, i, 0));
	jput_uuid(o, "agent_id", rows_uuid(r, i, 1));
	jput_str(o, "path", path);
	jput_str(o, "name", rows_text(r, i, 2));
	jput_str(o, "scheme", rows_text(r, i, 3));
	jput_str(o, "task", rows_text(r, i, 4));
	jput_str(o, "class", classes[class >= 0 && class < 3 ? class : 1]);
	jput_bool(o, "paused", rows_bool(r, i, 6));
	jput_int(o, "fired", rows_int(r, i, 7));
	jput_time(o, "last_at", rows_int(r, i, 8));
	if (rows_is_null(r, i, 9))
		jput_null(o, "last_run_id");
	else
		jput_uuid(o, "last_run_id", rows_uuid(r, i, 9));
	jput_time(o, "created_at", rows_int(r, i, 10));
	jput_time(o, "updated_at", rows_int(r, i, 11));
	return o;
}

/* The agent must be there for whoever asks. */
static SUSPENDS enum as_status
agent_check(const struct hook_ctx *ctx, struct uuid agent_id, struct error *err)
{
	struct agent *a = NULL;

	return agent_show(ctx->store, &ctx->who, agent_id, ctx->arena, &a, err);
}

/* ---- Reading ---------------------------------------------------------- */

SUSPENDS enum as_status
trigger_list(const struct hook_ctx *ctx, struct uuid agent_id,
    struct hook_page *page, struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), SQL_UUID(agent_id),
		sql_uuid_or_null(page->after), SQL_INT(page->limit + 1) };
	struct rows *r = NULL;
	enum as_status st = agent_check(ctx, agent_id, err);
	int n;

	if (st == AS_OK)
		st = store_query(ctx->store, &TRIGGERS, args, 5, &r, err);
	n = rows_count(r);
	*items = st == AS_OK ? jarr() : NULL;
	page->more = n > page->limit;
	for (int i = 0; i < n && i < page->limit; i++) {
		json_object_array_add(*items, trigger_json(r, i));
		page->last = rows_uuid(r, i, 0);
	}
	rows_free(r);
	return st;
}

/* A statement about one trigger; MINE are its first arguments. */
static SUSPENDS enum as_status
one(const struct hook_ctx *ctx, struct sql *sql, struct uuid agent_id,
    struct uuid id, const struct sql_arg *more, int n_more, struct rows **out,
    struct error *err)
{
	struct sql_arg args[8] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), SQL_UUID(agent_id) };
	enum as_status st;

	for (int i = 0; i < n_more; i++)
		args[4 + i] = more[i];
	*out = NULL;
	st = n_more == 0
		 ? store_query(ctx->store, sql, args, 4, out, err)
		 : store_exec(ctx->store, sql, args, 4 + n_more, out, err);
	return st == AS_OK && rows_count(*out) == 0 ? missing(id, err) : st;
}

static SUSPENDS enum as_status
one_json(const struct hook_ctx *ctx, struct sql *sql, struct uuid agent_id,
    struct uuid id, const struct sql_arg *more, int n_more,
    struct json_object **out, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = one(ctx, sql, agent_id, id, more, n_more, &r, err);

	if (st == AS_OK)
		*out = trigger_json(r, 0);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
trigger_get(const struct hook_ctx *ctx, struct uuid agent_id, struct uuid id,
    struct json_object **out, struct error *err)
{
	return one_json(ctx, &TRIGGER, agent_id, id, NULL, 0, out, err);
}

/* ---- Writing ---------------------------------------------------------- */

static SUSPENDS enum as_status
insert(const struct hook_ctx *ctx, struct uuid agent_id, struct uuid id,
    struct json_object *body, const struct buf *sealed,
    struct json_object **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), SQL_UUID(agent_id),
		SQL_TEXT(jget_str(body, "name", "")),
		SQL_TEXT(jget_str(body, "scheme", "standard")),
		SQL_TEXT(jget_str(body, "task", "")),
		SQL_INT(class_of(jget_str(body, "class", "standard"))),
		SQL_BOOL(jget_bool(body, "paused", false)),
		SQL_BYTES(sealed->data, sealed->len),
		SQL_TEXT(seal_key_id(ctx->seal)), SQL_INT(HOOK_PER_USER) };
	struct sql_call call = { &TRIGGER_NEW, args, N_ITEMS(args) };
	struct rows *r = NULL;
	enum as_status st = quota_exec(ctx->store, ctx->who.user_id, &call, &r,
	    err);

	if (st == AS_OK && rows_count(r) == 0)
		st = error_set(err, ERR_CONFLICT,
		    "the agent has %d triggers already", HOOK_PER_USER);
	else if (st == AS_OK)
		*out = trigger_json(r, 0);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
trigger_create(const struct hook_ctx *ctx, struct uuid agent_id,
    struct json_object *body, struct json_object **out, struct error *err)
{
	struct buf text = { 0 }, sealed = { 0 };
	struct uuid id = uuid_v7();
	enum as_status st = template_check(jget_str(body, "task", ""), err);

	if (st == AS_OK)
		st = agent_check(ctx, agent_id, err);
	if (st != AS_OK)
		return st;
	secret_make(ctx->seal,
	    secret_kind(jget_str(body, "scheme", "standard")), id, &text,
	    &sealed);
	st = insert(ctx, agent_id, id, body, &sealed, out, err);
	if (st == AS_OK)
		jput_str(*out, "secret", text.data);
	secret_wipe(&text);
	buf_free(&sealed);
	return st;
}

SUSPENDS enum as_status
trigger_change(const struct hook_ctx *ctx, struct uuid agent_id, struct uuid id,
    struct json_object *body, struct json_object **out, struct error *err)
{
	const char *task = jget_str(body, "task", NULL);
	struct sql_arg more[] = { SQL_TEXT(jget_str(body, "name", NULL)),
		SQL_TEXT(task), SQL_INT(class_of(jget_str(body, "class", ""))),
		SQL_INT(jget(body, "paused") == NULL       ? -1
			: jget_bool(body, "paused", false) ? 1
							   : 0) };
	enum as_status st = task != NULL ? template_check(task, err) : AS_OK;

	return st != AS_OK ? st
			   : one_json(ctx, &TRIGGER_CHANGE, agent_id, id, more,
				 4, out, err);
}

SUSPENDS enum as_status
trigger_rotate(const struct hook_ctx *ctx, struct uuid agent_id, struct uuid id,
    int64_t overlap_s, struct json_object **out, struct error *err)
{
	struct buf text = { 0 }, sealed = { 0 };
	struct rows *r = NULL;
	struct sql_arg more[3];
	enum as_status st = one(ctx, &TRIGGER_SCHEME, agent_id, id, NULL, 0, &r,
	    err);

	if (st == AS_OK) {
		secret_make(ctx->seal, secret_kind(rows_text(r, 0, 0)), id,
		    &text, &sealed);
		more[0] = SQL_INT(overlap_s * 1000000);
		more[1] = SQL_BYTES(sealed.data, sealed.len);
		more[2] = SQL_TEXT(seal_key_id(ctx->seal));
		st = one_json(ctx, &TRIGGER_ROTATE, agent_id, id, more, 3, out,
		    err);
	}
	if (st == AS_OK)
		jput_str(*out, "secret", text.data);
	rows_free(r);
	secret_wipe(&text);
	buf_free(&sealed);
	return st;
}

SUSPENDS enum as_status
trigger_remove(const struct hook_ctx *ctx, struct uuid agent_id, struct uuid id,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), SQL_UUID(agent_id) };
	struct rows *r = NULL;
	enum as_status st = store_exec(ctx->store, &TRIGGER_REMOVE, args, 4, &r,
	    err);

	if (st == AS_OK && rows_affected(r) == 0)
		st = missing(id, err);
	rows_free(r);
	return st;
}
