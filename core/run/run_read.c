/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/run/run_branch.h"
#include "core/run/run_log.h"
#include "core/run/run_store_impl.h"

/* What the engine reads before it decides; see run_store.h. */

/* The runs that wait for a thread. */
#define WAITING_FOR(thread) \
	" FROM runs b WHERE b.thread_id = " thread \
	" AND b.block_pos IS NOT NULL"

#define QUEUE_OF_R \
	" (SELECT count(*)" WAITING_FOR( \
	    "r.thread_id") ")," \
			   " (SELECT count(*)" WAITING_FOR( \
			       "r.thread_id") " AND b.multitask = 'steer')," \
					      " (SELECT " \
					      "b.multitask" WAITING_FOR( \
						  "r.thread_id") " ORDER BY " \
								 "b.block_" \
								 "pos LIMIT " \
								 "1)"

/*
 * What was last said of its state, unless whoever was to work on it then was
 * lost: that moves the fence once more.  Not asked for on the first claim.
 */
#define LAST_STATUS_OF_R(row) \
	" CASE WHEN r.fence > 1 THEN (SELECT CASE WHEN e.fence >= r.fence - 1" \
	" THEN e.payload END FROM run_events e WHERE e.run_id = r.id" row \
	" AND e.type = 'run_status' ORDER BY e.run_seq DESC LIMIT 1) END"
#define IN_LAST_ROW \
	" AND e.row_run_seq = (SELECT MAX(l.run_seq) FROM run_log l" \
	" WHERE l.run_id = r.id AND " LOG_TELLS_OF("run_status") ")"

#define RUN_STATE_WITH(status) \
	"SELECT r.id, r.thread_id, r.agent_id, r.tenant_id, r.user_id," \
	" r.last_commit_id, r.status, r.fence, r.step, r.owner_epoch," \
	" r.deadline_at, r.created_at, t.head_seq, r.head_seq, " \
	"t.next_msg_seq," \
	" r.checkpoint_id, r.model, r.correlation_id, r.traceparent," \
	" r.cancel_mode, r.usage, now_us(), r.budget, r.error_code, " \
	"r.attempt," \
	" r.version, r.used_cost_micros, r.crash_count, r.crash_step," \
	" (SELECT c.state_hash FROM checkpoints c WHERE c.thread_id = " \
	"r.thread_id" \
	" AND c.ns = r.checkpoint_ns AND c.checkpoint_id = r.checkpoint_id)," \
	" r.kind, r.class, r.origin," \
	" r.branch_leaf, r.branch_before, r.beside," \
	" CASE WHEN r.branch_leaf IS NOT NULL THEN COALESCE((SELECT m.id FROM" \
	" messages m WHERE m.run_id = r.id AND m.state IN ('final', " \
	"'interrupted')" \
	" ORDER BY m.sequence DESC LIMIT 1), r.branch_leaf) END," \
	" r.forked_from_run, r.fork_mode," \
	" r.checkpoint_ns, r.pending_children, r.parent_run_id," \
	" r.parent_call_id, p.status, p.head_seq, p.pending_children, " \
	"p.budget," \
	" p.checkpoint_ns, (SELECT k.kind FROM runs k WHERE k.id = " \
	"r.root_run_id)," \
	" r.multitask, t.active_run_id, t.active_leaf," QUEUE_OF_R "," status \
	" FROM runs r JOIN threads t ON t.id = r.thread_id" \
	" LEFT JOIN runs p ON p.id = r.parent_run_id WHERE r.id = $1"

SQL_BOTH(RUN_STATE, RUN_STATE_WITH(LAST_STATUS_OF_R("")),
    RUN_STATE_WITH(LAST_STATUS_OF_R(IN_LAST_ROW)));

static void
family_from_row(struct run_state *s, const struct rows *r, struct arena *arena)
{
	s->ns = rows_text_in(r, 0, 39, arena);
	s->pending_children = rows_int(r, 0, 40);
	s->parent_run_id = rows_uuid(r, 0, 41);
	s->parent_call_id = rows_uuid(r, 0, 42);
	s->parent.status = run_status_by_name(rows_text(r, 0, 43));
	s->parent.run_seq = rows_int(r, 0, 44);
	s->parent.pending_children = rows_int(r, 0, 45);
	s->parent.budget = rows_text_in(r, 0, 46, arena);
	s->parent.ns = rows_text_in(r, 0, 47, arena);
	s->root_kind = rows_text_in(r, 0, 48, arena);
}

static enum run_status
said_state(const char *payload)
{
	struct json_object *body = NULL;
	enum run_status status = 0;

	if (payload != NULL &&
	    json_parse(payload, strlen(payload), &body, NULL) == AS_OK)
		status = run_status_by_name(jget_str(body, "state", ""));
	json_object_put(body);
	return status;
}

static void
state_from_row(struct run_state *s, const struct rows *r, struct arena *arena)
{
	const void *sha;
	size_t len;

	memset(s, 0, sizeof(*s));
	s->id = rows_uuid(r, 0, 0);
	s->thread_id = rows_uuid(r, 0, 1);
	s->agent_id = rows_uuid(r, 0, 2);
	s->tenant_id = rows_uuid(r, 0, 3);
	s->user_id = rows_uuid(r, 0, 4);
	s->last_commit_id = rows_uuid(r, 0, 5);
	s->status = run_status_by_name(rows_text(r, 0, 6));
	s->fence = rows_int(r, 0, 7);
	s->step = rows_int(r, 0, 8);
	s->owner_epoch = rows_int(r, 0, 9);
	s->deadline_at = rows_int(r, 0, 10);
	s->created_at = rows_int(r, 0, 11);
	s->heads.seq = rows_int(r, 0, 12);
	s->heads.run_seq = rows_int(r, 0, 13);
	s->heads.msg_seq = rows_int(r, 0, 14);
	s->checkpoint_id = rows_uuid(r, 0, 15);
	s->model = rows_text_in(r, 0, 16, arena);
	s->correlation_id = rows_text_in(r, 0, 17, arena);
	s->traceparent = rows_text_in(r, 0, 18, arena);
	s->cancel_mode = rows_text_in(r, 0, 19, arena);
	run_usage_parse(&s->usage, rows_text(r, 0, 20));
	s->now_us = rows_int(r, 0, 21);
	s->budget = rows_text_in(r, 0, 22, arena);
	s->error_code = rows_text_in(r, 0, 23, arena);
	s->attempt = rows_int(r, 0, 24);
	s->version = rows_int(r, 0, 25);
	s->cost_micros = rows_int(r, 0, 26);
	s->crash_count = rows_int(r, 0, 27);
	s->crash_step = rows_int(r, 0, 28);
	sha = rows_bytes(r, 0, 29, &len);
	if (sha != NULL && len == HASH_LEN)
		memcpy(s->checkpoint_hash, sha, HASH_LEN);
	s->kind = rows_text_in(r, 0, 30, arena);
	s->class = (int)rows_int(r, 0, 31);
	s->origin = rows_text_in(r, 0, 32, arena);
	s->branch.leaf = rows_uuid(r, 0, 33);
	s->branch.before = rows_uuid(r, 0, 34);
	s->branch.beside = rows_bool(r, 0, 35);
	s->leaf = rows_uuid(r, 0, 36);
	s->forked_from = rows_uuid(r, 0, 37);
	s->fork_mode = rows_text_in(r, 0, 38, arena);
	family_from_row(s, r, arena);
	s->multitask = rows_text_in(r, 0, 49, arena);
	s->active_run_id = rows_uuid(r, 0, 50);
	s->thread_leaf = rows_uuid(r, 0, 51);
	s->n_blocked = rows_int(r, 0, 52);
	s->n_steers = rows_int(r, 0, 53);
	s->next_multitask = rows_text_in(r, 0, 54, arena);
	s->waited = said_state(rows_text(r, 0, 55));
}

SUSPENDS enum as_status
run_sql_state(void *arg, struct uuid run_id, struct arena *arena,
    struct run_state *out, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_UUID(run_id) };
	struct rows *rows = NULL;
	char id[UUID_TEXT];
	enum as_status st;

	st = store_query(store, &RUN_STATE, args, 1, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0) {
		uuid_format(run_id, id);
		st = error_not_found(err, "run", id);
	}
	if (st == AS_OK)
		state_from_row(out, rows, arena);
	rows_free(rows);
	return st;
}

SQL(THREAD_STATE,
    "SELECT id, tenant_id, user_id, agent_id, active_run_id, head_seq,"
    " next_msg_seq, now_us(), title <> '', COALESCE(active_leaf, (SELECT m.id"
    " FROM messages m WHERE m.thread_id = threads.id AND m.ns = ''"
    " AND m.state IN ('final', 'interrupted')"
    " ORDER BY m.sequence DESC LIMIT 1)), active_leaf,"
    " (SELECT count(*)" WAITING_FOR(
	"threads.id") ") FROM threads WHERE id = $1 AND tenant_id = $2 AND "
		      "user_id = $3");

SUSPENDS enum as_status
run_sql_thread(void *arg, struct uuid thread_id, struct uuid tenant_id,
    struct uuid user_id, struct thread_state *out, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_UUID(thread_id), SQL_UUID(tenant_id),
		SQL_UUID(user_id) };
	struct rows *r = NULL;
	char id[UUID_TEXT];
	enum as_status st;

	st = store_query(store, &THREAD_STATE, args, 3, &r, err);
	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(thread_id, id);
		st = error_not_found(err, "thread", id);
	}
	if (st == AS_OK) {
		memset(out, 0, sizeof(*out));
		out->id = rows_uuid(r, 0, 0);
		out->tenant_id = rows_uuid(r, 0, 1);
		out->user_id = rows_uuid(r, 0, 2);
		out->agent_id = rows_uuid(r, 0, 3);
		out->active_run_id = rows_uuid(r, 0, 4);
		out->heads.seq = rows_int(r, 0, 5);
		out->heads.msg_seq = rows_int(r, 0, 6);
		out->now_us = rows_int(r, 0, 7);
		out->has_title = rows_bool(r, 0, 8);
		out->last_message_id = rows_uuid(r, 0, 9);
		out->leaf = rows_uuid(r, 0, 10);
		out->n_blocked = rows_int(r, 0, 11);
	}
	rows_free(r);
	return st;
}

#define COUNTS(ns_is) \
	"thread_id = $1 AND ns = " ns_is " AND " RUN_COUNTS("messages")

/* The newest, so many and so long at most, but from the last question on. */
SQL(HISTORY,
    "SELECT " RUN_HISTORY_COLUMNS " FROM messages WHERE " COUNTS(
	"$4") " AND sequence >="
	      " (SELECT MIN(x.sequence) FROM (SELECT b.sequence FROM"
	      " (SELECT a.sequence, SUM(a.size) OVER (ORDER BY a.sequence "
	      "DESC) AS total"
	      " FROM (SELECT sequence, length(content) + length(parts) AS size"
	      " FROM messages WHERE " COUNTS(
		  "$4") " ORDER BY sequence DESC LIMIT $2) a) b"
			" WHERE b.total <= $3 UNION ALL SELECT u.sequence FROM"
			" (SELECT sequence FROM messages WHERE " COUNTS(
			    "$4") " AND role = 'user'"
				  " ORDER BY sequence DESC LIMIT 1) u) x) "
				  "ORDER BY sequence");

/* Most threads are short; those need no adding up. */
#define SHORT_ROWS 32

SQL(HISTORY_SHORT, "SELECT " RUN_HISTORY_COLUMNS
		   " FROM messages WHERE " COUNTS("$2") " ORDER BY sequence");

static bool
is_too_long(const struct rows *r)
{
	size_t total = 0, content, parts;

	for (int i = 0; i < rows_count(r); i++) {
		(void)rows_bytes(r, i, 2, &content);
		(void)rows_bytes(r, i, 3, &parts);
		total += content + parts;
	}
	return total > RUN_HISTORY_CHARS;
}

static SUSPENDS enum as_status
history_rows(struct store *store, struct uuid thread_id, const char *ns,
    int64_t next_sequence, struct rows **r, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id),
		SQL_INT(RUN_HISTORY_ROWS), SQL_INT(RUN_HISTORY_CHARS),
		SQL_TEXT(ns) };
	struct sql_arg few[] = { args[0], args[3] };
	enum as_status st;

	if (next_sequence <= SHORT_ROWS) {
		st = store_query(store, &HISTORY_SHORT, few, 2, r, err);
		if (st != AS_OK || !is_too_long(*r))
			return st;
		rows_free(*r);
	}
	return store_query(store, &HISTORY, args, 4, r, err);
}

SUSPENDS enum as_status
run_sql_history(void *arg, struct uuid thread_id, const char *ns,
    struct uuid leaf, int64_t next_sequence, struct arena *arena,
    struct run_history_row **out, int *n, struct error *err)
{
	struct store *store = arg;
	struct rows *r = NULL;
	enum as_status st;

	*out = NULL;
	*n = 0;
	st = uuid_is_nil(leaf)
		 ? history_rows(store, thread_id, ns, next_sequence, &r, err)
		 : run_branch_rows(store, thread_id, leaf, &r, err);
	if (st != AS_OK)
		return st;
	*out = run_history_of(r, arena, n);
	rows_free(r);
	return AS_OK;
}

#define TOOL_COLUMNS \
	"id, step, ordinal, tool_call_id, idem_key, tool, tool_version, args," \
	" effect, state, result, error_code, dispatch_deadline," \
	" key_valid_until, resolution FROM tool_invocations WHERE run_id = $1"

SQL(STEP_TOOLS, "SELECT " TOOL_COLUMNS " AND step = $2 ORDER BY ordinal, id");

SQL(EFFECTS, "SELECT " TOOL_COLUMNS " AND effect <> 'P'"
	     " AND state IN ('started', 'succeeded', 'unknown')"
	     " ORDER BY step, ordinal");

static void
tool_from_row(struct run_tool *t, const struct rows *r, int i,
    struct arena *arena)
{
	t->id = rows_uuid(r, i, 0);
	t->step = rows_int(r, i, 1);
	t->ordinal = rows_int(r, i, 2);
	t->call_id = rows_text_in(r, i, 3, arena);
	t->idem_key = rows_text_in(r, i, 4, arena);
	t->tool = rows_text_in(r, i, 5, arena);
	t->version = rows_text_in(r, i, 6, arena);
	t->args = rows_text_in(r, i, 7, arena);
	t->effect = rows_text_in(r, i, 8, arena);
	t->state = rows_text_in(r, i, 9, arena);
	t->result = rows_text_in(r, i, 10, arena);
	t->error_code = rows_text_in(r, i, 11, arena);
	t->deadline_us = rows_int(r, i, 12);
	t->key_until = rows_int(r, i, 13);
	t->resolution = rows_text_in(r, i, 14, arena);
}

static SUSPENDS enum as_status
tools_read(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n_args, struct arena *arena, struct run_tool **out, int *n,
    struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_query(store, sql, args, n_args, &r, err);

	*n = rows_count(r);
	*out = arena_alloc(arena, (size_t)*n * sizeof(**out) + 1);
	for (int i = 0; i < *n; i++)
		tool_from_row(&(*out)[i], r, i, arena);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
run_sql_tools(void *arg, struct uuid run_id, int64_t step, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_INT(step) };

	return tools_read(arg, &STEP_TOOLS, args, 2, arena, out, n, err);
}

SUSPENDS enum as_status
run_sql_effects(void *arg, struct uuid run_id, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };

	return tools_read(arg, &EFFECTS, args, 1, arena, out, n, err);
}

#define OPEN_IN(what, at, rows) \
	"SELECT type, payload FROM run_events WHERE " what rows " AND " at \
	" <= $2 AND type IN ('message_start', 'message_reset'," \
	" 'message_end') ORDER BY " at " DESC LIMIT 1"

/* Of the thread's own messages: those of subagents are only shown as a whole. */
SQL_BOTH(OPEN_IN_THREAD, OPEN_IN("thread_id = $1 AND ns = ''", "seq", ""),
    OPEN_IN("thread_id = $1", "seq",
	" AND row_seq IN (" LOG_ROWS_OF_MESSAGES("thread_id", "seq",
	    " AND l.ns = ''") ")"));

SQL_BOTH(OPEN_IN_RUN, OPEN_IN("run_id = $1", "run_seq", ""),
    OPEN_IN("run_id = $1", "run_seq",
	" AND row_run_seq IN (" LOG_ROWS_OF_MESSAGES("run_id", "run_seq",
	    "") ")"));

SUSPENDS enum as_status
run_sql_open_message(void *arg, bool by_run, struct uuid id, int64_t at,
    struct uuid *out, int *attempt, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(at) };
	struct json_object *body = NULL;
	struct rows *r = NULL;
	const char *text;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	*attempt = 0;
	st = store_query(store, by_run ? &OPEN_IN_RUN : &OPEN_IN_THREAD, args,
	    2, &r, err);
	if (st == AS_OK && rows_count(r) == 1 &&
	    strcmp(rows_text(r, 0, 0), "message_end") != 0) {
		text = rows_text(r, 0, 1);
		if (json_parse(text, strlen(text), &body, NULL) == AS_OK)
			jget_uuid(body, "message_id", out);
		*attempt = (int)jget_int(body, "attempt", 1);
		json_object_put(body);
	}
	rows_free(r);
	return st;
}

#define BY_CLIENT_ID_WITH(first) \
	"SELECT m.id, m.run_id, (SELECT " first ") FROM messages m" \
	" WHERE m.thread_id = $1 AND m.client_message_id = $2"

SQL_BOTH(BY_CLIENT_ID,
    BY_CLIENT_ID_WITH("e.seq FROM run_events e WHERE e.run_id = m.run_id"
		      " AND e.run_seq = 1"),
    BY_CLIENT_ID_WITH("l.seq - l.n_events + 1 FROM run_log l WHERE l.run_id"
		      " = m.run_id ORDER BY l.run_seq LIMIT 1"));

SUSPENDS enum as_status
run_sql_by_client_id(void *arg, struct uuid thread_id,
    const char *client_message_id, struct uuid *message_id, struct uuid *run_id,
    int64_t *seq, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_UUID(thread_id),
		SQL_TEXT(client_message_id) };
	struct rows *r = NULL;
	enum as_status st;

	memset(message_id, 0, sizeof(*message_id));
	memset(run_id, 0, sizeof(*run_id));
	st = store_query(store, &BY_CLIENT_ID, args, 2, &r, err);
	if (st == AS_OK && rows_count(r) == 1) {
		*message_id = rows_uuid(r, 0, 0);
		*run_id = rows_uuid(r, 0, 1);
		*seq = rows_int(r, 0, 2);
	}
	rows_free(r);
	return st;
}
