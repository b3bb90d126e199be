/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_STREAM_IMPL_H
#define CORE_CHAT_STREAM_IMPL_H

/*
 * What the two halves of a stream share: stream.c (what comes by the bus, and
 * for the opener) and stream_log.c (catching up, on the pump's fiber).
 *
 * Invariant: outside that fiber everything up to `cursor` has been sent and, of
 * each open message, `pos` bytes.
 */

#include "core/base/mem.h"
#include "core/chat/pump.h"
#include "core/chat/queue.h"
#include "core/chat/stream_poll.h"
#include "core/chat/stream_text.h"

struct stream {
	struct pump p;
	struct stream_config c;
	struct bus_sub *sub;
	struct stream_head head;
	struct queue_watch queued; /* of the run that waits for a slot */
	int64_t cursor;
	struct open_texts texts; /* that are being written */
	int generation; /* of the cursor: raised by resume */
	int looked; /* the generation whose open messages are known */
	unsigned fetches;
	struct rcbuf *last; /* the event at the cursor; NULL: not sent by it */
	bool begun;
	bool doubted; /* the event at the cursor may be gone */
	bool parked; /* as far as it has been sent */
};

static inline struct stream *
stream_of(struct pump *p)
{
	return container_of(p, struct stream, p);
}

/* A server that took over may lack the last commits. */
static inline bool
stream_is_doubted(const struct stream *s)
{
	return s->doubted || s->head.timeline != store_timeline(s->c.store);
}

/* ---- stream.c ------------------------------------------------------ */

/* An event, and what follows from it.  False: the stream is closed. */
bool stream_send_event(struct stream *s, int64_t seq, int64_t run_seq,
    struct uuid run_id, const char *type, struct rcbuf *frame);
/* Everything after another cursor. */
void stream_turn(struct stream *s, int64_t cursor);
/* A piece of text from where its reader is. */
void stream_send_delta(struct stream *s, struct open_text *open, int attempt,
    const char *text, size_t len);
/* Tells where the run stands that waits for a slot. */
void stream_watch_queued(struct stream *s, struct uuid run_id,
    int64_t est_wait_ms);

/* ---- stream_log.c -------------------------------------------------- */

/* All that is in the log, after `ready` and the snapshot if they are due. */
SUSPENDS void stream_supply(struct pump *p);

#endif
