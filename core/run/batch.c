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
batch_run(struct batch *b, struct store *store, int guard, struct error *err)
{
	struct rows **out = arena_alloc(b->arena,
	    (size_t)b->n * sizeof(struct rows *));
	enum as_status st;

	st = store_batch(store, b->calls, b->n, out, err);
	if (st == AS_OK && rows_affected(out[guard]) != 1)
		st = error_set(err, ERR_CONFLICT, "the row has moved on");
	for (int i = 0; i < b->n; i++)
		rows_free(out[i]);
	return st;
}

void
batch_fini(struct batch *b)
{
	arena_free(b->arena);
}
