/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_RUN_ENV_H
#define TESTS_INTEGRATION_RUN_ENV_H

/*
 * An agent, a thread and an engine on the database of store_env.h, with the
 * model and the tools of fake_plug.h.
 */

#include "core/chat/chat.h"
#include "tests/integration/fake_plug.h"
#include "tests/integration/store_env.h"

struct engine_test {
	struct chat_ctx ctx;
	struct engine *engine;
	struct run_store *runs;
	struct world *world;
	struct bus *bus;
	struct live *live;
	struct arena *arena;
	struct uuid agent_id, thread_id;
	struct uuid run_id; /* of the last message that was sent */
	int64_t epoch;
};

extern struct engine_test et;

/* Runs fn on a fiber, all of the above new; false: no such database. */
bool et_run(void (*fn)(void), const struct fake_turn *turns, int n);

SUSPENDS void et_send(const char *text); /* waits for nothing */
SUSPENDS void et_wait_end(void);
SUSPENDS void et_say(const char *text); /* both */
SUSPENDS void et_cancel(bool rollback);
SUSPENDS void et_until_text(const char *text);
SUSPENDS void et_until_hanging(int n); /* tools */
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
/* The process dies now, or stops in order; another one takes its runs. */
SUSPENDS void et_take_over(bool dies);

/* $1 is the last run, $2 its thread. */
void et_sql(const char *text);
int64_t et_int(const char *text);
bool et_status_is(const char *status);

#endif
