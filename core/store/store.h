/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_STORE_H
#define CORE_STORE_STORE_H

/*
 * SQL, on either of two databases.
 *
 * A statement is a static struct sql: one text with $1 parameters that both
 * dialects take, or one text for each.  It is prepared once a connection.
 * One request is one atomic unit; there is no open transaction between
 * requests, so nothing ever suspends inside one.
 *
 * AS_OK of a write means durable: it has been committed and synced.  TIMEOUT
 * and CANCELED of a write mean unknown: so every write carries a compare-and-
 * set or an idempotency key.  Writes of many fibers share a commit; one that
 * fails does not harm its neighbours.
 *
 * SQL may call now_us(): microseconds UTC of the database's clock, which tests
 * can set (store_clock_set).  Times are BIGINT microseconds, ids UUIDs (uuid on
 * PostgreSQL, BLOB(16) on SQLite), JSON is text, booleans are booleans.
 *
 * One struct store a loop; all functions on that loop's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/loop/fiber.h"

struct arena;
struct pool;
struct store;
struct store_db; /* one database, shared by the stores of all loops */

enum store_dialect {
	STORE_SQLITE = 1,
	STORE_POSTGRES
};

struct store_config {
	/* "sqlite:/path/file.db", or a libpq URI or conninfo string. */
	const char *url;
	const char *migrations_dir; /* holds sqlite/ and postgres/ */
	unsigned readers; /* PostgreSQL: connections a loop; SQLite: threads */
	unsigned writers; /* a loop; PostgreSQL only (SQLite has one) */
	unsigned batch_max; /* writes that share a commit; default 64 */
	int64_t statement_timeout_ms; /* default 10,000 */
	const char *name; /* PostgreSQL: of the process; NULL: agent-studio */
	/*
	 * Nothing can be written, and the database says so itself.  SQLite: the
	 * file must be there; it is not locked, a server may be at work on it.
	 */
	bool read_only;
};

/* Always static: what is prepared for it is kept. */
struct sql {
	const char *text; /* both dialects; or NULL and the two below */
	const char *sqlite;
	const char *postgres;
	/*
	 * PostgreSQL, writes: a statement over a set of requests.  Each
	 * parameter is an array with an element a request, each argument has a
	 * type, and the answer is a row for each request that it did something
	 * for: its place in the arrays, from 1.  Requests of one statement that
	 * wait together become one execution of it; to its caller each one is
	 * alone and gets one row or none.
	 */
	bool is_set;
	/* The store's own: a small number given at first use. */
	unsigned id_;
};

#define SQL(name, t) static struct sql name = { .text = (t) }
#define SQL_BOTH(name, lite, pg) \
	static struct sql name = { .sqlite = (lite), .postgres = (pg) }

enum sql_type {
	SQL_TYPE_NULL = 0,
	SQL_TYPE_INT,
	SQL_TYPE_NUM,
	SQL_TYPE_BOOL,
	SQL_TYPE_TEXT,
	SQL_TYPE_BYTES,
	SQL_TYPE_UUID
};

/*
 * Copied before the function first suspends.  A text has no U+0000 (INVALID).
 * PostgreSQL takes the type of a parameter from its argument; SQL_NULL has
 * none, the functions below know which one it would have been.
 */
struct sql_arg {
	enum sql_type type;
	size_t len;
	union {
		int64_t i;
		double n;
		const void *p;
		struct uuid u;
	} v;
};

#define SQL_NULL ((struct sql_arg){ .type = SQL_TYPE_NULL })
#define SQL_INT(x) ((struct sql_arg){ .type = SQL_TYPE_INT, .v.i = (x) })
#define SQL_NUM(x) ((struct sql_arg){ .type = SQL_TYPE_NUM, .v.n = (x) })
#define SQL_BOOL(x) ((struct sql_arg){ .type = SQL_TYPE_BOOL, .v.i = (x) })
#define SQL_UUID(x) ((struct sql_arg){ .type = SQL_TYPE_UUID, .v.u = (x) })
#define SQL_BYTES(ptr, n) \
	((struct sql_arg){ .type = SQL_TYPE_BYTES, .len = (n), .v.p = (ptr) })
struct sql_arg sql_text(const char *s); /* NULL gives NULL */
struct sql_arg sql_textn(const char *s, size_t len);
struct sql_arg sql_uuid_or_null(struct uuid id); /* the nil UUID gives NULL */
struct sql_arg sql_time(int64_t us); /* 0 gives NULL */
#define SQL_TEXT(s) sql_text(s)

struct sql_call {
	struct sql *sql;
	const struct sql_arg *args;
	int n_args;
};

/* The answer to one statement; the caller frees it. */
struct rows;
int rows_count(const struct rows *r); /* 0 for NULL */
int64_t rows_affected(const struct rows *r);
bool rows_is_null(const struct rows *r, int row, int col);
int64_t rows_int(const struct rows *r, int row, int col); /* NULL: 0 */
double rows_num(const struct rows *r, int row, int col);
bool rows_bool(const struct rows *r, int row, int col);
/* NUL-terminated, valid until rows_free; NULL for NULL. */
const char *rows_text(const struct rows *r, int row, int col);
/* The same, copied. */
const char *rows_text_in(const struct rows *r, int row, int col,
    struct arena *arena);
const void *rows_bytes(const struct rows *r, int row, int col, size_t *len);
struct uuid rows_uuid(const struct rows *r, int row, int col); /* NULL: nil */
void rows_free(struct rows *r); /* NULL does nothing */

/*
 * Open the database.  Blocks; before loops run, or on the pool.  The data
 * folder of SQLite is locked: a second process gets a clear error.
 */
enum as_status store_db_open(const struct store_config *config,
    struct store_db **out, struct error *err);
void store_db_close(struct store_db *db); /* after its stores */
enum store_dialect store_db_dialect(const struct store_db *db);

/* The loop's view; connects in the background and reconnects with back-off. */
struct store *store_new(struct store_db *db, struct loop *loop);
void store_free(struct store *store); /* its fibers have ended */
enum store_dialect store_dialect(const struct store *store);
bool store_is_up(const struct store *store);
/* "ok", "down", "read_only" */
const char *store_condition(const struct store *store);

/*
 * PostgreSQL: a standby that is promoted begins a timeline, a larger one.  The
 * newest that this process has seen; 0: SQLite.
 */
unsigned store_db_timeline(const struct store_db *db);
unsigned store_timeline(const struct store *store);

/*
 * Does a commit wait for a second server?  If not, the last ones are lost with
 * the first: an effect may then happen twice.
 */
enum store_standby {
	STORE_STANDBY_NONE_NEEDED = 0, /* SQLite, or not looked at yet */
	STORE_STANDBY_OK,
	STORE_STANDBY_NONE, /* no commit waits for one */
	STORE_STANDBY_LOST /* commits wait for one that is not there */
};
enum store_standby store_standby(const struct store *store);
SUSPENDS enum as_status store_look(struct store *store, struct error *err);

/*
 * What is between us and PostgreSQL; blocks.  A proxy that lends servers by
 * the transaction keeps neither a session's settings nor its statements.
 */
enum store_proxy {
	STORE_PROXY_NONE = 0,
	STORE_PROXY_SESSION,
	STORE_PROXY_TRANSACTION
};
enum as_status store_db_proxy(struct store_db *db, enum store_proxy *out,
    struct error *err);

/* A read.  *out is owned by the caller; NULL unless AS_OK. */
SUSPENDS enum as_status store_query(struct store *store, struct sql *sql,
    const struct sql_arg *args, int n_args, struct rows **out,
    struct error *err);

/* A write alone, its own fate.  out may be NULL. */
SUSPENDS enum as_status store_exec(struct store *store, struct sql *sql,
    const struct sql_arg *args, int n_args, struct rows **out,
    struct error *err);

/*
 * Several statements, one fate: all or none, in order.  out[i] belongs to
 * calls[i]; out may be NULL.  A unique or foreign key violation is
 * AS_CONFLICT (code CONFLICT) with the member "constraint":
 * <table>_<columns>_key, <table>_pkey, or, on SQLite, "foreign_key".  Where
 * nobody knows whether a write happened, err has the member "unknown": true.
 *
 * On PostgreSQL, requests whose first UUID is the same go one after the other;
 * others may run at the same time on other connections.
 */
SUSPENDS enum as_status store_batch(struct store *store,
    const struct sql_call *calls, int n_calls, struct rows **out,
    struct error *err);

/*
 * The same behind a guard: the first statement must touch exactly one row.
 * If it does not, no other one runs, nothing has happened, and the answer is
 * AS_CONFLICT.  SQLite only: on PostgreSQL a WITH says it in one statement.
 */
SUSPENDS enum as_status store_guarded(struct store *store,
    const struct sql_call *calls, int n_calls, struct error *err);

/* Blocking, without a loop; for migrations, tools and tests. */
enum as_status store_db_run(struct store_db *db, const char *text,
    const struct sql_arg *args, int n_args, struct rows **out,
    struct error *err);

/* Tests: now_us() is us from now on; 0: the real clock again. */
enum as_status store_clock_set(struct store_db *db, int64_t us);

/*
 * Bring the schema to this binary's version; each file in its transaction.
 * Refuses a database whose min_compatible is above ours, with the remedy.
 * check_only: AS_CONFLICT when something is to be done, nothing is changed.
 */
enum as_status store_migrate(struct store_db *db, bool check_only,
    int *n_applied, struct error *err);

#endif
