/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/fork.h"

#include <string.h>

#include "core/agent/agent.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/text.h"
#include "core/chat/send.h"
#include "core/run/approval.h"
#include "core/run/builtin.h"
#include "core/run/history.h"
#include "core/run/replay.h"
#include "core/run/run_store_impl.h"

/*
 * From a checkpoint to a place in the tree of messages.  A checkpoint is of one
 * run and one step: its state is the path to the last message that the run had
 * written by then.
 */

struct checkpoint {
	struct uuid id, run_id, leaf;
	enum run_status status; /* of the run */
	int64_t step;
};

SQL(CHECKPOINT,
    "SELECT c.run_id, c.step, r.status, COALESCE((SELECT m.id FROM messages m"
    " WHERE m.run_id = c.run_id AND m.step <= c.step AND m.state IN"
    " ('final', 'interrupted') ORDER BY m.sequence DESC LIMIT 1),"
    " r.branch_leaf) FROM checkpoints c JOIN runs r ON r.id = c.run_id"
    " JOIN threads t ON t.id = c.thread_id WHERE c.thread_id = $1"
    " AND c.ns = '' AND c.checkpoint_id = $2 AND t.tenant_id = $3"
    " AND t.user_id = $4");

static SUSPENDS enum as_status
checkpoint_read(const struct chat_ctx *ctx, struct uuid thread, struct uuid id,
    struct checkpoint *out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread), SQL_UUID(id),
		SQL_UUID(ctx->who.tenant_id), SQL_UUID(ctx->who.user_id) };
	struct rows *r = NULL;
	char text[UUID_TEXT];
	enum as_status st = store_query(ctx->store, &CHECKPOINT, args, 4, &r,
	    err);

	memset(out, 0, sizeof(*out));
	if (st == AS_OK && rows_count(r) == 0) {
		uuid_format(id, text);
		st = error_not_found(err, "checkpoint", text);
	}
	if (st == AS_OK) {
		out->id = id;
		out->run_id = rows_uuid(r, 0, 0);
		out->step = rows_int(r, 0, 1);
		out->status = run_status_by_name(rows_text(r, 0, 2));
		out->leaf = rows_uuid(r, 0, 3);
	}
	rows_free(r);
	return st;
}

/* ---- What the run begins with -------------------------------------- */

static enum as_status
no_words(const struct fork_request *how, bool wanted, struct error *err)
{
	if (wanted && how->content == NULL)
		return error_field(err, "content",
		    "is required: this checkpoint ends with an answer");
	if (!wanted && how->content != NULL)
		return error_field(err, "content",
		    "cannot come here: this checkpoint is within a turn");
	return AS_OK;
}

/* The calls that the leaf asks for and that have no result yet. */
static SUSPENDS enum as_status
open_calls(const struct chat_ctx *ctx, const struct checkpoint *c,
    struct chat_place *place, struct error *err)
{
	struct run_tool *tools;
	enum as_status st = run_store_tools(ctx->runs, c->run_id, c->step,
	    ctx->arena, &tools, &place->n_tools, err);

	place->tools = tools;
	return st;
}

static const struct run_history_row *
row_find(const struct run_history_row *rows, int n, struct uuid id, int *at)
{
	for (*at = 0; *at < n; (*at)++)
		if (uuid_equal(rows[*at].id, id))
			return &rows[*at];
	return NULL;
}

SQL(TOOL_NAME, "SELECT tool_name FROM messages WHERE id = $1");

static SUSPENDS enum as_status
tool_name(const struct chat_ctx *ctx, struct uuid id, const char **out,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &TOOL_NAME, args, 1, &r,
	    err);

	if (st == AS_OK && rows_count(r) == 1)
		*out = arena_strdup(ctx->arena, rows_text(r, 0, 0));
	rows_free(r);
	return st;
}

/* It stands beside the message that it is instead of. */
static SUSPENDS enum as_status
patch_place(const struct chat_ctx *ctx, const struct fork_request *how,
    const struct run_history_row *rows, int n, struct chat_place *place,
    struct error *err)
{
	struct run_message *like = arena_alloc(ctx->arena, sizeof(*like));
	char text[UUID_TEXT];
	int at;
	const struct run_history_row *row = row_find(rows, n, how->patch_id,
	    &at);

	if (row == NULL) {
		uuid_format(how->patch_id, text);
		return error_not_found(err, "message", text);
	}
	if (strcmp(row->role, "user") != 0 && strcmp(row->role, "tool") != 0)
		return error_field(err, "patch",
		    "changes a question or the result of a tool");
	if (at + 1 < n && strcmp(rows[at + 1].role, "tool") == 0 &&
	    strcmp(row->role, "tool") == 0)
		return error_field(err, "patch",
		    "changes the last result of a step only");
	like->role = row->role;
	like->tool_call_id = row->tool_call_id;
	place->like = like;
	if (at > 0)
		place->message_id = rows[at - 1].id;
	else
		memset(&place->message_id, 0, sizeof(place->message_id));
	return tool_name(ctx, row->id, &like->tool_name, err);
}

static SUSPENDS enum as_status
place_find(const struct chat_ctx *ctx, struct uuid thread,
    const struct checkpoint *c, const struct fork_request *how,
    struct chat_place *place, struct error *err)
{
	struct run_history_row *rows;
	int n, open;
	enum as_status st = run_store_history(ctx->runs, thread, "", c->leaf,
	    INT64_MAX, ctx->arena, &rows, &n, err);

	if (st != AS_OK)
		return st;
	if (n == 0)
		return error_set(err, ERR_CONFLICT,
		    "the messages of this checkpoint were rolled back");
	place->message_id = c->leaf;
	if (!uuid_is_nil(how->patch_id))
		return how->content != NULL
			   ? error_field(err, "content",
				 "cannot come with a patch")
			   : patch_place(ctx, how, rows, n, place, err);
	open = history_open_calls(rows, n);
	st = no_words(how,
	    open == 0 && strcmp(rows[n - 1].role, "assistant") == 0, err);
	if (st == AS_OK && open > 0)
		st = open_calls(ctx, c, place, err);
	return st;
}

/* The mode with the tools that are granted: see run_state. */
static enum as_status
mode_text(const struct chat_ctx *ctx, const struct fork_request *how,
    const char **out, struct error *err)
{
	size_t n = how->grant != NULL ? json_object_array_length(how->grant)
				      : 0;
	struct buf b = { 0 };
	const char *tool;

	buf_add_str(&b, how->mode);
	for (size_t i = 0; i < n; i++) {
		tool = json_object_get_string(
		    json_object_array_get_idx(how->grant, i));
		if (plug_tool_find(ctx->plug, tool) == NULL) {
			buf_free(&b);
			return error_field(err, "grant", "there is no tool %s",
			    tool);
		}
		buf_printf(&b, " %s", tool);
	}
	*out = arena_strndup(ctx->arena, b.data, b.len);
	buf_free(&b);
	return AS_OK;
}

SUSPENDS enum as_status
fork_run(const struct chat_ctx *ctx, struct uuid thread, struct uuid checkpoint,
    const struct fork_request *how, struct chat_sent *out, struct error *err)
{
	struct chat_place place = { .how = CHAT_FORK,
		.beside = !how->make_head,
		.dedup = how->dedup };
	const char *text = how->content;
	struct checkpoint c;
	enum as_status st = checkpoint_read(ctx, thread, checkpoint, &c, err);

	if (st == AS_OK)
		st = mode_text(ctx, how, &place.fork_mode, err);
	if (st == AS_OK)
		st = place_find(ctx, thread, &c, how, &place, err);
	if (st != AS_OK)
		return st;
	place.checkpoint_id = c.id;
	place.forked_from = c.run_id;
	if (place.like != NULL)
		text = how->patch;
	return chat_send_at(ctx, thread,
	    &(struct chat_message){ .content = text,
		.len = text != NULL ? strlen(text) : 0 },
	    &place, out, err);
}

/* ---- As a run's create takes it ------------------------------------ */

void
fork_message(const struct chat_ctx *ctx, const struct run_message *like,
    struct run_message *m)
{
	struct buf b = { 0 };

	m->role = like->role;
	if (strcmp(m->role, "tool") != 0)
		return;
	m->tool_call_id = like->tool_call_id;
	m->tool_name = like->tool_name;
	jw_open_list(&b, NULL);
	jw_open(&b, NULL);
	jw_str(&b, "type", "tool_result");
	jw_str(&b, "id", m->tool_call_id);
	jw_str(&b, "text", m->content);
	jw_bool(&b, "is_error", false);
	jw_close(&b);
	jw_close_list(&b);
	m->parts = arena_strndup(ctx->arena, b.data, b.len);
	buf_free(&b);
}

static void
args_hash(const char *text, uint8_t out[HASH_LEN])
{
	struct json_object *args = NULL;
	struct buf b = { 0 };
	struct hash h;

	(void)json_parse(text, strlen(text), &args, NULL);
	json_canonical(&b, args);
	json_object_put(args);
	hash_init(&h);
	hash_bytes(&h, b.data, b.len);
	hash_end(&h, out);
	buf_free(&b);
}

/* As answer_commit.c does it: a person may come first here, too. */
static const char *
first_state(const struct agent *agent, const struct plug_tool_info *info,
    const struct run_tool *t, const char *kind)
{
	if (strcmp(t->tool, BUILTIN_ASK) == 0 &&
	    approval_may_ask(agent->approval, kind))
		return "parked";
	if (info != NULL &&
	    approval_needed(agent->approval, kind, info, t->tool, t->effect))
		return "awaiting_approval";
	return "planned";
}

void
fork_tools(const struct chat_ctx *ctx, const struct chat_place *place,
    const struct agent *agent, struct run_create *c)
{
	struct run_tool *tools = arena_alloc(ctx->arena,
	    (size_t)place->n_tools * sizeof(*tools) + 1);
	const struct plug_tool_info *info;
	char key[RUN_IDEM_KEY];

	for (int i = 0; i < place->n_tools; i++) {
		struct run_tool *t = &tools[i];

		*t = place->tools[i];
		run_idem_key(c->run_id, "", 0, (int)t->ordinal, 0, key);
		info = plug_tool_find(ctx->plug, t->tool);
		t->id = engine_new_id(ctx->engine);
		t->step = 0;
		t->idem_key = arena_strdup(ctx->arena, key);
		t->state = first_state(agent, info, t, run_create_kind(c));
		t->result = t->error_code = t->resolution = NULL;
		t->deadline_us = t->key_until = 0;
		if (strcmp(t->effect, "K") == 0 && info != NULL &&
		    info->key_valid_ms > 0)
			t->key_until = c->now_us + info->key_valid_ms * 1000;
		args_hash(t->args, t->args_hash);
	}
	c->fork.tools = tools;
	c->fork.n_tools = place->n_tools;
}

/* ---- Replay -------------------------------------------------------- */

static struct json_object *
replay_json(const struct replay_result *r, struct uuid run_id)
{
	struct json_object *o = jobj(), *steps = jarr(), *s;
	char hex[HASH_TEXT];

	jput_str(o, "mode", "replay");
	jput_uuid(o, "run_id", run_id);
	jput_bool(o, "equal", r->what == NULL);
	jput_bool(o, "whole", r->whole);
	jput(o, "steps", steps);
	for (int i = 0; i < r->n_steps; i++) {
		s = jobj();
		jput_int(s, "step", r->steps[i].step);
		text_hex(hex, r->steps[i].hash, HASH_LEN);
		jput_str(s, "state_hash", r->steps[i].has_hash ? hex : NULL);
		jput_bool(s, "equal", r->steps[i].same);
		json_object_array_add(steps, s);
	}
	if (r->what == NULL) {
		jput_null(o, "difference");
		return o;
	}
	s = jobj();
	jput_int(s, "step", r->at);
	jput_str(s, "what", r->what);
	jput_str(s, "expected", r->expected);
	jput_str(s, "got", r->got);
	jput(o, "difference", s);
	return o;
}

SUSPENDS enum as_status
fork_replay(const struct chat_ctx *ctx, struct loop *loop, struct uuid thread,
    struct uuid checkpoint, struct json_object **out, struct error *err)
{
	struct replay_result r;
	struct checkpoint c;
	enum as_status st = checkpoint_read(ctx, thread, checkpoint, &c, err);

	if (st == AS_OK && run_is_open(c.status))
		st = error_set(err, ERR_CONFLICT, "the run has not ended");
	if (st == AS_OK)
		st = replay_run(loop, ctx->store, c.run_id, ctx->arena, &r,
		    err);
	if (st == AS_OK)
		*out = replay_json(&r, c.run_id);
	return st;
}
