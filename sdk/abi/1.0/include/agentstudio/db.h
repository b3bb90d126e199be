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
 * Parameters are an array for $1, $2, ...: text, numbers, booleans and null.
 * One function is one transaction.  Needs .grants "db".
 *
 * Since 0.1; answers AS_UNSUPPORTED until the host binds it.
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
 * statements that ends with NULL.  Each runs once in an installation, in order;
 * a step that was released is never edited.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_CONFLICT, AS_UNAVAILABLE,
 * AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_db_migrate(struct as_call *call, const char *const *steps)
{
	return as_host_table->db->migrate(call, steps);
}

/*
 * A statement that gives no rows; *changed (may be NULL): how many it met.
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
 * An array of objects, one a row; at most 10,000, else AS_LIMIT.
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
