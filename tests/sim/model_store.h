/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_MODEL_STORE_H
#define TESTS_SIM_MODEL_STORE_H

/*
 * A body of run_store.h over tables in memory: the same predicates, the same
 * statuses and the same rows as the body in SQL, and nothing else.  Each
 * operation happens at once, so it is atomic; what can go wrong between a
 * caller and its store is the business of link.h.
 *
 * Tables are lists of rows that stay where they are.  A number that is NULL in
 * SQL is 0 here.  One thread.
 */

#include "core/run/run_store_impl.h"

struct model_list {
	void **rows;
	int n, cap;
};

struct model_thread {
	struct uuid id, tenant_id, user_id, agent_id;
	struct uuid active_run_id, head_checkpoint_id, active_leaf;
	const char *title, *status;
	int64_t head_seq, next_msg_seq, version;
};

struct model_run {
	struct uuid id, thread_id, tenant_id, user_id, agent_id;
	struct uuid last_commit_id, checkpoint_id, forked_from, forked_at;
	struct run_branch branch;
	const char *fork_mode;
	enum run_status status;
	int64_t step, head_seq, fence, version, owner_epoch, attempt;
	int64_t next_attempt_at, deadline_at, tokens, cost_micros;
	int64_t crash_count, crash_step;
	int64_t cancel_requested_at, created_at, started_at, completed_at;
	const char *model, *correlation_id, *traceparent, *cancel_mode;
	const char *budget, *usage, *error_code, *error, *todos;
	const char *ns;
	struct uuid parent_run_id, parent_call_id, root_run_id;
	int64_t pending_children, updated_at;
	const char *kind, *origin, *dedup;
	int class;
	const char *multitask;
	int64_t block_pos;
	int64_t blocked_at; /* for who checks: its place, for good */
	int64_t idle_since; /* for who checks: its owner does nothing */
};

struct model_message {
	struct run_message m;
	struct uuid thread_id, run_id;
	const char *ns;
};

struct model_event {
	struct uuid thread_id, run_id;
	int64_t seq, run_seq, step, fence;
	const char *type, *body, *ns;
};

struct model_checkpoint {
	struct uuid id, parent_id, thread_id, run_id;
	const char *ns;
	int64_t step;
	const char *source, *manifest;
	uint8_t hash[32];
};

struct model_tool {
	struct run_tool t;
	struct uuid run_id;
	int64_t fence, started_at, completed_at;
	int n_results; /* that were written, for who checks */
};

struct model_item {
	struct run_item i;
	struct uuid run_id, thread_id, responded_by;
	int64_t step;
	const char *status, *response_type, *response, *response_key;
	int64_t responded_at, escalated_at;
	int n_answers; /* that were written, for who checks */
};

struct model_job {
	struct uuid run_id; /* nil: a deleted row */
	struct uuid tenant_id;
	int64_t id, run_at, enqueued_at, owner_epoch, leased_at, attempts;
	int state; /* 0 ready, 1 leased */
	int class;
};

struct model_dead {
	struct uuid run_id;
	int64_t attempts;
	const char *reason, *snapshot, *errors;
};

/* A webhook, as far as a commit looks at it. */
struct model_hook {
	struct uuid id, tenant_id, user_id;
	int64_t mask;
	bool paused;
};

struct model_outbox {
	struct uuid tenant_id, webhook_id, event_id;
	const char *event, *ref;
	int64_t next_at, created_at;
};

struct model_node {
	int64_t epoch, lease_expires_at;
	bool draining;
};

enum model_op {
	MODEL_CREATE = 1,
	MODEL_COMMIT,
	MODEL_LATE,
	MODEL_ANSWER,
	MODEL_CLAIM,
	MODEL_REAP,
	MODEL_RELEASE,
	MODEL_UNBLOCK, /* a run that the commit of another one touches */
	MODEL_TELL /* by the last word of a subagent, to its parent */
};

/* What an operation has just done to one run; 0 and NULL: not of this kind. */
struct model_change {
	enum model_op op;
	const struct model_run *run; /* as it is now */
	enum run_status from; /* 0: there was none */
	int64_t fence, step, owner_epoch; /* as they were */
	int64_t leased_at; /* as it was, of what is reaped or released */
	int64_t epoch; /* who claims, reaps or releases */
	const struct run_commit *commit;
	const struct model_tool *tool; /* of a late result */
};

/* What a model does wrong on purpose; see mutant.h. */
enum model_mutant {
	MODEL_SOUND,
	MODEL_NO_FENCE, /* a commit does not look at its fence */
	MODEL_REAP_ANY, /* the reaper does not look at leases */
	MODEL_UNLOCK_LATER, /* the last commit leaves the thread taken */
	MODEL_LATE_TWICE /* a late result replaces one that is there */
};

struct model {
	struct arena *arena; /* of every row */
	struct model_list threads, runs, messages, events, checkpoints, tools,
	    items, jobs, dead, nodes, hooks, outbox;
	int64_t last_job, last_epoch;
	int64_t now_us; /* 0: the wall clock */
	bool is_sqlite; /* a lease that ran out may be renewed */
	enum model_mutant mutant;
	/* Called after each change; must not call the model's operations. */
	void (*changed)(void *arg, const struct model_change *c);
	void *changed_arg;
	struct run_store store; /* the operations of this model */
};

struct model *model_new(void);
void model_free(struct model *m);

struct model_thread *model_thread(const struct model *m, struct uuid id);
struct model_run *model_run(const struct model *m, struct uuid id);
struct model_job *model_job(const struct model *m, struct uuid run_id);
struct model_event *model_event(const struct model *m, struct uuid thread_id,
    int64_t seq);
/* The newest one with this key, or NULL. */
struct model_tool *model_tool(const struct model *m, const char *idem_key);

/* ---- Between model_store.c, model_write.c, model_read.c, model_branch.c */

/* Where the thread's leaf and head checkpoint are after a create. */
void model_branch_create(struct model *m, struct model_thread *t,
    struct model_run *r, const struct run_create *c);
void model_tool_add(struct model *m, struct uuid run_id, int64_t fence,
    int64_t now_us, const struct run_tool *t);
/* The newest checkpoint on the path to this message, or nil. */
struct uuid model_checkpoint_at(const struct model *m, struct uuid leaf);
bool model_counts(const struct model_message *row, struct uuid thread_id);
/* Where a run's path ends now; nil: its thread was linear. */
struct uuid model_leaf_of(const struct model *m, const struct model_run *r);
/* Those that count of the path to leaf, all if it is nil; by sequence. */
struct model_message **model_path(const struct model *m, struct uuid thread_id,
    const char *ns, struct uuid leaf, struct arena *arena, int *n);

/* ---- Between the files of the model -------------------------------- */

/* Takes the jobs that come next (model_claim.c). */
void model_claim_jobs(struct model *m, const struct run_claim_ask *ask);
int model_lane(const struct model *m, const struct run_claim_ask *ask,
    const struct model_job *j);

void *model_add(struct model *m, struct model_list *l, size_t size);
void model_tell(struct model *m, const struct model_change *c);
int64_t model_now_us(const struct model *m);

extern const struct run_store_ops model_ops;

/* Of model_write.c, for what is written into other runs of the thread. */
void model_message_add(struct model *m, const struct model_run *r,
    const struct run_message *new);
void model_events_add(struct model *m, const struct model_run *r, int64_t fence,
    const struct run_heads *heads, const struct event_list *events);
struct model_job *model_job_add(struct model *m, const struct model_run *r,
    int64_t run_at, int64_t now_us);
void model_tool_result(struct model *m, struct model_tool *row,
    const struct run_tool *t);
struct model_tool *model_tool_by_id(const struct model *m, struct uuid run_id,
    struct uuid id);

/* ---- model_child.c ------------------------------------------------- */

/* Children, the parent's news, todos: behind all that is the run's own. */
void model_child_write(struct model *m, struct model_run *r,
    const struct run_commit *c);
enum as_status model_children(void *arg, struct uuid run_id,
    struct run_claim **out, int *n, struct error *err);

enum as_status model_create(void *arg, const struct run_create *c,
    struct error *err);
enum as_status model_commit(void *arg, const struct run_commit *c,
    struct error *err);
enum as_status model_late(void *arg, struct uuid run_id,
    const struct run_tool *t, int64_t now_us, struct error *err);
enum as_status model_answer(void *arg, struct uuid run_id,
    const struct run_answer *answers, int n, int64_t now_us, struct error *err);
enum as_status model_asked(void *arg, struct uuid run_id, struct arena *arena,
    struct run_asked **out, int *n, int64_t *version, struct error *err);
enum as_status model_overdue(void *arg, int max, struct run_overdue **out,
    int *n, struct error *err);
/* Parts of a commit. */
void model_item_answer(struct model *m, struct uuid run_id,
    const struct run_answer *a, int64_t now_us);
bool model_item_closes(const struct model_item *t, const struct run_commit *c);
enum as_status model_read_state(void *arg, struct uuid run_id,
    struct arena *arena, struct run_state *out, struct error *err);
enum as_status model_read_thread(void *arg, struct uuid thread_id,
    struct uuid tenant_id, struct uuid user_id, struct thread_state *out,
    struct error *err);
enum as_status model_switch(void *arg, struct uuid thread_id,
    struct uuid tenant_id, struct uuid user_id, struct uuid leaf,
    struct error *err);
enum as_status model_read_history(void *arg, struct uuid thread_id,
    const char *ns, struct uuid leaf, int64_t next_sequence,
    struct arena *arena, struct run_history_row **out, int *n,
    struct error *err);
enum as_status model_read_tools(void *arg, struct uuid run_id, int64_t step,
    struct arena *arena, struct run_tool **out, int *n, struct error *err);
enum as_status model_open_message(void *arg, bool by_run, struct uuid id,
    int64_t at, struct uuid *out, int *attempt, struct error *err);
enum as_status model_by_client_id(void *arg, struct uuid thread_id,
    const char *client_message_id, struct uuid *message_id, struct uuid *run_id,
    int64_t *seq, struct error *err);
enum as_status model_by_dedup(void *arg, struct uuid user_id,
    struct uuid agent_id, const char *dedup, struct run_claim *out,
    struct error *err);

/* model_block.c */
enum as_status model_block(struct model *m, const struct run_create *c,
    struct error *err);
const char *model_unblock_refused(const struct model *m,
    const struct run_commit *c);
void model_unblock(struct model *m, struct model_run *r,
    const struct run_commit *c);
void model_unblock_tell(struct model *m, const struct run_commit *c);
enum as_status model_read_blocked(void *arg, struct uuid thread_id,
    struct arena *arena, struct run_blocked **out, int *n, struct error *err);
enum as_status model_read_stalled(void *arg, int max, struct run_stalled **out,
    int *n, struct error *err);
enum as_status model_read_effects(void *arg, struct uuid run_id,
    struct arena *arena, struct run_tool **out, int *n, struct error *err);
/* The run that waits in this thread with the smallest place, or NULL. */
const struct model_run *model_first_blocked(const struct model *m,
    struct uuid thread_id);
int64_t model_n_blocked(const struct model *m, struct uuid thread_id,
    bool steers);

/* model_write.c */
struct model_run *model_run_add(struct model *m, const struct run_create *c);
/* The constraint that these would violate, or NULL. */
const char *model_messages_refused(const struct model *m, struct uuid thread_id,
    struct uuid run_id, const struct run_message *new, int n);

#endif
