/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_ENGINE_ENV_H
#define TESTS_INTEGRATION_ENGINE_ENV_H

/*
 * An engine on one of the databases of store_env.h, with the model and the
 * tools of fake_plug.h, an agent, and a thread of it: what each test of the
 * engine stands on.  Everything is made anew for each test and used on its
 * fiber.
 */

#include "core/chat/chat.h"
#include "core/run/work.h"
#include "tests/integration/fake_plug.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

struct test_bed {
	struct chat_ctx ctx;
	struct engine *engine;
	struct run_store *runs;
	struct world *world;
	struct bus *bus;
	struct live *live;
	struct breakers *breakers;
	struct arena *arena; /* until the test's end */
	struct error err;
	struct uuid agent_id, thread_id;
	struct uuid run_id; /* that the last message has started */
	int64_t epoch;
	enum run_multitask multitask; /* of bed_send; 0: the default */
	bool distrust; /* no engine believes in its lease */
	uint64_t drain_until; /* 0: tools at work are not waited for */
};

extern struct test_bed bed;

/* fn on a fiber, with a model that answers with these turns. */
void bed_run(void (*fn)(void), const struct fake_turn *turns, int n);
/*
 * Another engine of bed.epoch.  An engine of another epoch has learnt that its
 * lease is over.
 */
struct engine *bed_engine(void);

SUSPENDS enum as_status bed_send(const char *text);
SUSPENDS void bed_until_hanging(int n); /* tools */
/* A message whose run comes to n tools that hang. */
SUSPENDS void bed_send_hanging(int n);
SUSPENDS void bed_wait_end(void); /* of all that is at work */
SUSPENDS void bed_wait_idle(struct engine *e); /* the same, of this one */
SUSPENDS void bed_until(const char *status); /* of the run */
SUSPENDS void bed_until_text(const char *text); /* as it is shown so far */
SUSPENDS void bed_cancel(bool rollback);
/* The parked run goes on: see run_resume. */
SUSPENDS enum as_status bed_resume(const char *action, const char *model);
struct engine_limits *bed_limits(void); /* of bed.engine; may be changed */
/* The process stops at this point, in order or dead. */
SUSPENDS void bed_stop(bool dies);
/* Another one goes on with its runs; says how many it had to take back. */
SUSPENDS int bed_next(void);
/* Both, and nothing hangs any more. */
SUSPENDS void bed_restart(bool dies);
/*
 * Another process takes over what bed.engine has, which does not notice: it is
 * returned and goes on.  Nothing is claimed yet.
 */
SUSPENDS struct engine *bed_usurp(void);

/* fake_release, after some turns of the loop. */
void bed_release_soon(void);

/* Blocking; the third parameter is the tenant. */
void bed_sql(const char *text, struct uuid a, struct uuid b);
/* A number; the only parameter is the run. */
SUSPENDS int bed_count(const char *text);
/* Of the run: calls in a state; items; events of a type. */
SUSPENDS int bed_calls(const char *state);
SUSPENDS int bed_items(const char *kind, const char *status);
SUSPENDS int bed_questions(const char *status); /* approvals too */
SUSPENDS int bed_events_of(const char *type);
/* The first value of the first row, "" if there is none; ditto. */
SUSPENDS const char *bed_text(const char *text);
/* A member of the run as people see it, as JSON. */
SUSPENDS const char *bed_run_member(const char *key);
/* Types of all events of the thread, with states, as one line. */
SUSPENDS const char *bed_events(void);
/* Why the run was begun, each time, as one line. */
SUSPENDS const char *bed_starts(void);
/* The run's thread has this status, and a run if it is not idle. */
SUSPENDS bool bed_thread_is(const char *status);
SUSPENDS int bed_jobs(void); /* of the run */
/* i: from the first message, or, if negative, from the last. */
SUSPENDS void bed_message(int i, const char *role, const char *content,
    const char *state);

#endif
