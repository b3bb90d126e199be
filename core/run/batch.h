/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_BATCH_H
#define CORE_RUN_BATCH_H

/*
 * Puts together the statements of one atomic request, in an arena, so that
 * nothing large stands on a fiber's stack.
 */

#include "core/base/arena.h"
#include "core/store/store.h"

struct batch {
	struct arena *arena;
	struct sql_call *calls;
	int n, cap;
};

void batch_init(struct batch *b);
/* The arguments are copied, what they point to is not. */
void batch_add(struct batch *b, struct sql *sql, const struct sql_arg *args,
    int n_args);
#define BATCH_ADD(b, sql, ...) \
	batch_add(b, sql, (struct sql_arg[]){ __VA_ARGS__ }, \
	    (int)(sizeof((struct sql_arg[]){ __VA_ARGS__ }) / \
		  sizeof(struct sql_arg)))

/* See store_guarded: the first statement is the guard of the others. */
SUSPENDS enum as_status batch_run(struct batch *b, struct store *store,
    struct error *err);
void batch_fini(struct batch *b);

#endif
