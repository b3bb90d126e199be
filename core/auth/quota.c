/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/quota.h"

/*
 * On PostgreSQL a statement sees what had been committed when it began, so the
 * one that counts comes after one that waits for the user's row.  SQLite writes
 * one after the other anyway.
 */

SQL_BOTH(USER_LOCK, "SELECT 1 FROM users WHERE id = $1",
    "SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE");

SUSPENDS enum as_status
quota_exec(struct store *store, struct uuid user_id,
    const struct sql_call *call, struct rows **out, struct error *err)
{
	struct sql_arg user = SQL_UUID(user_id);
	struct sql_call calls[] = { { &USER_LOCK, &user, 1 }, *call };
	struct rows *rows[2] = { NULL };
	enum as_status st = store_batch(store, calls, 2, rows, err);

	rows_free(rows[0]);
	if (out != NULL)
		*out = rows[1];
	else
		rows_free(rows[1]);
	return st;
}
