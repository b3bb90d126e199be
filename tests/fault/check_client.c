/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tests/fault/check.h"

/*
 * What clients were told.  A line of their log is an answer to a request with
 * a key; an event as it was shown by the stream of a thread or, with run_id, by
 * that of a run; a snapshot, after which events go on; or a text as a
 * reader has put it together:
 *
 *	{"t": "reply", "key": K, "status": 202, "run_id": ID, "sha256": HEX}
 *	{"t": "event", "thread_id": ID, "seq": N, "type": TYPE}
 *	{"t": "event", "run_id": ID, "run_seq": N, "type": TYPE}
 *	{"t": "snapshot", "thread_id": ID, "seq": N}
 *	{"t": "text", "message_id": ID, "sha256": HEX}
 *	{"t": "text", "message_id": ID, "text": TEXT}
 *
 * The first of these is a whole text; of the second the end may be missing, for
 * the message may have been shown before it.  The events of a reader that came
 * back with its cursor are one sequence; where there are several of them,
 * `reader` says which.
 */

struct reply {
	struct reply *next;
	char *key, *run_id, *sha256;
};

struct log_name {
	const char *what, *select, *head;
};

static const struct log_name thread_log = { "thread",
	"SELECT type FROM run_events WHERE thread_id = $1 AND seq = $2",
	"SELECT head_seq FROM threads WHERE id = $1" };
static const struct log_name run_log = { "run",
	"SELECT type FROM run_events WHERE run_id = $1 AND run_seq = $2",
	"SELECT head_seq FROM runs WHERE id = $1" };

struct reader {
	struct reader *next;
	const struct log_name *of;
	char *name, *id;
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
check_shown(struct check *c, const struct reader *r, int64_t seq,
    const char *type)
{
	struct uuid id = { 0 };
	struct sql_arg args[2];
	struct rows *rows;

	uuid_parse(r->id, &id);
	args[0] = SQL_UUID(id);
	args[1] = SQL_INT(seq);
	rows = check_query(c, r->of->select, args, 2);
	if (rows_count(rows) != 1 || strcmp(rows_text(rows, 0, 0), type) != 0)
		check_broken(c, "I12",
		    "%s of %s %s: event %lld was shown as %s, the log has %s",
		    r->name, r->of->what, r->id, (long long)seq, type,
		    rows_count(rows) == 1 ? rows_text(rows, 0, 0) : "none");
	rows_free(rows);
}

static struct reader *
reader_of(struct clients *all, struct json_object *o)
{
	const char *name = jget_str(o, "reader", "a reader");
	const char *run_id = jget_str(o, "run_id", NULL);
	const char *id = run_id != NULL ? run_id : jget_str(o, "thread_id", "");
	struct reader *r = all->readers;

	while (
	    r != NULL && (strcmp(r->name, name) != 0 || strcmp(r->id, id) != 0))
		r = r->next;
	if (r != NULL)
		return r;
	r = xcalloc(1, sizeof(*r));
	r->of = run_id != NULL ? &run_log : &thread_log;
	r->id = xstrdup(id);
	r->name = xstrdup(name);
	r->next = all->readers;
	return all->readers = r;
}

static void
event_line(struct check *c, struct clients *all, struct json_object *o)
{
	struct reader *r = reader_of(all, o);
	int64_t seq = jget_int(o, r->of == &run_log ? "run_seq" : "seq", 0);

	if (seq <= r->seq)
		check_broken(c, "I12",
		    "%s of %s %s: event %lld was shown after %lld", r->name,
		    r->of->what, r->id, (long long)seq, (long long)r->seq);
	else if (seq > r->seq + 1) {
		c->lost_events += (int)(seq - r->seq - 1);
		check_broken(c, "I12",
		    "%s of %s %s: no event between %lld and %lld was shown",
		    r->name, r->of->what, r->id, (long long)r->seq,
		    (long long)seq);
	}
	r->seq = seq > r->seq ? seq : r->seq;
	check_shown(c, r, seq, jget_str(o, "type", ""));
}

static bool
is_text(const char *content, struct json_object *o)
{
	const char *shown = jget_str(o, "text", NULL);
	char hash[HASH_TEXT];

	if (shown != NULL)
		return strncmp(content, shown, strlen(shown)) == 0;
	hash_text(content, strlen(content), hash);
	return strcmp(hash, jget_str(o, "sha256", "")) == 0;
}

static void
text_line(struct check *c, struct json_object *o)
{
	const char *id = jget_str(o, "message_id", "");
	struct uuid uuid = { { 0 } };
	struct sql_arg args[1];
	struct rows *rows;

	uuid_parse(id, &uuid);
	args[0] = SQL_UUID(uuid);
	rows = check_query(c, "SELECT content FROM messages WHERE id = $1",
	    args, 1);
	if (rows_count(rows) != 1 || !is_text(rows_text(rows, 0, 0), o))
		check_broken(c, "I12",
		    "%s: message %s was shown as another text than is stored",
		    jget_str(o, "reader", ""), id);
	rows_free(rows);
	c->texts++;
}

static void
client_line(struct check *c, struct json_object *o, void *arg)
{
	const char *t = jget_str(o, "t", "");

	if (strcmp(t, "reply") == 0)
		reply_line(c, arg, o);
	else if (strcmp(t, "text") == 0)
		text_line(c, o);
	else if (strcmp(t, "snapshot") == 0)
		reader_of(arg, o)->seq = jget_int(o, "seq", 0);
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

	uuid_parse(r->id, &id);
	args[0] = SQL_UUID(id);
	rows = check_query(c, r->of->head, args, 1);
	head = rows_count(rows) == 1 ? rows_int(rows, 0, 0) : 0;
	rows_free(rows);
	if (head == r->seq)
		return;
	c->lost_events += head > r->seq ? (int)(head - r->seq) : 0;
	check_broken(c, "I12",
	    "%s of %s %s: %lld events were shown, its head is %lld", r->name,
	    r->of->what, r->id, (long long)r->seq, (long long)head);
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
		free(reader->name);
		free(reader->id);
		free(reader);
	}
}
