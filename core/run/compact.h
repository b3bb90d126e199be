/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_COMPACT_H
#define CORE_RUN_COMPACT_H

/*
 * When a history comes near the model's window, its older part is told once
 * more in a few words, by the model itself: a message of role system with one
 * part of type summary, which stands in for what it covers from then on.  The
 * messages stay stored.
 *
 * The part has `keeps`: so many messages right before it are still told as they
 * are.  A cut never stands between a call and its result, and the last question
 * is told in any case.  All of this file but work_compact is pure.
 */

#include "core/run/work.h"

#define COMPACT_ALWAYS (-1) /* limits.compact_percent of a replay */

/*
 * Tokens of a text without asking its model: one for each four bytes, begun
 * ones count, and four for each message.
 */
int64_t compact_tokens(const char *text);
int64_t compact_estimate(const struct run_history_row *rows, int n);

/* What a history_build is made of. */
struct compact_view {
	int from; /* rows before it are left out */
	int question; /* but for this one; -1: it is not before from */
	const char *summary; /* of what is left out, in memory of parts; NULL */
	struct json_object *parts; /* of the summary; to be put */
};

void compact_view(struct compact_view *v, const struct run_history_row *rows,
    int n);

struct compact_plan {
	int from, cut; /* rows from .. cut - 1 become the summary */
	int64_t tokens, window;
};

/*
 * Is it time?  fixed: tokens of the prompt and the tools.  percent: of the
 * window.  What stays is about a quarter of it.
 */
bool compact_due(struct compact_plan *p, const struct run_history_row *rows,
    int n, int64_t fixed, int64_t window, int64_t percent);

/* The request for a summary of what the plan says, as messages for a model. */
struct json_object *compact_request(const struct compact_plan *p,
    const struct run_history_row *rows, int n);

/* Before the model is asked: true: there was a summary to make first. */
SUSPENDS bool work_compact(struct work *w);

#endif
