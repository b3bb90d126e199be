/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg_guest.h"

#include <signal.h>
#include <sys/socket.h>

#include "core/base/mem.h"

/*
 * Statements of plugins on PostgreSQL: who runs them.  A few threads with a
 * connection each, because the pipelines of the loops have transactions of
 * their own, and a plugin may be slow.
 */

/* The next request, which is then running; NULL: stop. */
static struct store_req *
guest_next(struct pg_guest *t)
{
	struct pg_guests *q = &t->db->guests;
	struct store_req *r = NULL;

	pthread_mutex_lock(&q->lock);
	q->n_idle++;
	while (q->head == NULL && !q->stopping)
		pthread_cond_wait(&q->more, &q->lock);
	q->n_idle--;
	if ((r = q->head) != NULL && (q->head = r->next) == NULL)
		q->tail = &q->head;
	t->running = r;
	pthread_mutex_unlock(&q->lock);
	return r;
}

static void
guest_give_back(struct pg_guest *t, struct store_req *r)
{
	struct pg_guests *q = &t->db->guests;
	struct pg_store *s = pg_store_of(r->store);

	pthread_mutex_lock(&q->lock);
	t->running = NULL;
	pthread_mutex_unlock(&q->lock);
	store_req_post(r);
	pthread_mutex_lock(&q->lock);
	if (--s->n_guests == 0)
		pthread_cond_broadcast(&q->ended);
	pthread_mutex_unlock(&q->lock);
}

static void *
guest_main(void *arg)
{
	struct pg_guest *t = arg;
	struct store_req *r;

	while ((r = guest_next(t)) != NULL) {
		pg_guest_run(t, r);
		guest_give_back(t, r);
	}
	pg_guest_disconnect(t);
	return NULL;
}

/* With the lock held. */
static void
guest_start(struct pg_db *db)
{
	struct pg_guests *q = &db->guests;
	struct pg_guest *t;
	sigset_t all, old;

	if (q->n_idle > 0 || q->n_threads == PG_GUESTS_MAX)
		return;
	t = xcalloc(1, sizeof(*t));
	t->db = db;
	t->fd = -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&t->thread, NULL, guest_main, t) == 0)
		q->threads[q->n_threads++] = t;
	else
		free(t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
pg_guests_push(struct pg_store *store, struct store_req *r)
{
	struct pg_db *db = pg_db_of(store->base.db);
	struct pg_guests *q = &db->guests;
	bool has_thread;

	pthread_mutex_lock(&q->lock);
	guest_start(db);
	has_thread = q->n_threads > 0;
	if (has_thread) {
		r->next = NULL;
		*q->tail = r;
		q->tail = &r->next;
		store->n_guests++;
		pthread_cond_signal(&q->more);
	}
	pthread_mutex_unlock(&q->lock);
	if (!has_thread)
		pg_refuse(r, "no thread for it");
}

void
pg_guests_settle(struct pg_store *store)
{
	struct pg_guests *q = &pg_db_of(store->base.db)->guests;
	struct store_req **p = &q->head, *r;

	pthread_mutex_lock(&q->lock);
	while ((r = *p) != NULL) {
		if (r->store != &store->base) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		store->n_guests--;
		store_req_unref(r);
	}
	q->tail = p;
	for (unsigned i = 0; i < q->n_threads; i++) {
		r = q->threads[i]->running;
		if (r != NULL && r->store == &store->base &&
		    q->threads[i]->fd >= 0)
			(void)shutdown(q->threads[i]->fd, SHUT_RDWR);
	}
	while (store->n_guests > 0)
		pthread_cond_wait(&q->ended, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

void
pg_guests_init(struct pg_db *db)
{
	pthread_mutex_init(&db->guests.lock, NULL);
	pthread_cond_init(&db->guests.more, NULL);
	pthread_cond_init(&db->guests.ended, NULL);
	db->guests.tail = &db->guests.head;
}

void
pg_guests_fini(struct pg_db *db)
{
	struct pg_guests *q = &db->guests;

	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_broadcast(&q->more);
	pthread_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->n_threads; i++) {
		pthread_join(q->threads[i]->thread, NULL);
		free(q->threads[i]);
	}
	pthread_cond_destroy(&q->more);
	pthread_cond_destroy(&q->ended);
	pthread_mutex_destroy(&q->lock);
}
