/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/run/batch.h"
#include "core/run/run_store_impl.h"

/*
 * Who may work on what: node epochs, claims, and taking back what dead nodes
 * held.  A dead epoch never lives again (a renewal needs an unexpired lease),
 * so a test of it cannot turn false between two statements.
 */

/* ---- Nodes --------------------------------------------------------- */

SQL(NODE_JOIN,
    "INSERT INTO nodes (name, build, started_at, lease_expires_at)"
    " VALUES ($1, $2, now_us(), now_us() + $3) RETURNING node_epoch");

SQL(NODE_RENEW, "UPDATE nodes SET lease_expires_at = now_us() + $2"
		" WHERE node_epoch = $1 AND lease_expires_at > now_us()");

SQL(NODE_LEAVE, "UPDATE nodes SET lease_expires_at = now_us(), draining = TRUE"
		" WHERE node_epoch = $1 AND lease_expires_at > now_us()");

SQL(NODES_DROP, "UPDATE nodes SET lease_expires_at = now_us()"
		" WHERE node_epoch <> $1 AND lease_expires_at > now_us()");

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

/* ---- Claim --------------------------------------------------------- */

SQL_BOTH(CLAIM_JOBS,
    "UPDATE jobs SET state = 1, owner_epoch = $1, leased_at = now_us(),"
    " attempts = attempts + 1 WHERE id IN (SELECT id FROM jobs"
    " WHERE state = 0 AND kind = 'run' AND run_at <= now_us()"
    " ORDER BY class, run_at, id LIMIT $2) RETURNING run_id",
    "UPDATE jobs SET state = 1, owner_epoch = $1, leased_at = now_us(),"
    " attempts = attempts + 1 WHERE id IN (SELECT id FROM jobs"
    " WHERE state = 0 AND kind = 'run' AND run_at <= now_us()"
    " ORDER BY class, run_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)"
    " RETURNING run_id");

/* Runs whose job this epoch holds but which nobody runs yet. */
SQL(CLAIM_RUNS,
    "UPDATE runs SET status = CASE WHEN status = 'cancelling'"
    " THEN 'cancelling' ELSE 'running' END, fence = fence + 1,"
    " owner_epoch = $1, version = version + 1, updated_at = now_us(),"
    " started_at = COALESCE(started_at, now_us())"
    " WHERE status IN ('queued', 'waiting_timer', 'cancelling')"
    " AND owner_epoch IS NULL AND id IN"
    " (SELECT run_id FROM jobs WHERE owner_epoch = $1 AND state = 1)"
    " RETURNING id, thread_id");

SUSPENDS enum as_status
run_sql_claim(void *arg, int64_t epoch, int max, struct run_claim **out, int *n,
    struct error *err)
{
	struct store *store = arg;
	struct sql_arg jobs[] = { SQL_INT(epoch), SQL_INT(max) };
	struct sql_arg runs[] = { SQL_INT(epoch) };
	struct sql_call calls[] = { { &CLAIM_JOBS, jobs, 2 },
		{ &CLAIM_RUNS, runs, 1 } };
	struct rows *rows[2] = { NULL, NULL };
	enum as_status st;

	*out = NULL;
	*n = 0;
	st = store_batch(store, calls, 2, rows, err);
	if (st == AS_OK && (*n = rows_count(rows[1])) > 0) {
		*out = xcalloc((size_t)*n, sizeof(**out));
		for (int i = 0; i < *n; i++) {
			(*out)[i].run_id = rows_uuid(rows[1], i, 0);
			(*out)[i].thread_id = rows_uuid(rows[1], i, 1);
		}
	}
	rows_free(rows[0]);
	rows_free(rows[1]);
	return st;
}

/* ---- Reap ---------------------------------------------------------- */

/*
 * Held by an epoch whose lease is over, or for too long; $1 is the epoch that
 * asks, $2 the longest time.
 */
#define HELD_IN_VAIN \
	"(leased_at < now_us() - $2 OR owner_epoch IN (SELECT node_epoch" \
	" FROM nodes WHERE lease_expires_at <= now_us() AND node_epoch <> " \
	"$1))"

/* A cancel that its owner did not live to finish is finished by its claimer. */
#define FREE_RUNS(and_set) \
	"UPDATE runs SET status = CASE WHEN status = 'cancelling'" \
	" THEN 'cancelling' ELSE 'queued' END, fence = fence + 1," and_set \
	" version = version + 1, owner_epoch = NULL, updated_at = now_us()" \
	" WHERE status IN ('running', 'cancelling') AND id IN (SELECT run_id" \
	" FROM jobs WHERE kind = 'run' AND state = 1 AND "
#define FREE_JOBS \
	"UPDATE jobs SET state = 0, owner_epoch = NULL, leased_at = NULL," \
	" run_at = now_us() WHERE kind = 'run' AND state = 1 AND "

/* It may be what has taken its owner down: see CRASHES_MAX. */
#define CRASHED \
	" crash_count = CASE WHEN crash_step = step THEN crash_count + 1" \
	" ELSE 1 END, crash_step = step,"

SQL(REAP_RUNS, FREE_RUNS(CRASHED) HELD_IN_VAIN ")");
SQL(REAP_JOBS, FREE_JOBS HELD_IN_VAIN);
/* Its id comes first: the requests of one thread go one after the other. */
SQL(NAME_THREAD, "SELECT 1 FROM threads WHERE id = $1");
SQL(RELEASE_RUN, FREE_RUNS("") "owner_epoch = $1 AND run_id = $2)");
SQL(RELEASE_JOB, FREE_JOBS "owner_epoch = $1 AND run_id = $2");

SUSPENDS enum as_status
run_sql_reap(void *arg, int64_t epoch, bool all, int64_t max_age_us, int *n,
    struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_INT(epoch), SQL_INT(max_age_us) };
	struct sql_call calls[3];
	struct rows *rows[3] = { NULL, NULL, NULL };
	int k = 0, jobs;
	enum as_status st;

	if (all)
		calls[k++] = (struct sql_call){ &NODES_DROP, args, 1 };
	calls[k++] = (struct sql_call){ &REAP_RUNS, args, 2 };
	calls[jobs = k++] = (struct sql_call){ &REAP_JOBS, args, 2 };
	st = store_batch(store, calls, k, rows, err);
	if (st == AS_OK)
		*n = (int)rows_affected(rows[jobs]);
	for (int i = 0; i < k; i++)
		rows_free(rows[i]);
	return st;
}

SUSPENDS enum as_status
run_sql_release(void *arg, int64_t epoch, struct uuid thread_id,
    struct uuid run_id, struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_INT(epoch), SQL_UUID(run_id),
		SQL_UUID(thread_id) };
	struct sql_call calls[] = { { &NAME_THREAD, &args[2], 1 },
		{ &RELEASE_RUN, args, 2 }, { &RELEASE_JOB, args, 2 } };
	struct rows *rows[N_ITEMS(calls)] = { NULL };
	enum as_status st = store_batch(store, calls, N_ITEMS(calls), rows,
	    err);

	if (st == AS_OK && rows_affected(rows[2]) == 0)
		st = error_set(err, ERR_NOT_FOUND,
		    "node epoch %lld does not hold this run", (long long)epoch);
	for (size_t i = 0; i < N_ITEMS(calls); i++)
		rows_free(rows[i]);
	return st;
}
