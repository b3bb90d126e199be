/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/seats.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/bus/topics.h"

/* A table by user behind one mutex; who has no stream has no entry. */

struct seat {
	struct topic topic; /* the user's id */
	int64_t n;
};

struct seats {
	pthread_mutex_t mu;
	struct topics users;
};

struct seats *
seats_new(void)
{
	struct seats *s = xcalloc(1, sizeof(*s));

	MUST(pthread_mutex_init(&s->mu, NULL) == 0);
	return s;
}

void
seats_free(struct seats *s)
{
	if (s == NULL)
		return;
	topics_fini(&s->users);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

bool
seats_take(struct seats *s, struct uuid user_id, int64_t max)
{
	struct seat *seat;
	bool free_seat;

	pthread_mutex_lock(&s->mu);
	seat = (struct seat *)topics_get(&s->users, user_id);
	free_seat = seat != NULL ? seat->n < max : max > 0;
	if (free_seat && seat == NULL) {
		seat = xcalloc(1, sizeof(*seat));
		seat->topic.id = user_id;
		topics_add(&s->users, &seat->topic);
	}
	if (free_seat)
		seat->n++;
	pthread_mutex_unlock(&s->mu);
	return free_seat;
}

bool
seats_have_room(struct seats *s, struct uuid user_id, int64_t max)
{
	struct seat *seat;
	bool room;

	pthread_mutex_lock(&s->mu);
	seat = (struct seat *)topics_get(&s->users, user_id);
	room = (seat != NULL ? seat->n : 0) < max;
	pthread_mutex_unlock(&s->mu);
	return room;
}

void
seats_leave(struct seats *s, struct uuid user_id)
{
	struct seat *seat;

	pthread_mutex_lock(&s->mu);
	seat = (struct seat *)topics_get(&s->users, user_id);
	MUST(seat != NULL);
	if (--seat->n == 0) {
		topics_remove(&s->users, &seat->topic);
		free(seat);
	}
	pthread_mutex_unlock(&s->mu);
}
