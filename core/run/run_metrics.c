/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_metrics.h"

#include <stddef.h>

#include "core/base/counter.h"

/* Series are looked up by their labels each time: a run is no hot path. */

void
run_count_end(enum run_status status, double seconds)
{
	const char *labels[] = { run_status_name(status) };

	counter_add(counter_get(COUNTER, "runs_ended_total",
			"Runs that have ended, by their last state.", "status",
			labels),
	    1);
	histogram_observe(histogram_get("run_seconds",
			      "Time from a run's creation to its end.", NULL,
			      NULL),
	    seconds);
}

static void
tokens_add(const char *kind, int64_t n)
{
	const char *labels[] = { kind };

	if (n > 0)
		counter_add(counter_get(COUNTER, "model_tokens_total",
				"Tokens that models were sent and made.",
				"kind", labels),
		    (double)n);
}

void
run_count_tokens(int64_t input, int64_t output)
{
	tokens_add("input", input);
	tokens_add("output", output);
}

void
run_count_tool(const char *tool, const char *outcome)
{
	const char *labels[] = { tool, outcome };

	counter_add(counter_get(COUNTER, "tool_calls_total",
			"Tool calls that have ended.", "tool,outcome", labels),
	    1);
}

void
run_count_claim(int class, int lane)
{
	const char *labels[] = { run_class_name(class) };

	counter_add(counter_get(COUNTER, "run_claims_total",
			"Runs taken from the queue, by their class.", "class",
			labels),
	    1);
	if (lane < class)
		counter_add(counter_get(COUNTER, "run_promotions_total",
				"Runs whose age let them go before others of "
				"their class.",
				"class", labels),
		    1);
}

void
run_count_refused(const char *what)
{
	const char *labels[] = { what };

	counter_add(counter_get(COUNTER, "run_writes_refused_total",
			"Writes and decisions that came too late.", "what",
			labels),
	    1);
}

void
run_count_late(void)
{
	counter_add(counter_get(COUNTER, "tool_late_results_total",
			"Results accepted from an owner that had lost its run.",
			NULL, NULL),
	    1);
}
