/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/live.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * A hash table by thread id behind one mutex, held for a few copies only.  A
 * thread has an entry for each run that writes, its own and its subagents'; an
 * entry has one writer, the attempt that began last.
 */

#define N_SLOTS 1024

struct live_entry {
	struct live_entry *next;
	struct uuid thread_id, run_id, message_id;
	int attempt;
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
	return e != NULL && uuid_equal(e->run_id, run_id) &&
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

bool
live_get(struct live *l, struct uuid thread_id, struct uuid message_id,
    int64_t from, struct live_text *out)
{
	struct live_entry *e;
	bool found = false;

	pthread_mutex_lock(&l->mu);
	e = *slot_of(l, thread_id);
	while (e != NULL && (!uuid_equal(e->thread_id, thread_id) ||
				(!uuid_is_nil(message_id) &&
				    !uuid_equal(e->message_id, message_id))))
		e = e->next;
	if (e != NULL && (int64_t)e->text.len > from) {
		memset(out, 0, sizeof(*out));
		out->run_id = e->run_id;
		out->message_id = e->message_id;
		out->attempt = e->attempt;
		out->offset = from;
		buf_add(&out->text, e->text.data + from,
		    e->text.len - (size_t)from);
		found = true;
	}
	pthread_mutex_unlock(&l->mu);
	return found;
}
