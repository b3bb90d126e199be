/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_LIMITS_H
#define CORE_RUN_LIMITS_H

/*
 * What a run may use, and when it goes in circles.  Pure functions.
 */

#include "core/run/engine.h"

/* What a person has granted beyond the configured limits: runs.budget. */
struct run_budget {
	int64_t steps, tokens, cost_micros, repeats;
	int64_t wall_left_ms; /* of a run that waits for a person; 0: all */
};

/* Nobody watches a run of this kind. */
bool run_is_alone(const char *kind);
/* The limits of a run of this kind. */
struct engine_limits run_limits(const struct engine_limits *l,
    const char *kind);

/* NULL or anything that is no such object: nothing granted. */
void run_budget_parse(struct run_budget *b, const char *json);
void run_budget_write(struct buf *out, const struct run_budget *b);
/* Once more what the configuration allows. */
void run_budget_extend(struct run_budget *b, const struct engine_limits *l);

/* What a run has used. */
struct run_used {
	int64_t steps; /* model calls */
	int64_t tokens, cost_micros;
	int repeats; /* of the same calls in a row */
};

/* False: one limit is reached; err says which: LIMIT_REACHED, LOOP_DETECTED. */
bool run_limits_hold(const struct engine_limits *l,
    const struct run_budget *granted, const struct run_used *used,
    struct error *err);

/* At so many same calls in a row the model is told, at the next it stops. */
#define RUN_REPEATS_TOLD 3
#define RUN_REPEATS_NOTE "\n[this is the same call " /* how that begins */
#define RUN_REPEATS_MAX 5

/*
 * How many answers of the run in a row, the last one included, have asked for
 * the very same calls: tools and arguments.  0: the last one asked for none.
 */
int run_repeats(const struct run_history_row *rows, int n, struct uuid run_id);

/*
 * Tokens that a model can be told at once, by "provider/model=TOKENS"; 0: it is
 * not listed.
 */
int64_t run_window(const struct as_list *windows, const char *model);

/*
 * Micro-dollars of a model call.  prices: "provider/model=IN,OUT" in dollars a
 * million tokens, which is micro-dollars a token; a model without one is free.
 */
int64_t run_cost_micros(const struct as_list *prices, const char *model,
    int64_t input, int64_t output);

#endif
