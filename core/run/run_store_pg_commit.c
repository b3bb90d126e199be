/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/run_outbox.h"
#include "core/run/run_store_child.h"
#include "core/run/run_store_park.h"
#include "core/run/run_store_pg_impl.h"

/*
 * A commit of a run: the statements, and how it fills their arguments.
 */

/* ---- The statements ------------------------------------------------ */

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

#define PLAIN_ARGS (RUN_PG_ARGS + 35)
#define COMMIT_ARGS (PLAIN_ARGS + 4)
#define TELLS_ARGS (PLAIN_ARGS + 3)

/* ---- Lists as JSON ------------------------------------------------- */

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

/* ---- The operation ------------------------------------------------- */

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
	struct sql_arg list[PLAIN_ARGS - RUN_PG_ARGS] = {
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
	st = run_pg_guarded_batch(store, &b, err);
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
		return run_pg_guarded(store, &COMMIT_PLAIN, args, PLAIN_ARGS,
		    err);
	arena = arena_new(NULL);
	(void)run_outbox_list(arena, c, &told); /* no more than that one */
	args[PLAIN_ARGS] = SQL_TEXT(told->name);
	args[PLAIN_ARGS + 1] = SQL_TEXT(told->ref);
	args[PLAIN_ARGS + 2] = SQL_INT(told->bit);
	st = run_pg_guarded(store, &COMMIT_TELLS, args, TELLS_ARGS, err);
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
	st = is_more(c)
		 ? guarded_more(store, c, args, err)
		 : run_pg_guarded(store, &COMMIT_LISTS, args, COMMIT_ARGS, err);
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
	run_pg_args(args, c->thread_id, c->run_id, &c->heads, c->now_us,
	    &events, plain ? &c->messages[0] : &none);
	plain_args(c, args + RUN_PG_ARGS);
	st = plain ? commit_plain(store, c, args, err)
		   : commit_lists(store, c, args, err);
	event_texts_free(&events);
	return st;
}
