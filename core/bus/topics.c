/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/topics.h"

#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * Ids are made by the host and their last eight bytes are random, so these are
 * the hash.  The table doubles when there are as many topics as buckets.
 */

static struct topic **
topics_bucket(const struct topics *ts, struct uuid id)
{
	uint64_t h;

	memcpy(&h, id.b + 8, sizeof(h));
	return &ts->buckets[(h ^ h >> 32) & (ts->n_buckets - 1)];
}

struct topic *
topics_get(const struct topics *ts, struct uuid id)
{
	struct topic *t;

	if (ts->n == 0)
		return NULL;
	for (t = *topics_bucket(ts, id); t != NULL; t = t->next)
		if (uuid_equal(t->id, id))
			break;
	return t;
}

static void
topics_link(struct topics *ts, struct topic *t)
{
	struct topic **bucket = topics_bucket(ts, t->id);

	t->next = *bucket;
	*bucket = t;
}

static void
topics_grow(struct topics *ts)
{
	struct topics old = *ts;
	struct topic *t, *next;

	ts->n_buckets = old.n_buckets != 0 ? 2 * old.n_buckets : 16;
	ts->buckets = xcalloc(ts->n_buckets, sizeof(struct topic *));
	for (size_t i = 0; i < old.n_buckets; i++)
		for (t = old.buckets[i]; t != NULL; t = next) {
			next = t->next;
			topics_link(ts, t);
		}
	free(old.buckets);
}

void
topics_add(struct topics *ts, struct topic *t)
{
	if (ts->n == ts->n_buckets)
		topics_grow(ts);
	topics_link(ts, t);
	ts->n++;
}

void
topics_remove(struct topics *ts, struct topic *t)
{
	struct topic **p;

	for (p = topics_bucket(ts, t->id); *p != t; p = &(*p)->next)
		MUST(*p != NULL);
	*p = t->next;
	ts->n--;
}

void
topics_fini(struct topics *ts)
{
	MUST(ts->n == 0);
	free(ts->buckets);
	*ts = (struct topics){ 0 };
}
