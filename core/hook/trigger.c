/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/mem.h"
#include "core/hook/owned.h"
#include "core/hook/template.h"

/* Triggers: what others may start here, and under which secret. */

#define COLUMNS \
	"id, agent_id, name, scheme, task, class, paused, fired, last_at," \
	" last_run_id, created_at, updated_at"
#define MINE \
	" WHERE id = $1 AND tenant_id = $2 AND user_id = $3 AND agent_id = $4"

SQL(TRIGGERS,
    "SELECT " COLUMNS " FROM triggers WHERE tenant_id = $2 AND user_id = $3"
    " AND agent_id = $4 AND ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $5");
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
	put_row_id(o, "last_run_id", r, i, 9);
	jput_time(o, "created_at", rows_int(r, i, 10));
	jput_time(o, "updated_at", rows_int(r, i, 11));
	return o;
}

static const struct owned triggers = { .name = "trigger",
	.n_mine = 4,
	.page = &TRIGGERS,
	.get = &TRIGGER,
	.insert = &TRIGGER_NEW,
	.change = &TRIGGER_CHANGE,
	.rotate = &TRIGGER_ROTATE,
	.json = trigger_json };

/* The agent must be there for whoever asks. */
static SUSPENDS enum as_status
agent_check(const struct hook_ctx *ctx, struct error *err)
{
	struct agent *a = NULL;

	return agent_show(ctx->store, &ctx->who, ctx->agent_id, ctx->arena, &a,
	    err);
}

/* ---- Reading and writing ----------------------------------------------- */

SUSPENDS enum as_status
trigger_list(const struct hook_ctx *ctx, struct row_page *page,
    struct json_object **items, struct error *err)
{
	enum as_status st = agent_check(ctx, err);

	return st == AS_OK ? owned_list(&triggers, ctx, page, items, err) : st;
}

SUSPENDS enum as_status
trigger_get(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	(void)body;
	return owned_get(&triggers, ctx, out, err);
}

SUSPENDS enum as_status
trigger_create(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	const char *task = jget_str(body, "task", "");
	const char *scheme = jget_str(body, "scheme", "standard");
	struct sql_arg own[] = { SQL_TEXT(jget_str(body, "name", "")),
		SQL_TEXT(scheme), SQL_TEXT(task),
		SQL_INT(class_of(jget_str(body, "class", "standard"))),
		SQL_BOOL(jget_bool(body, "paused", false)) };
	struct hook_ctx fresh = *ctx;
	enum as_status st = template_check(task, err);

	fresh.id = uuid_v7();
	if (st == AS_OK)
		st = agent_check(ctx, err);
	return st != AS_OK ? st
			   : owned_insert(&triggers, secret_kind(scheme),
				 &fresh, own, N_ITEMS(own), out, err);
}

SUSPENDS enum as_status
trigger_change(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	const char *task = jget_str(body, "task", NULL);
	struct sql_arg own[] = { SQL_TEXT(jget_str(body, "name", NULL)),
		SQL_TEXT(task), SQL_INT(class_of(jget_str(body, "class", ""))),
		flag_arg(body, "paused") };
	enum as_status st = task != NULL ? template_check(task, err) : AS_OK;

	return st != AS_OK
		   ? st
		   : owned_change(&triggers, ctx, own, N_ITEMS(own), out, err);
}

/* Its scheme says what its secret looks like, and never changes. */
SUSPENDS enum as_status
trigger_rotate(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	struct json_object *old = NULL;
	enum as_status st = owned_get(&triggers, ctx, &old, err);

	if (st == AS_OK)
		st = owned_rotate(&triggers,
		    secret_kind(jget_str(old, "scheme", "")), ctx, body, out,
		    err);
	json_object_put(old);
	return st;
}

SUSPENDS enum as_status
trigger_remove(const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id),
		SQL_UUID(ctx->agent_id) };
	struct rows *r = NULL;
	enum as_status st = store_exec(ctx->store, &TRIGGER_REMOVE, args, 4, &r,
	    err);

	(void)body;
	(void)out;
	if (st == AS_OK && rows_affected(r) == 0)
		st = hook_missing("trigger", ctx->id, err);
	rows_free(r);
	return st;
}
