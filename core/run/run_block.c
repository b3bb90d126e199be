/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_block.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/run/run_branch.h"
#include "core/run/run_log.h"
#include "core/run/run_store_impl.h"

/*
 * A thread's queue.  Whatever happens to a blocked run is an event of its
 * thread, so the guard's belief in threads.head_seq covers the queue too: who
 * has read it at that head knows it.
 *
 * A staged message has no place in the history yet: its sequence is negative,
 * and only who holds the thread takes numbers from threads.next_msg_seq.
 */

#define OURS "r.id = $1 AND r.last_commit_id = $2"
#define IF_OURS " EXISTS (SELECT 1 FROM runs r WHERE " OURS ")"

/* ---- Create -------------------------------------------------------- */

#define TAKE_TURN \
	"UPDATE threads SET head_seq = $3, version = version + 1," \
	" updated_at = $4 WHERE id = $1 AND active_run_id IS NOT NULL" \
	" AND head_seq = $2 AND next_msg_seq = $5 AND tenant_id = $6" \
	" AND user_id = $7"

#define BLOCKED_RUN \
	"INSERT INTO runs (id, tenant_id, thread_id, user_id, agent_id, kind," \
	" class, status, correlation_id, traceparent, created_by_user_id," \
	" root_run_id, checkpoint_ns, step, head_seq, fence, version," \
	" last_commit_id, attempt, deadline_at, model, created_at, " \
	"updated_at," \
	" holds_thread, multitask, block_pos, origin, dedup)"
#define BLOCKED_VALUES \
	"$8, $6, $1, $7, $9, $17, $18, 'blocked', $10, $11, $7, $8," \
	" '', 0, $12, 0, 1, $8, 0, $13, $14, $4, $4, FALSE, $15, $16," \
	" $19, $20"

/* Where a WITH cannot write, the guard stands alone. */
SQL(TAKE_TURN_ALONE, TAKE_TURN);
SQL(INSERT_BLOCKED, BLOCKED_RUN " VALUES (" BLOCKED_VALUES ")");
SQL(BLOCK, "WITH t AS (" TAKE_TURN " RETURNING id) " BLOCKED_RUN
	   " SELECT " BLOCKED_VALUES " FROM t");

SQL(STAGE_MESSAGE,
    "INSERT INTO messages (id, tenant_id, thread_id, sequence, run_id, ns,"
    " step, ordinal, role, content, parts, state, client_message_id,"
    " created_at) SELECT $3, r.tenant_id, r.thread_id, $4, r.id, '', 0, 0,"
    " 'user', $5, $6, 'staged', $7, $8 FROM runs r WHERE " OURS);

/* Of any run of the thread; its row is as it shall be. */
LOG_ADD(OTHER_EVENT,
    "run_id, run_seq, thread_id, seq, tenant_id, step, ns, fence, created_at",
    "x.id, $4, x.thread_id, $5, x.tenant_id, x.step, '', x.fence, $8", "$6",
    "$7",
    " FROM runs r JOIN runs x ON x.thread_id = r.thread_id WHERE " OURS
    " AND x.id = $3");

struct other {
	struct uuid run_id, commit_id; /* of the one whose request it is */
	struct uuid of;
	int64_t run_seq, seq; /* before them */
	int64_t now_us;
};

static void
add_events(struct batch *b, const struct other *o,
    const struct event_list *events)
{
	for (int i = 0; i < events->n; i++)
		BATCH_ADD(b, &OTHER_EVENT, SQL_UUID(o->run_id),
		    SQL_UUID(o->commit_id), SQL_UUID(o->of),
		    SQL_INT(o->run_seq + 1 + i), SQL_INT(o->seq + 1 + i),
		    SQL_TEXT(events->items[i].type),
		    SQL_TEXT(events->items[i].body), SQL_INT(o->now_us));
}

static void
add_run(struct batch *b, const struct run_create *c, bool alone)
{
	struct sql_arg args[] = { SQL_UUID(c->thread_id), SQL_INT(c->heads.seq),
		SQL_INT(c->heads.seq + c->events->n), SQL_INT(c->now_us),
		SQL_INT(c->heads.msg_seq), SQL_UUID(c->tenant_id),
		SQL_UUID(c->user_id), SQL_UUID(c->run_id),
		SQL_UUID(c->agent_id), SQL_TEXT(c->correlation_id),
		SQL_TEXT(c->traceparent), SQL_INT(c->events->n),
		SQL_INT(c->deadline_at), SQL_TEXT(c->model),
		SQL_TEXT(c->multitask), SQL_INT(c->block_pos),
		SQL_TEXT(run_create_kind(c)), SQL_INT(c->class),
		SQL_TEXT(c->origin), SQL_TEXT(c->dedup) };

	if (alone) {
		batch_add(b, &TAKE_TURN_ALONE, args, 7);
		batch_add(b, &INSERT_BLOCKED, args, N_ITEMS(args));
	} else
		batch_add(b, &BLOCK, args, N_ITEMS(args));
}

/* The first statement of a batch has to have touched one row. */
static SUSPENDS enum as_status
batch_first(struct batch *b, struct store *store, struct error *err)
{
	struct rows **rows = arena_alloc(b->arena,
	    (size_t)b->n * sizeof(struct rows *));
	enum as_status st = store_batch(store, b->calls, b->n, rows, err);

	if (st == AS_OK && rows_affected(rows[0]) != 1)
		st = error_set(err, ERR_CONFLICT, "the row has moved on");
	for (int i = 0; i < b->n; i++)
		rows_free(rows[i]);
	return st;
}

SUSPENDS enum as_status
run_block_create(struct store *store, const struct run_create *c,
    struct error *err)
{
	const struct run_message *m = &c->message;
	bool alone = store_dialect(store) == STORE_SQLITE;
	struct other self = { c->run_id, c->run_id, c->run_id, 0, c->heads.seq,
		c->now_us };
	struct batch b;
	enum as_status st;

	batch_init(&b);
	add_run(&b, c, alone);
	BATCH_ADD(&b, &STAGE_MESSAGE, SQL_UUID(c->run_id), SQL_UUID(c->run_id),
	    SQL_UUID(m->id), SQL_INT(-(c->heads.seq + 1)), SQL_TEXT(m->content),
	    SQL_TEXT(m->parts), SQL_TEXT(m->client_message_id),
	    SQL_INT(m->created_at));
	add_events(&b, &self, c->events);
	st = alone ? batch_run(&b, store, err) : batch_first(&b, store, err);
	batch_fini(&b);
	return st;
}

/* ---- Commit -------------------------------------------------------- */

int64_t
run_commit_unblock_seq(const struct run_commit *c)
{
	int64_t seq = c->heads.seq + c->events->n;

	for (int i = 0; i < c->n_children; i++)
		seq += c->children[i].events->n;
	return seq + (c->tell.events != NULL ? c->tell.events->n : 0);
}

struct run_heads
run_commit_heads(const struct run_commit *c)
{
	struct run_heads h = c->heads;

	h.seq = run_commit_unblock_seq(c);
	h.run_seq += c->events->n;
	h.msg_seq += c->n_messages + c->n_children +
		     (c->unstaged != NULL ? 1 : 0);
	for (int i = 0; i < c->n_unblocks; i++) {
		h.seq += c->unblocks[i].events->n;
		h.msg_seq++;
	}
	return h;
}

static bool
is_root(const struct run_commit *c)
{
	return run_commit_ns(c)[0] == '\0';
}

/* A subagent moves the heads of its logs, and nothing else. */
const char *
run_commit_thread_status(const struct run_commit *c)
{
	if (!is_root(c) || (c->from == RUN_BLOCKED && !run_holds_thread(c->to)))
		return NULL;
	for (int i = 0; i < c->n_unblocks; i++)
		if (c->unblocks[i].to == RUN_QUEUED)
			return run_thread_status(RUN_QUEUED);
	return run_thread_status(c->to);
}

bool
run_commit_frees_thread(const struct run_commit *c)
{
	return is_root(c) && c->from != RUN_BLOCKED && !run_holds_thread(c->to);
}

SQL(LEAVE_QUEUE, "UPDATE runs SET block_pos = NULL,"
		 " branch_leaf = COALESCE($3, branch_leaf),"
		 " branch_before = COALESCE($4, branch_before) WHERE id = $1"
		 " AND last_commit_id = $2");

SQL(UNBLOCK_RUN,
    "UPDATE runs SET status = $4, holds_thread = $5, block_pos = NULL,"
    " head_seq = $6, fence = fence + $7, version = version + 1,"
    " updated_at = $8, completed_at = $9,"
    " deadline_at = COALESCE($10, deadline_at),"
    " branch_leaf = COALESCE($12, branch_leaf),"
    " branch_before = COALESCE($13, branch_before) WHERE id = $3"
    " AND status = 'blocked' AND head_seq = $11 AND" IF_OURS);

SQL(GIVE_THREAD, "UPDATE threads SET active_run_id = $3 WHERE id = $4"
		 " AND active_run_id IS NULL AND" IF_OURS);

SQL(UNBLOCK_JOB,
    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at, enqueued_at,"
    " state, attempts) SELECT 'run', x.class, x.id, x.tenant_id, $4, $4, 0, 0"
    " FROM runs r JOIN runs x ON x.thread_id = r.thread_id WHERE " OURS
    " AND x.id = $3 AND x.status = 'queued'");

SQL(PLACE_MESSAGE,
    "UPDATE messages SET state = 'final', run_id = $4, sequence = $5,"
    " parent_id = $6, step = $7, ordinal = $8 WHERE id = $3"
    " AND state = 'staged' AND" IF_OURS);

static void
add_place(struct batch *b, const struct run_commit *c, struct uuid run_id,
    const struct run_message *m)
{
	BATCH_ADD(b, &PLACE_MESSAGE, SQL_UUID(c->run_id),
	    SQL_UUID(c->commit_id), SQL_UUID(m->id), SQL_UUID(run_id),
	    SQL_INT(m->sequence), sql_uuid_or_null(m->parent_id),
	    SQL_INT(m->step), SQL_INT(m->ordinal));
}

static void
add_unblock(struct batch *b, const struct run_commit *c,
    const struct run_unblock *u, int64_t seq)
{
	struct other o = { c->run_id, c->commit_id, u->run_id, u->run_seq, seq,
		c->now_us };
	bool goes_on = u->to == RUN_QUEUED;
	struct sql_arg run = SQL_UUID(c->run_id);
	struct sql_arg commit = SQL_UUID(c->commit_id);
	struct sql_arg of = SQL_UUID(u->run_id);

	BATCH_ADD(b, &UNBLOCK_RUN, run, commit, of,
	    SQL_TEXT(run_status_name(u->to)), SQL_BOOL(goes_on),
	    SQL_INT(u->run_seq + u->events->n), SQL_INT(goes_on ? 0 : 1),
	    SQL_INT(c->now_us), sql_time(goes_on ? 0 : c->now_us),
	    sql_time(u->deadline_at), SQL_INT(u->run_seq),
	    sql_uuid_or_null(u->branch.leaf),
	    sql_uuid_or_null(u->branch.before));
	if (goes_on) {
		BATCH_ADD(b, &GIVE_THREAD, run, commit, of,
		    SQL_UUID(c->thread_id));
		BATCH_ADD(b, &UNBLOCK_JOB, run, commit, of, SQL_INT(c->now_us));
	}
	add_place(b, c, goes_on ? u->run_id : c->run_id, u->message);
	add_events(b, &o, u->events);
}

/* The head is again what it was before the run that is rolled back. */
SQL(HEAD_BACK,
    "UPDATE threads SET head_checkpoint_id = (SELECT c.parent_id"
    " FROM checkpoints c WHERE c.run_id = $1 ORDER BY c.step LIMIT 1)"
    " WHERE id = $3 AND EXISTS (SELECT 1 FROM checkpoints c"
    " WHERE c.run_id = $1) AND" IF_OURS);

/* In a thread with branches that is where the person looks again. */
SQL(HEAD_BACK_TO, "UPDATE threads SET head_checkpoint_id = " RUN_CHECKPOINT_AT_4
		  " WHERE id = $3 AND EXISTS (SELECT 1 FROM checkpoints c"
		  " WHERE c.run_id = $1) AND" IF_OURS);

static void
add_head_back(struct batch *b, const struct run_commit *c)
{
	struct sql_arg args[] = { SQL_UUID(c->run_id), SQL_UUID(c->commit_id),
		SQL_UUID(c->thread_id), SQL_UUID(c->back_to) };

	if (c->beside || !is_root(c))
		return; /* it has never moved */
	if (uuid_is_nil(c->back_to))
		batch_add(b, &HEAD_BACK, args, 3);
	else
		batch_add(b, &HEAD_BACK_TO, args, 4);
}

bool
run_block_concerns(const struct run_commit *c)
{
	return c->from == RUN_BLOCKED || c->n_unblocks > 0 || c->void_messages;
}

void
run_block_add(struct batch *b, const struct run_commit *c)
{
	int64_t seq = run_commit_unblock_seq(c);

	if (c->void_messages)
		add_head_back(b, c);
	if (c->from == RUN_BLOCKED)
		BATCH_ADD(b, &LEAVE_QUEUE, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), sql_uuid_or_null(c->branch.leaf),
		    sql_uuid_or_null(c->branch.before));
	if (c->from == RUN_BLOCKED && run_holds_thread(c->to))
		BATCH_ADD(b, &GIVE_THREAD, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_UUID(c->run_id),
		    SQL_UUID(c->thread_id));
	if (c->unstaged != NULL)
		add_place(b, c, c->run_id, c->unstaged);
	for (int i = 0; i < c->n_unblocks; i++) {
		add_unblock(b, c, &c->unblocks[i], seq);
		seq += c->unblocks[i].events->n;
	}
}

/* ---- Reads --------------------------------------------------------- */

SQL(BLOCKED,
    "SELECT b.id, b.multitask, b.block_pos, b.head_seq, m.id, m.content,"
    " m.parts, m.client_message_id, m.created_at FROM runs b JOIN messages m"
    " ON m.run_id = b.id AND m.state = 'staged' WHERE b.thread_id = $1"
    " AND b.block_pos IS NOT NULL ORDER BY b.block_pos");

static void
blocked_from_row(struct run_blocked *b, const struct rows *r, int i,
    struct arena *arena)
{
	struct run_message *m = &b->message;

	memset(b, 0, sizeof(*b));
	b->run_id = rows_uuid(r, i, 0);
	b->multitask = arena_strdup(arena, rows_text(r, i, 1));
	b->block_pos = rows_int(r, i, 2);
	b->run_seq = rows_int(r, i, 3);
	m->id = rows_uuid(r, i, 4);
	m->role = "user";
	m->content = arena_strdup(arena, rows_text(r, i, 5));
	m->parts = arena_strdup(arena, rows_text(r, i, 6));
	m->client_message_id = arena_strdup(arena, rows_text(r, i, 7));
	m->state = "staged";
	m->created_at = rows_int(r, i, 8);
}

SUSPENDS enum as_status
run_sql_blocked(void *arg, struct uuid thread_id, struct arena *arena,
    struct run_blocked **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id) };
	struct rows *r = NULL;
	enum as_status st = store_query(arg, &BLOCKED, args, 1, &r, err);

	*n = rows_count(r);
	*out = arena_alloc(arena, (size_t)*n * sizeof(**out) + 1);
	for (int i = 0; i < *n; i++)
		blocked_from_row(&(*out)[i], r, i, arena);
	rows_free(r);
	return st;
}

SQL(STALLED, "SELECT t.id, t.active_run_id, b.id, b.multitask FROM"
	     " (SELECT thread_id, MIN(block_pos) AS pos FROM runs"
	     " WHERE block_pos IS NOT NULL GROUP BY thread_id) w"
	     " JOIN runs b ON b.thread_id = w.thread_id AND b.block_pos = w.pos"
	     " JOIN threads t ON t.id = w.thread_id"
	     " LEFT JOIN runs a ON a.id = t.active_run_id"
	     " WHERE a.id IS NULL OR a.status = 'recoverable_error'"
	     " OR (b.multitask IN ('interrupt', 'rollback')"
	     " AND a.status <> 'cancelling') ORDER BY t.id LIMIT $1");

SUSPENDS enum as_status
run_sql_stalled(void *arg, int max, struct run_stalled **out, int *n,
    struct error *err)
{
	struct sql_arg args[] = { SQL_INT(max) };
	struct rows *r = NULL;
	enum as_status st = store_query(arg, &STALLED, args, 1, &r, err);

	*n = rows_count(r);
	*out = *n > 0 ? xcalloc((size_t)*n, sizeof(**out)) : NULL;
	for (int i = 0; i < *n; i++) {
		struct run_stalled *s = &(*out)[i];
		const char *multitask = rows_text(r, i, 3);

		s->thread_id = rows_uuid(r, i, 0);
		s->active_run_id = rows_uuid(r, i, 1);
		s->next_run_id = rows_uuid(r, i, 2);
		if (multitask != NULL)
			strncpy(s->multitask, multitask,
			    sizeof(s->multitask) - 1);
	}
	rows_free(r);
	return st;
}
