/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/chat/snapshot.h"
#include "core/chat/stream_impl.h"

/*
 * Catching up: a page of the log after the other, with the text that belongs
 * between, until there is nothing more; then what is being written just now, if
 * another process writes it.
 */

#define PAGE 500

/* Whoever cannot be told everything comes back with his cursor. */
static void
stream_broken(struct stream *s, const struct error *err)
{
	if (s->p.closed)
		return;
	log_warn("stream", "log not read: %s", err->detail);
	pump_end(&s->p, STREAM_BROKEN);
}

/*
 * Reads after a cursor of this stream; on failure it is closed.  The caller
 * frees the events.
 */
static SUSPENDS void
log_page(struct stream *s, int64_t after, int max, struct log_event **events,
    int *n)
{
	enum log_of of = s->c.by_run ? LOG_OF_RUN : LOG_OF_THREAD;
	struct uuid id = s->c.by_run ? s->c.run_id : s->c.thread_id;
	struct error err = { 0 };

	*n = 0;
	*events = NULL;
	if (log_read(s->c.store, of, id, after, max, events, n, &err) != AS_OK)
		stream_broken(s, &err);
	error_clear(&err);
}

/* A cursor may stand in the middle of messages: then their text is due. */
static SUSPENDS void
find_open_messages(struct stream *s)
{
	struct open_texts found = { 0 };
	int generation = s->generation;
	struct error err = { 0 };
	enum as_status st;

	s->looked = generation;
	if (s->cursor == 0)
		return;
	if (s->c.by_run)
		st = texts_find_run(s->c.store, s->c.run_id, s->cursor, &found,
		    &err);
	else
		st = texts_find(s->c.store, s->c.thread_id, s->cursor, &found,
		    &err);
	if (st != AS_OK)
		stream_broken(s, &err);
	else if (!s->p.closed && generation == s->generation)
		texts_move(&s->texts, &found);
	texts_clear(&found);
	error_clear(&err);
}

/* The content that a message_created frame holds, if it is this message's. */
static struct json_object *
created_message(const struct log_event *e, struct uuid id)
{
	struct json_object *frame = NULL, *message = NULL;
	struct uuid found;

	if (strcmp(e->type, "message_created") != 0 ||
	    json_parse(e->frame->data, e->frame->len, &frame, NULL) != AS_OK)
		return NULL;
	message = jget(frame, "message");
	if (jget_uuid(message, "id", &found) && uuid_equal(found, id))
		message = json_object_get(message);
	else
		message = NULL;
	json_object_put(frame);
	return message;
}

/*
 * Before a message_end from the log: what this reader has not seen of the
 * text, from the message as it is stored (same commit, so a few rows on).
 * False: it is not in this page.
 */
static bool
send_rest(struct stream *s, const struct log_event *events, int at, int n)
{
	struct open_text *open = texts_of_run(&s->texts, events[at].run_id);
	struct json_object *message = NULL;
	const char *text;
	int64_t len;

	if (open == NULL ||
	    frame_int(events[at].frame, "\"length\":", 0) <= open->pos)
		return true;
	for (int i = at + 1; i < n && message == NULL; i++)
		message = created_message(&events[i], open->message_id);
	if (message == NULL)
		return false;
	text = jget_str(message, "content", "");
	len = (int64_t)strlen(text);
	if (len > open->pos)
		stream_send_delta(s, open, open->attempt, text + open->pos,
		    (size_t)(len - open->pos));
	json_object_put(message);
	return true;
}

/* The event at the cursor was sent by somebody else, and may be asked for. */
static bool
last_wanted(const struct stream *s)
{
	return s->c.poll != NULL && s->last == NULL && s->cursor > 0;
}

/* Keeps the event if it is the one at the cursor.  True: it is. */
static bool
last_kept(struct stream *s, const struct log_event *e)
{
	if (!last_wanted(s) || (s->c.by_run ? e->run_seq : e->seq) != s->cursor)
		return false;
	s->last = rcbuf_ref(e->frame);
	return true;
}

/* Sends one page; *n = 0: there is nothing more.  False: closed. */
static SUSPENDS bool
page_send(struct stream *s, int *n)
{
	int64_t after = s->cursor - last_wanted(s);
	int generation = s->generation, got, first = 0;
	struct log_event *events;

	log_page(s, after, PAGE, &events, n);
	got = *n;
	/* It counts: it may have filled the page. */
	if (got > 0 && generation == s->generation && last_kept(s, &events[0]))
		first = 1;
	for (int i = first;
	     !s->p.closed && generation == s->generation && i < got; i++) {
		/* The next page begins with this one, and has its text. */
		if (strcmp(events[i].type, "message_end") == 0 &&
		    !send_rest(s, events, i, got) && i > first)
			break;
		if (s->p.closed ||
		    !stream_send_event(s, events[i].seq, events[i].run_seq,
			events[i].run_id, events[i].type, events[i].frame) ||
		    !pump_wait(&s->p))
			break;
	}
	log_events_free(events, got);
	if (generation != s->generation) /* a resume came in between */
		*n = 1;
	return !s->p.closed;
}

/* Has the run that this stream follows ended? */
static SUSPENDS bool
run_is_over(struct stream *s)
{
	enum run_status status;
	struct uuid thread;
	int64_t head;

	if (uuid_is_nil(s->c.run_id) ||
	    run_find(&s->c.ctx, s->c.run_id, &thread, &status, &head, NULL) !=
		AS_OK)
		return false;
	return !run_is_open(status);
}

static SUSPENDS bool
stream_begin(struct stream *s)
{
	struct snapshot snap = { 0 };
	int generation = s->generation;
	enum as_status st;

	s->begun = true;
	s->doubted = false;
	s->head.timeline = store_timeline(s->c.store);
	if (!s->c.snapshot && !s->c.ready)
		return true;
	st = snapshot_read(&s->c, &snap);
	if (st != AS_OK && !s->p.closed)
		pump_end(&s->p, STREAM_BROKEN);
	if (!s->p.closed)
		pump_send(&s->p, "ready", -1, snap.ready);
	/* Who has resumed meanwhile wants the tail after another cursor. */
	if (!s->p.closed && s->c.snapshot && generation == s->generation) {
		stream_turn(s, snap.seq);
		s->looked = s->generation;
		texts_move(&s->texts, &snap.texts);
		if (!uuid_is_nil(snap.queued_id))
			stream_watch_queued(s, snap.queued_id,
			    snap.est_wait_ms);
		pump_send(&s->p, "snapshot", s->cursor, snap.frame);
	}
	snapshot_clear(&snap);
	return !s->p.closed;
}

/*
 * What was shown is gone, and what comes gets the same numbers.  Who can be
 * shown a snapshot begins anew with it; others are told when they come back.
 */
static SUSPENDS void
begin_anew(struct stream *s)
{
	log_warn("stream", "a log has lost what was shown of it, up to %lld",
	    (long long)s->cursor);
	if (!s->c.ready) {
		pump_end(&s->p, STREAM_BROKEN);
		return;
	}
	s->c.snapshot = true;
	stream_begin(s);
}

/* Is the event at the cursor the one that was sent? */
static SUSPENDS void
look_back(struct stream *s)
{
	unsigned timeline = store_timeline(s->c.store);
	int generation = s->generation, n;
	struct log_event *events;
	bool same;

	log_page(s, s->cursor - (s->cursor > 0), 1, &events, &n);
	same = s->cursor == 0 ||
	       (n > 0 && s->last != NULL &&
		   s->last->len == events[0].frame->len &&
		   memcmp(s->last->data, events[0].frame->data, s->last->len) ==
		       0);
	log_events_free(events, n);
	if (s->p.closed || generation != s->generation)
		return;
	s->doubted = false;
	s->head.timeline = timeline;
	if (!same)
		begin_anew(s);
}

/* The first text that lacks a piece, and was not asked for this time. */
static struct open_text *
text_lacking(struct stream *s)
{
	uint64_t now = loop_now_ms(s->c.loop);
	struct open_text *t = s->texts.first;

	while (t != NULL &&
	       (t->rest_ms > now || t->asked == s->fetches ||
		   live_has(s->c.live, s->c.thread_id, t->message_id, t->pos)))
		t = t->next;
	return t;
}

/* While one is fetched the list may change: it is looked through again. */
static SUSPENDS void
fetch_texts(struct stream *s)
{
	struct open_text *t;

	s->fetches++;
	while (!s->p.closed && (t = text_lacking(s)) != NULL) {
		t->asked = s->fetches;
		if (++t->missed >= TEXT_MISSES)
			t->rest_ms = loop_now_ms(s->c.loop) + TEXT_REST_MS;
		(void)bus_link_fetch(s->c.link, s->c.thread_id, t->run_id,
		    t->message_id, t->attempt);
	}
}

/* An end that is seen before the last page is in that page. */
SUSPENDS void
stream_supply(struct pump *p)
{
	struct stream *s = stream_of(p);
	bool over;
	int n = 1;

	if (!s->begun && !stream_begin(s))
		return;
	if (stream_is_doubted(s))
		look_back(s);
	if (p->closed)
		return;
	over = run_is_over(s);
	do {
		/* Whoever resumes meanwhile stands somewhere else. */
		while (!p->closed && s->looked != s->generation)
			find_open_messages(s);
	} while (!p->closed && n > 0 && page_send(s, &n));
	if (!p->closed && !p->dirty && (over || s->parked))
		pump_end(p, STREAM_RUN_ENDED);
	if (!p->closed && s->c.link != NULL)
		fetch_texts(s);
}
