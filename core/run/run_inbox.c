/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/batch.h"
#include "core/run/run_store_impl.h"
#include "core/run/run_store_park.h"

/*
 * What people were asked and have answered.  An answer to a run that waits for
 * it is part of the commit that resumes the run; one to a run that is at work
 * is written beside it, under the lock of the run's row, and moves the run's
 * version, so that its owner does not park without having seen it.
 */

/* ---- With a commit ------------------------------------------------- */

#define ANSWER \
	"UPDATE inbox_items SET status = $3, response_type = $4," \
	" response = $5, response_key = $6, responded_by = $7," \
	" responded_at = CASE WHEN $3 = 'pending' THEN NULL ELSE $8 END," \
	" updated_at = $8," \
	" expires_at = CASE WHEN $3 = 'pending' THEN NULL ELSE expires_at " \
	"END," \
	" assignee = CASE WHEN $3 = 'pending' THEN NULL ELSE assignee END," \
	" escalated_at = CASE WHEN $3 = 'pending' THEN $8 ELSE escalated_at" \
	" END WHERE id = $2 AND run_id = $1 AND status = 'pending'"

SQL(ANSWER_OURS, ANSWER " AND run_id IN (SELECT r.id FROM runs r"
			" WHERE r.id = $1 AND r.last_commit_id = $9)");

void
run_inbox_add(struct batch *b, const struct run_commit *c,
    const struct run_answer *a)
{
	BATCH_ADD(b, &ANSWER_OURS, SQL_UUID(c->run_id), SQL_UUID(a->item_id),
	    SQL_TEXT(a->status), SQL_TEXT(a->type), SQL_TEXT(a->response),
	    SQL_TEXT(a->key), sql_uuid_or_null(a->by), SQL_INT(c->now_us),
	    SQL_UUID(c->commit_id));
}

/* ---- Beside its owner ---------------------------------------------- */

#define NOT_WAITING \
	"id = $1 AND status IN ('queued', 'running', 'waiting_timer'," \
	" 'waiting_child', 'recoverable_error')"

/* $2: the ids in hex, as a list in JSON; $3: how many. */
SQL(BESIDE_SQLITE,
    "UPDATE runs SET version = version + 1, updated_at = $4 WHERE " NOT_WAITING
    " AND (SELECT count(*) FROM inbox_items i WHERE i.run_id = $1"
    " AND i.status = 'pending' AND lower(hex(i.id)) IN"
    " (SELECT value FROM json_each($2))) = $3");
SQL(ANSWER_BESIDE, ANSWER);

/* The next statement sees what those have written who held it before. */
SQL(LOCK_RUN, "SELECT 1 FROM runs WHERE id = $1 FOR UPDATE");

static struct sql BESIDE_PG = {
	.postgres =
	    "WITH a AS (SELECT * FROM json_to_recordset(CAST($2 AS json)) AS x"
	    " (id uuid, status text, type text, response text, key text,"
	    " by uuid)),"
	    " r AS (UPDATE runs SET version = version + 1, updated_at = $4"
	    " WHERE " NOT_WAITING " AND (SELECT count(*) FROM inbox_items i, a"
	    " WHERE i.id = a.id AND i.run_id = $1 AND i.status = 'pending')"
	    " = $3 RETURNING id),"
	    " u AS (UPDATE inbox_items i SET status = a.status,"
	    " response_type = a.type, response = a.response,"
	    " response_key = a.key, responded_by = a.by, responded_at = $4,"
	    " updated_at = $4 FROM a, r WHERE i.id = a.id AND i.run_id = r.id"
	    " AND i.status = 'pending')"
	    " SELECT count(*) FROM r"
};

static const char *
taken(struct batch *b, struct buf *text)
{
	const char *s = arena_strndup(b->arena, text->data, text->len);

	buf_free(text);
	return s;
}

static const char *
ids_text(struct batch *b, const struct run_answer *answers, int n)
{
	char hex[2 * sizeof(struct uuid) + 1];
	struct buf out = { 0 };

	jw_open_list(&out, NULL);
	for (int i = 0; i < n; i++) {
		text_hex(hex, answers[i].item_id.b, sizeof(struct uuid));
		jw_str(&out, NULL, hex);
	}
	jw_close_list(&out);
	return taken(b, &out);
}

static const char *
answers_text(struct batch *b, const struct run_answer *answers, int n)
{
	struct buf out = { 0 };

	jw_open_list(&out, NULL);
	for (const struct run_answer *a = answers; a < answers + n; a++) {
		jw_open(&out, NULL);
		jw_uuid(&out, "id", a->item_id);
		jw_str(&out, "status", a->status);
		jw_str(&out, "type", a->type);
		jw_str(&out, "response", a->response);
		jw_str(&out, "key", a->key);
		jw_uuid(&out, "by", a->by);
		jw_close(&out);
	}
	jw_close_list(&out);
	return taken(b, &out);
}

static SUSPENDS enum as_status
answer_pg(struct batch *b, struct store *store, struct uuid run_id,
    const struct run_answer *answers, int n, int64_t now_us, struct error *err)
{
	struct rows *rows[2] = { NULL, NULL };
	enum as_status st;

	BATCH_ADD(b, &LOCK_RUN, SQL_UUID(run_id));
	BATCH_ADD(b, &BESIDE_PG, SQL_UUID(run_id),
	    SQL_TEXT(answers_text(b, answers, n)), SQL_INT(n), SQL_INT(now_us));
	st = store_batch(store, b->calls, b->n, rows, err);
	if (st == AS_OK && rows_int(rows[1], 0, 0) != 1)
		st = error_set(err, ERR_CONFLICT, "the row has moved on");
	rows_free(rows[0]);
	rows_free(rows[1]);
	return st;
}

SUSPENDS enum as_status
run_sql_answer(void *arg, struct uuid run_id, const struct run_answer *answers,
    int n, int64_t now_us, struct error *err)
{
	struct store *store = arg;
	struct batch b;
	enum as_status st;

	batch_init(&b);
	if (store_dialect(store) == STORE_POSTGRES)
		st = answer_pg(&b, store, run_id, answers, n, now_us, err);
	else {
		BATCH_ADD(&b, &BESIDE_SQLITE, SQL_UUID(run_id),
		    SQL_TEXT(ids_text(&b, answers, n)), SQL_INT(n),
		    SQL_INT(now_us));
		for (const struct run_answer *a = answers; a < answers + n; a++)
			BATCH_ADD(&b, &ANSWER_BESIDE, SQL_UUID(run_id),
			    SQL_UUID(a->item_id), SQL_TEXT(a->status),
			    SQL_TEXT(a->type), SQL_TEXT(a->response),
			    SQL_TEXT(a->key), sql_uuid_or_null(a->by),
			    SQL_INT(now_us));
		st = batch_run(&b, store, err);
	}
	batch_fini(&b);
	return st;
}

/* ---- Reads --------------------------------------------------------- */

SQL(ASKED, "SELECT r.version, i.id, i.interrupt_id, i.step, i.ordinal, i.kind,"
	   " i.status, i.config, i.response_type, i.response, i.response_key,"
	   " i.responded_by, i.responded_at, i.expires_at,"
	   " i.action_request FROM runs r"
	   " LEFT JOIN inbox_items i ON i.run_id = r.id"
	   " AND i.kind IN ('approval', 'question') WHERE r.id = $1"
	   " ORDER BY i.step, i.ordinal");

static void
asked_read(const struct rows *r, int i, struct arena *arena,
    struct run_asked *a)
{
	memset(a, 0, sizeof(*a));
	a->id = rows_uuid(r, i, 1);
	a->interrupt_id = rows_uuid(r, i, 2);
	a->step = rows_int(r, i, 3);
	a->ordinal = rows_int(r, i, 4);
	a->kind = rows_text_in(r, i, 5, arena);
	a->status = rows_text_in(r, i, 6, arena);
	a->config = rows_text_in(r, i, 7, arena);
	a->response_type = rows_text_in(r, i, 8, arena);
	a->response = rows_text_in(r, i, 9, arena);
	a->response_key = rows_text_in(r, i, 10, arena);
	a->responded_by = rows_uuid(r, i, 11);
	a->responded_at = rows_int(r, i, 12);
	a->expires_at = rows_int(r, i, 13);
	a->request = rows_text_in(r, i, 14, arena);
}

SUSPENDS enum as_status
run_sql_asked(void *arg, struct uuid run_id, struct arena *arena,
    struct run_asked **out, int *n, int64_t *version, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };
	struct rows *r = NULL;
	char id[UUID_TEXT];
	enum as_status st = store_query(arg, &ASKED, args, 1, &r, err);

	*out = NULL;
	*n = 0;
	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(run_id, id);
		st = error_not_found(err, "run", id);
	}
	if (st == AS_OK) {
		*version = rows_int(r, 0, 0);
		*n = rows_is_null(r, 0, 1) ? 0 : rows_count(r);
		*out = arena_alloc(arena, (size_t)*n * sizeof(**out) + 1);
		for (int i = 0; i < *n; i++)
			asked_read(r, i, arena, &(*out)[i]);
	}
	rows_free(r);
	return st;
}

/* Those that wait for their run would be found again by every look. */
SQL(OVERDUE, "SELECT i.id, i.run_id, i.on_expire FROM inbox_items i"
	     " JOIN runs r ON r.id = i.run_id WHERE i.status = 'pending'"
	     " AND i.expires_at IS NOT NULL AND i.expires_at <= now_us()"
	     " AND r.status <> 'cancelling' AND CASE i.on_expire"
	     " WHEN 'escalate'"
	     " THEN r.status IN ('waiting_human', 'waiting_child')"
	     " WHEN 'fail' THEN r.status NOT IN ('running', 'waiting_child')"
	     " ELSE TRUE END ORDER BY i.expires_at, i.id LIMIT $1");

SUSPENDS enum as_status
run_sql_overdue(void *arg, int max, struct run_overdue **out, int *n,
    struct error *err)
{
	struct sql_arg args[] = { SQL_INT(max) };
	struct rows *r = NULL;
	enum as_status st = store_query(arg, &OVERDUE, args, 1, &r, err);

	*out = NULL;
	*n = 0;
	if (st == AS_OK && (*n = rows_count(r)) > 0) {
		*out = xcalloc((size_t)*n, sizeof(**out));
		for (int i = 0; i < *n; i++) {
			(*out)[i].item_id = rows_uuid(r, i, 0);
			(*out)[i].run_id = rows_uuid(r, i, 1);
			if (!rows_is_null(r, i, 2))
				snprintf((*out)[i].on_expire,
				    sizeof((*out)[i].on_expire), "%s",
				    rows_text(r, i, 2));
		}
	}
	rows_free(r);
	return st;
}
