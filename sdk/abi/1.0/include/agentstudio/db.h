/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_DB_H
#define AS_SDK_DB_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Tables of a plugin's own, in the host's database.
 *
 * The plugin keeps no connection and chooses no product: the host runs the
 * statement on the PostgreSQL or SQLite that it uses itself.  "{}" in a
 * statement stands for the plugin's prefix, so that tables of two plugins
 * cannot meet:
 *
 *	CREATE TABLE {}note (id BIGINT PRIMARY KEY, body TEXT NOT NULL)
 *
 * Parameters are an array for $1, $2, ...: text, numbers, booleans and null; at
 * most 64.  Columns are BIGINT, TEXT, DOUBLE PRECISION and BOOLEAN: these mean
 * the same to both.  One function is one transaction.
 *
 * A statement is SELECT, VALUES, INSERT, UPDATE, DELETE or WITH.  It has no
 * comment, calls only the usual functions (count, sum, coalesce, lower, ...)
 * and names only tables that begin with {}: all else is AS_FORBIDDEN.  A
 * statement that is wrong is AS_INVALID, a constraint that it breaks
 * AS_CONFLICT, more than 100 kB of it AS_LIMIT.  It ends with the call's
 * deadline: AS_TIMEOUT, and if it writes, nobody knows whether it has.
 *
 * Needs .grants "db"; AS_FORBIDDEN without.  AS_UNSUPPORTED: this host has no
 * place for tables (on PostgreSQL its user must be allowed to create roles).
 *
 * Since 1.0.
 */

#include <agentstudio/json.h>

#ifdef __cplusplus
extern "C" {
#endif

struct as_db_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*migrate)(struct as_call *, const char *const *);
	enum as_status (*exec)(struct as_call *, const char *,
	    const struct as_json *, int64_t *);
	enum as_status (*query)(struct as_call *, const char *,
	    const struct as_json *, const struct as_json **);
};

/*
 * Bring the tables up to date; call it from start.  steps is an array of
 * statements that ends with NULL: those from above, and CREATE, ALTER and DROP
 * of tables and indexes.  Each runs once in an installation, in order, all new
 * ones or none; who comes at the same time waits.  A step that was released is
 * never edited, new ones are added at the end: AS_CONFLICT.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_CONFLICT, AS_UNAVAILABLE,
 * AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_db_migrate(struct as_call *call, const char *const *steps)
{
	return as_host_table->db->migrate(call, steps);
}

/*
 * A statement that gives no rows; *changed (may be NULL): how many it met.  On
 * SQLite it may write for two seconds.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_CONFLICT, AS_UNAVAILABLE,
 * AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_db_exec(struct as_call *call, const char *sql, const struct as_json *params,
    int64_t *changed)
{
	return as_host_table->db->exec(call, sql, params, changed);
}

/*
 * An array of objects, one a row, that lives until the call ends; at most 10,000
 * rows and 8 MiB, else AS_LIMIT.  INSERT ... RETURNING is a query, too.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_LIMIT, AS_UNAVAILABLE,
 * AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_db_query(struct as_call *call, const char *sql,
    const struct as_json *params, const struct as_json **rows)
{
	return as_host_table->db->query(call, sql, params, rows);
}

#ifdef __cplusplus
}
#endif

#endif
