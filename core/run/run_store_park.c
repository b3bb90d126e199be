/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_store_park.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/json_write.h"
#include "core/run/run_block.h"

/* See run_store_park.h; the same statements on both databases. */

#define OURS " FROM runs r WHERE r.id = $1 AND r.last_commit_id = $2"

SQL(JOB_AGAIN,
    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at, enqueued_at,"
    " state, attempts) SELECT 'run', r.class, r.id, r.tenant_id, $3, $4, 0, "
    "0" OURS " ON CONFLICT (run_id) WHERE kind = 'run' DO UPDATE SET state = 0,"
    " owner_epoch = NULL, leased_at = NULL, run_at = excluded.run_at");

/* A run that waits for its time is cancelled now. */
SQL(JOB_NOW, "UPDATE jobs SET run_at = $3 WHERE kind = 'run' AND state = 0"
	     " AND run_at > $3 AND run_id IN (SELECT r.id" OURS ")");

SQL(JOB_GONE, "DELETE FROM jobs WHERE kind = 'run' AND run_id IN"
	      " (SELECT r.id" OURS ")");

SQL(JOB_DEAD,
    "INSERT INTO jobs_dead (tenant_id, job_id, kind, class, run_id, run_at,"
    " enqueued_at, attempts, payload, run_snapshot, reason, errors, died_at)"
    " SELECT j.tenant_id, j.id, j.kind, j.class, j.run_id, j.run_at,"
    " j.enqueued_at, j.attempts, j.payload, $3, $4, $5, $6 FROM jobs j"
    " WHERE j.kind = 'run' AND j.run_id IN (SELECT r.id" OURS ")");

SQL(ITEM_NEW,
    "INSERT INTO inbox_items (id, tenant_id, user_id, agent_id, thread_id,"
    " run_id, correlation_id, interrupt_id, step, ordinal, kind, title,"
    " description, action_request, config, status, created_at, updated_at,"
    " task_id, expires_at, on_expire)"
    " SELECT $3, r.tenant_id, $4, $5, r.thread_id, r.id, $6, $7, r.step, $8,"
    " $9, $10, $11, $12, $13, 'pending', $14, $14, $15, $16, $17" OURS
    " ON CONFLICT (run_id, interrupt_id) DO NOTHING");

SQL(ITEMS_CLOSE,
    "UPDATE inbox_items SET status = $3, response_type = $4, response = $5,"
    " responded_by = $6, responded_at = $7, updated_at = $7"
    " WHERE status = 'pending' AND ($8 IS NULL OR id = $8)"
    " AND ($9 = 0 OR kind NOT IN ('approval', 'question'))"
    " AND run_id IN (SELECT r.id" OURS ")");

/* A person has changed what a call is made with. */
SQL(TOOL_ARGS,
    "UPDATE tool_invocations SET args = $4, args_hash = $5, effect = $6,"
    " key_valid_until = $7 WHERE id = $3 AND state IN ('planned', 'started')"
    " AND run_id IN (SELECT r.id" OURS ")");

bool
run_tool_is_open(const struct run_tool *t)
{
	return strcmp(t->state, "planned") == 0 ||
	       strcmp(t->state, "awaiting_approval") == 0 ||
	       strcmp(t->state, "parked") == 0 ||
	       strcmp(t->state, "started") == 0;
}

const char *
run_tool_resolution(const struct run_tool *t)
{
	return t->resolution != NULL ? t->resolution : "auto";
}

static bool
has_new_args(const struct run_commit *c)
{
	for (int i = 0; i < c->n_tools_done; i++)
		if (c->tools_done[i].new_args)
			return true;
	return false;
}

bool
run_store_parks(const struct run_commit *c)
{
	return (run_is_open(c->to) && c->to != RUN_RUNNING) ||
	       c->n_items_new > 0 || c->n_answers > 0 ||
	       c->items_close != NULL || c->dead_reason != NULL ||
	       has_new_args(c) || run_block_concerns(c);
}

/* What is closed first is what was there before. */
static void
add_items(struct batch *b, const struct run_commit *c)
{
	const struct run_item *t;

	if (c->items_close != NULL)
		BATCH_ADD(b, &ITEMS_CLOSE, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_TEXT(c->items_close),
		    SQL_TEXT(c->response_type), SQL_TEXT(c->response),
		    sql_uuid_or_null(c->responded_by), SQL_INT(c->now_us),
		    sql_uuid_or_null(c->item_id),
		    SQL_INT(run_is_open(c->to) ? 1 : 0));
	for (int i = 0; i < c->n_answers; i++)
		run_inbox_add(b, c, &c->answers[i]);
	for (int i = 0; i < c->n_items_new; i++) {
		t = &c->items_new[i];
		BATCH_ADD(b, &ITEM_NEW, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_UUID(t->id),
		    SQL_UUID(t->user_id), SQL_UUID(t->agent_id),
		    SQL_TEXT(t->correlation_id), SQL_UUID(t->interrupt_id),
		    SQL_INT(t->ordinal), SQL_TEXT(t->kind), SQL_TEXT(t->title),
		    SQL_TEXT(t->description), SQL_TEXT(t->action_request),
		    SQL_TEXT(t->config), SQL_INT(c->now_us),
		    sql_uuid_or_null(t->task_id), sql_time(t->expires_at),
		    SQL_TEXT(t->on_expire));
	}
}

static const char *
snapshot(struct batch *b, const struct run_commit *c)
{
	struct buf s = { 0 };
	const char *text;

	jw_open(&s, NULL);
	jw_str(&s, "status", run_status_name(c->from));
	jw_int(&s, "step", c->step);
	jw_int(&s, "fence", c->fence);
	jw_int(&s, "head_seq", c->heads.run_seq);
	jw_int(&s, "attempt", c->attempt);
	jw_close(&s);
	text = arena_strndup(b->arena, s.data, s.len);
	buf_free(&s);
	return text;
}

static void
add_job(struct batch *b, const struct run_commit *c)
{
	struct sql_arg run = SQL_UUID(c->run_id);
	struct sql_arg commit = SQL_UUID(c->commit_id);

	if (c->dead_reason != NULL)
		BATCH_ADD(b, &JOB_DEAD, run, commit, SQL_TEXT(snapshot(b, c)),
		    SQL_TEXT(c->dead_reason),
		    SQL_TEXT(c->error != NULL
				 ? arena_printf(b->arena, "[%s]", c->error)
				 : "[]"),
		    SQL_INT(c->now_us));
	if (run_commit_queues(c))
		BATCH_ADD(b, &JOB_AGAIN, run, commit, SQL_INT(c->run_at),
		    SQL_INT(c->now_us));
	else if (c->to == RUN_CANCELLING)
		BATCH_ADD(b, &JOB_NOW, run, commit, SQL_INT(c->now_us));
	else if (c->to != RUN_RUNNING)
		BATCH_ADD(b, &JOB_GONE, run, commit);
}

static void
add_args(struct batch *b, const struct run_commit *c)
{
	const struct run_tool *t;

	for (int i = 0; i < c->n_tools_done; i++)
		if ((t = &c->tools_done[i])->new_args)
			BATCH_ADD(b, &TOOL_ARGS, SQL_UUID(c->run_id),
			    SQL_UUID(c->commit_id), SQL_UUID(t->id),
			    SQL_TEXT(t->args),
			    SQL_BYTES(t->args_hash, HASH_LEN),
			    SQL_TEXT(t->effect), sql_time(t->key_until));
}

void
run_store_park_add(struct batch *b, const struct run_commit *c)
{
	add_args(b, c);
	add_items(b, c);
	add_job(b, c);
	run_block_add(b, c);
}
