/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_OUTBOX_H
#define CORE_HOOK_OUTBOX_H

/*
 * The rows of the outbox between a commit that wrote them and the receiver.
 *
 * Whoever takes a row has it for as long as a lease: its next_at moves there,
 * and its number of attempts, which is the fence of what is written about it
 * later.  A row goes when its message is delivered or given up; so a process
 * that dies in between lets another one send it again, under the same id.
 */

#include "core/base/arena.h"
#include "core/store/store.h"

struct seal;

struct outbox_row {
	int64_t id, attempts;
	struct uuid tenant_id, webhook_id, event_id;
	const char *event, *ref; /* ref: JSON */
};

/* In how many microseconds the next one is due; INT64_MAX: there is none. */
SUSPENDS enum as_status outbox_due(struct store *store, int64_t *in_us,
    struct error *err);
SUSPENDS enum as_status outbox_depth(struct store *store, int64_t *n,
    struct error *err);
/*
 * Up to max that are due, of webhooks whose secrets this process can open.
 * Rows live in the arena.
 */
SUSPENDS enum as_status outbox_take(struct store *store,
    const struct seal *seal, int64_t lease_us, int max, struct arena *arena,
    struct outbox_row **out, int *n, struct error *err);
/* They are over. */
SUSPENDS enum as_status outbox_remove(struct store *store, const int64_t *ids,
    int n, struct error *err);

/* What has become of a try. */
enum outbox_result {
	OUTBOX_DELIVERED = 1,
	OUTBOX_AGAIN, /* in wait_us */
	OUTBOX_FAILED, /* given up */
	OUTBOX_GONE, /* 410: no more of this webhook */
	OUTBOX_PAUSED /* it was not tried */
};

struct outbox_try {
	const struct outbox_row *row;
	enum outbox_result result;
	struct uuid run_id; /* nil: of no run */
	const char *body;
	int status; /* of the answer; 0: there was none */
	const char *error; /* or NULL */
	int64_t duration_ms, wait_us;
	int64_t tries; /* so many failures in a row pause a webhook */
	const char *url;
};

/*
 * What the delivery and its webhook say of it, and what its user hears: a
 * message that is given up, a webhook that is paused for it.
 */
SUSPENDS enum as_status outbox_record(struct store *store,
    const struct outbox_try *t, struct error *err);

/* Deliveries nobody has touched for keep_us, and rows without a webhook. */
SUSPENDS enum as_status outbox_prune(struct store *store, int64_t keep_us,
    struct error *err);

#endif
