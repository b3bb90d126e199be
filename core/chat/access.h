/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_ACCESS_H
#define CORE_CHAT_ACCESS_H

/*
 * May those who read a stream still do so?  A session that ends says so on
 * the bus (pump.h).  What says nothing, or says it while the bus is away, is
 * found here: every two seconds the database is asked about all readers of this
 * loop, a few hundred in one statement on PostgreSQL.
 *
 * One a loop, on its thread.
 */

#include "core/auth/principal.h"
#include "core/loop/loop.h"
#include "core/store/store.h"

#define ACCESS_MS 2000

struct access;

enum access_lost {
	ACCESS_SESSION = 1, /* it has ended, or its user may not log in */
	ACCESS_ROLE, /* it is another one than when they came */
	ACCESS_THREAD /* it is gone, or somebody else's */
};

/* One reader; the reader's memory.  Starts as {0}. */
struct access_seat {
	struct access_seat *next, **at; /* its own; at NULL: not in it */
	unsigned *n; /* its own: seats taken */
	struct principal who;
	struct uuid thread_id; /* nil: no thread is needed */
	/* It has been taken out already. */
	void (*lost)(struct access_seat *s, enum access_lost why);
};

struct access *access_new(struct loop *loop, struct store *store);
void access_free(struct access *a); /* all have left; NULL is fine */
void access_join(struct access *a, struct access_seat *s);
void access_leave(struct access_seat *s); /* twice is fine */

#endif
