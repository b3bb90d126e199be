/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_AMBIENT_H
#define CORE_RUN_AMBIENT_H

/*
 * What is special about a run that nobody watches: private to core/run.  It is
 * worked on like any other; what comes of it is found in the inbox, by the same
 * commit that ends it.  Runs of other kinds are left as they are.
 */

#include "core/run/work.h"

/* Its last answer. */
void ambient_report(struct work *w, struct work_commit *wc, const char *text);
/* It has ended without one. */
void ambient_failed(struct work *w, struct work_commit *wc,
    const struct error *why);
/* It does not wait for ever for this decision. */
void ambient_expires(const struct work *w, const struct work_commit *wc,
    struct run_item *item);

#endif
