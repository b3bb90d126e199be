/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/chat.h"

/* Reading the log of a thread or a run: rows to frames. */

#define PAGE_CHARS (1024 * 1024) /* the event that reaches it is the last */

/*
 * At most $3 events, and no more than fill a page, but at least one.  On
 * PostgreSQL a page ends with a row of the log: its size is that of rows.
 */
#define LOG_PAGE(table, size, id, at, row_at, row) \
	"SELECT seq, run_seq, run_id, type, payload, created_at, ns" \
	" FROM run_events WHERE " id " = $1 AND " row_at " > $2 AND " row_at \
	" <= (SELECT MAX(b.at) FROM (SELECT a.at, SUM(a.size) OVER" \
	" (ORDER BY a.at) - a.size AS before_it FROM (SELECT " at " AS at," \
	" length(" size ") AS size FROM " table " WHERE " id " = $1 AND " at \
	" > $2 ORDER BY " at " LIMIT $3) a) b WHERE b.before_it < $4)" row \
	" ORDER BY " at
#define LOG_PAGE_LITE(id, at) LOG_PAGE("run_events", "payload", id, at, at, "")
#define LOG_PAGE_PG(id, at) \
	LOG_PAGE("run_log", "payloads", id, at, "row_" at, " AND " at " > $2") \
	" LIMIT $3"

SQL_BOTH(LOG_THREAD, LOG_PAGE_LITE("thread_id", "seq"),
    LOG_PAGE_PG("thread_id", "seq"));
SQL_BOTH(LOG_RUN, LOG_PAGE_LITE("run_id", "run_seq"),
    LOG_PAGE_PG("run_id", "run_seq"));

SUSPENDS enum as_status
log_read(struct store *store, enum log_of of, struct uuid id, int64_t after,
    int max, struct log_event **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(after), SQL_INT(max),
		SQL_INT(PAGE_CHARS) };
	struct log_event *e;
	struct rows *r = NULL;
	enum as_status st;

	*out = NULL;
	*n = 0;
	st = store_query(store, of == LOG_OF_RUN ? &LOG_RUN : &LOG_THREAD, args,
	    4, &r, err);
	if (st != AS_OK)
		return st;
	*n = rows_count(r);
	*out = xcalloc((size_t)*n + 1, sizeof(**out));
	for (int i = 0; i < *n; i++) {
		e = &(*out)[i];
		e->seq = rows_int(r, i, 0);
		e->run_seq = rows_int(r, i, 1);
		e->run_id = rows_uuid(r, i, 2);
		snprintf(e->type, sizeof(e->type), "%s", rows_text(r, i, 3));
		e->frame = event_frame_ns(e->type, e->seq, e->run_seq,
		    e->run_id, rows_text(r, i, 6), rows_int(r, i, 5),
		    rows_text(r, i, 4));
	}
	rows_free(r);
	return AS_OK;
}

void
log_events_free(struct log_event *events, int n)
{
	for (int i = 0; i < n; i++)
		rcbuf_unref(events[i].frame);
	free(events);
}

SUSPENDS enum as_status
log_head(const struct chat_ctx *ctx, enum log_of of, struct uuid id,
    int64_t *head, struct error *err)
{
	struct json_object *thread = NULL;
	struct uuid thread_id = id;
	enum run_status status;
	enum as_status st = AS_OK;

	if (of == LOG_OF_RUN)
		st = run_find(ctx, id, &thread_id, &status, head, err);
	if (st != AS_OK)
		return st;
	st = thread_get(ctx, thread_id, &thread, err);
	if (st == AS_OK && of == LOG_OF_THREAD)
		*head = jget_int(thread, "head_seq", 0);
	/* An admin sees that run, but not what was said in it. */
	if (st == AS_NOTFOUND && of == LOG_OF_RUN) {
		error_clear(err);
		st = error_set(err, ERR_FORBIDDEN,
		    "only its owner may read what was said in a run");
	}
	json_object_put(thread);
	return st;
}
