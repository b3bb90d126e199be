/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_WATCH_H
#define CORE_INBOX_WATCH_H

/*
 * Who on this loop waits for news of his inbox.  When the bell rings
 * (core/run/item_bell.h), and once a second for what other processes have
 * done, one fiber looks for new changes and tells those whom they concern;
 * nobody waits: nothing is asked.
 *
 * One a loop, on its thread.
 */

#include "core/inbox/changes.h"

#define WATCH_MS 1000 /* what another process does is seen so late */

struct inbox_watch;

struct watcher {
	struct watcher *next, **at; /* the watch's own; at NULL: not in it */
	struct principal who;
	void (*news)(struct watcher *w); /* may leave, and others may */
};

struct inbox_watch *inbox_watch_new(struct loop *loop, struct store *store,
    struct bus *bus);
/* All have left, its fiber has ended; NULL is fine. */
void inbox_watch_free(struct inbox_watch *w);
void inbox_watch_join(struct inbox_watch *w, struct watcher *who);
void inbox_watch_leave(struct inbox_watch *w,
    struct watcher *who); /* twice is fine */

#endif
