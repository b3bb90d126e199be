/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The life of one connection: connect without blocking, settle the session,
 * serve, be lost, wait with back-off and jitter, connect again.  Places are
 * tried in turn, beginning with the one where writing was possible last; the
 * back-off comes after each round.
 *
 * One timer serves the waiting as well as the patience: with connecting, with
 * a server that owes an answer, and with what waits for its turn.
 */

#define CONNECT_MS 10000
#define CONNECT_EACH_MS 4000 /* if there are other places */
#define LOOK_MIN_MS 20
#define LOOK_MAX_MS 1000
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

static void conn_start(struct pg_conn *c);

static void
conn_close(struct pg_conn *c)
{
	loop_watch_free(c->watch);
	c->watch = NULL;
	PQfinish(c->pg);
	c->pg = NULL;
	if (c->n_prepared > 0)
		memset(c->prepared, 0, c->n_prepared * sizeof(*c->prepared));
}

static void conn_look(struct pg_conn *c);
static void conn_hope(struct pg_conn *c);

static void
conn_timer(struct loop_timer *t)
{
	struct pg_conn *c = container_of(t, struct pg_conn, timer);

	if (c->state == PG_DOWN)
		conn_start(c);
	else if (c->state == PG_UP)
		conn_look(c);
	else
		conn_hope(c);
}

static void
timer_in(struct pg_conn *c, uint64_t ms)
{
	struct loop *loop = c->store->base.loop;

	loop_timer_set(loop, &c->timer, loop_now_ms(loop) + ms);
}

/* How often to look at who waits. */
static uint64_t
look_ms(const struct pg_conn *c)
{
	int64_t ms = c->store->base.db->config.statement_timeout_ms / 8;

	if (ms < LOOK_MIN_MS)
		ms = LOOK_MIN_MS;
	return (uint64_t)(ms > LOOK_MAX_MS ? LOOK_MAX_MS : ms);
}

/* Half of it is chance, so that many clients do not come at once. */
static uint64_t
backoff_ms(unsigned attempts)
{
	uint32_t ms = BACKOFF_MAX_MS;

	if (attempts < 6)
		ms = BACKOFF_MIN_MS << attempts;
	return ms / 2 + randombytes_uniform(ms);
}

void
pg_conn_lost(struct pg_conn *c, const char *why)
{
	struct pg_db *db = pg_db_of(c->store->base.db);
	unsigned n = pg_places_count(db);
	bool was_up = c->state == PG_UP;
	char text[200];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(why, "\n"), why);
	c->state = PG_DOWN;
	c->is_watched = c->is_slow = c->is_demoted = c->is_stuck = false;
	conn_close(c);
	if (was_up) {
		c->place = atomic_load(&db->good);
		counter_add(store_metrics()->up, -1);
		counter_add(store_metrics()->reconnects, 1);
		log_warn("store", "connection lost: %s", text);
	} else {
		c->place++;
		if (c->attempts++ < n)
			log_warn("store", "cannot connect: %s", text);
	}
	pg_owed_lost(c, text);
	pg_waiting_lost(c, text);
	if (c->attempts > 1)
		pg_places_look_again(db);
	if (!c->store->freeing)
		timer_in(c,
		    c->attempts % n != 0 ? 0 : backoff_ms(c->attempts / n));
}

/*
 * Another connection has found the server that came after this one.  A former
 * primary may not know of it and go on: what it takes is lost, and what it has
 * taken may be.
 */
bool
pg_left_behind(struct pg_conn *c)
{
	if (c->state != PG_UP ||
	    c->timeline == atomic_load(&pg_db_of(c->store->base.db)->timeline))
		return false;
	pg_conn_lost(c, PG_FORMER);
	return true;
}

/* ---- Connecting ---------------------------------------------------- */

void
pg_conn_settled(struct pg_conn *c, const PGresult *res)
{
	struct pg_db *db = pg_db_of(c->store->base.db);
	const char *why;

	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		pg_conn_lost(c, PQresultErrorMessage(res));
		return;
	}
	why = pg_session_refused(db, res, 0, c->is_writer);
	c->met_read_only = why != NULL && strcmp(why, PG_FORMER) != 0;
	if (why != NULL) {
		pg_conn_lost(c, why);
		return;
	}
	loop_timer_clear(&c->timer);
	c->timeline = pg_session_timeline(db, res, 0);
	if (c->attempts > 0)
		log_info("store", "connected again");
	c->state = PG_UP;
	counter_add(store_metrics()->up, 1);
	c->attempts = 0;
	if (c->is_writer)
		atomic_store(&db->good, c->place);
	if (c->wait != NULL) {
		pg_conn_watch(c);
		pg_flush_later(c);
	}
}

static void
conn_connected(struct pg_conn *c)
{
	c->state = PG_SETTLING;
	if (PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg) ||
	    !pg_send_setup(c)) {
		pg_conn_lost(c, PQerrorMessage(c->pg));
		return;
	}
	pg_flush(c);
}

static void conn_ready(int fd, int what, void *arg);

/* libpq may go on to another address, and so to another descriptor. */
static void
conn_poll(struct pg_conn *c)
{
	int what = LOOP_READ;

	loop_watch_free(c->watch);
	c->watch = NULL;
	switch (PQconnectPoll(c->pg)) {
	case PGRES_POLLING_FAILED:
		pg_conn_lost(c, PQerrorMessage(c->pg));
		return;
	case PGRES_POLLING_WRITING:
		what = LOOP_WRITE;
		break;
	case PGRES_POLLING_OK:
		c->watch = loop_watch(c->store->base.loop, PQsocket(c->pg),
		    LOOP_READ, conn_ready, c);
		conn_connected(c);
		return;
	default:
		break;
	}
	c->watch = loop_watch(c->store->base.loop, PQsocket(c->pg), what,
	    conn_ready, c);
}

static void
conn_start(struct pg_conn *c)
{
	struct pg_db *db = pg_db_of(c->store->base.db);
	struct pg_place place;

	c->state = PG_CONNECTING;
	if (!pg_place(db, c->place, &place)) {
		pg_conn_lost(c, "the server's name cannot be looked up");
		return;
	}
	c->pg = pg_connect(db, c->is_writer ? PG_WRITER : PG_READER, &place);
	if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
		pg_conn_lost(c,
		    c->pg == NULL ? "no memory" : PQerrorMessage(c->pg));
		return;
	}
	c->hope_ms = loop_now_ms(c->store->base.loop) +
		     (pg_places_count(db) > 1 ? CONNECT_EACH_MS : CONNECT_MS);
	timer_in(c, look_ms(c));
	/* The contract of PQconnectStart: as if it had said WRITING. */
	c->watch = loop_watch(c->store->base.loop, PQsocket(c->pg), LOOP_WRITE,
	    conn_ready, c);
}

/* ---- Patience ------------------------------------------------------ */

static uint64_t
silence_ms(const struct pg_conn *c)
{
	return (uint64_t)c->store->base.db->config.statement_timeout_ms +
	       PG_SILENCE_MS;
}

/*
 * One has not answered in time: its server is gone, hangs, or cannot be
 * reached.  Those that owe nothing would say so only when they are needed.
 */
static void
conn_silent(struct pg_conn *c)
{
	struct pg_store *s = c->store;
	uint64_t now = loop_now_ms(s->base.loop);
	struct pg_conn *o;

	pg_conn_lost(c, "the server does not answer");
	for (unsigned i = 0; i < s->n_conns; i++) {
		o = &s->conns[i];
		if (o->state == PG_UP && o->head == NULL &&
		    o->heard_ms + silence_ms(o) <= now)
			pg_conn_lost(o, "nor does it on another connection");
	}
}

/*
 * They were not sent: it is known that they have not happened.  A fiber leaves
 * after all of a statement's time, and would not know: half of it is enough.
 */
int64_t
pg_expired_us(const struct pg_conn *c)
{
	return clock_mono_us() -
	       c->store->base.db->config.statement_timeout_ms * 500;
}

static void
conn_expire(struct pg_conn *c)
{
	struct store_req *r = pg_wait_expired(c, pg_expired_us(c)), *next;

	for (; r != NULL; r = next) {
		next = r->next;
		pg_refuse(r, PG_TOO_LATE);
	}
}

/* It is not up yet. */
static void
conn_hope(struct pg_conn *c)
{
	if (loop_now_ms(c->store->base.loop) >= c->hope_ms) {
		pg_conn_lost(c, "connecting takes too long");
		return;
	}
	conn_expire(c);
	timer_in(c, look_ms(c));
}

/* One that has nothing to do is asked; the answer is seen at the next look. */
static void
reader_ask(struct pg_conn *c)
{
	if (c->state != PG_UP || c->head != NULL)
		return;
	c->heard_ms = loop_now_ms(c->store->base.loop);
	if (pg_send_sync(c, NULL)) {
		pg_conn_watch(c);
		pg_flush(c);
	} else
		pg_conn_lost(c, PQerrorMessage(c->pg));
}

/* Has it said anything lately, where it was asked? */
static bool
server_speaks(struct pg_store *s)
{
	uint64_t now = loop_now_ms(s->base.loop);
	bool speaks = false;

	for (unsigned i = 0; i < s->n_readers; i++) {
		if (s->conns[i].state == PG_UP &&
		    s->conns[i].spoke_ms + PG_SILENCE_MS > now)
			speaks = true;
		reader_ask(&s->conns[i]);
	}
	return speaks;
}

/*
 * The server ends every statement in time, but not a commit that waits for its
 * standby.  One more connection would be one more that waits: so as long as the
 * server answers others, this one is kept.
 */
static bool
conn_given_up(struct pg_conn *c)
{
	uint64_t silent = loop_now_ms(c->store->base.loop) - c->heard_ms;
	uint64_t most = silence_ms(c), ask = most - PG_SILENCE_MS;

	if (c->head == NULL || silent < ask) {
		c->is_stuck = false;
		return false;
	}
	if (!c->is_writer || !server_speaks(c->store))
		return silent >= most;
	if (!c->is_stuck && silent >= most)
		log_warn("store", "the server answers, but a commit does not "
				  "end: see its standby and its disk");
	c->is_stuck |= silent >= most;
	return false;
}

static void
conn_look(struct pg_conn *c)
{
	c->is_watched = false;
	if (pg_left_behind(c))
		return;
	if (conn_given_up(c)) {
		conn_silent(c);
		return;
	}
	conn_expire(c);
	if (c->head != NULL || c->wait != NULL)
		pg_conn_watch(c);
}

void
pg_conn_watch(struct pg_conn *c)
{
	if (c->is_watched || c->state != PG_UP)
		return;
	c->is_watched = true;
	timer_in(c, look_ms(c));
}

/* ---- Serving ------------------------------------------------------- */

void
pg_flush(struct pg_conn *c)
{
	int rc = PQflush(c->pg);

	if (rc < 0)
		pg_conn_lost(c, PQerrorMessage(c->pg));
	else
		loop_watch_set(c->watch,
		    rc > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void
conn_ready(int fd, int what, void *arg)
{
	struct pg_conn *c = arg;

	(void)fd;
	c->heard_ms = c->spoke_ms = loop_now_ms(c->store->base.loop);
	if (c->state == PG_CONNECTING) {
		conn_poll(c);
		return;
	}
	if ((what & LOOP_READ) && !PQconsumeInput(c->pg)) {
		/* The last words may explain it. */
		pg_answers(c);
		if (c->pg != NULL)
			pg_conn_lost(c, PQerrorMessage(c->pg));
		return;
	}
	pg_answers(c);
	if (c->pg != NULL && (what & LOOP_WRITE))
		pg_flush(c);
}

void
pg_conn_init(struct pg_conn *c, struct pg_store *store, bool is_writer)
{
	c->store = store;
	c->is_writer = is_writer;
	c->wait_tail = &c->wait;
	c->tail = &c->head;
	c->timer.fn = conn_timer;
	conn_start(c);
}

void
pg_conn_fini(struct pg_conn *c)
{
	loop_timer_clear(&c->timer);
	loop_hook_clear(c->store->base.loop, &c->hook);
	if (c->state == PG_UP)
		counter_add(store_metrics()->up, -1);
	conn_close(c);
	pg_owed_lost(c, "closed");
	pg_waiting_lost(c, "closed");
	free(c->prepared);
}
