/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

/*
 * Is there a proxy, and does it lend servers by the transaction?
 *
 * A proxy makes up the number that it tells a client to cancel by; a server
 * tells that of its process.  Two connections that are open at the same time
 * have two processes.  Where they are lent, the second is given the one that
 * the first has just handed back; and if others are quicker, the first finds
 * itself with another one than before.
 */

#define ROUNDS 8
#define ANSWER_US 10000000

static int
backend_pid(PGconn *pg)
{
	PGresult *res = pg_last(pg, PQsendQuery(pg, "SELECT pg_backend_pid()"),
	    clock_mono_us() + ANSWER_US);
	int pid = PQresultStatus(res) == PGRES_TUPLES_OK
		      ? atoi(PQgetvalue(res, 0, 0))
		      : -1;

	PQclear(res);
	return pid;
}

static enum as_status
compare(PGconn *a, PGconn *b, enum store_proxy *out, struct error *err)
{
	int first = 0, pa, pb;

	*out = STORE_PROXY_NONE;
	for (int i = 0; i < ROUNDS; i++) {
		if ((pa = backend_pid(a)) < 0)
			return pg_error(a, NULL, err);
		if ((pb = backend_pid(b)) < 0)
			return pg_error(b, NULL, err);
		if (i == 0)
			first = pa;
		if (pa == pb || pa != first) {
			*out = STORE_PROXY_TRANSACTION;
			return AS_OK;
		}
	}
	if (PQbackendPID(a) != first)
		*out = STORE_PROXY_SESSION;
	return AS_OK;
}

enum as_status
store_db_proxy(struct store_db *base, enum store_proxy *out, struct error *err)
{
	struct pg_db *db = pg_db_of(base);
	enum as_status st;
	PGconn *a, *b;

	*out = STORE_PROXY_NONE;
	if (base->dialect != STORE_POSTGRES)
		return AS_OK;
	a = pg_connect(db, PG_ADMIN, NULL);
	b = pg_connect(db, PG_ADMIN, NULL);
	if (a == NULL || PQstatus(a) != CONNECTION_OK)
		st = pg_error(a, NULL, err);
	else if (b == NULL || PQstatus(b) != CONNECTION_OK)
		st = pg_error(b, NULL, err);
	else
		st = compare(a, b, out, err);
	PQfinish(a);
	PQfinish(b);
	return st;
}
