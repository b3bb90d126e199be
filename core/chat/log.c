/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/chat.h"

/* Reading the log of a thread or a run: rows to frames. */

SQL(LOG_THREAD,
    "SELECT seq, run_seq, run_id, type, payload, created_at FROM run_events"
    " WHERE thread_id = $1 AND seq > $2 ORDER BY seq LIMIT $3");

SQL(LOG_RUN,
    "SELECT seq, run_seq, run_id, type, payload, created_at FROM run_events"
    " WHERE run_id = $1 AND run_seq > $2 ORDER BY run_seq LIMIT $3");

SUSPENDS enum as_status
log_read(struct store *store, enum log_of of, struct uuid id, int64_t after,
    int max, struct log_event **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(after), SQL_INT(max) };
	struct log_event *e;
	struct rows *r = NULL;
	enum as_status st;

	*out = NULL;
	*n = 0;
	st = store_query(store, of == LOG_OF_RUN ? &LOG_RUN : &LOG_THREAD, args,
	    3, &r, err);
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
		e->frame = event_frame(e->type, e->seq, e->run_seq, e->run_id,
		    rows_int(r, i, 5), rows_text(r, i, 4));
	}
	rows_free(r);
	return AS_OK;
}

SQL(OPEN_IN_THREAD,
    "SELECT type, payload FROM run_events WHERE thread_id = $1 AND seq <= $2"
    " AND type IN ('message_start', 'message_reset', 'message_end')"
    " ORDER BY seq DESC LIMIT 1");

SQL(OPEN_IN_RUN,
    "SELECT type, payload FROM run_events WHERE run_id = $1 AND run_seq <= $2"
    " AND type IN ('message_start', 'message_reset', 'message_end')"
    " ORDER BY run_seq DESC LIMIT 1");

SUSPENDS enum as_status
log_open_message(struct store *store, enum log_of of, struct uuid id,
    int64_t at, struct uuid *out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(at) };
	struct json_object *body = NULL;
	struct rows *r = NULL;
	const char *text;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	st = store_query(store,
	    of == LOG_OF_RUN ? &OPEN_IN_RUN : &OPEN_IN_THREAD, args, 2, &r,
	    err);
	if (st == AS_OK && rows_count(r) == 1 &&
	    strcmp(rows_text(r, 0, 0), "message_end") != 0) {
		text = rows_text(r, 0, 1);
		if (json_parse(text, strlen(text), &body, NULL) == AS_OK)
			jget_uuid(body, "message_id", out);
		json_object_put(body);
	}
	rows_free(r);
	return st;
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
	enum run_status status;
	struct uuid thread_id;
	enum as_status st;

	if (of == LOG_OF_RUN)
		return run_find(ctx, id, &thread_id, &status, head, err);
	st = thread_get(ctx, id, &thread, err);
	if (st == AS_OK)
		*head = jget_int(thread, "head_seq", 0);
	json_object_put(thread);
	return st;
}
