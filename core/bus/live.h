/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_LIVE_H
#define CORE_BUS_LIVE_H

/*
 * The text that is being written just now, of every thread of this process.
 *
 * Who writes appends, then publishes the piece; who joins, or fell behind,
 * copies what there is and goes on from its end.  So a slow reader costs
 * nothing: its deltas are merged into one.  Any thread.
 */

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/bus/bus.h"

struct live;

struct live_text {
	struct uuid run_id, message_id;
	int attempt;
	int64_t offset; /* where text begins, in bytes of the message */
	struct buf text; /* the caller buf_frees it */
};

struct live *live_new(void);
void live_free(struct live *l);

/* A message begins (again); what was there of that run is forgotten. */
void live_begin(struct live *l, struct uuid thread_id, struct uuid run_id,
    struct uuid message_id, int attempt);

/*
 * Appends whole characters and fills topic, run_id, message_id, attempt and
 * offset of m, to be published.  False: somebody else writes there by now, or
 * nobody.  Who has lost the run can neither add to nor end what the next
 * one writes.
 */
bool live_append(struct live *l, struct uuid thread_id, struct uuid run_id,
    int attempt, const char *text, size_t len, struct bus_msg *m);
void live_end(struct live *l, struct uuid thread_id, struct uuid run_id,
    int attempt);

/*
 * The text from byte `from` on, if message_id (nil: any) is being written in
 * that thread.  False: nothing is being written, or nothing beyond `from`.
 */
bool live_get(struct live *l, struct uuid thread_id, struct uuid message_id,
    int64_t from, struct live_text *out);

#endif
