/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_OUTBOX_H
#define CORE_RUN_RUN_OUTBOX_H

/*
 * Who is told outside when a run ends or waits: a commit that brings that about
 * writes a row of the outbox, in its own transaction, for each webhook of the
 * run's user that wants to hear of it.  Private to the bodies of run_store.h,
 * but for the names.
 */

#include "core/run/batch.h"
#include "core/run/run_store.h"

/* "run.succeeded"; NULL: nobody hears of this state. */
const char *run_outbox_name(enum run_status s);
/* webhooks.event_mask of such a name, or of "run.*"; 0: it is none. */
int64_t run_outbox_mask(const char *name);

/* Does this commit bring about what a webhook may want to hear of? */
bool run_outbox_tells(const struct run_commit *c);
/* What the event says of this very moment: JSON text in the arena. */
const char *run_outbox_ref(struct arena *arena, const struct run_commit *c);
int64_t run_outbox_bit(enum run_status s);
/*
 * Behind the guard, in its transaction; finds the run by the stamp of this very
 * commit.  Nothing if the commit tells nobody.
 */
void run_outbox_add(struct batch *b, const struct run_commit *c);

#endif
