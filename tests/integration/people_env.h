/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_PEOPLE_ENV_H
#define TESTS_INTEGRATION_PEOPLE_ENV_H

/*
 * People and operators, for tests of runs that wait for them, on the bed of
 * engine_env.h.
 */

#include "tests/integration/engine_env.h"

/*
 * fn on a fiber, with a model that asks for these calls at once (NULL: none)
 * and then says "ok" and "well", and an agent with this policy (NULL: its
 * default).
 */
void people_run(void (*fn)(void), const char *policy, const char *a,
    const char *b, const char *c);
/* Sends the first message, under that policy. */
SUSPENDS void people_begin(void);
/* Until the run waits for n answers, and nothing is at work. */
SUSPENDS void people_wait(int n);

/* An answer to the newest question of the call with this ordinal. */
SUSPENDS struct engine_answer people_say(int ordinal, const char *type,
    const char *args);
SUSPENDS enum as_status people_respond(const struct engine_answer *a, int n);
SUSPENDS enum as_status people_answer(int ordinal, const char *type,
    const char *args); /* both */

/* Until the run is parked for n calls whose outcome is not known. */
SUSPENDS void people_wait_unknown(int n);
/* An operator decides about the newest call with this ordinal. */
SUSPENDS enum as_status people_resolve(int ordinal, const char *outcome,
    const char *result);

#endif
