/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/run_dump.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "tests/integration/store_env.h"

/*
 * A column is written by its letter: u id, i number, t text, b boolean, h
 * bytes.  The members of the model's rows stand in the order of the columns.
 */

struct lines {
	char **at;
	int n, cap;
};

static void
lines_add(struct lines *l, struct buf *line)
{
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 64;
		l->at = xrealloc(l->at, (size_t)l->cap * sizeof(char *));
	}
	l->at[l->n++] = buf_take(line);
}

static int
line_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
lines_end(struct lines *l, struct buf *out)
{
	if (l->n > 0)
		qsort(l->at, (size_t)l->n, sizeof(char *), line_order);
	for (int i = 0; i < l->n; i++) {
		buf_add_str(out, l->at[i]);
		buf_add_char(out, '\n');
		free(l->at[i]);
	}
	free(l->at);
}

static void
put_u(struct buf *b, struct uuid id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	buf_printf(b, " %s", text);
}

static void
put_i(struct buf *b, int64_t i)
{
	buf_printf(b, " %" PRId64, i);
}

static void
put_t(struct buf *b, const char *s)
{
	if (s == NULL)
		buf_add_str(b, " -");
	else
		buf_printf(b, " '%s'", s);
}

static void
put_h(struct buf *b, const void *p, size_t len)
{
	char hex[65];

	MUST(len == 32);
	text_hex(hex, p, len);
	buf_printf(b, " %s", hex);
}

/* ---- SQL ----------------------------------------------------------- */

static const struct {
	const char *name, *types, *columns;
} tables[] = {
	{ "threads", "uutuuiiui",
	    "id, active_run_id, status, head_checkpoint_id, active_leaf, "
	    "head_seq,"
	    " next_msg_seq, user_id, version" },
	{ "runs", "uuuuuuuuutbbiiiiiiiiiiiiiiiitttttttttttitittuuui",
	    "id, thread_id, last_commit_id, checkpoint_id, forked_from_run,"
	    " agent_id, forked_from_checkpoint, branch_leaf, branch_before,"
	    " status, holds_thread, beside, step, head_seq, fence, version,"
	    " owner_epoch, attempt, next_attempt_at, deadline_at, used_tokens,"
	    " used_cost_micros, crash_count, crash_step, cancel_requested_at,"
	    " created_at, started_at, completed_at, cancel_mode, usage,"
	    " error_code, error, model, budget, correlation_id, kind, origin,"
	    " dedup, fork_mode, class, multitask, block_pos, checkpoint_ns, "
	    "todos, parent_run_id,"
	    " parent_call_id, root_run_id, pending_children" },
	{ "messages", "uuuuiiitttttttttit",
	    "id, thread_id, run_id, parent_id, sequence, step, ordinal, role,"
	    " content, parts, tool_name, tool_call_id, state,"
	    " client_message_id, usage, model, created_at, ns" },
	{ "run_events", "uuiiiittt",
	    "run_id, thread_id, run_seq, seq, step, fence, type, payload, ns" },
	{ "checkpoints", "uuuuittth",
	    "thread_id, checkpoint_id, parent_id, run_id, step, source,"
	    " manifest, ns, state_hash" },
	{ "tool_invocations", "uuiiiiiiitttttttttt",
	    "id, run_id, step, ordinal, fence, started_at, completed_at,"
	    " dispatch_deadline, key_valid_until, tool_call_id, idem_key, tool,"
	    " tool_version, effect, args, state, result, error_code,"
	    " resolution" },
	{ "jobs", "uiiiiiii",
	    "run_id, run_at, enqueued_at, state, owner_epoch, leased_at,"
	    " attempts, class" },
	{ "jobs_dead", "uittt",
	    "run_id, attempts, reason, run_snapshot, errors" },
	{ "inbox_items", "uuuuuuuuiiiiittttttttttt",
	    "id, run_id, thread_id, user_id, agent_id, interrupt_id,"
	    " task_id, responded_by, step, ordinal, responded_at, expires_at,"
	    " escalated_at, kind, correlation_id, title, description,"
	    " action_request, config, status, response_type, response,"
	    " response_key, on_expire" },
	{ "nodes", "iib", "node_epoch, lease_expires_at, draining" },
	{ "outbox", "uuuttii",
	    "tenant_id, webhook_id, event_id, dest, ref, next_at, created_at" },
};

static void
cell_put(struct buf *b, const struct rows *r, int row, int col, char type)
{
	const void *p;
	size_t len;

	switch (type) {
	case 'u':
		put_u(b, rows_uuid(r, row, col));
		break;
	case 'i':
		put_i(b, rows_int(r, row, col));
		break;
	case 'b':
		put_i(b, rows_bool(r, row, col));
		break;
	case 'h':
		p = rows_bytes(r, row, col, &len);
		put_h(b, p, len);
		break;
	default:
		put_t(b, rows_text(r, row, col));
	}
}

void
run_dump_sql(struct buf *out)
{
	for (size_t t = 0; t < N_ITEMS(tables); t++) {
		char *text = xasprintf("SELECT %s FROM %s", tables[t].columns,
		    tables[t].name);
		struct lines lines = { 0 };
		struct rows *r = NULL;

		MUST(store_db_run(env.db, text, NULL, 0, &r, NULL) == AS_OK);
		for (int i = 0; i < rows_count(r); i++) {
			struct buf line = { 0 };

			buf_add_str(&line, tables[t].name);
			for (int c = 0; tables[t].types[c] != '\0'; c++)
				cell_put(&line, r, i, c, tables[t].types[c]);
			lines_add(&lines, &line);
		}
		rows_free(r);
		free(text);
		lines_end(&lines, out);
	}
}

/* ---- The model ----------------------------------------------------- */

static void
put_uuids(struct buf *b, const struct uuid *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_u(b, ids[i]);
}

static void
put_ints(struct buf *b, const int64_t *ints, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_i(b, ints[i]);
}

static void
put_texts(struct buf *b, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_t(b, texts[i]);
}

#define UUIDS(b, ...) \
	put_uuids(b, (struct uuid[]){ __VA_ARGS__ }, \
	    sizeof((struct uuid[]){ __VA_ARGS__ }) / sizeof(struct uuid))
#define INTS(b, ...) \
	put_ints(b, (int64_t[]){ __VA_ARGS__ }, \
	    sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))
#define TEXTS(b, ...) \
	put_texts(b, (const char *[]){ __VA_ARGS__ }, \
	    sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *))

static void
thread_line(const void *row, struct buf *b)
{
	const struct model_thread *t = row;

	UUIDS(b, t->id, t->active_run_id);
	TEXTS(b, t->status);
	UUIDS(b, t->head_checkpoint_id, t->active_leaf);
	INTS(b, t->head_seq, t->next_msg_seq);
	UUIDS(b, t->user_id);
	INTS(b, t->version);
}

static void
run_line(const void *row, struct buf *b)
{
	const struct model_run *r = row;

	UUIDS(b, r->id, r->thread_id, r->last_commit_id, r->checkpoint_id,
	    r->forked_from, r->agent_id, r->forked_at, r->branch.leaf,
	    r->branch.before);
	TEXTS(b, run_status_name(r->status));
	INTS(b, run_holds_thread(r->status) && r->ns[0] == '\0',
	    r->branch.beside, r->step, r->head_seq, r->fence, r->version,
	    r->owner_epoch, r->attempt, r->next_attempt_at, r->deadline_at,
	    r->tokens, r->cost_micros, r->crash_count, r->crash_step,
	    r->cancel_requested_at, r->created_at, r->started_at,
	    r->completed_at);
	TEXTS(b, r->cancel_mode, r->usage, r->error_code, r->error, r->model,
	    r->budget, r->correlation_id, r->kind, r->origin, r->dedup,
	    r->fork_mode);
	INTS(b, r->class);
	TEXTS(b, r->multitask);
	INTS(b, r->block_pos);
	TEXTS(b, r->ns, r->todos);
	UUIDS(b, r->parent_run_id, r->parent_call_id, r->root_run_id);
	INTS(b, r->pending_children);
}

static void
message_line(const void *row, struct buf *b)
{
	const struct model_message *m = row;

	UUIDS(b, m->m.id, m->thread_id, m->run_id, m->m.parent_id);
	INTS(b, m->m.sequence, m->m.step, m->m.ordinal);
	TEXTS(b, m->m.role, m->m.content, m->m.parts, m->m.tool_name,
	    m->m.tool_call_id, m->m.state, m->m.client_message_id, m->m.usage,
	    m->m.model);
	INTS(b, m->m.created_at);
	TEXTS(b, m->ns);
}

static void
event_line(const void *row, struct buf *b)
{
	const struct model_event *e = row;

	UUIDS(b, e->run_id, e->thread_id);
	INTS(b, e->run_seq, e->seq, e->step, e->fence);
	TEXTS(b, e->type, e->body, e->ns);
}

static void
checkpoint_line(const void *row, struct buf *b)
{
	const struct model_checkpoint *k = row;

	UUIDS(b, k->thread_id, k->id, k->parent_id, k->run_id);
	INTS(b, k->step);
	TEXTS(b, k->source, k->manifest, k->ns);
	put_h(b, k->hash, sizeof(k->hash));
}

static void
tool_line(const void *row, struct buf *b)
{
	const struct model_tool *t = row;

	UUIDS(b, t->t.id, t->run_id);
	INTS(b, t->t.step, t->t.ordinal, t->fence, t->started_at,
	    t->completed_at, t->t.deadline_us, t->t.key_until);
	TEXTS(b, t->t.call_id, t->t.idem_key, t->t.tool, t->t.version,
	    t->t.effect, t->t.args, t->t.state, t->t.result, t->t.error_code,
	    t->t.resolution);
}

static void
job_line(const void *row, struct buf *b)
{
	const struct model_job *j = row;

	UUIDS(b, j->run_id);
	INTS(b, j->run_at, j->enqueued_at, j->state, j->owner_epoch,
	    j->leased_at, j->attempts, j->class);
}

static void
dead_line(const void *row, struct buf *b)
{
	const struct model_dead *d = row;

	UUIDS(b, d->run_id);
	INTS(b, d->attempts);
	TEXTS(b, d->reason, d->snapshot, d->errors);
}

static void
item_line(const void *row, struct buf *b)
{
	const struct model_item *t = row;

	UUIDS(b, t->i.id, t->run_id, t->thread_id, t->i.user_id, t->i.agent_id,
	    t->i.interrupt_id, t->i.task_id, t->responded_by);
	INTS(b, t->step, t->i.ordinal, t->responded_at, t->i.expires_at,
	    t->escalated_at);
	TEXTS(b, t->i.kind, t->i.correlation_id, t->i.title, t->i.description,
	    t->i.action_request, t->i.config, t->status, t->response_type,
	    t->response, t->response_key, t->i.on_expire);
}

static void
node_line(const void *row, struct buf *b)
{
	const struct model_node *n = row;

	INTS(b, n->epoch, n->lease_expires_at, n->draining);
}

static void
outbox_line(const void *row, struct buf *b)
{
	const struct model_outbox *o = row;

	UUIDS(b, o->tenant_id, o->webhook_id, o->event_id);
	TEXTS(b, o->event, o->ref);
	INTS(b, o->next_at, o->created_at);
}

static void
list_dump(const char *name, const struct model_list *l,
    void (*line)(const void *row, struct buf *b), struct buf *out)
{
	struct lines lines = { 0 };

	for (int i = 0; i < l->n; i++) {
		struct buf b = { 0 };
		const struct model_job *j = l->rows[i];

		if (line == job_line && uuid_is_nil(j->run_id))
			continue;
		buf_add_str(&b, name);
		line(l->rows[i], &b);
		lines_add(&lines, &b);
	}
	lines_end(&lines, out);
}

void
run_dump_model(const struct model *m, struct buf *out)
{
	list_dump("threads", &m->threads, thread_line, out);
	list_dump("runs", &m->runs, run_line, out);
	list_dump("messages", &m->messages, message_line, out);
	list_dump("run_events", &m->events, event_line, out);
	list_dump("checkpoints", &m->checkpoints, checkpoint_line, out);
	list_dump("tool_invocations", &m->tools, tool_line, out);
	list_dump("jobs", &m->jobs, job_line, out);
	list_dump("jobs_dead", &m->dead, dead_line, out);
	list_dump("inbox_items", &m->items, item_line, out);
	list_dump("nodes", &m->nodes, node_line, out);
	list_dump("outbox", &m->outbox, outbox_line, out);
}
