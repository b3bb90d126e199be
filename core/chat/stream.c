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

/*
 * Invariant: outside the catching-up fiber (pump.h), everything up to `cursor`
 * has been sent and, of the open message, `text_pos` bytes.
 */

#define PAGE 200

struct stream {
	struct pump p;
	struct stream_config c;
	struct bus_sub *sub;
	struct stream_head head;
	struct queue_watch queued; /* of the run that waits for a slot */
	int64_t cursor;
	struct uuid message_id; /* that is being written; nil: none */
	int64_t text_pos;
	int attempt;
	int generation; /* of the cursor: raised by resume */
	int looked; /* the generation whose open message is known */
	bool begun;
	bool parked; /* as far as it has been sent */
};

static struct stream *
stream_of(struct pump *p)
{
	return container_of(p, struct stream, p);
}

/* ---- Sending ------------------------------------------------------- */

/* The value of a member of a frame that is known to stand in its head. */
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

static int64_t
frame_int(const struct rcbuf *frame, const char *key, int64_t otherwise)
{
	const char *at = strstr(frame->data, key);

	return at != NULL ? strtoll(at + strlen(key), NULL, 10) : otherwise;
}

/* A subagent's text is in its own stream; the thread's has its messages. */
static bool
is_foreign(const struct stream *s, const struct rcbuf *frame)
{
	const char *ns = s->c.by_run ? NULL : strstr(frame->data, EVENT_NS);
	const char *ts = ns != NULL ? strstr(frame->data, ",\"ts\":") : NULL;

	return ts != NULL && ns < ts; /* in its head, not in its body */
}

/* Follows which message is being written. */
static void
note_message(struct stream *s, const char *type, const struct rcbuf *frame)
{
	bool start = strcmp(type, "message_start") == 0 ||
		     strcmp(type, "message_reset") == 0;

	if (is_foreign(s, frame))
		return;
	if (start && frame_uuid(frame, "\"message_id\":\"", &s->message_id)) {
		s->text_pos = 0;
		s->attempt = (int)frame_int(frame, "\"attempt\":", 1);
	} else if (strcmp(type, "message_end") == 0)
		memset(&s->message_id, 0, sizeof(s->message_id));
}

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
	note_message(s, type, frame);
	note_queued(s, type, run_id, frame);
	pump_send(&s->p, type, s->cursor, frame);
	if (s->p.closed)
		return false;
	if (!ends_run(s, type, run_id, frame))
		return true;
	pump_end(&s->p, STREAM_RUN_ENDED);
	return false;
}

/* What has been written beyond text_pos, as one delta. */
static void
send_text(struct stream *s)
{
	struct rcbuf *frame;
	struct live_text t;

	if (uuid_is_nil(s->message_id) || !live_get(s->c.live, s->c.thread_id,
					      s->message_id, s->text_pos, &t))
		return;
	frame = event_delta_frame("message_delta", t.run_id, t.message_id,
	    t.attempt, t.offset, t.text.data, t.text.len);
	s->text_pos = t.offset + (int64_t)t.text.len;
	buf_free(&t.text);
	pump_send(&s->p, "message_delta", -1, frame);
	rcbuf_unref(frame);
}

/* ---- From the bus -------------------------------------------------- */

/* Deltas that came by during the catching up are in the log by now. */
static bool
lacks_text(const struct stream *s, const char *type, const struct rcbuf *frame)
{
	return strcmp(type, "message_end") == 0 && !is_foreign(s, frame) &&
	       !uuid_is_nil(s->message_id) &&
	       frame_int(frame, "\"length\":", 0) > s->text_pos;
}

static void
on_durable(struct stream *s, const struct bus_msg *m)
{
	int64_t at = s->c.by_run ? m->run_seq : m->seq;
	char type[24] = "";
	const char *p;

	if (at <= s->cursor)
		return;
	if (at != s->cursor + 1) {
		pump_more(&s->p);
		return;
	}
	if (pump_is_full(&s->p))
		return;
	p = strstr(m->frame->data, "\"type\":\"");
	for (size_t i = 0; p != NULL && i < sizeof(type) - 1 && p[8 + i] != '"';
	     i++)
		type[i] = p[8 + i];
	if (lacks_text(s, type, m->frame))
		pump_more(&s->p);
	else
		(void)send_durable(s, m->seq, m->run_seq, m->run_id, type,
		    m->frame);
}

static void
on_delta(struct stream *s, const struct bus_msg *m)
{
	if (pump_is_full(&s->p))
		return;
	if (uuid_is_nil(m->message_id)) { /* reasoning: not kept anywhere */
		pump_send(&s->p, "reasoning_delta", -1, m->frame);
		return;
	}
	if (!uuid_equal(m->message_id, s->message_id))
		return; /* its start has not come by yet, or it is over */
	if (m->offset == s->text_pos) {
		s->text_pos += (int64_t)m->len;
		pump_send(&s->p, "message_delta", -1, m->frame);
	} else if (m->offset + (int64_t)m->len > s->text_pos)
		send_text(s);
}

static void
on_bus(const struct bus_msg *m, void *arg)
{
	struct stream *s = arg;

	if (s->c.by_run && !uuid_equal(m->run_id, s->c.run_id))
		return;
	if (s->p.catching)
		s->p.dirty = s->p.dirty || m->seq > 0;
	else if (s->p.lagging)
		return;
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

/* A cursor may stand in the middle of a message: then its text is due. */
static SUSPENDS void
find_open_message(struct stream *s)
{
	struct uuid id = s->c.by_run ? s->c.run_id : s->c.thread_id;
	int generation = s->generation;
	struct uuid open;
	int attempt;

	s->looked = generation;
	if (s->cursor == 0)
		return;
	(void)run_store_open_message(s->c.ctx.runs, s->c.by_run, id, s->cursor,
	    &open, &attempt, NULL);
	if (!s->p.closed && generation == s->generation) {
		s->message_id = open;
		s->attempt = attempt;
	}
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
 */
static void
send_rest(struct stream *s, const struct log_event *events, int at, int n)
{
	struct json_object *message = NULL;
	struct rcbuf *frame;
	const char *text;
	int64_t len;

	if (uuid_is_nil(s->message_id))
		return;
	for (int i = at + 1; i < n && message == NULL; i++)
		message = created_message(&events[i], s->message_id);
	text = jget_str(message, "content", "");
	len = (int64_t)strlen(text);
	if (len > s->text_pos) {
		frame = event_delta_frame("message_delta", events[at].run_id,
		    s->message_id, s->attempt, s->text_pos, text + s->text_pos,
		    (size_t)(len - s->text_pos));
		s->text_pos = len;
		pump_send(&s->p, "message_delta", -1, frame);
		rcbuf_unref(frame);
	}
	json_object_put(message);
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
	if (st != AS_OK && !s->p.closed) {
		log_warn("stream", "log not read: %s", err.detail);
		pump_end(&s->p, STREAM_BROKEN);
	}
	error_clear(&err);
	got = *n;
	for (int i = 0; !s->p.closed && generation == s->generation && i < got;
	     i++) {
		if (strcmp(events[i].type, "message_end") == 0 &&
		    !is_foreign(s, events[i].frame))
			send_rest(s, events, i, got);
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
		s->message_id = snap.message_id;
		s->attempt = snap.attempt;
		s->text_pos = snap.text_pos;
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
	if (s->looked != s->generation)
		find_open_message(s);
	while (!p->closed && n > 0 && page_send(s, &n))
		continue;
	if (!p->closed && !p->dirty && (over || s->parked))
		pump_end(p, STREAM_RUN_ENDED);
}

static void
stream_idle(struct pump *p)
{
	send_text(stream_of(p));
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
	free(stream_of(p));
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
	pump_until_signed_out(&s->p, config->bus, config->ctx.who.session_id);
	s->sub = bus_subscribe(config->bus, config->thread_id, on_bus, s);
	stream_poll_join(config->poll, &s->head);
	return s;
}

void
stream_resume(struct stream *s, int64_t after)
{
	s->cursor = after;
	s->generation++;
	memset(&s->message_id, 0, sizeof(s->message_id));
	s->text_pos = 0;
	pump_more(&s->p);
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
