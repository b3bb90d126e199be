/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_QUEUE_H
#define CORE_CHAT_QUEUE_H

/*
 * The queue as people see it: how full it is, where in it a run stands, how
 * long that may take.  Numbers of a moment ago; the claim alone decides.
 *
 * One a loop.  It knows tenants and classes, never single runs: what waits
 * costs nothing here but for those that somebody watches.
 */

#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/store/store.h"

struct queue;

struct queue_config {
	struct loop *loop;
	struct store *store;
	int64_t max_tenant, max; /* runs that may wait; 0: any number */
};

struct queue *queue_new(const struct queue_config *config);
void queue_stop(struct queue *q); /* its timers; NULL does nothing */
void queue_free(struct queue *q); /* its fibers have ended */

/* Where a run stands. */
struct queue_place {
	bool waits; /* else it does not, or nobody knows */
	int64_t position; /* from 1 */
	int64_t est_wait_ms; /* -1: nobody knows */
};

/*
 * May one more run of this tenant wait?  RATE_LIMITED with retry_after if not;
 * else it counts as one, and *out is its place.  A NULL queue has room.
 */
SUSPENDS enum as_status queue_admit(struct queue *q, struct uuid tenant_id,
    int class, struct queue_place *out, struct error *err);
/* Nothing waits, or is unknown: *out is all zero. */
SUSPENDS void queue_place(struct queue *q, struct uuid run_id,
    struct queue_place *out);
/* Numbers not older than this from now on; also the gauges of /metrics. */
SUSPENDS void queue_refresh(struct queue *q, uint64_t max_age_ms);

/* A run of this agent has used a slot for so long. */
void queue_learn(struct queue *q, struct uuid agent_id, int class, int64_t ms);

/* ---- Watching ------------------------------------------------------ */

#define QUEUE_TELL_MS 5000

/* Who wants to know when the wait of a run has changed by a quarter. */
struct queue_watch {
	struct queue_watch *next, *prev;
	struct queue *q; /* NULL: it watches nothing */
	struct uuid run_id;
	int64_t told; /* est_wait_ms, or the position if that is unknown */
	void (*fn)(struct queue_watch *w, const struct queue_place *p);
};

/* fn is called every QUEUE_TELL_MS at most, on the loop; may leave. */
void queue_watch(struct queue *q, struct queue_watch *w, struct uuid run_id,
    int64_t told);
void queue_unwatch(struct queue_watch *w); /* harmless twice */

#endif
