/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/branch.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"

/* Where a run begins in the tree of messages; see branch.h. */

struct node {
	struct uuid id, parent_id, run_id;
	const char *role, *parts;
	int64_t step, sequence;
};

SQL(NODE, "SELECT id, parent_id, run_id, role, parts, step, sequence"
	  " FROM messages WHERE id = $1 AND thread_id = $2"
	  " AND ns = '' AND state IN ('final', 'interrupted')");

static SUSPENDS enum as_status
node_read(const struct chat_ctx *ctx, const struct thread_state *thread,
    struct uuid id, struct node *out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(thread->id) };
	struct rows *r = NULL;
	char text[UUID_TEXT];
	enum as_status st = store_query(ctx->store, &NODE, args, 2, &r, err);

	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(id, text);
		st = error_not_found(err, "message", text);
	}
	if (st == AS_OK) {
		out->id = rows_uuid(r, 0, 0);
		out->parent_id = rows_uuid(r, 0, 1);
		out->run_id = rows_uuid(r, 0, 2);
		out->role = arena_strdup(ctx->arena, rows_text(r, 0, 3));
		out->parts = arena_strdup(ctx->arena, rows_text(r, 0, 4));
		out->step = rows_int(r, 0, 5);
		out->sequence = rows_int(r, 0, 6);
	}
	rows_free(r);
	return st;
}

static bool
has_calls(const char *text)
{
	struct json_object *parts = NULL;
	bool found = false;

	if (json_parse(text, strlen(text), &parts, NULL) != AS_OK)
		return false;
	for (size_t i = 0; i < json_object_array_length(parts); i++)
		found = found ||
			strcmp(jget_str(json_object_array_get_idx(parts, i),
				   "type", ""),
			    "tool_call") == 0;
	json_object_put(parts);
	return found;
}

/* Upwards to the question of this turn. */
static SUSPENDS enum as_status
question_find(const struct chat_ctx *ctx, const struct thread_state *thread,
    struct node *at, struct error *err)
{
	enum as_status st = AS_OK;

	while (st == AS_OK && strcmp(at->role, "user") != 0) {
		if (uuid_is_nil(at->parent_id))
			return error_field(err, "message_id",
			    "has no question before it");
		st = node_read(ctx, thread, at->parent_id, at, err);
	}
	return st;
}

/* The message after which the run begins; its id is nil at the very start. */
static SUSPENDS enum as_status
parent_find(const struct chat_ctx *ctx, const struct thread_state *thread,
    const struct chat_place *place, struct node *at, struct error *err)
{
	struct uuid id = place->how == CHAT_AT_LEAF ? thread->last_message_id
						    : place->message_id;
	enum as_status st;

	memset(at, 0, sizeof(*at));
	if (uuid_is_nil(id))
		return AS_OK;
	if (place->how == CHAT_AT_LEAF) {
		at->id = id;
		return AS_OK;
	}
	st = node_read(ctx, thread, id, at, err);
	if (st != AS_OK)
		return st;
	switch (place->how) {
	case CHAT_EDIT:
		if (strcmp(at->role, "user") != 0)
			return error_field(err, "edit_of",
			    "is not a message of a person");
		id = at->parent_id;
		memset(at, 0, sizeof(*at));
		return uuid_is_nil(id) ? AS_OK
				       : node_read(ctx, thread, id, at, err);
	case CHAT_AFTER:
		if (strcmp(at->role, "tool") == 0 || has_calls(at->parts))
			return error_field(err, "parent_id",
			    "is in the midst of a turn");
		return AS_OK;
	case CHAT_AGAIN:
		return question_find(ctx, thread, at, err);
	default:
		return AS_OK;
	}
}

/* ---- The checkpoint of a place ------------------------------------- */

/* Upwards to the first message that stands in one. */
SQL(CHECKPOINT_AT,
    "WITH RECURSIVE up (parent_id, at) AS (SELECT m.parent_id,"
    " (SELECT c.checkpoint_id FROM checkpoints c WHERE c.run_id = m.run_id"
    " AND c.step <= m.step AND c.source = 'loop' ORDER BY c.step DESC LIMIT 1)"
    " FROM messages m WHERE m.id = $2 UNION ALL SELECT m.parent_id,"
    " (SELECT c.checkpoint_id FROM checkpoints c WHERE c.run_id = m.run_id"
    " AND c.step <= m.step AND c.source = 'loop' ORDER BY c.step DESC LIMIT 1)"
    " FROM up JOIN messages m ON m.id = up.parent_id WHERE up.at IS NULL)"
    " SELECT c.checkpoint_id, c.state_hash FROM up JOIN checkpoints c"
    " ON c.thread_id = $1 AND c.ns = '' AND c.checkpoint_id = up.at");

static SUSPENDS enum as_status
fork_fill(const struct chat_ctx *ctx, const struct thread_state *thread,
    const struct chat_place *place, const struct node *at, struct run_fork *f,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread->id), SQL_UUID(at->id) };
	struct rows *r = NULL;
	struct buf b = { 0 };
	const void *hash;
	size_t len;
	enum as_status st = store_query(ctx->store, &CHECKPOINT_AT, args, 2, &r,
	    err);

	if (st == AS_OK && rows_count(r) == 1) {
		f->checkpoint_id = rows_uuid(r, 0, 0);
		hash = rows_bytes(r, 0, 1, &len);
		if (hash != NULL && len == sizeof(f->hash))
			memcpy(f->hash, hash, len);
	}
	rows_free(r);
	f->mode = place->fork_mode;
	if (!uuid_is_nil(place->checkpoint_id))
		f->checkpoint_id = place->checkpoint_id;
	jw_open(&b, NULL);
	jw_int(&b, "messages", at->sequence);
	jw_close(&b);
	f->manifest = arena_strndup(ctx->arena, b.data, b.len);
	buf_free(&b);
	return st;
}

SUSPENDS enum as_status
branch_spot(const struct chat_ctx *ctx, const struct thread_state *thread,
    const struct chat_place *place, struct uuid message_id,
    struct branch_spot *out, struct error *err)
{
	struct node at;
	enum as_status st = parent_find(ctx, thread, place, &at, err);
	bool goes_on = uuid_equal(at.id, thread->last_message_id) &&
		       place->fork_mode == NULL;

	memset(out, 0, sizeof(*out));
	if (st != AS_OK)
		return st;
	out->parent_id = at.id;
	out->question_id = uuid_is_nil(message_id) ? at.id : message_id;
	out->forked_from = place->how == CHAT_FORK    ? place->forked_from
			   : place->how == CHAT_AGAIN ? at.run_id
						      : out->forked_from;
	if (goes_on && uuid_is_nil(thread->leaf))
		return AS_OK;
	out->branch.leaf = out->question_id;
	out->branch.before = thread->last_message_id;
	out->branch.beside = place->beside;
	return goes_on ? AS_OK
		       : fork_fill(ctx, thread, place, &at, &out->fork, err);
}
