/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_sqlite.h"

#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The one thread that writes.
 *
 * It takes what has queued while the last commit ran and commits it as one
 * transaction.  A request is answered after the COMMIT has returned, never
 * before.  If one of them fails, all are undone and run again, now each in a
 * savepoint of its own (which copies every page that it touches: too dear for
 * what is rare); if the transaction as a whole fails, each is run alone.  So
 * none suffers for another.
 */

#define BATCH_BYTES (1024 * 1024)
#define PROBE_MS 1000

SQL(BEGIN_TX, "BEGIN IMMEDIATE");
SQL(COMMIT_TX, "COMMIT");
SQL(ROLLBACK_TX, "ROLLBACK");
SQL(SAVE_TX, "SAVEPOINT r");
SQL(RELEASE_TX, "RELEASE r");
SQL(UNDO_TX, "ROLLBACK TO r");
SQL(PROBE_TX,
    "INSERT INTO node_settings (key, value) VALUES ('store_probe', now_us()) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value");

/* ---- Queue --------------------------------------------------------- */

void
lite_queue_init(struct lite_queue *q)
{
	pthread_condattr_t attr;

	memset(q, 0, sizeof(*q));
	q->tail = &q->head;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->more, &attr);
	pthread_condattr_destroy(&attr);
}

void
lite_queue_fini(struct lite_queue *q)
{
	pthread_cond_destroy(&q->more);
}

void
lite_push(struct lite_db *db, struct lite_queue *q, struct store_req *r)
{
	bool wake;

	r->queued_us = clock_mono_us();
	pthread_mutex_lock(&db->lock);
	r->next = NULL;
	*q->tail = r;
	q->tail = &r->next;
	q->n++;
	lite_store_of(r->store)->n_open++;
	wake = q->idle > 0;
	pthread_mutex_unlock(&db->lock);
	if (wake)
		pthread_cond_signal(&q->more);
}

static bool
queue_wait(struct lite_db *db, struct lite_queue *q, int timeout_ms)
{
	struct timespec ts;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += timeout_ms / 1000;
	q->idle++;
	while (q->head == NULL && !atomic_load(&db->stopping) && rc == 0)
		rc = timeout_ms == 0
			 ? pthread_cond_wait(&q->more, &db->lock)
			 : pthread_cond_timedwait(&q->more, &db->lock, &ts);
	q->idle--;
	return q->head != NULL;
}

/* Guests may be slow: after one of them, all that is ours goes first. */
static void
own_first(struct lite_queue *q)
{
	struct store_req *guests = NULL, *r = q->head;
	struct store_req **own = &q->head, **guest = &guests;

	for (; r != NULL; r = r->next) {
		if (r->guest != NULL) {
			*guest = r;
			guest = &r->next;
		} else {
			*own = r;
			own = &r->next;
		}
	}
	*guest = NULL;
	*own = guests;
	q->tail = guests != NULL ? guest : own;
}

struct store_req *
lite_take(struct lite_db *db, struct lite_queue *q, unsigned max,
    int timeout_ms)
{
	struct store_req *head = NULL, *last = NULL;
	size_t bytes = 0;

	pthread_mutex_lock(&db->lock);
	if (q->head != NULL || queue_wait(db, q, timeout_ms)) {
		if (q->after_guest)
			own_first(q);
		head = last = q->head;
		q->after_guest = head->guest != NULL;
		bytes = head->size;
		/* A guest goes alone. */
		while (--max > 0 && last->next != NULL && head->guest == NULL &&
		       last->next->guest == NULL &&
		       (bytes += last->next->size) <= BATCH_BYTES) {
			q->n--;
			last = last->next;
		}
		q->n--;
		q->head = last->next;
		if (q->head == NULL)
			q->tail = &q->head;
		last->next = NULL;
	}
	pthread_mutex_unlock(&db->lock);
	return head;
}

void
lite_give_back(struct lite_db *db, struct store_req *r)
{
	struct lite_store *s = lite_store_of(r->store);

	store_req_post(r);
	pthread_mutex_lock(&db->lock);
	if (--s->n_open == 0)
		pthread_cond_broadcast(&db->ended);
	pthread_mutex_unlock(&db->lock);
}

/* ---- Transactions -------------------------------------------------- */

enum as_status
lite_tx(struct lite_conn *c, struct sql *sql, struct error *err)
{
	struct store_call call = { .sql = sql, .id = store_sql_id(sql) };

	return lite_call(c, &call, NULL, err);
}

bool
lite_tx_is_open(const struct lite_conn *c)
{
	return sqlite3_get_autocommit(c->db) == 0;
}

static void
tx_rollback(struct lite_conn *c)
{
	if (lite_tx_is_open(c))
		lite_tx(c, &ROLLBACK_TX, NULL);
}

/* True: all that was asked for has happened, or, behind a guard, nothing. */
static bool
req_calls(struct lite_conn *c, struct store_req *r)
{
	bool g = r->is_guarded;

	for (int i = 0; i < r->n_calls && r->status == AS_OK; i++) {
		r->status = lite_call(c, &r->calls[i], g ? NULL : &r->rows[i],
		    &r->err);
		if (g && i == 0 && r->status == AS_OK && lite_changes(c) != 1) {
			r->status = error_set(&r->err, ERR_CONFLICT,
			    "the row has moved on");
			return lite_changes(c) == 0;
		}
	}
	return r->status == AS_OK;
}

static void
set_up(struct lite_db *db, bool up)
{
	if (atomic_exchange(&db->up, up) == up)
		return;
	counter_set(store_metrics()->up, up);
	if (up)
		log_info("store", "%s takes writes again", db->path);
	else
		log_err("store", "%s: a commit failed: %s", db->path,
		    sqlite3_errmsg(db->writer_conn->db));
}

static void
req_alone(struct lite_db *db, struct store_req *r)
{
	struct lite_conn *c = db->writer_conn;

	if (atomic_load(&r->dropped))
		return;
	r->status = lite_tx(c, &BEGIN_TX, &r->err);
	if (r->status == AS_OK && req_calls(c, r) && r->status == AS_OK) {
		FAILPOINT("store.sqlite.pre_commit");
		r->status = lite_tx(c, &COMMIT_TX, &r->err);
		if (r->status != AS_OK)
			store_error_unknown(&r->err);
	}
	tx_rollback(c);
	if (r->status == AS_OK || r->status == AS_UNAVAILABLE)
		set_up(db, r->status == AS_OK);
}

/* False: the transaction is gone, with all that was in it. */
static bool
req_in_savepoint(struct lite_conn *c, struct store_req *r)
{
	if (lite_tx(c, &SAVE_TX, &r->err) != AS_OK)
		return false;
	if (!req_calls(c, r)) {
		if (!lite_tx_is_open(c) || lite_tx(c, &UNDO_TX, NULL) != AS_OK)
			return false;
	}
	return lite_tx(c, &RELEASE_TX, NULL) == AS_OK;
}

static bool
batch_together(struct lite_db *db, struct store_req *head, bool savepoints)
{
	struct lite_conn *c = db->writer_conn;
	bool ok = lite_tx(c, &BEGIN_TX, NULL) == AS_OK;

	for (struct store_req *r = head; ok && r != NULL; r = r->next)
		ok = atomic_load(&r->dropped) ||
		     (savepoints ? req_in_savepoint(c, r) : req_calls(c, r));
	if (ok)
		FAILPOINT("store.sqlite.pre_commit");
	ok = ok && lite_tx(c, &COMMIT_TX, NULL) == AS_OK;
	tx_rollback(c);
	if (ok)
		set_up(db, true);
	return ok;
}

static void
batch_reset(struct store_req *head)
{
	for (struct store_req *r = head; r != NULL; r = r->next)
		store_req_reset(r);
}

/* In savepoints a request that fails is undone and the others stand. */
static void
batch_again(struct lite_db *db, struct store_req *head)
{
	batch_reset(head);
	if (batch_together(db, head, true))
		return;
	batch_reset(head);
	for (struct store_req *r = head; r != NULL; r = r->next) {
		req_alone(db, r);
		counter_add(store_metrics()->resent, 1);
	}
}

static void
batch_run(struct lite_db *db, struct store_req *head)
{
	int64_t start = clock_mono_us();

	for (struct store_req *r = head; r != NULL; r = r->next)
		histogram_observe(store_metrics()->wait,
		    (double)(start - r->queued_us) / 1e6);
	if (head->guest != NULL)
		lite_guest_write(db, &db->guest_conn, head);
	else if (head->next == NULL)
		req_alone(db, head);
	else if (!batch_together(db, head, false))
		batch_again(db, head);
	counter_add(store_metrics()->batches, 1);
	histogram_observe(store_metrics()->commit,
	    (double)(clock_mono_us() - start) / 1e6);
}

/* Nobody may write while the store says that it is down: so we do. */
static void
probe(struct lite_db *db)
{
	struct lite_conn *c = db->writer_conn;

	if (lite_tx(c, &PROBE_TX, NULL) == AS_OK)
		set_up(db, true);
}

void *
lite_writer_main(void *arg)
{
	struct lite_db *db = arg;
	struct store_req *head, *next;
	bool up;

	while (!atomic_load(&db->stopping)) {
		up = atomic_load(&db->up);
		head = lite_take(db, &db->writes, db->base.config.batch_max,
		    up ? 0 : PROBE_MS);
		if (head == NULL && !up)
			probe(db);
		if (head == NULL)
			continue;
		batch_run(db, head);
		FAILPOINT("store.sqlite.post_commit");
		for (; head != NULL; head = next) {
			next = head->next;
			lite_give_back(db, head);
		}
	}
	return NULL;
}
