/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/ask.h"

#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/schema.h"
#include "core/base/text.h"
#include "core/run/approval.h"
#include "core/run/ask_tool.h"
#include "core/run/builtin.h"
#include "core/run/mutant.h"

/* See ask.h. */

bool
ask_waits(const struct run_tool *row)
{
	return strcmp(row->state, "awaiting_approval") == 0 ||
	       strcmp(row->state, "parked") == 0;
}

const struct run_asked *
ask_find(const struct run_asked *all, int n, const struct run_tool *row)
{
	const struct run_asked *last = NULL;

	for (int i = 0; i < n; i++)
		if (all[i].step == row->step &&
		    all[i].ordinal == row->ordinal &&
		    (last == NULL || ask_turn(&all[i]) > ask_turn(last)))
			last = &all[i];
	return last;
}

/* ---- What an answer makes of a call -------------------------------- */

/* The arguments are still a document that the tool takes. */
static enum as_status
args_check(const struct plug_tool_info *info, struct json_object *args,
    struct error *err)
{
	struct json_object *copy = json_copy(info->input_schema);
	struct schema *schema = NULL;
	enum as_status st = schema_compile(json_text(copy), &schema, err);

	if (st == AS_OK)
		st = schema_validate(schema, args, err);
	schema_free(schema);
	json_object_put(copy);
	return st;
}

static void
args_set(struct work *w, struct arena *arena, const struct plug_tool_info *info,
    struct json_object *args, struct run_tool *row)
{
	struct buf text = { 0 };
	struct hash h;

	row->args = arena_strdup(arena, json_text(args));
	json_canonical(&text, args);
	hash_init(&h);
	hash_bytes(&h, text.data, text.len);
	hash_end(&h, row->args_hash);
	buf_free(&text);
	row->effect = run_effect_letter(plug_tool_effect(info, args));
	row->key_until = 0;
	if (strcmp(row->effect, "K") == 0 && info->key_valid_ms > 0)
		row->key_until = engine_now_us(w->e) +
				 info->key_valid_ms * 1000;
	row->new_args = true;
}

static enum as_status
args_edit(struct work *w, struct arena *arena, const char *text,
    struct run_tool *row, struct error *err)
{
	const struct world *world = w->e->c.world;
	const struct plug_tool_info *info = world->tool(world->arg, row->tool);
	struct json_object *args = NULL;
	enum as_status st;

	if (info == NULL || !call_is_offered(w, info))
		return error_set(err, ERR_VALIDATION_FAILED,
		    "the agent has no tool '%s' any more", row->tool);
	st = json_parse(text != NULL ? text : "",
	    text != NULL ? strlen(text) : 0, &args, err);
	if (st == AS_OK && !json_object_is_type(args, json_type_object))
		st = error_field(err, "args", "must be an object");
	if (st == AS_OK && info->input_schema != NULL)
		st = args_check(info, args, err);
	if (st == AS_OK)
		args_set(w, arena, info, args, row);
	json_object_put(args);
	return st;
}

/* What a person has said, as a model reads it. */
static const char *
answer_text(struct work *w, struct arena *arena, const char *json)
{
	size_t max = w->e->c.limits.max_output, len;
	struct json_object *v = NULL;
	struct buf clean = { 0 };
	const char *s = json != NULL ? json : "", *text;

	if (json_parse(s, strlen(s), &v, NULL) == AS_OK)
		s = json_object_is_type(v, json_type_string)
			? json_object_get_string(v)
			: json_text(v);
	len = strlen(s);
	if (len > max)
		len = text_utf8_whole(s, max);
	text_add_clean(&clean, s, len);
	text = arena_strndup(arena, clean.data != NULL ? clean.data : "",
	    clean.len);
	buf_free(&clean);
	json_object_put(v);
	return text;
}

static const char *
refusal_text(const struct run_asked *item)
{
	bool question = strcmp(item->kind, "question") == 0;

	if (strcmp(item->status, "expired") == 0)
		return question ? "Error CANCELED: nobody has answered in time."
				: "Error CANCELED: nobody has approved this "
				  "call in time; it was not made.";
	return question ? "Error CANCELED: the person did not answer."
			: "Error CANCELED: rejected by the person; this call "
			  "was not made.";
}

enum as_status
ask_decide(struct work *w, struct arena *arena, const struct run_asked *item,
    struct run_tool *row, struct error *err)
{
	const char *type = item->response_type != NULL ? item->response_type
						       : "ignore";
	enum as_status st = AS_OK;

	row->error_code = NULL;
	if (ask_is_of_tool(row)) {
		row->state = "planned"; /* it reads the answer itself */
		return AS_OK;
	}
	if (strcmp(type, "response") == 0) {
		row->state = strcmp(item->kind, "question") == 0 ? "succeeded"
								 : "skipped";
		row->resolution = "answered";
		row->result = answer_text(w, arena, item->response);
	} else if (strcmp(type, "accept") == 0) {
		row->state = "planned";
		row->resolution = "approved";
	} else if (strcmp(type, "edit") == 0) {
		st = args_edit(w, arena, item->response, row, err);
		row->state = "planned";
		row->resolution = "edited";
	} else {
		row->state = "skipped";
		row->resolution = "rejected";
		row->error_code = "CANCELED";
		row->result = refusal_text(item);
	}
	return st;
}

void
ask_resolved(struct work_commit *wc, const struct run_asked *item,
    const struct run_tool *row)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_uuid(&b, "item_id", item->id);
	jw_uuid(&b, "interrupt_id", item->interrupt_id);
	jw_str(&b, "response_type", item->response_type);
	jw_uuid(&b, "responded_by", item->responded_by);
	if (strcmp(item->status, "expired") == 0)
		jw_bool(&b, "expired", true);
	if (row != NULL) {
		jw_str(&b, "tool_call_id", row->call_id);
		if (row->new_args)
			jw_raw(&b, "args", row->args);
	}
	jw_close(&b);
	event_list_add(&wc->events, "hitl_resolved", &b);
}

/* ---- Answers that have come ---------------------------------------- */

SUSPENDS enum as_status
asks_read(struct tools *t, struct run_asked **all, int *n, int64_t *version,
    struct error *err)
{
	struct work *w = t->w;
	enum as_status st;

	for (int i = 0;; i++) {
		error_clear(err);
		st = run_store_asked(w->e->c.runs, w->run_id, t->arena, all, n,
		    version, err);
		if (!work_wait_retry(w, st, i))
			break;
	}
	if (st != AS_OK) /* somebody else may do better */
		w->gave_up = w->lost = true;
	return st;
}

/* The row as it will be; an answer that cannot be acted on is a refusal. */
static void
answer_apply(struct tools *t, struct work_commit *wc,
    const struct run_asked *item, struct call *c)
{
	struct run_tool *row = &wc->tools_done[wc->c.n_tools_done++];
	struct error err = { 0 };

	*row = c->row;
	if (ask_decide(t->w, t->arena, item, row, &err) != AS_OK) {
		row->state = "skipped";
		row->resolution = "rejected";
		row->error_code = error_name(err.code);
		row->result = arena_printf(t->arena, "Error %s: %s",
		    error_name(err.code), err.detail);
	} else if (strcmp(row->state, "planned") == 0) {
		row->state = "started";
		row->deadline_us = wc->c.now_us + call_timeout_ms(c) * 1000;
	}
	error_clear(&err);
	ask_resolved(wc, item, row);
}

static SUSPENDS enum as_status
answers_apply(struct tools *t, const struct run_asked *all, int n_all, int *n,
    struct error *err)
{
	struct work *w = t->w;
	struct work_commit wc;
	struct call **done;
	enum as_status st = AS_OK;

	*n = 0;
	work_commit_init(w, &wc);
	done = arena_alloc(wc.arena, (size_t)t->n * sizeof(struct call *) + 1);
	wc.c.tools_done = wc.tools_done = arena_alloc(wc.arena,
	    (size_t)t->n * sizeof(*wc.tools_done) + 1);
	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];
		const struct run_asked *item = ask_find(all, n_all, &c->row);

		MUTANT_DO(BY_POSITION, item = mutant_answer(all, n_all, *n));
		if (!c->asks || item == NULL ||
		    strcmp(item->status, "pending") == 0)
			continue;
		answer_apply(t, &wc, item, c);
		done[(*n)++] = c;
	}
	if (*n > 0)
		st = work_commit(w, &wc, err);
	for (int i = 0; i < *n && st == AS_OK; i++) {
		done[i]->row = wc.tools_done[i];
		done[i]->row.new_args = false;
		call_from_row(done[i]);
		ask_tool_answers(done[i], all, n_all);
	}
	work_commit_fini(&wc);
	return st;
}

SUSPENDS enum as_status
asks_look(struct tools *t, int *n, struct error *err)
{
	struct run_asked *all;
	int64_t version;
	int n_all;
	enum as_status st = asks_read(t, &all, &n_all, &version, err);

	*n = 0;
	return st == AS_OK ? answers_apply(t, all, n_all, n, err) : st;
}

/* ---- Parking ------------------------------------------------------- */

/* The same question, asked again after a crash, is the same item. */
void
ask_ids_set(const struct work *w, const struct run_tool *row, const char *key,
    struct run_item *item)
{
	uint8_t sum[HASH_LEN];
	char run[UUID_TEXT], id[UUID_TEXT];
	struct hash h;

	uuid_format(w->state.checkpoint_id, id);
	hash_init(&h);
	hash_field_str(&h, "t1");
	hash_field_str(&h, id);
	hash_field_str(&h, "");
	hash_field_int(&h, row->step);
	hash_field_str(&h, "tools");
	hash_field_str(&h, "");
	hash_end(&h, sum);
	memcpy(&item->task_id, sum, sizeof(item->task_id));
	uuid_format(w->run_id, run);
	uuid_format(item->task_id, id);
	hash_init(&h);
	hash_field_str(&h, "i1");
	hash_field_str(&h, run);
	hash_field_str(&h, "");
	hash_field_str(&h, id);
	hash_field_int(&h, row->ordinal);
	hash_field_str(&h, key);
	hash_end(&h, sum);
	memcpy(&item->interrupt_id, sum, sizeof(item->interrupt_id));
}

static const char *
request_of(struct work_commit *wc, const struct run_tool *row)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "action", row->tool);
	jw_raw(&b, "args", row->args);
	jw_uuid(&b, "call_id", row->id);
	jw_str(&b, "tool_call_id", row->call_id);
	jw_str(&b, "effect", run_effect_word(row->effect));
	jw_close(&b);
	return work_text(wc, &b);
}

static const char *
question_of(struct work_commit *wc, const struct run_tool *row)
{
	struct json_object *args = NULL;
	const char *text = "";

	if (json_parse(row->args, strlen(row->args), &args, NULL) == AS_OK)
		text = arena_strdup(wc->arena, jget_str(args, "question", ""));
	json_object_put(args);
	return text;
}

#define TITLE_MAX 120 /* bytes */

static void
texts_set(struct work *w, struct work_commit *wc, const struct run_tool *row,
    struct run_item *item)
{
	const struct world *world = w->e->c.world;
	const struct plug_tool_info *info;

	if (strcmp(item->kind, "question") == 0) {
		item->description = question_of(wc, row);
		item->title = arena_strndup(wc->arena, item->description,
		    text_utf8_whole(item->description,
			strlen(item->description) < TITLE_MAX
			    ? strlen(item->description)
			    : TITLE_MAX));
		return;
	}
	info = world->tool(world->arg, row->tool);
	item->title = arena_printf(wc->arena, "May %s be called?", row->tool);
	item->description = arena_printf(wc->arena,
	    "%s wants to call `%s`.%s%s",
	    w->agent->name[0] != '\0' ? w->agent->name : "The agent", row->tool,
	    info != NULL && info->doc != NULL ? "\n\n" : "",
	    info != NULL && info->doc != NULL ? info->doc : "");
}

static void
item_ask(struct work *w, struct work_commit *wc, const struct run_tool *row)
{
	bool question = strcmp(row->state, "parked") == 0;
	struct run_item *item = work_item_add(w, wc,
	    question ? "question" : "approval");
	struct approval how;
	struct buf b = { 0 };

	if (question)
		approval_of_question(w->agent->approval, &how);
	else
		approval_of(w->agent->approval, row->tool, &how);
	ask_ids_set(w, row, "", item);
	item->ordinal = row->ordinal;
	item->action_request = request_of(wc, row);
	approval_config_write(&b, &how);
	item->config = work_text(wc, &b);
	if (how.expires_us > 0) {
		item->expires_at = wc->c.now_us + how.expires_us;
		item->on_expire = how.on_expire;
	}
	texts_set(w, wc, row, item);
	work_item_event(wc, item);
}

/* An item for each call that waits and has none; how many wait. */
static int
items_ask(struct tools *t, struct work_commit *wc, const struct run_asked *all,
    int n_all)
{
	int n = 0;

	for (int i = 0; i < t->n; i++) {
		const struct run_tool *row = &t->calls[i].row;

		if (!t->calls[i].asks)
			continue;
		n++;
		/* What a tool has asked is an item since then. */
		if (!ask_is_of_tool(row) && ask_find(all, n_all, row) == NULL)
			item_ask(t->w, wc, row);
	}
	return n;
}

void
asks_raise(struct tools *t, struct work_commit *wc)
{
	(void)items_ask(t, wc, NULL, 0);
}

/* What is left of the run's time does not go by while it waits. */
static void
time_keep(struct work *w, struct work_commit *wc)
{
	int64_t left = (w->state.deadline_at - wc->c.now_us) / 1000;
	struct buf b = { 0 };

	if (w->state.deadline_at == 0)
		return;
	w->granted.wall_left_ms = left > 0 ? left : 1;
	run_budget_write(&b, &w->granted);
	wc->c.budget = work_text(wc, &b);
}

static SUSPENDS enum as_status
asks_park(struct tools *t, const struct run_asked *all, int n_all,
    int64_t version, struct error *err)
{
	struct work *w = t->w;
	struct work_commit wc;
	enum as_status st;
	int n;

	work_commit_init(w, &wc);
	n = items_ask(t, &wc, all, n_all);
	wc.c.to = RUN_WAITING_HUMAN;
	wc.c.version = MUTANT(PARK_BLIND) ? 0 : version;
	time_keep(w, &wc);
	event_list_add_status(&wc.events, wc.c.to, "interrupt", NULL,
	    &w->state.usage);
	FAILPOINT("interrupt.pre");
	st = work_commit(w, &wc, err);
	FAILPOINT("interrupt.post");
	work_commit_fini(&wc);
	t->parked = st == AS_OK;
	if (t->parked)
		log_info("run", "the run waits for %d answers", n);
	return st;
}

SUSPENDS enum as_status
asks_turn(struct tools *t, struct error *err)
{
	struct run_asked *all;
	int64_t version;
	int n_all, n = 0;
	enum as_status st = asks_read(t, &all, &n_all, &version, err);

	if (st == AS_OK)
		st = answers_apply(t, all, n_all, &n, err);
	if (st == AS_OK && n == 0)
		st = asks_park(t, all, n_all, version, err);
	return st;
}
