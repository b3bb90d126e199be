/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * One request of a plugin on PostgreSQL: its connection, its role, its
 * transaction.
 *
 * Each plugin has a schema and a role that owns it and nothing else.  Every
 * transaction takes the role and looks into that schema only.  A role can be
 * put off again by whoever connected, so the text must not be able to ask for
 * that: the scan of guest_sql.c and the extended protocol, which takes one
 * statement, see to it.
 *
 * The server ends what takes too long.  One that says nothing even then is
 * given up with its connection; nothing is cancelled, for that needs an answer,
 * too.
 */

#define ROLE_LEN 64
#define OID_BOOL 16
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_INT2 21
#define OID_INT4 23
#define OID_FLOAT4 700
#define OID_FLOAT8 701
#define OID_NUMERIC 1700

/* ---- One connection ------------------------------------------------ */

static enum as_status
guest_error(PGconn *pg, const PGresult *res, struct error *err)
{
	const char *msg = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (msg == NULL || pg_is_state(res, "57014"))
		return pg_error(pg, res, err);
	if (pg_is_state(res, "42501"))
		return error_set(err, ERR_FORBIDDEN, "%s", msg);
	if (pg_is_state(res, "23502") || pg_is_state(res, "23514"))
		return error_set(err, ERR_BAD_REQUEST, "%s", msg);
	if (pg_is_state(res, "23"))
		return error_set(err, ERR_CONFLICT, "%s", msg);
	if (pg_is_state(res, "08P01") || pg_is_state(res, "22") ||
	    pg_is_state(res, "42") || pg_is_state(res, "3F") ||
	    pg_is_state(res, "0A"))
		return error_set(err, ERR_BAD_REQUEST, "%s", msg);
	return pg_error(pg, res, err);
}

/* Our own words; out may be NULL. */
static enum as_status
say(struct pg_guest *t, const char *text, PGresult **out, struct error *err)
{
	PGresult *res = pg_last(t->pg, PQsendQuery(t->pg, text), t->until_us);
	ExecStatusType status = PQresultStatus(res);
	enum as_status st = AS_OK;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		st = pg_error(t->pg, res, err);
	if (st == AS_OK && out != NULL)
		*out = res;
	else
		PQclear(res);
	return st;
}

/* One of our own: libpq closes its own when it likes. */
static void
fd_keep(struct pg_guest *t, int fd)
{
	pthread_mutex_lock(&t->db->guests.lock);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	pthread_mutex_unlock(&t->db->guests.lock);
}

void
pg_guest_disconnect(struct pg_guest *t)
{
	fd_keep(t, -1);
	PQfinish(t->pg);
	t->pg = NULL;
	free(t->home);
	t->home = NULL;
}

static enum as_status
guest_connect(struct pg_guest *t, struct error *err)
{
	PGresult *res = NULL;
	char text[400];
	enum as_status st;

	if (t->pg != NULL && PQstatus(t->pg) == CONNECTION_OK &&
	    t->timeline == atomic_load(&t->db->timeline))
		return AS_OK;
	pg_guest_disconnect(t);
	t->timeline = atomic_load(&t->db->timeline);
	t->pg = pg_connect_blocking(t->db, PG_GUEST, err);
	if (t->pg == NULL)
		return AS_UNAVAILABLE;
	fd_keep(t, PQsocket(t->pg));
	/* So that what is sent does not wait for the server either. */
	(void)PQsetnonblocking(t->pg, 1);
	snprintf(text, sizeof(text),
	    "SELECT current_database() || '/' || current_schema(), "
	    "set_config('standard_conforming_strings', 'on', false)%s",
	    pg_session_checks(t->pg));
	st = say(t, text, &res, err);
	if (st == AS_OK)
		t->home = xstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	return st;
}

/* Of the role and its schema, which roles of the whole server must not meet. */
static void
role_name(const struct pg_guest *t, const struct guest *g, char out[ROLE_LEN])
{
	char *both = xasprintf("%s/%s", t->home, g->name);
	char hash[HASH_TEXT];

	hash_text(both, strlen(both), hash);
	free(both);
	/* After the p and the hash of the prefix, its name is harmless. */
	snprintf(out, ROLE_LEN, "as_%.12s_%.24s", hash, g->prefix + 10);
}

static enum as_status
role_take(struct pg_guest *t, const char *role, struct error *err)
{
	char text[320];
	enum as_status st;

	snprintf(text, sizeof(text),
	    "SET LOCAL search_path = \"%s\", pg_temp; SET LOCAL ROLE \"%s\"",
	    role, role);
	st = say(t, text, NULL, err);
	if (st != AS_INTERNAL)
		return st;
	return error_set(err, ERR_BAD_REQUEST,
	    "there are no tables yet: call as_db_migrate from start");
}

/* ---- Rows ---------------------------------------------------------- */

static struct json_object *
number(const char *text)
{
	long long i;
	char *end;

	if (text[strcspn(text, ".eEnN")] == '\0') {
		errno = 0;
		i = strtoll(text, &end, 10);
		if (errno == 0 && *end == '\0')
			return json_object_new_int64(i);
	}
	return jnum(strtod(text, NULL));
}

static struct json_object *
cell_to_json(const PGresult *res, int col)
{
	const char *text = PQgetvalue(res, 0, col);

	if (PQgetisnull(res, 0, col))
		return NULL;
	switch (PQftype(res, col)) {
	case OID_BOOL:
		return json_object_new_boolean(*text == 't');
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_FLOAT4:
	case OID_FLOAT8:
	case OID_NUMERIC:
		return number(text);
	default:
		return json_object_new_string_len(text,
		    PQgetlength(res, 0, col));
	}
}

static enum as_status
row_add(struct guest *g, const PGresult *res, struct error *err)
{
	struct json_object *row = jobj();
	int i, n = PQnfields(res);
	size_t bytes = 0;

	for (i = 0; i < n; i++) {
		if (PQftype(res, i) == OID_BYTEA) {
			json_object_put(row);
			return error_set(err, ERR_BAD_REQUEST,
			    "column %.60s holds bytes, not text",
			    PQfname(res, i));
		}
		bytes += 16 + (size_t)PQgetlength(res, 0, i);
		jput(row, PQfname(res, i), cell_to_json(res, i));
	}
	return guest_row_add(g, row, bytes, err);
}

/* ---- Statements ---------------------------------------------------- */

static enum as_status
result_take(struct pg_guest *t, struct guest *g, PGresult *res,
    struct error *err)
{
	switch (PQresultStatus(res)) {
	case PGRES_SINGLE_TUPLE:
		return g->kind == GUEST_QUERY ? row_add(g, res, err) : AS_OK;
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		g->changed = strtoll(PQcmdTuples(res), NULL, 10);
		return AS_OK;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		return error_set(err, ERR_FORBIDDEN, "no COPY");
	default:
		return guest_error(t->pg, res, err);
	}
}

/*
 * All results.  After a failure of ours the rest is not wanted: its connection
 * is given up.
 */
static enum as_status
results_take(struct pg_guest *t, struct store_req *r)
{
	enum as_status st = AS_OK;
	bool failed = false;
	PGresult *res;

	while (!failed && (res = pg_next(t->pg, t->until_us)) != NULL) {
		if (st == AS_OK)
			st = result_take(t, r->guest, res, &r->err);
		failed = PQstatus(t->pg) != CONNECTION_OK ||
			 (st != AS_OK &&
			     PQresultStatus(res) != PGRES_FATAL_ERROR);
		PQclear(res);
	}
	return st;
}

/* The transaction must outlive it, with its role. */
static enum as_status
guest_statement(struct pg_guest *t, struct store_req *r, int i)
{
	struct guest *g = r->guest;
	struct pg_params p;
	enum as_status st;

	pg_params_set(&p, g->args, g->n_args);
	for (int j = 0; j < g->n_args; j++)
		if (g->args[j].type == SQL_TYPE_TEXT)
			p.types[j] = 0; /* as the place wants it */
	if (g->kind == GUEST_QUERY && g->rows == NULL)
		g->rows = jarr();
	if (!PQsendQueryParams(t->pg, g->texts[i], p.n, p.types, p.values,
		p.lengths, p.formats, 0))
		return pg_error(t->pg, NULL, &r->err);
	PQsetSingleRowMode(t->pg);
	st = results_take(t, r);
	if (st == AS_OK && PQtransactionStatus(t->pg) != PQTRANS_INTRANS)
		st = error_set(&r->err, ERR_FORBIDDEN,
		    "a plugin does not end transactions");
	return st;
}

/* ---- Migrations ---------------------------------------------------- */

/*
 * The role and its schema, made at the first migration.  The lock also keeps
 * two processes from migrating at once.
 */
static enum as_status
role_make(struct pg_guest *t, const char *role, struct error *err)
{
	char *text = xasprintf(
	    "SELECT pg_advisory_xact_lock(hashtextextended('%s', 4731846203));"
	    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = "
	    "'%s') THEN CREATE ROLE \"%s\" NOLOGIN; END IF; "
	    "IF NOT pg_has_role('%s', 'USAGE') THEN GRANT \"%s\" TO "
	    "CURRENT_USER; END IF; END $$;"
	    "CREATE SCHEMA IF NOT EXISTS \"%s\" AUTHORIZATION \"%s\"",
	    role, role, role, role, role, role, role);
	PGresult *res = pg_last(t->pg, PQsendQuery(t->pg, text), t->until_us);
	enum as_status st = AS_OK;

	free(text);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		st = pg_is_state(res, "42501")
			 ? error_set(err, ERR_UNSUPPORTED,
			       "tables of plugins need a role each, and the "
			       "user of store.url may not make one: ALTER ROLE "
			       "... CREATEROLE, and GRANT CREATE ON DATABASE")
			 : pg_error(t->pg, res, err);
	PQclear(res);
	return st;
}

static enum as_status
steps_done(struct pg_guest *t, struct store_req *r, int *n)
{
	const char *values[] = { r->guest->name };
	PGresult *res = pg_last(t->pg,
	    PQsendQueryParams(t->pg,
		"SELECT sha256 FROM plugin_migrations WHERE plugin = $1 "
		"ORDER BY step",
		1, NULL, values, NULL, NULL, 0),
	    t->until_us);
	enum as_status st = AS_OK;

	*n = 0;
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		st = pg_error(t->pg, res, &r->err);
	for (; st == AS_OK && *n < PQntuples(res); ++*n)
		st = guest_step_check(r->guest, *n + 1, PQgetvalue(res, *n, 0),
		    &r->err);
	PQclear(res);
	return st;
}

static enum as_status
step_record(struct pg_guest *t, struct store_req *r, int i)
{
	const char *values[3] = { r->guest->name, NULL, r->guest->hashes[i] };
	enum as_status st;
	char step[16];
	PGresult *res;

	st = say(t, "SET LOCAL ROLE NONE; SET LOCAL search_path TO DEFAULT",
	    NULL, &r->err);
	if (st != AS_OK)
		return st;
	snprintf(step, sizeof(step), "%d", i + 1);
	values[1] = step;
	res = pg_last(t->pg,
	    PQsendQueryParams(t->pg,
		"INSERT INTO plugin_migrations (plugin, step, sha256, "
		"applied_at) VALUES ($1, $2::bigint, $3, now_us())",
		3, NULL, values, NULL, NULL, 0),
	    t->until_us);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		st = pg_error(t->pg, res, &r->err);
	PQclear(res);
	r->guest->changed = i + 1;
	return st;
}

static enum as_status
guest_migrate(struct pg_guest *t, struct store_req *r, const char *role)
{
	enum as_status st = role_make(t, role, &r->err);
	int i = 0;

	if (st == AS_OK)
		st = steps_done(t, r, &i);
	for (; st == AS_OK && i < r->guest->n_texts; i++) {
		st = role_take(t, role, &r->err);
		if (st == AS_OK)
			st = guest_statement(t, r, i);
		if (st == AS_OK)
			st = step_record(t, r, i);
	}
	return st;
}

/* ---- Requests ------------------------------------------------------ */

static enum as_status
guest_transaction(struct pg_guest *t, struct store_req *r)
{
	char text[80], role[ROLE_LEN];
	enum as_status st;

	role_name(t, r->guest, role);
	snprintf(text, sizeof(text),
	    "BEGIN; SET LOCAL statement_timeout = %lld",
	    (long long)guest_ms_left(r->guest));
	if ((st = say(t, text, NULL, &r->err)) != AS_OK)
		return st;
	if (r->guest->kind == GUEST_MIGRATE)
		st = guest_migrate(t, r, role);
	else if ((st = role_take(t, role, &r->err)) == AS_OK)
		st = guest_statement(t, r, 0);
	/* Who has left is told that the end is unknown: let it be nothing. */
	if (st == AS_OK && atomic_load(&r->dropped))
		st = AS_CANCELED;
	if (st == AS_OK) {
		st = say(t, "COMMIT", NULL, &r->err);
		if (st != AS_OK)
			store_error_unknown(&r->err);
	}
	return st;
}

void
pg_guest_run(struct pg_guest *t, struct store_req *r)
{
	if (atomic_load(&r->dropped))
		return;
	t->until_us = clock_mono_us() +
		      (guest_ms_left(r->guest) + PG_SILENCE_MS) * 1000;
	r->status = guest_connect(t, &r->err);
	if (r->status == AS_OK)
		r->status = guest_transaction(t, r);
	if (t->pg != NULL && PQtransactionStatus(t->pg) != PQTRANS_IDLE &&
	    say(t, "ROLLBACK", NULL, NULL) != AS_OK)
		pg_guest_disconnect(t);
	/* It may be a server that writes no more: the next one looks again. */
	if (r->status == AS_UNAVAILABLE)
		pg_guest_disconnect(t);
}
