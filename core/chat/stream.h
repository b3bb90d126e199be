/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_STREAM_H
#define CORE_CHAT_STREAM_H

/*
 * A reader of a thread or of a run: everything after a cursor, then live, in
 * order, without a gap and without a doubled event.
 *
 * Events come from the bus while they follow one another; at the first gap, at
 * the start, and when another process has written some (stream_poll.h), a
 * short-lived fiber reads the log until it has caught up.
 * Text deltas are compared with the byte position that this reader has; what
 * is missing is taken from the text being written, which the fiber fetches if
 * another process writes it.  A reader that is slow gets
 * no deltas, then one merged delta when it has drained; one that stays slow is
 * told so (STREAM_SLOW).  A producer never waits.
 *
 * All on one loop's thread.  Callbacks may close the stream.
 */

#include "core/bus/bus.h"
#include "core/bus/bus_redis.h"
#include "core/bus/live.h"
#include "core/chat/chat.h"

struct access;
struct stream;
struct stream_poll;

enum stream_over {
	STREAM_RUN_ENDED = 1, /* all of the run, or all until it is parked */
	STREAM_SLOW, /* the reader did not drain in time */
	STREAM_SIGNED_OUT, /* the session of who reads has ended */
	STREAM_ROLE_CHANGED, /* they are not who they were */
	STREAM_NO_THREAD, /* it is not theirs any more */
	STREAM_BROKEN /* the store cannot be read */
};

struct stream_ops {
	/* id is the cursor after this frame, or -1 for a live one. */
	void (*send)(void *arg, const char *type, int64_t id,
	    struct rcbuf *frame);
	size_t (*pending)(void *arg); /* bytes on their way to the reader */
	void (*over)(void *arg, enum stream_over why); /* the last call */
};

struct stream_config {
	struct loop *loop;
	struct store *store;
	struct bus *bus;
	struct live *live;
	struct bus_link *link; /* NULL: nobody else writes text */
	struct stream_poll *poll; /* NULL: all events come by the bus */
	struct access *access; /* NULL: nobody looks whether they still may */
	struct chat_ctx ctx; /* who reads; arena is not used */
	struct uuid thread_id;
	struct uuid run_id; /* nil: all runs of the thread */
	bool by_run; /* the cursor is run_seq, only this run is sent */
	bool snapshot; /* begin with `ready` and a snapshot */
	bool ready; /* begin with `ready` */
	bool until_parked; /* over as well when run_id waits for a decision */
	int64_t after;
};

#define STREAM_HIGH_WATER (256 * 1024)
#define STREAM_SLOW_MS 30000

/* UNAVAILABLE: no fiber. */
struct stream *stream_open(const struct stream_config *config,
    const struct stream_ops *ops, void *arg);
/* The tail anew, after another cursor. */
void stream_resume(struct stream *s, int64_t after);
/* The same person has shown another credential. */
void stream_renew(struct stream *s, const struct principal *who);
void stream_drained(struct stream *s); /* pending has become small */
void stream_close(struct stream *s); /* over is not called; NULL is fine */

#endif
