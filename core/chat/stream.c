/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/stream.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/chat/pump.h"
#include "core/chat/queue.h"
#include "core/chat/snapshot.h"
#include "core/chat/stream_poll.h"
#include "core/chat/stream_text.h"

/*
 * Invariant: outside the catching-up fiber (pump.h), everything up to `cursor`
 * has been sent and, of each open message, `pos` bytes.
 */

#define PAGE 500

struct stream {
	struct pump p;
	struct stream_config c;
	struct bus_sub *sub;
	struct stream_head head;
	struct queue_watch queued; /* of the run that waits for a slot */
	int64_t cursor;
	struct open_texts texts; /* that are being written */
	int generation; /* of the cursor: raised by resume */
	int looked; /* the generation whose open messages are known */
	unsigned fetches;
	bool begun;
	bool parked; /* as far as it has been sent */
};

static struct stream *
stream_of(struct pump *p)
{
	return container_of(p, struct stream, p);
}

/* ---- Sending ------------------------------------------------------- */

/* Live: where a run stands is no part of what has happened. */
static void
on_place(struct queue_watch *w, const struct queue_place *p)
{
	struct stream *s = container_of(w, struct stream, queued);
	struct buf body = { 0 };
	struct rcbuf *frame;

	if (s->p.reader.pending(s->p.arg) > STREAM_HIGH_WATER)
		return;
	event_queued_write(&body, "waiting", p->position, p->est_wait_ms);
	frame = event_frame("run_status", 0, 0, w->run_id,
	    engine_now_us(s->c.ctx.engine), body.data);
	buf_free(&body);
	pump_send(&s->p, "run_status", -1, frame);
	rcbuf_unref(frame);
}

/* Follows which run waits for a slot. */
static void
note_queued(struct stream *s, const char *type, struct uuid run_id,
    const struct rcbuf *frame)
{
	int64_t told;

	if (strcmp(type, "run_status") != 0)
		return;
	if (strstr(frame->data, "\"state\":\"queued\"") == NULL) {
		if (uuid_equal(run_id, s->queued.run_id))
			queue_unwatch(&s->queued);
		return;
	}
	told = frame_int(frame, "\"est_wait_ms\":", 0);
	s->queued.fn = on_place;
	queue_watch(s->c.ctx.queue, &s->queued, run_id, told);
}

/*
 * run_status ends the stream of a run.  One that says that the run is parked
 * is the last only if it is the newest: a log may go on after it.
 */
static bool
ends_run(struct stream *s, const char *type, const struct uuid run_id,
    const struct rcbuf *frame)
{
	if (uuid_is_nil(s->c.run_id) || strcmp(type, "run_status") != 0 ||
	    !uuid_equal(run_id, s->c.run_id))
		return false;
	s->parked = s->c.until_parked &&
		    strstr(frame->data, "\"state\":\"recoverable_error\"") !=
			NULL;
	return strstr(frame->data, "\"status\":\"end\"") != NULL ||
	       (s->parked && !s->p.catching);
}

/* False: the stream is closed. */
static bool
send_durable(struct stream *s, int64_t seq, int64_t run_seq, struct uuid run_id,
    const char *type, struct rcbuf *frame)
{
	s->cursor = s->c.by_run ? run_seq : seq;
	texts_note(&s->texts, type, run_id, frame);
	note_queued(s, type, run_id, frame);
	pump_send(&s->p, type, s->cursor, frame);
	if (s->p.closed)
		return false;
	if (!ends_run(s, type, run_id, frame))
		return true;
	pump_end(&s->p, STREAM_RUN_ENDED);
	return false;
}

/* What the reader has not got of it yet. */
static void
send_delta(struct stream *s, struct open_text *open, int attempt,
    const char *text, size_t len)
{
	struct rcbuf *frame = event_delta_frame("message_delta", open->run_id,
	    open->ns, open->message_id, attempt, open->pos, text, len);

	open->pos += (int64_t)len;
	pump_send(&s->p, "message_delta", -1, frame);
	rcbuf_unref(frame);
}

/* What has been written beyond its pos, as one delta.  False: not here. */
static bool
send_text(struct stream *s, struct open_text *open)
{
	struct live_text t;

	if (!live_get(s->c.live, s->c.thread_id, open->message_id, open->pos,
		&t))
		return false;
	/* A younger attempt begins with the reset that is on its way. */
	if (t.attempt == open->attempt)
		send_delta(s, open, t.attempt, t.text.data, t.text.len);
	buf_free(&t.text);
	return true;
}

/* ---- From the bus -------------------------------------------------- */

/* Deltas that came by during the catching up are in the log by now. */
static bool
lacks_text(const struct stream *s, const char *type, const struct bus_msg *m)
{
	const struct open_text *open = texts_of_run(&s->texts, m->run_id);

	return strcmp(type, "message_end") == 0 && open != NULL &&
	       frame_int(m->frame, "\"length\":", 0) > open->pos;
}

static void
on_durable(struct stream *s, const struct bus_msg *m)
{
	int64_t at = s->c.by_run ? m->run_seq : m->seq;
	char type[24];

	if (at <= s->cursor)
		return;
	if (at != s->cursor + 1) {
		pump_more(&s->p);
		return;
	}
	if (pump_is_full(&s->p))
		return;
	if (!frame_type(m->frame, type, sizeof(type)) || lacks_text(s, type, m))
		pump_more(&s->p);
	else
		(void)send_durable(s, m->seq, m->run_seq, m->run_id, type,
		    m->frame);
}

/* What is missing has to be fetched first, if it can be. */
static void
on_gap(struct stream *s, const struct open_text *open)
{
	if (s->c.link != NULL && open->missed < TEXT_MISSES)
		pump_more(&s->p);
}

static void
on_delta(struct stream *s, const struct bus_msg *m)
{
	struct open_text *open = texts_of(&s->texts, m->message_id);
	int64_t pos;

	if (m->frame == NULL || pump_is_full(&s->p))
		return; /* a bell is for others */
	if (uuid_is_nil(m->message_id)) { /* reasoning: not kept anywhere */
		pump_send(&s->p, "reasoning_delta", -1, m->frame);
		return;
	}
	if (open == NULL)
		return; /* its start has not come by yet, or it is over */
	if (m->attempt != open->attempt) {
		if (m->attempt > open->attempt) /* the reset did not come by */
			pump_more(&s->p);
		return;
	}
	pos = open->pos;
	if (m->offset == pos) {
		open->pos += (int64_t)m->len;
		pump_send(&s->p, "message_delta", -1, m->frame);
	} else if (m->offset + (int64_t)m->len > pos && !send_text(s, open))
		on_gap(s, open);
}

static void
on_bus(const struct bus_msg *m, void *arg)
{
	struct stream *s = arg;

	if (s->c.by_run && !m->look && !uuid_equal(m->run_id, s->c.run_id))
		return;
	if (s->p.catching)
		s->p.dirty = s->p.dirty || m->seq > 0 || m->look;
	else if (s->p.lagging)
		return;
	else if (m->look && s->c.poll != NULL)
		stream_poll_now(s->c.poll); /* for all of them at once */
	else if (m->look)
		pump_more(&s->p);
	else if (m->seq > 0)
		on_durable(s, m);
	else
		on_delta(s, m);
}

static void
on_behind(struct stream_head *h)
{
	struct stream *s = container_of(h, struct stream, head);

	if (!s->p.catching && !s->p.lagging)
		pump_more(&s->p);
}

/* ---- Catching up --------------------------------------------------- */

/* Whoever cannot be told everything comes back with his cursor. */
static void
stream_broken(struct stream *s, const struct error *err)
{
	if (s->p.closed)
		return;
	log_warn("stream", "log not read: %s", err->detail);
	pump_end(&s->p, STREAM_BROKEN);
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
		send_delta(s, open, open->attempt, text + open->pos,
		    (size_t)(len - open->pos));
	json_object_put(message);
	return true;
}

/* Sends one page; *n = 0: there is nothing more.  False: closed. */
static SUSPENDS bool
page_send(struct stream *s, int *n)
{
	enum log_of of = s->c.by_run ? LOG_OF_RUN : LOG_OF_THREAD;
	struct uuid id = s->c.by_run ? s->c.run_id : s->c.thread_id;
	int generation = s->generation;
	struct error err = { 0 };
	struct log_event *events;
	enum as_status st;
	int got;

	st = log_read(s->c.store, of, id, s->cursor, PAGE, &events, n, &err);
	if (st != AS_OK)
		stream_broken(s, &err);
	error_clear(&err);
	got = *n;
	for (int i = 0; !s->p.closed && generation == s->generation && i < got;
	     i++) {
		/* The next page begins with this one, and has its text. */
		if (strcmp(events[i].type, "message_end") == 0 &&
		    !send_rest(s, events, i, got) && i > 0)
			break;
		if (s->p.closed ||
		    !send_durable(s, events[i].seq, events[i].run_seq,
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
	if (!s->c.snapshot && !s->c.ready)
		return true;
	st = snapshot_read(&s->c, &snap);
	if (st != AS_OK && !s->p.closed)
		pump_end(&s->p, STREAM_BROKEN);
	if (!s->p.closed)
		pump_send(&s->p, "ready", -1, snap.ready);
	/* Who has resumed meanwhile wants the tail after another cursor. */
	if (!s->p.closed && s->c.snapshot && generation == s->generation) {
		s->cursor = snap.seq;
		s->looked = s->generation;
		texts_move(&s->texts, &snap.texts);
		if (!uuid_is_nil(snap.queued_id)) {
			s->queued.fn = on_place;
			queue_watch(s->c.ctx.queue, &s->queued, snap.queued_id,
			    snap.est_wait_ms);
		}
		pump_send(&s->p, "snapshot", s->cursor, snap.frame);
	}
	snapshot_clear(&snap);
	return !s->p.closed;
}

/* The first text that lacks a piece, and was not asked for this time. */
static struct open_text *
text_lacking(struct stream *s)
{
	struct open_text *t = s->texts.first;

	while (t != NULL &&
	       (t->missed >= TEXT_MISSES || t->asked == s->fetches ||
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
		t->missed++;
		t->asked = s->fetches;
		(void)bus_link_fetch(s->c.link, s->c.thread_id, t->run_id,
		    t->message_id, t->attempt);
	}
}

/* An end that is seen before the last page is in that page. */
static SUSPENDS void
stream_supply(struct pump *p)
{
	struct stream *s = stream_of(p);
	bool over;
	int n = 1;

	if (!s->begun && !stream_begin(s))
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

static void
stream_idle(struct pump *p)
{
	struct stream *s = stream_of(p);

	for (struct open_text *t = s->texts.first; t != NULL && !p->closed;
	     t = t->next)
		if (send_text(s, t))
			t->missed = 0;
}

static void
stream_stop(struct pump *p)
{
	struct stream *s = stream_of(p);

	bus_unsubscribe(s->sub);
	stream_poll_leave(&s->head);
	queue_unwatch(&s->queued);
}

static void
stream_gone(struct pump *p)
{
	struct stream *s = stream_of(p);

	texts_clear(&s->texts);
	free(s);
}

/* ---- For the opener ------------------------------------------------ */

struct stream *
stream_open(const struct stream_config *config, const struct stream_ops *ops,
    void *arg)
{
	static const struct pump_ops pump_ops = { .supply = stream_supply,
		.idle = stream_idle,
		.stop = stream_stop,
		.gone = stream_gone };
	struct stream *s = xcalloc(1, sizeof(*s));

	s->c = *config;
	s->c.ctx.arena = NULL;
	s->cursor = config->after;
	s->looked = -1;
	s->head.id = config->by_run ? config->run_id : config->thread_id;
	s->head.by_run = config->by_run;
	s->head.cursor = &s->cursor;
	s->head.behind = on_behind;
	if (!pump_open(&s->p, config->loop, &pump_ops, ops, arg)) {
		free(s);
		return NULL;
	}
	pump_guard(&s->p, config->access, config->bus, &config->ctx.who,
	    config->thread_id);
	s->sub = bus_subscribe(config->bus, config->thread_id, on_bus, s);
	stream_poll_join(config->poll, &s->head);
	return s;
}

void
stream_resume(struct stream *s, int64_t after)
{
	s->cursor = after;
	s->generation++;
	texts_clear(&s->texts);
	pump_more(&s->p);
}

void
stream_renew(struct stream *s, const struct principal *who)
{
	s->c.ctx.who = *who;
	pump_guard(&s->p, s->c.access, s->c.bus, who, s->c.thread_id);
}

void
stream_drained(struct stream *s)
{
	pump_drained(&s->p);
}

void
stream_close(struct stream *s)
{
	if (s != NULL)
		pump_close(&s->p);
}
