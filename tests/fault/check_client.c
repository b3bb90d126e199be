/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "tests/fault/check.h"

/*
 * What clients were told.  A line of their log is an answer to a request with
 * a key, or an event as it was shown:
 *
 *	{"t": "reply", "key": K, "status": 202, "run_id": ID, "sha256": HEX}
 *	{"t": "event", "thread_id": ID, "seq": N, "type": TYPE}
 *
 * or what it had shown of a message, piece by piece, when that was complete:
 *
 *	{"t": "text", "message_id": ID, "text": TEXT}
 *
 * The events of a reader that came back with its cursor are one sequence.  Of a
 * text its end may not have been shown: then the message was.
 */

struct reply {
	struct reply *next;
	char *key, *run_id, *sha256;
};

struct reader {
	struct reader *next;
	char *thread_id;
	int64_t seq;
};

struct clients {
	struct reply *replies;
	struct reader *readers;
};

static void
reply_line(struct check *c, struct clients *all, struct json_object *o)
{
	const char *key = jget_str(o, "key", "");
	const char *run_id = jget_str(o, "run_id", "");
	const char *sha256 = jget_str(o, "sha256", "");
	struct reply *r;

	if (jget_int(o, "status", 0) / 100 != 2)
		return;
	for (r = all->replies; r != NULL; r = r->next)
		if (strcmp(r->key, key) == 0) {
			if (strcmp(r->run_id, run_id) != 0)
				check_broken(c, "I15", "key %s made two runs",
				    key);
			else if (strcmp(r->sha256, sha256) != 0)
				check_broken(c, "I15",
				    "key %s had two different answers", key);
			return;
		}
	r = xcalloc(1, sizeof(*r));
	r->key = xstrdup(key);
	r->run_id = xstrdup(run_id);
	r->sha256 = xstrdup(sha256);
	r->next = all->replies;
	all->replies = r;
}

/* What was shown is in the log, at its place. */
static void
check_shown(struct check *c, const char *thread, int64_t seq, const char *type)
{
	struct uuid id = { 0 };
	struct sql_arg args[2];
	struct rows *rows;

	uuid_parse(thread, &id);
	args[0] = SQL_UUID(id);
	args[1] = SQL_INT(seq);
	rows = check_query(c,
	    "SELECT type FROM run_events WHERE thread_id = $1 AND seq = $2",
	    args, 2);
	if (rows_count(rows) != 1 || strcmp(rows_text(rows, 0, 0), type) != 0)
		check_broken(c, "I12",
		    "thread %s: event %lld was shown as %s, the log has %s",
		    thread, (long long)seq, type,
		    rows_count(rows) == 1 ? rows_text(rows, 0, 0) : "none");
	rows_free(rows);
}

static void
event_line(struct check *c, struct clients *all, struct json_object *o)
{
	const char *thread = jget_str(o, "thread_id", "");
	int64_t seq = jget_int(o, "seq", 0);
	struct reader *r = all->readers;

	while (r != NULL && strcmp(r->thread_id, thread) != 0)
		r = r->next;
	if (r == NULL) {
		r = xcalloc(1, sizeof(*r));
		r->thread_id = xstrdup(thread);
		r->next = all->readers;
		all->readers = r;
	}
	if (seq <= r->seq)
		check_broken(c, "I12",
		    "thread %s: event %lld was shown after "
		    "%lld",
		    thread, (long long)seq, (long long)r->seq);
	else if (seq > r->seq + 1) {
		c->lost_events += (int)(seq - r->seq - 1);
		check_broken(c, "I12",
		    "thread %s: no event between %lld and "
		    "%lld was shown",
		    thread, (long long)r->seq, (long long)seq);
	}
	r->seq = seq > r->seq ? seq : r->seq;
	check_shown(c, thread, seq, jget_str(o, "type", ""));
}

static void
text_line(struct check *c, struct json_object *o)
{
	const char *shown = jget_str(o, "text", "");
	struct uuid id = { { 0 } };
	struct sql_arg args[1];
	struct rows *rows;

	jget_uuid(o, "message_id", &id);
	args[0] = SQL_UUID(id);
	rows = check_query(c, "SELECT content FROM messages WHERE id = $1",
	    args, 1);
	if (rows_count(rows) != 1 ||
	    strncmp(rows_text(rows, 0, 0), shown, strlen(shown)) != 0)
		check_broken(c, "I12", "message %s was shown as '%s'",
		    jget_str(o, "message_id", ""), shown);
	rows_free(rows);
	c->texts++;
}

static void
client_line(struct check *c, struct json_object *o, void *arg)
{
	if (strcmp(jget_str(o, "t", ""), "reply") == 0)
		reply_line(c, arg, o);
	else if (strcmp(jget_str(o, "t", ""), "text") == 0)
		text_line(c, o);
	else
		event_line(c, arg, o);
}

/* A key stands for one message and its run. */
static void
check_reply(struct check *c, const struct reply *r)
{
	struct sql_arg args[] = { SQL_TEXT(r->key) };
	struct rows *rows = check_query(c,
	    "SELECT run_id FROM messages WHERE client_message_id = $1", args,
	    1);
	char id[UUID_TEXT] = "";

	if (rows_count(rows) == 1)
		uuid_format(rows_uuid(rows, 0, 0), id);
	if (rows_count(rows) != 1 || strcmp(id, r->run_id) != 0)
		check_broken(c, "I15",
		    "key %s was answered with run %s; there are %d messages, "
		    "the first of run %s",
		    r->key, r->run_id, rows_count(rows), id);
	rows_free(rows);
}

static void
check_reader(struct check *c, const struct reader *r)
{
	struct uuid id = { 0 };
	struct sql_arg args[1];
	struct rows *rows;
	int64_t head;

	uuid_parse(r->thread_id, &id);
	args[0] = SQL_UUID(id);
	rows = check_query(c, "SELECT head_seq FROM threads WHERE id = $1",
	    args, 1);
	head = rows_count(rows) == 1 ? rows_int(rows, 0, 0) : 0;
	rows_free(rows);
	if (head == r->seq)
		return;
	c->lost_events += head > r->seq ? (int)(head - r->seq) : 0;
	check_broken(c, "I12",
	    "thread %s: %lld events were shown, its head is %lld", r->thread_id,
	    (long long)r->seq, (long long)head);
}

void
check_client(struct check *c)
{
	struct clients all = { NULL, NULL };
	struct reply *reply;
	struct reader *reader;

	check_lines(c, c->client, client_line, &all);
	while ((reply = all.replies) != NULL) {
		check_reply(c, reply);
		all.replies = reply->next;
		free(reply->key);
		free(reply->run_id);
		free(reply->sha256);
		free(reply);
	}
	while ((reader = all.readers) != NULL) {
		check_reader(c, reader);
		all.readers = reader->next;
		free(reader->thread_id);
		free(reader);
	}
}
