/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/feed.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/chat/pump.h"
#include "core/inbox/internal.h"

/* See feed.h. */

#define PAGE 100
#define ENDING_MS 1000 /* so soon a page that waits sees that the server ends */

struct inbox_feed {
	struct pump p;
	struct inbox_feed_config c;
	struct watcher watcher;
	struct inbox_counts counts; /* as the reader knows them */
	int64_t cursor;
	bool begun;
};

static struct inbox_feed *
feed_of(struct pump *p)
{
	return container_of(p, struct inbox_feed, p);
}

/* Takes o. */
static void
send_json(struct inbox_feed *f, int64_t id, struct json_object *o)
{
	const char *text = json_text(o);
	struct rcbuf *frame = rcbuf_new(text, strlen(text));

	pump_send(&f->p, jget_str(o, "type", ""), id, frame);
	rcbuf_unref(frame);
	json_object_put(o);
}

static struct json_object *
counts_frame(const char *type, const struct inbox_counts *counts)
{
	struct json_object *o = jobj();

	jput_int(o, "v", 1);
	jput_str(o, "type", type);
	jput(o, "counts", inbox_counts_json(counts));
	return o;
}

/*
 * True: not all that was after the cursor is known any more, so whoever asks
 * reads the list again and goes on from the head.
 */
static bool
cursor_settle(int64_t *cursor, const struct changes_head *head)
{
	bool lost = *cursor >= 0 && *cursor < head->floor;

	if (lost || *cursor < 0)
		*cursor = head->seq;
	return lost;
}

static SUSPENDS enum as_status
feed_begin(struct inbox_feed *f, const struct inbox_counts *counts,
    struct error *err)
{
	struct json_object *o;
	struct changes_head head = { 0 };
	enum as_status st = changes_look(f->c.ctx.store, &head, err);

	if (st != AS_OK || f->p.closed)
		return st;
	f->begun = true;
	o = counts_frame("ready", counts);
	jput_int(o, "head_seq", head.seq);
	jput_bool(o, "start_over", cursor_settle(&f->cursor, &head));
	f->counts = *counts;
	send_json(f, -1, o);
	return AS_OK;
}

static SUSPENDS void
frames_send(struct inbox_feed *f, struct json_object *frames,
    const struct inbox_counts *counts)
{
	struct json_object *o;
	size_t n = json_object_array_length(frames);

	if (n == 0 && memcmp(counts, &f->counts, sizeof(*counts)) != 0)
		send_json(f, -1, counts_frame("inbox_counts", counts));
	f->counts = *counts;
	for (size_t i = 0; i < n && !f->p.closed; i++) {
		o = json_object_get(json_object_array_get_idx(frames, i));
		f->cursor = jget_int(o, "seq", 0);
		send_json(f, f->cursor, o);
		if (f->p.closed || !pump_wait(&f->p))
			return;
	}
}

/* *n: how many it were. */
static SUSPENDS enum as_status
page_send(struct inbox_feed *f, size_t *n, struct error *err)
{
	struct json_object *frames = NULL;
	struct inbox_counts counts = { 0 };
	enum as_status st = inbox_count(&f->c.ctx, &counts, err);
	int64_t last;

	*n = 0;
	if (st == AS_OK && !f->begun)
		st = feed_begin(f, &counts, err);
	if (st == AS_OK && !f->p.closed)
		st = changes_read(&f->c.ctx, f->cursor, PAGE, &counts, &frames,
		    &last, err);
	if (st == AS_OK && !f->p.closed) {
		*n = json_object_array_length(frames);
		frames_send(f, frames, &counts);
	}
	json_object_put(frames);
	return st;
}

static SUSPENDS void
feed_supply(struct pump *p)
{
	struct inbox_feed *f = feed_of(p);
	struct error err = { 0 };
	enum as_status st = AS_OK;
	size_t n = 1;

	while (st == AS_OK && !p->closed && n > 0)
		st = page_send(f, &n, &err);
	if (st != AS_OK && !p->closed) {
		log_warn("inbox", "changes not read: %s", err.detail);
		pump_end(p, STREAM_BROKEN);
	}
	error_clear(&err);
}

static void
feed_stop(struct pump *p)
{
	struct inbox_feed *f = feed_of(p);

	inbox_watch_leave(f->c.watch, &f->watcher);
}

static void
feed_gone(struct pump *p)
{
	free(feed_of(p));
}

static void
on_news(struct watcher *w)
{
	struct inbox_feed *f = container_of(w, struct inbox_feed, watcher);

	if (!f->p.lagging)
		pump_more(&f->p);
}

struct inbox_feed *
inbox_feed_open(const struct inbox_feed_config *config,
    const struct stream_ops *ops, void *arg)
{
	static const struct pump_ops pump_ops = { .supply = feed_supply,
		.stop = feed_stop,
		.gone = feed_gone };
	struct inbox_feed *f = xcalloc(1, sizeof(*f));

	f->c = *config;
	f->c.ctx.arena = NULL;
	f->cursor = config->after;
	if (!pump_open(&f->p, config->loop, &pump_ops, ops, arg)) {
		free(f);
		return NULL;
	}
	pump_guard(&f->p, config->access, config->ctx.bus, &config->ctx.who,
	    (struct uuid){ { 0 } });
	f->watcher.who = config->ctx.who;
	f->watcher.news = on_news;
	inbox_watch_join(config->watch, &f->watcher);
	return f;
}

void
inbox_feed_drained(struct inbox_feed *f)
{
	pump_drained(&f->p);
}

void
inbox_feed_close(struct inbox_feed *f)
{
	if (f != NULL)
		pump_close(&f->p);
}

/* ---- Pages --------------------------------------------------------- */

struct waiting {
	struct watcher watcher;
	struct fiber_wait wait;
	bool rang;
};

static void
on_rang(struct watcher *w)
{
	struct waiting *x = container_of(w, struct waiting, watcher);

	x->rang = true;
	fiber_wake(x->wait);
}

static bool
is_over(const struct inbox_feed_config *c, uint64_t until_ms)
{
	return loop_now_ms(c->loop) >= until_ms ||
	       (c->ending != NULL && *c->ending);
}

/* False: cancelled. */
static SUSPENDS bool
ring_wait(const struct inbox_feed_config *c, struct waiting *w,
    uint64_t until_ms)
{
	uint64_t look;

	while (!w->rang && !is_over(c, until_ms)) {
		look = loop_now_ms(c->loop) + ENDING_MS;
		w->wait = fiber_prepare();
		if (fiber_suspend(look < until_ms ? look : until_ms) ==
		    FIBER_CANCELED)
			return false;
	}
	return true;
}

static SUSPENDS enum as_status
page_read(const struct inbox_feed_config *c, int64_t *after, int64_t limit,
    struct json_object **frames, struct inbox_counts *counts, int64_t *head,
    bool *start_over, struct error *err)
{
	struct changes_head now = { 0 };
	enum as_status st = changes_look(c->ctx.store, &now, err);
	int64_t last;

	*head = now.seq;
	*start_over = st == AS_OK && cursor_settle(after, &now);
	if (st == AS_OK && *after > now.seq)
		return error_set(err, ERR_CURSOR_AHEAD,
		    "the cursor is %lld, the log ends at %lld",
		    (long long)*after, (long long)now.seq);
	if (st == AS_OK)
		st = inbox_count(&c->ctx, counts, err);
	if (st == AS_OK)
		st = changes_read(&c->ctx, *after, limit, counts, frames, &last,
		    err);
	/* A full page may not be the last one. */
	if (st == AS_OK && json_object_array_length(*frames) == (size_t)limit)
		*head = last;
	return st;
}

SUSPENDS enum as_status
inbox_feed_page(const struct inbox_feed_config *config, int64_t limit,
    uint64_t until_ms, struct json_object **frames, struct inbox_counts *counts,
    int64_t *head, bool *start_over, struct error *err)
{
	struct waiting w = { .watcher = { .who = config->ctx.who,
				 .news = on_rang } };
	int64_t after = config->after;
	enum as_status st;

	inbox_watch_join(config->watch, &w.watcher);
	for (;;) {
		w.rang = false;
		st = page_read(config, &after, limit, frames, counts, head,
		    start_over, err);
		if (st != AS_OK || *start_over ||
		    json_object_array_length(*frames) > 0 ||
		    is_over(config, until_ms) ||
		    !ring_wait(config, &w, until_ms))
			break;
		json_object_put(*frames);
		*frames = NULL;
	}
	inbox_watch_leave(config->watch, &w.watcher);
	return st;
}
