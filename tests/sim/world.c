/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/wire.h"
#include "tests/sim/node.h"

#define TASK "task" /* the engine's own tool */
#define SUMMARISE "Summarise the conversation" /* compact_plan.c */
#define WINDOW 260 /* tokens, of every other seed */
#define TASK_SAYS "a task of the simulation"

/*
 * Models and tools.
 *
 * What a model says depends on the history and on its attempt: asked again
 * after a crash it says something else, as models do.  There is a tool for
 * each class of effect.  The witness keeps what the tools have really done and
 * what they have answered; nodes come and go, it stays.
 */

#define ANSWERS_MAX 8

/* What was done under one key. */
struct deed {
	struct deed *next;
	char key[RUN_IDEM_KEY + 16];
	char *args;
	struct uuid call; /* the invocation */
	char letter;
	int n_effects;
	char *answers[ANSWERS_MAX];
	int n_answers;
};

struct witness {
	struct deed *deeds;
	int n_answers;
};

struct witness *
witness_new(void)
{
	return xcalloc(1, sizeof(struct witness));
}

void
witness_free(struct witness *w)
{
	struct deed *d;

	while ((d = w->deeds) != NULL) {
		w->deeds = d->next;
		for (int i = 0; i < d->n_answers; i++)
			free(d->answers[i]);
		free(d->args);
		free(d);
	}
	free(w);
}

static struct deed *
deed_find(const struct witness *w, const char *key)
{
	struct deed *d = w->deeds;

	while (d != NULL && strcmp(d->key, key) != 0)
		d = d->next;
	return d;
}

static struct deed *
deed_of(struct witness *w, const char *key, char letter, const char *args)
{
	struct deed *d = deed_find(w, key);

	if (d != NULL)
		return d;
	d = xcalloc(1, sizeof(*d));
	snprintf(d->key, sizeof(d->key), "%s", key);
	d->letter = letter;
	d->args = xstrdup(args);
	d->next = w->deeds;
	w->deeds = d;
	return d;
}

/* Not twice under another key either: the operator says the truth. */
static void
once_check(struct sim *s, const struct deed *d)
{
	int n = 0;

	for (const struct deed *o = s->witness->deeds; o != NULL; o = o->next)
		n += uuid_equal(o->call, d->call) ? o->n_effects : 0;
	if (d->letter != 'P' && n > 1)
		sim_violate(s, "I7",
		    "%d effects of class %c, the last under "
		    "%s",
		    n, d->letter, d->key);
}

/* The tool acts, or, if the key tells it so, answers as it did before. */
static const char *
deed_do(struct sim *s, struct deed *d)
{
	bool knows = d->letter == 'K' || d->letter == 'N';

	if (knows && d->n_effects > 0)
		return d->answers[0];
	d->n_effects++;
	once_check(s, d);
	sim_trace(s, "tool %c acts on %s, %d", d->letter, d->key + 28,
	    d->n_effects);
	if (d->n_answers == ANSWERS_MAX)
		return d->answers[0];
	d->answers[d->n_answers] = xasprintf("%c %s %d", d->letter, d->key + 28,
	    ++s->witness->n_answers);
	return d->answers[d->n_answers++];
}

static bool
deed_answered(const struct deed *d, const char *text)
{
	for (int i = 0; i < d->n_answers; i++)
		if (strcmp(d->answers[i], text) == 0)
			return true;
	return false;
}

const char *
witness_answer(const struct sim *s, const char *key)
{
	const struct deed *d = deed_find(s->witness, key);

	return d != NULL && d->n_answers > 0 ? d->answers[0] : NULL;
}

void
witness_check(struct sim *s)
{
	for (int i = 0; i < s->model->tools.n; i++) {
		const struct model_tool *t = s->model->tools.rows[i];
		const struct deed *d = deed_find(s->witness, t->t.idem_key);

		if (strcmp(t->t.tool, TASK) == 0) /* see task_check */
			continue;
		if (strcmp(t->t.state, "succeeded") != 0 ||
		    (t->t.resolution != NULL &&
			(strcmp(t->t.resolution, "operator") == 0 ||
			    strcmp(t->t.resolution, "answered") == 0)))
			continue;
		if (d == NULL || d->n_effects == 0)
			sim_violate(s, "I7", "%s succeeded without an effect",
			    t->t.idem_key);
		else if (!deed_answered(d, t->t.result))
			sim_violate(s, "I8", "%s: '%s' was never answered",
			    t->t.idem_key, t->t.result);
	}
}

/* ---- Tools --------------------------------------------------------- */

static const char letters[] = "UPNKV";

static const struct plug_tool_info *
tool_info(void *arg, const char *name)
{
	static const char *const names[] = { "t_U", "t_P", "t_N", "t_K",
		"t_V" };
	static struct plug_tool_info infos[N_ITEMS(names)];
	static struct json_object *schema;

	(void)arg;
	if (schema == NULL)
		schema = jobj();
	for (size_t i = 0; i < N_ITEMS(names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		infos[i] = (struct plug_tool_info){ .toolkit = "t",
			.name = names[i],
			.doc = "a tool",
			.version = "1",
			.effect = (enum as_effect)i,
			.input_schema = schema,
			.has_verify = letters[i] == 'V',
			.timeout_ms = 4000 };
		return &infos[i];
	}
	return NULL;
}

/* The rule of intent before effect, seen from outside. */
static void
dispatch_check(struct sim *s, const char *key, struct json_object *args)
{
	const struct model_tool *t = model_tool(s->model, key);

	if (t == NULL)
		sim_violate(s, "I9", "%s was sent without an intent", key);
	else if (strcmp(t->t.args, json_text(args)) != 0)
		sim_violate(s, "I9", "%s was sent with %s, intended was %s",
		    key, json_text(args), t->t.args);
	else
		people_check_call(s, t);
}

static enum as_status
tool_refuses(struct sim_node *n, struct error *err)
{
	enum as_status st;

	switch (rng_below(&n->rng, 3)) {
	case 0:
		st = error_set(err, ERR_RATE_LIMITED, "too many calls");
		if (err != NULL)
			err->retry_after_ms = 500;
		return st;
	case 1:
		return error_set(err, ERR_UNAVAILABLE, "connection refused");
	default:
		return error_field(err, "x", "is not a good number");
	}
}

/* It was sent; what became of it is not known here. */
static enum as_status
in_doubt(enum as_status st, struct error *err)
{
	if (err != NULL)
		error_member(err, "maybe_done", json_object_new_boolean(true));
	return st;
}

/* The request is on its way or with the tool; who waits may leave. */
static SUSPENDS enum as_status
tool_act(struct sim_node *n, struct deed *d, const char **answer,
    struct error *err)
{
	struct sim *s = n->sim;
	uint64_t ms = 10 + rng_below(&n->rng, 600);
	enum as_status st;

	if (fault_hits(s, FAULT_TOOL_SLOW, -1))
		ms += 1000 + rng_below(&n->rng, 2500);
	st = node_wait(n, loop_now_ms(s->loop) + ms, false, err);
	if (st == AS_OK || rng_chance(&n->rng, 500))
		*answer = deed_do(s, d);
	return st;
}

static SUSPENDS enum as_status
tool_answer(struct sim_node *n, struct error *err)
{
	struct sim *s = n->sim;
	uint64_t ms = 2 + rng_below(&n->rng, 20);

	if (fault_hits(s, FAULT_TOOL_LOSE, -1))
		return error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "the connection was reset");
	if (fault_hits(s, FAULT_TOOL_HANG, -1))
		ms = 1000000;
	return node_wait(n, loop_now_ms(s->loop) + ms, true, err);
}

static SUSPENDS enum as_status
sim_call(void *arg, const struct plug_caller *who, const char *tool,
    struct json_object *args, struct json_object **result, struct error *err)
{
	struct sim_node *n = arg;
	struct sim *s = n->sim;
	const char *answer = NULL;
	struct deed *d;
	enum as_status st = node_wait(n, 0, true, err);

	if (st != AS_OK)
		return st;
	sim_trace(s, "node %d calls %s %s attempt %d", n->index, tool,
	    who->idem_key + 28, who->attempt);
	dispatch_check(s, who->idem_key, args);
	if (fault_hits(s, FAULT_TOOL_REFUSE, -1))
		return tool_refuses(n, err);
	d = deed_of(s->witness, who->idem_key, tool[2], json_text(args));
	if (model_tool(s->model, who->idem_key) != NULL)
		d->call = model_tool(s->model, who->idem_key)->t.id;
	if (strcmp(d->args, json_text(args)) != 0)
		sim_violate(s, "I7", "two arguments under %s", d->key);
	st = tool_act(n, d, &answer, err);
	if (st == AS_OK)
		st = tool_answer(n, err);
	if (st != AS_OK)
		return in_doubt(st, err);
	*result = json_object_new_string(answer);
	return AS_OK;
}

static SUSPENDS enum as_status
sim_verify(void *arg, const struct plug_caller *who, const char *tool,
    struct json_object *args, struct json_object **result, struct error *err)
{
	struct sim_node *n = arg;
	struct sim *s = n->sim;
	const struct deed *d;
	enum as_status st;

	(void)args;
	st = node_wait(n, loop_now_ms(s->loop) + 10, true, err);
	if (st != AS_OK)
		return st;
	d = deed_find(s->witness, who->idem_key);
	sim_trace(s, "node %d verifies %s %s", n->index, tool,
	    who->idem_key + 28);
	if (fault_hits(s, FAULT_VERIFY_DARK, -1))
		return error_set(err, ERR_UPSTREAM_UNAVAILABLE, "nobody knows");
	if (d == NULL || d->n_effects == 0)
		return error_set(err, ERR_NOT_FOUND, "not done");
	*result = json_object_new_string(d->answers[0]);
	return AS_OK;
}

/* ---- Models -------------------------------------------------------- */

/* What a model sees of the conversation. */
struct seen {
	int n_users, n_turns; /* turns with tools since the last user */
	bool is_task; /* it is a subagent's */
	bool is_summary; /* it is to be told in short */
};

static const char *
part_id(struct json_object *part)
{
	return jget_str(part, "id", "");
}

/* The calls of m are answered in the next message, in order. */
static bool
calls_answered(struct json_object *m, struct json_object *next)
{
	struct json_object *parts = jget(m, "content");
	struct json_object *answers = next != NULL ? jget(next, "content")
						   : NULL;
	size_t k = 0;

	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		struct json_object *p = json_object_array_get_idx(parts, i);

		if (strcmp(jget_str(p, "type", ""), "tool_call") != 0)
			continue;
		if (answers == NULL || k >= json_object_array_length(answers) ||
		    strcmp(part_id(json_object_array_get_idx(answers, k++)),
			part_id(p)) != 0)
			return false;
	}
	return true;
}

static bool
has_calls(struct json_object *m)
{
	struct json_object *parts = jget(m, "content");

	for (size_t i = 0; i < json_object_array_length(parts); i++)
		if (strcmp(jget_str(json_object_array_get_idx(parts, i), "type",
			       ""),
			"tool_call") == 0)
			return true;
	return false;
}

static struct seen
history_look(struct sim *s, struct json_object *messages)
{
	size_t n = json_object_array_length(messages);
	struct seen seen = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct json_object *m = json_object_array_get_idx(messages, i);
		const char *role = jget_str(m, "role", "");

		if (strcmp(role, "user") == 0) {
			seen.n_users++;
			seen.n_turns = 0;
			seen.is_task = strstr(json_text(m), TASK_SAYS) != NULL;
			seen.is_summary = strstr(json_text(m), SUMMARISE) !=
					  NULL;
		} else if (strcmp(role, "assistant") == 0 && has_calls(m)) {
			seen.n_turns++;
			if (!calls_answered(m,
				json_object_array_get_idx(messages, i + 1)))
				sim_violate(s, "I11",
				    "a model sees calls without answers");
		}
	}
	return seen;
}

static enum as_status
say(const struct plug_sink *sink, enum as_delta_type type, uint32_t index,
    const char *id, const char *name, const char *text)
{
	struct as_delta d = { .size = sizeof(d),
		.type = type,
		.index = index,
		.id = id,
		.name = name,
		.text = text,
		.len = text != NULL ? strlen(text) : 0 };

	return sink->delta(sink->arg, &d);
}

static void
calls_say(const struct sim *s, struct rng *r, bool has_task,
    const struct plug_sink *sink)
{
	uint32_t n = 1 + rng_below(r, 3);
	char name[16], args[64], id[48];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "t_%c",
		    letters[rng_below(r, sizeof(letters) - 1)]);
		snprintf(args, sizeof(args), "{\"x\":%u}", rng_below(r, 1000));
		if (has_task && rng_chance(r, 200)) {
			snprintf(name, sizeof(name), TASK);
			snprintf(args, sizeof(args),
			    "{\"description\":\"%s %u\"}", TASK_SAYS,
			    rng_below(r, 1000));
		} else if (s->approval != NULL && rng_chance(r, 200)) {
			snprintf(name, sizeof(name), "ask_human");
			snprintf(args, sizeof(args), "{\"question\":\"%u?\"}",
			    rng_below(r, 1000));
		}
		/* Earlier ones may have been forgotten: no number says which. */
		snprintf(id, sizeof(id), "c%u.%u", rng_below(r, 1000000), i);
		if (say(sink, AS_DELTA_TOOL, i, id, name, NULL) != AS_OK)
			return;
		(void)say(sink, AS_DELTA_ARGS, i, NULL, NULL, args);
	}
}

static enum as_status
model_refuses(struct sim_node *n, struct error *err)
{
	enum as_status st;

	if (rng_chance(&n->rng, 500))
		return error_set(err, ERR_UNAVAILABLE, "the model is away");
	st = error_set(err, ERR_RATE_LIMITED, "the model is busy");
	if (err != NULL)
		err->retry_after_ms = 1000;
	return st;
}

static SUSPENDS enum as_status
model_talk(struct sim_node *n, struct rng *r, const struct plug_sink *sink,
    struct error *err)
{
	struct sim *s = n->sim;
	int words = 1 + (int)rng_below(r, 3);
	enum as_status st = AS_OK;

	for (int i = 0; i < words && st == AS_OK; i++) {
		st = node_wait(n,
		    loop_now_ms(s->loop) + 50 + rng_below(&n->rng, 700), true,
		    err);
		if (st == AS_OK && (st = say(sink, AS_DELTA_TEXT, 0, NULL, NULL,
					"word ")) != AS_OK)
			return error_set(err, ERR_CANCELED, "stopped");
	}
	return st;
}

/* Is there more to do, or is this the last answer of the run? */
static bool
wants_tools(const struct sim *s, const struct plug_caller *who,
    const struct seen *seen)
{
	struct rng r = { s->seed * 31 + who->thread_id.b[15] * 7 +
			 (uint64_t)seen->n_users };

	return seen->n_turns < (int)rng_below(&r, seen->is_task ? 3 : 5);
}

static bool
has_tool(struct json_object *tools, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(tools); i++)
		if (strcmp(jget_str(json_object_array_get_idx(tools, i), "name",
			       ""),
			name) == 0)
			return true;
	return false;
}

static int
thread_of(const struct sim *s, const struct plug_caller *who)
{
	for (int i = 0; i < SIM_THREADS; i++)
		if (uuid_equal(s->threads[i], who->thread_id))
			return i;
	return -1;
}

static SUSPENDS enum as_status
sim_chat(void *arg, const struct plug_caller *who, const char *model,
    struct json_object *messages, struct json_object *tools,
    const struct plug_sink *sink, struct plug_chat_end *end, struct error *err)
{
	struct sim_node *n = arg;
	struct sim *s = n->sim;
	struct rng r = { rng_next(&n->rng) };
	enum as_status st = node_wait(n, 0, true, err);
	struct seen seen;

	(void)model;
	if (st != AS_OK)
		return st;
	sim_trace(s, "node %d asks the model for %s attempt %d", n->index,
	    sim_short(who->run_id), who->attempt);
	seen = history_look(s, messages);
	if (fault_hits(s, FAULT_POISON, thread_of(s, who))) {
		s->crumbs[n->index] = who->run_id;
		node_crash(n, 300);
		return node_wait(n, 0, true, err);
	}
	if (fault_hits(s, FAULT_MODEL_BUSY, -1))
		return model_refuses(n, err);
	st = model_talk(n, &r, sink, err);
	if (st == AS_OK && fault_hits(s, FAULT_MODEL_HANG, -1))
		st = node_wait(n, loop_now_ms(s->loop) + 1000000, true, err);
	if (st == AS_OK && fault_hits(s, FAULT_MODEL_BREAK, -1))
		st = error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "the stream broke");
	if (st != AS_OK)
		return st;
	end->why = AS_END_TURN;
	end->input = 10 * (int64_t)json_object_array_length(messages);
	end->output = 5;
	if (!seen.is_summary && wants_tools(s, who, &seen)) {
		calls_say(s, &r, has_tool(tools, TASK), sink);
		end->why = AS_END_TOOLS;
	}
	return AS_OK;
}

/* ---- The rest of the world ----------------------------------------- */

static SUSPENDS enum as_status
sim_agent(void *arg, struct uuid id, struct arena *arena, struct agent **out,
    struct error *err)
{
	static struct agent agent;
	struct sim_node *n = arg;
	enum as_status st;

	(void)arena;
	st = node_wait(n, loop_now_ms(n->sim->loop) + 1, true, err);
	if (st != AS_OK)
		return st;
	if (agent.toolkits == NULL) {
		agent.toolkits = jarr();
		json_object_array_add(agent.toolkits,
		    json_object_new_string("t"));
		agent.memory = jobj();
		agent.builtins = jarr();
		json_object_array_add(agent.builtins,
		    json_object_new_string(TASK));
	}
	agent.id = id;
	agent.approval = n->sim->approval;
	agent.name = agent.description = agent.purpose = "";
	agent.system_prompt = "sys";
	agent.state = "ready";
	*out = &agent;
	return AS_OK;
}

static SUSPENDS enum as_status
sim_remember(void *arg, struct uuid agent_id, const char *fact,
    struct error *err)
{
	(void)arg, (void)agent_id, (void)fact;
	return error_set(err, ERR_UNSUPPORTED, "this agent keeps nothing");
}

static struct json_object *
sim_offer(void *arg, const struct agent *a)
{
	(void)arg, (void)a;
	return jarr();
}

static int64_t
sim_window(void *arg, const char *model)
{
	struct sim_node *n = arg;

	(void)model;
	return n->sim->seed % 2 == 0 ? WINDOW : 0;
}

void
world_init(struct world *w, struct sim_node *n)
{
	*w = (struct world){ .arg = n,
		.agent = sim_agent,
		.remember = sim_remember,
		.offer = sim_offer,
		.tool = tool_info,
		.chat = sim_chat,
		.window = sim_window,
		.call = sim_call,
		.verify = sim_verify };
}
