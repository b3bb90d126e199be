/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_WORK_H
#define CORE_RUN_WORK_H

/*
 * One run while it is being worked on: private to core/run.
 *
 * The owner fiber alone commits.  What reaches out (a model request, each tool
 * call) runs on a child fiber that can be cancelled without harm to the owner;
 * a child fills its own heap struct, sets `done` and wakes the owner.
 */

#include "core/agent/agent.h"
#include "core/base/hash.h"
#include "core/run/engine.h"
#include "core/run/limits.h"
#include "core/run/wire.h"

#define WORK_CALLS_MAX 64 /* tool calls of one answer */
#define WORK_TEXT_MAX (1024 * 1024) /* bytes of one answer */

struct engine {
	struct engine_config c;
	struct work *works;
	int n_works;
	int n_claimers; /* fibers that look for more */
	bool draining, claiming;
	int n_lane[RUN_CLASSES]; /* of works, by what claimed them */
	int n_other; /* not of class priority */
	struct uuid last_tenant; /* of a claim */
	bool starved; /* a run was queued because there was no slot */
	bool held_back; /* and others, because the free slots are reserved */
	struct uuid *missing; /* held, but not worked on, at the last look */
	int n_missing;
	struct loop_timer due; /* a run that waits for its time */
};

struct work {
	struct work *next, *prev; /* of the engine's list */
	struct engine *e;
	struct fiber_ref fiber;
	struct fiber_wait wait; /* of the owner, while it waits for children */
	struct arena *arena;
	struct uuid run_id, thread_id;
	int class, lane; /* see run_claim */
	struct uuid last_id; /* of the thread's last message */
	struct uuid message_id; /* of the answer that is being written */
	struct run_state state;
	struct agent *agent;
	struct arena *history_arena; /* of history; each step has a new one */
	struct run_history_row *history;
	int n_history;
	struct hash chain; /* since the last checkpoint; see work_checkpoint */
	const char *model;
	struct run_budget granted;
	uint64_t wall_end_ms; /* loop clock */
	uint64_t begun_ms; /* the same */
	/* For the next commit. */
	int64_t spent_tokens, spent_micros;
	bool has_spent;
	unsigned breaker_turn; /* of the call under way */
	const char *breaker_service; /* its breaker has changed, or NULL */
	enum breaker_state breaker;

	bool cancel; /* the row says cancelling, or soon will */
	bool drain; /* stop at the next step; tools at work may end */
	bool abort; /* stop now */
	bool lost; /* the fence has moved: write nothing more */
	bool gave_up; /* the store takes no commit of ours */
	bool distrusted; /* our lease may be over: we have stopped ourselves */
	bool resumed; /* calls found started may have been sent before us */
	bool guest; /* it is not ours: see settle.c */
	bool takes_over; /* nobody owns it: the next commit moves the fence */
	bool asks; /* calls of the step wait for a person */
	bool look; /* one of them may have its answer */
	bool message_open; /* message_start is out, message_end is not */
	struct uuid *unsent; /* calls that were never begun, in arena */
	int n_unsent;
};

struct work_commit;
typedef SUSPENDS enum as_status work_fill_fn(struct work *w,
    struct work_commit *wc, struct error *err);

/* A commit under construction; see work_commit. */
struct work_commit {
	struct run_commit c;
	struct event_list events;
	struct run_message *messages;
	struct run_tool *tools_new, *tools_done;
	struct run_item *items;
	struct run_child *children;
	struct event_list told; /* of its parent: see child.h */
	struct arena *arena;
	/*
	 * What is written to other runs of the thread depends on its head, so
	 * it is composed before each try; NULL: nothing.
	 */
	work_fill_fn *fill;
	int n_own_events; /* those before fill adds some; -1: not yet known */
	int64_t filled_at; /* the head that it was composed for; -1: none */
	struct event_list *unblock_events;
	int n_unblock_events;
};

enum work_turn {
	WORK_GOES_ON,
	WORK_ENDED
};

/* ---- engine.c, slots.c --------------------------------------------- */

/* A fiber for what was claimed; not AS_OK: it is to be given back. */
enum as_status engine_work(struct engine *e, const struct run_claim *c,
    struct error *err);
/* A slot is free, or may be used by those who were held back. */
void engine_slot_freed(struct engine *e);

/* ---- work.c: loading and committing -------------------------------- */

/* True: st is of a kind that passes, and a while has passed since. */
SUSPENDS bool work_wait_retry(struct work *w, enum as_status st, int attempt);
SUSPENDS enum as_status work_load(struct work *w, struct error *err);
/* The calls of the step, in the arena; waits for a store that is away. */
SUSPENDS enum as_status work_read_tools(struct work *w, struct arena *arena,
    struct run_tool **rows, int *n, struct error *err);
SUSPENDS enum as_status work_reload_history(struct work *w, struct error *err);
/* What others may have done in the thread since it was looked at. */
void work_state_look(struct work *w, const struct run_state *now);
/* Does it make sense to wait for the store and try again, and how long? */
bool work_is_passing(enum as_status st);
uint64_t work_backoff_ms(struct work *w, int attempt);
/* The hash of the history so far, from the last checkpoint on. */
void work_chain_begin(struct work *w);
void work_chain_add(struct work *w, const char *role, const char *parts);
void work_commit_init(struct work *w, struct work_commit *wc);
struct run_message *work_add_message(struct work *w, struct work_commit *wc,
    const char *role);
/* The answer that comes next: a new message_id, message_start. */
void work_message_start(struct work *w, struct work_commit *wc);
/* The answer is over: its length, hash, reason, and usage (JSON or NULL). */
void work_message_end(struct work *w, struct work_commit *wc, const char *text,
    size_t len, const char *why, const char *usage);
/* After a message's members are set: its message_created event. */
void work_message_created(struct work *w, struct work_commit *wc,
    const struct run_message *m);
/* What was written, in the arena; b is empty then. */
const char *work_text(struct work_commit *wc, struct buf *b);
void work_checkpoint(struct work *w, struct work_commit *wc);
/*
 * Commits, publishes and keeps w->state true.  Retries what can be retried.
 * AS_CONFLICT: the run is now cancelling, nothing was written.  AS_CANCELED:
 * the fence is lost (w->lost).
 */
SUSPENDS enum as_status work_commit(struct work *w, struct work_commit *wc,
    struct error *err);
void work_commit_fini(struct work_commit *wc);
void work_caller(const struct work *w, struct plug_caller *who);
/*
 * On the fiber of a request to the model: the time it has, who asks, and its key
 * in the namespace ns, which lives as long as who.
 */
void work_ask_begin(const struct work *w, const char *ns,
    struct plug_caller *who, char key[RUN_IDEM_KEY]);
/* Until the child is done; it is ended as soon as the run must stop. */
SUSPENDS void work_child_wait(struct work *w, struct fiber_ref child,
    const bool *done);
bool work_must_stop(const struct work *w);
uint64_t work_wall_left(const struct work *w); /* ms */
/* Of a run of its kind. */
struct engine_limits work_limits(const struct work *w);
/* What a model call has used, whether it led to anything or not. */
void work_spend(struct work *w, const struct plug_chat_end *end);

/* ---- answer.c, tools.c, finish.c ----------------------------------- */

SUSPENDS enum work_turn work_answer(struct work *w);
SUSPENDS enum work_turn work_tools(struct work *w);
SUSPENDS void work_finish_cancel(struct work *w, const char *text, size_t len);
SUSPENDS void work_fail(struct work *w, const struct error *why,
    const char *text, size_t len);

/*
 * The text so far becomes a message of its own; nothing was said: no message.
 */
void work_keep_partial(struct work *w, struct work_commit *wc, const char *text,
    size_t len, const char *why);

/* How a run ends; nothing of it is left open. */
struct work_ending {
	enum run_status to;
	const char *reason; /* of the event, or NULL */
	const struct error *why; /* NULL: not an error */
	const char *dead_reason; /* a dead letter is kept */
	const char *items_close; /* what its open items become */
	const struct engine_resume *decision; /* a person's, or NULL */
	const char *text; /* shown of an answer so far */
	size_t len;
};
SUSPENDS enum as_status work_end(struct work *w, const struct work_ending *end);

/* ---- park.c: it stops here and goes on later ------------------------ */

/* A person has to decide: recoverable_error, with an item. */
SUSPENDS void work_park(struct work *w, const struct error *why,
    const char *text, size_t len);
/*
 * The same because nobody knows whether n calls have happened, in the commit
 * that has their items.
 */
void work_park_unknown(struct work *w, struct work_commit *wc, int n);
/* One more item of the commit; and its event, when its members are set. */
struct run_item *work_item_add(struct work *w, struct work_commit *wc,
    const char *kind);
void work_item_event(struct work_commit *wc, const struct run_item *t);
/* Items for a person: a call whose outcome nobody knows; an error. */
void work_item_unknown(struct work *w, struct work_commit *wc,
    const struct run_tool *t);
void work_item_error(struct work *w, struct work_commit *wc, const char *kind,
    const struct error *why);
/* What a person has decided, for the item that asked for it. */
void work_item_answer(struct work_commit *wc, const struct engine_resume *how);
/* Again in wait_ms, as try number attempt + 1, or with another model. */
SUSPENDS void work_wait(struct work *w, const struct error *why,
    int64_t wait_ms, int64_t attempt, const char *model);
/* Back to the queue at once: this process stops. */
SUSPENDS void work_yield(struct work *w);
/*
 * settle.c: a run that nobody works on, for the fiber of whoever asks; set
 * whatever comes of it, in no engine's list.
 */
SUSPENDS enum as_status work_guest(struct engine *e, struct uuid run_id,
    struct work **out, struct error *err);
void work_guest_free(struct work *w);
/* The parts of a tool's message, as JSON text in the commit's arena. */
bool work_is_unsent(const struct work *w, struct uuid call_id);
/* Is there a message with this call's result? */
bool work_is_answered(const struct work *w, const struct run_tool *row);
const char *work_result_parts(struct work_commit *wc, const char *call_id,
    const char *text, bool is_error);

/* ---- blocked.c: the thread's other runs ----------------------------- */

/* Between two steps: whoever interrupts is let by, whoever steers is heard. */
SUSPENDS void work_heed(struct work *w);
/* What a commit that frees the thread does for the next one: its fill. */
SUSPENDS enum as_status work_fill_next(struct work *w, struct work_commit *wc,
    struct error *err);
void work_fill_clear(struct work_commit *wc);
/* After it was written: its frames, and whoever has room is told. */
void work_unblocked(struct work *w, const struct run_commit *c);
/* The run has just been parked, and somebody waits behind it. */
SUSPENDS void work_step_aside(struct work *w);

#endif
