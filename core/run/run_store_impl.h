/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_STORE_IMPL_H
#define CORE_RUN_RUN_STORE_IMPL_H

/*
 * What a body of run_store.h has to provide.  There is one in SQL, for both
 * databases; a recording and a simulation bring their own.
 */

#include "core/run/run_store.h"

/* Each member is the function of the same name in run_store.h. */
#define RUN_TEXT_(x) #x
#define RUN_TEXT(x) RUN_TEXT_(x)

/*
 * Held by an epoch whose lease is over, or for too long; $1 is the epoch that
 * asks, $2 the longest time.  Or by one of which nobody knows: it was lost with
 * its primary, and wrote this afterwards.  A statement that waits for a row may
 * meet an epoch that is younger than its snapshot, but not one of a minute.
 */
#define RUN_HELD_IN_VAIN \
	"(leased_at < now_us() - $2 OR owner_epoch IN (SELECT node_epoch" \
	" FROM nodes WHERE lease_expires_at <= now_us() AND node_epoch <> " \
	"$1) OR (leased_at < now_us() - " RUN_TEXT( \
	    RUN_UNKNOWN_US) " AND owner_epoch <> $1" \
			    " AND owner_epoch NOT IN (SELECT node_epoch FROM " \
			    "nodes)))"
#define RUN_UNKNOWN_US 60000000

struct run_store_ops {
	SUSPENDS enum as_status (*thread_create)(void *arg, struct uuid id,
	    struct uuid tenant_id, struct uuid user_id, struct uuid agent_id,
	    const char *title, struct error *err);
	SUSPENDS enum as_status (
	    *create)(void *arg, const struct run_create *c, struct error *err);
	SUSPENDS enum as_status (
	    *commit)(void *arg, const struct run_commit *c, struct error *err);
	SUSPENDS enum as_status (*late)(void *arg, struct uuid run_id,
	    const struct run_tool *t, int64_t now_us, struct error *err);
	SUSPENDS enum as_status (*answer)(void *arg, struct uuid run_id,
	    const struct run_answer *answers, int n, int64_t now_us,
	    struct error *err);
	SUSPENDS enum as_status (*claim)(void *arg,
	    const struct run_claim_ask *ask, struct run_claim **out, int *n,
	    struct error *err);
	SUSPENDS enum as_status (*node_join)(void *arg, const char *name,
	    const char *build, int64_t ttl_us, int64_t *epoch,
	    struct error *err);
	SUSPENDS enum as_status (*node_renew)(void *arg, int64_t epoch,
	    int64_t ttl_us, struct error *err);
	SUSPENDS enum as_status (
	    *node_leave)(void *arg, int64_t epoch, struct error *err);
	SUSPENDS enum as_status (*reap)(void *arg, int64_t epoch, bool all,
	    int64_t max_age_us, int *n, struct error *err);
	SUSPENDS enum as_status (*node_guard)(void *arg, int64_t epoch,
	    int64_t silence_us, struct error *err);
	SUSPENDS enum as_status (*node_doom)(void *arg, int64_t epoch,
	    int64_t lease_us, int *n, struct error *err);
	SUSPENDS enum as_status (*held)(void *arg, int64_t epoch,
	    struct run_claim **out, int *n, struct error *err);
	SUSPENDS enum as_status (*cancelling)(void *arg, int64_t epoch,
	    struct run_cancelling **out, int *n, struct error *err);
	SUSPENDS enum as_status (*children)(void *arg, struct uuid run_id,
	    struct run_claim **out, int *n, struct error *err);
	SUSPENDS enum as_status (
	    *next_due)(void *arg, int64_t *in_us, struct error *err);
	SUSPENDS enum as_status (
	    *charge)(void *arg, struct uuid run_id, struct error *err);
	SUSPENDS enum as_status (*release)(void *arg, int64_t epoch,
	    struct uuid thread_id, struct uuid run_id, struct error *err);
	SUSPENDS enum as_status (*state)(void *arg, struct uuid run_id,
	    struct arena *arena, struct run_state *out, struct error *err);
	SUSPENDS enum as_status (*thread)(void *arg, struct uuid thread_id,
	    struct uuid tenant_id, struct uuid user_id,
	    struct thread_state *out, struct error *err);
	SUSPENDS enum as_status (*switch_leaf)(void *arg, struct uuid thread_id,
	    struct uuid tenant_id, struct uuid user_id, struct uuid leaf,
	    struct error *err);
	SUSPENDS enum as_status (*history)(void *arg, struct uuid thread_id,
	    const char *ns, struct uuid leaf, int64_t next_sequence,
	    struct arena *arena, struct run_history_row **out, int *n,
	    struct error *err);
	SUSPENDS enum as_status (*tools)(void *arg, struct uuid run_id,
	    int64_t step, struct arena *arena, struct run_tool **out, int *n,
	    struct error *err);
	SUSPENDS enum as_status (*asked)(void *arg, struct uuid run_id,
	    struct arena *arena, struct run_asked **out, int *n,
	    int64_t *version, struct error *err);
	/* These two may be NULL: nothing is kept. */
	SUSPENDS enum as_status (*note)(void *arg, struct uuid run_id,
	    int64_t fence, const struct run_note *note, struct error *err);
	SUSPENDS enum as_status (*notes)(void *arg, struct uuid run_id,
	    int64_t step, struct arena *arena, struct run_note **out, int *n,
	    struct error *err);
	SUSPENDS enum as_status (*overdue)(void *arg, int max,
	    struct run_overdue **out, int *n, struct error *err);
	SUSPENDS enum as_status (*open_message)(void *arg, bool by_run,
	    struct uuid id, int64_t at, struct uuid *out, int *attempt,
	    struct error *err);
	SUSPENDS enum as_status (*by_client_id)(void *arg,
	    struct uuid thread_id, const char *client_message_id,
	    struct uuid *message_id, struct uuid *run_id, int64_t *seq,
	    struct error *err);
	SUSPENDS enum as_status (*blocked)(void *arg, struct uuid thread_id,
	    struct arena *arena, struct run_blocked **out, int *n,
	    struct error *err);
	SUSPENDS enum as_status (*stalled)(void *arg, int max,
	    struct run_stalled **out, int *n, struct error *err);
	SUSPENDS enum as_status (*effects)(void *arg, struct uuid run_id,
	    struct arena *arena, struct run_tool **out, int *n,
	    struct error *err);
	SUSPENDS enum as_status (*by_dedup)(void *arg, struct uuid user_id,
	    struct uuid agent_id, const char *dedup, struct run_claim *out,
	    struct error *err);
};

struct run_store {
	const struct run_store_ops *ops;
	void *arg;
};

/*
 * The body in SQL: run_store_sql.c, run_branch.c, run_claim.c, run_inbox.c,
 * run_node.c, run_queue.c, run_read.c; arg is a store.
 */
SUSPENDS enum as_status run_sql_thread_create(void *arg, struct uuid id,
    struct uuid tenant_id, struct uuid user_id, struct uuid agent_id,
    const char *title, struct error *err);
SUSPENDS enum as_status run_sql_create(void *arg, const struct run_create *c,
    struct error *err);
SUSPENDS enum as_status run_sql_commit(void *arg, const struct run_commit *c,
    struct error *err);
SUSPENDS enum as_status run_sql_late(void *arg, struct uuid run_id,
    const struct run_tool *t, int64_t now_us, struct error *err);
SUSPENDS enum as_status run_sql_answer(void *arg, struct uuid run_id,
    const struct run_answer *answers, int n, int64_t now_us, struct error *err);
SUSPENDS enum as_status run_sql_claim(void *arg,
    const struct run_claim_ask *ask, struct run_claim **out, int *n,
    struct error *err);
SUSPENDS enum as_status run_sql_node_join(void *arg, const char *name,
    const char *build, int64_t ttl_us, int64_t *epoch, struct error *err);
SUSPENDS enum as_status run_sql_node_renew(void *arg, int64_t epoch,
    int64_t ttl_us, struct error *err);
SUSPENDS enum as_status run_sql_node_leave(void *arg, int64_t epoch,
    struct error *err);
SUSPENDS enum as_status run_sql_reap(void *arg, int64_t epoch, bool all,
    int64_t max_age_us, int *n, struct error *err);
SUSPENDS enum as_status run_sql_node_guard(void *arg, int64_t epoch,
    int64_t silence_us, struct error *err);
SUSPENDS enum as_status run_sql_node_doom(void *arg, int64_t epoch,
    int64_t lease_us, int *n, struct error *err);
SUSPENDS enum as_status run_sql_held(void *arg, int64_t epoch,
    struct run_claim **out, int *n, struct error *err);
SUSPENDS enum as_status run_sql_cancelling(void *arg, int64_t epoch,
    struct run_cancelling **out, int *n, struct error *err);
SUSPENDS enum as_status run_sql_children(void *arg, struct uuid run_id,
    struct run_claim **out, int *n, struct error *err);
SUSPENDS enum as_status run_sql_next_due(void *arg, int64_t *in_us,
    struct error *err);
SUSPENDS enum as_status run_sql_charge(void *arg, struct uuid run_id,
    struct error *err);
SUSPENDS enum as_status run_sql_release(void *arg, int64_t epoch,
    struct uuid thread_id, struct uuid run_id, struct error *err);
SUSPENDS enum as_status run_sql_state(void *arg, struct uuid run_id,
    struct arena *arena, struct run_state *out, struct error *err);
SUSPENDS enum as_status run_sql_thread(void *arg, struct uuid thread_id,
    struct uuid tenant_id, struct uuid user_id, struct thread_state *out,
    struct error *err);
SUSPENDS enum as_status run_sql_switch(void *arg, struct uuid thread_id,
    struct uuid tenant_id, struct uuid user_id, struct uuid leaf,
    struct error *err);
SUSPENDS enum as_status run_sql_history(void *arg, struct uuid thread_id,
    const char *ns, struct uuid leaf, int64_t next_sequence,
    struct arena *arena, struct run_history_row **out, int *n,
    struct error *err);
SUSPENDS enum as_status run_sql_tools(void *arg, struct uuid run_id,
    int64_t step, struct arena *arena, struct run_tool **out, int *n,
    struct error *err);
SUSPENDS enum as_status run_sql_asked(void *arg, struct uuid run_id,
    struct arena *arena, struct run_asked **out, int *n, int64_t *version,
    struct error *err);
SUSPENDS enum as_status run_sql_note(void *arg, struct uuid run_id,
    int64_t fence, const struct run_note *note, struct error *err);
SUSPENDS enum as_status run_sql_notes(void *arg, struct uuid run_id,
    int64_t step, struct arena *arena, struct run_note **out, int *n,
    struct error *err);
SUSPENDS enum as_status run_sql_overdue(void *arg, int max,
    struct run_overdue **out, int *n, struct error *err);
SUSPENDS enum as_status run_sql_open_message(void *arg, bool by_run,
    struct uuid id, int64_t at, struct uuid *out, int *attempt,
    struct error *err);
SUSPENDS enum as_status run_sql_by_client_id(void *arg, struct uuid thread_id,
    const char *client_message_id, struct uuid *message_id, struct uuid *run_id,
    int64_t *seq, struct error *err);
SUSPENDS enum as_status run_sql_by_dedup(void *arg, struct uuid user_id,
    struct uuid agent_id, const char *dedup, struct run_claim *out,
    struct error *err);

/*
 * What one claim looks at: so many tenants of a class on each side of `after`,
 * and so many jobs of each of them; about 200 rows where many wait.
 */
int run_claim_tenants(const struct run_claim_ask *ask);
int run_claim_each(const struct run_claim_ask *ask);
/* A lane of this weight moves on by so much with each of its turns. */
int64_t run_claim_stride(const struct run_claim_ask *ask, int lane);
const char *run_create_kind(const struct run_create *c);
/* When its job is due. */
int64_t run_create_at(const struct run_create *c);

/* run_block.c */
SUSPENDS enum as_status run_sql_blocked(void *arg, struct uuid thread_id,
    struct arena *arena, struct run_blocked **out, int *n, struct error *err);
SUSPENDS enum as_status run_sql_stalled(void *arg, int max,
    struct run_stalled **out, int *n, struct error *err);
/* run_read.c */
SUSPENDS enum as_status run_sql_effects(void *arg, struct uuid run_id,
    struct arena *arena, struct run_tool **out, int *n, struct error *err);

#endif
