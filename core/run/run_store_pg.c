/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/run/run_branch.h"
#include "core/run/run_store_impl.h"
#include "core/run/run_store_pg_impl.h"

/*
 * What both operations have in common, and the first of them: a run is created.
 */

/* ---- In common ----------------------------------------------------- */

void
run_pg_args(struct sql_arg args[RUN_PG_ARGS], struct uuid thread_id,
    struct uuid run_id, const struct run_heads *heads, int64_t now_us,
    const struct event_texts *events, const struct run_message *m)
{
	struct sql_arg list[RUN_PG_ARGS] = {
		SQL_UUID(thread_id),
		SQL_UUID(run_id),
		SQL_INT(heads->run_seq + 1),
		SQL_INT(heads->seq + 1),
		SQL_INT(now_us),
		sql_textn(events->types.data, events->types.len),
		sql_textn(events->payloads.data, events->payloads.len),
		sql_uuid_or_null(m->id),
		SQL_INT(m->sequence),
		SQL_INT(m->step),
		SQL_INT(m->ordinal),
		SQL_TEXT(m->role),
		SQL_TEXT(m->content),
		SQL_TEXT(m->parts),
		SQL_TEXT(m->tool_name),
		SQL_TEXT(m->tool_call_id),
		SQL_TEXT(m->state),
		SQL_TEXT(m->client_message_id),
		sql_uuid_or_null(m->parent_id),
		SQL_TEXT(m->usage),
		SQL_TEXT(m->model),
	};

	memcpy(args, list, sizeof(list));
}

SUSPENDS enum as_status
run_pg_guarded(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st = store_exec(store, sql, args, n, &rows, err);

	if (st == AS_OK && rows_count(rows) != 1)
		st = error_set(err, ERR_CONFLICT, "the row has moved on");
	rows_free(rows);
	return st;
}

SUSPENDS enum as_status
run_pg_guarded_batch(struct store *store, struct batch *b, struct error *err)
{
	struct rows **rows = arena_alloc(b->arena,
	    (size_t)b->n * sizeof(struct rows *));
	enum as_status st = store_batch(store, b->calls, b->n, rows, err);

	if (st == AS_OK && rows_count(rows[0]) != 1)
		st = error_set(err, ERR_CONFLICT, "the row has moved on");
	for (int i = 0; i < b->n; i++)
		rows_free(rows[i]);
	return st;
}

/* ---- Create -------------------------------------------------------- */

/* Both give a row only if the thread is as the caller believes. */
#define TAKE_ARRAYS \
	"$1::uuid[], $2::uuid[], $4::bigint[], $5::bigint[], $9::bigint[]," \
	" $22::bigint[], $23::text[], $30::bigint[], $36::bigint[]," \
	" $42::uuid[], $43::uuid[]"
#define TAKE_NAMES \
	"thread_id, run_id, seq, at, sequence, head_seq, title, fence," \
	" next_msg_seq, tenant_id, leaf"
#define TAKE_WHERE \
	" WHERE threads.id = i.thread_id AND active_run_id IS NULL" \
	" AND threads.head_seq = i.seq - 1" \
	" AND threads.next_msg_seq = i.sequence" \
	" AND threads.tenant_id = i.tenant_id" \
	" RETURNING i.n, threads.id AS thread_id, i.run_id, i.at," \
	" threads.tenant_id, user_id, 0::bigint AS step, '' AS ns, i.fence)"
#define TAKE_THREAD \
	"WITH g AS (UPDATE threads SET status = 'busy'," \
	" active_run_id = i.run_id, head_seq = i.head_seq," \
	" next_msg_seq = i.next_msg_seq," \
	" active_leaf = COALESCE(i.leaf, active_leaf)," \
	" version = version + 1, updated_at = i.at," \
	" title = CASE WHEN threads.title = '' THEN i.title" \
	" ELSE threads.title END" TAKE_FROM TAKE_WHERE
#define TAKE_FROM " FROM " WITH_REQUESTS(TAKE_ARRAYS, TAKE_NAMES)

#define NEW_ARRAYS \
	"$1::uuid[], $42::uuid[], $28::uuid[], $24::uuid[], $23::text[]," \
	" $2::uuid[], $22::bigint[], $36::bigint[], $5::bigint[]," \
	" $43::uuid[]"
#define NEW_NAMES \
	"thread_id, tenant_id, user_id, agent_id, title, run_id, head_seq," \
	" next_msg_seq, at, leaf"
#define BEGUN_ARRAYS "$1::uuid[], $2::uuid[], $5::bigint[], $30::bigint[]"
#define BEGUN_NAMES "thread_id, run_id, at, fence"
#define INSERT_THREAD \
	"WITH t AS (INSERT INTO threads (id, tenant_id, user_id, agent_id," \
	" title, status, active_run_id, head_seq, next_msg_seq, version," \
	" created_at, updated_at, active_leaf)" \
	" SELECT i.thread_id, i.tenant_id, i.user_id, i.agent_id, i.title," \
	" 'busy', i.run_id, i.head_seq, i.next_msg_seq, 2, i.at, i.at," \
	" i.leaf FROM " WITH_REQUESTS(NEW_ARRAYS, NEW_NAMES) INSERTED
#define INSERTED " RETURNING id, tenant_id, user_id)"
#define BEGUN \
	", g AS (SELECT i.n, t.id AS thread_id, i.run_id, i.at, t.tenant_id," \
	" t.user_id, 0::bigint AS step, '' AS ns, i.fence FROM t " \
	"JOIN " WITH_REQUESTS(BEGUN_ARRAYS, \
	    BEGUN_NAMES) " ON i.thread_id = t.id)"
#define NEW_THREAD INSERT_THREAD BEGUN

#define RUN_ARRAYS \
	"$24::uuid[], $25::text[], $26::text[], $27::text[], $28::uuid[]," \
	" $29::bigint[], $31::bigint[], $32::bigint[], $33::text[]," \
	" $34::bigint[], $35::uuid[], $37::text[], $38::bigint[]," \
	" $40::text[], $41::text[], $44::uuid[], $45::uuid[], $46::text[]"
#define RUN_NAMES \
	"agent_id, status, correlation_id, traceparent, by_id, n_events," \
	" owner_epoch, deadline_at, model, started_at, forked_from, kind," \
	" class, origin, dedup, branch_leaf, branch_before, multitask"
#define INSERT_RUN \
	", r AS (INSERT INTO runs (id, tenant_id, thread_id, user_id," \
	" agent_id, kind, class, status, correlation_id, traceparent," \
	" created_by_user_id, root_run_id, checkpoint_ns, step, head_seq," \
	" fence, version, last_commit_id, owner_epoch, attempt," \
	" deadline_at, model, created_at, updated_at, started_at," \
	" holds_thread, forked_from_run, origin, dedup, branch_leaf," \
	" branch_before, multitask)" \
	" SELECT g.run_id, g.tenant_id, g.thread_id, g.user_id, i.agent_id," \
	" i.kind, i.class, i.status, i.correlation_id, i.traceparent," \
	" i.by_id, g.run_id, g.ns, g.step, i.n_events, g.fence, 1, g.run_id," \
	" i.owner_epoch, 0, i.deadline_at, i.model, g.at, g.at," \
	" i.started_at, TRUE, i.forked_from, i.origin, i.dedup," \
	" i.branch_leaf, i.branch_before, i.multitask" RUN_FROM
#define RUN_FROM " FROM g" JOIN_REQUESTS(RUN_ARRAYS, RUN_NAMES) ")"

#define JOB_ARRAYS "$38::bigint[], $39::bigint[], $31::bigint[], $34::bigint[]"
#define JOB_NAMES "class, run_at, owner_epoch, started_at"
#define INSERT_JOB \
	", j AS (INSERT INTO jobs (kind, class, run_id, tenant_id, run_at," \
	" enqueued_at, state, owner_epoch, leased_at, attempts)" \
	" SELECT 'run', i.class, g.run_id, g.tenant_id, i.run_at, g.at," \
	" g.fence, i.owner_epoch, i.started_at, 0" JOB_FROM
#define JOB_FROM " FROM g" JOIN_REQUESTS(JOB_ARRAYS, JOB_NAMES) ")"

#define CREATE_WITH(thread) \
	thread INSERT_RUN \
	    ", m AS (" MESSAGE_FROM \
	    "), e AS (INSERT INTO run_log (" LOG_COLUMNS \
	    ") SELECT" LOG_VALUES LOG_FROM("$29", "", "") ")" INSERT_JOB \
							  " SELECT n FROM g"

static struct sql CREATE = { .postgres = CREATE_WITH(TAKE_THREAD),
	.is_set = true };
static struct sql CREATE_NEW = { .postgres = CREATE_WITH(NEW_THREAD),
	.is_set = true };

#define CREATE_ARGS (RUN_PG_ARGS + 25)

/* $22 to $46 */
static void
create_args(const struct run_create *c, struct sql_arg *args)
{
	bool owned = c->owner_epoch != 0;
	struct sql_arg list[CREATE_ARGS - RUN_PG_ARGS] = {
		SQL_INT(c->heads.seq + c->events->n),
		SQL_TEXT(c->title),
		SQL_UUID(c->agent_id),
		SQL_TEXT(run_status_name(owned ? RUN_RUNNING : RUN_QUEUED)),
		SQL_TEXT(c->correlation_id),
		SQL_TEXT(c->traceparent),
		SQL_UUID(c->user_id),
		SQL_INT(c->events->n),
		SQL_INT(owned ? 1 : 0),
		owned ? SQL_INT(c->owner_epoch) : sql_time(0),
		SQL_INT(c->deadline_at),
		SQL_TEXT(c->model),
		owned ? SQL_INT(c->now_us) : sql_time(0),
		sql_uuid_or_null(c->forked_from),
		SQL_INT(
		    c->heads.msg_seq + (uuid_is_nil(c->message.id) ? 0 : 1)),
		SQL_TEXT(run_create_kind(c)),
		SQL_INT(c->class),
		SQL_INT(run_create_at(c)),
		SQL_TEXT(c->origin),
		SQL_TEXT(c->dedup),
		SQL_UUID(c->tenant_id),
		sql_uuid_or_null(run_create_leaf(c)),
		sql_uuid_or_null(c->branch.leaf),
		sql_uuid_or_null(c->branch.before),
		SQL_TEXT(c->multitask),
	};

	memcpy(args, list, sizeof(list));
}

/* The statement of the create, then what run_branch.c adds to it. */
static SUSPENDS enum as_status
guarded_fork(struct store *store, const struct run_create *c,
    const struct sql_arg *args, struct error *err)
{
	struct batch b;
	enum as_status st;

	batch_init(&b);
	batch_add(&b, &CREATE, args, CREATE_ARGS);
	run_branch_add_fork(&b, c);
	run_branch_add_head(&b, c);
	st = run_pg_guarded_batch(store, &b, err);
	batch_fini(&b);
	return st;
}

SUSPENDS enum as_status
run_store_pg_create(struct store *store, const struct run_create *c,
    struct error *err)
{
	struct event_texts events = { 0 };
	struct run_message message = c->message;
	struct sql_arg args[CREATE_ARGS];
	enum as_status st;

	/* The guard looks at it also if there is no message. */
	message.sequence = c->heads.msg_seq;
	event_texts_write(&events, c->events);
	run_pg_args(args, c->thread_id, c->run_id, &c->heads, c->now_us,
	    &events, &message);
	create_args(c, args + RUN_PG_ARGS);
	if (run_create_forks(c))
		st = guarded_fork(store, c, args, err);
	else
		st = run_pg_guarded(store,
		    c->new_thread ? &CREATE_NEW : &CREATE, args, CREATE_ARGS,
		    err);
	event_texts_free(&events);
	return st;
}
