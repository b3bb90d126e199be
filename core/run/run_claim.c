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

#define READY(j) j ".state = 0 AND " j ".kind = 'run'"

/*
 * The next tenant of the class who has a job: a walk along the index from
 * tenant to tenant, so that a long queue of one hides nobody.
 */
#define NEXT_TENANT(row, from) \
	"(SELECT j.tenant_id FROM jobs j WHERE " READY( \
	    "j") " AND j.class = " row ".class AND j.tenant_id > " from \
		 " AND j.tenant_id <= " row ".hi" \
		 " ORDER BY j.tenant_id LIMIT 1)"

/* $4: the tenant that came last, $5: so many, $14 and $15: all of them. */
#define TENANTS \
	"WITH RECURSIVE t (class, hi, tenant_id, n) AS (" \
	"SELECT s.class, s.hi, " NEXT_TENANT("s", \
	    "s.lo") ", 1" \
		    " FROM (SELECT c.class, b.lo, b.hi FROM (SELECT 0 AS " \
		    "class" \
		    " UNION ALL SELECT 1 UNION ALL SELECT 2) c, (SELECT $4 " \
		    "AS lo," \
		    " $15 AS hi UNION ALL SELECT $14, $4) b) s" \
		    " UNION ALL SELECT t.class, t.hi, " NEXT_TENANT("t", \
			"t.tenant_id") ", t.n + 1 FROM t" \
				       " WHERE t.tenant_id IS NOT NULL AND " \
				       "t.n < (SELECT $5))"

/* $12 and $13: the ages of promotion. */
#define LANE_AT(j, standard, bulk) \
	"CASE WHEN " j ".class = 1 AND " standard " > 0 AND " j ".run_at <=" \
	" now_us() - " standard " THEN 0 WHEN " j ".class = 2 AND " bulk \
	" > 0 AND " j ".run_at <= now_us() - " bulk " THEN 1 ELSE " j \
	".class END"
#define LANE(j) LANE_AT(j, "$12", "$13")

/*
 * To plan this takes PostgreSQL ten times as long as to do it, so there must be
 * one plan for all.  It keeps to one if it believes that others were no better:
 * what it would look at for that is a constant, or hidden in a SELECT.
 */
#define OLDEST(j, columns, each) \
	"SELECT " columns " FROM jobs " j \
	" WHERE " READY(j) " AND " j ".class = t.class AND " j \
			   ".tenant_id = t.tenant_id AND " j \
			   ".run_at <= now_us() ORDER BY " j ".run_at, " j \
			   ".id LIMIT " each

#define CANDIDATE "j.id, j.class, j.tenant_id, j.run_at"

/*
 * w: what tenants have at work already, asked only if there are several.  Each
 * lane is then one line, and the lines are merged like cogs of a gear.  $6 to
 * $8: what runs in them, $9 to $11: their strides.
 */
#define RANKED \
	" w AS (SELECT x.tenant_id, (SELECT count(*) FROM jobs j" \
	" WHERE j.state = 1 AND j.owner_epoch = (SELECT $1)" \
	" AND j.tenant_id = x.tenant_id) AS n FROM" \
	" (SELECT DISTINCT tenant_id FROM c) x" \
	" WHERE (SELECT count(DISTINCT tenant_id) FROM c) > 1)," \
	" k AS (SELECT c.id, c.class, c.lane, c.run_at, COALESCE(w.n, 0) +" \
	" row_number() OVER (PARTITION BY c.lane, c.tenant_id" \
	" ORDER BY c.run_at, c.id) AS turn" \
	" FROM c LEFT JOIN w ON w.tenant_id = c.tenant_id)," \
	" l AS (SELECT k.id, k.class, k.lane, row_number() OVER" \
	" (PARTITION BY k.lane ORDER BY k.turn, k.run_at, k.id) AS n FROM k)," \
	" m AS (SELECT l.id, l.class, l.lane, CASE l.lane" \
	" WHEN 0 THEN ($6 + l.n) * $9 WHEN 1 THEN ($7 + l.n) * $10" \
	" ELSE ($8 + l.n) * $11 END AS at FROM l)," \
	" g AS (SELECT m.id, m.class, m.lane, m.at, row_number() OVER" \
	" (PARTITION BY m.class = 0 ORDER BY m.at, m.lane) AS n FROM m)"

#define MAY_GO "(g.class = 0 OR g.n <= (SELECT $3))"
#define TAKE \
	" UPDATE jobs SET state = 1, owner_epoch = $1, leased_at = now_us()," \
	" attempts = attempts + 1 WHERE "
#define TAKEN " RETURNING run_id, " LANE("jobs")

#define CLAIM_SQLITE(each) \
	TENANTS ", c AS (SELECT " CANDIDATE ", " LANE( \
	    "j") " AS lane" \
		 " FROM t CROSS JOIN jobs j WHERE t.tenant_id IS NOT NULL" \
		 " AND j.id IN (" OLDEST("x", "x.id", \
		     each) "))," RANKED TAKE \
			   "id IN (SELECT g.id FROM g WHERE " MAY_GO \
			   " ORDER BY g.at, g.lane LIMIT (SELECT $2))" TAKEN

/* Rows are locked in their order, and no more than are taken. */
#define CLAIM_POSTGRES(each) \
	TENANTS ", c AS (SELECT " CANDIDATE ", " LANE( \
	    "j") " AS lane" \
		 " FROM t CROSS JOIN LATERAL (" OLDEST("o", \
		     "o.id, o.class, o.tenant_id, o.run_at", \
		     each) ") j" \
			   " WHERE t.tenant_id IS NOT NULL)," RANKED TAKE \
			   "id = ANY (ARRAY(SELECT j.id FROM (SELECT g.id " \
			   "FROM g WHERE " MAY_GO \
			   " ORDER BY g.at, g.lane) s CROSS JOIN LATERAL " \
			   "(SELECT x.id" \
			   " FROM jobs x WHERE x.id = s.id AND x.state = 0" \
			   " FOR UPDATE SKIP LOCKED) j LIMIT (SELECT " \
			   "$2)))" TAKEN

SQL_BOTH(CLAIM_ONE, CLAIM_SQLITE("1"), CLAIM_POSTGRES("1"));
SQL_BOTH(CLAIM_FEW, CLAIM_SQLITE("8"), CLAIM_POSTGRES("8"));
SQL_BOTH(CLAIM_MANY, CLAIM_SQLITE("64"), CLAIM_POSTGRES("64"));

/*
 * Where there is room for all that is due, nobody comes before another one:
 * most claims are this one.  It takes all or nothing.
 */
#define DUE(j) READY(j) " AND " j ".run_at <= now_us()"
#define AT_MOST(what, n) \
	"(SELECT count(*) FROM (SELECT 1 AS one FROM jobs b WHERE " DUE("b") \
	    what " LIMIT " n " + 1) x) <= " n
#define CLAIM_EACH(lock) \
	"UPDATE jobs SET state = 1, owner_epoch = $1, leased_at = now_us()," \
	" attempts = attempts + 1 WHERE id IN (SELECT a.id FROM jobs a" \
	" WHERE " DUE( \
	    "a") " AND " AT_MOST("", "$2") " AND " AT_MOST(" AND b.class > 0", \
	    "$3") " LIMIT $2" lock ") RETURNING" \
		  " run_id, " LANE_AT("jobs", "$4", "$5")

SQL_BOTH(CLAIM_ALL, CLAIM_EACH(""), CLAIM_EACH(" FOR UPDATE SKIP LOCKED"));

/* Runs whose job this epoch holds but which nobody runs yet. */
SQL(CLAIM_RUNS,
    "UPDATE runs SET status = CASE WHEN status = 'cancelling'"
    " THEN 'cancelling' ELSE 'running' END, fence = fence + 1,"
    " owner_epoch = $1, version = version + 1, updated_at = now_us(),"
    " started_at = COALESCE(started_at, now_us())"
    " WHERE status IN ('queued', 'waiting_timer', 'cancelling')"
    " AND owner_epoch IS NULL AND id IN"
    " (SELECT run_id FROM jobs WHERE owner_epoch = $1 AND state = 1)"
    " RETURNING id, thread_id, tenant_id, class");

struct run_claim_ask
run_claim_ask(int64_t epoch, int max)
{
	return (struct run_claim_ask){ .epoch = epoch,
		.max = max,
		.max_other = max,
		.weight = { 1, 1, 1 } };
}

/* The more of each, the fewer tenants. */
static const struct {
	struct sql *sql;
	int each, tenants;
} windows[] = {
	{ &CLAIM_ONE, 1, 50 },
	{ &CLAIM_FEW, 8, 12 },
	{ &CLAIM_MANY, RUN_CLAIM_MAX, 4 },
};

static int
window_of(const struct run_claim_ask *ask)
{
	int i = 0;

	while (windows[i].each < ask->max && windows[i].each < RUN_CLAIM_MAX)
		i++;
	return i;
}

int
run_claim_each(const struct run_claim_ask *ask)
{
	return windows[window_of(ask)].each;
}

int
run_claim_tenants(const struct run_claim_ask *ask)
{
	return windows[window_of(ask)].tenants;
}

int64_t
run_claim_stride(const struct run_claim_ask *ask, int lane)
{
	return 720720 / ask->weight[lane]; /* each weight divides it */
}

static void
claims_read(const struct rows *rows, struct run_claim **out, int *n)
{
	struct run_claim *c;

	*n = rows_count(rows);
	*out = *n > 0 ? xcalloc((size_t)*n, sizeof(**out)) : NULL;
	for (int i = 0; i < *n; i++) {
		c = &(*out)[i];
		c->run_id = rows_uuid(rows, i, 0);
		c->thread_id = rows_uuid(rows, i, 1);
		c->tenant_id = rows_uuid(rows, i, 2);
		c->class = c->lane = (int)rows_int(rows, i, 3);
	}
}

/* The lane is the job's, which another statement has taken. */
static void
lanes_read(const struct rows *jobs, struct run_claim *claims, int n)
{
	for (int i = 0; i < n; i++)
		for (int k = 0; k < rows_count(jobs); k++)
			if (uuid_equal(claims[i].run_id, rows_uuid(jobs, k, 0)))
				claims[i].lane = (int)rows_int(jobs, k, 1);
}

#define CLAIM_ARGS 15

static void
claim_args(const struct run_claim_ask *ask, struct sql_arg args[CLAIM_ARGS])
{
	struct uuid first = { { 0 } }, last;
	struct sql_arg list[CLAIM_ARGS] = { SQL_INT(ask->epoch),
		SQL_INT(ask->max), SQL_INT(ask->max_other),
		SQL_UUID(ask->after), SQL_INT(run_claim_tenants(ask)),
		SQL_INT(ask->running[0]), SQL_INT(ask->running[1]),
		SQL_INT(ask->running[2]), SQL_INT(run_claim_stride(ask, 0)),
		SQL_INT(run_claim_stride(ask, 1)),
		SQL_INT(run_claim_stride(ask, 2)), SQL_INT(ask->promote_us[1]),
		SQL_INT(ask->promote_us[2]) };

	memset(&last, 0xff, sizeof(last));
	list[CLAIM_ARGS - 2] = SQL_UUID(first);
	list[CLAIM_ARGS - 1] = SQL_UUID(last);
	memcpy(args, list, sizeof(list));
}

static SUSPENDS enum as_status
claim_by(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n_args, struct run_claim **out, int *n, struct error *err)
{
	struct sql_call calls[] = { { sql, args, n_args },
		{ &CLAIM_RUNS, args, 1 } };
	struct rows *rows[2] = { NULL, NULL };
	enum as_status st = store_batch(store, calls, 2, rows, err);

	claims_read(rows[1], out, n);
	lanes_read(rows[0], *out, *n);
	rows_free(rows[0]);
	rows_free(rows[1]);
	return st;
}

SUSPENDS enum as_status
run_sql_claim(void *arg, const struct run_claim_ask *ask,
    struct run_claim **out, int *n, struct error *err)
{
	struct sql_arg all[] = { SQL_INT(ask->epoch), SQL_INT(ask->max),
		SQL_INT(ask->max_other), SQL_INT(ask->promote_us[1]),
		SQL_INT(ask->promote_us[2]) };
	struct sql_arg jobs[CLAIM_ARGS];
	enum as_status st = claim_by(arg, &CLAIM_ALL, all, 5, out, n, err);

	if (st == AS_OK && *n == 0) {
		claim_args(ask, jobs);
		st = claim_by(arg, windows[window_of(ask)].sql, jobs,
		    CLAIM_ARGS, out, n, err);
	}
	if (*n > 0)
		FAILPOINT("claim.post");
	return st;
}

/* ---- Reap ---------------------------------------------------------- */

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

SQL(REAP_RUNS, FREE_RUNS RUN_HELD_IN_VAIN ")");
/* Only with its run: a lease may run out between the two statements. */
SQL(REAP_JOBS, FREE_JOBS RUN_HELD_IN_VAIN
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

SQL(HELD,
    "SELECT r.id, r.thread_id, r.tenant_id, r.class FROM jobs j JOIN runs r ON "
    "r.id = j.run_id"
    " WHERE j.kind = 'run' AND j.state = 1 AND j.owner_epoch = (SELECT $1)");

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

SQL(CANCELLING,
    "SELECT r.id, r.thread_id, now_us() - r.cancel_requested_at"
    " FROM jobs j JOIN runs r ON r.id = j.run_id"
    " WHERE j.kind = 'run' AND j.state = 1 AND j.owner_epoch = (SELECT $1)"
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

/* The first that is not ready yet of each tenant and class. */
SQL(NEXT_DUE,
    "WITH RECURSIVE t (class, hi, tenant_id) AS (SELECT s.class, "
    "s.hi, " NEXT_TENANT("s",
	"s.lo") " FROM (SELECT c.class, $1 AS lo, $2 AS hi FROM (SELECT 0 AS "
		"class"
		" UNION ALL SELECT 1 UNION ALL SELECT 2) c) s"
		" UNION ALL SELECT t.class, t.hi, " NEXT_TENANT("t",
		    "t.tenant_id") " FROM t WHERE t.tenant_id IS NOT NULL)"
				   " SELECT COALESCE(MIN((SELECT j.run_at FROM "
				   "jobs j WHERE " READY(
				       "j") " AND j.class = t.class AND "
					    "j.tenant_id = t.tenant_id"
					    " AND j.run_at > now_us() ORDER BY "
					    "j.run_at LIMIT 1)) - now_us(), -1)"
					    " FROM t WHERE t.tenant_id IS NOT "
					    "NULL");

SUSPENDS enum as_status
run_sql_next_due(void *arg, int64_t *in_us, struct error *err)
{
	struct uuid first = { { 0 } }, last;
	struct sql_arg args[] = { SQL_UUID(first), SQL_NULL };
	struct rows *rows = NULL;
	enum as_status st;

	memset(&last, 0xff, sizeof(last));
	args[1] = SQL_UUID(last);
	*in_us = -1;
	st = store_query(arg, &NEXT_DUE, args, 2, &rows, err);
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
