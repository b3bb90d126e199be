/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model_store.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

/*
 * The tables, and who may work on what: nodes, claims, reaping (as in
 * run_claim.c).  Everything is a walk over a list: a simulated world is small.
 */

static void
list_free(struct model_list *l)
{
	free(l->rows);
}

void *
model_add(struct model *m, struct model_list *l, size_t size)
{
	void *row = arena_alloc(m->arena, size);

	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 16;
		l->rows = xrealloc(l->rows, (size_t)l->cap * sizeof(void *));
	}
	l->rows[l->n++] = row;
	return row;
}

void
model_tell(struct model *m, const struct model_change *c)
{
	if (m->changed != NULL)
		m->changed(m->changed_arg, c);
}

int64_t
model_now_us(const struct model *m)
{
	return m->now_us != 0 ? m->now_us : clock_wall_us();
}

struct model *
model_new(void)
{
	struct model *m = xcalloc(1, sizeof(*m));

	m->arena = arena_new(NULL);
	m->store.ops = &model_ops;
	m->store.arg = m;
	return m;
}

void
model_free(struct model *m)
{
	list_free(&m->threads);
	list_free(&m->runs);
	list_free(&m->messages);
	list_free(&m->events);
	list_free(&m->checkpoints);
	list_free(&m->tools);
	list_free(&m->items);
	list_free(&m->jobs);
	list_free(&m->dead);
	list_free(&m->nodes);
	list_free(&m->hooks);
	list_free(&m->outbox);
	arena_free(m->arena);
	free(m);
}

struct model_thread *
model_thread(const struct model *m, struct uuid id)
{
	for (int i = 0; i < m->threads.n; i++) {
		struct model_thread *t = m->threads.rows[i];

		if (uuid_equal(t->id, id))
			return t;
	}
	return NULL;
}

struct model_run *
model_run(const struct model *m, struct uuid id)
{
	for (int i = 0; i < m->runs.n; i++) {
		struct model_run *r = m->runs.rows[i];

		if (uuid_equal(r->id, id))
			return r;
	}
	return NULL;
}

struct model_job *
model_job(const struct model *m, struct uuid run_id)
{
	for (int i = 0; i < m->jobs.n; i++) {
		struct model_job *j = m->jobs.rows[i];

		if (uuid_equal(j->run_id, run_id))
			return j;
	}
	return NULL;
}

struct model_event *
model_event(const struct model *m, struct uuid thread_id, int64_t seq)
{
	for (int i = m->events.n - 1; i >= 0; i--) {
		struct model_event *e = m->events.rows[i];

		if (e->seq == seq && uuid_equal(e->thread_id, thread_id))
			return e;
	}
	return NULL;
}

struct model_tool *
model_tool(const struct model *m, const char *idem_key)
{
	for (int i = m->tools.n - 1; i >= 0; i--) {
		struct model_tool *t = m->tools.rows[i];

		if (strcmp(t->t.idem_key, idem_key) == 0)
			return t;
	}
	return NULL;
}

static enum as_status
thread_create(void *arg, struct uuid id, struct uuid tenant_id,
    struct uuid user_id, struct uuid agent_id, const char *title,
    struct error *err)
{
	struct model *m = arg;
	struct model_thread *t;

	if (model_thread(m, id) != NULL)
		return error_set(err, ERR_CONFLICT, "the row exists");
	t = model_add(m, &m->threads, sizeof(*t));
	t->id = id;
	t->tenant_id = tenant_id;
	t->user_id = user_id;
	t->agent_id = agent_id;
	t->title = arena_strdup(m->arena, title);
	t->status = "idle";
	t->next_msg_seq = 1;
	t->version = 1;
	return AS_OK;
}

/* ---- Nodes --------------------------------------------------------- */

static struct model_node *
node_find(const struct model *m, int64_t epoch)
{
	for (int i = 0; i < m->nodes.n; i++) {
		struct model_node *n = m->nodes.rows[i];

		if (n->epoch == epoch)
			return n;
	}
	return NULL;
}

static bool
node_is_alive(const struct model *m, const struct model_node *n)
{
	return n != NULL && n->lease_expires_at > model_now_us(m);
}

static enum as_status
node_join(void *arg, const char *name, const char *build, int64_t ttl_us,
    int64_t *epoch, struct error *err)
{
	struct model *m = arg;
	struct model_node *n = model_add(m, &m->nodes, sizeof(*n));

	(void)name, (void)build, (void)err;
	n->epoch = *epoch = ++m->last_epoch;
	n->lease_expires_at = model_now_us(m) + ttl_us;
	return AS_OK;
}

static enum as_status
node_renew(void *arg, int64_t epoch, int64_t ttl_us, struct error *err)
{
	struct model *m = arg;
	struct model_node *n = node_find(m, epoch);

	if (m->is_sqlite ? n == NULL || n->draining : !node_is_alive(m, n))
		return error_set(err, ERR_CONFLICT,
		    "the lease of node epoch %lld has run out",
		    (long long)epoch);
	n->lease_expires_at = model_now_us(m) + ttl_us;
	return AS_OK;
}

static enum as_status
node_leave(void *arg, int64_t epoch, struct error *err)
{
	struct model *m = arg;
	struct model_node *n = node_find(m, epoch);

	(void)err;
	if (node_is_alive(m, n)) {
		n->lease_expires_at = model_now_us(m);
		n->draining = true;
	}
	return AS_OK;
}

/* Nobody holds locks here: a node is dead when its lease is over. */
static enum as_status
node_guard(void *arg, int64_t epoch, int64_t silence_us, struct error *err)
{
	(void)arg, (void)epoch, (void)silence_us, (void)err;
	return AS_OK;
}

static enum as_status
node_doom(void *arg, int64_t epoch, int64_t lease_us, int *n, struct error *err)
{
	(void)arg, (void)epoch, (void)lease_us, (void)err;
	*n = 0;
	return AS_OK;
}

/* ---- Claim: see model_claim.c for which jobs ------------------------ */

static bool
run_is_claimed(const struct model *m, const struct model_run *r, int64_t epoch)
{
	const struct model_job *j = model_job(m, r->id);

	return (r->status == RUN_QUEUED || r->status == RUN_WAITING_TIMER ||
		   r->status == RUN_CANCELLING) &&
	       r->owner_epoch == 0 && j != NULL && j->state == 1 &&
	       j->owner_epoch == epoch;
}

static struct model_change
change_of(enum model_op op, const struct model_run *r, int64_t epoch)
{
	return (struct model_change){ .op = op,
		.run = r,
		.from = r->status,
		.fence = r->fence,
		.step = r->step,
		.owner_epoch = r->owner_epoch,
		.epoch = epoch };
}

static void
run_claim(struct model *m, struct model_run *r, int64_t epoch)
{
	struct model_change c = change_of(MODEL_CLAIM, r, epoch);

	if (r->status != RUN_CANCELLING)
		r->status = RUN_RUNNING;
	r->fence++;
	r->version++;
	r->owner_epoch = epoch;
	if (r->started_at == 0)
		r->started_at = model_now_us(m);
	model_tell(m, &c);
}

static enum as_status
claim(void *arg, const struct run_claim_ask *ask, struct run_claim **out,
    int *n, struct error *err)
{
	struct model *m = arg;
	struct run_claim *c;

	(void)err;
	*out = NULL;
	*n = 0;
	model_claim_jobs(m, ask);
	for (int i = 0; i < m->runs.n; i++) {
		struct model_run *r = m->runs.rows[i];

		if (!run_is_claimed(m, r, ask->epoch))
			continue;
		run_claim(m, r, ask->epoch);
		*out = xrealloc(*out, (size_t)(*n + 1) * sizeof(**out));
		c = &(*out)[(*n)++];
		*c = (struct run_claim){ .run_id = r->id,
			.thread_id = r->thread_id,
			.tenant_id = r->tenant_id,
			.class = r->class,
			.lane = model_lane(m, ask, model_job(m, r->id)) };
	}
	return AS_OK;
}

/* ---- Reap ---------------------------------------------------------- */

static bool
epoch_is_dead(const struct model *m, int64_t epoch)
{
	const struct model_node *n = node_find(m, epoch);

	return n != NULL && !node_is_alive(m, n);
}

static bool
is_held_in_vain(const struct model *m, const struct model_job *j, int64_t epoch,
    int64_t max_age_us)
{
	if (m->mutant == MODEL_REAP_ANY)
		return j->owner_epoch != epoch;
	if (j->leased_at < model_now_us(m) - max_age_us)
		return true;
	if (j->owner_epoch == epoch)
		return false;
	return epoch_is_dead(m, j->owner_epoch) ||
	       (node_find(m, j->owner_epoch) == NULL &&
		   j->leased_at < model_now_us(m) - RUN_UNKNOWN_US);
}

static void
job_free(struct model *m, struct model_job *j, enum model_op op, int64_t epoch)
{
	struct model_run *r = model_run(m, j->run_id);
	struct model_change c;
	int64_t leased_at = j->leased_at;

	j->state = 0;
	j->owner_epoch = j->leased_at = 0;
	j->run_at = model_now_us(m);
	if (r == NULL || !run_has_owner(r->status))
		return;
	c = change_of(op, r, epoch);
	c.leased_at = leased_at;
	if (r->status != RUN_CANCELLING)
		r->status = RUN_QUEUED;
	r->fence++;
	r->version++;
	r->owner_epoch = 0;
	model_tell(m, &c);
}

static enum as_status
reap(void *arg, int64_t epoch, bool all, int64_t max_age_us, int *n,
    struct error *err)
{
	struct model *m = arg;

	(void)err;
	*n = 0;
	for (int i = 0; all && i < m->nodes.n; i++) {
		struct model_node *node = m->nodes.rows[i];

		if (node->epoch != epoch &&
		    node->lease_expires_at > model_now_us(m))
			node->lease_expires_at = model_now_us(m);
	}
	for (int i = 0; i < m->jobs.n; i++) {
		struct model_job *j = m->jobs.rows[i];

		if (uuid_is_nil(j->run_id) || j->state != 1 ||
		    !is_held_in_vain(m, j, epoch, max_age_us))
			continue;
		job_free(m, j, MODEL_REAP, epoch);
		(*n)++;
	}
	return AS_OK;
}

static enum as_status
release(void *arg, int64_t epoch, struct uuid thread_id, struct uuid run_id,
    struct error *err)
{
	struct model *m = arg;
	struct model_job *j = model_job(m, run_id);

	(void)thread_id;
	if (j == NULL || j->state != 1 || j->owner_epoch != epoch)
		return error_set(err, ERR_NOT_FOUND,
		    "node epoch %lld does not hold this run", (long long)epoch);
	job_free(m, j, MODEL_RELEASE, epoch);
	return AS_OK;
}

/* ---- For the node that holds them ---------------------------------- */

static enum as_status
held(void *arg, int64_t epoch, struct run_claim **out, int *n,
    struct error *err)
{
	struct model *m = arg;

	(void)err;
	*out = NULL;
	*n = 0;
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];
		const struct model_job *j = model_job(m, r->id);

		if (j == NULL || j->state != 1 || j->owner_epoch != epoch)
			continue;
		*out = xrealloc(*out, (size_t)(*n + 1) * sizeof(**out));
		(*out)[(*n)++] = (struct run_claim){ .run_id = r->id,
			.thread_id = r->thread_id,
			.tenant_id = r->tenant_id,
			.class = r->class,
			.lane = r->class };
	}
	return AS_OK;
}

static enum as_status
cancelling(void *arg, int64_t epoch, struct run_cancelling **out, int *n,
    struct error *err)
{
	struct model *m = arg;

	(void)err;
	*out = NULL;
	*n = 0;
	for (int i = 0; i < m->runs.n; i++) {
		const struct model_run *r = m->runs.rows[i];
		const struct model_job *j = model_job(m, r->id);

		if (r->status != RUN_CANCELLING || j == NULL || j->state != 1 ||
		    j->owner_epoch != epoch)
			continue;
		*out = xrealloc(*out, (size_t)(*n + 1) * sizeof(**out));
		(*out)[(*n)++] = (struct run_cancelling){ r->id, r->thread_id,
			r->cancel_requested_at == 0
			    ? 0
			    : model_now_us(m) - r->cancel_requested_at };
	}
	return AS_OK;
}

static enum as_status
next_due(void *arg, int64_t *in_us, struct error *err)
{
	struct model *m = arg;
	int64_t now = model_now_us(m);

	(void)err;
	*in_us = -1;
	for (int i = 0; i < m->jobs.n; i++) {
		const struct model_job *j = m->jobs.rows[i];

		if (!uuid_is_nil(j->run_id) && j->state == 0 &&
		    j->run_at > now && (*in_us < 0 || j->run_at - now < *in_us))
			*in_us = j->run_at - now;
	}
	return AS_OK;
}

static enum as_status
charge(void *arg, struct uuid run_id, struct error *err)
{
	struct model_run *r = model_run(arg, run_id);

	(void)err;
	if (r == NULL)
		return AS_OK;
	r->crash_count = r->crash_count > 0 && r->crash_step == r->step
			     ? r->crash_count + 1
			     : 1;
	r->crash_step = r->step;
	return AS_OK;
}

const struct run_store_ops model_ops = {
	.thread_create = thread_create,
	.create = model_create,
	.commit = model_commit,
	.late = model_late,
	.answer = model_answer,
	.claim = claim,
	.node_join = node_join,
	.node_renew = node_renew,
	.node_leave = node_leave,
	.node_guard = node_guard,
	.node_doom = node_doom,
	.held = held,
	.cancelling = cancelling,
	.children = model_children,
	.next_due = next_due,
	.charge = charge,
	.reap = reap,
	.release = release,
	.state = model_read_state,
	.thread = model_read_thread,
	.switch_leaf = model_switch,
	.history = model_read_history,
	.tools = model_read_tools,
	.asked = model_asked,
	.overdue = model_overdue,
	.open_message = model_open_message,
	.by_client_id = model_by_client_id,
	.by_dedup = model_by_dedup,
	.blocked = model_read_blocked,
	.stalled = model_read_stalled,
	.effects = model_read_effects,
};
