/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_ENGINE_H
#define CORE_RUN_ENGINE_H

/*
 * The engine: runs as fibers of one loop, one engine a loop.
 *
 * A run is worked on by exactly one fiber, the owner of its fence.  What is
 * shown is committed first: model answer, then tools, then the next answer,
 * each step one transaction.  What happens from outside (cancel, drain) sets a
 * flag and wakes that fiber.  The engine gets ids, time and everything that
 * reaches out of the process through struct engine_env, so that it can be
 * driven by a simulation.
 */

#include <agentstudio/option.h>

#include "core/bus/breaker.h"
#include "core/bus/bus.h"
#include "core/bus/desk.h"
#include "core/bus/live.h"
#include "core/loop/fiber.h"
#include "core/run/run_store.h"
#include "core/run/world.h"

struct agent;
struct engine;
struct work;

struct engine_limits {
	int64_t max_steps; /* model calls of a run */
	int64_t max_tokens; /* of a run */
	int64_t max_wall_ms;
	int64_t ambient_steps, ambient_wall_ms; /* of runs of that kind */
	int64_t ambient_patience_ms; /* for a decision; 0: for ever */
	int64_t max_cost_micros; /* of a run, in micro-dollars; 0: no limit */
	const struct as_list *prices; /* see limits.h; borrowed */
	int64_t model_tries; /* of one answer, of one model */
	int64_t call_timeout_ms; /* of a model */
	int64_t tool_timeout_ms; /* where the tool says nothing */
	int parallel_tools;
	int subagents, subagent_depth; /* of one answer; of the root 0 */
	size_t max_output; /* bytes of a tool's result */
	int64_t compact_percent; /* of a window: see compact.h; 0: never */
	const struct as_list *windows; /* see limits.h; borrowed */
	int slots; /* runs at once on this loop */
	int reserved; /* of them for class priority alone */
	int64_t weight[RUN_CLASSES]; /* see run_claim_ask */
	int64_t promote_us[RUN_CLASSES];
};

struct engine_env {
	void *arg;
	struct uuid (*new_id)(void *arg);
	int64_t (*wall_us)(void *arg); /* corrected by the store's clock */
	/* Random in [0, n); for jitter. */
	uint32_t (*random)(void *arg, uint32_t n);
	/*
	 * May this process still believe in its lease?  Asked before each
	 * effect, claim and new run; NULL: always.
	 */
	bool (*trusted)(void *arg);
	/*
	 * A run is ready for whoever in this process has room: engine_rung
	 * for each engine.  NULL: there is only this one.
	 */
	void (*ring)(void *arg);
};

struct engine_config {
	struct loop *loop;
	struct run_store *runs;
	const struct world *world;
	struct bus *bus;
	struct live *live;
	struct breakers *breakers; /* of the whole process */
	struct desk *desk; /* the same; NULL: this engine is alone */
	struct engine_env env;
	struct engine_limits limits;
	/* A run has used a slot for so long; NULL: nobody wants to know. */
	void (
	    *slot_used)(void *arg, struct uuid agent_id, int class, int64_t ms);
	void *slot_arg;
	int64_t epoch; /* of this process; 0: this engine claims nothing */
};

struct engine *engine_new(const struct engine_config *config);
/* All runs must have ended; see engine_drain. */
void engine_free(struct engine *e);

/*
 * A run that is about to be created as this process's own: it has a slot, and
 * a cancel finds it, from now on.  NULL: no slot.  Ends with engine_begin or
 * engine_forget.
 */
struct work *engine_expect(struct engine *e, const struct run_create *c);
/*
 * st: why not.  If nobody knows whether it was, what may have been created is
 * looked for in a moment, and given back to the queue.
 */
void engine_forget(struct work *w, enum as_status st);
/*
 * It was: work on it.  message_id: what its message_start said.  agent: as
 * loaded a moment ago into arena, which is taken.  UNAVAILABLE: no fiber; w is
 * gone, the run stays claimed: hand it back with run_store_release.
 */
enum as_status engine_begin(struct work *w, struct uuid message_id,
    struct agent *agent, struct arena *arena, struct error *err);
/* May this process still believe in its lease? */
bool engine_is_trusted(const struct engine *e);
bool engine_has_slot(const struct engine *e);
int engine_active(const struct engine *e); /* runs, and claims under way */
/* A run was queued: the next free slot of this process claims at once. */
void engine_starve(struct engine *e);
/* The same for this engine alone: what env.ring comes to, on its loop. */
void engine_rung(struct engine *e);
/* Claims what is ready while there are slots; on a fiber. */
SUSPENDS void engine_claim(struct engine *e);

/*
 * Gives back what this process holds and nobody in it has worked on, now and at
 * the last look.  One engine of a process looks, every ENGINE_LOOK_MS or less
 * often: longer than a claim takes.  On a fiber.
 */
#define ENGINE_LOOK_MS 12000
SUSPENDS void engine_look(struct engine *e);

/*
 * Wakes the run's fiber if this engine has it: its row says cancelling.
 * Any engine may be asked; those who do not have it do nothing.
 */
void engine_notify_cancel(struct engine *e, struct uuid run_id);

/* How a run that is parked in recoverable_error goes on, or ends. */
struct engine_resume {
	const char *reason; /* of the event: retry, extended, ... */
	const char *model; /* another one, or NULL */
	bool extend; /* grant what the limits allow once more */
	const char *items_close; /* what its open items become */
	const struct error *why; /* of an end that is a failure, or NULL */
	struct uuid by; /* who decided, or nil */
	struct uuid item_id; /* the item that is answered; nil: all of them */
	/* One decision on a call whose outcome is unknown, or NULL. */
	const struct run_tool *decided; /* as its row becomes */
	const char *response_type, *response;
};

/*
 * A run that nobody works on ends now, as `to` says (cancelled, rolled back):
 * its history is repaired and its open items get the status items_close in the
 * same commit, one that is answered its response.  AS_CONFLICT: somebody has
 * just begun to work on it, or it has ended.  For any fiber of the loop.
 */
SUSPENDS enum as_status engine_end(struct engine *e, struct uuid run_id,
    enum run_status to, const struct engine_resume *how, struct error *err);

/*
 * Asks for the end of a run that holds its thread or waits for it: its owner is
 * told by its row, others end at once as by engine_end.  Harmless when it has
 * ended.  One with subagents ends behind them.  *asked: its row says cancelling
 * now; whoever works on it in this engine is woken.
 */
SUSPENDS enum as_status engine_cancel(struct engine *e, struct uuid run_id,
    bool rollback, const struct engine_resume *how, bool *asked,
    struct error *err);

/*
 * What a crash can leave behind: threads that are free while a run waits for
 * them, or held by one that has to make way.  Every now and then, by anybody.
 */
SUSPENDS void engine_unstall(struct engine *e);
/* A blocked run whose thread is free begins; AS_CONFLICT: it is not so. */
SUSPENDS enum as_status engine_unblock(struct engine *e, struct uuid run_id,
    struct error *err);

/*
 * Back to the queue, or, while other calls still wait for a decision, only
 * their row changes.  AS_CONFLICT: it is not parked (any more).
 */
SUSPENDS enum as_status engine_resume(struct engine *e, struct uuid run_id,
    const struct engine_resume *how, struct error *err);

/* What somebody says to one item of kind approval or question. */
struct engine_answer {
	struct uuid item_id;
	const char *type; /* accept edit response ignore */
	/*
	 * JSON.  edit: the whole new arguments, an object; response: a string
	 * or any value; else NULL.
	 */
	const char *args;
	const char *key; /* the same answer again is harmless */
	struct uuid by; /* nil: the item has expired */
};

/*
 * Answers to items of one run, in any order, all or none.  Approved calls are
 * made as soon as the agent's rule lets the run go on: after each answer, or
 * after the last.  AS_CONFLICT: one of them is not pending any more, by whom is
 * in err; AS_INVALID: its config or its tool does not allow it.  For any fiber
 * of the loop.
 */
SUSPENDS enum as_status engine_respond(struct engine *e, struct uuid run_id,
    const struct engine_answer *answers, int n, struct error *err);
/* What happens to items that nobody has answered in time; now and then. */
SUSPENDS void engine_expire(struct engine *e);

/*
 * Every run at work ends as soon as it can: model calls are cut short.  Others
 * own them by now.
 */
void engine_shed(struct engine *e);
/*
 * No new runs.  Those at work stop at their next step: a model is not waited
 * for, tools under way are, until until_ms.  Each goes back to the queue for
 * whoever has room.  On a fiber.
 */
SUSPENDS void engine_drain(struct engine *e, uint64_t until_ms);

/* Every event of a commit as frames on the bus, in order. */
void engine_publish(struct bus *bus, struct uuid thread_id, struct uuid run_id,
    const struct run_heads *before, const struct event_list *events,
    int64_t now_us);
/* The same for a run with a name space: a subagent. */
void engine_publish_ns(struct bus *bus, struct uuid thread_id,
    struct uuid run_id, const char *ns, const struct run_heads *before,
    const struct event_list *events, int64_t now_us);

/* A run of this store is due in wait_ms: claim then. */
void engine_due(struct engine *e, int64_t wait_ms);

/* The clock of the store as well as this process knows it. */
int64_t engine_now_us(struct engine *e);
struct uuid engine_new_id(struct engine *e);
uint32_t engine_random(struct engine *e, uint32_t n); /* in [0, n) */
int64_t engine_epoch(const struct engine *e);
/* The process has a new one; no run of the old one is at work any more. */
void engine_epoch_set(struct engine *e, int64_t epoch);
const struct engine_limits *engine_limits(const struct engine *e);

#endif
