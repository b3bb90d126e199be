/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/checkpoint.h"

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/text.h"

/* See checkpoint.h. */

#define CHECKPOINTS(first, last, log) \
	"SELECT c.checkpoint_id, c.parent_id, c.run_id, c.step, c.source," \
	" c.state_hash, c.created_at, r.status, r.forked_from_run," \
	" r.forked_from_checkpoint, r.fork_mode," \
	" CASE WHEN t.head_checkpoint_id = c.checkpoint_id THEN 1 ELSE 0 END," \
	" (SELECT MIN(" first ") FROM " log " e WHERE e.run_id = c.run_id" \
	" AND e.step = c.step), (SELECT MAX(" last ") FROM " log " e" \
	" WHERE e.run_id = c.run_id AND e.step = c.step)," \
	" COALESCE((SELECT m.id FROM messages m WHERE m.run_id = c.run_id" \
	" AND m.step <= c.step AND m.state IN ('final', 'interrupted')" \
	" ORDER BY m.sequence DESC LIMIT 1), r.branch_leaf)" \
	" FROM checkpoints c JOIN runs r ON r.id = c.run_id" \
	" JOIN threads t ON t.id = c.thread_id WHERE c.thread_id = $1" \
	" AND c.ns = $2 AND t.tenant_id = $3 AND t.user_id = $4" \
	" AND ($5 IS NULL OR c.checkpoint_id < $5)" \
	" ORDER BY c.checkpoint_id DESC LIMIT $6"

SQL_BOTH(LIST, CHECKPOINTS("e.seq", "e.seq", "run_events"),
    CHECKPOINTS("e.seq - e.n_events + 1", "e.seq", "run_log"));

/* What waits at this step: calls without a result, questions to people. */
SQL(TASKS, "SELECT id, ordinal, tool_call_id, tool, state FROM"
	   " tool_invocations WHERE run_id = $1 AND step = $2 AND state IN"
	   " ('planned', 'awaiting_approval', 'started', 'parked', 'unknown')"
	   " ORDER BY ordinal");
SQL(INTERRUPTS, "SELECT id, interrupt_id, kind, title FROM inbox_items"
		" WHERE run_id = $1 AND step = $2 AND status = 'pending'"
		" ORDER BY ordinal, id");

static void
put_id_or_null(struct json_object *o, const char *key, struct uuid id)
{
	if (uuid_is_nil(id))
		jput_null(o, key);
	else
		jput_uuid(o, key, id);
}

static void
put_hash(struct json_object *o, const struct rows *r, int i, int col)
{
	char hex[HASH_TEXT];
	size_t len;
	const void *p = rows_bytes(r, i, col, &len);

	if (p == NULL || len != HASH_LEN) {
		jput_null(o, "state_hash");
		return;
	}
	text_hex(hex, p, HASH_LEN);
	jput_str(o, "state_hash", hex);
}

static struct json_object *
seqs_json(const struct rows *r, int i)
{
	struct json_object *o;

	if (rows_is_null(r, i, 12))
		return NULL;
	o = jobj();
	jput_int(o, "first", rows_int(r, i, 12));
	jput_int(o, "last", rows_int(r, i, 13));
	return o;
}

static struct json_object *
checkpoint_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", rows_uuid(r, i, 0));
	put_id_or_null(o, "parent_id", rows_uuid(r, i, 1));
	jput_uuid(o, "run_id", rows_uuid(r, i, 2));
	jput_int(o, "step", rows_int(r, i, 3));
	jput_str(o, "source", rows_text(r, i, 4));
	put_hash(o, r, i, 5);
	jput_time(o, "created_at", rows_int(r, i, 6));
	jput_str(o, "run_status", rows_text(r, i, 7));
	put_id_or_null(o, "forked_from_run", rows_uuid(r, i, 8));
	put_id_or_null(o, "forked_from_checkpoint", rows_uuid(r, i, 9));
	jput_str(o, "fork_mode", rows_text(r, i, 10));
	jput_bool(o, "head", rows_int(r, i, 11) == 1);
	jput(o, "events", seqs_json(r, i));
	put_id_or_null(o, "message_id", rows_uuid(r, i, 14));
	return o;
}

static SUSPENDS enum as_status
tasks_add(const struct chat_ctx *ctx, struct json_object *o, struct uuid run_id,
    int64_t step, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_INT(step) };
	struct json_object *tasks = jarr(), *open = jarr(), *t;
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &TASKS, args, 2, &r, err);

	jput(o, "tasks", tasks);
	jput(o, "interrupts", open);
	for (int i = 0; st == AS_OK && i < rows_count(r); i++) {
		json_object_array_add(tasks, t = jobj());
		jput_uuid(t, "id", rows_uuid(r, i, 0));
		jput_int(t, "ordinal", rows_int(r, i, 1));
		jput_str(t, "tool_call_id", rows_text(r, i, 2));
		jput_str(t, "name", rows_text(r, i, 3));
		jput_str(t, "state", rows_text(r, i, 4));
	}
	rows_free(r);
	r = NULL;
	if (st == AS_OK)
		st = store_query(ctx->store, &INTERRUPTS, args, 2, &r, err);
	for (int i = 0; st == AS_OK && i < rows_count(r); i++) {
		json_object_array_add(open, t = jobj());
		jput_uuid(t, "item_id", rows_uuid(r, i, 0));
		jput_uuid(t, "interrupt_id", rows_uuid(r, i, 1));
		jput_str(t, "kind", rows_text(r, i, 2));
		jput_str(t, "title", rows_text(r, i, 3));
	}
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
checkpoint_list(const struct chat_ctx *ctx, struct uuid thread, const char *ns,
    struct row_page *page, struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread), SQL_TEXT(ns),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id),
		sql_uuid_or_null(page->after), SQL_INT(page->limit + 1) };
	struct thread_state t;
	struct rows *r = NULL;
	size_t n;
	enum as_status st = run_store_thread(ctx->runs, thread,
	    ctx->who.tenant_id, ctx->who.user_id, &t, err);

	if (st == AS_OK)
		st = store_query(ctx->store, &LIST, args, 6, &r, err);
	if (st != AS_OK)
		return st;
	*items = row_page_json(r, page, checkpoint_json);
	n = json_object_array_length(*items);
	for (size_t i = 0; i < n && st == AS_OK; i++)
		st = tasks_add(ctx, json_object_array_get_idx(*items, i),
		    rows_uuid(r, (int)i, 2), rows_int(r, (int)i, 3), err);
	rows_free(r);
	if (st != AS_OK) {
		json_object_put(*items);
		*items = NULL;
	}
	return st;
}
