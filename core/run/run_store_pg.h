/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_STORE_PG_H
#define CORE_RUN_RUN_STORE_PG_H

/*
 * The two hot operations of run_store.h, for PostgreSQL: those of many runs that
 * wait together are one statement.  run_store_sql.c calls them.  Same contract,
 * same suite.
 */

#include "core/run/run_store.h"

SUSPENDS enum as_status run_store_pg_create(struct store *store,
    const struct run_create *c, struct error *err);
SUSPENDS enum as_status run_store_pg_commit(struct store *store,
    const struct run_commit *c, struct error *err);

#endif
