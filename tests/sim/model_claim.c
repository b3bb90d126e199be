/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/model_store.h"

/*
 * Which jobs a claim takes (as in run_claim.c), said the long way: all jobs are
 * looked at, each rule is applied to all of them, one after the other.
 */

struct candidate {
	struct model_job *j;
	int lane;
	int64_t turn, at;
};

struct candidates {
	struct candidate *list;
	int n;
};

static bool
is_ready(const struct model *m, const struct model_job *j)
{
	return !uuid_is_nil(j->run_id) && j->state == 0 &&
	       j->run_at <= model_now_us(m);
}

int
model_lane(const struct model *m, const struct run_claim_ask *ask,
    const struct model_job *j)
{
	int64_t age = ask->promote_us[j->class];

	if (j->class > 0 && age > 0 && j->run_at <= model_now_us(m) - age)
		return j->class - 1;
	return j->class;
}

static bool
is_older(const struct model_job *a, const struct model_job *b)
{
	return a->run_at != b->run_at ? a->run_at < b->run_at : a->id < b->id;
}

/* ---- Who is looked at ---------------------------------------------- */

/* Tenants with a job of the class, ready or not, from one to another. */
static int64_t
tenants_between(const struct model *m, int class, struct uuid lo,
    struct uuid hi)
{
	int64_t n = 0;

	for (int i = 0; i < m->jobs.n; i++) {
		const struct model_job *j = m->jobs.rows[i];
		bool first = !uuid_is_nil(j->run_id) && j->state == 0 &&
			     j->class == class &&
			     uuid_compare(j->tenant_id, lo) > 0 &&
			     uuid_compare(j->tenant_id, hi) <= 0;

		for (int k = 0; first && k < i; k++) {
			const struct model_job *o = m->jobs.rows[k];

			first = uuid_is_nil(o->run_id) || o->state != 0 ||
				o->class != class ||
				!uuid_equal(o->tenant_id, j->tenant_id);
		}
		n += first ? 1 : 0;
	}
	return n;
}

static bool
tenant_is_near(const struct model *m, const struct run_claim_ask *ask,
    const struct model_job *j)
{
	struct uuid from = { { 0 } };

	if (uuid_compare(j->tenant_id, ask->after) > 0)
		from = ask->after;
	return tenants_between(m, j->class, from, j->tenant_id) <=
	       run_claim_tenants(ask);
}

/* Of its tenant and class, how many come before it? */
static int
before_it(const struct model *m, const struct model_job *j)
{
	int n = 0;

	for (int i = 0; i < m->jobs.n; i++) {
		const struct model_job *o = m->jobs.rows[i];

		if (is_ready(m, o) && o->class == j->class &&
		    uuid_equal(o->tenant_id, j->tenant_id) && is_older(o, j))
			n++;
	}
	return n;
}

static void
candidates_find(struct model *m, const struct run_claim_ask *ask,
    struct candidates *c, bool all)
{
	c->list = xcalloc((size_t)m->jobs.n + 1, sizeof(*c->list));
	for (int i = 0; i < m->jobs.n; i++) {
		struct model_job *j = m->jobs.rows[i];

		if (!is_ready(m, j) ||
		    (!all && (before_it(m, j) >= run_claim_each(ask) ||
				 !tenant_is_near(m, ask, j))))
			continue;
		c->list[c->n++] = (struct candidate){ .j = j,
			.lane = model_lane(m, ask, j) };
	}
}

/* ---- Whose turn it is ---------------------------------------------- */

static int64_t
at_work(const struct model *m, const struct run_claim_ask *ask,
    struct uuid tenant)
{
	int64_t n = 0;

	for (int i = 0; i < m->jobs.n; i++) {
		const struct model_job *j = m->jobs.rows[i];

		if (!uuid_is_nil(j->run_id) && j->state == 1 &&
		    j->owner_epoch == ask->epoch &&
		    uuid_equal(j->tenant_id, tenant))
			n++;
	}
	return n;
}

/* What is at work counts for nothing where all are of one tenant. */
static void
turns_count(const struct model *m, const struct run_claim_ask *ask,
    struct candidates *c)
{
	bool several = false;

	for (int i = 1; i < c->n; i++)
		several = several || !uuid_equal(c->list[i].j->tenant_id,
					 c->list[0].j->tenant_id);
	for (int i = 0; i < c->n; i++) {
		struct candidate *x = &c->list[i];

		x->turn = several ? at_work(m, ask, x->j->tenant_id) : 0;
		for (int k = 0; k < c->n; k++) {
			const struct candidate *o = &c->list[k];

			if (o->lane == x->lane &&
			    uuid_equal(o->j->tenant_id, x->j->tenant_id) &&
			    !is_older(x->j, o->j))
				x->turn++;
		}
	}
}

static bool
is_before(const struct candidate *a, const struct candidate *b)
{
	return a->turn != b->turn ? a->turn < b->turn : is_older(a->j, b->j);
}

static void
lanes_merge(const struct run_claim_ask *ask, struct candidates *c)
{
	for (int i = 0; i < c->n; i++) {
		struct candidate *x = &c->list[i];
		int64_t place = 1;

		for (int k = 0; k < c->n; k++)
			if (c->list[k].lane == x->lane &&
			    is_before(&c->list[k], x))
				place++;
		x->at = (ask->running[x->lane] + place) *
			run_claim_stride(ask, x->lane);
	}
}

static int
by_turn(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->lane - y->lane;
}

/* Is there room for all that is due?  Then nobody is left out. */
static bool
all_go(const struct model *m, const struct run_claim_ask *ask)
{
	int n = 0, others = 0;

	for (int i = 0; i < m->jobs.n; i++) {
		const struct model_job *j = m->jobs.rows[i];

		n += is_ready(m, j) ? 1 : 0;
		others += is_ready(m, j) && j->class != 0 ? 1 : 0;
	}
	return n <= ask->max && others <= ask->max_other;
}

void
model_claim_jobs(struct model *m, const struct run_claim_ask *ask)
{
	struct candidates c = { 0 };
	int n = 0, others = 0;

	candidates_find(m, ask, &c, all_go(m, ask));
	turns_count(m, ask, &c);
	lanes_merge(ask, &c);
	qsort(c.list, (size_t)c.n, sizeof(*c.list), by_turn);
	for (int i = 0; i < c.n && n < ask->max; i++) {
		struct model_job *j = c.list[i].j;

		if (j->class != 0 && others++ >= ask->max_other)
			continue;
		j->state = 1;
		j->owner_epoch = ask->epoch;
		j->leased_at = model_now_us(m);
		j->attempts++;
		n++;
	}
	free(c.list);
}
