/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/bus/bus_link.h"
#include "core/bus/wire.h"
#include "core/loop/fiber.h"

/*
 * Text for those who come later: a stream for each attempt of a message, so
 * that who has lost the run cannot write into that of who has it now.  Its
 * entries are the pieces as they were published; now and then one entry with
 * all of the text replaces them, so it never grows long.  It goes by itself
 * some minutes after the last of those.
 */

#define KEEP_SECONDS "600"
#define ENTRIES_MAX "4000"
#define WHOLE_EVERY (16 * 1024) /* bytes of text */
#define FETCH_MS 2000
#define FETCH_POLL_MS 5

static void
stream_name(const struct bus_redis *b, struct uuid message_id, int attempt,
    char out[LINK_NAME])
{
	char id[UUID_TEXT];

	uuid_format(message_id, id);
	snprintf(out, LINK_NAME, "%s:r:%s:%d", b->prefix, id, attempt);
}

/* whole: it replaces what is there. */
static bool
entry_add(struct bus_link *l, const char *name, bool whole, int64_t offset,
    const char *text, size_t len)
{
	struct redis_arg args[] = { REDIS_STR("XADD"), REDIS_STR(name),
		REDIS_STR("MAXLEN"), REDIS_STR("~"), REDIS_STR(ENTRIES_MAX),
		REDIS_STR("*"), REDIS_STR("d"), { NULL, 0 } };
	struct buf b = { 0 };
	bool sent;

	if (whole) {
		args[3] = (struct redis_arg)REDIS_STR("=");
		args[4] = (struct redis_arg)REDIS_STR("1");
	}
	wire_piece_write(&b, offset, text, len);
	args[7] = (struct redis_arg){ b.data, b.len };
	sent = redis_send(l->commands, args, N_ITEMS(args), NULL, NULL);
	buf_free(&b);
	return sent;
}

static bool
name_expires(struct bus_link *l, const char *name)
{
	const struct redis_arg args[] = { REDIS_STR("EXPIRE"), REDIS_STR(name),
		REDIS_STR(KEEP_SECONDS) };

	return redis_send(l->commands, args, N_ITEMS(args), NULL, NULL);
}

static void
keep_whole(void *arg, const struct bus_msg *m, const char *text, size_t len)
{
	struct bus_link *l = arg;
	char name[LINK_NAME];

	stream_name(l->b, m->message_id, m->attempt, name);
	if (!entry_add(l, name, true, 0, text, len) || !name_expires(l, name))
		l->has_hole = true;
}

void
link_keep_all(struct bus_link *l)
{
	l->has_hole = false;
	live_each(l->b->live, l->loop, keep_whole, l);
}

/* The piece was appended to `live` just now, on this thread. */
bool
link_keep(struct bus_link *l, const struct bus_msg *m)
{
	int64_t end = m->offset + (int64_t)m->len;
	bool whole = m->offset / WHOLE_EVERY != end / WHOLE_EVERY, kept;
	struct live_text t;
	char name[LINK_NAME];

	if (!redis_is_up(l->commands))
		return false;
	if (l->has_hole)
		link_keep_all(l);
	if (!live_get(l->b->live, m->topic, m->message_id,
		whole ? 0 : m->offset, &t))
		return true; /* it is over */
	stream_name(l->b, m->message_id, m->attempt, name);
	kept = entry_add(l, name, whole, t.offset, t.text.data, t.text.len);
	if (kept && (whole || m->offset == 0))
		kept = name_expires(l, name);
	l->has_hole = l->has_hole || !kept;
	buf_free(&t.text);
	return kept;
}

/* ---- Fetching ------------------------------------------------------ */

/* Two owners: who waits, and the answer that is due. */
struct fetch {
	struct fetch *next;
	struct fiber_wait wait;
	struct uuid message_id;
	int attempt;
	int64_t from;
	struct buf text; /* without a gap, from `from` on */
	bool answered, left;
};

void
link_counters(struct bus_redis *b)
{
	b->fetched = counter_get(COUNTER, "bus_fetched_total",
	    "Texts that a reader of another process's message fetched.", NULL,
	    NULL);
	b->missed = counter_get(COUNTER, "bus_fetch_missed_total",
	    "Texts that were not there to be fetched; the reader has them at "
	    "the message's end.",
	    NULL, NULL);
}

static void
fetch_free(struct fetch *f)
{
	buf_free(&f->text);
	free(f);
}

/* An entry that does not follow begins anew. */
static void
fetch_add(struct fetch *f, int64_t offset, const char *text, size_t len)
{
	int64_t end = f->from + (int64_t)f->text.len, skip = end - offset;

	if (offset < f->from || offset > end) {
		buf_reset(&f->text);
		f->from = offset;
		skip = 0;
	}
	if (skip < (int64_t)len)
		buf_add(&f->text, text + skip, len - (size_t)skip);
}

/* [id, [name, value]] */
static void
fetch_take(struct fetch *f, const redisReply *entry)
{
	const redisReply *fields, *value;
	const char *text;
	int64_t offset;
	size_t len;

	if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
		return;
	fields = entry->element[1];
	if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2)
		return;
	value = fields->element[1];
	if (value->type == REDIS_REPLY_STRING &&
	    wire_piece_read(value->str, value->len, &offset, &text, &len))
		fetch_add(f, offset, text, len);
}

static void
on_entries(const redisReply *r, void *arg)
{
	struct fetch *f = arg;

	if (f->left) {
		fetch_free(f);
		return;
	}
	if (r != NULL && r->type == REDIS_REPLY_ARRAY)
		for (size_t i = 0; i < r->elements; i++)
			fetch_take(f, r->element[i]);
	f->answered = true;
	fiber_wake(f->wait);
}

static bool
is_under_way(const struct bus_link *l, struct uuid message_id, int attempt)
{
	const struct fetch *f = l->fetches;

	while (f != NULL && (!uuid_equal(f->message_id, message_id) ||
				f->attempt != attempt))
		f = f->next;
	return f != NULL;
}

/* Many readers miss the same piece: one of them fetches it. */
static SUSPENDS bool
fetch_of_another(struct bus_link *l, struct uuid message_id, int attempt)
{
	bool waited = false;

	while (is_under_way(l, message_id, attempt)) {
		waited = true;
		if (fiber_sleep(FETCH_POLL_MS) != FIBER_WOKEN)
			break;
	}
	return waited;
}

static void
fetch_unlink(struct bus_link *l, struct fetch *f)
{
	struct fetch **p = &l->fetches;

	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
}

/* The other connection of the link may be up a little earlier. */
static SUSPENDS void
wait_up(struct bus_link *l, uint64_t until)
{
	while (!redis_is_up(l->commands) && loop_now_ms(l->loop) < until)
		if (fiber_sleep(FETCH_POLL_MS) != FIBER_WOKEN)
			return;
}

SUSPENDS bool
bus_link_fetch(struct bus_link *l, struct uuid thread_id, struct uuid run_id,
    struct uuid message_id, int attempt)
{
	struct bus_msg m = { .topic = thread_id,
		.run_id = run_id,
		.message_id = message_id,
		.attempt = attempt };
	char name[LINK_NAME];
	struct redis_arg args[] = { REDIS_STR("XRANGE"), { name, 0 },
		REDIS_STR("-"), REDIS_STR("+") };
	uint64_t until = loop_now_ms(l->loop) + FETCH_MS;
	struct fetch *f;
	bool sent, found;

	if (fetch_of_another(l, message_id, attempt) &&
	    live_has(l->b->live, thread_id, message_id, 0))
		return true;
	stream_name(l->b, message_id, attempt, name);
	args[1].len = strlen(name);
	f = xcalloc(1, sizeof(*f));
	f->message_id = message_id;
	f->attempt = attempt;
	f->next = l->fetches;
	l->fetches = f;
	wait_up(l, until);
	f->wait = fiber_prepare();
	sent = redis_send(l->commands, args, N_ITEMS(args), on_entries, f);
	while (sent && !f->answered && fiber_suspend(until) == FIBER_WOKEN)
		f->wait = fiber_prepare();
	fetch_unlink(l, f);
	m.offset = f->from;
	found = f->answered && f->text.len > 0;
	if (found)
		live_mirror(l->b->live, &m, f->text.data, f->text.len, true);
	counter_add(found ? l->b->fetched : l->b->missed, 1);
	if (f->answered || !sent)
		fetch_free(f);
	else
		f->left = true;
	return found;
}
