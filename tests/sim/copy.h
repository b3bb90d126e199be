/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_COPY_H
#define TESTS_SIM_COPY_H

/* What a request says, in an arena, for one that outlives who made it. */

#include "core/run/run_store.h"

struct run_create *run_create_copy(struct arena *a, const struct run_create *c);
struct run_commit *run_commit_copy(struct arena *a, const struct run_commit *c);
struct run_tool *run_tools_copy(struct arena *a, const struct run_tool *t,
    int n);
struct run_answer *run_answers_copy(struct arena *a,
    const struct run_answer *answers, int n);

#endif
