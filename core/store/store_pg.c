/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The PostgreSQL database: one connection for blocking use, and for each loop
 * some that read and some that write.  Reads and writes do not share one,
 * because all answers of a connection come in order.
 */

/* ---- Blocking ------------------------------------------------------ */

/* A lost connection is made anew at the next use. */
static enum as_status
admin_ready(struct pg_db *db, struct error *err)
{
	if (db->admin != NULL && PQstatus(db->admin) == CONNECTION_OK)
		return AS_OK;
	PQfinish(db->admin);
	db->admin = pg_connect_blocking(db, PG_ADMIN, err);
	return db->admin != NULL ? AS_OK : AS_UNAVAILABLE;
}

static enum as_status
admin_result(struct pg_db *db, PGresult *res, struct rows **out,
    struct error *err)
{
	ExecStatusType status = PQresultStatus(res);
	enum as_status st;

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		*out = pg_rows(res);
		return AS_OK;
	}
	st = pg_error(db->admin, res, err);
	if (pg_is_state(res, "25006") && !db->base.config.read_only) {
		PQfinish(db->admin);
		db->admin = NULL;
	}
	PQclear(res);
	return st;
}

static enum as_status
pg_run_blocking(struct store_db *base, const char *text,
    const struct sql_arg *args, int n_args, struct rows **out,
    struct error *err)
{
	struct pg_db *db = pg_db_of(base);
	struct pg_params p;
	enum as_status st;

	MUST(n_args <= STORE_ARGS_MAX);
	pg_params_set(&p, args, n_args);
	pthread_mutex_lock(&db->lock);
	if ((st = admin_ready(db, err)) == AS_OK)
		st = admin_result(db,
		    PQexecParams(db->admin, text, p.n, p.types, p.values,
			p.lengths, p.formats, 1),
		    out, err);
	pthread_mutex_unlock(&db->lock);
	return st;
}

static enum as_status
pg_run_script(struct store_db *base, const char *text, struct error *err)
{
	struct pg_db *db = pg_db_of(base);
	struct rows *rows = NULL;
	enum as_status st;

	pthread_mutex_lock(&db->lock);
	if ((st = admin_ready(db, err)) == AS_OK)
		st = admin_result(db, PQexec(db->admin, text), &rows, err);
	pthread_mutex_unlock(&db->lock);
	rows_free(rows);
	return st;
}

/*
 * The clock is a function of the database.  Replacing its body costs nothing
 * where it is not done; PostgreSQL plans statements anew that had inlined it.
 */
static enum as_status
pg_clock_set(struct store_db *base, int64_t us)
{
	char text[256];

	if (us == 0)
		snprintf(text, sizeof(text),
		    "CREATE OR REPLACE FUNCTION now_us() RETURNS bigint "
		    "LANGUAGE sql STABLE AS 'SELECT (extract(epoch FROM "
		    "statement_timestamp()) * 1000000)::bigint'");
	else
		snprintf(text, sizeof(text),
		    "CREATE OR REPLACE FUNCTION now_us() RETURNS bigint "
		    "LANGUAGE sql STABLE AS 'SELECT %lld::bigint'",
		    (long long)us);
	return pg_run_script(base, text, NULL);
}

/* ---- Database ------------------------------------------------------ */

static void
db_close(struct store_db *base)
{
	struct pg_db *db = pg_db_of(base);

	pg_guests_fini(db);
	pg_places_fini(db);
	PQfinish(db->admin);
	PQconninfoFree(db->options);
	pthread_mutex_destroy(&db->lock);
	store_config_free(&db->base.config);
	free(db);
}

static enum as_status
db_open(const struct store_config *config, struct store_db **out,
    struct error *err)
{
	struct pg_db *db = xcalloc(1, sizeof(*db));
	char *why = NULL;
	enum as_status st;

	db->base.driver = &store_postgres;
	db->base.dialect = STORE_POSTGRES;
	store_config_copy(&db->base.config, config);
	pthread_mutex_init(&db->lock, NULL);
	pg_guests_init(db);
	db->options = PQconninfoParse(config->url, &why);
	st = pg_places_init(db, err);
	if (db->options == NULL)
		st = error_set(err, ERR_VALIDATION_FAILED, "store.url: %.*s",
		    why == NULL ? 0 : (int)strcspn(why, "\n"), why);
	else if (st == AS_OK)
		st = pg_look_first(db, err);
	PQfreemem(why);
	if (st == AS_OK)
		*out = &db->base;
	else
		db_close(&db->base);
	return st;
}

/* ---- A loop's view ------------------------------------------------- */

void
pg_refuse(struct store_req *r, const char *why)
{
	struct json_object *extra = r->err.extra;

	r->err.extra = NULL;
	r->status = error_set(&r->err, ERR_UNAVAILABLE, "database: %s", why);
	r->err.extra = extra;
	r->err.retry_after_ms = 1000;
	store_req_end(r);
}

static struct store *
pg_new(struct store_db *base, struct loop *loop)
{
	unsigned n_readers = base->config.readers;
	unsigned n = n_readers + base->config.writers;
	struct pg_store *s = xcalloc(1,
	    sizeof(*s) + n * sizeof(struct pg_conn));

	s->base.db = base;
	s->base.loop = loop;
	s->n_conns = n;
	s->n_readers = n_readers;
	for (unsigned i = 0; i < n; i++)
		pg_conn_init(&s->conns[i], s, i >= n_readers);
	return &s->base;
}

static void
pg_free(struct store *base)
{
	struct pg_store *s = pg_store_of(base);

	s->freeing = true;
	pg_guests_settle(s);
	for (unsigned i = 0; i < s->n_conns; i++)
		pg_conn_fini(&s->conns[i]);
	free(s);
}

static bool
pg_is_up(const struct store *base)
{
	const struct pg_store *s = (const struct pg_store *)(const void *)base;
	bool reads = false, writes = false;

	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conns[i].state == PG_UP) {
			if (s->conns[i].is_writer)
				writes = true;
			else
				reads = true;
		}
	return reads && writes;
}

/* It serves, or it may do so soon. */
static bool
conn_has_hope(const struct pg_conn *c)
{
	return c->state == PG_UP ||
	       c->attempts < pg_places_count(pg_db_of(c->store->base.db));
}

static unsigned
conn_load(const struct pg_conn *c)
{
	unsigned n = c->n_wait + c->n_sent;

	if (c->state != PG_UP)
		n += conn_has_hope(c) ? 100000 : 1000000;
	return n;
}

/*
 * Writes that begin with the same id go the same way, so that they wait in a
 * queue of ours instead of for each other's locks.  Others, and reads, go
 * where the least waits.
 */
static void
pg_submit(struct store *base, struct store_req *r)
{
	struct pg_store *s = pg_store_of(base);
	unsigned from = r->is_write ? s->n_readers : 0;
	unsigned to = r->is_write ? s->n_conns : s->n_readers;
	struct pg_conn *best = &s->conns[from], *c;

	if (r->guest != NULL) {
		pg_guests_push(s, r);
		return;
	}
	for (unsigned i = from + 1; i < to; i++)
		if (conn_load(&s->conns[i]) < conn_load(best))
			best = &s->conns[i];
	if (r->is_write && r->key != 0) {
		c = &s->conns[from + r->key % (to - from)];
		if (c->state == PG_UP)
			best = c;
	}
	if (r->queued_us == 0)
		r->queued_us = clock_mono_us();
	if (conn_has_hope(best))
		pg_push(best, r);
	else
		pg_refuse(r, "not connected");
}

static bool
pg_is_read_only(const struct store *base)
{
	const struct pg_store *s = (const struct pg_store *)(const void *)base;
	bool met = false;

	for (unsigned i = s->n_readers; i < s->n_conns; i++)
		met |= s->conns[i].met_read_only;
	return met;
}

static unsigned
pg_timeline(const struct store_db *base)
{
	return atomic_load(&pg_db_const(base)->timeline);
}

static enum store_standby
pg_standby(const struct store_db *base)
{
	return (enum store_standby)atomic_load(&pg_db_const(base)->standby);
}

const struct store_driver store_postgres = {
	.open = db_open,
	.close = db_close,
	.new = pg_new,
	.free = pg_free,
	.is_up = pg_is_up,
	.submit = pg_submit,
	.run = pg_run_blocking,
	.script = pg_run_script,
	.clock_set = pg_clock_set,
	.is_read_only = pg_is_read_only,
	.timeline = pg_timeline,
	.look = pg_look,
	.standby = pg_standby,
};
