/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_FOLD_H
#define CORE_RUN_FOLD_H

/*
 * The log is the truth: what the events of a run add up to, which its row only
 * repeats.  Pure.
 */

#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/run/run.h"

/* A row of run_events. */
struct fold_event {
	int64_t run_seq, step, fence, created_at;
	const char *type, *payload;
};

/* What an event can tell of a row of runs and of its last checkpoint. */
struct fold_run {
	enum run_status status;
	int64_t step, head_seq, fence;
	struct run_usage usage;
	const char *error_code, *error; /* error: JSON; NULL: none */
	const char *model; /* NULL: no event tells */
	struct uuid checkpoint_id; /* nil: none */
	int64_t checkpoint_step;
	uint8_t state_hash[HASH_LEN];
	int64_t created_at, started_at, completed_at; /* 0: not (yet) */
};

/*
 * All events of a run in their order.  Strings live in the arena.  CONFLICT:
 * the log itself is broken (a gap, a fence or step that goes back, a second
 * end), and no row can agree with it.
 */
enum as_status fold_events(const struct fold_event *events, int n,
    struct arena *arena, struct fold_run *out, struct error *err);

struct fold_difference {
	const char *column, *log, *row; /* static, in the arena */
};
#define FOLD_COLUMNS 13

/*
 * Where a row disagrees with the log; how many.  Not counted is what happens
 * without an event: a claim, a run taken back from a dead node (status queued
 * or running, a higher fence), the moment of the claim itself.
 */
int fold_compare(const struct fold_run *log, const struct fold_run *row,
    struct arena *arena, struct fold_difference out[FOLD_COLUMNS]);

/* A row as the log has it, but for what only the row can know. */
struct fold_run fold_mend(const struct fold_run *log,
    const struct fold_run *row);

#endif
