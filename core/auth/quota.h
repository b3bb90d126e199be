/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_QUOTA_H
#define CORE_AUTH_QUOTA_H

/* Of some things a user has a number at the most. */

#include "core/store/store.h"

/*
 * A statement that counts what the user has before it adds to it.  Those of one
 * user go one after the other, whichever processes they come from, so each
 * sees what the one before has made.  out may be NULL.
 */
SUSPENDS enum as_status quota_exec(struct store *store, struct uuid user_id,
    const struct sql_call *call, struct rows **out, struct error *err);

#endif
