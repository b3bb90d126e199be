/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_STORE_H
#define CORE_RUN_RUN_STORE_H

/*
 * The atomic operations of the run engine.
 *
 * Each is one request to the store that happens whole or not at all.  Each
 * repeats what it believes (status, fence, step, the heads of the logs) in its
 * own statement; a belief that has become wrong is AS_CONFLICT with nothing
 * written.  Only the files behind this header write threads, messages, runs,
 * the log (run_log.h), checkpoints, tool_invocations and jobs:
 * run_store_sql.c, its body for PostgreSQL run_store_pg*.c, and run_node.c
 * and run_claim.c for who may work on what.
 *
 * Callers know the heads of thread and run beforehand, so every event and
 * message is composed with its final numbers before it is written.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/run/event.h"
#include "core/run/run.h"
#include "core/store/store.h"

struct run_store;

/* The body in SQL, on this loop's store, which outlives it. */
struct run_store *run_store_new(struct store *store);
void run_store_free(struct run_store *rs); /* NULL does nothing */

/* Heads of the logs of one thread and one run, as the caller believes. */
struct run_heads {
	int64_t seq; /* threads.head_seq */
	int64_t run_seq; /* runs.head_seq */
	int64_t msg_seq; /* threads.next_msg_seq */
};

struct run_message {
	struct uuid id, parent_id;
	const char *role, *content, *parts; /* parts: JSON text */
	const char *tool_name, *tool_call_id;
	const char *state; /* final interrupted staged */
	const char *client_message_id, *model, *usage;
	int64_t step, ordinal;
	int64_t sequence; /* set by the caller from heads.msg_seq; 0: staged */
	int64_t created_at;
};

struct run_tool {
	struct uuid id;
	int64_t step, ordinal;
	const char *call_id; /* the model's name of the call */
	const char *idem_key, *tool, *version, *args;
	uint8_t args_hash[32];
	const char *effect; /* P K N V U */
	const char *state; /* planned awaiting_approval parked started
		succeeded failed unknown cancelled skipped */
	const char *result, *error_code; /* result: text as the model sees it */
	const char *resolution; /* auto verify operator late, or of a person's
		answer: approved edited answered rejected; NULL: auto */
	bool new_args; /* to planned or started: args, args_hash, effect and
		key_until are written as well */
	int64_t deadline_us; /* of the first sending */
	int64_t
	    key_until; /* K: the service knows the key so long; 0: for good */
};

/* What a person has to decide before the run can go on: an inbox item. */
struct run_item {
	struct uuid id, interrupt_id;
	struct uuid task_id; /* nil: of no task */
	struct uuid agent_id, user_id; /* of the thread */
	const char *correlation_id;
	const char *kind; /* approval question outcome error dead_letter */
	int64_t ordinal;
	const char *title, *description;
	const char *action_request, *config; /* JSON */
	int64_t expires_at; /* 0: never */
	const char *on_expire; /* reject approve fail escalate, or NULL */
};

/* What becomes of one pending item of kind approval or question. */
struct run_answer {
	struct uuid item_id;
	/*
	 * answered; expired: nobody has, and this is what happens instead;
	 * pending: it stays so, but its time and its assignee are taken off.
	 */
	const char *status;
	const char *type; /* accept edit response ignore; NULL: none */
	const char *response; /* JSON, or NULL */
	const char *key; /* of the answer, or NULL */
	struct uuid by; /* nil: nobody */
};

/* An empty thread of user and agent. */
SUSPENDS enum as_status run_store_thread_create(struct run_store *rs,
    struct uuid id, struct uuid tenant_id, struct uuid user_id,
    struct uuid agent_id, const char *title, struct error *err);

/* ---- Create -------------------------------------------------------- */

/*
 * A run of a thread with branches: what its model is told is the path from the
 * root to a leaf and not the whole thread.  leaf nil: there are no branches.
 */
struct run_branch {
	struct uuid leaf; /* at the start: the question, or what is answered
			     anew */
	struct uuid before; /* the thread's leaf, and again after a rollback */
	bool beside; /* a fork that the thread's leaf does not follow */
};

/* The checkpoint that a fork begins with; its id is that of the run. */
struct run_fork {
	struct uuid checkpoint_id; /* that it goes on from, or nil */
	const char *mode; /* see run_state; NULL: a branch and no fork */
	const char *manifest; /* JSON; NULL: no fork */
	uint8_t hash[32];
	const struct run_tool *tools; /* that its leaf asks for: planned */
	int n_tools;
};

struct run_create {
	struct uuid run_id, thread_id, agent_id, tenant_id, user_id;
	const char *model, *correlation_id, *traceparent;
	const char *title; /* for a thread that has none */
	struct run_message message; /* the user's; nil id: none */
	struct uuid
	    forked_from; /* the run that this one takes up again, or nil */
	struct run_branch branch;
	struct run_fork fork;
	struct run_heads heads; /* of the thread; run_seq 0 */
	bool new_thread; /* it is made here; heads 0, 0, 1 */
	const char *kind; /* interactive ambient subagent replay; NULL: the
			     first */
	int class; /* 0 priority, 1 standard, 2 bulk */
	int64_t run_at; /* 0: now; not if it is born running */
	const char *origin; /* JSON: what has started it; NULL: a person */
	const char *dedup; /* NULL, or what only one run of this user and agent
			      may have */
	int64_t owner_epoch; /* not 0: born running, owned, fence 1 */
	const char
	    *multitask; /* as asked for: see enum run_multitask; or NULL */
	/*
	 * Not 0: the thread is held, and this one is blocked until the thread
	 * is free and none with a smaller block_pos waits; its message is
	 * staged, it has no job.
	 */
	int64_t block_pos;
	int64_t deadline_at, now_us;
	const struct event_list *events;
};

/*
 * Message, run, events and job in one, and the thread if it is new.
 * AS_CONFLICT: the thread has moved or is busy (or, for a blocked one, free), or
 * the client_message_id is known: look with run_store_thread; or dedup is: look
 * with run_store_by_dedup.
 */
SUSPENDS enum as_status run_store_create(struct run_store *rs,
    const struct run_create *c, struct error *err);

/* ---- Commit -------------------------------------------------------- */

/*
 * What a commit does to a run that is blocked in the same thread.  To queued:
 * the thread is free now, it is the next one.  To cancelled: its words have
 * become a part of the run that commits.
 */
struct run_unblock {
	struct uuid run_id;
	enum run_status to;
	int64_t run_seq; /* its head before */
	int64_t deadline_at;
	const struct event_list *events; /* of this run */
	/* Its own, with the place that it gets in the history. */
	const struct run_message *message;
	/* To queued, in a thread with branches: it answers at the leaf. */
	struct run_branch branch;
};

/* A subagent: a run that the commit of another one begins. */
struct run_child {
	struct uuid run_id, agent_id;
	struct uuid call_id; /* the invocation that waits for it */
	const char *ns; /* of its messages, events and checkpoints */
	const char *model, *budget;
	int64_t deadline_at;
	struct run_message message; /* its task */
	struct event_list *events;
};

/* The last word of a subagent: what its commit writes into its parent. */
struct run_tell {
	struct uuid run_id; /* of the parent; nil: nobody waits */
	struct run_tool call; /* id, state, result, error_code */
	const char *budget; /* of the parent; NULL: unchanged */
	int64_t run_seq; /* head of the parent's log, as believed */
	bool last; /* no other subagent is at work: the parent is queued */
	struct event_list *events; /* of the parent */
	const char *parent_ns; /* of those */
};

struct run_commit {
	struct uuid run_id, thread_id, tenant_id;
	struct uuid commit_id; /* names this write for the indeterminate case */
	const char *ns; /* of a subagent, for what it writes; NULL, "": none */
	/* Beliefs. */
	enum run_status from;
	int64_t fence;
	int64_t step;
	struct run_heads heads;
	int64_t version; /* 0: it may be any */
	int64_t owner; /* the epoch that holds it; 0: it may be any, or none */
	/* Effects. */
	enum run_status to;
	bool advance; /* step + 1 */
	bool bump_fence;
	bool void_messages; /* roll the run's messages back */
	bool beside; /* the thread's head does not follow */
	const char *cancel_mode; /* not NULL: a cancel is asked for */
	const struct event_list *events;
	const struct run_message *messages;
	int n_messages;
	const struct run_tool *tools_new; /* intents */
	const struct run_tool *tools_done; /* by id: state, result, key */
	int n_tools_new, n_tools_done;
	const struct run_item *items_new;
	const struct run_answer *answers; /* to items that are pending */
	int n_items_new, n_answers;
	/*
	 * Not NULL: pending items of the run get this status: answered
	 * dismissed superseded.  Only this one, or nil: all of them; of a run
	 * that stays open none of kind approval or question.
	 */
	const char *items_close;
	struct uuid item_id;
	const char *response_type, *response; /* response: JSON */
	struct uuid responded_by;
	const char *dead_reason; /* not NULL: a dead letter is kept */
	const struct run_child *children;
	struct run_tell tell;
	const char *todos; /* JSON; NULL: unchanged */
	/* Their events follow all the others, in this order. */
	const struct run_unblock *unblocks;
	int n_children, n_unblocks;
	/* From blocked to queued: the place of its message in the history. */
	const struct run_message *unstaged;
	struct run_branch branch; /* as in run_unblock */
	struct uuid checkpoint_id; /* nil: none; told by an event */
	/* Its own last one; nil: the head of the thread, or none of a subagent. */
	struct uuid checkpoint_parent;
	const char *checkpoint_manifest;
	uint8_t checkpoint_hash[32];
	struct uuid leaf; /* of the thread from now on; nil: unchanged */
	/* With void_messages: the thread's head is again that of this message;
	   nil: what it was before the first checkpoint of the run. */
	struct uuid back_to;
	const char *usage; /* JSON of the run, NULL: unchanged */
	int64_t tokens, cost_micros; /* that this commit adds */
	const char *error_code,
	    *error; /* JSON; NULL: there is none (any more) */
	const char *model; /* NULL: unchanged */
	const char *budget; /* JSON: see limits.h; NULL: unchanged */
	int64_t deadline_at; /* 0: unchanged */
	int64_t attempt; /* of the step that is being tried */
	int64_t run_at; /* to queued or waiting_timer: when it is due */
	int64_t now_us;
};

/*
 * AS_OK: written and durable.  AS_CONFLICT: a belief was wrong, nothing is
 * written.  UNAVAILABLE with "unknown": compare run_state.last_commit_id.
 */
SUSPENDS enum as_status run_store_commit(struct run_store *rs,
    const struct run_commit *c, struct error *err);

/*
 * The heads of the thread after this commit, since all that it writes is
 * numbered; of the run: run_seq.
 */
struct run_heads run_commit_heads(const struct run_commit *c);
/* The thread's head before the first event of its unblocks. */
int64_t run_commit_unblock_seq(const struct run_commit *c);
/* Its status after it; NULL: as it was. */
const char *run_commit_thread_status(const struct run_commit *c);
/* Does nothing of this run hold it any more? */
bool run_commit_frees_thread(const struct run_commit *c);

/*
 * A result that came after its fence was lost.  The first one counts, and only
 * while the call is `started` or `unknown`; the run's own row is not touched.
 * AS_CONFLICT: it has come too late.
 */
SUSPENDS enum as_status run_store_late(struct run_store *rs, struct uuid run_id,
    const struct run_tool *t, int64_t now_us, struct error *err);

const char *run_commit_ns(const struct run_commit *c); /* never NULL */
bool run_commit_holds(const struct run_commit *c); /* its thread, from now on */
/*
 * Does it need a job at run_at?  Also one whose subagents are to end before it
 * does: whoever claims it sees to that.
 */
bool run_commit_queues(const struct run_commit *c);
/*
 * Answers to items of a run that does not wait for them now: all are written,
 * or, if one is not pending any more or the run waits or has ended, none
 * (AS_CONFLICT).  Whoever works on the run next acts on them.  The run's
 * version moves, its log does not.
 */
SUSPENDS enum as_status run_store_answer(struct run_store *rs,
    struct uuid run_id, const struct run_answer *answers, int n, int64_t now_us,
    struct error *err);

/* ---- Claim, nodes, recovery ---------------------------------------- */

#define RUN_CLASSES 3 /* priority, standard, bulk */

struct run_claim {
	struct uuid run_id, thread_id, tenant_id;
	int class;
	int lane; /* the class in whose turn it came: less if promoted */
};

/*
 * Who comes next.  A lane is a class with what is promoted to it.  Lanes take
 * turns by their weights, counted with what the asker runs in each already.  In
 * a lane tenants take turns, who has least at work first; a tenant's own jobs
 * go by run_at.
 */
struct run_claim_ask {
	int64_t epoch;
	int max; /* runs at most; up to RUN_CLAIM_MAX */
	int max_other; /* of them not of class priority */
	int64_t running[RUN_CLASSES]; /* of the asker, by lane */
	int64_t weight[RUN_CLASSES]; /* 1 to RUN_WEIGHT_MAX */
	/* Of that age a job is in the lane before its class; 0: never. */
	int64_t promote_us[RUN_CLASSES];
	struct uuid after; /* the tenant that came last: others are looked at */
};

#define RUN_WEIGHT_MAX 16
#define RUN_CLAIM_MAX 64

/* All classes alike, nothing reserved, nothing promoted. */
struct run_claim_ask run_claim_ask(int64_t epoch, int max);

/*
 * Takes up to max ready jobs; each run becomes running with a new fence.  Also
 * what this epoch has taken before and nobody runs.  *out is malloc()ed.
 */
SUSPENDS enum as_status run_store_claim(struct run_store *rs,
    const struct run_claim_ask *ask, struct run_claim **out, int *n,
    struct error *err);

/* A new epoch for this process, leased for ttl_us.  No number comes twice. */
SUSPENDS enum as_status run_store_node_join(struct run_store *rs,
    const char *name, const char *build, int64_t ttl_us, int64_t *epoch,
    struct error *err);
/*
 * AS_CONFLICT: the lease had run out; this epoch is dead for good.  On SQLite,
 * whose database is one process's, it is renewed all the same.
 */
SUSPENDS enum as_status run_store_node_renew(struct run_store *rs,
    int64_t epoch, int64_t ttl_us, struct error *err);
/*
 * This node holds its advisory lock (RUN_NODE_LOCK, epoch) from now on: whoever
 * finds it free after silence_us without a beat may take it for dead.  0: it
 * does not hold it any more.
 */
#define RUN_NODE_LOCK 1634939953
static inline int32_t
run_node_lock_key(int64_t epoch)
{
	return (int32_t)(epoch % INT64_C(2147483648));
}
SUSPENDS enum as_status run_store_node_guard(struct run_store *rs,
    int64_t epoch, int64_t silence_us, struct error *err);
/*
 * Ends the leases of such nodes; *n: how many.  Nobody is judged by a database
 * server that has been up for less than lease_us.
 */
SUSPENDS enum as_status run_store_node_doom(struct run_store *rs, int64_t epoch,
    int64_t lease_us, int *n, struct error *err);
/* Hand everything back at once: the lease ends now. */
SUSPENDS enum as_status run_store_node_leave(struct run_store *rs,
    int64_t epoch, struct error *err);
/*
 * Frees what dead epochs held, and what anybody has held for longer than
 * max_age_us, the longest that a run may take: nobody works on that any more.
 * all: every other epoch is dead (the database was locked by us alone).
 */
SUSPENDS enum as_status run_store_reap(struct run_store *rs, int64_t epoch,
    bool all, int64_t max_age_us, int *n, struct error *err);
/*
 * The owner gives a run back to the queue, for whoever has room.  NOTFOUND:
 * this epoch does not hold it.  Ordered after what was asked for the thread
 * before, as long as the store's connection holds.
 */
SUSPENDS enum as_status run_store_release(struct run_store *rs, int64_t epoch,
    struct uuid thread_id, struct uuid run_id, struct error *err);

/* All that this epoch holds.  *out is malloc()ed. */
SUSPENDS enum as_status run_store_held(struct run_store *rs, int64_t epoch,
    struct run_claim **out, int *n, struct error *err);

struct run_cancelling {
	struct uuid run_id, thread_id;
	int64_t age_us; /* of the cancel */
};

/* What this epoch holds and is to end.  *out is malloc()ed. */
SUSPENDS enum as_status run_store_cancelling(struct run_store *rs,
    int64_t epoch, struct run_cancelling **out, int *n, struct error *err);

/* The subagents of a run that are open.  *out is malloc()ed. */
SUSPENDS enum as_status run_store_children(struct run_store *rs,
    struct uuid run_id, struct run_claim **out, int *n, struct error *err);

/* In how many microseconds the next job that waits is ready; -1: none waits. */
SUSPENDS enum as_status run_store_next_due(struct run_store *rs, int64_t *in_us,
    struct error *err);

/* A process crashed while it worked on this run at its present step. */
SUSPENDS enum as_status run_store_charge(struct run_store *rs,
    struct uuid run_id, struct error *err);

/* ---- Reads --------------------------------------------------------- */

struct run_state {
	struct uuid id, thread_id, agent_id, tenant_id, user_id;
	struct uuid last_commit_id;
	enum run_status status;
	int64_t fence, step, owner_epoch, deadline_at, created_at;
	struct run_heads heads;
	struct uuid checkpoint_id;
	const char *model, *correlation_id, *traceparent, *cancel_mode;
	const char *kind, *origin; /* as in run_create; origin NULL: none */
	int class;
	const char *budget, *error_code; /* NULL: none */
	int64_t attempt, version, cost_micros;
	int64_t crash_count, crash_step;
	/* As what it waited for its last claim, not its first; 0: in vain. */
	enum run_status waited;
	uint8_t checkpoint_hash[32]; /* zero: none yet */
	struct run_branch branch;
	struct uuid leaf; /* of its path now; nil: the thread is linear */
	struct uuid forked_from; /* a run, or nil */
	/* live; what_if and the tools that it calls all the same; or NULL */
	const char *fork_mode;
	struct run_usage usage;
	int64_t now_us; /* the store's clock at the read */
	const char *multitask; /* NULL: not asked for */
	struct uuid active_run_id; /* of the thread */
	struct uuid thread_leaf; /* the same; nil: it has no branches */
	/* Blocked runs of the thread at heads.seq, and how many of them steer. */
	int64_t n_blocked, n_steers;
	const char *next_multitask; /* of the first one, or NULL */
	const char *ns; /* "": a root */
	const char *root_kind;
	int64_t pending_children;
	struct uuid parent_run_id, parent_call_id; /* nil: a root */
	struct { /* as they were read together with heads */
		enum run_status status;
		int64_t run_seq, pending_children;
		const char *budget, *ns;
	} parent;
};

/* Strings live in the arena. */
SUSPENDS enum as_status run_store_state(struct run_store *rs,
    struct uuid run_id, struct arena *arena, struct run_state *out,
    struct error *err);

struct thread_state {
	struct uuid id, tenant_id, user_id, agent_id, active_run_id;
	struct uuid last_message_id; /* of the branch that is looked at */
	struct uuid leaf; /* the same if there are branches, else nil */
	struct run_heads heads;
	int64_t now_us;
	int64_t n_blocked; /* runs that wait for it */
	bool has_title;
};

/* The thread as `user` may write to it; NOT_FOUND otherwise. */
SUSPENDS enum as_status run_store_thread(struct run_store *rs,
    struct uuid thread_id, struct uuid tenant_id, struct uuid user_id,
    struct thread_state *out, struct error *err);

struct run_history_row {
	struct uuid id;
	const char *role, *content, *parts, *tool_call_id, *state;
	const char *usage; /* JSON, or NULL */
	struct uuid run_id;
	int64_t step, sequence;
};

/*
 * The thread's leaf is this message, which has to be one of it that counts.
 * AS_CONFLICT: a run is at work, or it is not.
 */
SUSPENDS enum as_status run_store_switch(struct run_store *rs,
    struct uuid thread_id, struct uuid tenant_id, struct uuid user_id,
    struct uuid leaf, struct error *err);

#define RUN_HISTORY_ROWS 1000
#define RUN_HISTORY_CHARS (4 * 1024 * 1024) /* of content and parts */

/*
 * The newest messages that count of the path to leaf, or, if it is nil, of a
 * thread's name space without branches (ns "": the thread itself); oldest
 * first, in the arena; always those from the last user's message on.
 * next_sequence: the thread's head as the caller knows it; a hint that a short
 * thread needs less.
 */
SUSPENDS enum as_status run_store_history(struct run_store *rs,
    struct uuid thread_id, const char *ns, struct uuid leaf,
    int64_t next_sequence, struct arena *arena, struct run_history_row **out,
    int *n, struct error *err);

/* Tool calls of one step of a run, by ordinal, in the arena. */
SUSPENDS enum as_status run_store_tools(struct run_store *rs,
    struct uuid run_id, int64_t step, struct arena *arena,
    struct run_tool **out, int *n, struct error *err);

/* An item of kind approval or question, as it stands. */
struct run_asked {
	struct uuid id, interrupt_id;
	int64_t step, ordinal;
	const char *kind, *status, *config;
	const char *response_type, *response, *response_key; /* or NULL */
	struct uuid responded_by;
	int64_t responded_at, expires_at; /* 0: none */
	const char *request; /* JSON: see ask_tool.c; or NULL */
};

/*
 * Those of a run, in the order in which they were asked, and the run's version
 * at that moment; in the arena.
 */
SUSPENDS enum as_status run_store_asked(struct run_store *rs,
    struct uuid run_id, struct arena *arena, struct run_asked **out, int *n,
    int64_t *version, struct error *err);

/* What a tool call has kept for the time when it is made again. */
struct run_note {
	struct uuid call_id; /* run_tool.id */
	const char *key, *value; /* value: JSON */
};

/*
 * Keeps one, or replaces it.  CONFLICT: the run has another fence, or the call
 * is not under way.
 */
SUSPENDS enum as_status run_store_note(struct run_store *rs, struct uuid run_id,
    int64_t fence, const struct run_note *note, struct error *err);
/* Those of the calls of one step, in the arena. */
SUSPENDS enum as_status run_store_notes(struct run_store *rs,
    struct uuid run_id, int64_t step, struct arena *arena,
    struct run_note **out, int *n, struct error *err);

struct run_overdue {
	struct uuid item_id, run_id;
	char on_expire[16];
};

/*
 * Pending ones whose time is over, of runs with which on_expire can be done
 * now; up to max, the oldest first; malloc()ed.
 */
SUSPENDS enum as_status run_store_overdue(struct run_store *rs, int max,
    struct run_overdue **out, int *n, struct error *err);

/* The message that was begun and not ended at this cursor of the log, or nil. */
SUSPENDS enum as_status run_store_open_message(struct run_store *rs,
    bool by_run, struct uuid id, int64_t at, struct uuid *out, int *attempt,
    struct error *err);

/*
 * A message by its client_message_id: the run it started and the seq of that
 * run's first event, or nil.
 */
SUSPENDS enum as_status run_store_by_client_id(struct run_store *rs,
    struct uuid thread_id, const char *client_message_id,
    struct uuid *message_id, struct uuid *run_id, int64_t *seq,
    struct error *err);

/* The run that was created with this dedup, and its thread, or nil. */
SUSPENDS enum as_status run_store_by_dedup(struct run_store *rs,
    struct uuid user_id, struct uuid agent_id, const char *dedup,
    struct run_claim *out, struct error *err);

/* ---- Blocked runs -------------------------------------------------- */

struct run_blocked {
	struct uuid run_id;
	const char *multitask;
	int64_t block_pos, run_seq;
	struct run_message message; /* staged */
};

/* Those of a thread in the order in which they will run, in the arena. */
SUSPENDS enum as_status run_store_blocked(struct run_store *rs,
    struct uuid thread_id, struct arena *arena, struct run_blocked **out,
    int *n, struct error *err);

/*
 * A thread where somebody has to act: nothing holds it, or what holds it has to
 * make way and is not told yet.
 */
struct run_stalled {
	struct uuid thread_id;
	struct uuid active_run_id; /* nil: nothing holds it */
	struct uuid next_run_id;
	char multitask[16]; /* of the next one */
};

/* At most max of them.  *out is malloc()ed. */
SUSPENDS enum as_status run_store_stalled(struct run_store *rs, int max,
    struct run_stalled **out, int *n, struct error *err);

/*
 * The calls of a run that may have changed something outside, of all its steps;
 * see run_store_tools.
 */
SUSPENDS enum as_status run_store_effects(struct run_store *rs,
    struct uuid run_id, struct arena *arena, struct run_tool **out, int *n,
    struct error *err);

#endif
