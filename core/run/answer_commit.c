/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/ambient.h"
#include "core/run/answer.h"
#include "core/run/approval.h"
#include "core/run/builtin.h"
#include "core/run/call.h"
#include "core/run/mutant.h"

/*
 * What a whole answer becomes: its message, and the intent of every tool call
 * that it asks for, in one transaction.
 */

/* ---- The message --------------------------------------------------- */

static void
usage_of(struct run_usage *u, const struct plug_chat_end *end)
{
	u->input = end->input > 0 ? end->input : 0;
	u->output = end->output > 0 ? end->output : 0;
	u->cached = end->cached > 0 ? end->cached : 0;
	u->reasoning = end->reasoning > 0 ? end->reasoning : 0;
}

void
answer_name_calls(struct answer *a)
{
	char id[UUID_TEXT];
	int k = 0;

	for (int i = 0; i < a->n_calls; i++)
		if (a->calls[i].seen) {
			if (k != i) {
				struct answer_call hole = a->calls[k];

				a->calls[k] = a->calls[i];
				a->calls[i] = hole;
			}
			k++;
		}
	for (int i = 0; i < k; i++) {
		a->calls[i].id = engine_new_id(a->w->e);
		if (a->calls[i].call_id != NULL &&
		    a->calls[i].call_id[0] != '\0')
			continue;
		free(a->calls[i].call_id);
		uuid_format(a->calls[i].id, id);
		a->calls[i].call_id = xasprintf("call_%s", id);
	}
	for (int i = k; i < a->n_calls; i++)
		buf_free(&a->calls[i].args);
	a->n_calls = k;
}

/* The arguments as a value; NULL if they are not a JSON object. */
static struct json_object *
call_args(const struct answer_call *c)
{
	struct json_object *args = NULL;

	if (c->args.len == 0)
		return jobj();
	if (json_parse(c->args.data, c->args.len, &args, NULL) == AS_OK &&
	    json_object_is_type(args, json_type_object))
		return args;
	json_object_put(args);
	return NULL;
}

static void
part_extra(struct buf *parts, struct json_object *value)
{
	jw_open(parts, NULL);
	jw_str(parts, "type", "extra");
	jw_raw(parts, "value", json_text(value));
	jw_close(parts);
}

static void
part_call(struct buf *parts, const struct answer_call *c)
{
	struct json_object *args = call_args(c);

	jw_open(parts, NULL);
	jw_str(parts, "type", "tool_call");
	jw_str(parts, "id", c->call_id);
	jw_str(parts, "name", c->name);
	jw_raw(parts, "args", args != NULL ? json_text(args) : "{}");
	jw_close(parts);
	json_object_put(args);
}

static void
answer_parts(struct answer *a, struct buf *parts)
{
	jw_open_list(parts, NULL);
	if (a->reasoning.len > 0)
		run_part_text(parts, "reasoning", a->reasoning.data,
		    a->reasoning.len);
	for (size_t i = 0; i < json_object_array_length(a->extras); i++)
		part_extra(parts, json_object_array_get_idx(a->extras, i));
	if (a->text.len > 0)
		run_part_text(parts, "text", a->text.data, a->text.len);
	for (int i = 0; i < a->n_calls; i++)
		part_call(parts, &a->calls[i]);
	jw_close_list(parts);
}

void
work_message_end(struct work *w, struct work_commit *wc, const char *text,
    size_t len, const char *why, const char *usage)
{
	struct buf b = { 0 };
	char sha[HASH_TEXT];

	hash_text(text != NULL ? text : "", len, sha);
	jw_open(&b, NULL);
	jw_uuid(&b, "message_id", w->message_id);
	jw_int(&b, "attempt", w->state.fence);
	jw_int(&b, "length", (int64_t)len);
	jw_str(&b, "sha256", sha);
	jw_raw(&b, "usage", usage);
	jw_str(&b, "finish_reason", why);
	jw_close(&b);
	event_list_add(&wc->events, "message_end", &b);
	w->message_open = false;
}

static const char *
why_word(enum as_chat_why why)
{
	switch (why) {
	case AS_END_TOOLS:
		return "tool_calls";
	case AS_END_LENGTH:
		return "length";
	case AS_END_STOP:
		return "stop_sequence";
	case AS_END_REFUSED:
		return "refused";
	default:
		return "stop";
	}
}

/* ---- Intents ------------------------------------------------------- */

/* Is it begun at once, or does a person come first? */
static const char *
intent_state(const struct work *w, const struct run_tool *t,
    const struct plug_tool_info *info, struct json_object *args)
{
	if (builtin_asks(w, t->tool, args))
		return "parked";
	if (info != NULL && call_is_offered(w, info) &&
	    approval_needed(w->agent->approval, w->state.root_kind, info,
		t->tool, t->effect))
		return "awaiting_approval";
	return "started";
}

static void
intent_fill(struct work *w, struct work_commit *wc, struct run_tool *t,
    const struct answer_call *c, int ordinal)
{
	const struct world *world = w->e->c.world;
	const struct builtin *own = builtin_find(w, c->name);
	const struct plug_tool_info *info = own == NULL
						? world->tool(world->arg,
						      c->name)
						: NULL;
	int64_t ms = info != NULL && info->timeout_ms > 0
			 ? info->timeout_ms
			 : w->e->c.limits.tool_timeout_ms;
	struct json_object *args = call_args(c);
	char key[RUN_IDEM_KEY];
	struct buf text = { 0 };
	struct hash h;

	run_idem_key(w->run_id, w->state.ns, w->state.step + 1, ordinal, 0,
	    key);
	t->id = c->id;
	t->step = w->state.step + 1;
	t->ordinal = ordinal;
	t->call_id = arena_strdup(wc->arena, c->call_id);
	t->idem_key = arena_strdup(wc->arena, key);
	t->tool = arena_strdup(wc->arena, c->name);
	t->version = info != NULL ? arena_strdup(wc->arena, info->version) : "";
	t->effect = info != NULL
			? run_effect_letter(plug_tool_effect(info, args))
		    : own != NULL ? own->effect
				  : "P";
	/* What is no object is kept as the model said it: a JSON string. */
	if (args != NULL)
		t->args = arena_strdup(wc->arena, json_text(args));
	else {
		text_add_clean(&text, c->args.data, c->args.len);
		args = json_object_new_string_len(text.data, (int)text.len);
		t->args = arena_strdup(wc->arena, json_text(args));
		buf_free(&text);
	}
	json_canonical(&text, args);
	hash_init(&h);
	hash_bytes(&h, text.data, text.len);
	hash_end(&h, t->args_hash);
	buf_free(&text);
	t->state = intent_state(w, t, info, args);
	json_object_put(args);
	if (info != NULL && strcmp(t->effect, "K") == 0 &&
	    info->key_valid_ms > 0)
		t->key_until = wc->c.now_us + info->key_valid_ms * 1000;
	t->deadline_us = wc->c.now_us + ms * 1000;
	run_tool_intended(&wc->events, t,
	    strcmp(t->state, "awaiting_approval") == 0);
}

/* ---- The commit ---------------------------------------------------- */

static void
answer_message(struct answer *a, struct work_commit *wc, const char *usage)
{
	struct buf parts = { 0 };
	struct work *w = a->w;
	struct run_message *m = work_add_message(w, wc, "assistant");

	m->id = w->message_id;
	m->content = arena_strndup(wc->arena,
	    a->text.data != NULL ? a->text.data : "", a->text.len);
	answer_parts(a, &parts);
	m->parts = work_text(wc, &parts);
	m->usage = usage;
	m->model = w->model;
	work_message_end(w, wc, a->text.data, a->text.len, why_word(a->end.why),
	    usage);
	work_message_created(w, wc, m);
}

/* Nobody has sent them, as long as tools.c does not begin with them. */
static void
calls_note_unsent(struct answer *a)
{
	struct work *w = a->w;

	w->resumed = false;
	w->unsent = arena_alloc(w->arena,
	    (size_t)a->n_calls * sizeof(*w->unsent) + 1);
	for (w->n_unsent = 0; w->n_unsent < a->n_calls; w->n_unsent++)
		w->unsent[w->n_unsent] = a->calls[w->n_unsent].id;
}

SUSPENDS enum as_status
answer_commit(struct answer *a, struct error *err)
{
	struct work *w = a->w;
	struct run_usage one = { 0 };
	struct work_commit wc;
	struct buf b = { 0 };
	enum as_status st;

	work_commit_init(w, &wc);
	usage_of(&one, &a->end);
	run_usage_write(&b, NULL, &one);
	answer_message(a, &wc, work_text(&wc, &b));
	wc.c.attempt = 0;
	wc.c.n_tools_new = a->n_calls;
	wc.c.tools_new = wc.tools_new = arena_alloc(wc.arena,
	    (size_t)a->n_calls * sizeof(*wc.tools_new) + 1);
	for (int i = 0; i < a->n_calls; i++)
		intent_fill(w, &wc, &wc.tools_new[i], &a->calls[i], i);
	work_checkpoint(w, &wc);
	if (a->n_calls == 0) {
		wc.c.to = RUN_SUCCEEDED;
		event_list_add_status(&wc.events, RUN_SUCCEEDED, NULL, NULL,
		    &w->state.usage);
		ambient_report(w, &wc, wc.messages[0].content);
	}
	MUTANT_DO(DISPATCH_EARLY,
	    mutant_dispatch(w, wc.tools_new, wc.c.n_tools_new));
	st = work_commit(w, &wc, err);
	if (st == AS_CONFLICT)
		w->message_open = true;
	else if (st == AS_OK)
		calls_note_unsent(a);
	work_commit_fini(&wc);
	return st;
}
