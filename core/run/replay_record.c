/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/builtin.h"
#include "core/run/replay_impl.h"
#include "core/run/run_branch.h"

/*
 * Reads all that is stored of a run before any of it is played, and finds out
 * in which order and how many at once its tool calls ended.
 */

static SUSPENDS enum as_status
read_of_run(struct store *store, struct sql *sql, struct uuid run_id,
    struct rows **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };

	return store_query(store, sql, args, 1, out, err);
}

/* ---- Messages ------------------------------------------------------ */

SQL(RECORD_MESSAGES,
    "SELECT id, role, content, parts, tool_call_id, state, usage, step,"
    " ordinal, sequence, created_at, parent_id FROM messages WHERE run_id = $1"
    " ORDER BY sequence");

SQL(RECORD_FORKED,
    "SELECT 1 FROM runs WHERE id = $1 AND forked_from_run IS NOT NULL");

/* A run that takes another one up again has no question of its own. */
static SUSPENDS enum as_status
forked_check(struct record *rec, struct store *store, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_FORKED, rec->state.id,
	    &r, err);

	if (st == AS_OK && rows_count(r) == 0)
		st = error_set(err, ERR_CONFLICT,
		    "the message that began this run is gone");
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
load_messages(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	struct record_message *m;
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_MESSAGES, rec->state.id,
	    &r, err);

	rec->n_messages = rows_count(r);
	rec->messages = arena_alloc(arena,
	    (size_t)rec->n_messages * sizeof(*m) + 1);
	for (int i = 0; i < rec->n_messages; i++) {
		m = &rec->messages[i];
		m->id = rows_uuid(r, i, 0);
		m->role = rows_text_in(r, i, 1, arena);
		m->content = rows_text_in(r, i, 2, arena);
		m->parts = rows_text_in(r, i, 3, arena);
		m->tool_call_id = rows_text_in(r, i, 4, arena);
		m->state = rows_text_in(r, i, 5, arena);
		m->usage = rows_text_in(r, i, 6, arena);
		m->step = rows_int(r, i, 7);
		m->ordinal = rows_int(r, i, 8);
		m->sequence = rows_int(r, i, 9);
		m->created_at = rows_int(r, i, 10);
		m->parent_id = rows_uuid(r, i, 11);
	}
	rows_free(r);
	rec->has_question = rec->n_messages > 0 && rec->messages[0].step == 0;
	if (st == AS_OK && !rec->has_question)
		st = forked_check(rec, store, err);
	return st;
}

SQL(RECORD_BEFORE,
    "SELECT * FROM (SELECT " RUN_HISTORY_COLUMNS " FROM messages"
    " WHERE thread_id = $1 AND sequence < $2 AND ns = $4 AND " RUN_COUNTS(
	"messages") " ORDER BY sequence DESC LIMIT $3) b ORDER BY sequence");

/* The path to what the run answers, without its own question. */
static SUSPENDS enum as_status
path_before(struct record *rec, struct store *store, struct rows **r,
    struct error *err)
{
	const struct run_branch *b = &rec->state.branch;
	struct uuid leaf = rec->has_question ? rec->messages[0].parent_id
					     : b->leaf;

	return run_branch_rows(store, rec->state.thread_id, leaf, r, err);
}

static SUSPENDS enum as_status
load_before(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(rec->state.thread_id),
		SQL_INT(rec->n_messages > 0 ? rec->messages[0].sequence
					    : rec->state.heads.msg_seq),
		SQL_INT(RUN_HISTORY_ROWS), SQL_TEXT(rec->state.ns) };
	struct rows *r = NULL;
	enum as_status st = uuid_is_nil(rec->state.branch.leaf)
				? store_query(store, &RECORD_BEFORE, args, 4,
				      &r, err)
				: path_before(rec, store, &r, err);

	rec->sequence = args[1].v.i;
	rec->before = run_history_of(r, arena, &rec->n_before);
	rows_free(r);
	return st;
}

/* ---- Tool calls, checkpoints, ends --------------------------------- */

SQL(RECORD_TOOLS,
    "SELECT step, ordinal, tool_call_id, idem_key, tool, tool_version, args,"
    " effect, state, result, error_code, args_hash, resolution"
    " FROM tool_invocations"
    " WHERE run_id = $1 ORDER BY step, ordinal");

static SUSPENDS enum as_status
load_tools(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	struct run_tool *t;
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_TOOLS, rec->state.id, &r,
	    err);
	const void *sha;
	size_t len;

	rec->n_tools = rows_count(r);
	rec->tools = arena_alloc(arena, (size_t)rec->n_tools * sizeof(*t) + 1);
	for (int i = 0; i < rec->n_tools; i++) {
		t = &rec->tools[i];
		t->step = rows_int(r, i, 0);
		t->ordinal = rows_int(r, i, 1);
		t->call_id = rows_text_in(r, i, 2, arena);
		t->idem_key = rows_text_in(r, i, 3, arena);
		t->tool = rows_text_in(r, i, 4, arena);
		t->version = rows_text_in(r, i, 5, arena);
		t->args = rows_text_in(r, i, 6, arena);
		t->effect = rows_text_in(r, i, 7, arena);
		t->state = rows_text_in(r, i, 8, arena);
		t->result = rows_text_in(r, i, 9, arena);
		t->error_code = rows_text_in(r, i, 10, arena);
		t->resolution = rows_text_in(r, i, 12, arena);
		sha = rows_bytes(r, i, 11, &len);
		if (sha != NULL && len == HASH_LEN)
			memcpy(t->args_hash, sha, HASH_LEN);
	}
	rows_free(r);
	return st;
}

/* What a tool asked and was told is a part of its result. */
SQL(RECORD_ASKED,
    "SELECT step, ordinal FROM inbox_items i WHERE run_id = $1"
    " AND (kind = 'approval' OR (kind = 'question' AND NOT (status IN"
    " ('answered', 'expired') AND EXISTS (SELECT 1 FROM tool_invocations t"
    " WHERE t.run_id = i.run_id AND t.step = i.step AND"
    " t.ordinal = i.ordinal AND t.tool <> 'ask_human'))))");

static SUSPENDS enum as_status
load_asked(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	const struct run_tool *t;
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_ASKED, rec->state.id, &r,
	    err);

	rec->asked = arena_alloc(arena,
	    (size_t)rec->n_tools * sizeof(*rec->asked) + 1);
	for (int i = 0; i < rows_count(r); i++) {
		t = record_tool_at(rec, rows_int(r, i, 0), rows_int(r, i, 1));
		if (t != NULL)
			rec->asked[t - rec->tools] = true;
	}
	rows_free(r);
	return st;
}

SQL(RECORD_CHECKPOINTS,
    "SELECT step, state_hash FROM checkpoints WHERE run_id = $1"
    " AND source = 'loop' ORDER BY step");

static SUSPENDS enum as_status
load_checkpoints(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	struct record_checkpoint *c;
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_CHECKPOINTS,
	    rec->state.id, &r, err);
	const void *sha;
	size_t len;

	rec->n_checkpoints = rows_count(r);
	rec->checkpoints = arena_alloc(arena,
	    (size_t)rec->n_checkpoints * sizeof(*c) + 1);
	for (int i = 0; i < rec->n_checkpoints; i++) {
		c = &rec->checkpoints[i];
		c->step = rows_int(r, i, 0);
		sha = rows_bytes(r, i, 1, &len);
		if (sha != NULL && len == HASH_LEN)
			memcpy(c->hash, sha, HASH_LEN);
	}
	rows_free(r);
	return st;
}

SQL(RECORD_ENDS, "SELECT payload FROM run_events WHERE run_id = $1"
		 " AND type = 'message_end' ORDER BY run_seq");

static SUSPENDS enum as_status
load_ends(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	struct json_object *o;
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_ENDS, rec->state.id, &r,
	    err);
	const char *text;

	rec->n_ends = rows_count(r);
	rec->ends = arena_alloc(arena,
	    (size_t)rec->n_ends * sizeof(*rec->ends) + 1);
	for (int i = 0; i < rec->n_ends; i++) {
		text = rows_text(r, i, 0);
		o = NULL;
		if (json_parse(text, strlen(text), &o, NULL) == AS_OK)
			jget_uuid(o, "message_id", &rec->ends[i].message_id);
		rec->ends[i].why = arena_strdup(arena,
		    jget_str(o, "finish_reason", ""));
		json_object_put(o);
	}
	rows_free(r);
	return st;
}

SQL(RECORD_ERROR, "SELECT error_code, error FROM runs WHERE id = $1");

static SUSPENDS enum as_status
load_error(struct record *rec, struct store *store, struct arena *arena,
    struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = read_of_run(store, &RECORD_ERROR, rec->state.id, &r,
	    err);

	if (rows_count(r) == 1) {
		rec->error_code = rows_text_in(r, 0, 0, arena);
		rec->error = rows_text_in(r, 0, 1, arena);
	}
	rows_free(r);
	return st;
}

/* ---- Looking things up --------------------------------------------- */

const struct record_checkpoint *
record_checkpoint_at(const struct record *rec, int64_t step)
{
	for (int i = 0; i < rec->n_checkpoints; i++)
		if (rec->checkpoints[i].step == step)
			return &rec->checkpoints[i];
	return NULL;
}

const struct run_tool *
record_tool_at(const struct record *rec, int64_t step, int64_t ordinal)
{
	for (int i = 0; i < rec->n_tools; i++)
		if (rec->tools[i].step == step &&
		    rec->tools[i].ordinal == ordinal)
			return &rec->tools[i];
	return NULL;
}

static int
message_at(const struct record *rec, const char *role, int64_t step,
    int64_t ordinal)
{
	for (int i = 0; i < rec->n_messages; i++)
		if (rec->messages[i].step == step &&
		    rec->messages[i].ordinal == ordinal &&
		    strcmp(rec->messages[i].role, role) == 0)
			return i;
	return -1;
}

int
record_answer_at(const struct record *rec, int64_t step)
{
	return message_at(rec, "assistant", step, 0);
}

/* Calls belong to the step that asks for them, results to the next one. */
int
record_result_at(const struct record *rec, const struct run_tool *call)
{
	return message_at(rec, "tool", call->step + 1, call->ordinal);
}

const struct run_tool *
record_call_of(const struct record *rec, const struct record_message *m)
{
	if (strcmp(m->role, "tool") != 0)
		return NULL;
	return record_tool_at(rec, m->step - 1, m->ordinal);
}

bool
record_is_cut(const struct run_tool *t)
{
	return t->error_code != NULL &&
	       strcmp(t->error_code, "CANCELED") == 0 &&
	       (strcmp(t->state, "cancelled") == 0 ||
		   strcmp(t->state, "unknown") == 0);
}

static bool
result_says(const struct run_tool *t, const char *words)
{
	return record_is_cut(t) && t->result != NULL &&
	       strstr(t->result, words) != NULL;
}

/* The engine says so in the words that the model reads, and nowhere else. */
bool
record_unsent(const struct run_tool *t)
{
	return result_says(t, "before this call; it has not happened");
}

bool
record_was_closed(const struct run_tool *t)
{
	return record_unsent(t) ||
	       result_says(t, "during this call; it may have happened");
}

bool
record_never_began(const struct run_tool *t)
{
	return record_was_closed(t) || result_says(t, "before this call");
}

bool
record_was_decided(const struct run_tool *t)
{
	return (strcmp(t->state, "skipped") == 0 && !record_was_asked(t)) ||
	       (t->resolution != NULL &&
		   strcmp(t->resolution, "operator") == 0);
}

bool
record_was_asked(const struct run_tool *t)
{
	static const char *const words[] = { "approved", "edited", "answered",
		"rejected" };

	for (size_t i = 0; t->resolution != NULL && i < N_ITEMS(words); i++)
		if (strcmp(t->resolution, words[i]) == 0)
			return true;
	return false;
}

bool
record_was_edited(const struct run_tool *t)
{
	return t->resolution != NULL && strcmp(t->resolution, "edited") == 0;
}

bool
record_is_question(const struct run_tool *t)
{
	return strcmp(t->tool, BUILTIN_ASK) == 0;
}

bool
record_has_expired(const struct run_tool *t)
{
	return t->result != NULL && strcmp(t->state, "skipped") == 0 &&
	       strstr(t->result, "in time") != NULL;
}

bool
record_is_partial(const struct record_message *m)
{
	return strcmp(m->role, "assistant") == 0 && m->ordinal < 0;
}

const char *
record_why(const struct record *rec, struct uuid message_id)
{
	const char *why = "";

	for (int i = 0; i < rec->n_ends; i++)
		if (uuid_equal(rec->ends[i].message_id, message_id))
			why = rec->ends[i].why;
	return why;
}

/* ---- The order of tool calls --------------------------------------- */

static bool
step_asks(const struct record *rec, int64_t step)
{
	for (int i = 0; i < rec->n_tools; i++)
		if (rec->tools[i].step == step &&
		    record_was_asked(&rec->tools[i]))
			return true;
	return false;
}

int
record_turn(const struct record *rec, const struct run_tool *call)
{
	int i = record_result_at(rec, call);

	return i < 0 || step_asks(rec, call->step) ? i : rec->messages[i].after;
}

/* Results of one commit have one time, and the order of the calls. */
static bool
same_commit(const struct record_message *a, const struct record_message *b)
{
	return strcmp(a->role, "tool") == 0 && strcmp(b->role, "tool") == 0 &&
	       a->step == b->step && a->created_at == b->created_at &&
	       a->ordinal < b->ordinal;
}

/* How many calls of its step ended later, without a person's word? */
static int
n_later(const struct record *rec, int at)
{
	const struct run_tool *t;
	int n = 0;

	for (int i = at + 1; i < rec->n_messages &&
			     rec->messages[i].step == rec->messages[at].step;
	     i++) {
		t = record_call_of(rec, &rec->messages[i]);
		n += t != NULL && !record_was_asked(t) &&
		     !record_never_began(t);
	}
	return n;
}

/*
 * Calls begin in their order while there is a free place; one that ended after
 * k others had, and began as number n, needs n - k places.  One that a person
 * was asked about begins when it is its turn to end, beside all the others.
 */
static void
order_calls(struct record *rec)
{
	const struct run_tool *t;
	int first = 0, places;

	rec->parallel = 1;
	for (int i = 0; i < rec->n_messages; i++) {
		struct record_message *m = &rec->messages[i];

		if (strcmp(m->role, "tool") != 0)
			continue;
		if (i == 0 || strcmp(m[-1].role, "tool") != 0 ||
		    m[-1].step != m->step)
			first = i;
		m->after = i > first && same_commit(&m[-1], m) ? m[-1].after
							       : i;
		t = record_call_of(rec, m);
		places = (int)m->ordinal + 1 - (m->after - first);
		if (t != NULL && record_was_asked(t))
			places = 1 + n_later(rec, i);
		if (t != NULL && !record_never_began(t) &&
		    places > rec->parallel)
			rec->parallel = places;
	}
}

SUSPENDS enum as_status
record_load(struct record *rec, struct store *store, struct uuid run_id,
    struct arena *arena, struct error *err)
{
	enum as_status st;

	if ((st = run_sql_state(store, run_id, arena, &rec->state, err)) !=
		AS_OK ||
	    (st = load_messages(rec, store, arena, err)) != AS_OK ||
	    (st = load_before(rec, store, arena, err)) != AS_OK ||
	    (st = load_tools(rec, store, arena, err)) != AS_OK ||
	    (st = load_asked(rec, store, arena, err)) != AS_OK ||
	    (st = load_checkpoints(rec, store, arena, err)) != AS_OK ||
	    (st = load_ends(rec, store, arena, err)) != AS_OK ||
	    (st = load_error(rec, store, arena, err)) != AS_OK ||
	    (st = agent_load(store, rec->state.agent_id, arena, &rec->agent,
		 err)) != AS_OK)
		return st;
	order_calls(rec);
	return AS_OK;
}
