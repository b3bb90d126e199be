/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/engine_env.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/operator.h"

/* See engine_env.h. */

struct test_bed bed;

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

static bool
is_trusted(void *arg)
{
	return !bed.distrust && (int64_t)(intptr_t)arg == bed.epoch;
}

static void
notify_cancel(void *arg, struct uuid id)
{
	(void)arg;
	engine_notify_cancel(bed.engine, id);
}

/* ---- What each test stands on -------------------------------------- */

void
bed_sql(const char *text, struct uuid a, struct uuid b)
{
	struct sql_arg args[] = { SQL_UUID(a), SQL_UUID(b), SQL_UUID(tenant) };

	MUST(store_db_run(env.db, text, args, 3, NULL, NULL) == AS_OK);
}

struct engine *
bed_engine(void)
{
	struct engine_config c = {
		.loop = env.loop,
		.runs = bed.runs,
		.world = bed.world,
		.bus = bed.bus,
		.live = bed.live,
		.breakers = bed.breakers,
		.env = { .arg = (void *)(intptr_t)bed.epoch,
		    .new_id = new_id,
		    .wall_us = wall_us,
		    .random = no_jitter,
		    .trusted = is_trusted },
		.epoch = bed.epoch,
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

static SUSPENDS void
stand_up(void)
{
	bed.runs = run_store_new(env.store);
	bed.world = world_new(NULL, env.store);
	MUST(run_store_node_join(bed.runs, "test", "1", 60000000, &bed.epoch,
		 &bed.err) == AS_OK);
	bed.engine = bed_engine();
	bed.ctx = (struct chat_ctx){ .store = env.store,
		.runs = bed.runs,
		.engine = bed.engine,
		.bus = bed.bus,
		.arena = bed.arena,
		.correlation_id = "test-test",
		.traceparent = "",
		.notify_cancel = notify_cancel };
	bed.ctx.who.user_id = uuid_v7();
	bed.ctx.who.tenant_id = tenant;
	bed.ctx.who.role = ROLE_MEMBER;
	bed.agent_id = uuid_v7();
	bed.thread_id = uuid_v7();
	bed_sql("INSERT INTO users (id, tenant_id, email, created_at, "
		"updated_at)"
		" SELECT $1, $3, lower(CAST(now_us() AS TEXT)) || '@x', 1, 1"
		" WHERE $2 IS NOT NULL",
	    bed.ctx.who.user_id, bed.agent_id);
	bed_sql("INSERT INTO agents (id, tenant_id, user_id, name, description,"
		" purpose, system_prompt, memory, agent_state, toolkits,"
		" suggested_task_prompts, suggested_job_prompts, is_public,"
		" version, created_at, updated_at) VALUES ($1, $3, $2, 'a', "
		"'', '',"
		" 'sys', '{\"enabled\":true,\"facts\":[]}', 'ready', '[\"t\"]',"
		" '[]', '[]', FALSE, 1, 1, 1)",
	    bed.agent_id, bed.ctx.who.user_id);
	MUST(run_store_thread_create(bed.runs, bed.thread_id, tenant,
		 bed.ctx.who.user_id, bed.agent_id, "", &bed.err) == AS_OK);
}

static void (*test_fn)(void);

static SUSPENDS void
test_fiber(void *arg)
{
	(void)arg;
	fiber_deadline_set(loop_now_ms(env.loop) + 60000);
	stand_up();
	test_fn();
	while (engine_active(bed.engine) > 0)
		fiber_yield();
	engine_free(bed.engine);
	world_free(bed.world);
	run_store_free(bed.runs);
}

void
bed_run(void (*fn)(void), const struct fake_turn *turns, int n)
{
	if (!env_ready())
		return;
	bed.arena = arena_new(NULL);
	bed.bus = bus_new_memory();
	bus_join(bed.bus, env.loop);
	bed.live = live_new();
	bed.breakers = breakers_new();
	bed.distrust = false;
	bed.multitask = 0;
	bed.drain_until = 0;
	fake_reset(turns, n);
	test_fn = fn;
	env_run(test_fiber, NULL);
	live_free(bed.live);
	breakers_free(bed.breakers);
	bus_leave(bed.bus, env.loop);
	bus_free(bed.bus);
	error_clear(&bed.err);
	arena_free(bed.arena);
}

SUSPENDS enum as_status
bed_send(const char *text)
{
	struct chat_message m = { .content = text,
		.len = strlen(text),
		.multitask = bed.multitask };
	struct chat_sent sent;
	enum as_status st;

	error_clear(&bed.err);
	st = chat_send(&bed.ctx, bed.thread_id, &m, &sent, &bed.err);
	if (st == AS_OK)
		bed.run_id = sent.run_id;
	return st;
}

SUSPENDS void
bed_until_hanging(int n)
{
	while (fake.n_hanging < n)
		if (fiber_yield() != FIBER_WOKEN)
			return;
}

SUSPENDS void
bed_send_hanging(int n)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until_hanging(n);
}

/* ---- Looking at what is stored ------------------------------------- */

SUSPENDS const char *
bed_run_member(const char *key)
{
	struct json_object *o = NULL;
	const char *s;

	MUST(run_read(&bed.ctx, bed.run_id, &o, &bed.err) == AS_OK);
	s = arena_strdup(bed.arena, json_text(jget(o, key)));
	json_object_put(o);
	return s;
}

SUSPENDS void
bed_wait_idle(struct engine *e)
{
	while (engine_active(e) > 0)
		if (fiber_yield() != FIBER_WOKEN)
			return;
}

SUSPENDS void
bed_wait_end(void)
{
	bed_wait_idle(bed.engine);
}

static void
releaser(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++)
		fiber_yield();
	fake_release();
}

void
bed_release_soon(void)
{
	MUST(fiber_spawn(env.loop, "releaser", releaser, NULL).f != NULL);
}

SUSPENDS const char *
bed_events(void)
{
	struct log_event *e = NULL;
	struct buf b = { 0 };
	const char *s;
	int n = 0;

	MUST(log_read(env.store, LOG_OF_THREAD, bed.thread_id, 0, 1000, &e, &n,
		 &bed.err) == AS_OK);
	for (int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(e[i].seq, i + 1);
		s = strstr(e[i].frame->data, "\"state\":\"");
		buf_printf(&b, "%s%s", i > 0 ? " " : "", e[i].type);
		if (strcmp(e[i].type, "run_status") == 0 && s != NULL)
			buf_printf(&b, ":%.*s", (int)strcspn(s + 9, "\""),
			    s + 9);
	}
	s = arena_strdup(bed.arena, b.data);
	buf_free(&b);
	log_events_free(e, n);
	return s;
}

#define STARTS "\"state\":\"running\",\"reason\":\""

SUSPENDS const char *
bed_starts(void)
{
	struct log_event *e = NULL;
	struct buf b = { 0 };
	const char *s;
	int n = 0;

	MUST(log_read(env.store, LOG_OF_RUN, bed.run_id, 0, 1000, &e, &n,
		 &bed.err) == AS_OK);
	for (int i = 0; i < n; i++) {
		s = strstr(e[i].frame->data, STARTS);
		if (strcmp(e[i].type, "run_status") != 0 || s == NULL)
			continue;
		s += strlen(STARTS);
		buf_printf(&b, "%s%.*s", b.len > 0 ? " " : "",
		    (int)strcspn(s, "\""), s);
	}
	s = arena_strdup(bed.arena, b.len > 0 ? b.data : "");
	buf_free(&b);
	log_events_free(e, n);
	return s;
}

static SUSPENDS struct json_object *
messages(void)
{
	struct json_object *items = NULL, *read = NULL;
	const char *text;
	int64_t next;

	MUST(thread_messages(&bed.ctx, bed.thread_id, (struct uuid){ 0 }, 0,
		 100, &items, &next, &bed.err) == AS_OK);
	text = json_text(items);
	MUST(json_parse(text, strlen(text), &read, NULL) == AS_OK);
	json_object_put(items);
	return read;
}

SUSPENDS void
bed_message(int i, const char *role, const char *content, const char *state)
{
	struct json_object *m = messages();
	struct json_object *one = json_object_array_get_idx(m,
	    i >= 0 ? (size_t)i : json_object_array_length(m) - (size_t)-i);

	CU_ASSERT_PTR_NOT_NULL_FATAL(one);
	CU_ASSERT_STRING_EQUAL(jget_str(one, "role", ""), role);
	CU_ASSERT_STRING_EQUAL(jget_str(one, "content", ""), content);
	CU_ASSERT_STRING_EQUAL(jget_str(one, "state", ""), state);
	json_object_put(m);
}

SUSPENDS int
bed_count(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id) };
	struct rows *r = NULL;
	int n;

	MUST(store_db_run(env.db, text, args, 1, &r, NULL) == AS_OK);
	n = (int)rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

SUSPENDS bool
bed_thread_is(const char *status)
{
	return bed_count(arena_printf(bed.arena,
		   "SELECT count(*) FROM threads t JOIN runs r"
		   " ON r.thread_id = t.id WHERE r.id = $1 AND t.status = '%s'"
		   " AND (t.active_run_id IS NULL) = (t.status = 'idle')",
		   status)) == 1;
}

SUSPENDS int
bed_jobs(void)
{
	return bed_count("SELECT count(*) FROM jobs WHERE run_id = $1");
}

SUSPENDS int
bed_calls(const char *state)
{
	return bed_count(arena_printf(bed.arena,
	    "SELECT count(*) FROM tool_invocations WHERE run_id = $1"
	    " AND state = '%s'",
	    state));
}

SUSPENDS int
bed_items(const char *kind, const char *status)
{
	return bed_count(arena_printf(bed.arena,
	    "SELECT count(*) FROM inbox_items WHERE run_id = $1"
	    " AND kind = '%s' AND status = '%s'",
	    kind, status));
}

SUSPENDS int
bed_questions(const char *status)
{
	return bed_items("approval", status) + bed_items("question", status);
}

SUSPENDS int
bed_events_of(const char *type)
{
	return bed_count(arena_printf(bed.arena,
	    "SELECT count(*) FROM run_events WHERE run_id = $1"
	    " AND type = '%s'",
	    type));
}

SUSPENDS const char *
bed_text(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id) };
	struct rows *r = NULL;
	const char *s = "";

	MUST(store_db_run(env.db, text, args, 1, &r, NULL) == AS_OK);
	if (rows_count(r) > 0 && !rows_is_null(r, 0, 0))
		s = arena_strdup(bed.arena, rows_text(r, 0, 0));
	rows_free(r);
	return s;
}

/* ---- Making things happen ------------------------------------------ */

SUSPENDS void
bed_until(const char *status)
{
	const char *quoted = arena_printf(bed.arena, "\"%s\"", status);

	while (strcmp(bed_run_member("status"), quoted) != 0)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_STRING_EQUAL(bed_run_member("status"), quoted);
}

SUSPENDS void
bed_cancel(bool rollback)
{
	error_clear(&bed.err);
	CU_ASSERT_EQUAL(chat_cancel(&bed.ctx, bed.run_id, rollback, "enough",
			    &bed.err),
	    AS_OK);
}

SUSPENDS enum as_status
bed_resume(const char *action, const char *model)
{
	error_clear(&bed.err);
	return run_resume(&bed.ctx, bed.run_id, action, model, &bed.err);
}

struct engine_limits *
bed_limits(void)
{
	return &bed.engine->c.limits;
}

SUSPENDS void
bed_until_text(const char *text)
{
	struct live_text t;
	bool there = false;

	while (!there) {
		if (live_get(bed.live, bed.thread_id, (struct uuid){ { 0 } }, 0,
			&t)) {
			there = strcmp(t.text.data, text) == 0;
			buf_free(&t.text);
		}
		if (!there && fiber_yield() != FIBER_WOKEN)
			return;
	}
}
/* The lease ends now, and the next process takes its place. */
static SUSPENDS int
epoch_next(void)
{
	int n = 0;

	MUST(run_store_node_leave(bed.runs, bed.epoch, &bed.err) == AS_OK);
	MUST(run_store_node_join(bed.runs, "next", "1", 60000000, &bed.epoch,
		 &bed.err) == AS_OK);
	MUST(run_store_reap(bed.runs, bed.epoch, false, 3600000000, &n,
		 &bed.err) == AS_OK);
	bed.ctx.engine = bed.engine = bed_engine();
	return n;
}

SUSPENDS void
bed_stop(bool dies)
{
	for (struct work *w = bed.engine->works; dies && w != NULL; w = w->next)
		w->lost = true;
	engine_drain(bed.engine, bed.drain_until);
}

SUSPENDS int
bed_next(void)
{
	int n;

	engine_free(bed.engine);
	n = epoch_next();
	engine_claim(bed.engine);
	return n;
}

SUSPENDS void
bed_restart(bool dies)
{
	bed_stop(dies);
	fake.tool_hangs = false;
	fake_release();
	CU_ASSERT_EQUAL(bed_next(), dies ? 1 : 0);
}

SUSPENDS struct engine *
bed_usurp(void)
{
	struct engine *old = bed.engine;

	CU_ASSERT_EQUAL(epoch_next(), 1);
	return old;
}
