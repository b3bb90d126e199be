/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/stream_text.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/event.h"
#include "core/run/run_log.h"

/* See stream_text.h.  There are a few of them at most, so a list will do. */

#define SUBAGENTS_MAX 64 /* the youngest, of whom a reader who joins hears */

static void
drop(struct open_text **at)
{
	struct open_text *t = *at;

	*at = t->next;
	free(t->ns);
	free(t);
}

static void
drop_run(struct open_texts *ts, struct uuid run_id)
{
	struct open_text **at = &ts->first;

	while (*at != NULL)
		if (uuid_equal((*at)->run_id, run_id))
			drop(at);
		else
			at = &(*at)->next;
}

void
texts_clear(struct open_texts *ts)
{
	while (ts->first != NULL)
		drop(&ts->first);
}

struct open_text *
texts_begin(struct open_texts *ts, struct uuid run_id, const char *ns,
    struct uuid message_id, int attempt)
{
	struct open_text *t = xcalloc(1, sizeof(*t));

	drop_run(ts, run_id);
	*t = (struct open_text){ .next = ts->first,
		.run_id = run_id,
		.message_id = message_id,
		.ns = xstrdup(ns),
		.attempt = attempt };
	return ts->first = t;
}

struct open_text *
texts_of(const struct open_texts *ts, struct uuid message_id)
{
	struct open_text *t = ts->first;

	while (t != NULL && !uuid_equal(t->message_id, message_id))
		t = t->next;
	return t;
}

struct open_text *
texts_of_run(const struct open_texts *ts, struct uuid run_id)
{
	struct open_text *t = ts->first;

	while (t != NULL && !uuid_equal(t->run_id, run_id))
		t = t->next;
	return t;
}

void
texts_move(struct open_texts *to, struct open_texts *from)
{
	texts_clear(to);
	*to = *from;
	from->first = NULL;
}

/* ---- Frames -------------------------------------------------------- */

/* A member in the head of a frame. */
static bool
frame_uuid(const struct rcbuf *frame, const char *key, struct uuid *out)
{
	const char *at = strstr(frame->data, key);
	char id[UUID_TEXT] = "";

	if (at == NULL || strlen(at + strlen(key)) < UUID_TEXT)
		return false;
	memcpy(id, at + strlen(key), UUID_TEXT - 1);
	return uuid_parse(id, out);
}

int64_t
frame_int(const struct rcbuf *frame, const char *key, int64_t otherwise)
{
	const char *at = strstr(frame->data, key);

	return at != NULL ? strtoll(at + strlen(key), NULL, 10) : otherwise;
}

bool
frame_type(const struct rcbuf *frame, char *out, size_t size)
{
	const char *type = strstr(frame->data, "\"type\":\"");
	size_t len = type != NULL ? strcspn(type + 8, "\"") : 0;

	if (type == NULL || type[8 + len] == '\0' || len >= size)
		return false;
	memcpy(out, type + 8, len);
	out[len] = '\0';
	return true;
}

/* A name space is made of ids: there is nothing in it to be unescaped. */
static char *
frame_ns(const struct rcbuf *frame)
{
	const char *ns = strstr(frame->data, EVENT_NS "\"");
	const char *ts = strstr(frame->data, ",\"ts\":");

	if (ns == NULL || ts == NULL || ns > ts) /* in its body, not its head */
		return xstrdup("");
	ns += strlen(EVENT_NS "\"");
	return xstrndup(ns, strcspn(ns, "\""));
}

void
texts_note(struct open_texts *ts, const char *type, struct uuid run_id,
    const struct rcbuf *frame)
{
	struct uuid id;
	char *ns;

	if (strcmp(type, "message_end") == 0 ||
	    (strcmp(type, "run_status") == 0 &&
		strstr(frame->data, "\"status\":\"end\"") != NULL))
		drop_run(ts, run_id);
	if ((strcmp(type, "message_start") != 0 &&
		strcmp(type, "message_reset") != 0) ||
	    !frame_uuid(frame, "\"message_id\":\"", &id))
		return;
	ns = frame_ns(frame);
	texts_begin(ts, run_id, ns, id,
	    (int)frame_int(frame, "\"attempt\":", 1));
	free(ns);
}

/* ---- The log ------------------------------------------------------- */

#define MESSAGE_TYPES " ('message_start', 'message_reset', 'message_end')"
#define LAST_OF(what, at, rows) \
	"SELECT e.run_id, e.ns, e.type, e.payload FROM run_events e" \
	" WHERE e." what rows " AND e." at \
	" <= $2 AND e.type IN" MESSAGE_TYPES " ORDER BY e." at " DESC LIMIT 1"

/* Each run's last word about a message; it may be that one is over. */
SQL_BOTH(LAST_IN_RUN, LAST_OF("run_id = $1", "run_seq", ""),
    LAST_OF("run_id = $1", "run_seq",
	" AND e.row_run_seq IN (" LOG_ROWS_OF_MESSAGES("run_id", "run_seq",
	    "") ")"));

#define SUBAGENTS \
	" FROM (SELECT id FROM runs WHERE thread_id = $1" \
	" AND parent_run_id IS NOT NULL ORDER BY id DESC LIMIT $3) r"
#define AND_OF_THREAD(rows) \
	" UNION ALL SELECT * FROM (" LAST_OF("thread_id = $1 AND e.ns = ''", \
	    "seq", rows) ") y"

SQL_BOTH(LAST_IN_THREAD,
    "SELECT e.run_id, e.ns, e.type, e.payload FROM (SELECT r.id,"
    " (SELECT l.run_seq FROM run_events l WHERE l.run_id = r.id AND l.seq <= $2"
    " AND l.type IN" MESSAGE_TYPES
    " ORDER BY l.run_seq DESC LIMIT 1) AS at" SUBAGENTS
    ") x CROSS JOIN run_events e WHERE e.run_id = x.id"
    " AND e.run_seq = x.at" AND_OF_THREAD(""),
    "SELECT e.run_id, e.ns, e.type, e.payload" SUBAGENTS
    " CROSS JOIN LATERAL (SELECT e.run_id, e.ns, e.type, e.payload"
    " FROM run_events e WHERE e.run_id = r.id AND e.row_run_seq IN"
    " (SELECT l.run_seq FROM run_log l WHERE l.run_id = r.id"
    " AND l.seq - l.n_events < $2" LOG_TELLS_OF_MESSAGES
    " ORDER BY l.run_seq DESC LIMIT 2) AND e.seq <= $2"
    " AND e.type IN" MESSAGE_TYPES
    " ORDER BY e.run_seq DESC LIMIT 1) e" AND_OF_THREAD(
	" AND e.row_seq IN (" LOG_ROWS_OF_MESSAGES("thread_id", "seq",
	    " AND l.ns = ''") ")"));

static SUSPENDS enum as_status
find(struct store *store, struct sql *sql, const struct sql_arg *args, int n,
    struct open_texts *ts, struct error *err)
{
	struct json_object *body;
	struct rows *r = NULL;
	const char *text;
	struct uuid id;
	enum as_status st = store_query(store, sql, args, n, &r, err);

	for (int i = 0; i < rows_count(r); i++) {
		text = rows_text(r, i, 3);
		if (strcmp(rows_text(r, i, 2), "message_end") == 0 ||
		    json_parse(text, strlen(text), &body, NULL) != AS_OK)
			continue;
		if (jget_uuid(body, "message_id", &id))
			texts_begin(ts, rows_uuid(r, i, 0), rows_text(r, i, 1),
			    id, (int)jget_int(body, "attempt", 1));
		json_object_put(body);
	}
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
texts_find(struct store *store, struct uuid thread_id, int64_t seq,
    struct open_texts *ts, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id), SQL_INT(seq),
		SQL_INT(SUBAGENTS_MAX) };

	return find(store, &LAST_IN_THREAD, args, 3, ts, err);
}

SUSPENDS enum as_status
texts_find_run(struct store *store, struct uuid run_id, int64_t run_seq,
    struct open_texts *ts, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_INT(run_seq) };

	return find(store, &LAST_IN_RUN, args, 2, ts, err);
}
