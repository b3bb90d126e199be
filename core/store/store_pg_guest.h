/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_STORE_PG_GUEST_H
#define CORE_STORE_STORE_PG_GUEST_H

/*
 * What the two files of plugins' statements share: store_pg_guest.c (threads
 * and their queue), store_pg_guest_run.c (one request).
 */

#include "core/store/store_pg.h"

/* A thread's own, but for what is under guests.lock. */
struct pg_guest {
	struct pg_db *db;
	pthread_t thread;
	PGconn *pg;
	unsigned timeline; /* the newest that was known when it began */
	char *home; /* what tells this installation from others */
	int64_t until_us; /* monotonic; the server has spoken by then */
	struct store_req *running; /* under guests.lock */
	int fd; /* the same: of pg, for others to shut; -1 */
};

void pg_guest_run(struct pg_guest *t, struct store_req *r);
void pg_guest_disconnect(struct pg_guest *t);

#endif
