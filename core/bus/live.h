/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_LIVE_H
#define CORE_BUS_LIVE_H

/*
 * The text that is being written just now: of every thread of this process,
 * and, of threads that have readers here, what other processes write.
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
 * that thread.  False: nothing is being written, or nothing beyond `from`, or
 * it is not here.
 */
bool live_get(struct live *l, struct uuid thread_id, struct uuid message_id,
    int64_t from, struct live_text *out);

/* Does this process write that? */
bool live_is_written(struct live *l, struct uuid thread_id,
    struct uuid message_id, int attempt);

/* ---- Text of other processes --------------------------------------- */

#define LIVE_MIRROR_MAX (4 * 1024 * 1024) /* bytes of one text */

/*
 * A piece that came by: thread, run, message, attempt and offset of m.  What
 * overlaps is had once.  After a gap only what is behind it is kept; whoever
 * has fetched it gives it `again`, and does not bring an old message back.  An
 * older attempt is nothing.  Of a thread's many texts, those that grew longest
 * ago make way.
 */
void live_mirror(struct live *l, const struct bus_msg *m, const char *text,
    size_t len, bool again);
/* Is all of it here from byte `from` on, if only so that it may go on? */
bool live_has(struct live *l, struct uuid thread_id, struct uuid message_id,
    int64_t from);
/* A run's message is over; or a thread has no readers in this process. */
void live_forget(struct live *l, struct uuid thread_id, struct uuid run_id);
void live_forget_thread(struct live *l, struct uuid thread_id);

#endif
