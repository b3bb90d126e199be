/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_store_impl.h"

/*
 * Node epochs.  A dead epoch never lives again (a renewal needs an unexpired
 * lease, or a database that is ours alone), so a test of it cannot turn false
 * between two statements.
 */

/*
 * A sequence of PostgreSQL gives numbers again that went with a primary, and
 * whoever has one would share it.  The second and a chance of a million do not
 * come again; they fit into a double.
 */
#define NODE_JOIN_AS(column, number) \
	"INSERT INTO nodes (" column "name, build, started_at, beat_at," \
	" lease_expires_at) VALUES (" number "$1, $2, now_us(), now_us()," \
	" now_us() + $3) RETURNING node_epoch"
SQL_BOTH(NODE_JOIN, NODE_JOIN_AS("", ""),
    NODE_JOIN_AS("node_epoch, ",
	"floor(extract(epoch FROM clock_timestamp()))::bigint * 1000000"
	" + floor(random() * 1000000)::bigint, "));

#define NODE_RENEW_IF(alive) \
	"UPDATE nodes SET beat_at = now_us(), lease_expires_at = now_us() + " \
	"$2" \
	" WHERE node_epoch = $1 AND " alive

/* Who has SQLite's file has it alone: nobody took over while he slept. */
SQL_BOTH(NODE_RENEW, NODE_RENEW_IF("NOT draining"),
    NODE_RENEW_IF("lease_expires_at > now_us()"));

SQL(NODE_GUARD, "UPDATE nodes SET silence_us = $2, beat_at = now_us()"
		" WHERE node_epoch = $1 AND lease_expires_at > now_us()");

/*
 * The lock is tried only for those that have been silent.  A server that has
 * just started holds nobody's lock, and nobody has had the time to beat.
 */
SQL(NODES_DOOM,
    "UPDATE nodes SET lease_expires_at = now_us() WHERE node_epoch <> $1"
    " AND lease_expires_at > now_us() AND CASE WHEN silence_us > 0"
    " AND beat_at < now_us() - silence_us"
    " AND clock_timestamp() - pg_postmaster_start_time()"
    " > make_interval(secs => $2 / 1e6)"
    " THEN pg_try_advisory_xact_lock(" RUN_TEXT(
	RUN_NODE_LOCK) ", (node_epoch % 2147483648)::int) ELSE FALSE END");

SQL(NODE_LEAVE, "UPDATE nodes SET lease_expires_at = now_us(), draining = TRUE"
		" WHERE node_epoch = $1 AND lease_expires_at > now_us()");

SUSPENDS enum as_status
run_sql_node_join(void *arg, const char *name, const char *build,
    int64_t ttl_us, int64_t *epoch, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_TEXT(name), SQL_TEXT(build),
		SQL_INT(ttl_us) };
	struct rows *rows = NULL;
	enum as_status st;

	st = store_exec(store, &NODE_JOIN, args, 3, &rows, err);
	if (st == AS_OK)
		*epoch = rows_int(rows, 0, 0);
	rows_free(rows);
	return st;
}

static SUSPENDS enum as_status
node_exec(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n, int64_t *touched, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st = store_exec(store, sql, args, n, &rows, err);

	*touched = st == AS_OK ? rows_affected(rows) : 0;
	rows_free(rows);
	return st;
}

SUSPENDS enum as_status
run_sql_node_renew(void *arg, int64_t epoch, int64_t ttl_us, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_INT(epoch), SQL_INT(ttl_us) };
	int64_t n;
	enum as_status st = node_exec(store, &NODE_RENEW, args, 2, &n, err);

	if (st == AS_OK && n == 0)
		return error_set(err, ERR_CONFLICT,
		    "the lease of node epoch %lld has run out",
		    (long long)epoch);
	return st;
}

SUSPENDS enum as_status
run_sql_node_leave(void *arg, int64_t epoch, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_INT(epoch) };
	int64_t n;

	return node_exec(store, &NODE_LEAVE, args, 1, &n, err);
}

SUSPENDS enum as_status
run_sql_node_guard(void *arg, int64_t epoch, int64_t silence_us,
    struct error *err)
{
	struct sql_arg args[] = { SQL_INT(epoch), SQL_INT(silence_us) };
	int64_t n;

	return node_exec(arg, &NODE_GUARD, args, 2, &n, err);
}

SUSPENDS enum as_status
run_sql_node_doom(void *arg, int64_t epoch, int64_t lease_us, int *n,
    struct error *err)
{
	struct sql_arg args[] = { SQL_INT(epoch), SQL_INT(lease_us) };
	int64_t touched;
	enum as_status st;

	*n = 0;
	if (store_dialect(arg) != STORE_POSTGRES)
		return AS_OK;
	st = node_exec(arg, &NODES_DOOM, args, 2, &touched, err);
	*n = (int)touched;
	return st;
}
