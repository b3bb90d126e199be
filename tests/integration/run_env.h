/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_RUN_ENV_H
#define TESTS_INTEGRATION_RUN_ENV_H

/*
 * For tests of what is made of a run's log afterwards: what happens to the last
 * run of the bed of engine_env.h.
 */

#include "tests/integration/engine_env.h"

SUSPENDS void et_say(const char *text); /* and waits for the end */
/*
 * The run before the last one was ended by its message; the last one is ended
 * now, and the former is the one that is looked at.
 */
SUSPENDS void et_cancel_last(bool rollback);
/* A parked run goes on, to its next end or wait; decided: see engine.h. */
SUSPENDS void et_resume(const struct run_tool *decided);
/* A new run takes up what the last one was asked; it becomes the last one. */
SUSPENDS void et_take_up(void);
/* The call of the last run that waits for a decision: all but its outcome. */
SUSPENDS void et_unknown(struct run_tool *row);

/* $1 is the last run, $2 its thread. */
void et_sql(const char *text);
int64_t et_int(const char *text);
bool et_status_is(const char *status);

#endif
