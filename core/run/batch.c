/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/batch.h"

#include <string.h>

#include "core/base/mem.h"

/* A growing list of statements with their arguments. */

void
batch_init(struct batch *b)
{
	memset(b, 0, sizeof(*b));
	b->arena = arena_new(NULL);
}

void
batch_add(struct batch *b, struct sql *sql, const struct sql_arg *args,
    int n_args)
{
	struct sql_arg *copy;
	struct sql_call *calls;

	if (b->n == b->cap) {
		b->cap = b->cap > 0 ? b->cap * 2 : 16;
		calls = arena_alloc(b->arena, (size_t)b->cap * sizeof(*calls));
		if (b->n > 0)
			memcpy(calls, b->calls, (size_t)b->n * sizeof(*calls));
		b->calls = calls;
	}
	copy = arena_alloc(b->arena, (size_t)n_args * sizeof(*copy));
	memcpy(copy, args, (size_t)n_args * sizeof(*copy));
	b->calls[b->n++] = (struct sql_call){ .sql = sql,
		.args = copy,
		.n_args = n_args };
}

SUSPENDS enum as_status
batch_run(struct batch *b, struct store *store, struct error *err)
{
	return store_guarded(store, b->calls, b->n, err);
}

void
batch_fini(struct batch *b)
{
	arena_free(b->arena);
}
