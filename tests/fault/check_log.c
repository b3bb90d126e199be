/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/run/run.h"
#include "tests/fault/check.h"

/*
 * The log of each run is folded to what the rows should say, and compared
 * with them.
 */

struct run {
	struct check *c;
	struct uuid id;
	char text[UUID_TEXT];
	const char *status;
	int64_t step, head_seq, fence;
	struct uuid checkpoint_id;
	/* Folded. */
	int64_t n, last_fence, last_step;
	struct uuid last_checkpoint;
	char state[32]; /* of the last run_status */
	int64_t ended_at; /* run_seq of the terminal event, 0: none */
	int n_messages;
	int64_t tokens; /* spent, by the log */
};

/* ---- One run ------------------------------------------------------- */

/* Of one answer, or of all that the run has spent, also for nothing. */
static void
fold_usage(struct run *r, struct json_object *usage, bool is_all)
{
	int64_t tokens = jget_int(usage, "input_tokens", 0) +
			 jget_int(usage, "output_tokens", 0);

	if (usage == NULL)
		return;
	if (is_all && tokens < r->tokens)
		check_broken(r->c, "I17",
		    "run %s: %lld tokens after event %lld, but its answers "
		    "took "
		    "%lld",
		    r->text, (long long)tokens, (long long)r->n,
		    (long long)r->tokens);
	r->tokens = is_all ? tokens : r->tokens + tokens;
}

static void
fold_status(struct run *r, struct json_object *body, int64_t run_seq)
{
	const char *reason = jget_str(body, "reason", "");

	snprintf(r->state, sizeof(r->state), "%s", jget_str(body, "state", ""));
	if (strcmp(reason, "recovered") == 0)
		r->c->recoveries++;
	fold_usage(r, jget(body, "usage"), true);
	if (strcmp(jget_str(body, "status", ""), "end") != 0)
		return;
	if (r->ended_at != 0)
		check_broken(r->c, "I4",
		    "run %s ends twice, with %lld and %lld", r->text,
		    (long long)r->ended_at, (long long)run_seq);
	r->ended_at = run_seq;
}

static void
fold_checkpoint(struct run *r, struct json_object *body)
{
	int64_t step = jget_int(body, "step", -1);

	if (step != r->last_step + 1)
		check_broken(r->c, "I6", "run %s commits step %lld after %lld",
		    r->text, (long long)step, (long long)r->last_step);
	r->last_step = step;
	jget_uuid(body, "checkpoint_id", &r->last_checkpoint);
}

/* Whose row must say the same as the event. */
static void
fold_message(struct run *r, struct json_object *body)
{
	struct json_object *m = jget(body, "message");
	struct uuid id = { 0 };
	struct sql_arg args[1];
	struct rows *row;

	/* One that waits has no place yet; it is told again when it has one. */
	if (strcmp(jget_str(m, "state", ""), "staged") == 0)
		return;
	r->n_messages++;
	jget_uuid(m, "id", &id);
	args[0] = SQL_UUID(id);
	row = check_query(r->c,
	    "SELECT sequence, role, content, run_id FROM messages WHERE id = "
	    "$1",
	    args, 1);
	if (rows_count(row) != 1 ||
	    rows_int(row, 0, 0) != jget_int(m, "sequence", -1) ||
	    strcmp(rows_text(row, 0, 1), jget_str(m, "role", "")) != 0 ||
	    strcmp(rows_text(row, 0, 2), jget_str(m, "content", "")) != 0 ||
	    !uuid_equal(rows_uuid(row, 0, 3), r->id))
		check_broken(r->c, "I3",
		    "run %s: message %s is not what its event says", r->text,
		    jget_str(m, "id", "?"));
	rows_free(row);
}

static void
fold_event(struct run *r, const struct rows *rows, int i)
{
	int64_t run_seq = rows_int(rows, i, 0), fence = rows_int(rows, i, 1);
	const char *type = rows_text(rows, i, 2), *text = rows_text(rows, i, 3);
	struct json_object *body = NULL;

	if (run_seq != ++r->n) {
		check_broken(r->c, "I2", "run %s: event %lld is number %lld",
		    r->text, (long long)r->n, (long long)run_seq);
		r->n = run_seq;
	}
	if (fence < r->last_fence)
		check_broken(r->c, "I2",
		    "run %s: event %lld has fence %lld after fence %lld",
		    r->text, (long long)run_seq, (long long)fence,
		    (long long)r->last_fence);
	r->last_fence = fence;
	if (r->ended_at != 0)
		check_broken(r->c, "I4", "run %s: %s after its end", r->text,
		    type);
	if (json_parse(text, strlen(text), &body, NULL) != AS_OK)
		check_broken(r->c, "I3", "run %s: event %lld is no JSON",
		    r->text, (long long)run_seq);
	if (strcmp(type, "run_status") == 0)
		fold_status(r, body, run_seq);
	else if (strcmp(type, "checkpoint") == 0)
		fold_checkpoint(r, body);
	else if (strcmp(type, "message_created") == 0)
		fold_message(r, body);
	else if (strcmp(type, "message_end") == 0 ||
		 strcmp(type, "compaction") == 0)
		fold_usage(r, jget(body, "usage"), false);
	json_object_put(body);
}

static void
compare_heads(struct run *r)
{
	if (r->n != r->head_seq)
		check_broken(r->c, "I2",
		    "run %s: %lld events, head_seq is %lld", r->text,
		    (long long)r->n, (long long)r->head_seq);
	if (r->last_fence > r->fence)
		check_broken(r->c, "I2",
		    "run %s: an event has fence %lld, the run %lld", r->text,
		    (long long)r->last_fence, (long long)r->fence);
	if (r->last_step != r->step)
		check_broken(r->c, "I3",
		    "run %s: the log is at step %lld, the "
		    "run at %lld",
		    r->text, (long long)r->last_step, (long long)r->step);
	if (!uuid_equal(r->last_checkpoint, r->checkpoint_id))
		check_broken(r->c, "I3",
		    "run %s: its checkpoint is not its log's", r->text);
	if ((check_is_terminal(r->status) || check_is_parked(r->status)) &&
	    strcmp(r->state, r->status) != 0)
		check_broken(r->c, "I3", "run %s is %s, its log says %s",
		    r->text, r->status, r->state);
	if (check_is_terminal(r->status) != (r->ended_at != 0))
		check_broken(r->c, "I4", "run %s is %s, and its log %s an end",
		    r->text, r->status, r->ended_at != 0 ? "has" : "lacks");
}

/* Rows that no event tells of, and what else counts by rows. */
static void
compare_rows(struct run *r)
{
	struct sql_arg args[] = { SQL_UUID(r->id) };
	struct rows *row = check_query(r->c,
	    "SELECT (SELECT count(*) FROM messages WHERE run_id = $1"
	    " AND sequence > 0),"
	    " (SELECT count(*) FROM checkpoints WHERE run_id = $1 AND"
	    " source = 'loop'),"
	    " (SELECT max(step) FROM checkpoints WHERE run_id = $1)",
	    args, 1);

	if (rows_int(row, 0, 0) != r->n_messages)
		check_broken(r->c, "I3",
		    "run %s: %lld messages, %d of them in "
		    "its log",
		    r->text, (long long)rows_int(row, 0, 0), r->n_messages);
	if (rows_int(row, 0, 1) != r->step || rows_int(row, 0, 2) != r->step)
		check_broken(r->c, "I6",
		    "run %s at step %lld has %lld checkpoints up to step %lld",
		    r->text, (long long)r->step, (long long)rows_int(row, 0, 1),
		    (long long)rows_int(row, 0, 2));
	rows_free(row);
}

/* What is counted against limits is what the log tells. */
static void
compare_usage(struct run *r)
{
	struct sql_arg args[] = { SQL_UUID(r->id) };
	struct rows *row = check_query(r->c,
	    "SELECT used_tokens, usage FROM runs WHERE id = $1", args, 1);
	struct run_usage u = { 0 };

	run_usage_parse(&u, rows_text(row, 0, 1));
	if (rows_int(row, 0, 0) != r->tokens || u.input + u.output != r->tokens)
		check_broken(r->c, "I17",
		    "run %s has used %lld tokens, its usage says %lld, its log "
		    "%lld",
		    r->text, (long long)rows_int(row, 0, 0),
		    (long long)(u.input + u.output), (long long)r->tokens);
	rows_free(row);
}

/* ---- Tool calls ---------------------------------------------------- */

/* By the word that the event has for it; NULL: there is none. */
static char *
call_outcome(struct run *r, const char *call_id, int *n)
{
	struct sql_arg args[] = { SQL_UUID(r->id) };
	struct rows *rows = check_query(r->c,
	    "SELECT payload FROM run_events WHERE run_id = $1 AND"
	    " type = 'tool_result' ORDER BY run_seq",
	    args, 1);
	char *outcome = NULL;

	*n = 0;
	for (int i = 0; i < rows_count(rows); i++) {
		const char *text = rows_text(rows, i, 0);
		struct json_object *body = NULL;

		json_parse(text, strlen(text), &body, NULL);
		if (strcmp(jget_str(body, "tool_call_id", ""), call_id) == 0) {
			free(outcome);
			outcome = xstrdup(jget_str(body, "outcome", ""));
			(*n)++;
		}
		json_object_put(body);
	}
	rows_free(rows);
	return outcome;
}

static void
compare_call(struct run *r, const char *call_id, const char *state)
{
	bool is_over = strcmp(state, "succeeded") == 0 ||
		       strcmp(state, "failed") == 0;
	char *outcome;
	int n;

	outcome = call_outcome(r, call_id, &n);
	if (n > 1)
		check_broken(r->c, "I3", "run %s: call %s has %d results",
		    r->text, call_id, n);
	if (is_over && (n == 0 || strcmp(outcome, state) != 0))
		check_broken(r->c, "I3",
		    "run %s: call %s has %s, its log says %s", r->text, call_id,
		    state, n == 0 ? "nothing" : outcome);
	if (!is_over && check_is_terminal(r->status) && n == 0)
		check_broken(r->c, "I3", "run %s: call %s is %s to the end",
		    r->text, call_id, state);
	free(outcome);
}

static void
compare_calls(struct run *r)
{
	struct sql_arg args[] = { SQL_UUID(r->id) };
	struct rows *rows = check_query(r->c,
	    "SELECT tool_call_id, state FROM tool_invocations WHERE run_id ="
	    " $1",
	    args, 1);

	for (int i = 0; i < rows_count(rows); i++)
		compare_call(r, rows_text(rows, i, 0), rows_text(rows, i, 1));
	rows_free(rows);
}

static void
check_run(struct check *c, const struct rows *runs, int i)
{
	struct run r = { .c = c,
		.id = rows_uuid(runs, i, 0),
		.status = rows_text(runs, i, 1),
		.step = rows_int(runs, i, 2),
		.head_seq = rows_int(runs, i, 3),
		.fence = rows_int(runs, i, 4),
		.checkpoint_id = rows_uuid(runs, i, 5) };
	struct sql_arg args[] = { SQL_UUID(r.id) };
	struct rows *rows = check_query(c,
	    "SELECT run_seq, fence, type, payload FROM run_events"
	    " WHERE run_id = $1 ORDER BY run_seq",
	    args, 1);

	uuid_format(r.id, r.text);
	for (int k = 0; k < rows_count(rows); k++)
		fold_event(&r, rows, k);
	rows_free(rows);
	compare_heads(&r);
	compare_rows(&r);
	compare_usage(&r);
	compare_calls(&r);
}

/* ---- One thread ---------------------------------------------------- */

struct live {
	char thread[UUID_TEXT];
	struct uuid run; /* that has begun and not ended; nil: none */
	int64_t n;
};

/* A run lives from its first word until its last one. */
static void
live_event(struct check *c, struct live *l, const struct rows *r, int i)
{
	const char *text = rows_text(r, i, 3);
	struct json_object *body = NULL;
	struct uuid run = rows_uuid(r, i, 1);
	const char *state;

	if (rows_int(r, i, 0) != ++l->n) {
		check_broken(c, "I2", "thread %s: event %lld is number %lld",
		    l->thread, (long long)l->n, (long long)rows_int(r, i, 0));
		l->n = rows_int(r, i, 0);
	}
	if (strcmp(rows_text(r, i, 2), "run_status") != 0 ||
	    rows_text(r, i, 4)[0] != '\0') /* a subagent holds no thread */
		return;
	json_parse(text, strlen(text), &body, NULL);
	state = jget_str(body, "state", "");
	if (check_is_terminal(state)) {
		if (uuid_equal(run, l->run))
			memset(&l->run, 0, sizeof(l->run));
	} else if (strcmp(state, "blocked") != 0) {
		if (!uuid_is_nil(l->run) && !uuid_equal(l->run, run))
			check_broken(c, "I13",
			    "thread %s: event %lld begins a second live run",
			    l->thread, (long long)l->n);
		l->run = run;
	}
	json_object_put(body);
}

static void
check_thread(struct check *c, struct uuid id, int64_t head)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	struct live l = { .n = 0 };
	struct rows *r = check_query(c,
	    "SELECT e.seq, e.run_id, e.type, e.payload, e.ns FROM run_events e"
	    " WHERE e.thread_id = $1 ORDER BY e.seq",
	    args, 1);

	uuid_format(id, l.thread);
	for (int i = 0; i < rows_count(r); i++)
		live_event(c, &l, r, i);
	rows_free(r);
	if (l.n != head)
		check_broken(c, "I2",
		    "thread %s: %lld events, head_seq is %lld", l.thread,
		    (long long)l.n, (long long)head);
}

void
check_log(struct check *c)
{
	struct rows *r = check_query(c,
	    "SELECT id, status, step, head_seq, fence, checkpoint_id FROM runs",
	    NULL, 0);

	for (int i = 0; i < rows_count(r); i++)
		check_run(c, r, i);
	rows_free(r);
	r = check_query(c, "SELECT id, head_seq FROM threads", NULL, 0);
	for (int i = 0; i < rows_count(r); i++)
		check_thread(c, rows_uuid(r, i, 0), rows_int(r, i, 1));
	rows_free(r);
	check_no_row(c, "I13", "a thread whose active run is not its live one",
	    "SELECT t.id FROM threads t WHERE COALESCE((SELECT min(CAST(r.id AS"
	    " text)) FROM runs r WHERE r.thread_id = t.id AND r.holds_thread"
	    " AND r.parent_run_id IS NULL), '') <> COALESCE(CAST("
	    "t.active_run_id AS text), '')");
}
