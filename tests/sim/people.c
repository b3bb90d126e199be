/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/approval.h"
#include "tests/sim/node.h"

/*
 * Those who are asked: two people who look at the same items, and answer some
 * of a run's together, again, late, and over whichever node.  What they are
 * asked is the policy of the seed.
 */

#define PEOPLE 2
#define LOOK_MS 1800
#define ANSWERS_AT_ONCE 3

struct json_object *
people_policy(uint64_t seed)
{
	static const char *const policies[] = { NULL,
		"{\"default\":\"by_effect\",\"questions\":true}",
		"{\"default\":\"by_effect\",\"questions\":true,"
		"\"resume_when\":\"each\"}",
		NULL,
		"{\"default\":\"always\",\"questions\":true,"
		"\"resume_when\":\"each\",\"expires_s\":4}",
		"{\"default\":\"by_effect\",\"questions\":true,"
		"\"expires_s\":3,\"tools\":{\"t_K\":{\"when\":\"always\","
		"\"on_expire\":\"approve\"},\"t_U\":{\"when\":\"always\","
		"\"on_expire\":\"fail\"},\"t_V\":{\"when\":\"always\","
		"\"on_expire\":\"escalate\"}}}" };
	const char *text = policies[seed % N_ITEMS(policies)];
	struct json_object *o = NULL;

	if (text != NULL)
		MUST(json_parse(text, strlen(text), &o, NULL) == AS_OK);
	return o;
}

struct person {
	struct sim *sim;
	int number;
	struct rng rng;
	/* What was said last: it is said again now and then. */
	struct uuid run;
	struct engine_answer said[ANSWERS_AT_ONCE];
	char keys[ANSWERS_AT_ONCE][24], args[ANSWERS_AT_ONCE][32];
	int n, n_keys;
};

static struct uuid
person_id(const struct person *p)
{
	struct uuid id = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80 } };

	id.b[15] = (uint8_t)(0x10 + p->number);
	return id;
}

static bool
is_asked(const struct model_item *t)
{
	return strcmp(t->i.kind, "approval") == 0 ||
	       strcmp(t->i.kind, "question") == 0;
}

static const struct model_item *
item_by_id(const struct sim *s, struct uuid id)
{
	for (int i = 0; i < s->model->items.n; i++) {
		const struct model_item *t = s->model->items.rows[i];

		if (uuid_equal(t->i.id, id))
			return t;
	}
	return NULL;
}

/* ---- What they say ------------------------------------------------- */

static void
answer_make(struct person *p, const struct model_item *t)
{
	static const char *const types[] = { "accept", "edit", "response",
		"ignore" };
	bool question = strcmp(t->i.kind, "question") == 0;
	int k = p->n++;
	struct engine_answer *a = &p->said[k];

	snprintf(p->keys[k], sizeof(p->keys[k]), "key %d.%d", p->number,
	    ++p->n_keys);
	*a = (struct engine_answer){ .item_id = t->i.id,
		.type = types[question ? 2 + rng_below(&p->rng, 2)
				       : rng_below(&p->rng, 4)],
		.key = p->keys[k],
		.by = person_id(p) };
	if (strcmp(a->type, "edit") == 0)
		snprintf(p->args[k], sizeof(p->args[k]), "{\"x\":%u}",
		    1000 + rng_below(&p->rng, 1000));
	else
		snprintf(p->args[k], sizeof(p->args[k]), "\"said %d.%d\"",
		    p->number, p->n_keys);
	if (strcmp(a->type, "edit") == 0 || strcmp(a->type, "response") == 0)
		a->args = p->args[k];
}

/* Some items of one run, whose page may have been open for a while. */
static void
answers_make(struct person *p)
{
	const struct model_list *items = &p->sim->model->items;
	int first = (int)rng_below(&p->rng, (uint32_t)items->n + 1);
	bool late = rng_chance(&p->rng, 100);

	p->n = 0;
	for (int i = 0; i < items->n && p->n < ANSWERS_AT_ONCE; i++) {
		const struct model_item *t = items
						 ->rows[(first + i) % items->n];

		if (!is_asked(t) ||
		    (!late && strcmp(t->status, "pending") != 0) ||
		    (p->n > 0 && (!uuid_equal(t->run_id, p->run) ||
				     rng_chance(&p->rng, 400))))
			continue;
		p->run = t->run_id;
		answer_make(p, t);
	}
}

/* What was accepted is what the items say. */
static void
answers_check(struct person *p, enum as_status st)
{
	struct sim *s = p->sim;

	for (int i = 0; i < p->n && st == AS_OK; i++) {
		const struct model_item *t = item_by_id(s, p->said[i].item_id);

		if (t->response_key == NULL ||
		    strcmp(t->response_key, p->said[i].key) != 0)
			sim_violate(s, "I10",
			    "'%s' was accepted, the item says '%s'",
			    p->said[i].key,
			    t->response_key != NULL ? t->response_key : "");
	}
}

static SUSPENDS void
person_answers(struct person *p)
{
	struct sim *s = p->sim;
	struct sim_node *n = node_any(s, &p->rng);
	enum as_status st;

	if (n == NULL || p->n == 0)
		return;
	n->n_users++;
	fiber_deadline_set(loop_now_ms(s->loop) + 10000);
	st = engine_respond(n->engine, p->run, p->said, p->n, NULL);
	fiber_deadline_set(0);
	n->n_users--;
	sim_trace(s, "person %d: %d answers to %s, the first is %s: %d",
	    p->number, p->n, sim_short(p->run), p->said[0].type, (int)st);
	answers_check(p, st);
}

static SUSPENDS void
person_main(void *arg)
{
	struct person *p = arg;
	struct sim *s = p->sim;

	while (!s->over &&
	       fiber_sleep(100 + rng_below(&p->rng, LOOK_MS)) == FIBER_WOKEN) {
		if (s->model->items.n == 0)
			continue;
		if (p->n == 0 || !rng_chance(&p->rng, 250))
			answers_make(p);
		person_answers(p);
	}
	free(p);
}

void
people_start(struct sim *s)
{
	for (int i = 0; i < PEOPLE && s->approval != NULL; i++) {
		struct person *p = xcalloc(1, sizeof(*p));

		p->sim = s;
		p->number = i;
		p->rng.state = s->seed * 104729 + (uint64_t)i;
		MUST(fiber_spawn(s->loop, "person", person_main, p).f != NULL);
	}
}

/* ---- What must hold ------------------------------------------------ */

static const struct model_item *
item_of(const struct sim *s, const struct model_tool *t)
{
	for (int i = 0; i < s->model->items.n; i++) {
		const struct model_item *item = s->model->items.rows[i];

		if (is_asked(item) && uuid_equal(item->run_id, t->run_id) &&
		    item->step == t->t.step && item->i.ordinal == t->t.ordinal)
			return item;
	}
	return NULL;
}

static bool
is_yes(const struct model_item *item)
{
	return item != NULL && item->response_type != NULL &&
	       (strcmp(item->status, "answered") == 0 ||
		   strcmp(item->status, "expired") == 0) &&
	       (strcmp(item->response_type, "accept") == 0 ||
		   strcmp(item->response_type, "edit") == 0);
}

void
people_check_call(struct sim *s, const struct model_tool *t)
{
	const struct model_item *item = item_of(s, t);
	struct plug_tool_info info = { .name = t->t.tool };

	if (!approval_needed(s->approval, "interactive", &info, t->t.tool,
		t->t.effect))
		return;
	if (!is_yes(item))
		sim_violate(s, "I10", "%s was sent and not approved",
		    t->t.idem_key);
	else if (strcmp(item->response_type, "edit") == 0 &&
		 strcmp(item->response, t->t.args) != 0)
		sim_violate(s, "I10", "%s was sent with %s, approved was %s",
		    t->t.idem_key, t->t.args, item->response);
}

static bool
call_waits(const struct model_tool *t)
{
	return strcmp(t->t.state, "awaiting_approval") == 0 ||
	       strcmp(t->t.state, "parked") == 0;
}

/* What a person has said in the place of a call is its result. */
static void
result_check(struct sim *s, const struct model_tool *t,
    const struct model_item *item)
{
	if (item->response_type == NULL ||
	    strcmp(item->response_type, "response") != 0 ||
	    strcmp(t->t.state, "cancelled") == 0 || t->t.result == NULL)
		return;
	if (strncmp(item->response + 1, t->t.result, strlen(t->t.result)) != 0)
		sim_violate(s, "I10", "%s: '%s' was answered, its result is %s",
		    t->t.idem_key, item->response, t->t.result);
}

static void
call_check(struct sim *s, const struct model_tool *t)
{
	const struct model_run *r = model_run(s->model, t->run_id);
	const struct model_item *item = item_of(s, t);

	if (item == NULL) {
		if (call_waits(t) && r->status == RUN_WAITING_HUMAN)
			sim_violate(s, "I10", "%s waits and nobody is asked",
			    t->t.idem_key);
		return;
	}
	if (item->n_answers > 1)
		sim_violate(s, "I10", "%s was answered %d times", t->t.idem_key,
		    item->n_answers);
	if (call_waits(t) && r->status == RUN_WAITING_HUMAN &&
	    strcmp(item->status, "pending") != 0)
		sim_violate(s, "I10", "%s: its item is %s, and it still waits",
		    t->t.idem_key, item->status);
	result_check(s, t, item);
}

void
people_check_end(struct sim *s)
{
	for (int i = 0; i < s->model->tools.n; i++)
		call_check(s, s->model->tools.rows[i]);
	for (int i = 0; i < s->model->items.n; i++) {
		const struct model_item *t = s->model->items.rows[i];

		if (strcmp(t->status, "pending") == 0 &&
		    !run_is_open(model_run(s->model, t->run_id)->status) &&
		    is_asked(t))
			sim_violate(s, "I10",
			    "an item of a run that has ended is open");
	}
}
