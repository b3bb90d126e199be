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
#include "core/run/engine.h"
#include "core/run/wire.h"

#define WORK_CALLS_MAX 64 /* tool calls of one answer */
#define WORK_TEXT_MAX (1024 * 1024) /* bytes of one answer */

struct engine {
	struct engine_config c;
	struct work *works;
	int n_works;
	bool draining, claiming;
	bool starved; /* a run was queued because there was no slot */
};

struct work {
	struct work *next, *prev; /* of the engine's list */
	struct engine *e;
	struct fiber_ref fiber;
	struct fiber_wait wait; /* of the owner, while it waits for children */
	struct arena *arena;
	struct uuid run_id, thread_id;
	struct uuid last_id; /* of the thread's last message */
	struct uuid message_id; /* of the answer that is being written */
	struct run_state state;
	struct agent *agent;
	struct arena *history_arena; /* of history; each step has a new one */
	struct run_history_row *history;
	int n_history;
	const char *model;
	uint64_t wall_end_ms; /* loop clock */
	bool cancel; /* the row says cancelling, or soon will */
	bool drain; /* stop at the next step; tools at work may end */
	bool abort; /* stop now */
	bool lost; /* the fence has moved: write nothing more */
	bool resumed; /* calls found started may have been sent before us */
	bool message_open; /* message_start is out, message_end is not */
};

/* A commit under construction; see work_commit. */
struct work_commit {
	struct run_commit c;
	struct event_list events;
	struct run_message *messages;
	struct run_tool *tools_new, *tools_done;
	struct arena *arena;
};

enum work_end {
	WORK_GOES_ON,
	WORK_ENDED
};

/* ---- work.c: loading and committing -------------------------------- */

/* True: st is of a kind that passes, and a while has passed since. */
SUSPENDS bool work_wait_retry(struct work *w, enum as_status st, int attempt);
SUSPENDS enum as_status work_load(struct work *w, struct error *err);
SUSPENDS enum as_status work_reload_history(struct work *w, struct error *err);
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
bool work_must_stop(const struct work *w);
uint64_t work_wall_left(const struct work *w); /* ms */

/* ---- answer.c, tools.c, finish.c ----------------------------------- */

SUSPENDS enum work_end work_answer(struct work *w);
SUSPENDS enum work_end work_tools(struct work *w);
SUSPENDS void work_finish_cancel(struct work *w, const char *text, size_t len);
SUSPENDS void work_fail(struct work *w, const struct error *why,
    const char *text, size_t len);
/* The parts of a tool's message, as JSON text in the commit's arena. */
const char *work_result_parts(struct work_commit *wc, const char *call_id,
    const char *text, bool is_error);

#endif
