/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/operator.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/chat/item.h"
#include "core/run/limits.h"
#include "core/run/wire.h"

/* Items are read with SQL of its own; runs change through the engine only. */

/* ---- A parked run goes on ------------------------------------------ */

SUSPENDS enum as_status
run_resume(const struct chat_ctx *ctx, struct uuid id, const char *action,
    const char *model, struct error *err)
{
	struct engine_resume how = { .reason = action,
		.items_close = "answered",
		.response_type = action,
		.by = ctx->who.user_id };
	char full[256];
	struct uuid thread;
	enum run_status status;
	int64_t head;
	enum as_status st = run_find(ctx, id, &thread, &status, &head, err);

	if (st != AS_OK)
		return st;
	how.extend = strcmp(action, "extend") == 0;
	if (strcmp(action, "switch_model") == 0) {
		if (model == NULL)
			return error_field(err, "model", "is required");
		if (!plug_model_resolve(ctx->plug, model, full, sizeof(full)))
			return error_field(err, "model", "no model '%.100s'",
			    model);
		how.model = full;
	}
	return engine_resume(ctx->engine, id, &how, err);
}

/* ---- Calls --------------------------------------------------------- */

SQL(CALLS,
    "SELECT id, step, ordinal, tool_call_id, tool, tool_version, effect, state,"
    " idem_key, args, result, error_code, resolution, attempt, started_at,"
    " dispatch_deadline, completed_at FROM tool_invocations WHERE run_id = $1"
    " ORDER BY step, ordinal");

static struct json_object *
call_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", rows_uuid(r, i, 0));
	jput_int(o, "step", rows_int(r, i, 1));
	jput_int(o, "ordinal", rows_int(r, i, 2));
	jput_str(o, "tool_call_id", rows_text(r, i, 3));
	jput_str(o, "name", rows_text(r, i, 4));
	jput_str(o, "version", rows_text(r, i, 5));
	jput_str(o, "effect", run_effect_word(rows_text(r, i, 6)));
	jput_str(o, "state", rows_text(r, i, 7));
	jput_str(o, "idempotency_key", rows_text(r, i, 8));
	jput_json(o, "args", rows_text(r, i, 9));
	jput_str(o, "result", rows_text(r, i, 10));
	jput_str(o, "error_code", rows_text(r, i, 11));
	jput_str(o, "resolution", rows_text(r, i, 12));
	jput_int(o, "attempt", rows_int(r, i, 13));
	jput_time(o, "started_at", rows_int(r, i, 14));
	jput_time(o, "dispatch_deadline", rows_int(r, i, 15));
	jput_time(o, "completed_at", rows_int(r, i, 16));
	return o;
}

SUSPENDS enum as_status
run_calls(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	struct uuid thread;
	enum run_status status;
	struct rows *r = NULL;
	int64_t head;
	enum as_status st = run_find(ctx, id, &thread, &status, &head, err);

	if (st == AS_OK)
		st = store_query(ctx->store, &CALLS, args, 1, &r, err);
	if (st == AS_OK) {
		*items = jarr();
		for (int i = 0; i < rows_count(r); i++)
			json_object_array_add(*items, call_json(r, i));
	}
	rows_free(r);
	return st;
}

/* ---- Items --------------------------------------------------------- */

SQL(ITEMS,
    "SELECT " ITEM_COLUMNS(
	"") " FROM inbox_items WHERE tenant_id = $1"
	    " AND kind IN " ITEM_DECISIONS
	    " AND id < $2 AND ($3 IS NULL OR status = $3)"
	    " AND ($4 IS NULL OR kind = $4) AND ($5 IS NULL OR run_id = $5)"
	    " ORDER BY id DESC LIMIT $6");

SQL(ITEM, "SELECT " ITEM_COLUMNS(
	      "") " FROM inbox_items WHERE id = $1"
		  " AND tenant_id = $2 AND kind IN " ITEM_DECISIONS);

SUSPENDS enum as_status
operator_list(const struct chat_ctx *ctx, const struct operator_filter *filter,
    struct row_page *page, struct json_object **items, struct error *err)
{
	static const struct uuid last = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(uuid_is_nil(page->after) ? last : page->after),
		SQL_TEXT(filter->status), SQL_TEXT(filter->kind),
		sql_uuid_or_null(filter->run_id), SQL_INT(page->limit + 1) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &ITEMS, args, 6, &r, err);

	if (st != AS_OK)
		return st;
	*items = row_page_json(r, page, item_json);
	rows_free(r);
	return AS_OK;
}

SUSPENDS enum as_status
operator_get(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **item, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(ctx->who.tenant_id) };
	struct rows *r = NULL;
	char text[UUID_TEXT];
	enum as_status st = store_query(ctx->store, &ITEM, args, 2, &r, err);

	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(id, text);
		st = error_not_found(err, "item", text);
	}
	if (st == AS_OK)
		*item = item_json(r, 0);
	rows_free(r);
	return st;
}

/* ---- Decisions ----------------------------------------------------- */

struct decision {
	const struct chat_ctx *ctx;
	struct uuid id, run_id;
	struct json_object *item;
	const char *outcome;
	struct json_object *result;
};

static enum as_status
too_late(const struct decision *d, struct error *err)
{
	enum as_status st = error_set(err, ERR_CONFLICT, "the item is %s",
	    jget_str(d->item, "status", ""));

	error_member_str(err, "item_status", jget_str(d->item, "status", ""));
	error_member(err, "response_type",
	    json_object_get(jget(d->item, "response_type")));
	return st;
}

static struct engine_resume
resume_of(const struct decision *d, const char *reason)
{
	struct engine_resume how = { .reason = reason,
		.items_close = "answered",
		.item_id = d->id,
		.response_type = d->outcome,
		.response = d->result != NULL ? json_text(d->result) : NULL,
		.by = d->ctx->who.user_id };

	return how;
}

/* The key that a call has never been made under. */
static void
key_next(const struct decision *d, struct run_tool *t)
{
	char key[RUN_IDEM_KEY];
	int64_t epoch = 0;

	do
		run_idem_key(d->run_id, "", t->step, t->ordinal, epoch++, key);
	while (strcmp(key, t->idem_key) != 0 && epoch < 1000);
	run_idem_key(d->run_id, "", t->step, t->ordinal, epoch, key);
	t->idem_key = arena_strdup(d->ctx->arena, key);
}

/* What the person says, as the call's row. */
static void
call_decide(const struct decision *d, struct run_tool *t)
{
	struct json_object *v = d->result;

	t->resolution = "operator";
	t->result = NULL;
	if (strcmp(d->outcome, "happened") == 0) {
		t->state = "succeeded";
		t->error_code = NULL;
		t->result = v == NULL
				? "It has happened; its answer is not known."
				: arena_strdup(d->ctx->arena,
				      json_object_is_type(v, json_type_string)
					  ? json_object_get_string(v)
					  : json_text(v));
	} else if (strcmp(d->outcome, "skip") == 0) {
		t->state = "skipped";
		t->error_code = "CANCELED";
		t->result = "Error CANCELED: an operator has skipped this "
			    "call; do not make it again.";
	} else {
		t->state = "planned";
		t->error_code = NULL;
		key_next(d, t);
	}
}

static SUSPENDS enum as_status
decide_outcome(const struct decision *d, struct error *err)
{
	struct engine_resume how = resume_of(d, "resolved");
	struct run_tool *rows;
	struct run_state run;
	struct uuid call;
	enum as_status st;
	int n, k;

	jget_uuid(jget(d->item, "action_request"), "call_id", &call);
	st = run_store_state(d->ctx->runs, d->run_id, d->ctx->arena, &run, err);
	if (st == AS_OK)
		st = run_store_tools(d->ctx->runs, d->run_id, run.step,
		    d->ctx->arena, &rows, &n, err);
	if (st != AS_OK)
		return st;
	for (k = 0; k < n && !uuid_equal(rows[k].id, call); k++)
		continue;
	if (k == n || strcmp(rows[k].state, "unknown") != 0)
		return error_set(err, ERR_CONFLICT,
		    "the outcome of this call is not open any more");
	call_decide(d, &rows[k]);
	how.decided = &rows[k];
	return engine_resume(d->ctx->engine, d->run_id, &how, err);
}

static SUSPENDS enum as_status
decide_error(const struct decision *d, struct error *err)
{
	struct engine_resume how = resume_of(d, d->outcome);

	if (strcmp(d->outcome, "cancel") == 0) {
		how.reason = "operator";
		return engine_end(d->ctx->engine, d->run_id, RUN_CANCELLED,
		    &how, err);
	}
	how.extend = strcmp(d->outcome, "extend") == 0;
	return engine_resume(d->ctx->engine, d->run_id, &how, err);
}

/* ---- Dead letters -------------------------------------------------- */

SQL(DEAD_ANSWER,
    "UPDATE inbox_items SET status = 'answered', response_type = $3,"
    " responded_by = $4, responded_at = now_us(), updated_at = now_us()"
    " WHERE id = $1 AND status = 'pending' AND run_id = $2");
SQL(DEAD_RESOLUTION, "UPDATE jobs_dead SET resolution = $2"
		     " WHERE run_id = $1 AND resolution IS NULL");

/*
 * A new run in the same thread takes up what the dead one was asked.  Its id is
 * the item's, so that a second try finds it there.
 */
static SUSPENDS enum as_status
requeue(const struct decision *d, struct error *err)
{
	const struct chat_ctx *ctx = d->ctx;
	struct event_list events = { 0 };
	struct thread_state thread;
	struct run_state dead;
	struct run_create c = { .run_id = d->id,
		.forked_from = d->run_id,
		.correlation_id = ctx->correlation_id,
		.traceparent = ctx->traceparent,
		.title = "",
		.now_us = engine_now_us(ctx->engine),
		.events = &events };
	enum as_status st = run_store_state(ctx->runs, d->run_id, ctx->arena,
	    &dead, err);

	if (st == AS_OK)
		st = run_store_thread(ctx->runs, dead.thread_id, dead.tenant_id,
		    dead.user_id, &thread, err);
	if (st != AS_OK)
		return st;
	c.thread_id = dead.thread_id;
	c.agent_id = dead.agent_id;
	c.tenant_id = dead.tenant_id;
	c.user_id = dead.user_id;
	c.model = dead.model;
	c.kind = dead.kind;
	c.class = dead.class;
	c.origin = dead.origin;
	c.heads = thread.heads;
	c.heads.run_seq = 0;
	c.message.sequence = thread.heads.msg_seq;
	c.branch.leaf = c.branch.before = thread.leaf;
	if (!run_is_alone(c.kind))
		c.deadline_at = c.now_us +
				engine_limits(ctx->engine)->max_wall_ms * 1000;
	event_list_add_status(&events, RUN_QUEUED, "requeued", NULL, NULL);
	st = run_store_create(ctx->runs, &c, err);
	if (st == AS_OK) {
		engine_publish(ctx->bus, c.thread_id, c.run_id, &c.heads,
		    &events, c.now_us);
		engine_starve(ctx->engine);
	}
	event_list_clear(&events);
	return st;
}

static SUSPENDS enum as_status
decide_dead(const struct decision *d, struct error *err)
{
	struct sql_arg item[] = { SQL_UUID(d->id), SQL_UUID(d->run_id),
		SQL_TEXT(d->outcome), SQL_UUID(d->ctx->who.user_id) };
	struct sql_arg dead[] = { SQL_UUID(d->run_id), SQL_TEXT(d->outcome) };
	struct sql_call calls[] = { { &DEAD_ANSWER, item, 4 },
		{ &DEAD_RESOLUTION, dead, 2 } };
	enum as_status st = AS_OK;

	if (strcmp(d->outcome, "requeue") == 0)
		st = requeue(d, err);
	if (st == AS_OK)
		st = store_batch(d->ctx->store, calls, 2, NULL, err);
	return st;
}

/* ---- By kind ------------------------------------------------------- */

static const struct {
	const char *kind, *outcomes;
	SUSPENDS enum as_status (
	    *settle)(const struct decision *d, struct error *err);
} kinds[] = {
	{ "outcome", " happened not_happened skip ", decide_outcome },
	{ "error", " retry extend cancel ", decide_error },
	{ "dead_letter", " requeue dismiss ", decide_dead },
};

static SUSPENDS enum as_status
decide(const struct decision *d, struct error *err)
{
	const char *kind = jget_str(d->item, "kind", "");
	const char *word = arena_printf(d->ctx->arena, " %s ", d->outcome);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		if (strstr(kinds[i].outcomes, word) == NULL)
			return error_field(err, "outcome",
			    "of an item of kind %s is one of%s", kind,
			    kinds[i].outcomes);
		return kinds[i].settle(d, err);
	}
	return error_set(err, ERR_INTERNAL, "an item of kind '%s'", kind);
}

SUSPENDS enum as_status
operator_resolve(const struct chat_ctx *ctx, struct uuid id,
    const char *outcome, struct json_object *result, struct error *err)
{
	struct decision d = { .ctx = ctx,
		.id = id,
		.outcome = outcome,
		.result = result };
	enum as_status st = operator_get(ctx, id, &d.item, err);

	if (st != AS_OK)
		return st;
	jget_uuid(d.item, "run_id", &d.run_id);
	if (strcmp(jget_str(d.item, "status", ""), "pending") != 0)
		st = too_late(&d, err);
	else
		st = decide(&d, err);
	json_object_put(d.item);
	return st;
}
