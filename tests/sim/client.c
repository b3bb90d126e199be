/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/run/wire.h"
#include "tests/sim/node.h"

/*
 * People: each thread has one who writes, waits for the end, and writes again.
 * They reach the store through a node that serves, as the API does
 * (core/chat/send.c, core/chat/runs.c), and repeat what they do not know to
 * have arrived under the same client_message_id.
 */

#define THINK_MS 3000
#define PATIENCE_MS 90000 /* nobody begins anything after that */

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };
static const struct uuid user = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0,
    0, 0, 2 } };
static const struct uuid agent = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 3 } };

/* People of three classes and two tenants, each with a thread. */
#define N_TENANTS 2

struct letter {
	struct sim_node *node;
	int class;
	struct thread_state thread;
	struct uuid run_id, message_id, answer_id;
	char client_id[32];
};

static struct uuid
tenant_of(int thread)
{
	struct uuid id = tenant;

	id.b[14] = (uint8_t)(thread % N_TENANTS);
	return id;
}

/* ---- Send ---------------------------------------------------------- */

static void
message_fill(struct letter *l, struct run_message *m, int64_t now_us)
{
	m->id = l->message_id;
	m->parent_id = l->thread.last_message_id;
	m->role = "user";
	m->content = "go";
	m->parts = "[{\"type\":\"text\",\"text\":\"go\"}]";
	m->state = "final";
	m->client_message_id = l->client_id;
	m->sequence = l->thread.heads.msg_seq;
	m->created_at = now_us;
}

static void
events_fill(struct letter *l, struct event_list *events,
    const struct run_message *m, bool owned)
{
	run_message_created(events, m, l->thread.id, l->run_id);
	event_list_add_status(events, owned ? RUN_RUNNING : RUN_QUEUED,
	    owned ? "started" : "created", NULL, NULL);
	if (owned)
		run_message_started(events, l->answer_id, 1, "sim/sim");
}

static SUSPENDS void
letter_begins(struct letter *l, struct work *w)
{
	struct arena *arena = arena_new(NULL);
	struct engine *e = l->node->engine;
	struct agent *a = NULL;

	/* The agent is loaded by the run itself. */
	if (engine_begin(w, l->answer_id, a, arena, NULL) != AS_OK)
		(void)run_store_release(&l->node->link, engine_epoch(e),
		    l->thread.id, l->run_id, NULL);
}

static SUSPENDS enum as_status
letter_create(struct letter *l)
{
	struct engine *e = l->node->engine;
	struct event_list events = { 0 };
	/* Who chats does not wait for a slot that is free. */
	bool owned = l->class == 0 && engine_has_slot(e);
	struct work *w = NULL;
	struct run_create c = { .run_id = l->run_id,
		.thread_id = l->thread.id,
		.agent_id = l->thread.agent_id,
		.tenant_id = l->thread.tenant_id,
		.user_id = user,
		.kind = l->class == 0 ? "interactive" : "ambient",
		.class = l->class,
		.model = "sim/sim",
		.correlation_id = "sim",
		.traceparent = "",
		.title = "go",
		.heads = l->thread.heads,
		.owner_epoch = owned ? engine_epoch(e) : 0,
		.now_us = engine_now_us(e),
		.events = &events };
	enum as_status st;

	c.heads.run_seq = 0;
	c.deadline_at = c.now_us + engine_limits(e)->max_wall_ms * 1000;
	message_fill(l, &c.message, c.now_us);
	events_fill(l, &events, &c.message, owned);
	if (owned)
		w = engine_expect(e, &c);
	st = run_store_create(&l->node->link, &c, NULL);
	if (st == AS_OK)
		engine_publish(l->node->sim->bus, l->thread.id, l->run_id,
		    &c.heads, &events, c.now_us);
	if (st == AS_OK && owned)
		letter_begins(l, w);
	else if (owned)
		engine_forget(w, st);
	else if (st == AS_OK)
		engine_starve(e);
	event_list_clear(&events);
	return st;
}

/* A run that waits for a decision is ended by the next message. */
static SUSPENDS enum as_status
make_way(struct letter *l)
{
	struct arena *arena = arena_new(NULL);
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };
	struct run_state run;
	enum as_status st = run_store_state(&l->node->link,
	    l->thread.active_run_id, arena, &run, NULL);

	if (st == AS_OK && (run.status == RUN_RECOVERABLE_ERROR ||
			       run.status == RUN_WAITING_HUMAN))
		(void)engine_end(l->node->engine, run.id, RUN_CANCELLED, &how,
		    NULL);
	arena_free(arena);
	return AS_BUSY;
}

/* AS_OK: the run is l->run_id; AS_BUSY: another one holds the thread. */
static SUSPENDS enum as_status
letter_send(struct letter *l, struct uuid thread_id, struct uuid tenant_id)
{
	struct run_store *link = &l->node->link;
	enum as_status st;
	int64_t seq = 0;

	st = run_store_thread(link, thread_id, tenant_id, user, &l->thread,
	    NULL);
	if (st == AS_OK)
		st = run_store_by_client_id(link, thread_id, l->client_id,
		    &l->message_id, &l->run_id, &seq, NULL);
	if (st != AS_OK || !uuid_is_nil(l->run_id))
		return st;
	if (!uuid_is_nil(l->thread.active_run_id))
		return make_way(l);
	l->run_id = sim_id(l->node->sim);
	l->message_id = sim_id(l->node->sim);
	l->answer_id = sim_id(l->node->sim);
	return letter_create(l);
}

/* ---- One person ---------------------------------------------------- */

struct client {
	struct sim *sim;
	int thread;
	int n_letters;
	struct rng rng;
};

static bool
is_patient(const struct client *c)
{
	return !c->sim->over && sim_ms(c->sim) < PATIENCE_MS;
}

/* One try over one node. */
static SUSPENDS enum as_status
client_try(struct client *c, struct letter *l)
{
	struct sim_node *n = node_any(c->sim, &c->rng);
	enum as_status st;

	if (n == NULL)
		return AS_UNAVAILABLE;
	n->n_users++;
	l->node = n;
	fiber_deadline_set(loop_now_ms(c->sim->loop) + 10000);
	st = letter_send(l, c->sim->threads[c->thread], tenant_of(c->thread));
	fiber_deadline_set(0);
	n->n_users--;
	return st;
}

static SUSPENDS bool
client_sends(struct client *c, struct letter *l)
{
	struct sim *s = c->sim;
	enum as_status st;

	snprintf(l->client_id, sizeof(l->client_id), "m%d.%d", c->thread,
	    c->n_letters++);
	while (is_patient(c)) {
		st = client_try(c, l);
		if (st == AS_OK) {
			s->n_runs++;
			sim_trace(s, "client %d: run %s is accepted", c->thread,
			    sim_short(l->run_id));
			return true;
		}
		if (fiber_sleep(100 + rng_below(&c->rng, 400)) != FIBER_WOKEN)
			break;
	}
	return false;
}

static SUSPENDS void
client_waits(struct client *c, const struct letter *l)
{
	const struct model_run *r = model_run(c->sim->model, l->run_id);

	while (!c->sim->over && r != NULL && run_is_open(r->status)) {
		if (fiber_sleep(500) != FIBER_WOKEN)
			return;
		if (r->status == RUN_RECOVERABLE_ERROR &&
		    rng_chance(&c->rng, 50))
			return; /* and says something else */
		if (r->status == RUN_WAITING_HUMAN && rng_chance(&c->rng, 20))
			return;
	}
}

static SUSPENDS void
client_main(void *arg)
{
	struct client *c = arg;
	struct sim *s = c->sim;
	struct letter l;

	while (s->n_runs < SIM_RUNS) {
		l = (struct letter){ .class = c->thread % RUN_CLASSES };
		if (fiber_sleep(rng_below(&c->rng, THINK_MS)) != FIBER_WOKEN ||
		    !client_sends(c, &l))
			break;
		client_waits(c, &l);
	}
	s->n_clients--;
	free(c);
}

/* ---- The operator --------------------------------------------------- */

#define OPERATOR_MS 1500

/* The truth, as far as the service shows it by now. */
static void
outcome_decide(struct sim *s, const struct model_tool *row, struct rng *r,
    struct run_tool *out)
{
	const char *answer = witness_answer(s, row->t.idem_key);
	static char key[RUN_IDEM_KEY];

	*out = row->t;
	out->resolution = "operator";
	if (answer != NULL) {
		out->state = "succeeded";
		out->result = answer;
	} else if (rng_chance(r, 500) &&
		   row->t.deadline_us < model_now_us(s->model)) {
		out->state = "planned";
		run_idem_key(row->run_id, "", row->t.step, row->t.ordinal,
		    ++s->n_decisions, key);
		out->idem_key = key;
	} else {
		out->state = "skipped";
		out->result = "Skipped by the operator.";
	}
}

static const struct model_tool *
unknown_of(const struct sim *s, const struct model_item *item)
{
	for (int i = 0; i < s->model->tools.n; i++) {
		const struct model_tool *t = s->model->tools.rows[i];

		if (uuid_equal(t->run_id, item->run_id) &&
		    t->t.step == item->step &&
		    t->t.ordinal == item->i.ordinal &&
		    strcmp(t->t.state, "unknown") == 0)
			return t;
	}
	return NULL;
}

static SUSPENDS void
item_answer(struct sim *s, struct sim_node *n, const struct model_item *item,
    struct rng *r)
{
	const struct model_tool *t = unknown_of(s, item);
	struct engine_resume how = { .reason = "retry",
		.items_close = "answered",
		.item_id = item->i.id,
		.by = user,
		.response_type = "respond",
		.response = "{}" };
	struct run_tool decided;
	enum as_status st;

	if (strcmp(item->i.kind, "outcome") == 0) {
		if (t == NULL)
			return;
		outcome_decide(s, t, r, &decided);
		how.decided = &decided;
	} else
		how.extend = true;
	n->n_users++;
	st = engine_resume(n->engine, item->run_id, &how, NULL);
	n->n_users--;
	sim_trace(s, "operator: %s of %s: %d", item->i.kind,
	    sim_short(item->run_id), (int)st);
}

static SUSPENDS void
operator_main(void *arg)
{
	struct sim *s = arg;
	struct rng r = { s->seed * 7919 };

	while (!s->over &&
	       fiber_sleep(500 + rng_below(&r, OPERATOR_MS)) == FIBER_WOKEN) {
		struct sim_node *n = node_any(s, &r);

		for (int i = 0; n != NULL && i < s->model->items.n; i++) {
			const struct model_item *item = s->model->items.rows[i];
			const struct model_run *run = model_run(s->model,
			    item->run_id);

			if (strcmp(item->status, "pending") != 0 ||
			    run->status != RUN_RECOVERABLE_ERROR ||
			    !node_is_up(n))
				continue;
			item_answer(s, n, item, &r);
			break;
		}
	}
}

/* ---- Cancel -------------------------------------------------------- */

SUSPENDS void
client_cancel(struct sim *s, int thread, bool rollback)
{
	const struct model_thread *t = model_thread(s->model,
	    s->threads[thread]);
	struct rng r = { s->seed + sim_ms(s) };
	struct sim_node *n = node_any(s, &r);
	enum as_status st = AS_CONFLICT;

	if (n == NULL || uuid_is_nil(t->active_run_id))
		return;
	n->n_users++;
	sim_trace(s, "client %d cancels %s", thread,
	    sim_short(t->active_run_id));
	for (int i = 0; i < 16 && st == AS_CONFLICT; i++)
		st = engine_cancel(n->engine, t->active_run_id, rollback,
		    "user", NULL);
	n->n_users--;
}

/* ---- All of them ---------------------------------------------------- */

void
clients_start(struct sim *s)
{
	struct client *c;

	MUST(fiber_spawn(s->loop, "operator", operator_main, s).f != NULL);
	people_start(s);
	for (int i = 0; i < SIM_THREADS; i++) {
		s->threads[i] = sim_id(s);
		MUST(run_store_thread_create(&s->model->store, s->threads[i],
			 tenant_of(i), user, agent, "", NULL) == AS_OK);
		s->readers[i] = bus_subscribe(s->bus, s->threads[i],
		    oracle_frame, s);
		c = xcalloc(1, sizeof(*c));
		c->sim = s;
		c->thread = i;
		c->rng.state = s->seed * 999983 + (uint64_t)i;
		s->n_clients++;
		MUST(fiber_spawn(s->loop, "client", client_main, c).f != NULL);
	}
}
