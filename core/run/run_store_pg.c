/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_store_pg.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/run_branch.h"
#include "core/run/run_outbox.h"
#include "core/run/run_store_child.h"
#include "core/run/run_store_impl.h"
#include "core/run/run_store_park.h"

/*
 * One data-modifying WITH an operation, over a set of requests: those of many
 * runs that wait together are one statement (see sql.is_set).  `g` are the
 * requests whose guard has found its row, with what that row says; n is their
 * place in the arrays.  All parts see the state before the statement; only what
 * a part returns is new, and that is why everything hangs on `g`.
 *
 * Two requests of a set never have the same thread.  Each part takes the arrays
 * that it needs, for the server copies what it carries along.  Events cross as
 * they are stored, the one message of most commits as parameters, other lists
 * as JSON.
 *
 * $1 to $21 are the same in all statements: see args_common.
 */

#define WITH_REQUESTS(arrays, names) \
	"unnest(" arrays ") WITH ORDINALITY i (" names ", n)"
#define JOIN_REQUESTS(arrays, names) \
	" JOIN " WITH_REQUESTS(arrays, names) " ON i.n = g.n"

#define LOG_COLUMNS \
	"run_id, run_seq, thread_id, seq, n_events, tenant_id, step, ns," \
	" fence, types, payloads, created_at"
#define LOG_VALUES \
	" g.run_id, i.head, g.thread_id, i.seq + i.head - i.run_seq," \
	" i.head - i.run_seq + 1, g.tenant_id, g.step, g.ns, g.fence," \
	" i.types, i.payloads, g.at"
/* head: the run's run_seq when all of its events are written. */
#define LOG_FROM(head, arrays, names) \
	" FROM g" JOIN_REQUESTS("$3::bigint[], $4::bigint[], $6::text[], " \
				"$7::text[], " head "::bigint[]" arrays, \
	    "run_seq, seq, types, payloads, head" names) " WHERE i.head >= " \
							 "i.run_seq"

#define MESSAGES_INTO \
	" INSERT INTO messages (id, tenant_id, thread_id, sequence, run_id," \
	" ns, step, ordinal, role, content, parts, tool_name, tool_call_id," \
	" state, client_message_id, parent_id, usage, model, created_at)"

#define MESSAGE_FROM \
	MESSAGES_INTO \
	" SELECT i.id, g.tenant_id, g.thread_id, i.sequence, g.run_id, g.ns," \
	" i.step, i.ordinal, i.role, i.content, i.parts, i.tool_name," \
	" i.tool_call_id, i.state, i.client_message_id, i.parent_id," \
	" i.usage, i.model, g.at FROM g" JOIN_REQUESTS( \
	    "$8::uuid[], $9::bigint[], $10::bigint[]," \
	    " $11::bigint[], $12::text[], $13::text[], $14::text[]," \
	    " $15::text[], $16::text[], $17::text[], $18::text[]," \
	    " $19::uuid[], $20::text[], $21::text[]", \
	    "id, sequence, step, ordinal, role, content, parts, tool_name," \
	    " tool_call_id, state, client_message_id, parent_id, usage, " \
	    "model") " WHERE i.id IS NOT NULL"

#define COMMON_ARGS 21

/* ---- Arguments ----------------------------------------------------- */

static void
args_common(struct sql_arg args[COMMON_ARGS], struct uuid thread_id,
    struct uuid run_id, const struct run_heads *heads, int64_t now_us,
    const struct event_texts *events, const struct run_message *m)
{
	struct sql_arg list[COMMON_ARGS] = {
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

static void
message_write(struct buf *b, const struct run_message *m)
{
	jw_open(b, NULL);
	jw_uuid(b, "id", m->id);
	jw_int(b, "sequence", m->sequence);
	jw_int(b, "step", m->step);
	jw_int(b, "ordinal", m->ordinal);
	jw_str(b, "role", m->role);
	jw_str(b, "content", m->content);
	jw_str(b, "parts", m->parts);
	jw_str(b, "tool_name", m->tool_name);
	jw_str(b, "tool_call_id", m->tool_call_id);
	jw_str(b, "state", m->state);
	jw_str(b, "client_message_id", m->client_message_id);
	jw_uuid(b, "parent_id", m->parent_id);
	jw_str(b, "usage", m->usage);
	jw_str(b, "model", m->model);
	jw_close(b);
}

static void
messages_write(struct buf *b, const struct run_message *messages, int n)
{
	jw_open_list(b, NULL);
	for (int i = 0; i < n; i++)
		message_write(b, &messages[i]);
	jw_close_list(b);
}

static void
sha_write(struct buf *b, const char *key, const uint8_t sha[HASH_LEN])
{
	char hex[HASH_TEXT];

	text_hex(hex, sha, HASH_LEN);
	jw_str(b, key, hex);
}

static void
tools_new_write(struct buf *b, const struct run_commit *c)
{
	const struct run_tool *t;

	jw_open_list(b, NULL);
	for (int i = 0; i < c->n_tools_new; i++) {
		t = &c->tools_new[i];
		jw_open(b, NULL);
		jw_uuid(b, "id", t->id);
		jw_int(b, "step", t->step);
		jw_int(b, "ordinal", t->ordinal);
		jw_str(b, "call_id", t->call_id);
		jw_str(b, "idem_key", t->idem_key);
		jw_str(b, "tool", t->tool);
		jw_str(b, "version", t->version);
		jw_str(b, "effect", t->effect);
		sha_write(b, "args_hash", t->args_hash);
		jw_str(b, "args", t->args);
		jw_str(b, "state", t->state);
		jw_int(b, "deadline", t->deadline_us);
		if (t->key_until > 0)
			jw_int(b, "key_until", t->key_until);
		jw_close(b);
	}
	jw_close_list(b);
}

static void
tools_done_write(struct buf *b, const struct run_commit *c)
{
	const struct run_tool *t;
	uint8_t sha[HASH_LEN];
	struct hash h;

	jw_open_list(b, NULL);
	for (int i = 0; i < c->n_tools_done; i++) {
		t = &c->tools_done[i];
		hash_init(&h);
		hash_bytes(&h, t->result,
		    t->result != NULL ? strlen(t->result) : 0);
		hash_end(&h, sha);
		jw_open(b, NULL);
		jw_uuid(b, "id", t->id);
		jw_str(b, "state", t->state);
		jw_str(b, "result", t->result);
		if (t->result != NULL)
			sha_write(b, "sha", sha);
		jw_str(b, "error_code", t->error_code);
		jw_str(b, "resolution", run_tool_resolution(t));
		jw_str(b, "idem_key", t->idem_key);
		jw_bool(b, "ends", !run_tool_is_open(t));
		if (t->deadline_us > 0)
			jw_int(b, "deadline", t->deadline_us);
		jw_close(b);
	}
	jw_close_list(b);
}

/* The statement answers with a row if the guard has found its own. */
static SUSPENDS enum as_status
guarded(struct store *store, struct sql *sql, const struct sql_arg *args, int n,
    struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st = store_exec(store, sql, args, n, &rows, err);

	if (st == AS_OK && rows_count(rows) != 1)
		st = error_set(err, ERR_CONFLICT, "the row has moved on");
	rows_free(rows);
	return st;
}

/* The same for the first statement of several. */
static SUSPENDS enum as_status
guarded_batch(struct store *store, struct batch *b, struct error *err)
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

#define CREATE_ARGS (COMMON_ARGS + 25)

/* $22 to $46 */
static void
create_args(const struct run_create *c, struct sql_arg *args)
{
	bool owned = c->owner_epoch != 0;
	struct sql_arg list[CREATE_ARGS - COMMON_ARGS] = {
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
	st = guarded_batch(store, &b, err);
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
	args_common(args, c->thread_id, c->run_id, &c->heads, c->now_us,
	    &events, &message);
	create_args(c, args + COMMON_ARGS);
	if (run_create_forks(c))
		st = guarded_fork(store, c, args, err);
	else
		st = guarded(store, c->new_thread ? &CREATE_NEW : &CREATE, args,
		    CREATE_ARGS, err);
	event_texts_free(&events);
	return st;
}

/* ---- Commit -------------------------------------------------------- */

/*
 * Each part costs the server something even if it has nothing to do, so there
 * is a statement for what is most frequent, one message and no tools.
 */
#define GUARD_ARRAYS \
	"$1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[]," \
	" $22::uuid[], $23::text[], $24::boolean[], $25::bigint[]," \
	" $26::bigint[], $27::bigint[], $28::uuid[], $29::text[]," \
	" $30::bigint[], $31::text[], $32::text[], $33::text[]," \
	" $34::bigint[], $35::bigint[], $36::boolean[], $37::text[]," \
	" $38::bigint[], $39::bigint[], $45::bigint[], $47::bigint[]," \
	" $48::bigint[], $49::bigint[], $50::text[], $51::text[]," \
	" $52::bigint[], $53::bigint[]"
#define GUARD_NAMES \
	"thread_id, run_id, run_seq, seq, at, commit_id, status, holds," \
	" advance, bump, run_head, checkpoint_id, usage, tokens," \
	" error_code, error, cancel_mode, cancel_at, completed_at, ends," \
	" from_status, from_step, from_fence, from_owner, attempt, next_at," \
	" cost, model, budget, deadline_at, from_version"
#define GUARD_RUN \
	"WITH g AS (UPDATE runs SET last_commit_id = i.commit_id," \
	" status = i.status, holds_thread = i.holds," \
	" step = runs.step + i.advance, fence = runs.fence + i.bump," \
	" head_seq = i.run_head, version = runs.version + 1," \
	" updated_at = i.at," \
	" checkpoint_id = COALESCE(i.checkpoint_id, runs.checkpoint_id)," \
	" usage = COALESCE(i.usage, runs.usage)," \
	" used_tokens = used_tokens + i.tokens," \
	" error_code = i.error_code, error = i.error," \
	" cancel_mode = COALESCE(i.cancel_mode, runs.cancel_mode)," \
	" cancel_requested_at = COALESCE(cancel_requested_at, i.cancel_at)," \
	" completed_at = i.completed_at," \
	" owner_epoch = CASE WHEN i.status IN ('running', 'cancelling')" \
	" THEN owner_epoch END," \
	" attempt = i.attempt, next_attempt_at = i.next_at," \
	" used_cost_micros = used_cost_micros + i.cost," \
	" model = COALESCE(i.model, runs.model)," \
	" budget = COALESCE(i.budget, runs.budget)," \
	" deadline_at = COALESCE(i.deadline_at, runs.deadline_at) " \
	"FROM " WITH_REQUESTS(GUARD_ARRAYS, GUARD_NAMES) GUARD_WHERE
#define GUARD_WHERE \
	", LATERAL (SELECT head_seq, head_checkpoint_id FROM threads" \
	" WHERE id = i.thread_id FOR UPDATE) t" \
	" WHERE runs.id = i.run_id AND runs.thread_id = i.thread_id" \
	" AND runs.status = i.from_status AND runs.step = i.from_step" \
	" AND runs.head_seq = i.run_seq - 1 AND runs.fence = i.from_fence" \
	" AND t.head_seq = i.seq - 1" \
	" AND i.from_version IN (0, runs.version)" \
	" AND i.from_owner IN (0, runs.owner_epoch)" \
	" RETURNING i.n, runs.thread_id, runs.id AS run_id, i.at," \
	" runs.tenant_id, runs.user_id, runs.step," \
	" runs.checkpoint_ns AS ns, runs.fence, i.commit_id, i.ends," \
	" t.head_checkpoint_id)"

#define MOVE_ARRAYS \
	"$40::bigint[], $41::bigint[], $42::boolean[], $46::text[]," \
	" $54::uuid[], $56::uuid[]"
#define MOVE_NAMES \
	"head_seq, next_msg_seq, keeps, status, leaf, head_checkpoint"
#define MOVE_COLUMNS \
	"i.head_seq, i.next_msg_seq, i.keeps, i.status, i.leaf," \
	" i.head_checkpoint"
/* OFFSET 0: who is who is found before the threads are, not once for each. */
#define MOVE_THREAD \
	", t AS (UPDATE threads SET head_seq = i.head_seq," \
	" next_msg_seq = i.next_msg_seq, updated_at = i.at," \
	" version = version + 1," \
	" status = COALESCE(i.status, threads.status)," \
	" active_run_id = CASE WHEN i.keeps THEN active_run_id END," \
	" head_checkpoint_id = COALESCE(i.head_checkpoint," \
	" threads.head_checkpoint_id)," \
	" active_leaf = COALESCE(i.leaf, active_leaf)" \
	" FROM (SELECT g.thread_id, g.at, " MOVE_COLUMNS \
	" FROM g" JOIN_REQUESTS(MOVE_ARRAYS, \
	    MOVE_NAMES) " OFFSET 0) i WHERE threads.id = i.thread_id)"

/* The row of the log is that of the checkpoint, too. */
#define COMMIT_LOG \
	", e AS (INSERT INTO run_log (" LOG_COLUMNS \
	", checkpoint_id, parent_id, manifest, state_hash) SELECT" LOG_VALUES \
	", i.id, CASE WHEN g.ns = '' AND i.id IS NOT NULL" \
	" THEN COALESCE(i.parent_id, g.head_checkpoint_id)" \
	" ELSE i.parent_id END, i.manifest," \
	" CASE WHEN i.id IS NOT NULL THEN i.state_hash END" LOG_FROM("$27", \
	    ", $28::uuid[], $43::text[], $44::bytea[], $55::uuid[]", \
	    ", id, manifest, state_hash, parent_id") ")"

#define COMMIT_WITH(messages, parts) \
	GUARD_RUN MOVE_THREAD COMMIT_LOG \
	    ", m AS (" messages ")," parts \
	    " j AS (DELETE FROM jobs USING g WHERE g.ends" \
	    " AND jobs.kind = 'run' AND jobs.run_id = g.run_id)" \
	    " SELECT n FROM g"

#define LIST_OF(array) JOIN_REQUESTS(array, "list")
#define MESSAGES_FROM \
	MESSAGES_INTO \
	" SELECT m.id, g.tenant_id, g.thread_id, m.sequence, g.run_id," \
	" g.ns, m.step, m.ordinal, m.role, m.content, m.parts," \
	" m.tool_name, m.tool_call_id, m.state, m.client_message_id," \
	" m.parent_id, m.usage, m.model, g.at FROM g" LIST_OF( \
	    "$60::text[]") ", json_to_recordset(i.list::json) AS " \
			   "m " MESSAGE_RECORD
#define MESSAGE_RECORD \
	"(id uuid, sequence bigint, step bigint, ordinal bigint, role text," \
	" content text, parts text, tool_name text, tool_call_id text," \
	" state text, client_message_id text, parent_id uuid, usage text," \
	" model text)"

#define TOOLS_NEW \
	" a AS (INSERT INTO tool_invocations (id, tenant_id, run_id, ns," \
	" step, ordinal, tool_call_id, idem_key, tool, tool_version," \
	" effect, args_hash, args, state, fence, attempt, created_at," \
	" started_at, dispatch_deadline, key_valid_until)" \
	" SELECT x.id, g.tenant_id, g.run_id, g.ns, x.step, x.ordinal," \
	" x.call_id, x.idem_key, x.tool, x.version, x.effect," \
	" decode(x.args_hash, 'hex'), x.args, x.state, g.fence, 1, g.at," \
	" g.at, x.deadline, x.key_until FROM g" LIST_OF( \
	    "$57::text[]") ", json_to_recordset(i.list::json) AS " \
			   "x " TOOL_NEW_RECORD "),"
#define TOOL_NEW_RECORD \
	"(id uuid, step bigint, ordinal bigint, call_id text," \
	" idem_key text, tool text, version text, effect text," \
	" args_hash text, args text, state text, deadline bigint," \
	" key_until bigint)"
/*
 * OFFSET 0: a list is read once, not for each call that its run ever made.  Each
 * call is looked up by its id, even if that is planned while the table is empty:
 * no other index helps with IS NOT DISTINCT FROM, and of the range, which is
 * always true, the planner thinks that few are in it.
 */
#define TOOLS_DONE \
	" d AS (UPDATE tool_invocations u SET state = x.state," \
	" result = x.result, result_sha = decode(x.sha, 'hex')," \
	" error_code = x.error_code," \
	" completed_at = CASE WHEN x.ends THEN x.at END," \
	" resolution = x.resolution, idem_key = x.idem_key," \
	" dispatch_deadline = x.deadline" DONE_FROM \
	" WHERE u.id = x.id AND u.run_id IS NOT DISTINCT FROM x.run_id" \
	" AND (u.completed_at IS NULL OR u.state = 'unknown')),"
#define DONE_FROM \
	" FROM (SELECT g.run_id, g.at, x.* FROM g" LIST_OF( \
	    "$58::text[]") ", json_to_recordset(i.list::json) AS " \
			   "x " TOOL_DONE_RECORD \
			   " WHERE length(x.state) BETWEEN 1 AND 100" \
			   " OFFSET 0) x"
#define TOOL_DONE_RECORD \
	"(id uuid, state text, result text, sha text, error_code text," \
	" resolution text, idem_key text, deadline bigint, ends bool)"
#define TOOLS_AND_VOID \
	TOOLS_NEW TOOLS_DONE \
	    " v AS (UPDATE messages SET state = 'rolled_back' FROM " \
	    "(SELECT g.run_id FROM g" JOIN_REQUESTS("$59::boolean[]", \
		"voids") " WHERE i.voids OFFSET 0) g WHERE messages.run_id = " \
			 "g.run_id),"

/* Who wants to hear of a run's end, as run_outbox_add does it. */
#define OUTBOX_FROM \
	" o AS (INSERT INTO outbox (tenant_id, kind, dest, ref, webhook_id," \
	" event_id, next_at, created_at) SELECT g.tenant_id, 'webhook'," \
	" i.dest, i.ref, w.id, g.commit_id, g.at, g.at FROM g" JOIN_REQUESTS( \
	    "$57::text[], $58::text[], $59::bigint[]", \
	    "dest, ref, mask") " JOIN webhooks w ON w.tenant_id = g.tenant_id" \
			       " AND w.user_id = g.user_id" \
			       " WHERE NOT w.paused AND (w.event_mask & " \
			       "i.mask) <> 0),"

static struct sql COMMIT_PLAIN = { .postgres = COMMIT_WITH(MESSAGE_FROM, ""),
	.is_set = true };
static struct sql COMMIT_LISTS = { .postgres = COMMIT_WITH(MESSAGES_FROM,
				       TOOLS_AND_VOID),
	.is_set = true };
static struct sql COMMIT_TELLS = { .postgres = COMMIT_WITH(MESSAGE_FROM,
				       OUTBOX_FROM),
	.is_set = true };

#define PLAIN_ARGS (COMMON_ARGS + 35)
#define COMMIT_ARGS (PLAIN_ARGS + 4)
#define TELLS_ARGS (PLAIN_ARGS + 3)

/* Does it write more than the statement of the commit does? */
static bool
is_more(const struct run_commit *c)
{
	return run_store_parks(c) || run_store_has_child(c) ||
	       run_outbox_tells(c);
}

/* $22 to $56 */
static void
plain_args(const struct run_commit *c, struct sql_arg *args)
{
	static const struct uuid none;
	bool ends = !run_is_open(c->to), root = run_commit_ns(c)[0] == '\0';
	struct run_heads after = run_commit_heads(c);
	struct sql_arg list[PLAIN_ARGS - COMMON_ARGS] = {
		SQL_UUID(c->commit_id),
		SQL_TEXT(run_status_name(c->to)),
		SQL_BOOL(run_commit_holds(c)),
		SQL_INT(c->advance ? 1 : 0),
		SQL_INT(c->bump_fence ? 1 : 0),
		SQL_INT(c->heads.run_seq + c->events->n),
		sql_uuid_or_null(c->checkpoint_id),
		SQL_TEXT(c->usage),
		SQL_INT(c->tokens),
		SQL_TEXT(c->error_code),
		SQL_TEXT(c->error),
		SQL_TEXT(c->cancel_mode),
		sql_time(c->cancel_mode != NULL ? c->now_us : 0),
		sql_time(ends ? c->now_us : 0),
		SQL_BOOL(ends && !run_store_parks(c)),
		SQL_TEXT(run_status_name(c->from)),
		SQL_INT(c->step),
		SQL_INT(c->fence),
		SQL_INT(after.seq),
		SQL_INT(after.msg_seq),
		SQL_BOOL(!run_commit_frees_thread(c)),
		SQL_TEXT(c->checkpoint_manifest),
		SQL_BYTES(c->checkpoint_hash, HASH_LEN),
		SQL_INT(c->owner),
		SQL_TEXT(run_commit_thread_status(c)),
		SQL_INT(c->attempt),
		sql_time(c->to == RUN_WAITING_TIMER ? c->run_at : 0),
		SQL_INT(c->cost_micros),
		SQL_TEXT(c->model),
		SQL_TEXT(c->budget),
		sql_time(c->deadline_at),
		SQL_INT(c->version),
		sql_uuid_or_null(c->leaf),
		sql_uuid_or_null(c->checkpoint_parent),
		sql_uuid_or_null(c->beside || !root ? none : c->checkpoint_id),
	};

	memcpy(args, list, sizeof(list));
}

/* The statement of the commit, then what other files add to it. */
static SUSPENDS enum as_status
guarded_more(struct store *store, const struct run_commit *c,
    const struct sql_arg *args, struct error *err)
{
	struct batch b;
	enum as_status st;

	batch_init(&b);
	batch_add(&b, &COMMIT_LISTS, args, COMMIT_ARGS);
	run_store_child_add(&b, c);
	if (run_store_parks(c))
		run_store_park_add(&b, c);
	run_outbox_add(&b, c);
	st = guarded_batch(store, &b, err);
	batch_fini(&b);
	return st;
}

/* $57 to $59 as well, if it tells of the run's end. */
static SUSPENDS enum as_status
commit_plain(struct store *store, const struct run_commit *c,
    struct sql_arg args[COMMIT_ARGS], struct error *err)
{
	struct run_told *told;
	struct arena *arena;
	enum as_status st;

	if (!run_outbox_tells(c))
		return guarded(store, &COMMIT_PLAIN, args, PLAIN_ARGS, err);
	arena = arena_new(NULL);
	(void)run_outbox_list(arena, c, &told); /* no more than that one */
	args[PLAIN_ARGS] = SQL_TEXT(told->name);
	args[PLAIN_ARGS + 1] = SQL_TEXT(told->ref);
	args[PLAIN_ARGS + 2] = SQL_INT(told->bit);
	st = guarded(store, &COMMIT_TELLS, args, TELLS_ARGS, err);
	arena_free(arena);
	return st;
}

/* $57 to $60 as well */
static SUSPENDS enum as_status
commit_lists(struct store *store, const struct run_commit *c,
    struct sql_arg args[COMMIT_ARGS], struct error *err)
{
	struct buf messages = { 0 }, tools_new = { 0 }, tools_done = { 0 };
	enum as_status st;

	messages_write(&messages, c->messages, c->n_messages);
	tools_new_write(&tools_new, c);
	tools_done_write(&tools_done, c);
	args[PLAIN_ARGS] = SQL_TEXT(tools_new.data);
	args[PLAIN_ARGS + 1] = SQL_TEXT(tools_done.data);
	args[PLAIN_ARGS + 2] = SQL_BOOL(c->void_messages);
	args[PLAIN_ARGS + 3] = SQL_TEXT(messages.data);
	st = is_more(c) ? guarded_more(store, c, args, err)
			: guarded(store, &COMMIT_LISTS, args, COMMIT_ARGS, err);
	buf_free(&messages);
	buf_free(&tools_new);
	buf_free(&tools_done);
	return st;
}

SUSPENDS enum as_status
run_store_pg_commit(struct store *store, const struct run_commit *c,
    struct error *err)
{
	static const struct run_message none;
	bool plain = c->n_messages == 1 && c->n_tools_new == 0 &&
		     c->n_tools_done == 0 && !c->void_messages &&
		     !run_store_parks(c) && !run_store_has_child(c);
	struct event_texts events = { 0 };
	struct sql_arg args[COMMIT_ARGS];
	enum as_status st;

	MUST(uuid_is_nil(c->checkpoint_id) || c->events->n > 0);
	event_texts_write(&events, c->events);
	args_common(args, c->thread_id, c->run_id, &c->heads, c->now_us,
	    &events, plain ? &c->messages[0] : &none);
	plain_args(c, args + COMMON_ARGS);
	st = plain ? commit_plain(store, c, args, err)
		   : commit_lists(store, c, args, err);
	event_texts_free(&events);
	return st;
}
