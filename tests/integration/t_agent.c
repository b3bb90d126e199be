/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/plug.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* Agents on both databases; there are two toolkits and one model. */

static struct plug_toolkit_info toolkit;
static bool clock_is_gone;

const struct plug_toolkit_info *
plug_toolkit_find(struct plug *p, const char *slug)
{
	(void)p;
	if (strcmp(slug, "clock") == 0 && !clock_is_gone)
		return &toolkit;
	return strcmp(slug, "calculator") == 0 ? &toolkit : NULL;
}

const struct plug_tool_info *
plug_tool_find(struct plug *p, const char *name)
{
	static struct plug_tool_info tool = { .name = "calculator_evaluate" };

	(void)p;
	return strcmp(name, tool.name) == 0 ? &tool : NULL;
}

bool
plug_model_resolve(struct plug *p, const char *id, char *full, size_t full_len)
{
	(void)p;
	snprintf(full, full_len, "demo/demo");
	return id == NULL || strcmp(id, "demo/demo") == 0;
}

/* ---- What each test works with ------------------------------------- */

static struct principal ada, bob;
static struct arena *arena;
static struct error err;

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };

static void
user_make(struct principal *who, const char *email)
{
	struct sql_arg args[3];

	memset(who, 0, sizeof(*who));
	who->user_id = uuid_v7();
	who->tenant_id = tenant;
	args[0] = SQL_UUID(who->user_id);
	args[1] = SQL_UUID(tenant);
	args[2] = SQL_TEXT(email);
	MUST(store_db_run(env.db,
		 "INSERT INTO users (id, tenant_id, email, created_at,"
		 " updated_at) VALUES ($1, $2, $3, 1, 1)",
		 args, 3, NULL, NULL) == AS_OK);
}

static void
run(void (*fn)(void *))
{
	char email[64], id[UUID_TEXT];

	if (!env_ready())
		return;
	uuid_format(uuid_v7(), id);
	snprintf(email, sizeof(email), "a%s@x.test", id);
	user_make(&ada, email);
	email[0] = 'b';
	user_make(&bob, email);
	clock_is_gone = false;
	arena = arena_new(NULL);
	env_run(fn, NULL);
	error_clear(&err);
	arena_free(arena);
}

static SUSPENDS struct agent *
create(const struct principal *who, const char *json)
{
	struct json_object *b = json_tokener_parse(json);
	struct agent *a = NULL;

	error_clear(&err);
	agent_create(env.store, NULL, who, b, arena, &a, &err);
	json_object_put(b);
	return a;
}

static SUSPENDS enum error_code
change(const struct principal *who, struct uuid id, enum agent_change how,
    const char *json, int64_t if_version, struct agent **a)
{
	struct json_object *b = json_tokener_parse(json);

	error_clear(&err);
	agent_update(env.store, NULL, who, id, how, b, if_version, arena, a,
	    &err);
	json_object_put(b);
	return err.code;
}

static SUSPENDS enum error_code
show(const struct principal *who, struct uuid id, struct agent **a)
{
	error_clear(&err);
	agent_show(env.store, who, id, arena, a, &err);
	return err.code;
}

static const char *
text_of(const struct agent *a)
{
	struct buf b = { 0 };
	const char *s;

	agent_encode(&b, a);
	s = arena_strdup(arena, b.data);
	buf_free(&b);
	return s;
}

/* ---- Tests --------------------------------------------------------- */

static void
defaults(void *arg)
{
	struct agent *a = create(&ada, "{\"name\":\"Helper \\\"1\\\"\"}"), *b;
	struct json_object *o;

	(void)arg;
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(show(&ada, a->id, &b), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(text_of(a), text_of(b));
	o = agent_json(b);
	CU_ASSERT_STRING_EQUAL(jget_str(o, "name", ""), "Helper \"1\"");
	CU_ASSERT_STRING_EQUAL(jget_str(o, "agent_state", ""), "ready");
	CU_ASSERT_PTR_NULL(jget(o, "model_name"));
	CU_ASSERT(json_object_object_get_ex(o, "model_name", NULL));
	CU_ASSERT_STRING_EQUAL(json_text(jget(o, "memory")),
	    "{\"enabled\":false,\"facts\":[]}");
	CU_ASSERT_STRING_EQUAL(json_text(jget(o, "toolkits")), "[]");
	CU_ASSERT_EQUAL(jget_int(o, "version", 0), 1);
	CU_ASSERT_EQUAL(json_object_object_length(o), 19);
	json_object_put(o);
}

static void
test_defaults(void)
{
	run(defaults);
}

static void
unknown(void *arg)
{
	struct agent *a;

	(void)arg;
	CU_ASSERT_PTR_NULL(
	    create(&ada, "{\"name\":\"x\",\"toolkits\":[\"clock\",\"nope\"],"
			 "\"model_name\":\"gpt\"}"));
	CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(json_text(err.extra), "/toolkits/1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(json_text(err.extra), "model_name"));
	/* What it had before may stay. */
	a = create(&ada, "{\"name\":\"x\",\"toolkits\":[\"clock\"]}");
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	clock_is_gone = true;
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE, "{\"name\":\"y\"}", 0,
			    &a),
	    ERR_NONE);
	CU_ASSERT_STRING_EQUAL(a->text.toolkits, "[\"clock\"]");
}

static void
test_unknown(void)
{
	run(unknown);
}

/* Whole, in one order; merged member by member; for tools that there are. */
static void
approval(void *arg)
{
	struct agent *a = create(&ada,
	    "{\"name\":\"x\",\"approval\":{\"default\":\"always\",\"tools\":"
	    "{\"calculator_evaluate\":\"never\"}}}");

	(void)arg;
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_STRING_EQUAL(a->text.approval,
	    "{\"default\":\"always\",\"tools\":{\"calculator_evaluate\":"
	    "\"never\"},\"resume_when\":\"all\",\"allow\":[\"accept\",\"edit\","
	    "\"response\",\"ignore\"],\"expires_s\":null,\"on_expire\":"
	    "\"reject\",\"questions\":null}");
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE,
			    "{\"approval\":{\"default\":null,\"expires_s\":5,"
			    "\"tools\":{\"calculator_evaluate\":null}}}",
			    0, &a),
	    ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(a->text.approval, "{\"default\":\"auto\",\"tools\":{},"));
	CU_ASSERT_PTR_NOT_NULL(strstr(a->text.approval, "\"expires_s\":5"));
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE,
			    "{\"approval\":{\"tools\":{\"nope\":\"never\"}}}",
			    0, &a),
	    ERR_VALIDATION_FAILED);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(json_text(err.extra), "/approval/tools/nope"));
}

static void
test_approval(void)
{
	run(approval);
}

static void
replace(void *arg)
{
	struct agent *a = create(&ada,
	    "{\"name\":\"x\",\"purpose\":\"p\",\"is_public\":true,"
	    "\"memory\":{\"enabled\":true,\"facts\":[\"f\"]}}");

	(void)arg;
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_REPLACE, "{\"name\":\"y\"}",
			    0, &a),
	    ERR_NONE);
	CU_ASSERT_STRING_EQUAL(a->name, "y");
	CU_ASSERT_STRING_EQUAL(a->purpose, "");
	CU_ASSERT_FALSE(a->is_public);
	CU_ASSERT_STRING_EQUAL(a->text.memory,
	    "{\"enabled\":false,\"facts\":[]}");
	CU_ASSERT_EQUAL(a->version, 2);
	/* What was got may be sent back. */
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_REPLACE, text_of(a), 2, &a),
	    ERR_NONE);
	CU_ASSERT_EQUAL(a->version, 3);
}

static void
test_replace(void)
{
	run(replace);
}

static void
merge(void *arg)
{
	struct agent *a = create(&ada,
	    "{\"name\":\"x\",\"purpose\":\"p\",\"model_name\":\"demo/demo\","
	    "\"memory\":{\"enabled\":true,\"facts\":[\"f\"]}}");

	(void)arg;
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE,
			    "{\"memory\":{\"enabled\":false},"
			    "\"purpose\":null,\"model_name\":null}",
			    0, &a),
	    ERR_NONE);
	CU_ASSERT_STRING_EQUAL(a->text.memory,
	    "{\"enabled\":false,\"facts\":[\"f\"]}");
	CU_ASSERT_STRING_EQUAL(a->purpose, "");
	CU_ASSERT_PTR_NULL(a->model_name);
	CU_ASSERT_STRING_EQUAL(a->name, "x");
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE, "{\"name\":null}", 0,
			    &a),
	    ERR_VALIDATION_FAILED);
}

static void
test_merge(void)
{
	run(merge);
}

static void
readonly(void *arg)
{
	static const char *const bad[] = {
		"{\"id\":\"00000000-0000-7000-8000-000000000002\"}",
		"{\"version\":99}", "{\"version\":\"1\"}",
		"{\"created_at\":\"2020-01-01T00:00:00.000000Z\"}",
		"{\"updated_at\":\"2999-01-01T00:00:00.000000Z\"}",
		"{\"user_id\":null}", "{\"agent_state\":\"error\"}"
	};
	struct agent *a = create(&ada, "{\"name\":\"x\"}"), *b;

	(void)arg;
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	for (size_t i = 0; i < N_ITEMS(bad); i++)
		CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE, bad[i], 0, &b),
		    ERR_VALIDATION_FAILED);
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE, "{\"purpose\":\"p\"}",
			    0, &b),
	    ERR_NONE);
	/* An old version in a body is no reason to refuse; If-Match is. */
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_REPLACE, text_of(a), 0, &b),
	    ERR_NONE);
	CU_ASSERT_EQUAL(b->version, 3);
}

static void
test_readonly(void)
{
	run(readonly);
}

static void
versions(void *arg)
{
	struct agent *a = create(&ada, "{\"name\":\"x\"}"), *b;
	struct rows *rows = NULL;
	struct sql_arg id;

	(void)arg;
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE, "{\"name\":\"y\"}", 1,
			    &b),
	    ERR_NONE);
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE, "{\"name\":\"z\"}", 1,
			    &b),
	    ERR_VERSION_CONFLICT);
	CU_ASSERT_EQUAL(jget_int(err.extra, "current_version", 0), 2);
	CU_ASSERT_EQUAL(agent_delete(env.store, &ada, a->id, 1, NULL),
	    AS_CONFLICT);
	id = SQL_UUID(a->id);
	CU_ASSERT_EQUAL(store_db_run(env.db,
			    "SELECT version, definition FROM agent_versions"
			    " WHERE agent_id = $1 ORDER BY version",
			    &id, 1, &rows, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL_FATAL(rows_count(rows), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(rows_text(rows, 1, 1), "\"name\":\"y\""));
	rows_free(rows);
}

static void
test_versions(void)
{
	run(versions);
}

static struct uuid race_id;
static int race_left;

static void
race_one(void *arg)
{
	struct json_object *b = json_tokener_parse(arg);
	struct arena *own = arena_new(NULL);
	struct agent *a;

	CU_ASSERT_EQUAL(agent_update(env.store, NULL, &ada, race_id,
			    AGENT_MERGE, b, 0, own, &a, NULL),
	    AS_OK);
	json_object_put(b);
	arena_free(own);
	race_left--;
}

/* Merges at once of different members: none is lost. */
static void
race(void *arg)
{
	static char patches[4][64] = { "{\"name\":\"n\"}",
		"{\"purpose\":\"p\"}", "{\"description\":\"d\"}",
		"{\"system_prompt\":\"s\"}" };
	struct agent *a = create(&ada, "{\"name\":\"x\"}");
	struct fiber_ref refs[4];

	(void)arg;
	race_id = a->id;
	race_left = 4;
	for (int i = 0; i < 4; i++)
		refs[i] = fiber_spawn(env.loop, "race", race_one, patches[i]);
	for (int i = 0; i < 4; i++)
		fiber_join(refs[i], 0);
	CU_ASSERT_EQUAL(race_left, 0);
	CU_ASSERT_EQUAL(show(&ada, race_id, &a), ERR_NONE);
	CU_ASSERT_EQUAL(a->version, 5);
	CU_ASSERT_STRING_EQUAL(a->name, "n");
	CU_ASSERT_STRING_EQUAL(a->purpose, "p");
	CU_ASSERT_STRING_EQUAL(a->description, "d");
	CU_ASSERT_STRING_EQUAL(a->system_prompt, "s");
}

static void
test_race(void)
{
	run(race);
}

static void
strangers(void *arg)
{
	struct agent *mine = create(&ada, "{\"name\":\"x\"}"), *a;
	struct agent *open = create(&ada,
	    "{\"name\":\"x\",\"is_public\":true,"
	    "\"memory\":{\"enabled\":true,\"facts\":[\"secret\"]}}");
	struct principal other = bob;

	(void)arg;
	CU_ASSERT_EQUAL(show(&bob, mine->id, &a), ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(change(&bob, mine->id, AGENT_MERGE, "{\"name\":\"y\"}",
			    0, &a),
	    ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(agent_delete(env.store, &bob, mine->id, 0, NULL),
	    AS_NOTFOUND);
	CU_ASSERT_EQUAL(show(&bob, open->id, &a), ERR_NONE);
	CU_ASSERT_PTR_NULL(strstr(text_of(a), "secret"));
	CU_ASSERT_EQUAL(change(&bob, open->id, AGENT_MERGE, "{\"name\":\"y\"}",
			    0, &a),
	    ERR_FORBIDDEN);
	CU_ASSERT_EQUAL(agent_delete(env.store, &bob, open->id, 0, NULL),
	    AS_FORBIDDEN);
	/* Another tenant: not even the public one. */
	other.tenant_id = uuid_v7();
	CU_ASSERT_EQUAL(show(&other, open->id, &a), ERR_NOT_FOUND);
}

static void
test_strangers(void)
{
	run(strangers);
}

static void
lists(void *arg)
{
	struct agent_query q = { .limit = 2 };
	struct agent *list;
	struct uuid ids[3];
	size_t n;

	(void)arg;
	for (int i = 0; i < 3; i++)
		ids[i] = create(&ada, "{\"name\":\"x\",\"is_public\":true}")
			     ->id;
	CU_ASSERT_EQUAL(agent_list(env.store, &ada, &q, arena, &list, &n, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL_FATAL(n, 2);
	CU_ASSERT(uuid_equal(list[0].id, ids[2]));
	q.before = list[1].id;
	CU_ASSERT_EQUAL(agent_list(env.store, &ada, &q, arena, &list, &n, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL_FATAL(n, 1);
	CU_ASSERT(uuid_equal(list[0].id, ids[0]));
	q = (struct agent_query){ .limit = 100 };
	CU_ASSERT_EQUAL(agent_list(env.store, &bob, &q, arena, &list, &n, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(n, 0);
	q.with_public = true;
	CU_ASSERT_EQUAL(agent_list(env.store, &bob, &q, arena, &list, &n, NULL),
	    AS_OK);
	CU_ASSERT(n >= 3);
	CU_ASSERT(uuid_equal(list[0].id, ids[2]));
}

static void
test_lists(void)
{
	run(lists);
}

static void
tombstone(void *arg)
{
	struct agent *a = create(&ada, "{\"name\":\"x\",\"is_public\":true}"),
		     *b;
	struct agent_query q = { .limit = 10, .with_public = true };
	struct uuid id = a->id;
	size_t n;

	(void)arg;
	CU_ASSERT_EQUAL(agent_delete(env.store, &ada, id, 1, NULL), AS_OK);
	CU_ASSERT_EQUAL(show(&ada, id, &b), ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(agent_delete(env.store, &ada, id, 0, NULL),
	    AS_NOTFOUND);
	CU_ASSERT_EQUAL(change(&ada, id, AGENT_MERGE, "{\"name\":\"y\"}", 0,
			    &b),
	    ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(agent_list(env.store, &ada, &q, arena, &b, &n, NULL),
	    AS_OK);
	CU_ASSERT(n == 0 || !uuid_equal(b[0].id, id));
	CU_ASSERT_EQUAL(agent_load(env.store, id, arena, &b, NULL), AS_OK);
	CU_ASSERT(b->deleted);
	CU_ASSERT_EQUAL(agent_remember(env.store, id, "fact", NULL),
	    AS_NOTFOUND);
}

static void
test_tombstone(void)
{
	run(tombstone);
}

static void
remember(void *arg)
{
	struct agent *a = create(&ada, "{\"name\":\"x\"}");
	char fact[600];

	(void)arg;
	CU_ASSERT_EQUAL(agent_remember(env.store, a->id, "tea, not coffee",
			    NULL),
	    AS_FORBIDDEN);
	CU_ASSERT_EQUAL(change(&ada, a->id, AGENT_MERGE,
			    "{\"memory\":{\"enabled\":true}}", 0, &a),
	    ERR_NONE);
	CU_ASSERT_EQUAL(agent_remember(env.store, a->id, "tea, not coffee",
			    NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(agent_remember(env.store, a->id, "tea, not coffee",
			    NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(show(&ada, a->id, &a), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(a->text.memory,
	    "{\"enabled\":true,\"facts\":[\"tea, not coffee\"]}");
	CU_ASSERT_EQUAL(a->version, 3);
	memset(fact, 'x', sizeof(fact));
	fact[501] = '\0';
	CU_ASSERT_EQUAL(agent_remember(env.store, a->id, fact, NULL),
	    AS_INVALID);
	CU_ASSERT_EQUAL(agent_remember(env.store, a->id, "", NULL), AS_INVALID);
	for (int i = 1; i < AGENT_FACTS_MAX; i++) {
		snprintf(fact, sizeof(fact), "fact %d", i);
		CU_ASSERT_EQUAL(agent_remember(env.store, a->id, fact, NULL),
		    AS_OK);
	}
	CU_ASSERT_EQUAL(agent_remember(env.store, a->id, "one more", NULL),
	    AS_LIMIT);
}

static void
test_remember(void)
{
	run(remember);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "defaults", test_defaults },
		{ "unknown toolkits and models", test_unknown },
		{ "approval", test_approval },
		{ "replace", test_replace },
		{ "merge", test_merge },
		{ "read-only members", test_readonly },
		{ "versions", test_versions },
		{ "merges at once", test_race },
		{ "strangers", test_strangers },
		{ "lists", test_lists },
		{ "tombstone", test_tombstone },
		{ "remember", test_remember },
		CU_TEST_INFO_NULL,
	};

	return env_main("agent", tests, env_close);
}
