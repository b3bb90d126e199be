/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/letter.h"

/*
 * People: each thread has one who writes, waits for the end, and writes again.
 * They reach the store through a node that serves, as the API does
 * (core/chat/send.c, core/chat/runs.c), and repeat what they do not know to
 * have arrived under the same client_message_id.
 */

#define THINK_MS 3000
#define PATIENCE_MS 90000 /* nobody begins anything after that */
#define CROWD_MS 5000 /* between two letters of the crowd, at most */
#define CROWD_TRIES 4

/* People of three classes and two tenants, each with a thread. */
#define N_TENANTS 2

static struct uuid
tenant_of(int thread)
{
	struct uuid id = letter_tenant;

	id.b[14] = (uint8_t)(thread % N_TENANTS);
	return id;
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
		l = (struct letter){ .class = c->thread % RUN_CLASSES,
			.multitask = RUN_ENQUEUE };
		if (fiber_sleep(rng_below(&c->rng, THINK_MS)) != FIBER_WOKEN ||
		    !client_sends(c, &l))
			break;
		client_waits(c, &l);
	}
	s->n_clients--;
	free(c);
}

/* ---- The crowd ----------------------------------------------------- */

#define CROWD_LETTERS 7

/* Says something wherever somebody is at work, and waits for nothing. */
static SUSPENDS void
crowd_main(void *arg)
{
	struct client *c = arg;
	struct sim *s = c->sim;
	enum as_status st = AS_BUSY;

	c->thread = (int)rng_below(&c->rng, SIM_THREADS);
	for (int i = 0; i < CROWD_LETTERS && is_patient(c); i++) {
		struct letter l = { .multitask = (enum run_multitask)(
					RUN_REJECT + rng_below(&c->rng, 5)) };

		/* Often in one moment, often in the same thread. */
		if (rng_chance(&c->rng, 600) &&
		    fiber_sleep(rng_below(&c->rng, CROWD_MS)) != FIBER_WOKEN)
			break;
		if (rng_chance(&c->rng, 500))
			c->thread = (int)rng_below(&c->rng, SIM_THREADS);
		l.class = c->thread % RUN_CLASSES;
		snprintf(l.client_id, sizeof(l.client_id), "x%d", i);
		for (int k = 0; k < CROWD_TRIES && is_patient(c); k++) {
			st = client_try(c, &l);
			if (st == AS_OK ||
			    fiber_sleep(20 + rng_below(&c->rng, 200)) !=
				FIBER_WOKEN)
				break;
		}
		sim_trace(s, "crowd: %s in thread %d: %s",
		    run_multitask_name(l.multitask), c->thread,
		    st == AS_OK ? sim_short(l.run_id) : "no");
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
		.by = letter_user,
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
	struct engine_resume how = { .reason = "user",
		.items_close = "dismissed" };
	struct uuid id = t->active_run_id;
	bool asked = false;

	/* Or what waits behind it. */
	if (rng_chance(&r, 300) && model_first_blocked(s->model, t->id) != NULL)
		id = model_first_blocked(s->model, t->id)->id;
	if (n == NULL || uuid_is_nil(id))
		return;
	n->n_users++;
	sim_trace(s, "client %d cancels %s", thread, sim_short(id));
	(void)engine_cancel(n->engine, id, rollback, &how, &asked, NULL);
	n->n_users--;
}

/* ---- All of them ---------------------------------------------------- */

static struct client *
client_new(struct sim *s, int thread)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->sim = s;
	c->thread = thread;
	c->rng.state = s->seed * 999983 + (uint64_t)thread;
	s->n_clients++;
	return c;
}

void
clients_start(struct sim *s)
{
	MUST(fiber_spawn(s->loop, "operator", operator_main, s).f != NULL);
	people_start(s);
	for (int i = 0; i < SIM_THREADS; i++) {
		s->threads[i] = sim_id(s);
		MUST(run_store_thread_create(&s->model->store, s->threads[i],
			 tenant_of(i), letter_user, letter_agent, "",
			 NULL) == AS_OK);
		s->readers[i] = bus_subscribe(s->bus, s->threads[i],
		    oracle_frame, s);
		MUST(fiber_spawn(s->loop, "client", client_main,
			 client_new(s, i))
			 .f != NULL);
	}
	MUST(fiber_spawn(s->loop, "crowd", crowd_main,
		 client_new(s, SIM_THREADS))
		 .f != NULL);
}
