/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_STORE_LOCK_H
#define CORE_STORE_STORE_LOCK_H

/*
 * A sign of life that needs no clock: PostgreSQL's advisory lock (space, key),
 * held by a session of its own for as long as this process lives.  However the
 * process ends, its socket closes and the lock is free.  Lost with its
 * connection, it is taken again.  Useless through a pooler that lends sessions
 * by the transaction.
 *
 * A thread of its own keeps it.  PostgreSQL only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/store/store.h"

struct store_lock;

/* Begins to take it, in the background. */
struct store_lock *store_lock_new(struct store_db *db, int32_t space,
    int32_t key);
/* For how long it has been held, in microseconds; -1: it is not.  Any thread. */
int64_t store_lock_held_us(const struct store_lock *l);
void store_lock_free(struct store_lock *l); /* NULL does nothing */

#endif
