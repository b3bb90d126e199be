/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_MUTANT_H
#define CORE_RUN_MUTANT_H

/*
 * Mistakes that the simulator (tests/sim) must find.  They exist only in its
 * own build of these files, with -DSIM_MUTANTS, and are chosen at run time;
 * anywhere else MUTANT() is nothing.
 */

#include <stdint.h>

#include "core/loop/loop.h"

#ifdef SIM_MUTANTS

enum mutant {
	MUTANT_NONE,
	/* Of the store; see tests/sim/model_store.h. */
	MUTANT_NO_FENCE,
	MUTANT_REAP_ANY,
	MUTANT_UNLOCK_LATER,
	MUTANT_LATE_TWICE,
	/* Of the engine. */
	MUTANT_DISPATCH_EARLY, /* before the intent is durable */
	MUTANT_KEY_ATTEMPT, /* the key of a call names its attempt */
	MUTANT_PUBLISH_EARLY, /* before the commit */
	MUTANT_RESEND_UNSAFE, /* a call that must not be repeated is */
	MUTANT_UNASKED, /* a call is made before a person has said so */
	MUTANT_BY_POSITION, /* answers go to calls in their order */
	MUTANT_PARK_BLIND, /* a run waits without having seen an answer */
	MUTANT_JUMP_QUEUE, /* the last one that waits is the next */
	MUTANT_LAST_
};

extern int mutant; /* of this process */
#define MUTANT(m) (mutant == MUTANT_##m)
#define MUTANT_DO(m, statement) \
	do \
		if (MUTANT(m)) \
			statement; \
	while (0)

struct run_asked;
struct run_tool;
struct work;

/* tests/sim/mutants.c: what some of them do. */
SUSPENDS void mutant_dispatch(struct work *w, const struct run_tool *calls,
    int n);
const char *mutant_key(const char *key, int64_t fence);
const struct run_asked *mutant_answer(const struct run_asked *all, int n,
    int nth);

#else

#define MUTANT(m) 0
#define MUTANT_DO(m, statement) ((void)0)

#endif

#endif
