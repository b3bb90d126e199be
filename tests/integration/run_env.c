/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/run_env.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/bus/live.h"
#include "core/run/work.h"
#include "tests/tap.h"

/* See run_env.h. */

struct engine_test et;

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };

static struct uuid
new_id(void *arg)
{
	(void)arg;
	return uuid_v7();
}

static int64_t
wall_us(void *arg)
{
	(void)arg;
	return clock_wall_us();
}

static uint32_t
no_jitter(void *arg, uint32_t n)
{
	(void)arg, (void)n;
	return 0;
}

static void
notify_cancel(void *arg, struct uuid id)
{
	(void)arg;
	engine_notify_cancel(et.engine, id);
}

static struct engine *
engine_make(void)
{
	struct engine_config c = {
		.loop = env.loop,
		.runs = et.runs,
		.world = et.world,
		.bus = et.bus,
		.live = et.live,
		.env = { .new_id = new_id,
		    .wall_us = wall_us,
		    .random = no_jitter },
		.epoch = et.epoch,
		.limits = { .max_steps = 5,
		    .max_tokens = 1000,
		    .max_wall_ms = 60000,
		    .model_tries = 1,
		    .call_timeout_ms = 30000,
		    .tool_timeout_ms = 30000,
		    .parallel_tools = 2,
		    .max_output = 100,
		    .slots = 4 },
	};

	return engine_new(&c);
}

static void
rows_make(void)
{
	struct uuid user = et.ctx.who.user_id;
	struct sql_arg args[] = { SQL_UUID(user), SQL_UUID(tenant),
		SQL_UUID(et.agent_id) };

	MUST(store_db_run(env.db,
		 "INSERT INTO users (id, tenant_id, email, created_at,"
		 " updated_at) SELECT $1, $2,"
		 " lower(CAST(now_us() AS TEXT)) || '@x', 1, 1"
		 " WHERE $3 IS NOT NULL",
		 args, 3, NULL, NULL) == AS_OK);
	MUST(store_db_run(env.db,
		 "INSERT INTO agents (id, tenant_id, user_id, name,"
		 " description, purpose, system_prompt, memory, agent_state,"
		 " toolkits, suggested_task_prompts, suggested_job_prompts,"
		 " is_public, version, created_at, updated_at) VALUES ($3, $2,"
		 " $1, 'a', '', '', 'sys', '{\"enabled\":true,\"facts\":[]}',"
		 " 'ready', '[\"t\"]', '[]', '[]', FALSE, 1, 1, 1)",
		 args, 3, NULL, NULL) == AS_OK);
}

static SUSPENDS void
stand_up(void)
{
	et.runs = run_store_new(env.store);
	et.world = world_new(NULL, env.store);
	MUST(run_store_node_join(et.runs, "test", "1", 60000000, &et.epoch,
		 NULL) == AS_OK);
	et.engine = engine_make();
	et.ctx = (struct chat_ctx){ .store = env.store,
		.runs = et.runs,
		.engine = et.engine,
		.bus = et.bus,
		.arena = et.arena,
		.correlation_id = "test-test",
		.traceparent = "",
		.notify_cancel = notify_cancel };
	et.ctx.who.user_id = uuid_v7();
	et.ctx.who.tenant_id = tenant;
	et.ctx.who.role = ROLE_MEMBER;
	et.agent_id = uuid_v7();
	et.thread_id = uuid_v7();
	rows_make();
	MUST(run_store_thread_create(et.runs, et.thread_id, tenant,
		 et.ctx.who.user_id, et.agent_id, "", NULL) == AS_OK);
}

static void (*test_fn)(void);

static SUSPENDS void
test_fiber(void *arg)
{
	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	stand_up();
	test_fn();
	et_wait_end();
	engine_free(et.engine);
	world_free(et.world);
	run_store_free(et.runs);
}

bool
et_run(void (*fn)(void), const struct fake_turn *turns, int n)
{
	if (!env_ready())
		return false;
	memset(&et, 0, sizeof(et));
	et.arena = arena_new(NULL);
	et.bus = bus_new_memory();
	bus_join(et.bus, env.loop);
	et.live = live_new();
	fake_reset(turns, n);
	test_fn = fn;
	env_run(test_fiber, NULL);
	live_free(et.live);
	bus_leave(et.bus, env.loop);
	bus_free(et.bus);
	arena_free(et.arena);
	return true;
}

/* ---- What happens to a run ----------------------------------------- */

SUSPENDS void
et_send(const char *text)
{
	struct chat_message m = { .content = text, .len = strlen(text) };
	struct chat_sent sent;
	struct error err = { 0 };

	MUST(chat_send(&et.ctx, et.thread_id, &m, &sent, &err) == AS_OK);
	et.run_id = sent.run_id;
}

SUSPENDS void
et_wait_end(void)
{
	while (engine_active(et.engine) > 0)
		if (fiber_yield() != FIBER_WOKEN)
			return;
}

SUSPENDS void
et_say(const char *text)
{
	et_send(text);
	et_wait_end();
}

SUSPENDS void
et_cancel(bool rollback)
{
	MUST(
	    chat_cancel(&et.ctx, et.run_id, rollback, "enough", NULL) == AS_OK);
}

SUSPENDS void
et_cancel_last(bool rollback)
{
	struct uuid last = et.run_id;
	struct sql_arg args[] = { SQL_UUID(et.thread_id), SQL_UUID(last) };
	struct rows *r = NULL;

	et_cancel(rollback);
	et_wait_end();
	MUST(store_db_run(env.db,
		 "SELECT id FROM runs WHERE thread_id = $1 AND id < $2"
		 " ORDER BY id DESC LIMIT 1",
		 args, 2, &r, NULL) == AS_OK);
	et.run_id = rows_uuid(r, 0, 0);
	rows_free(r);
}

SUSPENDS void
et_resume(const struct run_tool *decided)
{
	struct engine_resume how = { .reason = "retry",
		.items_close = "answered",
		.decided = decided };

	MUST(engine_resume(et.engine, et.run_id, &how, NULL) == AS_OK);
	engine_claim(et.engine);
	et_wait_end();
}

SUSPENDS void
et_take_up(void)
{
	struct event_list events = { 0 };
	struct thread_state thread;
	struct run_create c = { .run_id = uuid_v7(),
		.forked_from = et.run_id,
		.thread_id = et.thread_id,
		.agent_id = et.agent_id,
		.tenant_id = tenant,
		.user_id = et.ctx.who.user_id,
		.model = "fake/fake",
		.correlation_id = "test-test",
		.traceparent = "",
		.title = "",
		.now_us = clock_wall_us(),
		.events = &events };

	MUST(run_store_thread(et.runs, et.thread_id, tenant, et.ctx.who.user_id,
		 &thread, NULL) == AS_OK);
	c.heads = thread.heads;
	c.heads.run_seq = 0;
	c.message.sequence = thread.heads.msg_seq;
	c.deadline_at = c.now_us + 60000000;
	event_list_add_status(&events, RUN_QUEUED, "requeued", NULL, NULL);
	MUST(run_store_create(et.runs, &c, NULL) == AS_OK);
	event_list_clear(&events);
	et.run_id = c.run_id;
	engine_claim(et.engine);
	et_wait_end();
}

SUSPENDS void
et_unknown(struct run_tool *row)
{
	struct run_state s;
	struct run_tool *rows, want = *row;
	int n;

	MUST(run_store_state(et.runs, et.run_id, et.arena, &s, NULL) == AS_OK);
	MUST(run_store_tools(et.runs, et.run_id, s.step, et.arena, &rows, &n,
		 NULL) == AS_OK);
	for (int i = 0; i < n; i++)
		if (strcmp(rows[i].state, "unknown") == 0)
			*row = rows[i];
	row->state = want.state;
	row->result = want.result;
	row->resolution = want.resolution;
}

SUSPENDS void
et_until_text(const char *text)
{
	struct live_text t;
	bool there = false;

	while (!there) {
		if (live_get(et.live, et.thread_id, (struct uuid){ { 0 } }, 0,
			&t)) {
			there = strcmp(t.text.data, text) == 0;
			buf_free(&t.text);
		}
		if (!there && fiber_yield() != FIBER_WOKEN)
			return;
	}
}

SUSPENDS void
et_until_hanging(int n)
{
	while (fake.n_hanging < n)
		if (fiber_yield() != FIBER_WOKEN)
			return;
}

SUSPENDS void
et_take_over(bool dies)
{
	int64_t dead = et.epoch;
	int n = 0;

	for (struct work *w = et.engine->works; dies && w != NULL; w = w->next)
		w->lost = true;
	engine_drain(et.engine, 0);
	engine_free(et.engine);
	MUST(run_store_node_leave(et.runs, dead, NULL) == AS_OK);
	MUST(run_store_node_join(et.runs, "next", "1", 60000000, &et.epoch,
		 NULL) == AS_OK);
	MUST(run_store_reap(et.runs, et.epoch, false, 3600000000, &n, NULL) ==
	     AS_OK);
	MUST(n == (dies ? 1 : 0));
	et.ctx.engine = et.engine = engine_make();
	fake.tool_hangs = false;
	fake_release();
	engine_claim(et.engine);
}

/* ---- Looking and meddling ------------------------------------------ */

void
et_sql(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(et.run_id), SQL_UUID(et.thread_id) };

	MUST(store_db_run(env.db, text, args, strstr(text, "$2") ? 2 : 1, NULL,
		 NULL) == AS_OK);
}

int64_t
et_int(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(et.run_id) };
	struct rows *r = NULL;
	int64_t n;

	MUST(store_db_run(env.db, text, args, 1, &r, NULL) == AS_OK);
	n = rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

bool
et_status_is(const char *status)
{
	struct sql_arg args[] = { SQL_UUID(et.run_id) };
	struct rows *r = NULL;
	bool same;

	MUST(store_db_run(env.db, "SELECT status FROM runs WHERE id = $1", args,
		 1, &r, NULL) == AS_OK);
	same = strcmp(rows_text(r, 0, 0), status) == 0;
	if (!same)
		tap_note("status is %s, not %s", rows_text(r, 0, 0), status);
	rows_free(r);
	return same;
}
