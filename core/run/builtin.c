/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/builtin.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/run/approval.h"
#include "core/run/child.h"

/*
 * A row of the table for each.  Which of them an agent has is its setting
 * `builtins`; `remember` comes with its memory.  An ambient run has them all,
 * since nobody is there to say what it may.
 */

#define TODOS_MAX 100
#define QUESTION_MAX 4000 /* bytes */
#define CHOICES_MAX 20
#define CHOICE_MAX 800 /* bytes; characters of the schema are longer */

static bool
has_setting(const struct work *w, const char *name)
{
	struct json_object *list = w->agent->builtins;
	size_t n = json_object_is_type(list, json_type_array)
		       ? json_object_array_length(list)
		       : 0;
	const char *s;

	if (w->state.root_kind != NULL &&
	    strcmp(w->state.root_kind, "ambient") == 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		s = json_object_get_string(json_object_array_get_idx(list, i));
		if (s != NULL && strcmp(s, name) == 0)
			return true;
	}
	return false;
}

/* ---- remember ------------------------------------------------------ */

static const char remember_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"fact\"],\"properties\":{\"fact\":{\"type\":\"string\","
    "\"minLength\":1,\"maxLength\":500,\"description\":"
    "\"One fact in one sentence, in words that make sense later.\"}}}";

static bool
remember_offered(const struct work *w)
{
	return jget_bool(w->agent->memory, "enabled", false);
}

static SUSPENDS enum as_status
remember_call(struct call *c, struct json_object *args)
{
	struct work *w = c->t->w;
	const struct world *world = w->e->c.world;
	const char *fact = jget_str(args, "fact", "");
	enum as_status st;

	if (fact[0] == '\0')
		return error_field(&c->err, "fact", "is required");
	st = world->remember(world->arg, w->agent->id, fact, &c->err);
	if (st == AS_OK)
		c->result = json_object_new_string("Remembered.");
	return st;
}

/* ---- write_todos --------------------------------------------------- */

static const char todos_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"todos\"],\"properties\":{\"todos\":{\"type\":\"array\","
    "\"maxItems\":100,\"description\":"
    "\"The whole list; it replaces the one before.\",\"items\":"
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"content\",\"status\"],\"properties\":{"
    "\"content\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":500},"
    "\"status\":{\"enum\":[\"pending\",\"in_progress\",\"completed\"]}}}}}}";

static bool
todos_offered(const struct work *w)
{
	return has_setting(w, "write_todos");
}

static bool
is_todo_status(const char *s)
{
	return strcmp(s, "pending") == 0 || strcmp(s, "in_progress") == 0 ||
	       strcmp(s, "completed") == 0;
}

static enum as_status
todo_write(struct buf *b, struct json_object *todo, size_t at,
    struct error *err)
{
	const char *content = jget_str(todo, "content", "");
	const char *status = jget_str(todo, "status", "");
	char field[48];

	snprintf(field, sizeof(field), "/todos/%zu/", at);
	if (content[0] == '\0' || strlen(content) > 2000)
		return error_field(err, strcat(field, "content"),
		    "must be 1 to 2000 bytes");
	if (!is_todo_status(status))
		return error_field(err, strcat(field, "status"),
		    "must be pending, in_progress or completed");
	jw_open(b, NULL);
	jw_str(b, "content", content);
	jw_str(b, "status", status);
	jw_close(b);
	return AS_OK;
}

/* Two lists in one answer: which of them would be the plan? */
static bool
is_second(const struct call *c)
{
	const struct tools *t = c->t;

	for (int i = 0; i < t->n; i++)
		if (strcmp(t->calls[i].row.tool, c->row.tool) == 0 &&
		    t->calls[i].row.ordinal < c->row.ordinal)
			return true;
	return false;
}

static SUSPENDS enum as_status
todos_call(struct call *c, struct json_object *args)
{
	struct json_object *list = jget(args, "todos");
	enum as_status st = AS_OK;
	struct buf b = { 0 };
	size_t n;

	if (is_second(c))
		return error_set(&c->err, ERR_VALIDATION_FAILED,
		    "write_todos may be called once in an answer");
	if (!json_object_is_type(list, json_type_array))
		return error_field(&c->err, "/todos", "must be a list");
	n = json_object_array_length(list);
	if (n > TODOS_MAX)
		return error_field(&c->err, "/todos",
		    "must be at most %d entries", TODOS_MAX);
	jw_open_list(&b, NULL);
	for (size_t i = 0; i < n && st == AS_OK; i++)
		st = todo_write(&b, json_object_array_get_idx(list, i), i,
		    &c->err);
	jw_close_list(&b);
	if (st == AS_OK) {
		c->todos = arena_strndup(c->t->arena, b.data, b.len);
		c->result = json_object_new_string("The list is written.");
	}
	buf_free(&b);
	return st;
}

/* ---- task ---------------------------------------------------------- */

static const char task_schema
    [] = "{\"type\":\"object\",\"additionalProperties\":false,"
	 "\"required\":[\"description\"],\"properties\":{"
	 "\"description\":{\"type\":\"string\",\"minLength\":1,\"description\":"
	 "\"All that the subagent needs to know: it sees nothing of this "
	 "conversation.\"},\"agent\":{\"type\":\"string\",\"description\":"
	 "\"The id of another agent; left out: one like this.\"}}}";

static bool
task_offered(const struct work *w)
{
	return has_setting(w, "task") &&
	       child_depth(w->state.ns) < w->e->c.limits.subagent_depth;
}

/* ---- ask_human ----------------------------------------------------- */

static const char ask_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"question\"],\"properties\":{"
    "\"question\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4000,"
    "\"description\":\"One question, understood without the conversation.\"},"
    "\"choices\":{\"type\":\"array\",\"maxItems\":20,\"items\":"
    "{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
    "\"description\":\"Answers to choose from, if there are only a few.\"},"
    "\"free_text\":{\"type\":\"boolean\",\"description\":"
    "\"May the person answer something that is not among the choices?\"}}}";

static bool
ask_offered(const struct work *w)
{
	return approval_may_ask(w->agent->approval, w->state.root_kind);
}

static bool
is_choice(struct json_object *v)
{
	return json_object_is_type(v, json_type_string) &&
	       json_object_get_string_len(v) > 0 &&
	       json_object_get_string_len(v) <= CHOICE_MAX;
}

/* Who is asked has to be able to answer. */
static enum as_status
question_check(struct json_object *args, struct error *err)
{
	const char *question = jget_str(args, "question", "");
	struct json_object *choices = jget(args, "choices");
	size_t n = json_object_is_type(choices, json_type_array)
		       ? json_object_array_length(choices)
		       : 0;

	if (question[0] == '\0' || strlen(question) > QUESTION_MAX)
		return error_field(err, "question", "must be 1 to %d bytes",
		    QUESTION_MAX);
	if ((choices != NULL && n == 0 &&
		!json_object_is_type(choices, json_type_array)) ||
	    n > CHOICES_MAX)
		return error_field(err, "choices",
		    "must be a list of at most %d", CHOICES_MAX);
	for (size_t i = 0; i < n; i++)
		if (!is_choice(json_object_array_get_idx(choices, i)))
			return error_field(err, "choices",
			    "must be texts of 1 to %d bytes", CHOICE_MAX);
	return AS_OK;
}

bool
builtin_asks(const struct work *w, const char *tool, struct json_object *args)
{
	return strcmp(tool, BUILTIN_ASK) == 0 && ask_offered(w) &&
	       question_check(args, NULL) == AS_OK;
}

/* A question that is none: one that is never comes here. */
static SUSPENDS enum as_status
ask_call(struct call *c, struct json_object *args)
{
	enum as_status st = question_check(args, &c->err);

	return st != AS_OK ? st : error_set(&c->err, ERR_INTERNAL, "not asked");
}

/* ---- The table ----------------------------------------------------- */

static const struct builtin builtins[] = {
	{ "remember",
	    "Keep a fact about the user or the task for later conversations.",
	    remember_schema, "P", remember_offered, remember_call },
	{ "write_todos",
	    "Write down the steps of a longer piece of work and how far each "
	    "has come. Call it again with the whole list when one has changed.",
	    todos_schema, "N", todos_offered, todos_call },
	{ "task",
	    "Give a piece of work to a subagent with an empty memory; its last "
	    "message is the result. Several in one answer work at the same "
	    "time.",
	    task_schema, "N", task_offered, NULL },
	{ BUILTIN_ASK,
	    "Ask the person you work for. Use it only for what you cannot "
	    "find out and must not assume; the answer may take long.",
	    ask_schema, "P", ask_offered, ask_call },
};

const struct builtin *
builtin_find(const struct work *w, const char *name)
{
	if (w->e->c.world->replays)
		return NULL;
	for (size_t i = 0; i < N_ITEMS(builtins); i++)
		if (strcmp(builtins[i].name, name) == 0)
			return &builtins[i];
	return NULL;
}

void
builtin_offer(const struct work *w, struct json_object *tools)
{
	struct json_object *o, *schema;

	for (size_t i = 0; i < N_ITEMS(builtins); i++) {
		const struct builtin *b = &builtins[i];

		if (w->e->c.world->replays || !b->offered(w) ||
		    json_parse(b->schema, strlen(b->schema), &schema, NULL) !=
			AS_OK)
			continue;
		o = jobj();
		jput_str(o, "name", b->name);
		jput_str(o, "description", b->doc);
		jput(o, "input_schema", schema);
		json_object_array_add(tools, o);
	}
}

SUSPENDS enum as_status
builtin_call(const struct builtin *b, struct call *c, struct json_object *args)
{
	if (!b->offered(c->t->w))
		return error_set(&c->err, ERR_NOT_FOUND, "no tool named '%s'",
		    b->name);
	return b->call(c, args);
}
