/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_sqlite.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * Statements of plugins on SQLite: on a connection of their own, whose
 * authorizer asks for each table and function whether it is the plugin's.
 * Reads run on the reader threads; writes on the thread that writes, between
 * two commits of ours, so that nobody waits for a lock.
 */

/* ---- The second wall ----------------------------------------------- */

static bool
is_own(const struct lite_conn *c, const char *name)
{
	const char *prefix = c->guest->prefix;

	return name != NULL && strncasecmp(name, prefix, strlen(prefix)) == 0;
}

/* What SQLite itself does to its catalogue while a table is defined. */
static bool
is_catalogue(const struct lite_conn *c, const char *name)
{
	return c->guest_defines && name != NULL &&
	       (strcmp(name, "sqlite_master") == 0 ||
		   strcmp(name, "sqlite_sequence") == 0 ||
		   strcmp(name, "sqlite_temp_master") == 0);
}

/* CREATE TABLE ... AS reads rows, and 'sqlite_master' may be a name there. */
static bool
may_read(const struct lite_conn *c, const char *table, const char *column)
{
	return is_own(c, table) ||
	       (is_catalogue(c, table) &&
		   (!c->guest_creates || strcmp(column, "ROWID") == 0));
}

static bool
is_function(const struct lite_conn *c, const char *name)
{
	char lower[64] = "";
	size_t i;

	for (i = 0; name[i] != '\0' && i < sizeof(lower) - 1; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	if (guest_function_is_known(lower) || strcmp(lower, "like") == 0)
		return true;
	/* The text has no such name: it is SQLite that renames. */
	return c->guest_defines && (strncmp(lower, "sqlite_", 7) == 0 ||
				       strcmp(lower, "printf") == 0);
}

static bool
is_allowed(const struct lite_conn *c, int action, const char *a, const char *b)
{
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return true;
	case SQLITE_READ:
		return may_read(c, a, b);
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE:
		return is_own(c, a) || is_catalogue(c, a);
	case SQLITE_FUNCTION:
		return is_function(c, b);
	case SQLITE_CREATE_TABLE:
	case SQLITE_DROP_TABLE:
	case SQLITE_REINDEX:
		return c->guest_defines && is_own(c, a);
	case SQLITE_ALTER_TABLE: /* a is the database */
		return c->guest_defines && is_own(c, b);
	case SQLITE_CREATE_INDEX: /* b is the table; SQLite names some itself */
	case SQLITE_DROP_INDEX:
		return c->guest_defines && is_own(c, b) &&
		       (is_own(c, a) ||
			   strncmp(a, "sqlite_autoindex_", 17) == 0);
	default:
		return false;
	}
}

static int
authorize(void *arg, int action, const char *a, const char *b, const char *db,
    const char *by)
{
	struct lite_conn *c = arg;
	bool is_main;

	if (action == SQLITE_ALTER_TABLE) /* its db is a column */
		db = a;
	is_main = db == NULL || strcmp(db, "main") == 0;
	(void)by; /* a WITH; there are no views and no triggers */
	/* Our own BEGIN and COMMIT. */
	if (c->guest == NULL)
		return SQLITE_OK;
	if ((is_main || is_catalogue(c, a)) && is_allowed(c, action, a, b))
		return SQLITE_OK;
	return SQLITE_DENY;
}

enum as_status
lite_guest_ready(struct lite_db *db, struct lite_conn **c, struct error *err)
{
	enum as_status st;

	if (*c != NULL)
		return AS_OK;
	st = lite_conn_open(db, LITE_GUEST, c, err);
	if (st != AS_OK)
		return st;
	sqlite3_limit((*c)->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_set_authorizer((*c)->db, authorize, *c);
	return AS_OK;
}

/* ---- Statements ---------------------------------------------------- */

static enum as_status
guest_error(struct lite_conn *c, int rc, struct error *err)
{
	const char *msg = sqlite3_errmsg(c->db);

	switch (rc & 0xff) {
	case SQLITE_AUTH:
		return error_set(err, ERR_FORBIDDEN, "%s", msg);
	case SQLITE_ERROR:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return error_set(err, ERR_BAD_REQUEST, "%s", msg);
	case SQLITE_TOOBIG:
		return error_set(err, ERR_TOO_LARGE, "%s", msg);
	case SQLITE_CONSTRAINT:
		if (rc == SQLITE_CONSTRAINT_NOTNULL ||
		    rc == SQLITE_CONSTRAINT_CHECK ||
		    rc == SQLITE_CONSTRAINT_DATATYPE)
			return error_set(err, ERR_BAD_REQUEST, "%s", msg);
		return error_set(err, ERR_CONFLICT, "%s", msg);
	default:
		return lite_error(c, rc, err);
	}
}

static struct json_object *
cell_to_json(sqlite3_stmt *st, int i, size_t *bytes)
{
	const char *type = sqlite3_column_decltype(st, i);

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		if (type != NULL && strncasecmp(type, "bool", 4) == 0)
			return json_object_new_boolean(
			    sqlite3_column_int(st, i));
		return json_object_new_int64(sqlite3_column_int64(st, i));
	case SQLITE_FLOAT:
		return jnum(sqlite3_column_double(st, i));
	case SQLITE_TEXT:
		*bytes += (size_t)sqlite3_column_bytes(st, i);
		return json_object_new_string_len((const char *)
						      sqlite3_column_text(st,
							  i),
		    sqlite3_column_bytes(st, i));
	default:
		return NULL;
	}
}

static enum as_status
guest_row(struct guest *g, sqlite3_stmt *st, struct error *err)
{
	struct json_object *row = jobj();
	int i, n = sqlite3_column_count(st);
	size_t bytes = 0;

	for (i = 0; i < n; i++) {
		if (sqlite3_column_type(st, i) == SQLITE_BLOB) {
			json_object_put(row);
			return error_set(err, ERR_BAD_REQUEST,
			    "column %.60s holds bytes, not text",
			    sqlite3_column_name(st, i));
		}
		bytes += 16;
		jput(row, sqlite3_column_name(st, i),
		    cell_to_json(st, i, &bytes));
	}
	return guest_row_add(g, row, bytes, err);
}

static enum as_status
guest_step_rows(struct lite_conn *c, struct store_req *r, sqlite3_stmt *st)
{
	struct guest *g = r->guest;
	enum as_status status = AS_OK;
	int rc;

	if (g->kind == GUEST_QUERY && g->rows == NULL)
		g->rows = jarr();
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && status == AS_OK)
		if (g->kind == GUEST_QUERY)
			status = guest_row(g, st, &r->err);
	if (status == AS_OK && rc != SQLITE_DONE)
		status = guest_error(c, rc, &r->err);
	if (!sqlite3_stmt_readonly(st))
		g->changed = lite_changes(c);
	return status;
}

static enum as_status
guest_prepare(struct lite_conn *c, struct store_req *r, int i,
    sqlite3_stmt **out)
{
	const char *text = r->guest->texts[i];
	int rc;

	c->guest = r->guest;
	c->guest_creates = strncasecmp(text, "create", 6) == 0;
	c->guest_defines = r->guest->kind == GUEST_MIGRATE &&
			   (c->guest_creates ||
			       strncasecmp(text, "alter", 5) == 0 ||
			       strncasecmp(text, "drop", 4) == 0);
	rc = sqlite3_prepare_v2(c->db, text, -1, out, NULL);
	c->guest = NULL;
	return rc == SQLITE_OK ? AS_OK : guest_error(c, rc, &r->err);
}

static enum as_status
guest_params(struct lite_conn *c, struct store_req *r, sqlite3_stmt *st)
{
	int n = sqlite3_bind_parameter_count(st);

	if (n != r->guest->n_args)
		return error_set(&r->err, ERR_BAD_REQUEST,
		    "%d parameters given, the statement has %d",
		    r->guest->n_args, n);
	return lite_bind_all(c, st, r->guest->args, n, &r->err);
}

/* may_write false: only what reads is run. */
static enum as_status
guest_statement(struct lite_conn *c, struct store_req *r, int i, bool may_write)
{
	sqlite3_stmt *st = NULL;
	enum as_status status = guest_prepare(c, r, i, &st);

	if (status == AS_OK)
		status = guest_params(c, r, st);
	if (status == AS_OK && !may_write && !sqlite3_stmt_readonly(st))
		r->guest->needs_write = true;
	else if (status == AS_OK) {
		/* It may be compiled again while it runs. */
		c->guest = r->guest;
		status = guest_step_rows(c, r, st);
		c->guest = NULL;
	}
	sqlite3_finalize(st);
	return status;
}

/* ---- Migrations ---------------------------------------------------- */

static enum as_status
steps_done(struct lite_conn *c, struct store_req *r, int *n)
{
	struct sql_arg arg = sql_text(r->guest->name);
	struct rows *rows = NULL;
	enum as_status st = lite_once(c,
	    "SELECT step, sha256 FROM plugin_migrations WHERE plugin = $1 "
	    "ORDER BY step",
	    &arg, 1, &rows, &r->err);

	*n = rows_count(rows);
	for (int i = 0; st == AS_OK && i < *n; i++)
		st = guest_step_check(r->guest, i + 1, rows_text(rows, i, 1),
		    &r->err);
	rows_free(rows);
	return st;
}

static enum as_status
guest_migrate(struct lite_conn *c, struct store_req *r)
{
	struct guest *g = r->guest;
	enum as_status st;
	int i;

	st = steps_done(c, r, &i);
	for (; st == AS_OK && i < g->n_texts; i++) {
		struct sql_arg args[] = { sql_text(g->name), SQL_INT(i + 1),
			sql_text(g->hashes[i]) };

		st = guest_statement(c, r, i, true);
		if (st == AS_OK)
			st = lite_once(c,
			    "INSERT INTO plugin_migrations "
			    "(plugin, step, sha256, applied_at) "
			    "VALUES ($1, $2, $3, now_us())",
			    args, 3, NULL, &r->err);
		if (st == AS_OK)
			g->changed = i + 1;
	}
	return st;
}

/* ---- Requests ------------------------------------------------------ */

static void
guest_begin(struct lite_conn *c, struct store_req *r, int64_t max_ms)
{
	int64_t ms = guest_ms_left(r->guest);

	c->dropped = &r->dropped;
	c->timeout_us = (ms < max_ms ? ms : max_ms) * 1000;
	c->give_up_us = clock_mono_us() + c->timeout_us;
}

void
lite_guest_read(struct lite_db *db, struct lite_conn **c, struct store_req *r)
{
	if (atomic_load(&r->dropped))
		return;
	if ((r->status = lite_guest_ready(db, c, &r->err)) != AS_OK)
		return;
	guest_begin(*c, r, db->base.config.statement_timeout_ms);
	r->status = guest_statement(*c, r, 0, false);
	(*c)->dropped = NULL;
}

void
lite_guest_write(struct lite_db *db, struct lite_conn **c, struct store_req *r)
{
	if (atomic_load(&r->dropped))
		return;
	if ((r->status = lite_guest_ready(db, c, &r->err)) != AS_OK)
		return;
	guest_begin(*c, r, GUEST_WRITE_MS);
	r->status = lite_script(*c, "BEGIN IMMEDIATE", &r->err);
	if (r->status == AS_OK)
		r->status = r->guest->kind == GUEST_MIGRATE
				? guest_migrate(*c, r)
				: guest_statement(*c, r, 0, true);
	/* Who has left is told that the end is unknown: let it be nothing. */
	if (r->status == AS_OK && atomic_load(&r->dropped))
		r->status = AS_CANCELED;
	(*c)->dropped = NULL;
	if (r->status == AS_OK)
		r->status = lite_script(*c, "COMMIT", &r->err);
	if (lite_tx_is_open(*c))
		lite_script(*c, "ROLLBACK", NULL);
}
