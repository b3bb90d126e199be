/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/run/run_store_impl.h"

/* From an operation to the body that this run_store has. */

static const struct run_store_ops sql_ops = {
	.thread_create = run_sql_thread_create,
	.create = run_sql_create,
	.commit = run_sql_commit,
	.late = run_sql_late,
	.answer = run_sql_answer,
	.claim = run_sql_claim,
	.node_join = run_sql_node_join,
	.node_renew = run_sql_node_renew,
	.node_leave = run_sql_node_leave,
	.reap = run_sql_reap,
	.node_guard = run_sql_node_guard,
	.node_doom = run_sql_node_doom,
	.held = run_sql_held,
	.cancelling = run_sql_cancelling,
	.children = run_sql_children,
	.next_due = run_sql_next_due,
	.charge = run_sql_charge,
	.release = run_sql_release,
	.state = run_sql_state,
	.thread = run_sql_thread,
	.switch_leaf = run_sql_switch,
	.history = run_sql_history,
	.tools = run_sql_tools,
	.asked = run_sql_asked,
	.note = run_sql_note,
	.notes = run_sql_notes,
	.overdue = run_sql_overdue,
	.open_message = run_sql_open_message,
	.by_client_id = run_sql_by_client_id,
	.blocked = run_sql_blocked,
	.stalled = run_sql_stalled,
	.effects = run_sql_effects,
	.by_dedup = run_sql_by_dedup,
};

struct run_store *
run_store_new(struct store *store)
{
	struct run_store *rs = xcalloc(1, sizeof(*rs));

	rs->ops = &sql_ops;
	rs->arg = store;
	return rs;
}

void
run_store_free(struct run_store *rs)
{
	free(rs);
}

SUSPENDS enum as_status
run_store_thread_create(struct run_store *rs, struct uuid id,
    struct uuid tenant_id, struct uuid user_id, struct uuid agent_id,
    const char *title, struct error *err)
{
	return rs->ops->thread_create(rs->arg, id, tenant_id, user_id, agent_id,
	    title, err);
}

SUSPENDS enum as_status
run_store_create(struct run_store *rs, const struct run_create *c,
    struct error *err)
{
	return rs->ops->create(rs->arg, c, err);
}

SUSPENDS enum as_status
run_store_commit(struct run_store *rs, const struct run_commit *c,
    struct error *err)
{
	return rs->ops->commit(rs->arg, c, err);
}

SUSPENDS enum as_status
run_store_late(struct run_store *rs, struct uuid run_id,
    const struct run_tool *t, int64_t now_us, struct error *err)
{
	return rs->ops->late(rs->arg, run_id, t, now_us, err);
}

SUSPENDS enum as_status
run_store_answer(struct run_store *rs, struct uuid run_id,
    const struct run_answer *answers, int n, int64_t now_us, struct error *err)
{
	return rs->ops->answer(rs->arg, run_id, answers, n, now_us, err);
}

SUSPENDS enum as_status
run_store_asked(struct run_store *rs, struct uuid run_id, struct arena *arena,
    struct run_asked **out, int *n, int64_t *version, struct error *err)
{
	return rs->ops->asked(rs->arg, run_id, arena, out, n, version, err);
}

SUSPENDS enum as_status
run_store_note(struct run_store *rs, struct uuid run_id, int64_t fence,
    const struct run_note *note, struct error *err)
{
	if (rs->ops->note == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "nothing can be kept here");
	return rs->ops->note(rs->arg, run_id, fence, note, err);
}

SUSPENDS enum as_status
run_store_notes(struct run_store *rs, struct uuid run_id, int64_t step,
    struct arena *arena, struct run_note **out, int *n, struct error *err)
{
	*out = NULL;
	*n = 0;
	if (rs->ops->notes == NULL)
		return AS_OK;
	return rs->ops->notes(rs->arg, run_id, step, arena, out, n, err);
}

SUSPENDS enum as_status
run_store_overdue(struct run_store *rs, int max, struct run_overdue **out,
    int *n, struct error *err)
{
	return rs->ops->overdue(rs->arg, max, out, n, err);
}

SUSPENDS enum as_status
run_store_claim(struct run_store *rs, const struct run_claim_ask *ask,
    struct run_claim **out, int *n, struct error *err)
{
	return rs->ops->claim(rs->arg, ask, out, n, err);
}

SUSPENDS enum as_status
run_store_node_join(struct run_store *rs, const char *name, const char *build,
    int64_t ttl_us, int64_t *epoch, struct error *err)
{
	return rs->ops->node_join(rs->arg, name, build, ttl_us, epoch, err);
}

SUSPENDS enum as_status
run_store_node_renew(struct run_store *rs, int64_t epoch, int64_t ttl_us,
    struct error *err)
{
	return rs->ops->node_renew(rs->arg, epoch, ttl_us, err);
}

SUSPENDS enum as_status
run_store_node_leave(struct run_store *rs, int64_t epoch, struct error *err)
{
	return rs->ops->node_leave(rs->arg, epoch, err);
}

SUSPENDS enum as_status
run_store_reap(struct run_store *rs, int64_t epoch, bool all,
    int64_t max_age_us, int *n, struct error *err)
{
	return rs->ops->reap(rs->arg, epoch, all, max_age_us, n, err);
}

SUSPENDS enum as_status
run_store_release(struct run_store *rs, int64_t epoch, struct uuid thread_id,
    struct uuid run_id, struct error *err)
{
	return rs->ops->release(rs->arg, epoch, thread_id, run_id, err);
}

SUSPENDS enum as_status
run_store_state(struct run_store *rs, struct uuid run_id, struct arena *arena,
    struct run_state *out, struct error *err)
{
	return rs->ops->state(rs->arg, run_id, arena, out, err);
}

SUSPENDS enum as_status
run_store_thread(struct run_store *rs, struct uuid thread_id,
    struct uuid tenant_id, struct uuid user_id, struct thread_state *out,
    struct error *err)
{
	return rs->ops->thread(rs->arg, thread_id, tenant_id, user_id, out,
	    err);
}

SUSPENDS enum as_status
run_store_switch(struct run_store *rs, struct uuid thread_id,
    struct uuid tenant_id, struct uuid user_id, struct uuid leaf,
    struct error *err)
{
	return rs->ops->switch_leaf(rs->arg, thread_id, tenant_id, user_id,
	    leaf, err);
}

SUSPENDS enum as_status
run_store_history(struct run_store *rs, struct uuid thread_id, const char *ns,
    struct uuid leaf, int64_t next_sequence, struct arena *arena,
    struct run_history_row **out, int *n, struct error *err)
{
	return rs->ops->history(rs->arg, thread_id, ns, leaf, next_sequence,
	    arena, out, n, err);
}

SUSPENDS enum as_status
run_store_tools(struct run_store *rs, struct uuid run_id, int64_t step,
    struct arena *arena, struct run_tool **out, int *n, struct error *err)
{
	return rs->ops->tools(rs->arg, run_id, step, arena, out, n, err);
}

SUSPENDS enum as_status
run_store_open_message(struct run_store *rs, bool by_run, struct uuid id,
    int64_t at, struct uuid *out, int *attempt, struct error *err)
{
	return rs->ops->open_message(rs->arg, by_run, id, at, out, attempt,
	    err);
}

SUSPENDS enum as_status
run_store_by_client_id(struct run_store *rs, struct uuid thread_id,
    const char *client_message_id, struct uuid *message_id, struct uuid *run_id,
    int64_t *seq, struct error *err)
{
	return rs->ops->by_client_id(rs->arg, thread_id, client_message_id,
	    message_id, run_id, seq, err);
}

SUSPENDS enum as_status
run_store_node_guard(struct run_store *rs, int64_t epoch, int64_t silence_us,
    struct error *err)
{
	return rs->ops->node_guard(rs->arg, epoch, silence_us, err);
}

SUSPENDS enum as_status
run_store_node_doom(struct run_store *rs, int64_t epoch, int64_t lease_us,
    int *n, struct error *err)
{
	return rs->ops->node_doom(rs->arg, epoch, lease_us, n, err);
}

SUSPENDS enum as_status
run_store_held(struct run_store *rs, int64_t epoch, struct run_claim **out,
    int *n, struct error *err)
{
	return rs->ops->held(rs->arg, epoch, out, n, err);
}

SUSPENDS enum as_status
run_store_cancelling(struct run_store *rs, int64_t epoch,
    struct run_cancelling **out, int *n, struct error *err)
{
	return rs->ops->cancelling(rs->arg, epoch, out, n, err);
}

SUSPENDS enum as_status
run_store_children(struct run_store *rs, struct uuid run_id,
    struct run_claim **out, int *n, struct error *err)
{
	return rs->ops->children(rs->arg, run_id, out, n, err);
}

SUSPENDS enum as_status
run_store_next_due(struct run_store *rs, int64_t *in_us, struct error *err)
{
	return rs->ops->next_due(rs->arg, in_us, err);
}

SUSPENDS enum as_status
run_store_charge(struct run_store *rs, struct uuid run_id, struct error *err)
{
	return rs->ops->charge(rs->arg, run_id, err);
}

SUSPENDS enum as_status
run_store_blocked(struct run_store *rs, struct uuid thread_id,
    struct arena *arena, struct run_blocked **out, int *n, struct error *err)
{
	return rs->ops->blocked(rs->arg, thread_id, arena, out, n, err);
}

SUSPENDS enum as_status
run_store_stalled(struct run_store *rs, int max, struct run_stalled **out,
    int *n, struct error *err)
{
	return rs->ops->stalled(rs->arg, max, out, n, err);
}

SUSPENDS enum as_status
run_store_effects(struct run_store *rs, struct uuid run_id, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	return rs->ops->effects(rs->arg, run_id, arena, out, n, err);
}

SUSPENDS enum as_status
run_store_by_dedup(struct run_store *rs, struct uuid user_id,
    struct uuid agent_id, const char *dedup, struct run_claim *out,
    struct error *err)
{
	return rs->ops->by_dedup(rs->arg, user_id, agent_id, dedup, out, err);
}
