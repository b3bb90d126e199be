/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/respond.h"

#include <string.h>

#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/chat/item.h"
#include "core/chat/operator.h"
#include "core/inbox/internal.h"
#include "core/run/item_bell.h"

/*
 * Each answer is looked at first; those to the same run then go to the engine
 * together, unless one of them was refused.
 */

struct answering {
	const struct chat_ctx *ctx;
	const struct world *world;
	struct inbox_reply *reply;
	const struct answer *given; /* NULL: it is in the reply's body */
	const char *at; /* pointer of it in the body; "": the body */
	struct uuid run_id; /* nil: nothing is known of the item */
	struct engine_answer said;
	bool ready; /* to be recorded with the others of the run */
};

/* type NULL: nobody could tell. */
static void
count(const char *type, const char *outcome)
{
	const char *labels[] = { type != NULL ? type : "none", outcome };

	counter_add(counter_get(COUNTER, "inbox_responses_total",
			"Answers to inbox items.", "type,outcome", labels),
	    1);
}

static bool
is_pending(struct json_object *item)
{
	return strcmp(jget_str(item, "status", ""), "pending") == 0;
}

/* ---- The same again ------------------------------------------------ */

SQL(KEY, "SELECT response_key FROM inbox_items WHERE id = $1"
	 " AND status = 'answered' AND response_key = $2");

static SUSPENDS bool
was_said(const struct answering *a)
{
	struct sql_arg args[] = { SQL_UUID(a->reply->item_id),
		SQL_TEXT(a->said.key) };
	struct rows *r = NULL;
	bool same;

	if (a->said.key == NULL)
		return false;
	(void)store_query(a->ctx->store, &KEY, args, 2, &r, NULL);
	same = rows_count(r) > 0;
	rows_free(r);
	return same;
}

/* The item as it is now; AS_OK if it holds this very answer. */
static SUSPENDS enum as_status
closed_already(struct answering *a)
{
	struct inbox_reply *r = a->reply;

	if (was_said(a)) {
		count(a->said.type, "repeated");
		error_clear(&r->err);
		return AS_OK;
	}
	count(a->given != NULL ? a->given->type : NULL, "late");
	return inbox_too_late(r->item, &r->err);
}

/* ---- Operators ----------------------------------------------------- */

static enum as_status
decision_allowed(const struct answering *a, const char *kind)
{
	if (inbox_is_admin(&a->ctx->who) || strcmp(kind, "error") == 0)
		return AS_OK;
	return error_set(&a->reply->err, ERR_FORBIDDEN,
	    "only an admin decides on an item of kind %s", kind);
}

static bool
decided_so(struct json_object *item, struct json_object *body)
{
	return strcmp(jget_str(item, "response_type", ""),
		   jget_str(body, "outcome", "")) == 0 &&
	       json_object_equal(jget(item, "response"), jget(body, "result"));
}

static SUSPENDS enum as_status
decide(struct answering *a, const char *kind)
{
	struct inbox_reply *r = a->reply;
	const char *outcome = jget_str(r->body, "outcome", NULL);
	enum as_status st = decision_allowed(a, kind);
	char id[UUID_TEXT];

	if (st != AS_OK)
		return st;
	if (outcome == NULL) {
		uuid_format(r->item_id, id);
		error_field(&r->err, "",
		    "an item of kind %s takes {\"outcome\": …}, here or at"
		    " /api/operator/items/%s/resolve",
		    kind, id);
	} else if (!is_pending(r->item))
		return decided_so(r->item, r->body)
			   ? AS_OK
			   : inbox_too_late(r->item, &r->err);
	st = operator_resolve(a->ctx, r->item_id,
	    outcome != NULL ? outcome : "", jget(r->body, "result"), &r->err);
	if (st == AS_OK)
		count(outcome, "recorded");
	return st;
}

/* ---- Notes --------------------------------------------------------- */

SQL(DISMISS,
    "UPDATE inbox_items SET status = 'answered', response_type = 'ignore',"
    " response_key = $2, responded_by = $3, responded_at = now_us(),"
    " read_at = coalesce(read_at, now_us()), updated_at = now_us()"
    " WHERE id = $1 AND status = 'pending' AND kind IN " ITEM_NOTES);

/* Nobody waits for it. */
static SUSPENDS enum as_status
dismiss(struct answering *a)
{
	struct inbox_reply *r = a->reply;
	struct sql_arg args[] = { SQL_UUID(r->item_id), SQL_TEXT(a->said.key),
		SQL_UUID(a->said.by) };
	enum as_status st = store_exec(a->ctx->store, &DISMISS, args, 3, NULL,
	    &r->err);

	if (st == AS_OK) {
		count(a->said.type, "recorded");
		item_bell_ring(a->ctx->bus);
	}
	return st;
}

/* ---- One answer ---------------------------------------------------- */

/* What is escalated then stays open. */
static bool
is_over(const struct answering *a)
{
	struct json_object *item = a->reply->item;
	int64_t at;

	return text_time_parse(jget_str(item, "expires_at", ""), &at) &&
	       at <= engine_now_us(a->ctx->engine) &&
	       strcmp(jget_str(item, "on_expire", ""), "escalate") != 0;
}

static enum as_status
parse(struct answering *a, struct answers *list)
{
	struct inbox_reply *r = a->reply;
	enum as_status st;

	if (jget(r->body, "outcome") != NULL)
		return error_field(&r->err, "outcome",
		    "goes with an item that an operator decides");
	st = answers_parse(r->body, a->ctx->arena, list, &r->err);
	if (st == AS_OK && list->n != 1)
		return error_field(&r->err, "decisions",
		    "must be one for one item");
	if (list->by_place)
		a->at = "/decisions/0";
	a->given = list->list;
	return st;
}

static SUSPENDS enum as_status
answer_check(struct answering *a)
{
	struct inbox_reply *r = a->reply;
	struct check c = { .ctx = a->ctx,
		.world = a->world,
		.item = r->item,
		.err = &r->err };
	struct answers list;
	enum as_status st = AS_OK;

	if (a->given == NULL)
		st = parse(a, &list);
	c.at = a->at;
	return st == AS_OK ? inbox_check(&c, a->given, &a->said) : st;
}

static SUSPENDS enum as_status
answer_prepare(struct answering *a)
{
	struct inbox_reply *r = a->reply;
	const char *kind;
	enum as_status st = inbox_get(a->ctx, r->item_id, &r->item, &r->err);

	if (st != AS_OK)
		return st;
	jget_uuid(r->item, "run_id", &a->run_id);
	kind = jget_str(r->item, "kind", "");
	if (inbox_is_decision(kind))
		return decide(a, kind);
	st = answer_check(a);
	if (!is_pending(r->item))
		return closed_already(a);
	if (is_over(a))
		return inbox_too_late(r->item, &r->err);
	if (st != AS_OK) {
		count(a->given != NULL ? a->given->type : NULL, "refused");
		return st;
	}
	if (inbox_is_note(kind))
		return dismiss(a);
	a->ready = true;
	return AS_OK;
}

/* ---- The answers to a run ------------------------------------------ */

static void
error_copy(struct error *to, const struct error *from)
{
	error_clear(to);
	*to = *from;
	to->extra = from->extra != NULL ? json_copy(from->extra) : NULL;
}

static SUSPENDS void
item_again(struct answering *a)
{
	struct inbox_reply *r = a->reply;

	json_object_put(r->item);
	r->item = NULL;
	r->st = inbox_get(a->ctx, r->item_id, &r->item, &r->err);
}

static void
not_recorded(struct answering *a)
{
	a->ready = false;
	a->reply->st = error_set(&a->reply->err, ERR_NOT_RECORDED,
	    "another answer to the same run was refused");
}

/* Who was too late with what; the others could have been recorded. */
static SUSPENDS void
group_refused(struct answering **group, int n, const struct error *why)
{
	struct inbox_reply *r;
	bool late = false;

	for (int i = 0; i < n; i++) {
		item_again(group[i]);
		r = group[i]->reply;
		if (r->st == AS_OK && !is_pending(r->item)) {
			r->st = closed_already(group[i]);
			late = late || r->st != AS_OK;
		} else if (r->st == AS_OK)
			r->st = AS_CONFLICT; /* see below */
	}
	for (int i = 0; i < n; i++) {
		r = group[i]->reply;
		if (r->st == AS_OK || r->err.code != ERR_NONE)
			continue;
		if (late)
			not_recorded(group[i]);
		else
			error_copy(&r->err, why);
	}
}

static SUSPENDS void
group_record(struct answering **group, int n)
{
	const struct chat_ctx *ctx = group[0]->ctx;
	struct engine_answer *list = arena_alloc(ctx->arena,
	    (size_t)n * sizeof(*list));
	struct error err = { 0 };
	enum as_status st;

	for (int i = 0; i < n; i++)
		list[i] = group[i]->said;
	st = engine_respond(ctx->engine, group[0]->run_id, list, n, &err);
	if (st == AS_OK) {
		item_bell_ring(ctx->bus);
		for (int i = 0; i < n; i++) {
			count(list[i].type, "recorded");
			item_again(group[i]);
		}
	} else if (st == AS_CONFLICT)
		group_refused(group, n, &err);
	else
		for (int i = 0; i < n; i++) {
			group[i]->reply->st = st;
			error_copy(&group[i]->reply->err, &err);
		}
	error_clear(&err);
}

/* Those to the run of the first one, which are then taken out. */
static SUSPENDS void
run_record(struct answering *all, int n, struct answering *first)
{
	struct answering **group = arena_alloc(first->ctx->arena,
	    (size_t)n * sizeof(struct answering *));
	struct uuid run = first->run_id;
	bool refused = false;
	int k = 0;

	for (int i = 0; i < n; i++) {
		if (!uuid_equal(all[i].run_id, run))
			continue;
		refused = refused || all[i].reply->st != AS_OK;
		if (all[i].ready)
			group[k++] = &all[i];
	}
	for (int i = 0; i < k; i++) {
		group[i]->ready = false;
		if (refused)
			not_recorded(group[i]);
	}
	if (!refused)
		group_record(group, k);
}

static SUSPENDS void
respond_all(struct answering *all, int n)
{
	for (int i = 0; i < n; i++) {
		all[i].reply->st = answer_prepare(&all[i]);
		if (all[i].reply->st == AS_OK && !all[i].ready)
			item_again(&all[i]);
	}
	for (int i = 0; i < n; i++)
		if (all[i].ready)
			run_record(all, n, &all[i]);
}

SUSPENDS void
inbox_respond(const struct chat_ctx *ctx, const struct world *world,
    struct inbox_reply *replies, int n)
{
	struct answering *all = arena_alloc(ctx->arena,
	    (size_t)n * sizeof(*all) + 1);

	for (int i = 0; i < n; i++)
		all[i] = (struct answering){ .ctx = ctx,
			.world = world,
			.reply = &replies[i],
			.at = "" };
	respond_all(all, n);
}

void
inbox_reply_clear(struct inbox_reply *r)
{
	json_object_put(r->item);
	r->item = NULL;
	error_clear(&r->err);
}

/* ---- Without a name ------------------------------------------------ */

/*
 * What is open in the run and in its subagents, which are in the same thread;
 * else, for who says the same again, what it has asked last.  Also what the
 * person does not see, since it counts.
 */
#define ASKED_OF \
	" FROM inbox_items i JOIN runs r ON r.id = i.run_id WHERE" \
	" i.thread_id = (SELECT thread_id FROM runs WHERE id = $1)" \
	" AND (r.id = $1 OR r.root_run_id = $1) AND i.tenant_id = $2" \
	" AND i.kind IN ('approval', 'question')"
#define IS_OPEN " AND i.status = 'pending'"

SQL(ASKED,
    "SELECT i.id, CASE WHEN $3 = 1 OR i.user_id = $4 OR i.assignee = $4 THEN 1"
    " ELSE 0 END" ASKED_OF " AND (i.status = 'pending' OR (NOT EXISTS"
    " (SELECT 1" ASKED_OF IS_OPEN ") AND i.run_id = $1 AND i.step ="
    " (SELECT max(i.step)" ASKED_OF " AND i.run_id = $1)))"
    " ORDER BY i.run_id, i.step, i.ordinal, i.id LIMIT 200");

static SUSPENDS enum as_status
asked_read(const struct chat_ctx *ctx, struct uuid run_id, struct rows **r,
    int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id),
		SQL_UUID(ctx->who.tenant_id),
		SQL_INT(inbox_is_admin(&ctx->who)),
		SQL_UUID(ctx->who.user_id) };
	struct uuid thread;
	enum run_status status;
	int64_t head;
	int seen = 0;
	enum as_status st = store_query(ctx->store, &ASKED, args, 4, r, err);

	*n = rows_count(*r);
	for (int i = 0; i < *n; i++)
		seen += (int)rows_int(*r, i, 1);
	if (st == AS_OK && seen == 0) {
		st = run_find(ctx, run_id, &thread, &status, &head, err);
		return st != AS_OK ? st
				   : error_set(err, ERR_CONFLICT,
					 "the run asks nothing");
	}
	if (st == AS_OK && seen < *n)
		st = error_set(err, ERR_FORBIDDEN,
		    "not all that the run asks is yours to answer");
	return st;
}

static enum as_status
places_check(const struct answers *list, int n, struct error *err)
{
	if (!list->by_place && n > 1)
		return error_field(err, "",
		    "%d requests of this run are open: name one, or send"
		    " decisions for all of them",
		    n);
	if (list->n != n)
		return error_field(err, "decisions",
		    "must be %d, one for each open request, in their order", n);
	return AS_OK;
}

/* The first that was refused for its own sake says why. */
static enum as_status
replies_result(struct inbox_reply *replies, int n, struct json_object **items,
    struct error *err)
{
	struct inbox_reply *bad = NULL;
	enum as_status st = AS_OK;

	for (int i = 0; i < n; i++)
		if (replies[i].st != AS_OK &&
		    (bad == NULL || bad->err.code == ERR_NOT_RECORDED))
			bad = &replies[i];
	if (bad == NULL)
		*items = jarr();
	else {
		st = bad->st;
		error_move(err, &bad->err);
	}
	for (int i = 0; i < n; i++) {
		if (bad == NULL)
			json_object_array_add(*items,
			    json_object_get(replies[i].item));
		inbox_reply_clear(&replies[i]);
	}
	return st;
}

static SUSPENDS enum as_status
places_respond(const struct chat_ctx *ctx, const struct world *world,
    const struct answers *list, struct rows *r, struct json_object **items,
    struct error *err)
{
	size_t n = (size_t)list->n;
	struct inbox_reply *replies = arena_alloc(ctx->arena,
	    n * sizeof(*replies));
	struct answering *all = arena_alloc(ctx->arena, n * sizeof(*all));

	for (int i = 0; i < list->n; i++) {
		replies[i] = (struct inbox_reply){ .item_id = rows_uuid(r, i,
						       0) };
		all[i] = (struct answering){ .ctx = ctx,
			.world = world,
			.reply = &replies[i],
			.given = &list->list[i],
			.at = list->by_place
				  ? arena_printf(ctx->arena, "/decisions/%d", i)
				  : "" };
	}
	respond_all(all, list->n);
	return replies_result(replies, list->n, items, err);
}

SUSPENDS enum as_status
inbox_respond_run(const struct chat_ctx *ctx, const struct world *world,
    struct uuid run_id, struct json_object *body, struct json_object **items,
    struct error *err)
{
	struct rows *r = NULL;
	struct answers list = { 0 };
	int n = 0;
	enum as_status st = asked_read(ctx, run_id, &r, &n, err);

	if (st == AS_OK && jget(body, "outcome") != NULL)
		st = error_field(err, "outcome",
		    "goes with an item that an operator decides");
	if (st == AS_OK)
		st = answers_parse(body, ctx->arena, &list, err);
	if (st == AS_OK)
		st = places_check(&list, n, err);
	if (st == AS_OK)
		st = places_respond(ctx, world, &list, r, items, err);
	rows_free(r);
	return st;
}
