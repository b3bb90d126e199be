/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/run_env.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/run/work.h"

/* See run_env.h. */

SUSPENDS void
et_say(const char *text)
{
	MUST(bed_send(text) == AS_OK);
	bed_wait_end();
}

SUSPENDS void
et_cancel_last(bool rollback)
{
	struct uuid last = bed.run_id;
	struct sql_arg args[] = { SQL_UUID(bed.thread_id), SQL_UUID(last) };
	struct rows *r = NULL;

	bed_cancel(rollback);
	bed_wait_end();
	MUST(store_db_run(env.db,
		 "SELECT id FROM runs WHERE thread_id = $1 AND id < $2"
		 " ORDER BY id DESC LIMIT 1",
		 args, 2, &r, NULL) == AS_OK);
	bed.run_id = rows_uuid(r, 0, 0);
	rows_free(r);
}

SUSPENDS void
et_resume(const struct run_tool *decided)
{
	struct engine_resume how = { .reason = "retry",
		.items_close = "answered",
		.decided = decided };

	MUST(engine_resume(bed.engine, bed.run_id, &how, NULL) == AS_OK);
	engine_claim(bed.engine);
	bed_wait_end();
}

SUSPENDS void
et_take_up(void)
{
	struct event_list events = { 0 };
	struct thread_state thread;
	struct run_create c = { .run_id = uuid_v7(),
		.forked_from = bed.run_id,
		.thread_id = bed.thread_id,
		.agent_id = bed.agent_id,
		.tenant_id = bed.ctx.who.tenant_id,
		.user_id = bed.ctx.who.user_id,
		.model = "fake/fake",
		.correlation_id = "test-test",
		.traceparent = "",
		.title = "",
		.now_us = clock_wall_us(),
		.events = &events };

	MUST(run_store_thread(bed.runs, bed.thread_id, bed.ctx.who.tenant_id,
		 bed.ctx.who.user_id, &thread, NULL) == AS_OK);
	c.heads = thread.heads;
	c.heads.run_seq = 0;
	c.message.sequence = thread.heads.msg_seq;
	c.deadline_at = c.now_us + 60000000;
	event_list_add_status(&events, RUN_QUEUED, "requeued", NULL, NULL);
	MUST(run_store_create(bed.runs, &c, NULL) == AS_OK);
	event_list_clear(&events);
	bed.run_id = c.run_id;
	engine_claim(bed.engine);
	bed_wait_end();
}

SUSPENDS void
et_unknown(struct run_tool *row)
{
	struct run_state s;
	struct run_tool *rows, want = *row;
	int n;

	MUST(run_store_state(bed.runs, bed.run_id, bed.arena, &s, NULL) ==
	     AS_OK);
	MUST(run_store_tools(bed.runs, bed.run_id, s.step, bed.arena, &rows, &n,
		 NULL) == AS_OK);
	for (int i = 0; i < n; i++)
		if (strcmp(rows[i].state, "unknown") == 0)
			*row = rows[i];
	row->state = want.state;
	row->result = want.result;
	row->resolution = want.resolution;
}

/* ---- Looking and meddling ------------------------------------------ */

void
et_sql(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id),
		SQL_UUID(bed.thread_id) };

	MUST(store_db_run(env.db, text, args, strstr(text, "$2") ? 2 : 1, NULL,
		 NULL) == AS_OK);
}

int64_t
et_int(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id) };
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
	struct sql_arg args[] = { SQL_UUID(bed.run_id) };
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
