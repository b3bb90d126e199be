/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/rebuild.h"

#include <string.h>

#include "core/base/buf.h"

/* See rebuild.h. */

/* ---- Reading ------------------------------------------------------- */

static enum as_status
look_row(struct store_db *db, struct rebuild *out, struct arena *arena,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(out->run_id) };
	struct fold_run *f = &out->row;
	struct rows *r = NULL;
	char id[UUID_TEXT];
	const void *sha;
	size_t len;
	enum as_status st;

	st = store_db_run(db,
	    "SELECT r.status, r.step, r.head_seq, r.fence, r.usage,"
	    " r.error_code, r.error, r.model, r.checkpoint_id, c.step,"
	    " c.state_hash, r.created_at, r.started_at, r.completed_at,"
	    " r.version FROM runs r LEFT JOIN checkpoints c"
	    " ON c.thread_id = r.thread_id AND c.ns = r.checkpoint_ns"
	    " AND c.checkpoint_id = r.checkpoint_id WHERE r.id = $1",
	    args, 1, &r, err);
	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(out->run_id, id);
		st = error_not_found(err, "run", id);
	}
	if (st == AS_OK) {
		f->status = run_status_by_name(rows_text(r, 0, 0));
		f->step = rows_int(r, 0, 1);
		f->head_seq = rows_int(r, 0, 2);
		f->fence = rows_int(r, 0, 3);
		run_usage_parse(&f->usage, rows_text(r, 0, 4));
		f->error_code = rows_text_in(r, 0, 5, arena);
		f->error = rows_text_in(r, 0, 6, arena);
		f->model = rows_text_in(r, 0, 7, arena);
		f->checkpoint_id = rows_uuid(r, 0, 8);
		f->checkpoint_step = rows_int(r, 0, 9);
		sha = rows_bytes(r, 0, 10, &len);
		if (sha != NULL && len == HASH_LEN)
			memcpy(f->state_hash, sha, HASH_LEN);
		f->created_at = rows_int(r, 0, 11);
		f->started_at = rows_int(r, 0, 12);
		f->completed_at = rows_int(r, 0, 13);
		out->version = rows_int(r, 0, 14);
	}
	rows_free(r);
	return st;
}

static enum as_status
look_log(struct store_db *db, struct rebuild *out, struct arena *arena,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(out->run_id) };
	struct fold_event *events;
	struct rows *r = NULL;
	enum as_status st;
	int n;

	st = store_db_run(db,
	    "SELECT run_seq, step, fence, created_at, type, payload"
	    " FROM run_events WHERE run_id = $1 ORDER BY run_seq",
	    args, 1, &r, err);
	n = rows_count(r);
	events = arena_alloc(arena, (size_t)n * sizeof(*events) + 1);
	for (int i = 0; i < n; i++)
		events[i] = (struct fold_event){ .run_seq = rows_int(r, i, 0),
			.step = rows_int(r, i, 1),
			.fence = rows_int(r, i, 2),
			.created_at = rows_int(r, i, 3),
			.type = rows_text(r, i, 4),
			.payload = rows_text(r, i, 5) };
	if (st == AS_OK)
		st = fold_events(events, n, arena, &out->log, err);
	rows_free(r);
	return st;
}

/* The row first: events that come meanwhile make it look old, not wrong. */
enum as_status
rebuild_look(struct store_db *db, struct uuid run_id, struct arena *arena,
    struct rebuild *out, struct error *err)
{
	enum as_status st;

	memset(out, 0, sizeof(*out));
	out->run_id = run_id;
	st = look_row(db, out, arena, err);
	if (st == AS_OK)
		st = look_log(db, out, arena, err);
	if (st == AS_OK)
		out->n_differences = fold_compare(&out->log, &out->row, arena,
		    out->differences);
	return st;
}

/* ---- Writing ------------------------------------------------------- */

/* $17: also whose owner lives; SQLite's lock has asked that already. */
#define WRITE_RUN \
	"UPDATE runs SET status = $2, holds_thread = $3, step = $4," \
	" head_seq = $5, fence = $6, usage = $7, used_tokens = $8," \
	" error_code = $9, error = $10, model = $11, checkpoint_id = $12," \
	" started_at = $13, completed_at = $14, owner_epoch =" \
	" CASE WHEN $15 THEN owner_epoch END, version = version + 1," \
	" updated_at = now_us() WHERE id = $1 AND version = $16" \
	" AND ($17 OR NOT EXISTS (SELECT 1 FROM nodes n WHERE" \
	" n.lease_expires_at > now_us() AND (n.node_epoch = owner_epoch" \
	" OR n.node_epoch IN (SELECT j.owner_epoch FROM jobs j" \
	" WHERE j.run_id = $1 AND j.state = 1))))"

static enum as_status
write_row(struct store_db *db, const struct rebuild *r,
    const struct fold_run *m, struct error *err)
{
	bool lite = store_db_dialect(db) == STORE_SQLITE;
	bool owned = m->status == r->row.status && run_has_owner(m->status);
	struct buf usage = { 0 };
	struct rows *rows = NULL;
	enum as_status st;

	run_usage_write(&usage, NULL, &m->usage);
	struct sql_arg args[] = {
		SQL_UUID(r->run_id),
		SQL_TEXT(run_status_name(m->status)),
		SQL_BOOL(run_holds_thread(m->status)),
		SQL_INT(m->step),
		SQL_INT(m->head_seq),
		SQL_INT(m->fence),
		SQL_TEXT(usage.data),
		SQL_INT(m->usage.input + m->usage.output),
		SQL_TEXT(m->error_code),
		SQL_TEXT(m->error),
		SQL_TEXT(m->model),
		sql_uuid_or_null(m->checkpoint_id),
		sql_time(m->started_at),
		sql_time(m->completed_at),
		SQL_BOOL(owned),
		SQL_INT(r->version),
		SQL_BOOL(lite),
	};
	st = store_db_run(db, WRITE_RUN, args, 17, &rows, err);
	if (st == AS_OK && rows_affected(rows) != 1)
		st = error_set(err, ERR_CONFLICT,
		    "a node that lives owns this run, or it has just changed");
	rows_free(rows);
	buf_free(&usage);
	return st;
}

/* What has ended has no job; what shall go on has one that is free. */
static enum as_status
write_job(struct store_db *db, const struct rebuild *r,
    const struct fold_run *m, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(r->run_id) };

	if (!run_is_open(m->status))
		return store_db_run(db,
		    "DELETE FROM jobs WHERE kind = 'run' AND run_id = $1", args,
		    1, NULL, err);
	if (m->status == r->row.status ||
	    (m->status != RUN_QUEUED && m->status != RUN_CANCELLING))
		return AS_OK;
	return store_db_run(db,
	    "INSERT INTO jobs (kind, class, run_id, tenant_id, run_at,"
	    " enqueued_at, state, attempts) SELECT 'run', class, id,"
	    " tenant_id, now_us(), now_us(), 0, 0 FROM runs WHERE id = $1"
	    " ON CONFLICT (run_id) WHERE kind = 'run' DO UPDATE SET state = 0,"
	    " owner_epoch = NULL, leased_at = NULL, run_at = excluded.run_at",
	    args, 1, NULL, err);
}

enum as_status
rebuild_write(struct store_db *db, const struct rebuild *r, struct error *err)
{
	struct fold_run m = fold_mend(&r->log, &r->row);
	bool lite = store_db_dialect(db) == STORE_SQLITE;
	enum as_status st;

	st = store_db_run(db, lite ? "BEGIN IMMEDIATE" : "BEGIN", NULL, 0, NULL,
	    err);
	if (st != AS_OK)
		return st;
	st = write_row(db, r, &m, err);
	if (st == AS_OK)
		st = write_job(db, r, &m, err);
	if (st == AS_OK)
		st = store_db_run(db, "COMMIT", NULL, 0, NULL, err);
	if (st != AS_OK)
		(void)store_db_run(db, "ROLLBACK", NULL, 0, NULL, NULL);
	return st;
}
