/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/run/batch.h"
#include "core/run/run_block.h"
#include "core/run/run_branch.h"
#include "core/run/run_outbox.h"
#include "core/run/run_store_child.h"
#include "core/run/run_store_impl.h"
#include "core/run/run_store_park.h"
#include "core/run/run_store_pg.h"

/*
 * The writes of the run engine.  On PostgreSQL the two hot ones are one
 * statement each (run_store_pg*.c); here is their body for SQLite.
 *
 * The first statement of a request, the guard, tests every belief of the caller
 * and stamps the run with the request's commit id.  The others are run only if
 * it has found its row, so they may say their values outright.
 */

/* ---- Shared by create and commit ----------------------------------- */

/* What the rows of one request have in common. */
struct origin {
	struct uuid run_id, thread_id, tenant_id;
	int64_t step, fence;
	int64_t now_us;
	const char *ns;
};

SQL(INSERT_EVENT,
    "INSERT INTO run_events (run_id, run_seq, thread_id, seq, tenant_id,"
    " step, ns, type, fence, payload, created_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $11, $7, $8, $9, $10)");

SQL(INSERT_MESSAGE,
    "INSERT INTO messages (id, tenant_id, thread_id, sequence, run_id, ns,"
    " step, ordinal, role, content, parts, tool_name, tool_call_id, state,"
    " client_message_id, parent_id, usage, model, created_at)"
    " VALUES ($1, $2, $3, $4, $5, $19, $6, $7, $8, $9, $10, $11, $12, $13,"
    " $14, $15, $16, $17, $18)");

static void
add_events(struct batch *b, const struct origin *o,
    const struct run_heads *heads, const struct event_list *events)
{
	for (int i = 0; i < events->n; i++)
		BATCH_ADD(b, &INSERT_EVENT, SQL_UUID(o->run_id),
		    SQL_INT(heads->run_seq + 1 + i), SQL_UUID(o->thread_id),
		    SQL_INT(heads->seq + 1 + i), SQL_UUID(o->tenant_id),
		    SQL_INT(o->step), SQL_TEXT(events->items[i].type),
		    SQL_INT(o->fence), SQL_TEXT(events->items[i].body),
		    SQL_INT(o->now_us), SQL_TEXT(o->ns));
}

static void
add_message(struct batch *b, const struct origin *o,
    const struct run_message *m)
{
	BATCH_ADD(b, &INSERT_MESSAGE, SQL_UUID(m->id), SQL_UUID(o->tenant_id),
	    SQL_UUID(o->thread_id), SQL_INT(m->sequence), SQL_UUID(o->run_id),
	    SQL_INT(m->step), SQL_INT(m->ordinal), SQL_TEXT(m->role),
	    SQL_TEXT(m->content), SQL_TEXT(m->parts), SQL_TEXT(m->tool_name),
	    SQL_TEXT(m->tool_call_id), SQL_TEXT(m->state),
	    SQL_TEXT(m->client_message_id), sql_uuid_or_null(m->parent_id),
	    SQL_TEXT(m->usage), SQL_TEXT(m->model), SQL_INT(m->created_at),
	    SQL_TEXT(o->ns));
}

/* ---- Create -------------------------------------------------------- */

SQL(INSERT_THREAD,
    "INSERT INTO threads (id, tenant_id, user_id, agent_id, title, created_at,"
    " updated_at) VALUES ($1, $2, $3, $4, $5, now_us(), now_us())");

SUSPENDS enum as_status
run_sql_thread_create(void *arg, struct uuid id, struct uuid tenant_id,
    struct uuid user_id, struct uuid agent_id, const char *title,
    struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(tenant_id),
		SQL_UUID(user_id), SQL_UUID(agent_id), SQL_TEXT(title) };

	return store_exec(store, &INSERT_THREAD, args, 5, NULL, err);
}

SQL(TAKE_THREAD,
    "UPDATE threads SET status = 'busy', active_run_id = $2, head_seq = $5,"
    " next_msg_seq = $10, version = version + 1, updated_at = $6,"
    " active_leaf = COALESCE($11, active_leaf),"
    " head_checkpoint_id = COALESCE($12, head_checkpoint_id),"
    " title = CASE WHEN title = '' THEN $7 ELSE title END"
    " WHERE id = $1 AND active_run_id IS NULL AND head_seq = $3"
    " AND next_msg_seq = $4 AND tenant_id = $8 AND user_id = $9");

SQL(NEW_THREAD,
    "INSERT INTO threads (id, tenant_id, user_id, agent_id, title, status,"
    " active_run_id, head_seq, next_msg_seq, version, created_at, updated_at)"
    " VALUES ($1, $7, $8, $9, $6, 'busy', $2, $3, $5, 2, $4, $4)");

SQL(INSERT_RUN,
    "INSERT INTO runs (id, tenant_id, thread_id, user_id, agent_id, kind,"
    " class, status, correlation_id, traceparent, created_by_user_id,"
    " root_run_id, checkpoint_ns, step, head_seq, fence, version,"
    " last_commit_id, owner_epoch, attempt, deadline_at, model, created_at,"
    " updated_at, started_at, holds_thread, forked_from_run, origin, dedup,"
    " forked_from_checkpoint, branch_leaf, branch_before, beside, fork_mode,"
    " multitask)"
    " VALUES ($1, $2, $3, $4, $5, $17, $18, $6, $7, $8, $4, $1, '',"
    " 0, $9, $10, 1, $1, $11, 0, $12, $13, $14, $14, $15, TRUE, $16, $19,"
    " $20, $21, $22, $23, $24, $25, $26)");

SQL(INSERT_JOB,
    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at, enqueued_at,"
    " state, owner_epoch, leased_at, attempts)"
    " VALUES ('run', $7, $1, $2, $8, $3, $4, $5, $6, 0)");

static void
add_run(struct batch *b, const struct run_create *c)
{
	bool owned = c->owner_epoch != 0;
	struct sql_arg owner = owned ? SQL_INT(c->owner_epoch) : SQL_NULL;
	struct sql_arg since = owned ? SQL_INT(c->now_us) : SQL_NULL;

	BATCH_ADD(b, &INSERT_RUN, SQL_UUID(c->run_id), SQL_UUID(c->tenant_id),
	    SQL_UUID(c->thread_id), SQL_UUID(c->user_id), SQL_UUID(c->agent_id),
	    SQL_TEXT(run_status_name(owned ? RUN_RUNNING : RUN_QUEUED)),
	    SQL_TEXT(c->correlation_id), SQL_TEXT(c->traceparent),
	    SQL_INT(c->events->n), SQL_INT(owned ? 1 : 0), owner,
	    SQL_INT(c->deadline_at), SQL_TEXT(c->model), SQL_INT(c->now_us),
	    since, sql_uuid_or_null(c->forked_from),
	    SQL_TEXT(run_create_kind(c)), SQL_INT(c->class),
	    SQL_TEXT(c->origin), SQL_TEXT(c->dedup),
	    sql_uuid_or_null(c->fork.checkpoint_id),
	    sql_uuid_or_null(c->branch.leaf),
	    sql_uuid_or_null(c->branch.before), SQL_BOOL(c->branch.beside),
	    SQL_TEXT(c->fork.mode), SQL_TEXT(c->multitask));
	BATCH_ADD(b, &INSERT_JOB, SQL_UUID(c->run_id), SQL_UUID(c->tenant_id),
	    SQL_INT(c->now_us), SQL_INT(owned ? 1 : 0), owner, since,
	    SQL_INT(c->class), SQL_INT(run_create_at(c)));
}

static void
add_thread(struct batch *b, const struct run_create *c)
{
	struct sql_arg head = SQL_INT(c->heads.seq + c->events->n);
	struct sql_arg next = SQL_INT(
	    c->heads.msg_seq + (uuid_is_nil(c->message.id) ? 0 : 1));

	if (c->new_thread)
		BATCH_ADD(b, &NEW_THREAD, SQL_UUID(c->thread_id),
		    SQL_UUID(c->run_id), head, SQL_INT(c->now_us), next,
		    SQL_TEXT(c->title), SQL_UUID(c->tenant_id),
		    SQL_UUID(c->user_id), SQL_UUID(c->agent_id));
	else
		BATCH_ADD(b, &TAKE_THREAD, SQL_UUID(c->thread_id),
		    SQL_UUID(c->run_id), SQL_INT(c->heads.seq),
		    SQL_INT(c->heads.msg_seq), head, SQL_INT(c->now_us),
		    SQL_TEXT(c->title), SQL_UUID(c->tenant_id),
		    SQL_UUID(c->user_id), next,
		    sql_uuid_or_null(run_create_leaf(c)),
		    sql_uuid_or_null(run_create_head(c)));
}

SUSPENDS enum as_status
run_sql_create(void *arg, const struct run_create *c, struct error *err)
{
	struct store *store = arg;
	struct origin o = { c->run_id, c->thread_id, c->tenant_id, 0,
		c->owner_epoch != 0 ? 1 : 0, c->now_us, "" };
	struct batch b;
	enum as_status st;

	if (c->block_pos != 0)
		return run_block_create(store, c, err);
	if (store_dialect(store) == STORE_POSTGRES)
		return run_store_pg_create(store, c, err);
	batch_init(&b);
	add_thread(&b, c);
	add_run(&b, c);
	if (run_create_forks(c))
		run_branch_add_fork(&b, c);
	if (!uuid_is_nil(c->message.id))
		add_message(&b, &o, &c->message);
	add_events(&b, &o, &c->heads, c->events);
	st = batch_run(&b, store, err);
	batch_fini(&b);
	return st;
}

/* ---- Commit -------------------------------------------------------- */

SQL(GUARD_RUN,
    "UPDATE runs SET last_commit_id = $2, status = $3, holds_thread = $4,"
    " step = step + $5, fence = fence + $6, head_seq = $7,"
    " version = version + 1, updated_at = $8,"
    " checkpoint_id = COALESCE($9, checkpoint_id),"
    " usage = COALESCE($10, usage), used_tokens = used_tokens + $11,"
    " error_code = $12, error = $13,"
    " cancel_mode = COALESCE($14, cancel_mode),"
    " cancel_requested_at = COALESCE(cancel_requested_at, $15),"
    " completed_at = $16, owner_epoch = CASE WHEN $3 IN ('running',"
    " 'cancelling') THEN owner_epoch END, attempt = $25, next_attempt_at = $26,"
    " used_cost_micros = used_cost_micros + $27,"
    " model = COALESCE($28, model), budget = COALESCE($29, budget),"
    " deadline_at = COALESCE($30, deadline_at)"
    " WHERE id = $1 AND status = $18 AND step = $19 AND head_seq = $20"
    " AND fence = $21 AND thread_id = $22 AND tenant_id = $23"
    " AND (SELECT t.head_seq FROM threads t WHERE t.id = $22) = $24"
    " AND $31 IN (0, version) AND $17 IN (0, owner_epoch)");

/* Before the thread moves on: its head is the parent. */
SQL(INSERT_CHECKPOINT,
    "INSERT INTO checkpoints (thread_id, ns, checkpoint_id, tenant_id,"
    " parent_id, run_id, step, source, manifest, state_hash, created_at)"
    " VALUES ($1, $9, $2, $3, CASE WHEN $9 = '' THEN COALESCE($10,"
    " (SELECT t.head_checkpoint_id FROM threads t WHERE t.id = $1))"
    " ELSE $10 END, $4, $5, 'loop', $6, $7, $8)");

/* A subagent moves the heads of its logs, and nothing else. */
SQL(MOVE_THREAD,
    "UPDATE threads SET head_seq = $2, next_msg_seq = $3, updated_at = $4,"
    " version = version + 1, status = COALESCE($7, status),"
    " active_run_id = CASE WHEN $5 = 1 THEN NULL ELSE active_run_id END,"
    " head_checkpoint_id = COALESCE($6, head_checkpoint_id),"
    " active_leaf = COALESCE($8, active_leaf) WHERE id = $1");

SQL(INSERT_TOOL,
    "INSERT INTO tool_invocations (id, tenant_id, run_id, ns, step, ordinal,"
    " tool_call_id, idem_key, tool, tool_version, effect, args_hash, args,"
    " state, fence, attempt, created_at, started_at, dispatch_deadline, "
    "key_valid_until)"
    " VALUES ($1, $2, $3, $18, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
    " $14, 1, $15, $15, $16, $17)");

SQL(FINISH_TOOL,
    "UPDATE tool_invocations SET state = $3, result = $4, result_sha = $5,"
    " error_code = $6, completed_at = $7, resolution = $8, idem_key = $9,"
    " dispatch_deadline = $10"
    " WHERE id = $1 AND run_id = $2 AND state IN"
    " ('planned', 'awaiting_approval', 'parked', 'started', 'unknown')");

SQL(VOID_MESSAGES,
    "UPDATE messages SET state = 'rolled_back' WHERE run_id = $1");

SQL(DELETE_JOB, "DELETE FROM jobs WHERE kind = 'run' AND run_id = $1");

static void
add_guard(struct batch *b, const struct run_commit *c)
{
	bool ends = !run_is_open(c->to);

	BATCH_ADD(b, &GUARD_RUN, SQL_UUID(c->run_id), SQL_UUID(c->commit_id),
	    SQL_TEXT(run_status_name(c->to)), SQL_BOOL(run_commit_holds(c)),
	    SQL_INT(c->advance ? 1 : 0), SQL_INT(c->bump_fence ? 1 : 0),
	    SQL_INT(c->heads.run_seq + c->events->n), SQL_INT(c->now_us),
	    sql_uuid_or_null(c->checkpoint_id), SQL_TEXT(c->usage),
	    SQL_INT(c->tokens), SQL_TEXT(c->error_code), SQL_TEXT(c->error),
	    SQL_TEXT(c->cancel_mode),
	    c->cancel_mode != NULL ? SQL_INT(c->now_us) : SQL_NULL,
	    ends ? SQL_INT(c->now_us) : SQL_NULL, SQL_INT(c->owner),
	    SQL_TEXT(run_status_name(c->from)), SQL_INT(c->step),
	    SQL_INT(c->heads.run_seq), SQL_INT(c->fence),
	    SQL_UUID(c->thread_id), SQL_UUID(c->tenant_id),
	    SQL_INT(c->heads.seq), SQL_INT(c->attempt),
	    c->to == RUN_WAITING_TIMER ? SQL_INT(c->run_at) : SQL_NULL,
	    SQL_INT(c->cost_micros), SQL_TEXT(c->model), SQL_TEXT(c->budget),
	    sql_time(c->deadline_at), SQL_INT(c->version));
}

static struct sql_arg
result_sha(struct arena *arena, const char *result)
{
	uint8_t *sha = arena_alloc(arena, HASH_LEN);
	struct hash h;

	if (result == NULL)
		return SQL_NULL;
	hash_init(&h);
	hash_bytes(&h, result, strlen(result));
	hash_end(&h, sha);
	return SQL_BYTES(sha, HASH_LEN);
}

static void
add_tools(struct batch *b, const struct origin *o, const struct run_commit *c)
{
	const struct run_tool *t;

	for (int i = 0; i < c->n_tools_new; i++) {
		t = &c->tools_new[i];
		BATCH_ADD(b, &INSERT_TOOL, SQL_UUID(t->id),
		    SQL_UUID(o->tenant_id), SQL_UUID(o->run_id),
		    SQL_INT(t->step), SQL_INT(t->ordinal), SQL_TEXT(t->call_id),
		    SQL_TEXT(t->idem_key), SQL_TEXT(t->tool),
		    SQL_TEXT(t->version), SQL_TEXT(t->effect),
		    SQL_BYTES(t->args_hash, HASH_LEN), SQL_TEXT(t->args),
		    SQL_TEXT(t->state), SQL_INT(o->fence), SQL_INT(o->now_us),
		    SQL_INT(t->deadline_us), sql_time(t->key_until),
		    SQL_TEXT(o->ns));
	}
	for (int i = 0; i < c->n_tools_done; i++) {
		t = &c->tools_done[i];
		BATCH_ADD(b, &FINISH_TOOL, SQL_UUID(t->id), SQL_UUID(o->run_id),
		    SQL_TEXT(t->state), SQL_TEXT(t->result),
		    result_sha(b->arena, t->result), SQL_TEXT(t->error_code),
		    run_tool_is_open(t) ? SQL_NULL : SQL_INT(o->now_us),
		    SQL_TEXT(run_tool_resolution(t)), SQL_TEXT(t->idem_key),
		    sql_time(t->deadline_us));
	}
}

static void
add_moves(struct batch *b, const struct origin *o, const struct run_commit *c)
{
	struct run_heads after = run_commit_heads(c);
	bool root = o->ns[0] == '\0';

	if (!uuid_is_nil(c->checkpoint_id))
		BATCH_ADD(b, &INSERT_CHECKPOINT, SQL_UUID(o->thread_id),
		    SQL_UUID(c->checkpoint_id), SQL_UUID(o->tenant_id),
		    SQL_UUID(o->run_id), SQL_INT(o->step),
		    SQL_TEXT(c->checkpoint_manifest),
		    SQL_BYTES(c->checkpoint_hash, HASH_LEN), SQL_INT(o->now_us),
		    SQL_TEXT(o->ns), sql_uuid_or_null(c->checkpoint_parent));
	BATCH_ADD(b, &MOVE_THREAD, SQL_UUID(o->thread_id), SQL_INT(after.seq),
	    SQL_INT(after.msg_seq), SQL_INT(o->now_us),
	    SQL_INT(run_commit_frees_thread(c) ? 1 : 0),
	    root && !c->beside ? sql_uuid_or_null(c->checkpoint_id) : SQL_NULL,
	    SQL_TEXT(run_commit_thread_status(c)), sql_uuid_or_null(c->leaf));
}

SUSPENDS enum as_status
run_sql_commit(void *arg, const struct run_commit *c, struct error *err)
{
	struct store *store = arg;
	struct origin o = { c->run_id, c->thread_id, c->tenant_id,
		c->step + (c->advance ? 1 : 0),
		c->fence + (c->bump_fence ? 1 : 0), c->now_us,
		run_commit_ns(c) };
	struct batch b;
	enum as_status st;

	if (store_dialect(store) == STORE_POSTGRES)
		return run_store_pg_commit(store, c, err);
	batch_init(&b);
	add_guard(&b, c);
	add_moves(&b, &o, c);
	for (int i = 0; i < c->n_messages; i++)
		add_message(&b, &o, &c->messages[i]);
	add_events(&b, &o, &c->heads, c->events);
	add_tools(&b, &o, c);
	if (c->void_messages)
		BATCH_ADD(&b, &VOID_MESSAGES, SQL_UUID(c->run_id));
	run_store_child_add(&b, c);
	if (run_store_parks(c))
		run_store_park_add(&b, c);
	else if (!run_is_open(c->to))
		BATCH_ADD(&b, &DELETE_JOB, SQL_UUID(c->run_id));
	run_outbox_add(&b, c);
	st = batch_run(&b, store, err);
	batch_fini(&b);
	return st;
}

/* ---- Late results -------------------------------------------------- */

SQL(LATE_RESULT,
    "UPDATE tool_invocations SET state = $4, result = $5, result_sha = $6,"
    " error_code = $7, completed_at = $8, resolution = 'late'"
    " WHERE run_id = $1 AND id = $2 AND idem_key = $3 AND result IS NULL"
    " AND state IN ('started', 'unknown')");

SUSPENDS enum as_status
run_sql_late(void *arg, struct uuid run_id, const struct run_tool *t,
    int64_t now_us, struct error *err)
{
	struct arena *arena = arena_new(NULL);
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_UUID(t->id),
		SQL_TEXT(t->idem_key), SQL_TEXT(t->state), SQL_TEXT(t->result),
		result_sha(arena, t->result), SQL_TEXT(t->error_code),
		SQL_INT(now_us) };
	struct rows *rows = NULL;
	enum as_status st = store_exec(arg, &LATE_RESULT, args, 8, &rows, err);

	if (st == AS_OK && rows_affected(rows) == 0)
		st = error_set(err, ERR_CONFLICT,
		    "the result has come too late");
	rows_free(rows);
	arena_free(arena);
	return st;
}
