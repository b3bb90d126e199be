/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/store/store_pg.h"

/*
 * Answers that are waited for in a thread of its own, but not for ever.  libpq
 * waits as long as TCP does, and a proxy, or a server that is stopped, answers
 * for TCP and says nothing.
 */

/* False: nothing has come by then. */
static bool
wait_for(const PGconn *pg, short events, int64_t until_us)
{
	struct pollfd p = { PQsocket(pg), events, 0 };
	int64_t ms;
	int n;

	do {
		ms = (until_us - clock_mono_us() + 999) / 1000;
		n = poll(&p, 1, ms > 0 ? (int)ms : 0);
	} while (n < 0);
	return n > 0;
}

PGresult *
pg_next(PGconn *pg, int64_t until_us)
{
	int more;

	while ((more = PQflush(pg)) > 0 || (more == 0 && PQisBusy(pg))) {
		if (!wait_for(pg, more > 0 ? POLLIN | POLLOUT : POLLIN,
			until_us)) {
			log_warn("store", "the server does not answer");
			(void)shutdown(PQsocket(pg), SHUT_RDWR);
		}
		if (!PQconsumeInput(pg))
			break;
	}
	return PQgetResult(pg);
}

PGresult *
pg_last(PGconn *pg, int sent, int64_t until_us)
{
	PGresult *res, *last = NULL;

	while (sent && (res = pg_next(pg, until_us)) != NULL) {
		PQclear(last);
		last = res;
		if (PQstatus(pg) != CONNECTION_OK)
			break;
	}
	return last;
}
