/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/live.h"

#include <pthread.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

/*
 * A hash table by thread id behind one mutex, held for a few copies only.  A
 * thread has an entry for each run that writes, its own and its subagents'; an
 * entry has one writer, the attempt that began last.  What another process
 * writes is mirrored, and may lack its beginning.
 */

#define N_SLOTS 1024
#define MIRROR_TEXTS 128 /* of one thread */
#define MIRROR_BYTES ((size_t)32 * 1024 * 1024) /* the same */
#define MIRROR_IDLE_MS 300000 /* its end was lost: nobody needs it */

struct live_entry {
	struct live_entry *next;
	struct uuid thread_id, run_id, message_id;
	int attempt;
	bool mirrored;
	int64_t base; /* where the text begins, of a mirrored one */
	int64_t at_ms; /* when the mirrored one grew */
	struct buf text;
};

struct live {
	pthread_mutex_t mu;
	struct live_entry *slots[N_SLOTS];
};

struct live *
live_new(void)
{
	struct live *l = xcalloc(1, sizeof(*l));

	pthread_mutex_init(&l->mu, NULL);
	return l;
}

static struct live_entry **
slot_of(struct live *l, struct uuid thread_id)
{
	unsigned h = thread_id.b[12] | (unsigned)thread_id.b[13] << 8;

	h ^= (unsigned)thread_id.b[14] << 4 ^ thread_id.b[15];
	return &l->slots[h % N_SLOTS];
}

static struct live_entry **
entry_at(struct live *l, struct uuid thread_id, struct uuid run_id)
{
	struct live_entry **p = slot_of(l, thread_id);

	while (*p != NULL && (!uuid_equal((*p)->thread_id, thread_id) ||
				 !uuid_equal((*p)->run_id, run_id)))
		p = &(*p)->next;
	return p;
}

static void
entry_drop(struct live_entry **p)
{
	struct live_entry *e = *p;

	if (e == NULL)
		return;
	*p = e->next;
	buf_free(&e->text);
	free(e);
}

void
live_free(struct live *l)
{
	if (l == NULL)
		return;
	for (int i = 0; i < N_SLOTS; i++)
		while (l->slots[i] != NULL)
			entry_drop(&l->slots[i]);
	pthread_mutex_destroy(&l->mu);
	free(l);
}

void
live_begin(struct live *l, struct uuid thread_id, struct uuid run_id,
    struct uuid message_id, int attempt)
{
	struct live_entry **p, *e;

	pthread_mutex_lock(&l->mu);
	entry_drop(entry_at(l, thread_id, run_id));
	p = entry_at(l, thread_id, run_id);
	e = *p = xcalloc(1, sizeof(*e));
	e->thread_id = thread_id;
	e->run_id = run_id;
	e->message_id = message_id;
	e->attempt = attempt;
	pthread_mutex_unlock(&l->mu);
}

static bool
is_of(const struct live_entry *e, struct uuid run_id, int attempt)
{
	return e != NULL && !e->mirrored && uuid_equal(e->run_id, run_id) &&
	       e->attempt == attempt;
}

bool
live_append(struct live *l, struct uuid thread_id, struct uuid run_id,
    int attempt, const char *text, size_t len, struct bus_msg *m)
{
	struct live_entry *e;
	bool mine;

	pthread_mutex_lock(&l->mu);
	e = *entry_at(l, thread_id, run_id);
	if ((mine = is_of(e, run_id, attempt))) {
		m->topic = thread_id;
		m->run_id = e->run_id;
		m->message_id = e->message_id;
		m->attempt = e->attempt;
		m->offset = (int64_t)e->text.len;
		m->len = len;
		buf_add(&e->text, text, len);
	}
	pthread_mutex_unlock(&l->mu);
	return mine;
}

void
live_end(struct live *l, struct uuid thread_id, struct uuid run_id, int attempt)
{
	struct live_entry **p;

	pthread_mutex_lock(&l->mu);
	p = entry_at(l, thread_id, run_id);
	if (is_of(*p, run_id, attempt))
		entry_drop(p);
	pthread_mutex_unlock(&l->mu);
}

static struct live_entry *
entry_of(struct live *l, struct uuid thread_id, struct uuid message_id)
{
	struct live_entry *e = *slot_of(l, thread_id);

	while (e != NULL && (!uuid_equal(e->thread_id, thread_id) ||
				(!uuid_is_nil(message_id) &&
				    !uuid_equal(e->message_id, message_id))))
		e = e->next;
	return e;
}

static int64_t
entry_end(const struct live_entry *e)
{
	return e->base + (int64_t)e->text.len;
}

bool
live_get(struct live *l, struct uuid thread_id, struct uuid message_id,
    int64_t from, struct live_text *out)
{
	struct live_entry *e;
	bool found = false;

	pthread_mutex_lock(&l->mu);
	e = entry_of(l, thread_id, message_id);
	if (e != NULL && from >= e->base && from < entry_end(e)) {
		memset(out, 0, sizeof(*out));
		out->run_id = e->run_id;
		out->message_id = e->message_id;
		out->attempt = e->attempt;
		out->offset = from;
		buf_add(&out->text, e->text.data + (from - e->base),
		    (size_t)(entry_end(e) - from));
		found = true;
	}
	pthread_mutex_unlock(&l->mu);
	return found;
}

bool
live_is_written(struct live *l, struct uuid thread_id, struct uuid message_id,
    int attempt)
{
	struct live_entry *e;
	bool is;

	pthread_mutex_lock(&l->mu);
	e = entry_of(l, thread_id, message_id);
	is = e != NULL && !e->mirrored && e->attempt == attempt;
	pthread_mutex_unlock(&l->mu);
	return is;
}

/* ---- Text of other processes --------------------------------------- */

bool
live_has(struct live *l, struct uuid thread_id, struct uuid message_id,
    int64_t from)
{
	struct live_entry *e;
	bool has;

	pthread_mutex_lock(&l->mu);
	e = entry_of(l, thread_id, message_id);
	has = e != NULL && from >= e->base && from <= entry_end(e);
	pthread_mutex_unlock(&l->mu);
	return has;
}

/* Those of this slot whose end was lost. */
static void
slot_sweep(struct live *l, struct uuid thread_id, int64_t now_ms)
{
	struct live_entry **p = slot_of(l, thread_id);

	while (*p != NULL)
		if ((*p)->mirrored && now_ms - (*p)->at_ms > MIRROR_IDLE_MS)
			entry_drop(p);
		else
			p = &(*p)->next;
}

/* How many that thread has, and their bytes. */
static struct live_entry **
thread_oldest(struct live *l, struct uuid thread_id, int *n, size_t *bytes)
{
	struct live_entry **oldest = NULL;

	*n = 0;
	*bytes = 0;
	for (struct live_entry **p = slot_of(l, thread_id); *p != NULL;
	     p = &(*p)->next)
		if ((*p)->mirrored && uuid_equal((*p)->thread_id, thread_id)) {
			++*n;
			*bytes += (*p)->text.len;
			if (oldest == NULL || (*p)->at_ms < (*oldest)->at_ms)
				oldest = p;
		}
	return oldest;
}

/* Until it has no more than that. */
static void
thread_trim(struct live *l, struct uuid thread_id, int max, size_t max_bytes)
{
	struct live_entry **oldest;
	size_t bytes;
	int n;

	for (;;) {
		oldest = thread_oldest(l, thread_id, &n, &bytes);
		if (n <= max && bytes <= max_bytes)
			break;
		entry_drop(oldest);
	}
}

/* NULL: this piece is of an attempt that is over, or it is ours. */
static struct live_entry *
mirror_entry(struct live *l, const struct bus_msg *m, bool again)
{
	struct live_entry **p = entry_at(l, m->topic, m->run_id), *e = *p;

	if (e != NULL && e->attempt == m->attempt &&
	    uuid_equal(e->message_id, m->message_id))
		return e->mirrored ? e : NULL;
	if (e != NULL &&
	    (e->attempt > m->attempt ||
		(e->attempt == m->attempt && (again || !e->mirrored))))
		return NULL;
	entry_drop(p);
	thread_trim(l, m->topic, MIRROR_TEXTS - 1, MIRROR_BYTES);
	p = entry_at(l, m->topic, m->run_id);
	e = *p = xcalloc(1, sizeof(*e));
	e->thread_id = m->topic;
	e->run_id = m->run_id;
	e->message_id = m->message_id;
	e->attempt = m->attempt;
	e->base = m->offset;
	e->mirrored = true;
	return e;
}

/* [offset, offset + len) joins what is there, or follows it after a gap. */
static void
mirror_add(struct live_entry *e, int64_t offset, const char *text, size_t len)
{
	int64_t end = offset + (int64_t)len, known = entry_end(e);
	struct buf tail = { 0 };

	if (offset > known) { /* a gap */
		buf_reset(&e->text);
		e->base = offset;
		buf_add(&e->text, text, len);
	} else if (offset >= e->base) {
		if (end > known)
			buf_add(&e->text, text + (known - offset),
			    (size_t)(end - known));
	} else if (end >= e->base) { /* it reaches further back */
		if (known > end)
			buf_add(&tail, e->text.data + (end - e->base),
			    (size_t)(known - end));
		buf_reset(&e->text);
		e->base = offset;
		buf_add(&e->text, text, len);
		buf_add(&e->text, tail.data, tail.len);
		buf_free(&tail);
	}
}

void
live_mirror(struct live *l, const struct bus_msg *m, const char *text,
    size_t len, bool again)
{
	int64_t now_ms = clock_mono_ms();
	struct live_entry *e;

	if (len == 0 || m->offset + (int64_t)len > LIVE_MIRROR_MAX)
		return;
	pthread_mutex_lock(&l->mu);
	slot_sweep(l, m->topic, now_ms);
	thread_trim(l, m->topic, MIRROR_TEXTS, MIRROR_BYTES - len);
	if ((e = mirror_entry(l, m, again)) != NULL) {
		e->at_ms = now_ms;
		mirror_add(e, m->offset, text, len);
	}
	pthread_mutex_unlock(&l->mu);
}

void
live_forget(struct live *l, struct uuid thread_id, struct uuid run_id)
{
	struct live_entry **p;

	pthread_mutex_lock(&l->mu);
	p = entry_at(l, thread_id, run_id);
	if (*p != NULL && (*p)->mirrored)
		entry_drop(p);
	pthread_mutex_unlock(&l->mu);
}

void
live_forget_thread(struct live *l, struct uuid thread_id)
{
	struct live_entry **p;

	pthread_mutex_lock(&l->mu);
	p = slot_of(l, thread_id);
	while (*p != NULL)
		if ((*p)->mirrored && uuid_equal((*p)->thread_id, thread_id))
			entry_drop(p);
		else
			p = &(*p)->next;
	pthread_mutex_unlock(&l->mu);
}
