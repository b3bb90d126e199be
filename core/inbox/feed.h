/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_FEED_H
#define CORE_INBOX_FEED_H

/*
 * The live stream of a person's inbox, for a badge and a list that keep
 * themselves up to date: `ready` with the counts, then every change after the
 * cursor as `inbox_item`, each with the counts; `inbox_counts` where only they
 * have changed.  Nothing is missed; the counts of several changes that are sent
 * together are the same, those after all of them.  A cursor from before what is
 * still known is told to start over: it reads the list and goes on from the
 * head.
 */

#include "core/chat/stream.h"
#include "core/inbox/watch.h"

struct inbox_feed;

struct inbox_feed_config {
	struct loop *loop;
	struct inbox_watch *watch;
	struct access *access; /* as of a stream */
	struct chat_ctx ctx; /* who reads; arena is not used */
	int64_t after; /* -1: what happens from now on */
	const bool *ending; /* of the server: a page waits no more; or NULL */
};

/* NULL: no fiber. */
struct inbox_feed *inbox_feed_open(const struct inbox_feed_config *config,
    const struct stream_ops *ops, void *arg);
void inbox_feed_drained(struct inbox_feed *f);
void inbox_feed_close(struct inbox_feed *f); /* over is not called */

/*
 * The same as a page: waits until `until_ms` (of the loop; 0: not at all) for
 * the first change after `after`.  *frames is the caller's, *head the number to
 * go on with, *start_over as above.
 */
SUSPENDS enum as_status inbox_feed_page(const struct inbox_feed_config *config,
    int64_t limit, uint64_t until_ms, struct json_object **frames,
    struct inbox_counts *counts, int64_t *head, bool *start_over,
    struct error *err);

#endif
