/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_branch.h"

#include "core/base/hash.h"
#include "core/run/run_store_impl.h"

/* See run_branch.h. */

struct uuid
run_create_leaf(const struct run_create *c)
{
	if (uuid_is_nil(c->branch.leaf) || !c->branch.beside)
		return c->branch.leaf;
	return c->branch.before;
}

bool
run_create_forks(const struct run_create *c)
{
	return c->fork.manifest != NULL;
}

struct uuid
run_create_head(const struct run_create *c)
{
	static const struct uuid none;

	return run_create_forks(c) && !c->branch.beside ? c->run_id : none;
}

/* ---- Writes -------------------------------------------------------- */

SQL(FORK_TOOL,
    "INSERT INTO tool_invocations (id, tenant_id, run_id, ns, step, ordinal,"
    " tool_call_id, idem_key, tool, tool_version, effect, args_hash, args,"
    " state, fence, attempt, created_at, started_at, key_valid_until)"
    " SELECT $2, r.tenant_id, r.id, '', 0, $3, $4, $5, $6, $7, $8, $9, $10,"
    " $13, r.fence, 1, $11, $11, $12 FROM runs r WHERE r.id = $1");

static void
fork_tools(struct batch *b, const struct run_create *c)
{
	const struct run_tool *t;

	for (int i = 0; i < c->fork.n_tools; i++) {
		t = &c->fork.tools[i];
		BATCH_ADD(b, &FORK_TOOL, SQL_UUID(c->run_id), SQL_UUID(t->id),
		    SQL_INT(t->ordinal), SQL_TEXT(t->call_id),
		    SQL_TEXT(t->idem_key), SQL_TEXT(t->tool),
		    SQL_TEXT(t->version), SQL_TEXT(t->effect),
		    SQL_BYTES(t->args_hash, HASH_LEN), SQL_TEXT(t->args),
		    SQL_INT(c->now_us), sql_time(t->key_until),
		    SQL_TEXT(t->state));
	}
}

#define FORK_INTO(table) \
	"INSERT INTO " table " (thread_id, ns, checkpoint_id, tenant_id," \
	" parent_id, run_id, step, source, manifest, state_hash, created_at)" \
	" SELECT r.thread_id, '', r.id, r.tenant_id, $2, r.id, 0, 'fork', $3," \
	" $4, $5 FROM runs r WHERE r.id = $1"

SQL_BOTH(INSERT_FORK, FORK_INTO("checkpoints"), FORK_INTO("checkpoints_apart"));

void
run_branch_add_fork(struct batch *b, const struct run_create *c)
{
	BATCH_ADD(b, &INSERT_FORK, SQL_UUID(c->run_id),
	    sql_uuid_or_null(c->fork.checkpoint_id), SQL_TEXT(c->fork.manifest),
	    SQL_BYTES(c->fork.hash, HASH_LEN), SQL_INT(c->now_us));
	fork_tools(b, c);
}

SQL(FORK_RUN, "UPDATE runs SET forked_from_checkpoint = $2, beside = $3,"
	      " fork_mode = $4 WHERE id = $1");
SQL(FORK_THREAD, "UPDATE threads SET head_checkpoint_id = $2 WHERE id = $1"
		 " AND active_run_id = $2");

void
run_branch_add_head(struct batch *b, const struct run_create *c)
{
	BATCH_ADD(b, &FORK_RUN, SQL_UUID(c->run_id),
	    sql_uuid_or_null(c->fork.checkpoint_id), SQL_BOOL(c->branch.beside),
	    SQL_TEXT(c->fork.mode));
	if (!c->branch.beside)
		BATCH_ADD(b, &FORK_THREAD, SQL_UUID(c->thread_id),
		    SQL_UUID(c->run_id));
}

SQL(SWITCH, "UPDATE threads SET active_leaf = $4, version = version + 1,"
	    " updated_at = now_us(), head_checkpoint_id = " RUN_CHECKPOINT_AT_4
	    " WHERE id = $1 AND tenant_id = $2 AND user_id = $3"
	    " AND active_run_id IS NULL AND active_leaf IS NOT NULL"
	    " AND EXISTS (SELECT 1 FROM messages m WHERE m.id = $4"
	    " AND m.thread_id = $1 AND m.ns = '' AND " RUN_COUNTS("m") ")");

SUSPENDS enum as_status
run_sql_switch(void *arg, struct uuid thread_id, struct uuid tenant_id,
    struct uuid user_id, struct uuid leaf, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id), SQL_UUID(tenant_id),
		SQL_UUID(user_id), SQL_UUID(leaf) };
	struct rows *rows = NULL;
	enum as_status st = store_exec(arg, &SWITCH, args, 4, &rows, err);

	if (st == AS_OK && rows_affected(rows) == 0)
		st = error_set(err, ERR_CONFLICT, "the thread has moved on");
	rows_free(rows);
	return st;
}

/* ---- The path ------------------------------------------------------ */

#define SIZE_OF_M "length(m.content) + length(m.parts)"

/* Upwards until it is too long, but at least to a question. */
SQL(PATH,
    "WITH RECURSIVE path (at, parent_id, n, total, asked) AS (SELECT m.id,"
    " m.parent_id, 1, CAST(" SIZE_OF_M " AS bigint), m.role = 'user'"
    " FROM messages m WHERE m.id = $2 AND m.thread_id = $1"
    " UNION ALL SELECT m.id, m.parent_id, path.n + 1,"
    " path.total + " SIZE_OF_M ", path.asked OR m.role = 'user'"
    " FROM path JOIN messages m ON m.id = path.parent_id"
    " WHERE NOT path.asked OR (path.n < $3 AND"
    " path.total + " SIZE_OF_M " <= $4))"
    " SELECT " RUN_HISTORY_COLUMNS " FROM path JOIN messages ON id = at"
    " WHERE " RUN_COUNTS("messages") " ORDER BY sequence");

SUSPENDS enum as_status
run_branch_rows(struct store *store, struct uuid thread_id, struct uuid leaf,
    struct rows **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id), SQL_UUID(leaf),
		SQL_INT(RUN_HISTORY_ROWS), SQL_INT(RUN_HISTORY_CHARS) };

	return store_query(store, &PATH, args, 4, out, err);
}

struct run_history_row *
run_history_of(const struct rows *r, struct arena *arena, int *n)
{
	struct run_history_row *all, *h;

	*n = rows_count(r);
	all = arena_alloc(arena, (size_t)*n * sizeof(*all) + 1);
	for (int i = 0; i < *n; i++) {
		h = &all[i];
		h->id = rows_uuid(r, i, 0);
		h->role = rows_text_in(r, i, 1, arena);
		h->content = rows_text_in(r, i, 2, arena);
		h->parts = rows_text_in(r, i, 3, arena);
		h->tool_call_id = rows_text_in(r, i, 4, arena);
		h->state = rows_text_in(r, i, 5, arena);
		h->run_id = rows_uuid(r, i, 6);
		h->step = rows_int(r, i, 7);
		h->sequence = rows_int(r, i, 8);
		h->usage = rows_text_in(r, i, 9, arena);
	}
	return all;
}
