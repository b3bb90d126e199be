/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_STREAM_POLL_H
#define CORE_CHAT_STREAM_POLL_H

/*
 * Events that another process has written, if the bus does not carry them, or
 * has lost them.  Once a second the heads of all logs that have readers on this
 * loop are asked for, a few hundred in one statement; a reader that is behind is
 * told.  So is one that may have seen what is gone: it has seen more than there
 * is, or another server has taken over, which may lack the last commits.
 *
 * One a loop, on its thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/store/store.h"

#define STREAM_POLL_MS 1000

struct stream_poll;

/* A log and how far its reader is; the reader's memory. */
struct stream_head {
	struct stream_head *next, **at; /* the poll's own; at NULL: not in it */
	unsigned *n; /* the poll's own: its readers */
	struct uuid id; /* of the thread, or of the run */
	bool by_run;
	const int64_t *cursor;
	int64_t asked; /* the poll's own: the cursor when it last asked */
	unsigned timeline; /* of the database that had what was seen */
	void (*behind)(struct stream_head *h); /* both may leave */
	void (*doubted)(struct stream_head *h);
};

/* NULL on SQLite: there all events are written here. */
struct stream_poll *stream_poll_new(struct loop *loop, struct store *store);
void stream_poll_free(struct stream_poll *p); /* all have left; NULL is fine */
void stream_poll_join(struct stream_poll *p, struct stream_head *h);
void stream_poll_leave(struct stream_head *h); /* twice is fine */
void stream_poll_now(struct stream_poll *p); /* do not wait for the second */

#endif
