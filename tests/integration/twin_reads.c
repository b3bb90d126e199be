/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "tests/integration/twin.h"

/* All that is read has to be the same. */

static int
overdue_order(const void *a, const void *b)
{
	const struct run_overdue *x = a, *y = b;

	return uuid_compare(x->item_id, y->item_id);
}

static SUSPENDS void
reads_overdue(void)
{
	struct run_overdue *got[2] = { NULL, NULL };
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "overdue");
	ON_BOTH(run_store_overdue(rs, 1000, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), overdue_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(
		    uuid_equal(got[0][i].item_id, got[1][i].item_id));
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
		CU_ASSERT_STRING_EQUAL(got[0][i].on_expire,
		    got[1][i].on_expire);
	}
	free(got[0]);
	free(got[1]);
}

static int
asked_order(const void *a, const void *b)
{
	const struct run_asked *x = a, *y = b;

	return uuid_compare(x->id, y->id);
}

static SUSPENDS void
reads_asked(struct arena *arena)
{
	const struct model_item *old = any(&model->items);
	struct uuid run = old != NULL && !one_in(10) ? old->run_id : new_id();
	struct run_asked *got[2] = { NULL, NULL };
	int64_t version[2] = { 0, 0 };
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "asked");
	ON_BOTH(run_store_asked(rs, run, arena, &got[i_], &n[i_], &version[i_],
		    &err),
	    err);
	same_count(n[0], n[1]);
	CU_ASSERT_EQUAL(version[0], version[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), asked_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		const struct run_asked *a = &got[0][i], *b = &got[1][i];

		CU_ASSERT_TRUE(uuid_equal(a->id, b->id));
		CU_ASSERT_TRUE(uuid_equal(a->interrupt_id, b->interrupt_id));
		CU_ASSERT_EQUAL(a->step, b->step);
		CU_ASSERT_EQUAL(a->ordinal, b->ordinal);
		CU_ASSERT_EQUAL(a->expires_at, b->expires_at);
		CU_ASSERT_EQUAL(a->responded_at, b->responded_at);
		same_text(a->kind, b->kind);
		same_text(a->status, b->status);
		same_text(a->config, b->config);
		same_text(a->response_type, b->response_type);
		same_text(a->response, b->response);
		same_text(a->response_key, b->response_key);
	}
}

static SUSPENDS void
reads_state(struct arena *arena)
{
	const struct model_run *r = any(&model->runs);
	struct uuid id = r != NULL && !one_in(10) ? r->id : new_id();
	struct run_state s[2];

	memset(s, 0, sizeof(s));
	snprintf(what, sizeof(what), "state");
	ON_BOTH(run_store_state(rs, id, arena, &s[i_], &err), err);
	CU_ASSERT_EQUAL(s[0].status, s[1].status);
	CU_ASSERT_EQUAL(s[0].fence, s[1].fence);
	CU_ASSERT_EQUAL(s[0].owner_epoch, s[1].owner_epoch);
	CU_ASSERT_EQUAL(s[0].waited, s[1].waited);
	CU_ASSERT_EQUAL(s[0].heads.seq, s[1].heads.seq);
	CU_ASSERT_EQUAL(s[0].heads.run_seq, s[1].heads.run_seq);
	CU_ASSERT_EQUAL(s[0].heads.msg_seq, s[1].heads.msg_seq);
	CU_ASSERT_EQUAL(s[0].usage.input, s[1].usage.input);
	CU_ASSERT_EQUAL(s[0].now_us, s[1].now_us);
	same_text(s[0].kind, s[1].kind);
	CU_ASSERT_EQUAL(s[0].class, s[1].class);
	CU_ASSERT_EQUAL(s[0].pending_children, s[1].pending_children);
	CU_ASSERT_EQUAL(s[0].parent.status, s[1].parent.status);
	CU_ASSERT_EQUAL(s[0].parent.run_seq, s[1].parent.run_seq);
	CU_ASSERT_EQUAL(s[0].parent.pending_children,
	    s[1].parent.pending_children);
	CU_ASSERT_TRUE(uuid_equal(s[0].parent_call_id, s[1].parent_call_id));
	if (s[0].ns != NULL && s[1].ns != NULL)
		CU_ASSERT_STRING_EQUAL(s[0].ns, s[1].ns);
	CU_ASSERT_EQUAL(memcmp(s[0].checkpoint_hash, s[1].checkpoint_hash, 32),
	    0);
	CU_ASSERT_TRUE(uuid_equal(s[0].last_commit_id, s[1].last_commit_id));
	CU_ASSERT_TRUE(uuid_equal(s[0].leaf, s[1].leaf));
	CU_ASSERT_EQUAL(s[0].branch.beside, s[1].branch.beside);
	CU_ASSERT_TRUE(uuid_equal(s[0].thread_leaf, s[1].thread_leaf));
	CU_ASSERT_TRUE(uuid_equal(s[0].active_run_id, s[1].active_run_id));
	CU_ASSERT_EQUAL(s[0].n_blocked, s[1].n_blocked);
	CU_ASSERT_EQUAL(s[0].n_steers, s[1].n_steers);
	same_text(s[0].multitask, s[1].multitask);
	same_text(s[0].next_multitask, s[1].next_multitask);
}

static SUSPENDS void
reads_queue(struct arena *arena)
{
	struct uuid id = threads[below((uint32_t)n_threads)];
	const struct model_run *r = any(&model->runs);
	struct run_stalled *stalled[2] = { NULL, NULL };
	struct run_blocked *list[2];
	struct run_tool *tools[2];
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "blocked, stalled, effects");
	ON_BOTH(run_store_blocked(rs, id, arena, &list[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		const struct run_blocked *a = &list[0][i], *b = &list[1][i];

		CU_ASSERT_TRUE(uuid_equal(a->run_id, b->run_id));
		CU_ASSERT_TRUE(uuid_equal(a->message.id, b->message.id));
		CU_ASSERT_EQUAL(a->block_pos, b->block_pos);
		CU_ASSERT_EQUAL(a->run_seq, b->run_seq);
		same_text(a->multitask, b->multitask);
		same_text(a->message.content, b->message.content);
		same_text(a->message.client_message_id,
		    b->message.client_message_id);
	}
	ON_BOTH(run_store_stalled(rs, 10, &stalled[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		const struct run_stalled *a = &stalled[0][i];
		const struct run_stalled *b = &stalled[1][i];

		CU_ASSERT_TRUE(uuid_equal(a->thread_id, b->thread_id));
		CU_ASSERT_TRUE(uuid_equal(a->active_run_id, b->active_run_id));
		CU_ASSERT_TRUE(uuid_equal(a->next_run_id, b->next_run_id));
		same_text(a->multitask, b->multitask);
	}
	free(stalled[0]);
	free(stalled[1]);
	if (r == NULL)
		return;
	ON_BOTH(run_store_effects(rs, r->id, arena, &tools[i_], &n[i_], &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++)
		same_text(tools[0][i].state, tools[1][i].state);
}

static SUSPENDS void
reads_thread(struct arena *arena)
{
	struct uuid id = threads[below((uint32_t)n_threads)];
	struct uuid leaf = one_in(2) ? some_message(id) : (struct uuid){ 0 };
	struct run_history_row *rows[2];
	struct uuid who = one_in(9) ? agent_id : user_id;
	struct thread_state t[2];
	int n[2] = { 0, 0 };

	memset(t, 0, sizeof(t));
	snprintf(what, sizeof(what), "thread and history");
	ON_BOTH(run_store_thread(rs, id, tenant, who, &t[i_], &err), err);
	ON_BOTH(run_store_thread(rs, id, tenant, user_id, &t[i_], &err), err);
	CU_ASSERT_EQUAL(t[0].heads.seq, t[1].heads.seq);
	CU_ASSERT_EQUAL(t[0].has_title, t[1].has_title);
	CU_ASSERT_TRUE(uuid_equal(t[0].active_run_id, t[1].active_run_id));
	CU_ASSERT_TRUE(uuid_equal(t[0].last_message_id, t[1].last_message_id));
	CU_ASSERT_TRUE(uuid_equal(t[0].leaf, t[1].leaf));
	ON_BOTH(run_store_history(rs, id, "", leaf, t[0].heads.msg_seq, arena,
		    &rows[i_], &n[i_], &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(uuid_equal(rows[0][i].id, rows[1][i].id));
		CU_ASSERT_STRING_EQUAL(rows[0][i].content, rows[1][i].content);
		CU_ASSERT_STRING_EQUAL(rows[0][i].state, rows[1][i].state);
	}
}

static SUSPENDS void
reads_run(struct arena *arena)
{
	const struct model_run *r = any(&model->runs);
	int64_t at = one_in(2) ? INT64_MAX : below(10);
	int64_t step = below(4), seq[2] = { 0, 0 };
	struct uuid open[2], message[2], run[2];
	struct run_claim first[2];
	struct run_tool *tools[2];
	int n[2] = { 0, 0 }, attempt[2] = { 0, 0 };
	bool by_run = one_in(2);
	char client_id[16];

	if (r == NULL)
		return;
	snprintf(what, sizeof(what), "tools, open message, client id");
	ON_BOTH(run_store_tools(rs, r->id, step, arena, &tools[i_], &n[i_],
		    &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_EQUAL(tools[0][i].ordinal, tools[1][i].ordinal);
		CU_ASSERT_EQUAL(tools[0][i].deadline_us,
		    tools[1][i].deadline_us);
	}
	ON_BOTH(run_store_open_message(rs, by_run,
		    by_run ? r->id : r->thread_id, at, &open[i_], &attempt[i_],
		    &err),
	    err);
	CU_ASSERT_TRUE(uuid_equal(open[0], open[1]));
	CU_ASSERT_EQUAL(attempt[0], attempt[1]);
	snprintf(client_id, sizeof(client_id), "c%u", below(40));
	ON_BOTH(run_store_by_client_id(rs, r->thread_id, client_id,
		    &message[i_], &run[i_], &seq[i_], &err),
	    err);
	CU_ASSERT_TRUE(uuid_equal(message[0], message[1]));
	CU_ASSERT_TRUE(uuid_equal(run[0], run[1]));
	CU_ASSERT_EQUAL(seq[0], seq[1]);
	snprintf(client_id, sizeof(client_id), "d%u", below(20));
	ON_BOTH(run_store_by_dedup(rs, user_id, agent_id, client_id, &first[i_],
		    &err),
	    err);
	CU_ASSERT_TRUE(uuid_equal(first[0].run_id, first[1].run_id));
	CU_ASSERT_TRUE(uuid_equal(first[0].thread_id, first[1].thread_id));
}

/* Who works for a run, and what it has in its own name space. */
static SUSPENDS void
reads_family(struct arena *arena)
{
	const struct model_run *r = any(&model->runs);
	struct run_claim *got[2] = { NULL, NULL };
	struct run_history_row *rows[2];
	int n[2] = { 0, 0 };

	if (r == NULL)
		return;
	snprintf(what, sizeof(what), "subagents and their history");
	ON_BOTH(run_store_children(rs, r->id, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), claim_order);
	for (int i = 0; i < n[0] && !parted; i++)
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
	free(got[0]);
	free(got[1]);
	ON_BOTH(run_store_history(rs, r->thread_id, r->ns, (struct uuid){ 0 },
		    INT64_MAX, arena, &rows[i_], &n[i_], &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++)
		CU_ASSERT_TRUE(uuid_equal(rows[0][i].id, rows[1][i].id));
}

SUSPENDS void
twin_reads(void)
{
	struct arena *arena = arena_new(NULL);

	reads_state(arena);
	reads_thread(arena);
	reads_run(arena);
	reads_queue(arena);
	reads_family(arena);
	reads_asked(arena);
	reads_overdue();
	twin_reads_node();
	arena_free(arena);
}
