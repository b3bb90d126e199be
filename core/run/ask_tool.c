/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/ask_tool.h"

#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/text.h"
#include "core/run/approval.h"
#include "core/run/builtin.h"

/* See ask_tool.h. */

#define TITLE_MAX 120 /* bytes */
/* A question that stays longer has no end: 100 years, far from any overflow. */
#define EXPIRES_MAX_MS (INT64_C(100) * 366 * 86400 * 1000)

bool
ask_is_of_tool(const struct run_tool *row)
{
	return strcmp(row->state, "parked") == 0 &&
	       strcmp(row->tool, BUILTIN_ASK) != 0;
}

static struct json_object *
request_read(const struct run_asked *item)
{
	struct json_object *o = NULL;

	if (item->request != NULL)
		(void)json_parse(item->request, strlen(item->request), &o,
		    NULL);
	return o;
}

int64_t
ask_turn(const struct run_asked *item)
{
	struct json_object *o = request_read(item);
	int64_t turn = jget_int(o, "turn", 0);

	json_object_put(o);
	return turn;
}

/* ---- Parking ------------------------------------------------------- */

static const char *
or_other(struct json_object *q, const char *key, const char *other)
{
	const char *s = jget_str(q, key, "");

	return s[0] != '\0' ? s : jget_str(q, other, "");
}

/* An edited value has to be what the question, or else the tool, says. */
static struct json_object *
schema_of(const struct call *c, struct json_object *q)
{
	const struct plug_tool_info *info = call_tool(c);
	struct json_object *schema = jget(q, "schema"), *args = NULL;
	bool own;

	if (schema != NULL)
		return json_copy(schema);
	if (info == NULL ||
	    json_parse(c->row.args, strlen(c->row.args), &args, NULL) != AS_OK)
		return NULL;
	own = json_object_equal(args, jget(q, "value"));
	json_object_put(args);
	return own ? json_copy(info->input_schema) : NULL;
}

static const char *
request_of(struct call *c, struct work_commit *wc, struct json_object *q)
{
	struct json_object *schema = schema_of(c, q), *value;
	int64_t turn = c->answers != NULL
			   ? json_object_object_length(c->answers) + 1
			   : 1;
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "action", c->row.tool);
	if (json_object_object_get_ex(q, "value", &value))
		jw_raw(&b, "args", json_text(value));
	if (schema != NULL)
		jw_raw(&b, "schema", json_text(schema));
	jw_str(&b, "key", jget_str(q, "key", ""));
	jw_int(&b, "turn", turn);
	jw_uuid(&b, "call_id", c->row.id);
	jw_str(&b, "tool_call_id", c->row.call_id);
	jw_str(&b, "effect", run_effect_word(c->row.effect));
	jw_close(&b);
	json_object_put(schema);
	return work_text(wc, &b);
}

static bool
allows(struct json_object *q, const char *kind)
{
	struct json_object *list = jget(q, "allow");
	size_t n = json_object_is_type(list, json_type_array)
		       ? json_object_array_length(list)
		       : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *v = json_object_array_get_idx(list, i);

		if (json_object_is_type(v, json_type_string) &&
		    strcmp(json_object_get_string(v), kind) == 0)
			return true;
	}
	return false;
}

static const char *
title_of(struct arena *arena, struct json_object *q)
{
	const char *s = or_other(q, "title", "text");
	size_t len = strlen(s);

	return arena_strndup(arena, s,
	    text_utf8_whole(s, len < TITLE_MAX ? len : TITLE_MAX));
}

static void
item_ask(struct call *c, struct work_commit *wc, struct json_object *q)
{
	struct work *w = c->t->w;
	struct run_item *item = work_item_add(w, wc, "question");
	struct approval how = { .accept = allows(q, "accept"),
		.edit = allows(q, "edit"),
		.response = allows(q, "response"),
		.ignore = allows(q, "ignore") };
	int64_t expires_ms = jget_int(q, "expires_ms", 0);
	struct buf b = { 0 };

	ask_ids_set(w, &c->row, jget_str(q, "key", ""), item);
	item->ordinal = c->row.ordinal;
	item->title = title_of(wc->arena, q);
	item->description = arena_strdup(wc->arena,
	    or_other(q, "text", "title"));
	item->action_request = request_of(c, wc, q);
	approval_config_write(&b, &how);
	item->config = work_text(wc, &b);
	if (expires_ms > 0 && expires_ms <= EXPIRES_MAX_MS) {
		item->expires_at = wc->c.now_us + expires_ms * 1000;
		item->on_expire = "reject";
	}
	work_item_event(wc, item);
}

void
ask_tool_park(struct call *c, struct work_commit *wc)
{
	struct run_tool *row = &wc->tools_done[wc->c.n_tools_done++];

	*row = c->row;
	row->state = "parked";
	row->result = row->error_code = NULL;
	item_ask(c, wc, c->asking.question);
}

void
ask_tool_parked(struct call *c)
{
	c->row.state = "parked";
	json_object_put(c->asking.question);
	c->asking.question = NULL;
	error_clear(&c->err);
	c->st = AS_OK;
	c->outcome = NULL;
	c->begun = c->done = c->sent = c->resumed = c->parked = false;
	c->asks = true;
}

/* ---- Answers ------------------------------------------------------- */

/* As struct plug_asking wants it. */
static struct json_object *
answer_of(const struct run_asked *item, struct json_object *request)
{
	const char *type = item->response_type != NULL ? item->response_type
						       : "ignore";
	struct json_object *o = jobj(), *said = NULL;
	char id[UUID_TEXT];

	if (item->response != NULL)
		(void)json_parse(item->response, strlen(item->response), &said,
		    NULL);
	jput_str(o, "kind", type);
	if (strcmp(type, "accept") == 0 &&
	    json_object_object_get_ex(request, "args", NULL))
		jput(o, "value", json_object_get(jget(request, "args")));
	else if (strcmp(type, "edit") == 0)
		jput(o, "value", json_object_get(said));
	else if (strcmp(type, "response") == 0)
		jput_str(o, "text",
		    json_object_is_type(said, json_type_string)
			? json_object_get_string(said)
			: json_text(said));
	if (!uuid_is_nil(item->responded_by)) {
		uuid_format(item->responded_by, id);
		jput_str(o, "user_id", id);
	}
	json_object_put(said);
	return o;
}

void
ask_tool_answers(struct call *c, const struct run_asked *all, int n)
{
	struct json_object *request;

	for (int i = 0; i < n; i++) {
		if (all[i].step != c->row.step ||
		    all[i].ordinal != c->row.ordinal ||
		    strcmp(all[i].status, "pending") == 0)
			continue;
		request = request_read(&all[i]);
		if (jget_int(request, "turn", 0) > 0) {
			if (c->answers == NULL)
				c->answers = jobj();
			jput(c->answers, jget_str(request, "key", ""),
			    answer_of(&all[i], request));
		}
		json_object_put(request);
	}
}

static void
note_take(struct tools *t, const struct run_note *note)
{
	struct json_object *v = NULL;

	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (!uuid_equal(c->row.id, note->call_id) ||
		    json_parse(note->value, strlen(note->value), &v, NULL) !=
			AS_OK)
			continue;
		if (c->kept == NULL)
			c->kept = jobj();
		jput(c->kept, note->key, v);
	}
}

/* Has it been begun, so that it may have asked or kept something? */
static bool
any_memory(const struct tools *t)
{
	if (t->w->e->c.world->replays)
		return false;
	for (int i = 0; i < t->n; i++) {
		const struct call *c = &t->calls[i];

		if (ask_is_of_tool(&c->row) ||
		    (t->w->resumed && !c->done && !c->spawns &&
			call_tool(c) != NULL))
			return true;
	}
	return false;
}

SUSPENDS enum as_status
ask_tool_recall(struct tools *t, struct error *err)
{
	struct work *w = t->w;
	struct run_asked *all;
	struct run_note *notes;
	int64_t version;
	int n_all, n_notes = 0;
	enum as_status st;

	if (!any_memory(t))
		return AS_OK;
	st = asks_read(t, &all, &n_all, &version, err);
	for (int i = 0; st == AS_OK; i++) {
		error_clear(err);
		st = run_store_notes(w->e->c.runs, w->run_id, w->state.step,
		    t->arena, &notes, &n_notes, err);
		if (st == AS_OK || !work_wait_retry(w, st, i))
			break;
		st = AS_OK;
	}
	if (st != AS_OK) {
		w->gave_up = w->lost = true;
		return st;
	}
	for (int i = 0; i < t->n; i++)
		ask_tool_answers(&t->calls[i], all, n_all);
	for (int i = 0; i < n_notes; i++)
		note_take(t, &notes[i]);
	return AS_OK;
}

/* ---- While it is made ---------------------------------------------- */

/* A note of a call that is not ours any more would be read by nobody. */
static SUSPENDS enum as_status
call_keep(void *arg, const char *key, struct json_object *value,
    struct error *err)
{
	struct call *c = arg;
	struct work *w = c->t->w;
	struct run_note note = { .call_id = c->row.id,
		.key = key,
		.value = json_text(value) };
	enum as_status st;

	if (w->lost || !engine_is_trusted(w->e))
		return error_set(err, ERR_CANCELED,
		    "another process may own the run");
	FAILPOINT("tool.pre_keep");
	st = run_store_note(w->e->c.runs, w->run_id, w->state.fence, &note,
	    err);
	FAILPOINT("tool.post_keep");
	if (st == AS_CONFLICT)
		return error_set(err, ERR_CANCELED,
		    "another process owns the run");
	if (st != AS_OK)
		return st;
	if (c->kept == NULL)
		c->kept = jobj();
	jput(c->kept, key, json_copy(value));
	c->asking.kept = c->kept;
	return AS_OK;
}

void
ask_tool_begin(struct call *c)
{
	json_object_put(c->asking.question);
	c->asking = (struct plug_asking){ .answers = c->answers,
		.kept = c->kept,
		.arg = c,
		.keep = call_keep };
}

void
ask_tool_free(struct call *c)
{
	json_object_put(c->asking.question);
	json_object_put(c->answers);
	json_object_put(c->kept);
}
