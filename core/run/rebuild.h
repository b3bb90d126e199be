/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_REBUILD_H
#define CORE_RUN_REBUILD_H

/*
 * The row of a run, compared with its log and written anew from it.  Blocking,
 * for operators and tests.
 */

#include "core/run/fold.h"
#include "core/store/store.h"

struct rebuild {
	struct uuid run_id;
	struct fold_run log, row;
	int64_t version; /* of the row */
	struct fold_difference differences[FOLD_COLUMNS];
	int n_differences;
};

/* Strings live in the arena.  NOTFOUND; CONFLICT: see fold_events. */
enum as_status rebuild_look(struct store_db *db, struct uuid run_id,
    struct arena *arena, struct rebuild *out, struct error *err);

/*
 * CONFLICT: a node that lives owns the run, or the row has changed since.  On
 * SQLite the lock of the database says that no node lives.
 */
enum as_status rebuild_write(struct store_db *db, const struct rebuild *r,
    struct error *err);

#endif
