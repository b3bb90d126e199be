/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_store_child.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/run/run_log.h"
#include "core/run/run_store_impl.h"

/* See run_store_child.h; the same statements on both databases. */

/* ---- Numbers ------------------------------------------------------- */

const char *
run_commit_ns(const struct run_commit *c)
{
	return c->ns != NULL ? c->ns : "";
}

bool
run_commit_holds(const struct run_commit *c)
{
	return run_holds_thread(c->to) && run_commit_ns(c)[0] == '\0';
}

bool
run_commit_queues(const struct run_commit *c)
{
	return c->to == RUN_QUEUED || c->to == RUN_WAITING_TIMER ||
	       (c->to == RUN_CANCELLING && c->from == RUN_WAITING_CHILD);
}

bool
run_store_has_child(const struct run_commit *c)
{
	return c->n_children > 0 || !uuid_is_nil(c->tell.run_id) ||
	       c->todos != NULL;
}

/* ---- Beginning subagents ------------------------------------------- */

#define OURS " FROM runs r WHERE r.id = $1 AND r.last_commit_id = $2"
#define PARENT \
	" FROM runs r JOIN runs p ON p.id = r.parent_run_id WHERE r.id = $1" \
	" AND r.last_commit_id = $2"

SQL(TODOS, "UPDATE runs SET todos = $3 WHERE id = $1 AND last_commit_id = $2");

SQL(CHILDREN, "UPDATE runs SET pending_children = $3 WHERE id = $1"
	      " AND last_commit_id = $2");

SQL(CHILD_RUN,
    "INSERT INTO runs (id, tenant_id, thread_id, user_id, agent_id, kind,"
    " class, status, correlation_id, traceparent, created_by_user_id,"
    " parent_run_id, parent_call_id, root_run_id, checkpoint_ns, step,"
    " head_seq, fence, version, last_commit_id, attempt, deadline_at, model,"
    " budget, created_at, updated_at, holds_thread)"
    " SELECT $3, r.tenant_id, r.thread_id, r.user_id, $4, 'subagent', r.class,"
    " 'queued', r.correlation_id, r.traceparent, r.created_by_user_id, r.id,"
    " $5, r.root_run_id, $6, 0, $7, 0, 1, $3, 0, $8, $9, $10, $11, $11,"
    " FALSE" OURS);

SQL(CHILD_JOB,
    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at, enqueued_at,"
    " state, attempts) SELECT 'run', r.class, $3, r.tenant_id, $4, $4, 0, "
    "0" OURS);

SQL(CHILD_MESSAGE,
    "INSERT INTO messages (id, tenant_id, thread_id, sequence, run_id, ns,"
    " step, ordinal, role, content, parts, state, created_at)"
    " SELECT $3, r.tenant_id, r.thread_id, $4, $5, $6, 0, 0, $7, $8, $9, $10,"
    " $11" OURS);

LOG_ADD(CHILD_EVENT,
    "run_id, run_seq, thread_id, seq, tenant_id, step, ns, fence, created_at",
    "$3, $4, r.thread_id, $5, r.tenant_id, 0, $6, 0, $9", "$7", "$8", OURS);

static void
add_child(struct batch *b, const struct run_commit *c,
    const struct run_child *k, int64_t seq, int64_t sequence)
{
	struct sql_arg run = SQL_UUID(c->run_id);
	struct sql_arg commit = SQL_UUID(c->commit_id);

	BATCH_ADD(b, &CHILD_RUN, run, commit, SQL_UUID(k->run_id),
	    SQL_UUID(k->agent_id), SQL_UUID(k->call_id), SQL_TEXT(k->ns),
	    SQL_INT(k->events->n), SQL_INT(k->deadline_at), SQL_TEXT(k->model),
	    SQL_TEXT(k->budget), SQL_INT(c->now_us));
	BATCH_ADD(b, &CHILD_JOB, run, commit, SQL_UUID(k->run_id),
	    SQL_INT(c->now_us));
	BATCH_ADD(b, &CHILD_MESSAGE, run, commit, SQL_UUID(k->message.id),
	    SQL_INT(sequence), SQL_UUID(k->run_id), SQL_TEXT(k->ns),
	    SQL_TEXT(k->message.role), SQL_TEXT(k->message.content),
	    SQL_TEXT(k->message.parts), SQL_TEXT(k->message.state),
	    SQL_INT(c->now_us));
	for (int i = 0; i < k->events->n; i++)
		BATCH_ADD(b, &CHILD_EVENT, run, commit, SQL_UUID(k->run_id),
		    SQL_INT(i + 1), SQL_INT(seq + i), SQL_TEXT(k->ns),
		    SQL_TEXT(k->events->items[i].type),
		    SQL_TEXT(k->events->items[i].body), SQL_INT(c->now_us));
}

/* ---- Telling the parent -------------------------------------------- */

SQL(TELL_CALL,
    "UPDATE tool_invocations SET state = $4, result = $5, result_sha = $6,"
    " error_code = $7, completed_at = $8, resolution = 'auto' WHERE id = $3"
    " AND state = 'started' AND run_id IN (SELECT r.parent_run_id" OURS ")");

/* Its time stood still meanwhile. */
SQL(TELL_RUN,
    "UPDATE runs SET pending_children = pending_children - 1,"
    " head_seq = head_seq + $3, budget = COALESCE($4, budget),"
    " version = version + 1,"
    " status = CASE WHEN $5 = 1 AND status = 'waiting_child' THEN 'queued'"
    " ELSE status END,"
    " deadline_at = CASE WHEN $5 = 1 AND status = 'waiting_child'"
    " AND deadline_at > 0 THEN deadline_at + ($6 - updated_at)"
    " ELSE deadline_at END,"
    " updated_at = CASE WHEN $5 = 1 THEN $6 ELSE updated_at END"
    " WHERE status IN ('waiting_child', 'cancelling') AND pending_children > 0"
    " AND id IN (SELECT r.parent_run_id FROM runs r WHERE r.id = $1"
    " AND r.last_commit_id = $2)");

LOG_ADD(TELL_EVENT,
    "run_id, run_seq, thread_id, seq, tenant_id, step, ns, fence, created_at",
    "p.id, $3, p.thread_id, $4, p.tenant_id, p.step, p.checkpoint_ns, p.fence,"
    " $7",
    "$5", "$6", PARENT);

/* One that is to end has its job already. */
SQL(TELL_JOB,
    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at, enqueued_at,"
    " state, attempts) SELECT 'run', p.class, p.id, p.tenant_id, $3, $3, 0, "
    "0" PARENT " AND p.status = 'queued'"
    " ON CONFLICT (run_id) WHERE kind = 'run' DO UPDATE SET state = 0,"
    " owner_epoch = NULL, leased_at = NULL, run_at = excluded.run_at");

static struct sql_arg
result_sha(struct arena *arena, const char *result)
{
	uint8_t *sha = arena_alloc(arena, HASH_LEN);
	struct hash h;

	hash_init(&h);
	hash_bytes(&h, result, strlen(result));
	hash_end(&h, sha);
	return SQL_BYTES(sha, HASH_LEN);
}

static void
add_tell(struct batch *b, const struct run_commit *c, int64_t seq)
{
	const struct run_tell *t = &c->tell;
	struct sql_arg run = SQL_UUID(c->run_id);
	struct sql_arg commit = SQL_UUID(c->commit_id);

	BATCH_ADD(b, &TELL_CALL, run, commit, SQL_UUID(t->call.id),
	    SQL_TEXT(t->call.state), SQL_TEXT(t->call.result),
	    result_sha(b->arena, t->call.result), SQL_TEXT(t->call.error_code),
	    SQL_INT(c->now_us));
	BATCH_ADD(b, &TELL_RUN, run, commit, SQL_INT(t->events->n),
	    SQL_TEXT(t->budget), SQL_INT(t->last ? 1 : 0), SQL_INT(c->now_us));
	for (int i = 0; i < t->events->n; i++)
		BATCH_ADD(b, &TELL_EVENT, run, commit,
		    SQL_INT(t->run_seq + 1 + i), SQL_INT(seq + i),
		    SQL_TEXT(t->events->items[i].type),
		    SQL_TEXT(t->events->items[i].body), SQL_INT(c->now_us));
	if (t->last)
		BATCH_ADD(b, &TELL_JOB, run, commit, SQL_INT(c->now_us));
}

void
run_store_child_add(struct batch *b, const struct run_commit *c)
{
	int64_t seq = c->heads.seq + c->events->n + 1;

	if (c->todos != NULL)
		BATCH_ADD(b, &TODOS, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_TEXT(c->todos));
	if (c->n_children > 0)
		BATCH_ADD(b, &CHILDREN, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_INT(c->n_children));
	for (int i = 0; i < c->n_children; i++) {
		add_child(b, c, &c->children[i], seq,
		    c->heads.msg_seq + c->n_messages + i);
		seq += c->children[i].events->n;
	}
	if (!uuid_is_nil(c->tell.run_id))
		add_tell(b, c, seq);
}

/* ---- Reading ------------------------------------------------------- */

SQL(OPEN_CHILDREN,
    "SELECT id, thread_id FROM runs WHERE parent_run_id = $1 AND status IN"
    " ('blocked', 'queued', 'running', 'cancelling', 'waiting_human',"
    " 'waiting_timer', 'waiting_child', 'recoverable_error') ORDER BY id");

SUSPENDS enum as_status
run_sql_children(void *arg, struct uuid run_id, struct run_claim **out, int *n,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };
	struct rows *r = NULL;
	enum as_status st = store_query(arg, &OPEN_CHILDREN, args, 1, &r, err);

	*n = rows_count(r);
	*out = *n > 0 ? xcalloc((size_t)*n, sizeof(**out)) : NULL;
	for (int i = 0; i < *n; i++) {
		(*out)[i].run_id = rows_uuid(r, i, 0);
		(*out)[i].thread_id = rows_uuid(r, i, 1);
	}
	rows_free(r);
	return st;
}
