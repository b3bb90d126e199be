/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/desk.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/bus/topics.h"

/* See desk.h. */

struct seat {
	struct topic topic; /* first; its id is the run's */
	unsigned n;
};

struct desk {
	pthread_mutex_t lock;
	struct topics seats;
};

struct desk *
desk_new(void)
{
	struct desk *d = xcalloc(1, sizeof(*d));

	MUST(pthread_mutex_init(&d->lock, NULL) == 0);
	return d;
}

void
desk_free(struct desk *d)
{
	if (d == NULL)
		return;
	MUST(d->seats.n == 0);
	topics_fini(&d->seats);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void
desk_put(struct desk *d, struct uuid run_id)
{
	struct seat *s;

	pthread_mutex_lock(&d->lock);
	s = (struct seat *)topics_get(&d->seats, run_id);
	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->topic.id = run_id;
		topics_add(&d->seats, &s->topic);
	}
	s->n++;
	pthread_mutex_unlock(&d->lock);
}

void
desk_take(struct desk *d, struct uuid run_id)
{
	struct seat *s;

	pthread_mutex_lock(&d->lock);
	s = (struct seat *)topics_get(&d->seats, run_id);
	MUST(s != NULL);
	if (--s->n == 0) {
		topics_remove(&d->seats, &s->topic);
		free(s);
	}
	pthread_mutex_unlock(&d->lock);
}

bool
desk_has(struct desk *d, struct uuid run_id)
{
	bool has;

	pthread_mutex_lock(&d->lock);
	has = topics_get(&d->seats, run_id) != NULL;
	pthread_mutex_unlock(&d->lock);
	return has;
}

size_t
desk_count(struct desk *d)
{
	size_t n;

	pthread_mutex_lock(&d->lock);
	n = d->seats.n;
	pthread_mutex_unlock(&d->lock);
	return n;
}
