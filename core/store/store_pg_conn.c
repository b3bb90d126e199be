/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The life of one connection: connect without blocking, settle the session,
 * serve, be lost, wait with back-off and jitter, connect again.
 *
 * One timer serves the waiting as well as the patience with connecting.
 */

#define CONNECT_MS 10000
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

static void conn_start(struct pg_conn *c);

static void
notice(void *arg, const char *msg)
{
	(void)arg;
	log_debug("store", "%.*s", (int)strcspn(msg, "\n"), msg);
}

/* The options of a session that reads only, after those that are there. */
static char *
options_read_only(const char *given)
{
	const char *env = getenv("PGOPTIONS");

	if (given == NULL)
		given = env != NULL ? env : "";
	return xasprintf("%s -c default_transaction_read_only=on", given);
}

/* The keywords of store.url, and what we add to them. */
PGconn *
pg_connect(struct pg_db *db, bool is_writer, bool blocking)
{
	const char *keys[64], *values[64];
	char addr[64], *options = NULL;
	const char *given = NULL;
	PGconn *pg;
	int n = 0;

	for (PQconninfoOption *o = db->options; o->keyword != NULL; o++)
		if (o->val != NULL && n < 56) {
			keys[n] = o->keyword;
			values[n++] = o->val;
			if (strcmp(o->keyword, "options") == 0)
				given = o->val;
		}
	if (db->base.config.read_only) {
		keys[n] = "options";
		values[n++] = options = options_read_only(given);
	}
	keys[n] = "client_encoding";
	values[n++] = "UTF8";
	keys[n] = "fallback_application_name";
	values[n++] = is_writer ? "agent-studio writer" : "agent-studio";
	if (!blocking && pg_resolve_addr(db, addr, sizeof(addr))) {
		keys[n] = "hostaddr";
		values[n++] = addr;
	}
	keys[n] = values[n] = NULL;
	pg = blocking ? PQconnectdbParams(keys, values, 0)
		      : PQconnectStartParams(keys, values, 0);
	free(options);
	PQsetNoticeProcessor(pg, notice, NULL);
	return pg;
}

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

static void
conn_timer(struct loop_timer *t)
{
	struct pg_conn *c = container_of(t, struct pg_conn, timer);

	if (c->state == PG_DOWN)
		conn_start(c);
	else if (c->state != PG_UP)
		pg_conn_lost(c, "connecting takes too long");
}

static void
timer_in(struct pg_conn *c, uint64_t ms)
{
	struct loop *loop = c->store->base.loop;

	loop_timer_set(loop, &c->timer, loop_now_ms(loop) + ms);
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
	bool was_up = c->state == PG_UP;
	char text[200];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(why, "\n"), why);
	c->state = PG_DOWN;
	conn_close(c);
	if (was_up) {
		counter_add(store_metrics()->up, -1);
		counter_add(store_metrics()->reconnects, 1);
		log_warn("store", "connection lost: %s", text);
	} else if (c->attempts++ == 0)
		log_warn("store", "cannot connect: %s", text);
	pg_owed_lost(c, text);
	pg_waiting_lost(c, text);
	if (c->attempts > 1)
		pg_resolve_again(pg_db_of(c->store->base.db));
	if (!c->store->freeing)
		timer_in(c, backoff_ms(c->attempts));
}

/* ---- Connecting ---------------------------------------------------- */

void
pg_conn_settled(struct pg_conn *c, const PGresult *res)
{
	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		log_err("store", "cannot settle the session: %s",
		    PQresultErrorMessage(res));
		return; /* the timer ends it */
	}
	loop_timer_clear(&c->timer);
	if (c->attempts > 0)
		log_info("store", "connected again");
	c->state = PG_UP;
	counter_add(store_metrics()->up, 1);
	c->attempts = 0;
	if (c->wait != NULL)
		pg_flush_later(c);
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
	c->state = PG_CONNECTING;
	c->pg = pg_connect(pg_db_of(c->store->base.db), c->is_writer, false);
	if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
		pg_conn_lost(c,
		    c->pg == NULL ? "no memory" : PQerrorMessage(c->pg));
		return;
	}
	timer_in(c, CONNECT_MS);
	/* The contract of PQconnectStart: as if it had said WRITING. */
	c->watch = loop_watch(c->store->base.loop, PQsocket(c->pg), LOOP_WRITE,
	    conn_ready, c);
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
