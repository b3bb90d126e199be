/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/run/batch.h"
#include "core/run/run_store.h"
#include "core/run/run_store_pg.h"

/*
 * The writes of the run engine.  On PostgreSQL the two hot ones are one
 * statement each (run_store_pg.c); here is their body for SQLite.
 *
 * One statement of a request, the guard, tests every belief of the caller and
 * stamps the run with the request's commit id.  All others select from that
 * run by its commit id, so a missed guard writes nothing.
 */

/* ---- Shared by create and commit ----------------------------------- */

/*
 * All events in one statement.  $5 is [[type, body], ...] with each body as a
 * string, so that its bytes come out as they went in.
 */
SQL(INSERT_EVENTS,
    "INSERT INTO run_events (run_id, run_seq, thread_id, seq, tenant_id,"
    " step, ns, type, fence, payload, created_at)"
    " SELECT r.id, $3 + e.key, r.thread_id, $4 + e.key, r.tenant_id, r.step,"
    " r.checkpoint_ns, json_extract(e.value, '$[0]'), r.fence,"
    " json_extract(e.value, '$[1]'), $6 FROM runs r, json_each($5) e"
    " WHERE r.id = $1 AND r.last_commit_id = $2");

SQL(INSERT_MESSAGE,
    "INSERT INTO messages (id, tenant_id, thread_id, sequence, run_id, ns,"
    " step, ordinal, role, content, parts, tool_name, tool_call_id, state,"
    " client_message_id, parent_id, usage, model, created_at)"
    " SELECT $3, tenant_id, thread_id, $4, id, checkpoint_ns, $5, $6, $7, $8,"
    " $9, $10, $11, $12, $13, $14, $15, $16, $17"
    " FROM runs WHERE id = $1 AND last_commit_id = $2");

static void
add_events(struct batch *b, struct uuid run, struct uuid commit,
    const struct run_heads *heads, const struct event_list *events,
    int64_t now_us)
{
	struct buf list = { 0 };

	for (int i = 0; i < events->n; i++) {
		buf_printf(&list, "%s[\"%s\",", i == 0 ? "[" : ",",
		    events->items[i].type);
		buf_add_json_str(&list, events->items[i].body,
		    strlen(events->items[i].body));
		buf_add_char(&list, ']');
	}
	buf_add_char(&list, ']');
	if (events->n > 0)
		BATCH_ADD(b, &INSERT_EVENTS, SQL_UUID(run), SQL_UUID(commit),
		    SQL_INT(heads->run_seq + 1), SQL_INT(heads->seq + 1),
		    SQL_TEXT(arena_strndup(b->arena, list.data, list.len)),
		    SQL_INT(now_us));
	buf_free(&list);
}

static void
add_message(struct batch *b, struct uuid run, struct uuid commit,
    const struct run_message *m)
{
	BATCH_ADD(b, &INSERT_MESSAGE, SQL_UUID(run), SQL_UUID(commit),
	    SQL_UUID(m->id), SQL_INT(m->sequence), SQL_INT(m->step),
	    SQL_INT(m->ordinal), SQL_TEXT(m->role), SQL_TEXT(m->content),
	    SQL_TEXT(m->parts), SQL_TEXT(m->tool_name),
	    SQL_TEXT(m->tool_call_id), SQL_TEXT(m->state),
	    SQL_TEXT(m->client_message_id), sql_uuid_or_null(m->parent_id),
	    SQL_TEXT(m->usage), SQL_TEXT(m->model), SQL_INT(m->created_at));
}

/* ---- Create -------------------------------------------------------- */

SQL(INSERT_THREAD,
    "INSERT INTO threads (id, tenant_id, user_id, agent_id, title, created_at,"
    " updated_at) VALUES ($1, $2, $3, $4, $5, now_us(), now_us())");

SUSPENDS enum as_status
run_store_thread_create(struct store *store, struct uuid id,
    struct uuid tenant_id, struct uuid user_id, struct uuid agent_id,
    const char *title, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(tenant_id),
		SQL_UUID(user_id), SQL_UUID(agent_id), SQL_TEXT(title) };

	return store_exec(store, &INSERT_THREAD, args, 5, NULL, err);
}

SQL(TAKE_THREAD,
    "UPDATE threads SET status = 'busy', active_run_id = $2, head_seq = $5,"
    " next_msg_seq = $4 + 1, version = version + 1, updated_at = $6,"
    " title = CASE WHEN title = '' THEN $7 ELSE title END"
    " WHERE id = $1 AND active_run_id IS NULL AND head_seq = $3"
    " AND next_msg_seq = $4");

SQL(INSERT_RUN,
    "INSERT INTO runs (id, tenant_id, thread_id, user_id, agent_id, kind,"
    " class, status, correlation_id, traceparent, created_by_user_id, "
    "root_run_id,"
    " checkpoint_ns, step, head_seq, fence, version, last_commit_id,"
    " owner_epoch, attempt, deadline_at, model, created_at, updated_at,"
    " started_at, holds_thread)"
    " SELECT $2, tenant_id, id, user_id, $3, 'interactive', 0, $4, $5, $6, $7, "
    "$2, '',"
    " 0, $8, $9, 1, $2, $10, 0, $11, $12, $13, $13, $14, TRUE"
    " FROM threads WHERE id = $1 AND active_run_id = $2");

SQL(INSERT_JOB,
    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at, enqueued_at,"
    " state, owner_epoch, leased_at, attempts)"
    " SELECT 'run', class, id, tenant_id, $3, $3, $4, $5, $6, 0"
    " FROM runs WHERE id = $1 AND last_commit_id = $2");

SUSPENDS enum as_status
run_store_create(struct store *store, const struct run_create *c,
    struct error *err)
{
	bool owned = c->owner_epoch != 0;
	struct sql_arg owner = owned ? SQL_INT(c->owner_epoch) : SQL_NULL;
	struct sql_arg since = owned ? SQL_INT(c->now_us) : SQL_NULL;
	struct batch b;
	enum as_status st;

	if (store_dialect(store) == STORE_POSTGRES)
		return run_store_pg_create(store, c, err);
	batch_init(&b);
	BATCH_ADD(&b, &TAKE_THREAD, SQL_UUID(c->thread_id), SQL_UUID(c->run_id),
	    SQL_INT(c->heads.seq), SQL_INT(c->heads.msg_seq),
	    SQL_INT(c->heads.seq + c->events->n), SQL_INT(c->now_us),
	    SQL_TEXT(c->title));
	BATCH_ADD(&b, &INSERT_RUN, SQL_UUID(c->thread_id), SQL_UUID(c->run_id),
	    SQL_UUID(c->agent_id),
	    SQL_TEXT(run_status_name(owned ? RUN_RUNNING : RUN_QUEUED)),
	    SQL_TEXT(c->correlation_id), SQL_TEXT(c->traceparent),
	    SQL_UUID(c->user_id), SQL_INT(c->events->n), SQL_INT(owned ? 1 : 0),
	    owner, SQL_INT(c->deadline_at), SQL_TEXT(c->model),
	    SQL_INT(c->now_us), since);
	add_message(&b, c->run_id, c->run_id, &c->message);
	add_events(&b, c->run_id, c->run_id, &c->heads, c->events, c->now_us);
	BATCH_ADD(&b, &INSERT_JOB, SQL_UUID(c->run_id), SQL_UUID(c->run_id),
	    SQL_INT(c->now_us), SQL_INT(owned ? 1 : 0), owner, since);
	st = batch_run(&b, store, 0, err);
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
    " error_code = COALESCE($12, error_code), error = COALESCE($13, error),"
    " cancel_mode = COALESCE($14, cancel_mode),"
    " cancel_requested_at = COALESCE(cancel_requested_at, $15),"
    " completed_at = $16, owner_epoch = CASE WHEN $17 = 1 THEN NULL"
    " ELSE owner_epoch END"
    " WHERE id = $1 AND status = $18 AND step = $19 AND head_seq = $20"
    " AND ($21 < 0 OR fence = $21)"
    " AND EXISTS (SELECT 1 FROM threads t WHERE t.id = runs.thread_id"
    " AND t.head_seq = $22)");

SQL(MOVE_THREAD,
    "UPDATE threads SET head_seq = $3, next_msg_seq = $4, updated_at = $5,"
    " version = version + 1,"
    " status = CASE WHEN $6 = 1 THEN 'idle' ELSE status END,"
    " active_run_id = CASE WHEN $6 = 1 THEN NULL ELSE active_run_id END,"
    " head_checkpoint_id = COALESCE($7, head_checkpoint_id)"
    " WHERE id = (SELECT thread_id FROM runs WHERE id = $1"
    " AND last_commit_id = $2)");

SQL(INSERT_TOOL,
    "INSERT INTO tool_invocations (id, tenant_id, run_id, ns, step, ordinal,"
    " tool_call_id, idem_key, tool, tool_version, effect, args_hash, args,"
    " state, fence, attempt, created_at, started_at, dispatch_deadline)"
    " SELECT $3, tenant_id, id, checkpoint_ns, $4, $5, $6, $7, $8, $9, $10,"
    " $11, $12, $13, fence, 1, $14, $14, $15"
    " FROM runs WHERE id = $1 AND last_commit_id = $2");

SQL(FINISH_TOOL,
    "UPDATE tool_invocations SET state = $4, result = $5, result_sha = $6,"
    " error_code = $7, completed_at = $8, resolution = 'auto'"
    " WHERE id = $3 AND state = 'started' AND run_id ="
    " (SELECT id FROM runs WHERE id = $1 AND last_commit_id = $2)");

SQL(INSERT_CHECKPOINT,
    "INSERT INTO checkpoints (thread_id, ns, checkpoint_id, tenant_id,"
    " parent_id, run_id, step, source, manifest, state_hash, created_at)"
    " SELECT r.thread_id, r.checkpoint_ns, $3, r.tenant_id,"
    " (SELECT t.head_checkpoint_id FROM threads t WHERE t.id = r.thread_id),"
    " r.id, r.step, 'loop', $4, $5, $6"
    " FROM runs r WHERE r.id = $1 AND r.last_commit_id = $2");

SQL(VOID_MESSAGES,
    "UPDATE messages SET state = 'rolled_back' WHERE run_id ="
    " (SELECT id FROM runs WHERE id = $1 AND last_commit_id = $2)");

SQL(DELETE_JOB, "DELETE FROM jobs WHERE kind = 'run' AND run_id ="
		" (SELECT id FROM runs WHERE id = $1 AND last_commit_id = $2)");

static void
add_guard(struct batch *b, const struct run_commit *c)
{
	bool ends = !run_is_open(c->to);

	BATCH_ADD(b, &GUARD_RUN, SQL_UUID(c->run_id), SQL_UUID(c->commit_id),
	    SQL_TEXT(run_status_name(c->to)), SQL_BOOL(run_holds_thread(c->to)),
	    SQL_INT(c->advance ? 1 : 0), SQL_INT(c->bump_fence ? 1 : 0),
	    SQL_INT(c->heads.run_seq + c->events->n), SQL_INT(c->now_us),
	    sql_uuid_or_null(c->checkpoint_id), SQL_TEXT(c->usage),
	    SQL_INT(c->tokens), SQL_TEXT(c->error_code), SQL_TEXT(c->error),
	    SQL_TEXT(c->cancel_mode),
	    c->cancel_mode != NULL ? SQL_INT(c->now_us) : SQL_NULL,
	    ends ? SQL_INT(c->now_us) : SQL_NULL, SQL_INT(ends ? 1 : 0),
	    SQL_TEXT(run_status_name(c->from)), SQL_INT(c->step),
	    SQL_INT(c->heads.run_seq), SQL_INT(c->fence),
	    SQL_INT(c->heads.seq));
}

static void
add_tools(struct batch *b, const struct run_commit *c)
{
	const struct run_tool *t;
	uint8_t *sha;
	struct hash h;

	for (int i = 0; i < c->n_tools_new; i++) {
		t = &c->tools_new[i];
		BATCH_ADD(b, &INSERT_TOOL, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_UUID(t->id), SQL_INT(t->step),
		    SQL_INT(t->ordinal), SQL_TEXT(t->call_id),
		    SQL_TEXT(t->idem_key), SQL_TEXT(t->tool),
		    SQL_TEXT(t->version), SQL_TEXT(t->effect),
		    SQL_BYTES(t->args_hash, HASH_LEN), SQL_TEXT(t->args),
		    SQL_TEXT(t->state), SQL_INT(c->now_us),
		    SQL_INT(t->deadline_us));
	}
	for (int i = 0; i < c->n_tools_done; i++) {
		t = &c->tools_done[i];
		sha = arena_alloc(b->arena, HASH_LEN);
		hash_init(&h);
		hash_bytes(&h, t->result, strlen(t->result));
		hash_end(&h, sha);
		BATCH_ADD(b, &FINISH_TOOL, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_UUID(t->id), SQL_TEXT(t->state),
		    SQL_TEXT(t->result), SQL_BYTES(sha, HASH_LEN),
		    SQL_TEXT(t->error_code), SQL_INT(c->now_us));
	}
}

SUSPENDS enum as_status
run_store_commit(struct store *store, const struct run_commit *c,
    struct error *err)
{
	struct batch b;
	enum as_status st;

	if (store_dialect(store) == STORE_POSTGRES)
		return run_store_pg_commit(store, c, err);
	batch_init(&b);
	add_guard(&b, c);
	if (!uuid_is_nil(c->checkpoint_id))
		BATCH_ADD(&b, &INSERT_CHECKPOINT, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_UUID(c->checkpoint_id),
		    SQL_TEXT(c->checkpoint_manifest),
		    SQL_BYTES(c->checkpoint_hash, HASH_LEN),
		    SQL_INT(c->now_us));
	BATCH_ADD(&b, &MOVE_THREAD, SQL_UUID(c->run_id), SQL_UUID(c->commit_id),
	    SQL_INT(c->heads.seq + c->events->n),
	    SQL_INT(c->heads.msg_seq + c->n_messages), SQL_INT(c->now_us),
	    SQL_INT(c->thread_idle ? 1 : 0),
	    sql_uuid_or_null(c->checkpoint_id));
	for (int i = 0; i < c->n_messages; i++)
		add_message(&b, c->run_id, c->commit_id, &c->messages[i]);
	add_events(&b, c->run_id, c->commit_id, &c->heads, c->events,
	    c->now_us);
	add_tools(&b, c);
	if (c->void_messages)
		BATCH_ADD(&b, &VOID_MESSAGES, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id));
	if (!run_is_open(c->to))
		BATCH_ADD(&b, &DELETE_JOB, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id));
	st = batch_run(&b, store, 0, err);
	batch_fini(&b);
	return st;
}
