/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_lock.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/store/store_pg.h"

/*
 * The thread connects, asks for the lock until it has it, and then waits for
 * the connection to end; so that it notices, it says something now and then.
 * Every wait also ends when the lock is to be freed.
 */

#define ANSWER_MS 4000
#define AGAIN_MS 1000
#define ASK_MS 2000

struct store_lock {
	struct pg_db *db;
	int32_t space, key;
	int stop_fd;
	pthread_t thread;
	_Atomic int64_t since_us; /* monotonic; 0: not held */
};

enum lock_wait {
	WAIT_READY,
	WAIT_LATE,
	WAIT_STOP
};

/* fd -1: only the time.  timeout_ms -1: for ever. */
static enum lock_wait
lock_wait(struct store_lock *l, int fd, short events, int timeout_ms)
{
	struct pollfd p[] = { { l->stop_fd, POLLIN, 0 }, { fd, events, 0 } };
	int n;

	do
		n = poll(p, fd >= 0 ? 2 : 1, timeout_ms);
	while (n < 0);
	if (p[0].revents != 0)
		return WAIT_STOP;
	return n > 0 ? WAIT_READY : WAIT_LATE;
}

static bool
lock_connect(struct store_lock *l, PGconn *pg)
{
	PostgresPollingStatusType st = PGRES_POLLING_WRITING;

	if (PQstatus(pg) == CONNECTION_BAD)
		return false;
	while (st != PGRES_POLLING_OK && st != PGRES_POLLING_FAILED) {
		if (lock_wait(l, PQsocket(pg),
			st == PGRES_POLLING_READING ? POLLIN : POLLOUT,
			ANSWER_MS) != WAIT_READY)
			return false;
		st = PQconnectPoll(pg);
	}
	return st == PGRES_POLLING_OK;
}

/* The answer to what was sent; NULL: the connection is gone, or we are. */
static PGresult *
lock_answer(struct store_lock *l, PGconn *pg)
{
	PGresult *res, *last = NULL;

	while (PQisBusy(pg))
		if (lock_wait(l, PQsocket(pg), POLLIN, ANSWER_MS) !=
			WAIT_READY ||
		    !PQconsumeInput(pg))
			return NULL;
	while ((res = PQgetResult(pg)) != NULL) {
		PQclear(last);
		last = res;
	}
	return last;
}

/* An old session of ours may still be held for alive: then it is not free. */
static bool
lock_try(struct store_lock *l, PGconn *pg, bool *taken)
{
	char text[320];
	PGresult *res;
	bool ok;

	snprintf(text, sizeof(text),
	    "SELECT pg_try_advisory_lock(%d, %d), " PG_SESSION, (int)l->space,
	    (int)l->key);
	if (!PQsendQuery(pg, text))
		return false;
	res = lock_answer(l, pg);
	ok = PQresultStatus(res) == PGRES_TUPLES_OK &&
	     pg_session_refused(l->db, res, 1, true) == NULL;
	*taken = ok && PQgetvalue(res, 0, 0)[0] == 't';
	if (res != NULL && PQresultStatus(res) != PGRES_TUPLES_OK)
		log_warn("store", "advisory lock: %s",
		    PQresultErrorMessage(res));
	PQclear(res);
	return ok;
}

/*
 * Nobody but us would notice that the server is gone without a word.  A lock of
 * a former primary is worth nothing.
 */
static bool
lock_ask(struct store_lock *l, PGconn *pg)
{
	PGresult *res = PQsendQuery(pg, "SELECT " PG_SESSION)
			    ? lock_answer(l, pg)
			    : NULL;
	bool ok = PQresultStatus(res) == PGRES_TUPLES_OK &&
		  pg_session_refused(l->db, res, 0, false) == NULL;

	PQclear(res);
	return ok;
}

/* Until the connection ends. */
static enum lock_wait
lock_hold(struct store_lock *l, PGconn *pg)
{
	bool taken = false;
	enum lock_wait w = WAIT_LATE;

	while (!taken) {
		if (!lock_try(l, pg, &taken))
			return WAIT_READY;
		if (!taken && (w = lock_wait(l, -1, 0, AGAIN_MS)) == WAIT_STOP)
			return w;
	}
	atomic_store(&l->since_us, clock_mono_us());
	do
		w = lock_wait(l, PQsocket(pg), POLLIN, ASK_MS);
	while (w != WAIT_STOP &&
	       (w == WAIT_READY ? PQconsumeInput(pg) != 0 : lock_ask(l, pg)));
	atomic_store(&l->since_us, 0);
	return w;
}

static void *
lock_main(void *arg)
{
	struct store_lock *l = arg;
	enum lock_wait w = WAIT_LATE;
	unsigned at = atomic_load(&l->db->good);
	struct pg_place place;
	PGconn *pg;

	while (w != WAIT_STOP) {
		pg = pg_place(l->db, at++, &place)
			 ? pg_connect(l->db, PG_LOCK, &place)
			 : NULL;
		if (pg != NULL && lock_connect(l, pg)) {
			w = lock_hold(l, pg);
			at = atomic_load(&l->db->good);
		}
		PQfinish(pg);
		if (w != WAIT_STOP)
			w = lock_wait(l, -1, 0, AGAIN_MS);
	}
	return NULL;
}

struct store_lock *
store_lock_new(struct store_db *db, int32_t space, int32_t key)
{
	struct store_lock *l = xcalloc(1, sizeof(*l));

	MUST(store_db_dialect(db) == STORE_POSTGRES);
	l->db = pg_db_of(db);
	l->space = space;
	l->key = key;
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	MUST(l->stop_fd >= 0);
	MUST(pthread_create(&l->thread, NULL, lock_main, l) == 0);
	return l;
}

int64_t
store_lock_held_us(const struct store_lock *l)
{
	int64_t since = atomic_load(&l->since_us);

	return since != 0 ? clock_mono_us() - since : -1;
}

void
store_lock_free(struct store_lock *l)
{
	if (l == NULL)
		return;
	MUST(eventfd_write(l->stop_fd, 1) == 0);
	pthread_join(l->thread, NULL);
	close(l->stop_fd);
	free(l);
}
