/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/fault/check.h"

/* What the rows say of each other, without the log. */

static void
check_ends(struct check *c)
{
	/* Or one that it waits for is parked. */
	struct rows *r = check_query(c,
	    "SELECT id, status FROM runs p WHERE status <> 'waiting_child' OR"
	    " NOT EXISTS (SELECT 1 FROM runs k WHERE k.parent_run_id = p.id"
	    " AND k.status IN ('waiting_child', 'waiting_human',"
	    " 'recoverable_error'))",
	    NULL, 0);
	char id[UUID_TEXT];

	for (int i = 0; i < rows_count(r); i++) {
		const char *status = rows_text(r, i, 1);

		if (check_is_terminal(status) || check_is_parked(status))
			continue;
		uuid_format(rows_uuid(r, i, 0), id);
		check_broken(c, "I1", "run %s is still %s", id, status);
	}
	rows_free(r);
}

static void
check_jobs(struct check *c)
{
	check_no_row(c, "I14", "a job, but no run for it",
	    "SELECT j.run_id FROM jobs j LEFT JOIN runs r ON r.id = j.run_id"
	    " WHERE j.kind = 'run' AND (r.id IS NULL OR r.status NOT IN"
	    " ('queued', 'running', 'cancelling', 'waiting_timer'))");
	check_no_row(c, "I14", "a run that nobody will ever work on",
	    "SELECT r.id FROM runs r WHERE r.status IN ('queued', 'running',"
	    " 'cancelling', 'waiting_timer') AND NOT EXISTS (SELECT 1"
	    " FROM jobs j WHERE j.kind = 'run' AND j.run_id = r.id)");
	check_no_row(c, "I14", "the run and its job have two owners",
	    "SELECT r.id FROM runs r JOIN jobs j ON j.kind = 'run' AND"
	    " j.run_id = r.id WHERE r.status IN ('running', 'cancelling')"
	    " AND COALESCE(r.owner_epoch, 0) <> COALESCE(j.owner_epoch, 0)");
}

/* Who waits knows how many work for it, and has told each of its calls. */
static void
check_families(struct check *c)
{
	check_no_row(c, "I21", "a run that waits for others than there are",
	    "SELECT p.id FROM runs p WHERE p.pending_children <> (SELECT"
	    " count(*) FROM runs k WHERE k.parent_run_id = p.id AND"
	    " k.completed_at IS NULL)");
	check_no_row(c, "I21", "a subagent without a run that waits for it",
	    "SELECT k.id FROM runs k LEFT JOIN runs p ON p.id ="
	    " k.parent_run_id WHERE k.kind = 'subagent' AND (p.id IS NULL OR"
	    " (k.completed_at IS NULL AND p.status NOT IN ('waiting_child',"
	    " 'cancelling')))");
	check_no_row(c, "I21", "a subagent that has ended and told nobody",
	    "SELECT k.id FROM runs k WHERE k.parent_run_id IS NOT NULL AND"
	    " k.completed_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM"
	    " tool_invocations i WHERE i.id = k.parent_call_id AND i.run_id ="
	    " k.parent_run_id AND i.result IS NOT NULL)");
	check_no_row(c, "I21", "two subagents for one call",
	    "SELECT parent_call_id FROM runs WHERE parent_call_id IS NOT NULL"
	    " GROUP BY parent_call_id HAVING count(*) > 1");
}

static void
check_checkpoints(struct check *c)
{
	check_no_row(c, "I5", "a checkpoint whose parent is not there",
	    "SELECT c.checkpoint_id FROM checkpoints c WHERE c.parent_id IS"
	    " NOT NULL AND NOT EXISTS (SELECT 1 FROM checkpoints p WHERE"
	    " p.thread_id = c.thread_id AND p.ns = c.ns AND"
	    " p.checkpoint_id = c.parent_id)");
	check_no_row(c, "I5", "a checkpoint in a cycle",
	    "WITH RECURSIVE up (id, at, n) AS (SELECT checkpoint_id,"
	    " parent_id, 0 FROM checkpoints UNION ALL SELECT up.id,"
	    " c.parent_id, up.n + 1 FROM up JOIN checkpoints c ON"
	    " c.checkpoint_id = up.at WHERE up.n < 20000)"
	    " SELECT DISTINCT id FROM up WHERE at = id OR n >= 20000");
	/* What was rolled back is a branch that the head has left. */
	check_no_row(c, "I5", "a thread with several heads",
	    "SELECT c.thread_id FROM checkpoints c JOIN runs r ON r.id ="
	    " c.run_id WHERE c.source = 'loop' AND r.status <> 'rolled_back'"
	    " AND NOT EXISTS (SELECT 1 FROM checkpoints k JOIN runs s ON s.id"
	    " = k.run_id WHERE k.thread_id = c.thread_id AND k.ns = c.ns AND"
	    " k.parent_id = c.checkpoint_id AND s.status <> 'rolled_back')"
	    " AND NOT EXISTS (SELECT 1 FROM checkpoints f WHERE f.thread_id ="
	    " c.thread_id AND f.source = 'fork')"
	    " GROUP BY c.thread_id, c.ns HAVING count(*) > 1");
	check_no_row(c, "I5", "two checkpoints after one, and none is a fork",
	    "SELECT c.parent_id FROM checkpoints c JOIN runs r ON r.id ="
	    " c.run_id WHERE c.source = 'loop' AND c.parent_id IS NOT NULL AND"
	    " r.status <> 'rolled_back' GROUP BY c.thread_id, c.ns,"
	    " c.parent_id HAVING count(*) > 1");
	check_no_row(c, "I5", "a run on a branch without its fork",
	    "SELECT r.id FROM runs r WHERE (r.beside OR r.fork_mode IS NOT"
	    " NULL) AND NOT EXISTS (SELECT 1 FROM checkpoints k WHERE"
	    " k.checkpoint_id = r.id AND k.run_id = r.id AND k.source ="
	    " 'fork')");
	check_no_row(c, "I5", "the head of a thread is no head",
	    "SELECT t.id FROM threads t WHERE t.head_checkpoint_id IS NOT NULL"
	    " AND (EXISTS (SELECT 1 FROM checkpoints k JOIN runs r ON r.id ="
	    " k.run_id WHERE k.thread_id = t.id AND k.source = 'loop' AND"
	    " r.status <> 'rolled_back' AND k.parent_id ="
	    " t.head_checkpoint_id) OR NOT EXISTS"
	    " (SELECT 1 FROM checkpoints k WHERE k.thread_id = t.id AND"
	    " k.checkpoint_id = t.head_checkpoint_id))");
}

/* ---- Messages ------------------------------------------------------ */

#define CALLS_MAX 256

struct history {
	char thread[UUID_TEXT];
	char *open[CALLS_MAX]; /* calls without a result */
	int n_open;
};

static void
history_drop(struct history *h, int i)
{
	free(h->open[i]);
	h->open[i] = h->open[--h->n_open];
}

static void
history_end(struct check *c, struct history *h, const char *before)
{
	if (h->n_open > 0)
		check_broken(c, "I11",
		    "thread %s: %d tool calls without a result before %s",
		    h->thread, h->n_open, before);
	while (h->n_open > 0)
		history_drop(h, 0);
}

static void
history_calls(struct history *h, const char *text)
{
	struct json_object *parts = NULL, *part;

	if (json_parse(text, strlen(text), &parts, NULL) != AS_OK)
		return;
	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		part = json_object_array_get_idx(parts, i);
		if (strcmp(jget_str(part, "type", ""), "tool_call") == 0 &&
		    h->n_open < CALLS_MAX)
			h->open[h->n_open++] = xstrdup(
			    jget_str(part, "id", ""));
	}
	json_object_put(parts);
}

static void
history_result(struct check *c, struct history *h, const char *call_id)
{
	for (int i = 0; i < h->n_open; i++)
		if (strcmp(h->open[i], call_id) == 0) {
			history_drop(h, i);
			return;
		}
	check_broken(c, "I11", "thread %s: a result of '%s', which is not open",
	    h->thread, call_id);
}

static void
history_message(struct check *c, struct history *h, const struct rows *r, int i)
{
	const char *role = rows_text(r, i, 1);

	if (strcmp(role, "tool") == 0) {
		history_result(c, h,
		    rows_is_null(r, i, 3) ? "" : rows_text(r, i, 3));
		return;
	}
	history_end(c, h, "the next message");
	if (strcmp(role, "assistant") == 0)
		history_calls(h, rows_text(r, i, 2));
}

/* They are numbered without a gap: as many as the last one's number. */
static void
check_numbers(struct check *c, struct uuid id, int64_t next)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	struct rows *r = check_query(c,
	    "SELECT count(*), COALESCE(max(sequence), 0) FROM messages"
	    " WHERE thread_id = $1 AND sequence > 0",
	    args, 1);
	char text[UUID_TEXT];

	uuid_format(id, text);
	if (rows_int(r, 0, 0) != rows_int(r, 0, 1) ||
	    rows_int(r, 0, 0) != next - 1)
		check_broken(c, "I11",
		    "thread %s: %lld messages up to number %lld, the next is "
		    "number %lld",
		    text, (long long)rows_int(r, 0, 0),
		    (long long)rows_int(r, 0, 1), (long long)next);
	rows_free(r);
}

static bool
is_counted(const struct rows *r, int i)
{
	const char *state = rows_text(r, i, 4);

	return strcmp(state, "final") == 0 || strcmp(state, "interrupted") == 0;
}

/* Its place before i; -1: it is the first; -2: it is not there. */
static int
parent_of(const struct rows *r, int i)
{
	if (rows_is_null(r, i, 6))
		return -1;
	for (int k = i - 1; k >= 0; k--)
		if (uuid_equal(rows_uuid(r, k, 5), rows_uuid(r, i, 6)))
			return k;
	return -2;
}

/* One branch from its root to a leaf, as a model would be told it. */
static void
check_path(struct check *c, const char *thread, const struct rows *r,
    const int *parents, int leaf, bool ended)
{
	int *path = xcalloc((size_t)leaf + 1, sizeof(*path)), n = 0;
	struct history h = { .n_open = 0 };

	strcpy(h.thread, thread);
	for (int i = leaf; i >= 0; i = parents[i])
		path[n++] = i;
	while (n > 0)
		history_message(c, &h, r, path[--n]);
	if (ended)
		history_end(c, &h, "its end");
	while (h.n_open > 0)
		history_drop(&h, 0);
	free(path);
}

static void
check_branches(struct check *c, const char *thread, const struct rows *r,
    bool linear, bool ended)
{
	size_t size = (size_t)rows_count(r) + 1;
	int *parents = xcalloc(size, sizeof(*parents)), leaves = 0;
	bool *has_child = xcalloc(size, sizeof(*has_child));

	for (int i = 0; i < rows_count(r); i++) {
		if (!is_counted(r, i))
			continue;
		parents[i] = parent_of(r, i);
		if (parents[i] == -2 ||
		    (parents[i] >= 0 && !is_counted(r, parents[i])))
			check_broken(c, "I11",
			    "thread %s: what message %d follows is not there",
			    thread, i + 1);
		if (parents[i] >= 0)
			has_child[parents[i]] = true;
	}
	for (int i = 0; i < rows_count(r); i++)
		if (is_counted(r, i) && !has_child[i]) {
			leaves++;
			check_path(c, thread, r, parents, i, ended);
		}
	if (linear && leaves > 1)
		check_broken(c, "I11", "thread %s: %d branches, no active leaf",
		    thread, leaves);
	free(parents);
	free(has_child);
}

/* A subagent has a history of its own, which has no branches. */
static void
check_history(struct check *c, struct uuid id, const char *ns, bool linear,
    bool ended)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_TEXT(ns) };
	char thread[UUID_TEXT];
	struct rows *r = check_query(c,
	    "SELECT sequence, role, parts, tool_call_id, state, id, parent_id"
	    " FROM messages WHERE thread_id = $1 AND ns = $2 AND sequence > 0"
	    " ORDER BY sequence",
	    args, 2);

	uuid_format(id, thread);
	check_branches(c, thread, r, linear || ns[0] != '\0', ended);
	rows_free(r);
}

static void
check_thread(struct check *c, struct uuid id, int64_t next, const char *status,
    bool linear)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	/* A run that waits for somebody may have calls that wait with it. */
	bool ended = status == NULL || check_is_terminal(status);
	struct rows *r = check_query(c,
	    "SELECT DISTINCT ns FROM messages WHERE thread_id = $1", args, 1);

	check_numbers(c, id, next);
	for (int i = 0; i < rows_count(r); i++)
		check_history(c, id, rows_text(r, i, 0), linear, ended);
	rows_free(r);
}

static void
check_messages(struct check *c)
{
	struct rows *r = check_query(c,
	    "SELECT t.id, t.next_msg_seq, r.status, t.active_leaf"
	    " FROM threads t LEFT JOIN"
	    " runs r ON r.id = t.active_run_id",
	    NULL, 0);

	for (int i = 0; i < rows_count(r); i++)
		check_thread(c, rows_uuid(r, i, 0), rows_int(r, i, 1),
		    rows_text(r, i, 2), rows_is_null(r, i, 3));
	rows_free(r);
	check_no_row(c, "I11", "a message without a place that does not wait",
	    "SELECT m.id FROM messages m JOIN runs r ON r.id = m.run_id WHERE"
	    " m.sequence <= 0 AND m.state <> 'rolled_back'"
	    " AND (m.state <> 'staged' OR r.status <> 'blocked')");
	check_no_row(c, "I13", "a place in a queue without a blocked run",
	    "SELECT id FROM runs WHERE (block_pos IS NOT NULL) <>"
	    " (status = 'blocked')");
	check_no_row(c, "I11", "the active leaf of a thread is none of it",
	    "SELECT t.id FROM threads t WHERE t.active_leaf IS NOT NULL AND"
	    " NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = t.active_leaf"
	    " AND m.thread_id = t.id AND m.state IN ('final',"
	    " 'interrupted'))");
}

void
check_rows(struct check *c)
{
	check_ends(c);
	check_jobs(c);
	check_families(c);
	check_checkpoints(c);
	check_messages(c);
}
