/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/child.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/ask.h"
#include "core/run/builtin.h"

/*
 * A subagent sees its task and nothing else.  It uses a part of what is left to
 * the run that began it; what it leaves of that goes back with its last word.
 * It does not wait for a person where it fails: its parent's model is told and
 * decides.
 */

#define END_ALL_MS 2000 /* a run is given back after this */
#define END_LOOK_MS 50

int
child_depth(const char *ns)
{
	int depth = ns != NULL && ns[0] != '\0' ? 1 : 0;

	for (const char *p = ns; depth > 0 && (p = strchr(p, '|')) != NULL; p++)
		depth++;
	return depth;
}

/* ---- Beginning ----------------------------------------------------- */

static bool
is_pending(const struct call *c)
{
	return c->spawns && !c->done;
}

bool
child_is_due(const struct tools *t)
{
	int n = 0;

	for (int i = 0; i < t->n; i++) {
		if (is_pending(&t->calls[i]))
			n++;
		else if (!t->calls[i].written && !t->calls[i].asks)
			return false; /* who is asked may take long */
	}
	return n > 0;
}

static int
n_pending(const struct tools *t)
{
	int n = 0;

	for (int i = 0; i < t->n; i++)
		n += is_pending(&t->calls[i]) ? 1 : 0;
	return n;
}

/* An equal part of what is left, one of them for the run itself. */
static int64_t
part_of(int64_t limit, int64_t granted, int64_t used, int n)
{
	int64_t left = limit + granted - used;

	return left > 0 ? left / (n + 1) : 0;
}

/* What each of n subagents may use, beyond (mostly below) the limits. */
static struct run_budget
budget_part(const struct work *w, int n)
{
	const struct engine_limits *l = &w->e->c.limits;
	struct engine_limits own = run_limits(l, w->state.kind);
	const struct run_budget *g = &w->granted;
	struct run_budget part = { .repeats = g->repeats };

	part.steps = part_of(own.max_steps, g->steps, (w->state.step + 1) / 2,
			 n) -
		     l->max_steps;
	part.tokens = part_of(l->max_tokens, g->tokens,
			  w->state.usage.input + w->state.usage.output, n) -
		      l->max_tokens;
	if (l->max_cost_micros > 0)
		part.cost_micros = part_of(l->max_cost_micros, g->cost_micros,
				       w->state.cost_micros, n) -
				   l->max_cost_micros;
	return part;
}

static const char *
budget_text(struct arena *arena, const struct run_budget *b)
{
	struct buf out = { 0 };
	const char *s;

	run_budget_write(&out, b);
	s = arena_strndup(arena, out.data, out.len);
	buf_free(&out);
	return s;
}

/* The parent's own, without what n subagents may use. */
static struct run_budget
budget_rest(const struct work *w, const struct run_budget *part, int n)
{
	const struct engine_limits *l = &w->e->c.limits;
	struct run_budget rest = w->granted;

	rest.steps -= n * (l->max_steps + part->steps);
	rest.tokens -= n * (l->max_tokens + part->tokens);
	if (l->max_cost_micros > 0)
		rest.cost_micros -= n *
				    (l->max_cost_micros + part->cost_micros);
	return rest;
}

/* Whose agent, and with which model? */
static SUSPENDS enum as_status
child_agent(struct call *c, struct json_object *args, struct run_child *k)
{
	struct work *w = c->t->w;
	const struct world *world = w->e->c.world;
	struct agent *a = w->agent;
	char model[256];
	const char *id = jget_str(args, "agent", NULL);
	enum as_status st;

	k->agent_id = w->state.agent_id;
	k->model = w->model;
	if (id == NULL)
		return AS_OK;
	if (!uuid_parse(id, &k->agent_id))
		return error_field(&c->err, "/agent", "is no id of an agent");
	st = world->agent(world->arg, k->agent_id, c->t->arena, &a, &c->err);
	if (st != AS_OK && st != AS_NOTFOUND)
		return st;
	if (st == AS_NOTFOUND || a->deleted ||
	    !uuid_equal(a->tenant_id, w->state.tenant_id) ||
	    (!a->is_public && !uuid_equal(a->user_id, w->state.user_id))) {
		error_clear(&c->err);
		return error_not_found(&c->err, "agent", id);
	}
	if (strcmp(a->state, "ready") != 0 ||
	    !world->model(world->arg, a->model_name, model, sizeof(model)))
		return error_set(&c->err, ERR_AGENT_NOT_READY,
		    "the agent '%s' cannot work now", a->name);
	k->model = arena_strdup(c->t->arena, model);
	return AS_OK;
}

/* n: how many of this answer go before it. */
static enum as_status
child_may(struct call *c, int n)
{
	const struct engine_limits *l = &c->t->w->e->c.limits;

	if (!builtin_find(c->t->w, c->row.tool)->offered(c->t->w))
		return error_set(&c->err, ERR_NOT_FOUND, "no tool named '%s'",
		    c->row.tool);
	if (n >= l->subagents)
		return error_set(&c->err, ERR_LIMIT_REACHED,
		    "an answer may begin %d subagents", l->subagents);
	return AS_OK;
}

static bool
is_enough(const struct engine_limits *l, const struct run_budget *part)
{
	return l->max_steps + part->steps > 0 &&
	       l->max_tokens + part->tokens > 0 &&
	       (l->max_cost_micros == 0 ||
		   l->max_cost_micros + part->cost_micros > 0);
}

/* Its first message is its task; nobody has said it before. */
static void
child_message(struct work *w, struct run_child *k, struct arena *arena,
    const char *task, int64_t sequence, int64_t now_us)
{
	struct run_message *m = &k->message;
	struct buf parts = { 0 };

	run_parts_of_text(&parts, task, strlen(task));
	m->id = engine_new_id(w->e);
	m->role = "user";
	m->content = arena_strdup(arena, task);
	m->parts = arena_strndup(arena, parts.data, parts.len);
	m->state = "final";
	m->sequence = sequence;
	m->created_at = now_us;
	buf_free(&parts);
}

static void
child_events(struct work *w, const struct call *c, struct run_child *k)
{
	struct buf b = { 0 };

	run_message_created(k->events, &k->message, w->thread_id, k->run_id);
	jw_open(&b, NULL);
	jw_str(&b, "status", "running");
	jw_str(&b, "state", run_status_name(RUN_QUEUED));
	jw_str(&b, "reason", "created");
	jw_uuid(&b, "parent_run_id", w->run_id);
	jw_str(&b, "tool_call_id", c->row.call_id);
	jw_close(&b);
	event_list_add(k->events, "run_status", &b);
}

static SUSPENDS enum as_status
child_make(struct call *c, struct run_child *k, int n)
{
	struct work *w = c->t->w;
	struct json_object *args = NULL;
	const char *task;
	char id[UUID_TEXT];
	enum as_status st;

	st = child_may(c, n);
	if (st == AS_OK && (json_parse(c->row.args, strlen(c->row.args), &args,
				NULL) != AS_OK ||
			       !json_object_is_type(args, json_type_object)))
		st = error_field(&c->err, "",
		    "arguments are not a JSON object");
	task = jget_str(args, "description", "");
	if (st == AS_OK && task[0] == '\0')
		st = error_field(&c->err, "/description", "is required");
	if (st == AS_OK)
		st = child_agent(c, args, k);
	if (st == AS_OK) {
		uuid_format(c->row.id, id);
		k->run_id = engine_new_id(w->e);
		k->call_id = c->row.id;
		k->ns = arena_printf(c->t->arena, "%s%stask:%s", w->state.ns,
		    w->state.ns[0] != '\0' ? "|" : "", id);
		/* The rest needs the commit's numbers. */
		k->message.content = arena_strdup(c->t->arena, task);
	}
	json_object_put(args);
	return st;
}

static void
call_refuse(struct call *c, enum as_status st)
{
	c->st = st;
	c->outcome = "failed";
	c->begun = c->done = true;
}

static void
waits_event(struct work *w, struct work_commit *wc)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "status", "running");
	jw_str(&b, "state", run_status_name(RUN_WAITING_CHILD));
	jw_str(&b, "reason", "subagents");
	jw_open_list(&b, "subagents");
	for (int i = 0; i < wc->c.n_children; i++)
		jw_uuid(&b, NULL, wc->children[i].run_id);
	jw_close_list(&b);
	run_usage_write(&b, "usage", &w->state.usage);
	jw_close(&b);
	event_list_add(&wc->events, "run_status", &b);
}

static int64_t
child_deadline(const struct work *w, int64_t now_us)
{
	struct engine_limits l = run_limits(&w->e->c.limits,
	    w->state.root_kind);
	int64_t at = now_us + l.max_wall_ms * 1000;

	return w->state.deadline_at > 0 && w->state.deadline_at < at
		   ? w->state.deadline_at
		   : at;
}

static SUSPENDS enum as_status
spawn_commit(struct tools *t, struct run_child *kids, struct call **calls,
    int n, const struct run_budget *part, struct error *err)
{
	struct work *w = t->w;
	struct run_budget rest = budget_rest(w, part, n);
	struct work_commit wc;
	enum as_status st;

	work_commit_init(w, &wc);
	wc.c.children = wc.children = kids;
	wc.c.n_children = n;
	for (int i = 0; i < n; i++) {
		kids[i].events = arena_alloc(wc.arena,
		    sizeof(struct event_list));
		kids[i].budget = budget_text(wc.arena, part);
		kids[i].deadline_at = child_deadline(w, wc.c.now_us);
		child_message(w, &kids[i], wc.arena, kids[i].message.content,
		    wc.c.heads.msg_seq + i, wc.c.now_us);
		child_events(w, calls[i], &kids[i]);
	}
	wc.c.to = RUN_WAITING_CHILD;
	wc.c.budget = budget_text(wc.arena, &rest);
	asks_raise(t, &wc);
	waits_event(w, &wc);
	FAILPOINT("child.pre_spawn");
	st = work_commit(w, &wc, err);
	FAILPOINT("child.post_spawn");
	if (st == AS_OK) {
		t->parked = true;
		w->n_unsent = 0;
		engine_starve(w->e);
	}
	for (int i = 0; i < n; i++)
		event_list_clear(kids[i].events);
	work_commit_fini(&wc);
	return st;
}

SUSPENDS enum as_status
child_spawn(struct tools *t, struct error *err)
{
	int n = n_pending(t), k = 0;
	struct run_child *kids = arena_alloc(t->arena,
	    (size_t)n * sizeof(*kids));
	struct call **calls = arena_alloc(t->arena,
	    (size_t)n * sizeof(struct call *));
	struct run_budget part = budget_part(t->w, n);
	enum as_status st;

	for (int i = 0; i < t->n; i++) {
		struct call *c = &t->calls[i];

		if (!is_pending(c))
			continue;
		calls[k] = c;
		st = child_make(c, &kids[k], k);
		if (st == AS_OK)
			k++;
		else
			call_refuse(c, st);
	}
	/* What cannot be is said first; then the others share what is left. */
	if (k < n)
		return AS_OK;
	if (is_enough(&t->w->e->c.limits, &part))
		return spawn_commit(t, kids, calls, n, &part, err);
	for (int i = 0; i < n; i++)
		call_refuse(calls[i],
		    error_set(&calls[i]->err, ERR_LIMIT_REACHED,
			"too little is left of this run's limits"));
	return AS_OK;
}

/* ---- Its end ------------------------------------------------------- */

static const char *
last_word(const struct work_commit *wc, size_t max)
{
	const char *text = "";

	for (int i = 0; i < wc->c.n_messages; i++)
		if (strcmp(wc->messages[i].role, "assistant") == 0)
			text = wc->messages[i].content;
	if (text[0] == '\0')
		return "(The subagent ended without a word.)";
	return strlen(text) <= max
		   ? text
		   : arena_strndup(wc->arena, text, text_utf8_whole(text, max));
}

/* As the engine words the failure of any call. */
static const char *
failure_word(const struct work_commit *wc, const char *code)
{
	struct json_object *o = NULL;
	const char *text;

	if (wc->c.error != NULL)
		(void)json_parse(wc->c.error, strlen(wc->c.error), &o, NULL);
	text = arena_printf(wc->arena, "Error %s: the subagent ended as %s%s%s",
	    code, run_status_name(wc->c.to), o != NULL ? ": " : "",
	    jget_str(o, "message", ""));
	json_object_put(o);
	return text;
}

static void
tell_call(struct work *w, struct work_commit *wc)
{
	struct run_tool *t = &wc->c.tell.call;

	t->id = w->state.parent_call_id;
	if (wc->c.to == RUN_SUCCEEDED) {
		t->state = "succeeded";
		t->result = last_word(wc, w->e->c.limits.max_output);
		return;
	}
	t->state = "failed";
	t->error_code = wc->c.error_code != NULL ? wc->c.error_code
						 : error_name(ERR_CANCELED);
	t->result = failure_word(wc, t->error_code);
}

/* What it has not used goes back, or it has used more than its part. */
static const char *
tell_budget(struct work *w, struct work_commit *wc)
{
	const struct engine_limits *l = &w->e->c.limits;
	struct run_budget b;

	run_budget_parse(&b, w->state.parent.budget);
	b.steps += l->max_steps + w->granted.steps -
		   (w->state.step + (wc->c.advance ? 1 : 0) + 1) / 2;
	b.tokens += l->max_tokens + w->granted.tokens -
		    (w->state.usage.input + w->state.usage.output);
	if (l->max_cost_micros > 0)
		b.cost_micros += l->max_cost_micros + w->granted.cost_micros -
				 (w->state.cost_micros + wc->c.cost_micros);
	return budget_text(wc->arena, &b);
}

void
child_tell(struct work *w, struct work_commit *wc)
{
	struct run_tell *t = &wc->c.tell;

	if (run_is_open(wc->c.to) || uuid_is_nil(w->state.parent_run_id) ||
	    w->state.parent.pending_children == 0)
		return;
	event_list_clear(&wc->told);
	t->run_id = w->state.parent_run_id;
	t->parent_ns = w->state.parent.ns;
	t->run_seq = w->state.parent.run_seq;
	t->last = w->state.parent.pending_children == 1;
	t->budget = tell_budget(w, wc);
	t->events = &wc->told;
	tell_call(w, wc);
	if (t->last && w->state.parent.status == RUN_WAITING_CHILD)
		event_list_add_status(&wc->told, RUN_QUEUED, "subagents_ended",
		    NULL, NULL);
}

/* ---- Ending all of them -------------------------------------------- */

static SUSPENDS void
end_children(struct work *w)
{
	bool rollback = w->state.cancel_mode != NULL &&
			strcmp(w->state.cancel_mode, "discard") == 0;
	struct engine_resume how = { .reason = "parent_cancelled",
		.items_close = "dismissed" };
	struct run_claim *list = NULL;
	bool asked;
	int n = 0;

	if (run_store_children(w->e->c.runs, w->run_id, &list, &n, NULL) !=
	    AS_OK)
		n = 0;
	for (int i = 0; i < n; i++)
		(void)engine_cancel(w->e, list[i].run_id, rollback, &how,
		    &asked, NULL);
	free(list);
}

SUSPENDS bool
child_end_all(struct work *w)
{
	uint64_t until = loop_now_ms(w->e->c.loop) + END_ALL_MS;
	struct run_state now;

	while (w->state.pending_children > 0 && !w->lost && !w->drain) {
		end_children(w);
		if (run_store_state(w->e->c.runs, w->run_id, w->arena, &now,
			NULL) == AS_OK) {
			if (now.fence != w->state.fence)
				return false;
			w->state.pending_children = now.pending_children;
		}
		if (w->state.pending_children == 0)
			break;
		if (loop_now_ms(w->e->c.loop) >= until ||
		    fiber_sleep(END_LOOK_MS) != FIBER_WOKEN)
			return false;
	}
	return w->state.pending_children == 0;
}
