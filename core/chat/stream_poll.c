/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/stream_poll.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"

/*
 * Readers are kept in buckets by id, so that an answer finds its readers
 * whatever came and went while it was waited for.  A pass is one fiber that
 * goes through the buckets; the next begins a second after it has ended.
 */

#define BUCKETS 1024
#define ASK_MAX 400
#define PASS_MS 10000

struct stream_poll {
	struct loop *loop;
	struct store *store;
	struct loop_timer timer;
	struct stream_head *buckets[BUCKETS];
	unsigned n; /* readers */
	bool passing;
	bool again; /* at once, when this pass is over */
};

struct asking {
	struct stream_poll *p;
	struct buf threads, runs; /* ids with commas between */
	int n;
};

static struct stream_head **
bucket_of(struct stream_poll *p, struct uuid id)
{
	unsigned h;

	/* The end of an id is chance. */
	memcpy(&h, (const char *)&id + sizeof(id) - sizeof(h), sizeof(h));
	return &p->buckets[h % BUCKETS];
}

/* What was seen before the question must be in the log. */
static void
head_found(struct stream_poll *p, bool by_run, struct uuid id, int64_t head)
{
	unsigned timeline = store_timeline(p->store);
	struct stream_head *h, *next;

	for (h = *bucket_of(p, id); h != NULL; h = next) {
		next = h->next;
		if (h->by_run != by_run || !uuid_equal(h->id, id))
			continue;
		if (h->asked > head || h->timeline != timeline)
			h->doubted(h);
		else if (*h->cursor < head)
			h->behind(h);
	}
}

#define HEADS_OF(table) \
	"SELECT id, head_seq FROM " table \
	" WHERE id = ANY (string_to_array($1, ',')::uuid[])"

SQL(HEADS_OF_THREADS, HEADS_OF("threads"));
SQL(HEADS_OF_RUNS, HEADS_OF("runs"));

static SUSPENDS void
ask_one(struct stream_poll *p, bool by_run, struct buf *ids)
{
	struct rows *rows = NULL;
	struct sql_arg args[1];

	if (ids->len == 0)
		return;
	args[0] = sql_textn(ids->data, ids->len - 1);
	(void)store_query(p->store, by_run ? &HEADS_OF_RUNS : &HEADS_OF_THREADS,
	    args, 1, &rows, NULL);
	for (int i = 0; i < rows_count(rows); i++)
		head_found(p, by_run, rows_uuid(rows, i, 0),
		    rows_int(rows, i, 1));
	rows_free(rows);
	buf_reset(ids);
}

static SUSPENDS void
ask(struct asking *a)
{
	ask_one(a->p, false, &a->threads);
	ask_one(a->p, true, &a->runs);
	a->n = 0;
}

static void
ask_for(struct asking *a, struct stream_head *h)
{
	char id[UUID_TEXT];

	h->asked = *h->cursor;
	uuid_format(h->id, id);
	buf_printf(h->by_run ? &a->runs : &a->threads, "%s,", id);
	a->n++;
}

static void
pass_in(struct stream_poll *p, uint64_t ms)
{
	loop_timer_set(p->loop, &p->timer, loop_now_ms(p->loop) + ms);
}

static SUSPENDS void
pass(void *arg)
{
	struct stream_poll *p = arg;
	struct asking a = { .p = p };

	fiber_deadline_set(loop_now_ms(p->loop) + PASS_MS);
	for (int i = 0; i < BUCKETS && !fiber_is_canceled(); i++) {
		for (struct stream_head *h = p->buckets[i]; h != NULL;
		     h = h->next)
			ask_for(&a, h);
		if (a.n >= ASK_MAX)
			ask(&a);
	}
	if (!fiber_is_canceled())
		ask(&a);
	buf_free(&a.threads);
	buf_free(&a.runs);
	p->passing = false;
	if (p->n > 0)
		pass_in(p, p->again ? 1 : STREAM_POLL_MS);
	p->again = false;
}

static void
on_timer(struct loop_timer *t)
{
	struct stream_poll *p = container_of(t, struct stream_poll, timer);

	p->passing = p->n > 0 &&
		     fiber_spawn(p->loop, "log heads", pass, p).f != NULL;
	if (!p->passing && p->n > 0)
		pass_in(p, STREAM_POLL_MS);
}

/* ---- For readers --------------------------------------------------- */

struct stream_poll *
stream_poll_new(struct loop *loop, struct store *store)
{
	struct stream_poll *p;

	if (store_dialect(store) != STORE_POSTGRES)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->loop = loop;
	p->store = store;
	p->timer.fn = on_timer;
	return p;
}

void
stream_poll_free(struct stream_poll *p)
{
	if (p == NULL)
		return;
	loop_timer_clear(&p->timer);
	free(p);
}

void
stream_poll_now(struct stream_poll *p)
{
	if (p->passing)
		p->again = true;
	else if (p->n > 0)
		pass_in(p, 1);
}

void
stream_poll_join(struct stream_poll *p, struct stream_head *h)
{
	struct stream_head **bucket;

	if (p == NULL)
		return;
	bucket = bucket_of(p, h->id);
	h->next = *bucket;
	if (h->next != NULL)
		h->next->at = &h->next;
	h->at = bucket;
	*bucket = h;
	h->n = &p->n;
	h->asked = 0;
	if (p->n++ == 0 && !p->passing)
		pass_in(p, STREAM_POLL_MS);
}

void
stream_poll_leave(struct stream_head *h)
{
	if (h->at == NULL)
		return;
	*h->at = h->next;
	if (h->next != NULL)
		h->next->at = h->at;
	h->at = NULL;
	(*h->n)--;
}
