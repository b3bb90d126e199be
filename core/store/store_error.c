/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_priv.h"

#include <json-c/json.h>
#include <pthread.h>

/* What both databases report in the same words, and what they count. */

enum as_status
store_conflict(struct error *err, const char *constraint, const char *detail)
{
	error_set(err, ERR_CONFLICT, "%s: %s", constraint, detail);
	if (err != NULL)
		error_member_str(err, "constraint", constraint);
	return AS_CONFLICT;
}

void
store_error_unknown(struct error *err)
{
	if (err != NULL)
		error_member(err, "unknown", json_object_new_boolean(1));
}

static struct store_metrics metrics;

static struct counter *
count(const char *name, const char *help)
{
	return counter_get(COUNTER, name, help, NULL, NULL);
}

static void
metrics_init(void)
{
	metrics.reads = count("store_reads_total",
	    "Reads that were handed to a reader or a connection.");
	metrics.reads_now = count("store_reads_now_total",
	    "Reads answered on the loop itself.");
	metrics.writes = count("store_writes_total",
	    "Write requests, each atomic.");
	metrics.batches = count("store_commits_total",
	    "Commits; writes over commits is the size of a batch.");
	metrics.resent = count("store_resent_total",
	    "Writes sent again alone because their batch failed.");
	metrics.reconnects = count("store_reconnects_total",
	    "Connections to the database that were lost.");
	metrics.up = counter_get(GAUGE, "store_connections",
	    "Connections that serve; on SQLite 1 while it takes writes.", NULL,
	    NULL);
	metrics.commit = histogram_get("store_commit_seconds",
	    "From the first statement of a batch to its commit.", NULL, NULL);
	metrics.wait = histogram_get("store_wait_seconds",
	    "Time that a write waited for its turn.", NULL, NULL);
}

const struct store_metrics *
store_metrics(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, metrics_init);
	return &metrics;
}
