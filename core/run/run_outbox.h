/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_OUTBOX_H
#define CORE_RUN_RUN_OUTBOX_H

/*
 * Who is told outside when a run ends or waits, or waits in vain: a commit that
 * brings that about writes a row of the outbox, in its own transaction, for each webhook of the
 * run's user that wants to hear of it.  Private to the bodies of run_store.h,
 * but for the names.
 */

#include "core/run/batch.h"
#include "core/run/run_store.h"

/* "run.succeeded"; NULL: nobody hears of this state. */
const char *run_outbox_name(enum run_status s);
/* webhooks.event_mask of such a name, or of "run.*"; 0: it is none. */
int64_t run_outbox_mask(const char *name);

/* One thing that they are told. */
struct run_told {
	struct uuid run_id;
	struct uuid event_id; /* the same if it is told again */
	const char *name;
	int64_t bit; /* of webhooks.event_mask */
	const char *ref; /* what it says of this very moment: JSON text */
};

/* Does this commit move its own run to where a webhook may want to hear of it? */
bool run_outbox_tells(const struct run_commit *c);
/*
 * All that a commit tells: of its run, of items that nobody has answered, of
 * runs whose messages it has heard.  *out is the arena's.
 */
int run_outbox_list(struct arena *arena, const struct run_commit *c,
    struct run_told **out);
/*
 * Behind the guard, in its transaction; finds the run by the stamp of this very
 * commit.  Nothing if the commit tells nobody.
 */
void run_outbox_add(struct batch *b, const struct run_commit *c);

#endif
