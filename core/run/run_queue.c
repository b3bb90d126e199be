/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/run/run_store_impl.h"

/* The queue beyond claims: what may be started once, and what waits. */

const char *
run_create_kind(const struct run_create *c)
{
	return c->kind != NULL ? c->kind : "interactive";
}

int64_t
run_create_at(const struct run_create *c)
{
	return c->run_at > c->now_us ? c->run_at : c->now_us;
}

SQL(BY_DEDUP, "SELECT id, thread_id FROM runs WHERE user_id = $1"
	      " AND agent_id = $2 AND dedup = $3");

SUSPENDS enum as_status
run_sql_by_dedup(void *arg, struct uuid user_id, struct uuid agent_id,
    const char *dedup, struct run_claim *out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(user_id), SQL_UUID(agent_id),
		SQL_TEXT(dedup) };
	struct rows *r = NULL;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	st = store_query(arg, &BY_DEDUP, args, 3, &r, err);
	if (st == AS_OK && rows_count(r) == 1) {
		out->run_id = rows_uuid(r, 0, 0);
		out->thread_id = rows_uuid(r, 0, 1);
	}
	rows_free(r);
	return st;
}
