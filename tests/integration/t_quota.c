/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/auth/seal.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/hook/hook.h"
#include "core/loop/fiber.h"
#include "core/plug/plug.h"
#include "core/sched/schedule.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* What a user has a number of: more of it than that, all at once. */

#define AT_ONCE 12 /* when there is room for ROOM */
#define ROOM 2

const struct plug_toolkit_info *
plug_toolkit_find(struct plug *p, const char *slug)
{
	(void)p;
	(void)slug;
	return NULL;
}

const struct plug_tool_info *
plug_tool_find(struct plug *p, const char *name)
{
	(void)p;
	(void)name;
	return NULL;
}

bool
plug_model_resolve(struct plug *p, const char *id, char *full, size_t full_len)
{
	(void)p;
	(void)id;
	snprintf(full, full_len, "demo/demo");
	return true;
}

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };

static struct principal who;
static struct uuid agent_id;
static struct seal *seal;
static struct arena *arena;

/* ---- One of each ----------------------------------------------------- */

typedef SUSPENDS enum as_status (*make_fn)(struct error *err);

static SUSPENDS enum as_status
make_webhook(struct error *err)
{
	struct hook_ctx ctx = { .store = env.store,
		.seal = seal,
		.who = who,
		.arena = arena,
		.agent_id = agent_id };
	struct json_object
	    *out = NULL,
	    *body = json_tokener_parse(
		"{\"url\":\"https://x.test/\",\"events\":[\"run.*\"]}");
	enum as_status st = webhook_create(&ctx, body, &out, err);

	json_object_put(out);
	json_object_put(body);
	return st;
}

static SUSPENDS enum as_status
make_trigger(struct error *err)
{
	struct hook_ctx ctx = { .store = env.store,
		.seal = seal,
		.who = who,
		.arena = arena,
		.agent_id = agent_id };
	struct json_object *out = NULL,
			   *body = json_tokener_parse("{\"task\":\"Read\"}");
	enum as_status st = trigger_create(&ctx, body, &out, err);

	json_object_put(out);
	json_object_put(body);
	return st;
}

static SUSPENDS enum as_status
make_schedule(struct error *err)
{
	struct chat_ctx chat = { .store = env.store,
		.who = who,
		.arena = arena };
	struct schedule_ctx ctx = { &chat, "/nowhere" };
	struct json_object *body = json_tokener_parse(
	    "{\"cron\":\"@daily\",\"timezone\":\"UTC\",\"task\":\"Read\"}");
	struct schedule s;
	enum as_status st = schedule_create(&ctx, agent_id, body, &s, err);

	json_object_put(body);
	return st;
}

/* ---- Many at once ---------------------------------------------------- */

static make_fn make;
static int max, n_made, n_refused;

static void
make_one(void *arg)
{
	struct error err = { 0 };
	enum as_status st = make(&err);

	(void)arg;
	if (st == AS_OK)
		n_made++;
	else if (err.code == ERR_CONFLICT)
		n_refused++;
	error_clear(&err);
}

static void
make_all(void *arg)
{
	struct fiber_ref refs[AT_ONCE];

	(void)arg;
	for (int i = 0; i < max - ROOM; i++)
		make_one(NULL);
	CU_ASSERT_EQUAL(n_made, max - ROOM);
	for (int i = 0; i < AT_ONCE; i++)
		refs[i] = fiber_spawn(env.loop, "make", make_one, NULL);
	for (int i = 0; i < AT_ONCE; i++)
		fiber_join(refs[i], 0);
	CU_ASSERT_EQUAL(n_made, max);
	CU_ASSERT_EQUAL(n_refused, AT_ONCE - ROOM);
}

static void
rows_make(void)
{
	char email[64], id[UUID_TEXT];
	struct sql_arg user[3], agent[3];

	who = (struct principal){ .user_id = uuid_v7(), .tenant_id = tenant };
	agent_id = uuid_v7();
	uuid_format(who.user_id, id);
	snprintf(email, sizeof(email), "%s@x.test", id);
	user[0] = SQL_UUID(who.user_id);
	user[1] = agent[1] = SQL_UUID(tenant);
	user[2] = SQL_TEXT(email);
	agent[0] = SQL_UUID(agent_id);
	agent[2] = SQL_UUID(who.user_id);
	MUST(store_db_run(env.db,
		 "INSERT INTO users (id, tenant_id, email, created_at,"
		 " updated_at) VALUES ($1, $2, $3, 1, 1)",
		 user, 3, NULL, NULL) == AS_OK);
	MUST(store_db_run(env.db,
		 "INSERT INTO agents (id, tenant_id, user_id, name, created_at,"
		 " updated_at) VALUES ($1, $2, $3, 'A', 1, 1)",
		 agent, 3, NULL, NULL) == AS_OK);
}

static void
check(make_fn fn, int of)
{
	if (!env_ready())
		return;
	make = fn;
	max = of;
	n_made = n_refused = 0;
	arena = arena_new(NULL);
	MUST(seal_new("/nowhere",
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 false, &seal, NULL) == AS_OK);
	rows_make();
	env_run(make_all, NULL);
	seal_free(seal);
	arena_free(arena);
}

static void
test_webhooks(void)
{
	check(make_webhook, HOOK_PER_USER);
}

static void
test_triggers(void)
{
	check(make_trigger, HOOK_PER_USER);
}

static void
test_schedules(void)
{
	check(make_schedule, SCHEDULES_MAX);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "webhooks", test_webhooks },
		{ "triggers", test_triggers },
		{ "schedules", test_schedules },
		CU_TEST_INFO_NULL,
	};

	return env_main("quota", tests, env_close);
}
