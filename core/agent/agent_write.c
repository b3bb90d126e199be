/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/internal.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/plug.h"

/*
 * Changing agents.  Each change is a compare-and-set on the version, writes the
 * whole row, and leaves the document as it was written in agent_versions.  A
 * change without If-Match that lost against another one is made anew from
 * what is there then: the last write wins, and none is half of two.
 */

#define RETRIES 8

SQL(agent_insert,
    "INSERT INTO agents (id, tenant_id, user_id, name, description, purpose,"
    " system_prompt, model_name, memory, agent_state, toolkits,"
    " suggested_task_prompts, suggested_job_prompts, is_public,"
    " fallback_models, approval, builtins, version, created_at, updated_at)"
    " VALUES ($1,"
    " $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
    " 1, now_us(), now_us())"
    " RETURNING created_at");
SQL(agent_write,
    "UPDATE agents SET name = $4, description = $5, purpose = $6,"
    " system_prompt = $7, model_name = $8, memory = $9, agent_state = $10,"
    " toolkits = $11, suggested_task_prompts = $12,"
    " suggested_job_prompts = $13, is_public = $14, fallback_models = $15,"
    " approval = $16, builtins = $17, version = version + 1,"
    " updated_at = now_us() WHERE id = $1 AND tenant_id = $2 AND user_id = $3"
    " AND version = $18 AND deleted_at IS NULL RETURNING updated_at");
/* If the write was a miss, the version is another writer's and is there. */
SQL(agent_version_insert,
    "INSERT INTO agent_versions (agent_id, version, definition, created_by,"
    " created_at) SELECT id, version, $3, $4, now_us() FROM agents"
    " WHERE id = $1 AND version = $2 ON CONFLICT DO NOTHING");
SQL(agent_tombstone,
    "UPDATE agents SET deleted_at = now_us(), updated_at = now_us(),"
    " version = version + 1 WHERE id = $1 AND tenant_id = $2 AND user_id = $3"
    " AND version = $4 AND deleted_at IS NULL RETURNING version");

/* ---- From a document to an agent ----------------------------------- */

static const char *
doc_str(struct arena *arena, struct json_object *doc, const char *name,
    const char *dflt)
{
	return arena_strdup(arena, jget_str(doc, name, dflt));
}

static const char *
doc_json(struct arena *arena, struct json_object *doc, const char *name)
{
	struct json_object *v = jget(doc, name);

	return v != NULL ? arena_strdup(arena, json_text(v)) : "[]";
}

static const char *
doc_memory(struct arena *arena, struct json_object *doc)
{
	struct json_object *in = jget(doc, "memory"), *memory = jobj();
	struct json_object *facts = jget(in, "facts");
	const char *text;

	jput_bool(memory, "enabled", jget_bool(in, "enabled", false));
	jput(memory, "facts", facts != NULL ? json_object_get(facts) : jarr());
	text = arena_strdup(arena, json_text(memory));
	json_object_put(memory);
	return text;
}

/* Each member as it is given, or its default; in one order. */
static const char *
doc_approval(struct arena *arena, struct json_object *doc)
{
	static const struct {
		const char *name, *dflt;
	} members[] = {
		{ "default", "\"auto\"" },
		{ "tools", "{}" },
		{ "resume_when", "\"all\"" },
		{ "allow", "[\"accept\",\"edit\",\"response\",\"ignore\"]" },
		{ "expires_s", "null" },
		{ "on_expire", "\"reject\"" },
		{ "questions", "null" },
	};
	struct json_object *in = jget(doc, "approval"), *v;
	struct buf b = { 0 };
	const char *text;

	jw_open(&b, NULL);
	for (size_t i = 0; i < N_ITEMS(members); i++) {
		v = jget(in, members[i].name);
		jw_raw(&b, members[i].name,
		    v != NULL ? json_text(v) : members[i].dflt);
	}
	jw_close(&b);
	text = arena_strndup(arena, b.data, b.len);
	buf_free(&b);
	return text;
}

/* What may be written; the rest of *a stays. */
static void
agent_from_doc(struct arena *arena, struct json_object *doc, struct agent *a)
{
	a->name = doc_str(arena, doc, "name", "");
	a->description = doc_str(arena, doc, "description", "");
	a->purpose = doc_str(arena, doc, "purpose", "");
	a->system_prompt = doc_str(arena, doc, "system_prompt", "");
	a->model_name = doc_str(arena, doc, "model_name", NULL);
	a->text.fallback_models = doc_json(arena, doc, "fallback_models");
	a->text.builtins = doc_json(arena, doc, "builtins");
	a->text.approval = doc_approval(arena, doc);
	a->text.memory = doc_memory(arena, doc);
	a->state = doc_str(arena, doc, "agent_state", "ready");
	a->text.toolkits = doc_json(arena, doc, "toolkits");
	a->text.task_prompts = doc_json(arena, doc, "suggested_task_prompts");
	a->text.job_prompts = doc_json(arena, doc, "suggested_job_prompts");
	a->is_public = jget_bool(doc, "is_public", false);
}

static bool
list_has(struct json_object *list, struct json_object *v)
{
	size_t n = list != NULL ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++)
		if (json_object_equal(json_object_array_get_idx(list, i), v))
			return true;
	return false;
}

/* Each by its full name, so that a run can tell where in the list it is. */
static enum as_status
fallbacks_check(struct plug *plug, struct json_object *doc,
    struct json_object *old, struct error *err)
{
	struct json_object *list = jget(doc, "fallback_models"), *one;
	size_t n = list != NULL ? json_object_array_length(list) : 0;
	enum as_status st = AS_OK;
	char full[256], field[48];
	const char *id;

	for (size_t i = 0; i < n; i++) {
		one = json_object_array_get_idx(list, i);
		id = json_object_get_string(one);
		if (list_has(jget(old, "fallback_models"), one) ||
		    (plug_model_resolve(plug, id, full, sizeof(full)) &&
			strcmp(full, id) == 0))
			continue;
		snprintf(field, sizeof(field), "/fallback_models/%zu", i);
		st = error_field(err, field, "no model '%.100s'", id);
	}
	return st;
}

/* Rules are for tools that there are, or that had one before. */
static enum as_status
approval_check(struct plug *plug, struct json_object *doc,
    struct json_object *old, struct error *err)
{
	struct json_object *tools = jget(jget(doc, "approval"), "tools");
	struct json_object *before = jget(jget(old, "approval"), "tools");
	enum as_status st = AS_OK;
	char field[96];

	if (!json_object_is_type(tools, json_type_object))
		return AS_OK;
	json_object_object_foreach(tools, name, rule)
	{
		(void)rule;
		if (json_object_object_get_ex(before, name, NULL) ||
		    plug_tool_find(plug, name) != NULL)
			continue;
		snprintf(field, sizeof(field), "/approval/tools/%.64s", name);
		st = error_field(err, field, "no tool '%.64s'", name);
	}
	return st;
}

/*
 * Toolkits and the model must exist, unless the agent had them before: a
 * plugin that is gone must not keep its owner from a new description.
 */
static enum as_status
doc_check(struct plug *plug, struct json_object *doc, struct json_object *old,
    struct error *err)
{
	struct json_object *list = jget(doc, "toolkits"), *slug;
	const char *model = jget_str(doc, "model_name", NULL);
	size_t n = list != NULL ? json_object_array_length(list) : 0;
	enum as_status st = AS_OK;
	char full[256], field[32];

	for (size_t i = 0; i < n; i++) {
		slug = json_object_array_get_idx(list, i);
		if (list_has(jget(old, "toolkits"), slug) ||
		    plug_toolkit_find(plug, json_object_get_string(slug)))
			continue;
		snprintf(field, sizeof(field), "/toolkits/%zu", i);
		st = error_field(err, field, "no toolkit '%.64s'",
		    json_object_get_string(slug));
	}
	if (model != NULL &&
	    !json_object_equal(jget(doc, "model_name"),
		jget(old, "model_name")) &&
	    !plug_model_resolve(plug, model, full, sizeof(full)))
		st = error_field(err, "model_name", "no model '%.100s'", model);
	if (fallbacks_check(plug, doc, old, err) != AS_OK ||
	    approval_check(plug, doc, old, err) != AS_OK)
		st = AS_INVALID;
	if (strcmp(jget_str(doc, "agent_state", "ready"), "error") == 0 &&
	    strcmp(jget_str(old, "agent_state", ""), "error") != 0)
		st = error_field(err, "agent_state",
		    "must be one of draft, ready, paused");
	if (jget(doc, "name") == NULL)
		st = error_field(err, "name", "is required");
	return st;
}

/*
 * Members that only we write may come back as they are, or, where they change
 * by themselves, as they were.
 */
static enum as_status
doc_readonly(struct json_object *doc, struct json_object *old,
    struct error *err)
{
	static const char *const fixed[] = { "id", "user_id", "created_at" };
	struct json_object *version = jget(doc, "version");
	int64_t us, now = 0;
	enum as_status st = AS_OK;

	for (size_t i = 0; i < N_ITEMS(fixed); i++)
		if (json_object_object_get_ex(doc, fixed[i], NULL) &&
		    !json_object_equal(jget(doc, fixed[i]),
			jget(old, fixed[i])))
			st = error_field(err, fixed[i], "is read-only");
	if (json_object_object_get_ex(doc, "version", NULL) &&
	    (!json_object_is_type(version, json_type_int) ||
		json_object_get_int64(version) < 1 ||
		json_object_get_int64(version) > jget_int(old, "version", 0)))
		st = error_field(err, "version", "is read-only");
	text_time_parse(jget_str(old, "updated_at", ""), &now);
	if (json_object_object_get_ex(doc, "updated_at", NULL) &&
	    (!text_time_parse(jget_str(doc, "updated_at", ""), &us) ||
		us > now))
		st = error_field(err, "updated_at", "is read-only");
	return st;
}

/* ---- Statements ---------------------------------------------------- */

#define AGENT_ARGS 17

static void
agent_args(const struct agent *a, struct sql_arg args[AGENT_ARGS])
{
	args[0] = SQL_UUID(a->id);
	args[1] = SQL_UUID(a->tenant_id);
	args[2] = SQL_UUID(a->user_id);
	args[3] = SQL_TEXT(a->name);
	args[4] = SQL_TEXT(a->description);
	args[5] = SQL_TEXT(a->purpose);
	args[6] = SQL_TEXT(a->system_prompt);
	args[7] = SQL_TEXT(a->model_name);
	args[8] = SQL_TEXT(a->text.memory);
	args[9] = SQL_TEXT(a->state);
	args[10] = SQL_TEXT(a->text.toolkits);
	args[11] = SQL_TEXT(a->text.task_prompts);
	args[12] = SQL_TEXT(a->text.job_prompts);
	args[13] = SQL_BOOL(a->is_public);
	args[14] = SQL_TEXT(a->text.fallback_models);
	args[15] = SQL_TEXT(a->text.approval);
	args[16] = SQL_TEXT(a->text.builtins);
}

/* What of the agent was written, without what the row says of itself. */
static struct json_object *
agent_definition(const struct agent *a)
{
	static const char *const names[] = { "id", "user_id", "version",
		"created_at", "updated_at" };
	struct json_object *o = agent_json(a);

	for (size_t i = 0; i < N_ITEMS(names); i++)
		json_object_object_del(o, names[i]);
	return o;
}

/* Inserts (version 0 before) or updates; *hit says if the row was written. */
static SUSPENDS enum as_status
agent_store(struct store *store, struct agent *a, bool *hit, struct error *err)
{
	struct json_object *definition = agent_definition(a);
	struct rows *rows[2] = { NULL };
	struct sql_arg args[AGENT_ARGS + 1], version[4];
	struct sql_call calls[] = { { &agent_write, args, AGENT_ARGS + 1 },
		{ &agent_version_insert, version, 4 } };
	enum as_status st;

	agent_args(a, args);
	args[AGENT_ARGS] = SQL_INT(a->version);
	if (a->version == 0)
		calls[0] = (struct sql_call){ &agent_insert, args, AGENT_ARGS };
	version[0] = SQL_UUID(a->id);
	version[1] = SQL_INT(a->version + 1);
	version[2] = SQL_TEXT(json_text(definition));
	version[3] = SQL_UUID(a->user_id);
	st = store_batch(store, calls, 2, rows, err);
	*hit = st == AS_OK && rows_count(rows[0]) > 0;
	if (*hit) {
		a->version++;
		a->updated_at = rows_int(rows[0], 0, 0);
		if (a->version == 1)
			a->created_at = a->updated_at;
	}
	rows_free(rows[0]);
	rows_free(rows[1]);
	json_object_put(definition);
	return st;
}

enum as_status
agent_create(struct store *store, struct plug *plug,
    const struct principal *who, struct json_object *body, struct arena *arena,
    struct agent **out, struct error *err)
{
	struct agent *a = arena_alloc(arena, sizeof(*a));
	enum as_status st;
	bool hit;

	*out = NULL;
	st = doc_check(plug, body, NULL, err);
	if (st != AS_OK)
		return st;
	a->id = uuid_v7();
	a->tenant_id = who->tenant_id;
	a->user_id = who->user_id;
	agent_from_doc(arena, body, a);
	st = agent_store(store, a, &hit, err);
	if (st == AS_OK)
		*out = a;
	return st;
}

static enum as_status
version_conflict(struct error *err, int64_t current)
{
	enum as_status st;

	st = error_set(err, ERR_VERSION_CONFLICT,
	    "the agent has version %lld by now", (long long)current);
	error_member(err, "current_version", json_object_new_int64(current));
	return st;
}

/* The agent if it is one's own and, where asked, of that version. */
static SUSPENDS enum as_status
agent_own(struct store *store, const struct principal *who, struct uuid id,
    int64_t if_version, struct arena *arena, struct agent **out,
    struct error *err)
{
	enum as_status st;

	st = agent_show(store, who, id, arena, out, err);
	if (st != AS_OK)
		return st;
	if (!uuid_equal((*out)->user_id, who->user_id))
		return error_set(err, ERR_FORBIDDEN,
		    "this agent belongs to somebody else");
	if (if_version > 0 && if_version != (*out)->version)
		return version_conflict(err, (*out)->version);
	return AS_OK;
}

/* What *a becomes by the body. */
static enum as_status
agent_apply(struct plug *plug, enum agent_change how, struct json_object *body,
    struct arena *arena, struct agent *a, struct error *err)
{
	struct json_object *old = agent_json(a), *doc;
	enum as_status st;

	doc = how == AGENT_MERGE ? json_merge_patch(json_copy(old), body)
				 : json_object_get(body);
	st = doc_readonly(body, old, err);
	if (doc_check(plug, doc, old, err) != AS_OK)
		st = AS_INVALID;
	if (st == AS_OK)
		agent_from_doc(arena, doc, a);
	json_object_put(doc);
	json_object_put(old);
	return st;
}

enum as_status
agent_update(struct store *store, struct plug *plug,
    const struct principal *who, struct uuid id, enum agent_change how,
    struct json_object *body, int64_t if_version, struct arena *arena,
    struct agent **out, struct error *err)
{
	enum as_status st;
	bool hit = false;

	for (int i = 0; i < RETRIES && !hit; i++) {
		st = agent_own(store, who, id, if_version, arena, out, err);
		if (st == AS_OK)
			st = agent_apply(plug, how, body, arena, *out, err);
		if (st == AS_OK)
			st = agent_store(store, *out, &hit, err);
		if (st != AS_OK)
			return st;
	}
	return hit ? AS_OK
		   : error_set(err, ERR_CONFLICT,
			 "the agent is being changed by others");
}

enum as_status
agent_delete(struct store *store, const struct principal *who, struct uuid id,
    int64_t if_version, struct error *err)
{
	struct arena *arena = arena_new(NULL);
	struct agent *a = NULL;
	struct sql_arg args[4] = { SQL_UUID(id), SQL_UUID(who->tenant_id),
		SQL_UUID(who->user_id) };
	struct rows *rows;
	enum as_status st = AS_OK;
	bool hit = false;

	for (int i = 0; i < RETRIES && st == AS_OK && !hit; i++) {
		st = agent_own(store, who, id, if_version, arena, &a, err);
		if (st != AS_OK)
			break;
		args[3] = SQL_INT(a->version);
		rows = NULL;
		st = store_exec(store, &agent_tombstone, args, 4, &rows, err);
		hit = rows_count(rows) > 0;
		rows_free(rows);
	}
	arena_free(arena);
	if (st == AS_OK && !hit)
		st = error_set(err, ERR_CONFLICT,
		    "the agent is being changed by others");
	return st;
}

/* ---- Memory -------------------------------------------------------- */

static size_t
text_characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Adds the fact to the agent's memory; *there: it has it already. */
static enum as_status
memory_add(struct arena *arena, struct agent *a, const char *fact, bool *there,
    struct error *err)
{
	struct json_object *facts = jget(a->memory, "facts");
	struct json_object *v = json_object_new_string(fact);
	enum as_status st = AS_OK;

	*there = list_has(facts, v);
	if (!jget_bool(a->memory, "enabled", false))
		st = error_set(err, ERR_FORBIDDEN,
		    "the memory of this agent is off");
	else if (!*there && json_object_array_length(facts) >= AGENT_FACTS_MAX)
		st = error_set(err, ERR_TOO_LARGE,
		    "the memory is full: it has %d facts", AGENT_FACTS_MAX);
	if (st == AS_OK && !*there) {
		json_object_array_add(facts, json_object_get(v));
		a->text.memory = arena_strdup(arena, json_text(a->memory));
	}
	json_object_put(v);
	return st;
}

enum as_status
agent_remember(struct store *store, struct uuid id, const char *fact,
    struct error *err)
{
	struct arena *arena = arena_new(NULL);
	size_t len = text_characters(fact);
	struct agent *a = NULL;
	enum as_status st = AS_OK;
	bool done = false;

	if (len < 1 || len > AGENT_FACT_LEN_MAX)
		st = error_field(err, "fact",
		    "must have 1 to %d characters, has %zu", AGENT_FACT_LEN_MAX,
		    len);
	for (int i = 0; i < RETRIES && st == AS_OK && !done; i++) {
		st = agent_load(store, id, arena, &a, err);
		if (st == AS_OK && a->deleted)
			st = agent_missing(id, err);
		if (st == AS_OK)
			st = memory_add(arena, a, fact, &done, err);
		if (st == AS_OK && !done)
			st = agent_store(store, a, &done, err);
	}
	arena_free(arena);
	if (st == AS_OK && !done)
		st = error_set(err, ERR_CONFLICT,
		    "the agent is being changed by others");
	return st;
}
