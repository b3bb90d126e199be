/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_BLOCK_H
#define CORE_RUN_RUN_BLOCK_H

/*
 * Runs that wait for their thread, as rows.  Private to the bodies of
 * run_store.h in SQL; the same statements on both databases.
 */

#include "core/run/batch.h"
#include "core/run/run_store.h"

/* A blocked run with its staged message: see run_create.block_pos. */
SUSPENDS enum as_status run_block_create(struct store *store,
    const struct run_create *c, struct error *err);

/* Does this commit touch blocked runs? */
bool run_block_concerns(const struct run_commit *c);
/* What it does to them, behind its guard: see run_store_park_add. */
void run_block_add(struct batch *b, const struct run_commit *c);

#endif
