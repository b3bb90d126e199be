/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_SWEEP_H
#define CORE_RUN_SWEEP_H

/*
 * Is there anything to sweep?  What a process looks for all the time is there
 * rarely: one statement that only reads says which of the others are worth it.
 */

#include "core/store/store.h"

struct sweep {
	bool silent; /* a process that may be dead: run_store_node_doom */
	bool vain; /* jobs held in vain: run_store_reap */
	bool cancels; /* of runs that this epoch holds: run_store_cancelling */
	bool breakers; /* open ones: breaker_sync */
	bool overdue; /* items: engine_expire */
};

/* epoch and max_age_us as for run_store_reap.  If it fails all may be there. */
SUSPENDS void sweep_look(struct store *store, int64_t epoch, int64_t max_age_us,
    struct sweep *out);

#endif
