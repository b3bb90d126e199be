/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/run/batch.h"
#include "core/run/run_store_impl.h"

/*
 * Who may work on what: claims, and taking back what dead nodes held.  See
 * run_node.c for who is dead.
 */

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

static void
claims_read(const struct rows *rows, struct run_claim **out, int *n)
{
	*n = rows_count(rows);
	*out = *n > 0 ? xcalloc((size_t)*n, sizeof(**out)) : NULL;
	for (int i = 0; i < *n; i++) {
		(*out)[i].run_id = rows_uuid(rows, i, 0);
		(*out)[i].thread_id = rows_uuid(rows, i, 1);
	}
}

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

	st = store_batch(store, calls, 2, rows, err);
	claims_read(rows[1], out, n);
	if (*n > 0)
		FAILPOINT("claim.post");
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
#define FREE_RUNS \
	"UPDATE runs SET status = CASE WHEN status = 'cancelling'" \
	" THEN 'cancelling' ELSE 'queued' END, fence = fence + 1," \
	" version = version + 1, owner_epoch = NULL, updated_at = now_us()" \
	" WHERE status IN ('running', 'cancelling') AND id IN (SELECT run_id" \
	" FROM jobs WHERE kind = 'run' AND state = 1 AND "
#define FREE_JOBS \
	"UPDATE jobs SET state = 0, owner_epoch = NULL, leased_at = NULL," \
	" run_at = now_us() WHERE kind = 'run' AND state = 1 AND "

SQL(NODES_DROP, "UPDATE nodes SET lease_expires_at = now_us()"
		" WHERE node_epoch <> $1 AND lease_expires_at > now_us()");

SQL(REAP_RUNS, FREE_RUNS HELD_IN_VAIN ")");
/* Only with its run: a lease may run out between the two statements. */
SQL(REAP_JOBS, FREE_JOBS HELD_IN_VAIN
    " AND run_id IN (SELECT id FROM runs WHERE owner_epoch IS NULL)");
/* Its id comes first: the requests of one thread go one after the other. */
SQL(NAME_THREAD, "SELECT 1 FROM threads WHERE id = $1");
SQL(RELEASE_RUN, FREE_RUNS "owner_epoch = $1 AND run_id = $2)");
SQL(RELEASE_JOB, FREE_JOBS "owner_epoch = $1 AND run_id = $2");

SUSPENDS enum as_status
run_sql_reap(void *arg, int64_t epoch, bool all, int64_t max_age_us, int *n,
    struct error *err)
{
	struct store *store = arg;
	struct sql_arg args[] = { SQL_INT(epoch), SQL_INT(max_age_us) };
	struct sql_call calls[3];
	struct rows *rows[N_ITEMS(calls)] = { NULL };
	int k = 0, jobs;
	enum as_status st;

	if (all)
		calls[k++] = (struct sql_call){ &NODES_DROP, args, 1 };
	calls[k++] = (struct sql_call){ &REAP_RUNS, args, 2 };
	calls[jobs = k++] = (struct sql_call){ &REAP_JOBS, args, 2 };
	FAILPOINT("reap.pre");
	st = store_batch(store, calls, k, rows, err);
	if (st == AS_OK && (*n = (int)rows_affected(rows[jobs])) > 0)
		FAILPOINT("reap.post");
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

/* ---- For the node that holds them ---------------------------------- */

SQL(HELD, "SELECT r.id, r.thread_id FROM jobs j JOIN runs r ON r.id = j.run_id"
	  " WHERE j.kind = 'run' AND j.state = 1 AND j.owner_epoch = $1");

SUSPENDS enum as_status
run_sql_held(void *arg, int64_t epoch, struct run_claim **out, int *n,
    struct error *err)
{
	struct sql_arg args[] = { SQL_INT(epoch) };
	struct rows *rows = NULL;
	enum as_status st = store_query(arg, &HELD, args, 1, &rows, err);

	claims_read(rows, out, n);
	rows_free(rows);
	return st;
}

SQL(CANCELLING, "SELECT r.id, r.thread_id, now_us() - r.cancel_requested_at"
		" FROM jobs j JOIN runs r ON r.id = j.run_id"
		" WHERE j.kind = 'run' AND j.state = 1 AND j.owner_epoch = $1"
		" AND r.status = 'cancelling'");

SUSPENDS enum as_status
run_sql_cancelling(void *arg, int64_t epoch, struct run_cancelling **out,
    int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_INT(epoch) };
	struct rows *rows = NULL;
	enum as_status st;

	*out = NULL;
	*n = 0;
	st = store_query(arg, &CANCELLING, args, 1, &rows, err);
	if (st == AS_OK && (*n = rows_count(rows)) > 0) {
		*out = xcalloc((size_t)*n, sizeof(**out));
		for (int i = 0; i < *n; i++) {
			(*out)[i].run_id = rows_uuid(rows, i, 0);
			(*out)[i].thread_id = rows_uuid(rows, i, 1);
			(*out)[i].age_us = rows_int(rows, i, 2);
		}
	}
	rows_free(rows);
	return st;
}

SQL(NEXT_DUE, "SELECT COALESCE(MIN(run_at) - now_us(), -1) FROM jobs"
	      " WHERE state = 0 AND kind = 'run' AND run_at > now_us()");

SUSPENDS enum as_status
run_sql_next_due(void *arg, int64_t *in_us, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st;

	*in_us = -1;
	st = store_query(arg, &NEXT_DUE, NULL, 0, &rows, err);
	if (st == AS_OK)
		*in_us = rows_int(rows, 0, 0);
	rows_free(rows);
	return st;
}

SQL(CHARGE,
    "UPDATE runs SET crash_count = CASE WHEN crash_step = step"
    " THEN crash_count + 1 ELSE 1 END, crash_step = step WHERE id = $1");

SUSPENDS enum as_status
run_sql_charge(void *arg, struct uuid run_id, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };

	return store_exec(arg, &CHARGE, args, 1, NULL, err);
}
