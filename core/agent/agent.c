/* SPDX-License-Identifier: Apache-2.0 */
#include "core/agent/agent.h"

#include <stdio.h>
#include <string.h>

#include "core/agent/internal.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Reading agents, and what they look like.  Who asks is part of each query;
 * only the engine, which acts for a run that was allowed, asks by id alone.
 *
 * The JSON columns hold compact text that we wrote ourselves, so showing an
 * agent copies them and parses nothing.
 */

SQL(agent_by_id, "SELECT " AGENT_COLUMNS " FROM agents WHERE id = $1");

/*
 * Not "tenant_id = $2", nor its double negation: PostgreSQL would then walk all
 * agents of the tenant in agents_owner for the one id, instead of asking the
 * primary key.
 */
SQL(agent_visible, "SELECT " AGENT_COLUMNS " FROM agents WHERE id = $1"
		   " AND COALESCE(tenant_id, $2) = $2"
		   " AND deleted_at IS NULL AND (user_id = $3 OR is_public)");
SQL(agents_own, "SELECT " AGENT_COLUMNS " FROM agents WHERE tenant_id = $1"
		" AND user_id = $2 AND deleted_at IS NULL AND id < $3"
		" ORDER BY id DESC LIMIT $4");
SQL(agents_visible,
    "SELECT " AGENT_COLUMNS " FROM agents WHERE tenant_id = $1"
    " AND (user_id = $2 OR is_public) AND deleted_at IS NULL AND id < $3"
    " ORDER BY id DESC LIMIT $4");

void
agent_from_row(struct arena *arena, const struct rows *r, int row,
    struct agent *a)
{
	memset(a, 0, sizeof(*a));
	a->id = rows_uuid(r, row, 0);
	a->tenant_id = rows_uuid(r, row, 1);
	a->user_id = rows_uuid(r, row, 2);
	a->name = arena_strdup(arena, rows_text(r, row, 3));
	a->description = arena_strdup(arena, rows_text(r, row, 4));
	a->purpose = arena_strdup(arena, rows_text(r, row, 5));
	a->system_prompt = arena_strdup(arena, rows_text(r, row, 6));
	a->model_name = arena_strdup(arena, rows_text(r, row, 7));
	a->text.memory = arena_strdup(arena, rows_text(r, row, 8));
	a->state = arena_strdup(arena, rows_text(r, row, 9));
	a->text.toolkits = arena_strdup(arena, rows_text(r, row, 10));
	a->text.task_prompts = arena_strdup(arena, rows_text(r, row, 11));
	a->text.job_prompts = arena_strdup(arena, rows_text(r, row, 12));
	a->is_public = rows_bool(r, row, 13);
	a->version = rows_int(r, row, 14);
	a->deleted = !rows_is_null(r, row, 15);
	a->created_at = rows_int(r, row, 16);
	a->updated_at = rows_int(r, row, 17);
	a->text.fallback_models = arena_strdup(arena, rows_text(r, row, 18));
	a->text.approval = arena_strdup(arena, rows_text(r, row, 19));
	a->text.builtins = arena_strdup(arena, rows_text(r, row, 20));
}

static void
agent_put_json(void *v)
{
	json_object_put(v);
}

static struct json_object *
agent_parse_text(struct arena *arena, const char *text)
{
	struct json_object *v = NULL;

	json_parse(text, strlen(text), &v, NULL);
	arena_cleanup(arena, agent_put_json, v);
	return v;
}

void
agent_parse(struct arena *arena, struct agent *a)
{
	a->memory = agent_parse_text(arena, a->text.memory);
	a->toolkits = agent_parse_text(arena, a->text.toolkits);
	a->fallback_models = agent_parse_text(arena, a->text.fallback_models);
	a->builtins = agent_parse_text(arena, a->text.builtins);
	a->approval = agent_parse_text(arena, a->text.approval);
	a->suggested_task_prompts = agent_parse_text(arena,
	    a->text.task_prompts);
	a->suggested_job_prompts = agent_parse_text(arena, a->text.job_prompts);
}

/* What a stranger sees of the memory: whether there is one. */
static void
agent_hide(const struct principal *who, struct arena *arena, struct agent *a)
{
	struct json_object *memory;

	if (uuid_equal(who->user_id, a->user_id))
		return;
	memory = agent_parse_text(arena, a->text.memory);
	a->text.memory = jget_bool(memory, "enabled", false)
			     ? "{\"enabled\":true,\"facts\":[]}"
			     : "{\"enabled\":false,\"facts\":[]}";
}

enum as_status
agent_missing(struct uuid id, struct error *err)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return error_not_found(err, "agent", text);
}

enum as_status
agent_show(struct store *store, const struct principal *who, struct uuid id,
    struct arena *arena, struct agent **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(who->tenant_id),
		SQL_UUID(who->user_id) };
	struct rows *rows = NULL;
	enum as_status st;

	*out = NULL;
	st = store_query(store, &agent_visible, args, 3, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0)
		st = agent_missing(id, err);
	if (st == AS_OK) {
		*out = arena_alloc(arena, sizeof(**out));
		agent_from_row(arena, rows, 0, *out);
		agent_hide(who, arena, *out);
	}
	rows_free(rows);
	return st;
}

enum as_status
agent_get(struct store *store, const struct principal *who, struct uuid id,
    struct arena *arena, struct agent **out, struct error *err)
{
	enum as_status st;

	st = agent_show(store, who, id, arena, out, err);
	if (st == AS_OK)
		agent_parse(arena, *out);
	return st;
}

enum as_status
agent_load(struct store *store, struct uuid id, struct arena *arena,
    struct agent **out, struct error *err)
{
	struct sql_arg arg = SQL_UUID(id);
	struct rows *rows = NULL;
	enum as_status st;

	*out = NULL;
	st = store_query(store, &agent_by_id, &arg, 1, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0)
		st = agent_missing(id, err);
	if (st == AS_OK) {
		*out = arena_alloc(arena, sizeof(**out));
		agent_from_row(arena, rows, 0, *out);
		agent_parse(arena, *out);
	}
	rows_free(rows);
	return st;
}

enum as_status
agent_list(struct store *store, const struct principal *who,
    const struct agent_query *query, struct arena *arena, struct agent **out,
    size_t *n, struct error *err)
{
	struct sql *sql = query->with_public ? &agents_visible : &agents_own;
	struct uuid before = query->before;
	struct rows *rows = NULL;
	struct sql_arg args[4];
	enum as_status st;

	*out = NULL;
	*n = 0;
	if (uuid_is_nil(before))
		memset(before.b, 0xff, sizeof(before.b));
	args[0] = SQL_UUID(who->tenant_id);
	args[1] = SQL_UUID(who->user_id);
	args[2] = SQL_UUID(before);
	args[3] = SQL_INT(query->limit);
	st = store_query(store, sql, args, 4, &rows, err);
	if (st != AS_OK)
		return st;
	*n = (size_t)rows_count(rows);
	*out = arena_alloc(arena, (*n + 1) * sizeof(**out));
	for (size_t i = 0; i < *n; i++) {
		agent_from_row(arena, rows, (int)i, &(*out)[i]);
		agent_hide(who, arena, &(*out)[i]);
	}
	rows_free(rows);
	return AS_OK;
}

/* ---- On the wire --------------------------------------------------- */

static void
encode_key(struct buf *b, const char *key)
{
	buf_add_str(b, ",\"");
	buf_add_str(b, key);
	buf_add_str(b, "\":");
}

static void
encode_str(struct buf *b, const char *key, const char *s)
{
	encode_key(b, key);
	if (s != NULL)
		buf_add_json_str(b, s, strlen(s));
	else
		buf_add_str(b, "null");
}

static void
encode_raw(struct buf *b, const char *key, const char *json)
{
	encode_key(b, key);
	buf_add_str(b, json);
}

static void
encode_time(struct buf *b, const char *key, int64_t us)
{
	char text[TEXT_TIME_LEN];

	text_time(text, us);
	encode_str(b, key, text);
}

void
agent_encode(struct buf *b, const struct agent *a)
{
	char text[UUID_TEXT];

	uuid_format(a->id, text);
	buf_add_str(b, "{\"id\":\"");
	buf_add_str(b, text);
	buf_add_char(b, '"');
	uuid_format(a->user_id, text);
	encode_str(b, "user_id", text);
	encode_str(b, "name", a->name);
	encode_str(b, "description", a->description);
	encode_str(b, "purpose", a->purpose);
	encode_str(b, "system_prompt", a->system_prompt);
	encode_str(b, "model_name", a->model_name);
	encode_raw(b, "fallback_models", a->text.fallback_models);
	encode_raw(b, "builtins", a->text.builtins);
	encode_raw(b, "memory", a->text.memory);
	encode_str(b, "agent_state", a->state);
	encode_raw(b, "toolkits", a->text.toolkits);
	encode_raw(b, "approval", a->text.approval);
	encode_raw(b, "suggested_task_prompts", a->text.task_prompts);
	encode_raw(b, "suggested_job_prompts", a->text.job_prompts);
	encode_raw(b, "is_public", a->is_public ? "true" : "false");
	snprintf(text, sizeof(text), "%lld", (long long)a->version);
	encode_raw(b, "version", text);
	encode_time(b, "created_at", a->created_at);
	encode_time(b, "updated_at", a->updated_at);
	buf_add_char(b, '}');
}

struct json_object *
agent_json(const struct agent *a)
{
	struct json_object *v = NULL;
	struct buf b = { 0 };

	agent_encode(&b, a);
	MUST(json_parse(b.data, b.len, &v, NULL) == AS_OK);
	buf_free(&b);
	return v;
}
