/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_sqlite.h"

#include <signal.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * Reads.  In WAL mode a reader waits for nobody, so a read that touches a few
 * pages is cheaper than waking a thread for it: it runs on the loop, with a
 * budget of steps.  One that exceeds it is given to a reader thread instead,
 * and so are the next ones of that statement, for a while
 * (docs/decisions/0003-sqlite-reads-on-the-loop.md).
 */

#define PENALTY_MAX 256

/*
 * From the second read of a turn on, they share a snapshot: its locks are
 * half of what a short read costs.  What was acknowledged to a fiber before it
 * reads is in it, because answers of writes come between turns.
 */
SQL(BEGIN_READS, "BEGIN");
SQL(END_READS, "COMMIT");

static void
stmt_punish(struct lite_stmt *s)
{
	s->penalty = s->penalty == 0 ? 1 : s->penalty * 2;
	if (s->penalty > PENALTY_MAX)
		s->penalty = PENALTY_MAX;
	s->skip = s->penalty;
}

static void
snapshot_take(struct store *store, struct lite_conn *c)
{
	unsigned runs = atomic_load(&lite_db_of(store->db)->blocking_runs);

	/* A blocking write by this very thread, as tests do it. */
	if (lite_tx_is_open(c) && c->snapshot != runs)
		lite_tx(c, &END_READS, NULL);
	if (store->n_now < 2 || lite_tx_is_open(c))
		return;
	c->snapshot = runs;
	lite_tx(c, &BEGIN_READS, NULL);
}

bool
lite_read_now(struct store *store, const struct store_call *call,
    struct rows **out, enum as_status *st, struct error *err)
{
	struct lite_conn *c = lite_store_of(store)->conn;

	if (c == NULL)
		return false;
	if (call->id < c->n_stmts && c->stmts[call->id].skip > 0) {
		c->stmts[call->id].skip--;
		return false;
	}
	snapshot_take(store, c);
	*st = lite_call(c, call, out, err);
	if (*st == AS_OK) {
		c->stmts[call->id].penalty /= 2;
		return true;
	}
	if (!c->out_of_steps && *st != AS_UNAVAILABLE)
		return true;
	if (c->out_of_steps)
		stmt_punish(&c->stmts[call->id]);
	if (err != NULL)
		error_clear(err);
	return false;
}

void
lite_turn_end(struct store *store)
{
	struct lite_conn *c = lite_store_of(store)->conn;

	if (c != NULL && lite_tx_is_open(c))
		lite_tx(c, &END_READS, NULL);
}

/* The number of threads grows to what is configured as they are needed. */
static void
reader_start(struct lite_db *db)
{
	sigset_t all, old;

	if (db->reads.idle > 0 || atomic_load(&db->stopping) ||
	    db->n_readers >= db->base.config.readers)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&db->readers[db->n_readers], NULL, lite_reader_main,
		db) == 0)
		db->n_readers++;
	else if (db->n_readers == 0)
		log_err("store", "cannot start a reader thread");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
lite_read(struct lite_db *db, struct store_req *r)
{
	pthread_mutex_lock(&db->lock);
	reader_start(db);
	pthread_mutex_unlock(&db->lock);
	lite_push(db, &db->reads, r);
}

static void
reader_run(struct lite_db *db, struct lite_conn **c, struct lite_conn **guest,
    struct store_req *r)
{
	if (r->guest != NULL) {
		lite_guest_read(db, guest, r);
		return;
	}
	if (*c == NULL)
		r->status = lite_conn_open(db, LITE_READER, c, &r->err);
	if (r->status != AS_OK || atomic_load(&r->dropped))
		return;
	(*c)->dropped = &r->dropped;
	r->status = lite_call(*c, &r->calls[0], &r->rows[0], &r->err);
	(*c)->dropped = NULL;
}

void *
lite_reader_main(void *arg)
{
	struct lite_db *db = arg;
	struct lite_conn *c = NULL, *guest = NULL;
	struct store_req *r;

	while ((r = lite_take(db, &db->reads, 1, 0)) != NULL) {
		reader_run(db, &c, &guest, r);
		lite_give_back(db, r);
	}
	lite_conn_close(c);
	lite_conn_close(guest);
	return NULL;
}
