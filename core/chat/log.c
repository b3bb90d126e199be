/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/chat.h"

/* Reading the log of a thread or a run: rows to frames. */

#define PAGE_CHARS (1024 * 1024) /* the event that reaches it is the last */

/*
 * At most $3 events, and no more than fill a page, but at least one.  On
 * PostgreSQL a row of the log is several events, which are taken apart here:
 * the server would need ten times as long.
 */
#define LOG_PAGE(columns, table, events, size, id, at) \
	"SELECT " columns " FROM " table " WHERE " id " = $1 AND " at \
	" > $2 AND " at " <= (SELECT MAX(b.at) FROM (SELECT a.at, SUM(a.size)" \
	" OVER w - a.size AS size_before, SUM(a.n) OVER w - a.n AS n_before" \
	" FROM (SELECT " at " AS at, " events " AS n, length(" size \
	") AS size FROM " table " WHERE " id " = $1 AND " at \
	" > $2 ORDER BY " at " LIMIT $3) a WINDOW w AS (ORDER BY a.at)) b" \
	" WHERE b.size_before < $4 AND b.n_before < $3) ORDER BY " at
#define COLUMNS "seq, run_seq, run_id, ns, created_at, "
#define LOG_PAGE_LITE(id, at) \
	LOG_PAGE(COLUMNS "type, payload, 1", "run_events", "1", "payload", id, \
	    at)
#define LOG_PAGE_PG(id, at) \
	LOG_PAGE(COLUMNS "types, payloads, n_events", "run_log", "n_events", \
	    "payloads", id, at)

SQL_BOTH(LOG_THREAD, LOG_PAGE_LITE("thread_id", "seq"),
    LOG_PAGE_PG("thread_id", "seq"));
SQL_BOTH(LOG_RUN, LOG_PAGE_LITE("run_id", "run_seq"),
    LOG_PAGE_PG("run_id", "run_seq"));

/* A page that grows. */
struct page {
	struct log_event *events;
	int n, max;
	enum log_of of;
	int64_t after;
};

/* Event i of a row, if it is beyond the cursor and there is room. */
static void
event_add(struct page *p, const struct rows *r, int row, int i,
    const char *type, const char *payload)
{
	int64_t before = rows_int(r, row, 7) - 1 - i; /* to the row's last */
	int64_t seq = rows_int(r, row, 0) - before;
	int64_t run_seq = rows_int(r, row, 1) - before;
	struct log_event *e = &p->events[p->n];

	if (p->n == p->max || (p->of == LOG_OF_RUN ? run_seq : seq) <= p->after)
		return;
	e->seq = seq;
	e->run_seq = run_seq;
	e->run_id = rows_uuid(r, row, 2);
	snprintf(e->type, sizeof(e->type), "%s", type);
	e->frame = event_frame_ns(e->type, seq, run_seq, e->run_id,
	    rows_text(r, row, 3), rows_int(r, row, 4), payload);
	p->n++;
}

/* Behind the string at whose quote p stands; NULL: it has no end. */
static char *
string_end(char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : NULL;
}

/* Where an element of a JSON list ends: its comma or bracket; NULL: nowhere. */
static char *
element_end(char *p)
{
	int depth = 0;

	while (
	    p != NULL && *p != '\0' && (depth > 0 || (*p != ',' && *p != ']')))
		if (*p == '"')
			p = string_end(p);
		else {
			depth += *p == '{' || *p == '[';
			depth -= *p == '}' || *p == ']';
			p++;
		}
	return p != NULL && *p != '\0' ? p : NULL;
}

/* A row as event_texts_write has made it.  False: it is damaged. */
static bool
row_split(struct page *p, const struct rows *r, int row)
{
	char *types = xstrdup(rows_text(r, row, 5));
	char *payloads = xstrdup(rows_text(r, row, 6));
	char *type = types, *payload = payloads, *end, *type_end;
	int n = (int)rows_int(r, row, 7), i;

	for (i = 0; i < n && *types == '[' && *payloads == '['; i++) {
		type_end = element_end(++type);
		end = element_end(++payload);
		if (type_end == NULL || end == NULL || type_end < type + 2)
			break;
		type_end[-1] = *end = '\0'; /* its quote; the comma */
		event_add(p, r, row, i, type + 1, payload);
		type = type_end;
		payload = end;
	}
	free(types);
	free(payloads);
	return i == n;
}

SUSPENDS enum as_status
log_read(struct store *store, enum log_of of, struct uuid id, int64_t after,
    int max, struct log_event **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(after), SQL_INT(max),
		SQL_INT(PAGE_CHARS) };
	bool split = store_dialect(store) == STORE_POSTGRES;
	struct page p = { .max = max, .of = of, .after = after };
	struct rows *r = NULL;
	enum as_status st;

	*out = NULL;
	*n = 0;
	st = store_query(store, of == LOG_OF_RUN ? &LOG_RUN : &LOG_THREAD, args,
	    4, &r, err);
	if (st != AS_OK)
		return st;
	p.events = xcalloc((size_t)max + 1, sizeof(*p.events));
	for (int i = 0; i < rows_count(r) && st == AS_OK; i++)
		if (split && !row_split(&p, r, i))
			st = error_set(err, ERR_INTERNAL,
			    "a row of the log is damaged");
		else if (!split)
			event_add(&p, r, i, 0, rows_text(r, i, 5),
			    rows_text(r, i, 6));
	rows_free(r);
	*out = p.events;
	*n = p.n;
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
