/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_METRICS_H
#define CORE_RUN_RUN_METRICS_H

/* What /metrics says of runs.  Any thread. */

#include "core/run/run.h"

void run_count_end(enum run_status status, double seconds);
/* Less than 0: not said. */
void run_count_tokens(int64_t input, int64_t output);
void run_count_tool(const char *tool, const char *outcome);

/* lane: see run_claim. */
void run_count_claim(int class, int lane);
/* Writes and decisions that came too late: fence, state, late_result. */
void run_count_refused(const char *what);
void run_count_late(void); /* a late result that was accepted */

#endif
