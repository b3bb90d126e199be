/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/bus/bus_link.h"
#include "core/loop/fiber.h"

/* What bus_keep.c has kept, brought to a reader. */

#define FETCH_MS 2000
#define FETCH_POLL_MS 5

/* Two owners: who waits, and the answer that is due. */
struct fetch {
	struct fetch *next;
	struct fiber_wait wait;
	struct uuid message_id;
	int attempt;
	int64_t from;
	struct buf text; /* from `from` on */
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

/* Where something is missing there are zeros: what is behind them is there. */
static void
fetch_take(struct fetch *f, const char *text, size_t len)
{
	const char *hole = len > 0 ? memrchr(text, '\0', len) : NULL;
	size_t skip = hole != NULL ? (size_t)(hole + 1 - text) : 0;

	if (!text_is_utf8(text + skip, len - skip))
		return;
	f->from = (int64_t)skip;
	buf_add(&f->text, text + skip, len - skip);
}

static void
on_text(const redisReply *r, void *arg)
{
	struct fetch *f = arg;

	if (f->left) {
		fetch_free(f);
		return;
	}
	if (r != NULL && r->type == REDIS_REPLY_STRING)
		fetch_take(f, r->str, r->len);
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

/* Many readers miss the same piece: one fetches it, or misses it, for all. */
static SUSPENDS bool
fetch_of_another(struct bus_link *l, struct uuid message_id, int attempt,
    uint64_t until)
{
	bool waited = false;

	while (is_under_way(l, message_id, attempt) &&
	       loop_now_ms(l->loop) < until) {
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
	struct redis_arg args[] = { REDIS_STR("GET"), { name, 0 } };
	uint64_t until = loop_now_ms(l->loop) + FETCH_MS;
	struct fetch *f;
	bool sent, found;

	if (fetch_of_another(l, message_id, attempt, until))
		return live_has(l->b->live, thread_id, message_id, 0);
	link_text_name(l->b, message_id, attempt, name);
	args[1].len = strlen(name);
	f = xcalloc(1, sizeof(*f));
	f->message_id = message_id;
	f->attempt = attempt;
	f->next = l->fetches;
	l->fetches = f;
	wait_up(l, until);
	f->wait = fiber_prepare();
	sent = redis_send(l->commands, args, N_ITEMS(args), on_text, f);
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
