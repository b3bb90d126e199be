/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * One connection to SQLite: its pragmas, its prepared statements, and how one
 * statement runs.  A statement is never left open: it is reset before its rows
 * are handed on, so no connection holds a snapshot between statements.
 */

#define STEPS_PER_CHECK 200 /* virtual machine steps */
#define CHECKS_ON_LOOP 100 /* 20,000 steps: well under a millisecond */
#define VALUE_MAX (64 * 1024 * 1024)

struct lite_test lite_test;

/* ---- now_us() ------------------------------------------------------ */

static void
lite_now_us(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct lite_conn *c = sqlite3_user_data(ctx);

	(void)argc;
	(void)argv;
	if (c->now == 0) {
		c->now = atomic_load(c->clock);
		if (c->now == 0)
			c->now = clock_wall_us() + FAILPOINT_CLOCK_US();
	}
	sqlite3_result_int64(ctx, c->now);
}

/* ---- Errors -------------------------------------------------------- */

/* "UNIQUE constraint failed: t.a, t.b" to PostgreSQL's name, t_a_b_key. */
static void
lite_constraint(const char *msg, int rc, char *out, size_t size)
{
	const char *p = strstr(msg, "failed: "), *dot;
	size_t n = 0;

	out[0] = '\0';
	if (rc == SQLITE_CONSTRAINT_FOREIGNKEY)
		snprintf(out, size, "foreign_key");
	if (p == NULL)
		return;
	p += 8;
	if (sscanf(p, "index '%63[^']'", out) == 1)
		return;
	dot = strchr(p, '.');
	if (dot == NULL)
		return;
	n = (size_t)snprintf(out, size, "%.*s", (int)(dot - p), p);
	if (rc != SQLITE_CONSTRAINT_UNIQUE) {
		snprintf(out + n, n < size ? size - n : 0, "_pkey");
		return;
	}
	for (; dot != NULL && n < size; dot = strchr(dot + 1, '.'))
		n += (size_t)snprintf(out + n, size - n, "_%.*s",
		    (int)strcspn(dot + 1, ","), dot + 1);
	snprintf(out + n, n < size ? size - n : 0, "_key");
}

static enum as_status
lite_conflict(const char *msg, int rc, struct error *err)
{
	char name[64];

	lite_constraint(msg, rc, name, sizeof(name));
	return store_conflict(err, name, msg);
}

enum as_status
lite_error(struct lite_conn *c, int rc, struct error *err)
{
	const char *msg = sqlite3_errmsg(c->db);

	switch (rc) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return lite_conflict(msg, rc, err);
	default:
		break;
	}
	switch (rc & 0xff) {
	case SQLITE_INTERRUPT:
		return error_set(err, ERR_TIMEOUT,
		    "the statement took too long");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		error_set(err, ERR_UNAVAILABLE, "database: %s", msg);
		if (err != NULL)
			err->retry_after_ms = 1000;
		return AS_UNAVAILABLE;
	default:
		return error_set(err, ERR_INTERNAL, "database: %s (%d)", msg,
		    rc);
	}
}

/* ---- Statements ---------------------------------------------------- */

/* Before each statement: its time, and what it may cost. */
static void
lite_begin(struct lite_conn *c)
{
	c->now = 0;
	c->steps_left = CHECKS_ON_LOOP;
	c->out_of_steps = false;
	if (c->timeout_us > 0)
		c->give_up_us = clock_mono_us() + c->timeout_us;
}

static enum as_status
lite_prepare(struct lite_conn *c, const char *text, unsigned flags,
    sqlite3_stmt **out, struct error *err)
{
	const char *tail = NULL;
	int rc = sqlite3_prepare_v3(c->db, text, -1, flags, out, &tail);

	if (rc != SQLITE_OK) {
		if ((rc & 0xff) == SQLITE_ERROR)
			log_err("store", "%s in: %.400s", sqlite3_errmsg(c->db),
			    text);
		return lite_error(c, rc, err);
	}
	if (*out != NULL && tail[strspn(tail, " \t\r\n;")] == '\0')
		return AS_OK;
	sqlite3_finalize(*out);
	*out = NULL;
	return error_set(err, ERR_INTERNAL,
	    "database: expected one statement in: %.100s", text);
}

/* $N is a named parameter to SQLite, numbered by where it appears first. */
static void
lite_index(struct lite_stmt *s)
{
	char name[16];

	s->n_params = sqlite3_bind_parameter_count(s->st);
	for (int i = 0; i < STORE_ARGS_MAX; i++) {
		snprintf(name, sizeof(name), "$%d", i + 1);
		s->index[i] = (unsigned char)sqlite3_bind_parameter_index(s->st,
		    name);
	}
}

static enum as_status
lite_cached(struct lite_conn *c, const struct store_call *call,
    struct lite_stmt **out, struct error *err)
{
	unsigned n = c->n_stmts;
	struct lite_stmt *s;
	enum as_status st;

	if (call->id >= n) {
		c->n_stmts = call->id + 32;
		c->stmts = xrealloc(c->stmts, c->n_stmts * sizeof(*c->stmts));
		memset(c->stmts + n, 0, (c->n_stmts - n) * sizeof(*c->stmts));
	}
	s = *out = &c->stmts[call->id];
	if (s->st != NULL)
		return AS_OK;
	st = lite_prepare(c, store_sql_text(call->sql, STORE_SQLITE),
	    SQLITE_PREPARE_PERSISTENT, &s->st, err);
	if (st == AS_OK)
		lite_index(s);
	return st;
}

static int
lite_bind_one(sqlite3_stmt *st, int i, const struct sql_arg *a)
{
	switch (a->type) {
	case SQL_TYPE_NULL:
		return sqlite3_bind_null(st, i);
	case SQL_TYPE_INT:
		return sqlite3_bind_int64(st, i, a->v.i);
	case SQL_TYPE_BOOL:
		return sqlite3_bind_int(st, i, a->v.i != 0);
	case SQL_TYPE_NUM:
		return sqlite3_bind_double(st, i, a->v.n);
	case SQL_TYPE_TEXT:
		return sqlite3_bind_text64(st, i, a->v.p, a->len, SQLITE_STATIC,
		    SQLITE_UTF8);
	case SQL_TYPE_BYTES:
		return sqlite3_bind_blob64(st, i, a->len == 0 ? "" : a->v.p,
		    a->len, SQLITE_STATIC);
	case SQL_TYPE_UUID:
		return sqlite3_bind_blob(st, i, a->v.u.b, sizeof(a->v.u.b),
		    SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

static enum as_status
lite_bind(struct lite_conn *c, struct lite_stmt *s, const struct sql_arg *args,
    int n_args, struct error *err)
{
	int rc, bound = 0;

	for (int i = 0; i < n_args; i++) {
		if (s->index[i] == 0)
			continue;
		bound++;
		rc = lite_bind_one(s->st, s->index[i], &args[i]);
		if (rc != SQLITE_OK)
			return lite_error(c, rc, err);
	}
	if (bound == s->n_params)
		return AS_OK;
	return error_set(err, ERR_INTERNAL,
	    "database: %d of %d parameters given in: %.100s", bound,
	    s->n_params, sqlite3_sql(s->st));
}

enum as_status
lite_bind_all(struct lite_conn *c, sqlite3_stmt *st, const struct sql_arg *args,
    int n_args, struct error *err)
{
	struct lite_stmt s = { .st = st };

	lite_index(&s);
	return lite_bind(c, &s, args, n_args, err);
}

/* ---- Rows ---------------------------------------------------------- */

static void
lite_add_cell(struct rows *r, sqlite3_stmt *st, int i)
{
	const void *p;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		rows_add_int(r, sqlite3_column_int64(st, i));
		break;
	case SQLITE_FLOAT:
		rows_add_num(r, sqlite3_column_double(st, i));
		break;
	case SQLITE_TEXT:
		p = sqlite3_column_text(st, i);
		rows_add_copy(r, SQL_TYPE_TEXT, p,
		    (size_t)sqlite3_column_bytes(st, i));
		break;
	case SQLITE_BLOB:
		p = sqlite3_column_blob(st, i);
		rows_add_copy(r, SQL_TYPE_BYTES, p,
		    (size_t)sqlite3_column_bytes(st, i));
		break;
	default:
		rows_add_null(r);
	}
}

/* out may be NULL: nobody wants the rows. */
static int
lite_step_all(struct lite_conn *c, sqlite3_stmt *st, struct rows **out)
{
	int n = sqlite3_column_count(st), rc;
	int64_t n_rows = 0;
	struct rows *r;

	if (out == NULL) {
		do
			rc = sqlite3_step(st);
		while (rc == SQLITE_ROW);
		return rc;
	}
	r = rows_new(n);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		for (int i = 0; i < n; i++)
			lite_add_cell(r, st, i);
		n_rows++;
	}
	rows_end(r,
	    sqlite3_stmt_readonly(st) ? n_rows : sqlite3_changes64(c->db));
	*out = r;
	return rc;
}

static enum as_status
lite_run(struct lite_conn *c, struct lite_stmt *s, const struct sql_arg *args,
    int n_args, struct rows **out, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st;
	int rc;

	st = lite_bind(c, s, args, n_args, err);
	if (st == AS_OK) {
		rc = lite_step_all(c, s->st, out != NULL ? &rows : NULL);
		if (rc != SQLITE_DONE)
			st = lite_error(c, rc, err);
	}
	sqlite3_reset(s->st);
	sqlite3_clear_bindings(s->st);
	if (st == AS_OK && out != NULL)
		*out = rows;
	else
		rows_free(rows);
	return st;
}

int64_t
lite_changes(const struct lite_conn *c)
{
	return sqlite3_changes64(c->db);
}

enum as_status
lite_call(struct lite_conn *c, const struct store_call *call, struct rows **out,
    struct error *err)
{
	struct lite_stmt *s;
	enum as_status st;

	lite_begin(c);
	st = lite_cached(c, call, &s, err);
	if (st != AS_OK)
		return st;
	return lite_run(c, s, call->args, call->n_args, out, err);
}

enum as_status
lite_once(struct lite_conn *c, const char *text, const struct sql_arg *args,
    int n_args, struct rows **out, struct error *err)
{
	struct lite_stmt s = { 0 };
	enum as_status st;

	lite_begin(c);
	st = lite_prepare(c, text, 0, &s.st, err);
	if (st != AS_OK)
		return st;
	lite_index(&s);
	st = lite_run(c, &s, args, n_args, out, err);
	sqlite3_finalize(s.st);
	return st;
}

enum as_status
lite_script(struct lite_conn *c, const char *text, struct error *err)
{
	int rc;

	lite_begin(c);
	rc = sqlite3_exec(c->db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? AS_OK : lite_error(c, rc, err);
}

/* ---- Connection ---------------------------------------------------- */

/* Called every STEPS_PER_CHECK steps; true interrupts the statement. */
static int
lite_progress(void *arg)
{
	struct lite_conn *c = arg;

	if (c->role == LITE_LOOP) {
		if (--c->steps_left > 0)
			return 0;
		c->out_of_steps = true;
		return 1;
	}
	if (c->dropped != NULL && atomic_load(c->dropped))
		return 1;
	return c->timeout_us > 0 && clock_mono_us() > c->give_up_us;
}

static enum as_status
lite_pragmas(struct lite_conn *c, struct error *err)
{
	const char *sync = lite_test.synchronous;
	enum as_status st = AS_OK;
	char text[64];

	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	/* The loop never waits: what is busy goes to a reader thread. */
	sqlite3_busy_timeout(c->db, c->role == LITE_LOOP ? 0 : 5000);
	snprintf(text, sizeof(text), "PRAGMA synchronous=%s",
	    sync == NULL ? "FULL" : sync);
	if (c->role == LITE_ADMIN && !c->read_only)
		st = lite_script(c, "PRAGMA journal_mode=WAL", err);
	if (st == AS_OK)
		st = lite_script(c, text, err);
	if (st == AS_OK)
		st = lite_script(c,
		    "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
		    "PRAGMA cache_size=-8192;"
		    "PRAGMA wal_autocheckpoint=4000;"
		    "PRAGMA journal_size_limit=67108864",
		    err);
	if (st == AS_OK &&
	    (c->read_only || c->role == LITE_READER || c->role == LITE_LOOP))
		st = lite_script(c, "PRAGMA query_only=ON", err);
	return st;
}

enum as_status
lite_conn_open(struct lite_db *db, enum lite_role role, struct lite_conn **out,
    struct error *err)
{
	struct lite_conn *c = xcalloc(1, sizeof(*c));
	int how = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	enum as_status st;
	int rc;

	*out = NULL;
	c->role = role;
	c->read_only = db->base.config.read_only;
	c->clock = &db->clock;
	if (c->read_only)
		how = SQLITE_OPEN_READONLY;
	rc = sqlite3_open_v2(db->path, &c->db, how | SQLITE_OPEN_NOMUTEX,
	    lite_test.vfs);
	if (rc != SQLITE_OK) {
		st = error_set(err, ERR_UNAVAILABLE, "cannot open %s: %s",
		    db->path,
		    c->db == NULL ? "no memory" : sqlite3_errmsg(c->db));
		lite_conn_close(c);
		return st;
	}
	st = lite_pragmas(c, err);
	if (st == AS_OK && sqlite3_create_function_v2(c->db, "now_us", 0,
			       SQLITE_UTF8 | SQLITE_INNOCUOUS, c, lite_now_us,
			       NULL, NULL, NULL) != SQLITE_OK)
		st = lite_error(c, SQLITE_ERROR, err);
	if (st != AS_OK) {
		lite_conn_close(c);
		return st;
	}
	if (role == LITE_READER || role == LITE_WRITER)
		c->timeout_us = db->base.config.statement_timeout_ms * 1000;
	if (role != LITE_ADMIN)
		sqlite3_progress_handler(c->db, STEPS_PER_CHECK, lite_progress,
		    c);
	*out = c;
	return AS_OK;
}

void
lite_conn_close(struct lite_conn *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->n_stmts; i++)
		sqlite3_finalize(c->stmts[i].st);
	sqlite3_close(c->db);
	free(c->stmts);
	free(c);
}
