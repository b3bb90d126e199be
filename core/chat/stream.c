/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/stream.h"

#include <stdlib.h>
#include <string.h>

#include "core/chat/stream_impl.h"

/* See stream.h. */

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

void
stream_watch_queued(struct stream *s, struct uuid run_id, int64_t est_wait_ms)
{
	s->queued.fn = on_place;
	queue_watch(s->c.ctx.queue, &s->queued, run_id, est_wait_ms);
}

/* Follows which run waits for a slot. */
static void
note_queued(struct stream *s, const char *type, struct uuid run_id,
    const struct rcbuf *frame)
{
	if (strcmp(type, "run_status") != 0)
		return;
	if (strstr(frame->data, "\"state\":\"queued\"") == NULL) {
		if (uuid_equal(run_id, s->queued.run_id))
			queue_unwatch(&s->queued);
		return;
	}
	stream_watch_queued(s, run_id, frame_int(frame, "\"est_wait_ms\":", 0));
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

void
stream_turn(struct stream *s, int64_t cursor)
{
	s->cursor = cursor;
	s->generation++;
	texts_clear(&s->texts);
	rcbuf_unref(s->last);
	s->last = NULL;
}

bool
stream_send_event(struct stream *s, int64_t seq, int64_t run_seq,
    struct uuid run_id, const char *type, struct rcbuf *frame)
{
	s->cursor = s->c.by_run ? run_seq : seq;
	rcbuf_unref(s->last);
	s->last = rcbuf_ref(frame);
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

void
stream_send_delta(struct stream *s, struct open_text *open, int attempt,
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
		stream_send_delta(s, open, t.attempt, t.text.data, t.text.len);
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

	if (stream_is_doubted(s) || at > s->cursor + 1) {
		pump_more(&s->p);
		return;
	}
	if (at <= s->cursor)
		return;
	if (pump_is_full(&s->p))
		return;
	if (!frame_type(m->frame, type, sizeof(type)) || lacks_text(s, type, m))
		pump_more(&s->p);
	else
		(void)stream_send_event(s, m->seq, m->run_seq, m->run_id, type,
		    m->frame);
}

/* What is missing has to be fetched first, if it can be. */
static void
on_gap(struct stream *s, const struct open_text *open)
{
	if (s->c.link != NULL && loop_now_ms(s->c.loop) >= open->rest_ms)
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

static void
on_doubted(struct stream_head *h)
{
	struct stream *s = container_of(h, struct stream, head);

	s->doubted = true;
	if (!s->p.lagging)
		pump_more(&s->p);
}

static void
stream_idle(struct pump *p)
{
	struct stream *s = stream_of(p);

	for (struct open_text *t = s->texts.first; t != NULL && !p->closed;
	     t = t->next)
		if (send_text(s, t))
			t->rest_ms = t->missed = 0;
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
	rcbuf_unref(s->last);
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
	s->head.doubted = on_doubted;
	s->head.timeline = store_timeline(config->store);
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
	stream_turn(s, after);
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
