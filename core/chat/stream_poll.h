/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_STREAM_POLL_H
#define CORE_CHAT_STREAM_POLL_H

/*
 * Events that another process has written, if the bus does not carry them, or
 * has lost them.  Once a second the heads of all logs that have readers on this loop are asked for, a
 * few hundred in one statement; a reader that is behind is told.
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
	void (*behind)(struct stream_head *h); /* may leave */
};

/* NULL on SQLite: there all events are written here. */
struct stream_poll *stream_poll_new(struct loop *loop, struct store *store);
void stream_poll_free(struct stream_poll *p); /* all have left; NULL is fine */
void stream_poll_join(struct stream_poll *p, struct stream_head *h);
void stream_poll_leave(struct stream_head *h); /* twice is fine */
void stream_poll_now(struct stream_poll *p); /* do not wait for the second */

#endif
