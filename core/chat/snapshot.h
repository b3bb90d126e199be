/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_SNAPSHOT_H
#define CORE_CHAT_SNAPSHOT_H

/*
 * What somebody who joins a thread is told at once: `ready`, and a snapshot of
 * everything up to snapshot_seq.  The head is read first, so what the messages
 * hold beyond it comes again as events: doubled, never missing.
 */

#include "core/chat/stream.h"
#include "core/chat/stream_text.h"

#define SNAPSHOT_MESSAGES 50

struct snapshot {
	struct rcbuf *ready, *frame;
	int64_t seq;
	struct open_texts texts; /* being written, as the snapshot has them */
	struct uuid queued_id; /* the run, if it waits for a slot; or nil */
	int64_t est_wait_ms; /* of it, as the snapshot says */
};

SUSPENDS enum as_status snapshot_read(const struct stream_config *c,
    struct snapshot *out);
void snapshot_clear(struct snapshot *s);

#endif
