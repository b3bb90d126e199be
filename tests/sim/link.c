/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/sim/copy.h"
#include "tests/sim/node.h"

/*
 * A node's way to the store.  A request travels, is done at one moment, and
 * its answer travels back; each part may fail, and a node that dies does not
 * know how far its request has come.
 */

enum request_kind {
	REQ_THREAD_CREATE,
	REQ_CREATE,
	REQ_COMMIT,
	REQ_LATE,
	REQ_ANSWER,
	REQ_CLAIM,
	REQ_JOIN,
	REQ_RENEW,
	REQ_LEAVE,
	REQ_REAP,
	REQ_RELEASE,
	REQ_CHARGE,
	REQ_SWITCH,
	REQ_STATE,
	REQ_THREAD,
	REQ_HISTORY,
	REQ_TOOLS,
	REQ_ASKED,
	REQ_OVERDUE,
	REQ_OPEN_MESSAGE,
	REQ_BY_CLIENT_ID,
	REQ_BY_DEDUP,
	REQ_HELD,
	REQ_CANCELLING,
	REQ_CHILDREN,
	REQ_NEXT_DUE,
	REQ_BLOCKED,
	REQ_STALLED,
	REQ_EFFECTS
};

/* The arguments of all operations; which count depends on the kind. */
struct request {
	enum request_kind kind;
	const void *what;
	struct uuid a, b, c, d;
	int64_t i, j;
	bool flag;
	const char *text, *text2;
	struct arena *arena;
	void *out, *out2, *out3;
	int *n;
};

static enum as_status
request_write(struct model *m, const struct request *r, struct error *err)
{
	const struct run_store_ops *ops = m->store.ops;

	switch (r->kind) {
	case REQ_THREAD_CREATE:
		return ops->thread_create(m, r->a, r->b, r->c, r->d, r->text,
		    err);
	case REQ_CREATE:
		return ops->create(m, r->what, err);
	case REQ_COMMIT:
		return ops->commit(m, r->what, err);
	case REQ_LATE:
		return ops->late(m, r->a, r->what, r->i, err);
	case REQ_ANSWER:
		return ops->answer(m, r->a, r->what, (int)r->j, r->i, err);
	case REQ_CLAIM:
		return ops->claim(m, r->what, r->out, r->n, err);
	case REQ_JOIN:
		return ops->node_join(m, r->text, r->text2, r->i, r->out, err);
	case REQ_RENEW:
		return ops->node_renew(m, r->i, r->j, err);
	case REQ_LEAVE:
		return ops->node_leave(m, r->i, err);
	case REQ_REAP:
		return ops->reap(m, r->i, r->flag, r->j, r->n, err);
	case REQ_CHARGE:
		return ops->charge(m, r->a, err);
	case REQ_SWITCH:
		return ops->switch_leaf(m, r->a, r->b, r->c, r->d, err);
	default:
		return ops->release(m, r->i, r->a, r->b, err);
	}
}

static enum as_status
request_read(struct model *m, const struct request *r, struct error *err)
{
	const struct run_store_ops *ops = m->store.ops;

	switch (r->kind) {
	case REQ_STATE:
		return ops->state(m, r->a, r->arena, r->out, err);
	case REQ_THREAD:
		return ops->thread(m, r->a, r->b, r->c, r->out, err);
	case REQ_HISTORY:
		return ops->history(m, r->a, r->text, r->b, r->i, r->arena,
		    r->out, r->n, err);
	case REQ_TOOLS:
		return ops->tools(m, r->a, r->i, r->arena, r->out, r->n, err);
	case REQ_ASKED:
		return ops->asked(m, r->a, r->arena, r->out, r->n, r->out2,
		    err);
	case REQ_OVERDUE:
		return ops->overdue(m, (int)r->i, r->out, r->n, err);
	case REQ_OPEN_MESSAGE:
		return ops->open_message(m, r->flag, r->a, r->i, r->out, r->n,
		    err);
	case REQ_BY_DEDUP:
		return ops->by_dedup(m, r->a, r->b, r->text, r->out, err);
	case REQ_HELD:
		return ops->held(m, r->i, r->out, r->n, err);
	case REQ_CANCELLING:
		return ops->cancelling(m, r->i, r->out, r->n, err);
	case REQ_CHILDREN:
		return ops->children(m, r->a, r->out, r->n, err);
	case REQ_NEXT_DUE:
		return ops->next_due(m, r->out, err);
	case REQ_BLOCKED:
		return ops->blocked(m, r->a, r->arena, r->out, r->n, err);
	case REQ_STALLED:
		return ops->stalled(m, (int)r->i, r->out, r->n, err);
	case REQ_EFFECTS:
		return ops->effects(m, r->a, r->arena, r->out, r->n, err);
	default:
		return ops->by_client_id(m, r->a, r->text, r->out, r->out2,
		    r->out3, err);
	}
}

static bool
is_write(const struct request *r)
{
	return r->kind < REQ_STATE;
}

/* The one moment at which it happens. */
static enum as_status
request_do(struct sim_node *n, const struct request *r, struct error *err)
{
	struct sim *s = n->sim;
	enum as_status st;

	s->actor = n;
	st = is_write(r) ? request_write(s->model, r, err)
			 : request_read(s->model, r, err);
	s->actor = NULL;
	return st;
}

/* Its answer has got lost, with what it holds. */
static void
answer_drop(const struct request *r)
{
	void **list = r->out;

	if (r->kind != REQ_CLAIM && r->kind != REQ_HELD &&
	    r->kind != REQ_CANCELLING && r->kind != REQ_CHILDREN &&
	    r->kind != REQ_STALLED && r->kind != REQ_OVERDUE)
		return;
	free(*list);
	*list = NULL;
	*r->n = 0;
}

static enum as_status
broken(const struct request *r, bool sent, struct error *err)
{
	enum as_status st = error_set(err, ERR_UNAVAILABLE, LINK_BROKEN);

	if (sent && is_write(r) && err != NULL)
		error_member(err, "unknown", json_object_new_boolean(true));
	return st;
}

static bool
is_away(struct sim_node *n)
{
	return fault_hits(n->sim, FAULT_STORE_DOWN, -1) ||
	       fault_hits(n->sim, FAULT_CUT, n->index);
}

static uint64_t
travel_ms(struct sim_node *n)
{
	struct sim *s = n->sim;

	if (fault_hits(s, FAULT_STORE_SLOW, -1))
		return 100 + rng_below(&n->rng, 400);
	return 1 + rng_below(&n->rng, 3);
}

static SUSPENDS enum as_status
request_lose(struct sim_node *n, const struct request *r, struct error *err)
{
	uint64_t until = loop_now_ms(n->sim->loop) + 20 +
			 rng_below(&n->rng, 300);
	enum as_status st = node_wait(n, until, true, err);

	return st != AS_OK ? st : broken(r, true, err);
}

/* ---- Requests that are done when nobody waits for them any more ------ */

#define STRAGGLE_MS 700 /* at most: a server does not sit on them for long */

struct straggler {
	struct sim_node *node;
	struct request request;
	struct arena *arena;
	struct run_claim_ask ask;
	struct run_claim *claims;
	int64_t epoch;
	uint64_t ms;
	int n;
};

static SUSPENDS void
straggler_main(void *arg)
{
	struct straggler *g = arg;
	struct sim *s = g->node->sim;

	(void)fiber_sleep(g->ms);
	if (!s->over) {
		sim_trace(s, "node %d: a request arrives late", g->node->index);
		(void)request_do(g->node, &g->request, NULL);
	}
	free(g->claims);
	arena_free(g->arena);
	g->node->n_users--;
	free(g);
}

static void
straggler_start(struct sim_node *n, const struct request *r)
{
	struct straggler *g = xcalloc(1, sizeof(*g));

	g->node = n;
	g->request = *r;
	g->arena = arena_new(NULL);
	g->ms = 50 + rng_below(&n->rng, STRAGGLE_MS);
	g->request.n = &g->n;
	g->request.out = r->kind == REQ_CLAIM ? (void *)&g->claims : &g->epoch;
	if (r->kind == REQ_CREATE)
		g->request.what = run_create_copy(g->arena, r->what);
	else if (r->kind == REQ_COMMIT)
		g->request.what = run_commit_copy(g->arena, r->what);
	else if (r->kind == REQ_LATE)
		g->request.what = run_tools_copy(g->arena, r->what, 1);
	else if (r->kind == REQ_CLAIM) {
		g->ask = *(const struct run_claim_ask *)r->what;
		g->request.what = &g->ask;
	} else if (r->kind == REQ_ANSWER)
		g->request.what = run_answers_copy(g->arena, r->what,
		    (int)r->j);
	n->n_users++;
	MUST(fiber_spawn(n->sim->loop, "straggler", straggler_main, g).f !=
	     NULL);
}

/* What has been done comes back to who asked. */
static SUSPENDS enum as_status
request_answer(struct sim_node *n, const struct request *r, enum as_status done,
    struct error *why, struct error *err)
{
	struct sim *s = n->sim;
	enum as_status st;

	if (fault_hits(s, FAULT_REPLY_LOST, n->index) || is_away(n)) {
		sim_trace(s, "node %d: an answer gets lost", n->index);
		st = request_lose(n, r, err);
	} else {
		st = node_wait(n, loop_now_ms(s->loop) + travel_ms(n), true,
		    err);
		if (st == AS_OK) {
			if (err != NULL)
				error_move(err, why);
			return done;
		}
	}
	if (done == AS_OK)
		answer_drop(r);
	return st;
}

static SUSPENDS enum as_status
request_run(struct sim_node *n, const struct request *r, struct error *err)
{
	struct sim *s = n->sim;
	enum as_status st = node_wait(n, 0, true, err), done;
	struct error why = { 0 };
	bool lost;

	if (st != AS_OK)
		return st;
	if (is_away(n)) {
		st = node_wait(n, loop_now_ms(s->loop) + 20, true, err);
		return st != AS_OK ? st : broken(r, false, err);
	}
	lost = fault_hits(s, FAULT_REQUEST_LOST, n->index);
	if (is_write(r) && fault_hits(s, FAULT_STRAGGLE, n->index)) {
		straggler_start(n, r);
		return request_lose(n, r, err);
	}
	st = node_wait(n, loop_now_ms(s->loop) + travel_ms(n), false, err);
	if (lost || is_away(n)) {
		if (is_write(r))
			sim_trace(s, "node %d: a request gets lost", n->index);
		return st != AS_OK ? st : request_lose(n, r, err);
	}
	if (st == AS_OK) {
		done = request_do(n, r, &why);
		st = request_answer(n, r, done, &why, err);
	} else if (is_write(r) && rng_chance(&n->rng, 500)) {
		/* Nobody waits for it any more; it happens all the same. */
		if (request_do(n, r, &why) == AS_OK)
			answer_drop(r);
	}
	error_clear(&why);
	return st;
}

/* ---- The operations ------------------------------------------------ */

static SUSPENDS enum as_status
link_thread_create(void *arg, struct uuid id, struct uuid tenant_id,
    struct uuid user_id, struct uuid agent_id, const char *title,
    struct error *err)
{
	struct request r = { .kind = REQ_THREAD_CREATE,
		.a = id,
		.b = tenant_id,
		.c = user_id,
		.d = agent_id,
		.text = title };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_create(void *arg, const struct run_create *c, struct error *err)
{
	struct request r = { .kind = REQ_CREATE, .what = c };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_commit(void *arg, const struct run_commit *c, struct error *err)
{
	struct request r = { .kind = REQ_COMMIT, .what = c };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_late(void *arg, struct uuid run_id, const struct run_tool *t,
    int64_t now_us, struct error *err)
{
	struct request r = { .kind = REQ_LATE,
		.a = run_id,
		.what = t,
		.i = now_us };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_answer(void *arg, struct uuid run_id, const struct run_answer *answers,
    int n, int64_t now_us, struct error *err)
{
	struct request r = { .kind = REQ_ANSWER,
		.a = run_id,
		.what = answers,
		.j = n,
		.i = now_us };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_asked(void *arg, struct uuid run_id, struct arena *arena,
    struct run_asked **out, int *n, int64_t *version, struct error *err)
{
	struct request r = { .kind = REQ_ASKED,
		.a = run_id,
		.arena = arena,
		.out = out,
		.out2 = version,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_overdue(void *arg, int max, struct run_overdue **out, int *n,
    struct error *err)
{
	struct request r = { .kind = REQ_OVERDUE,
		.i = max,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_claim(void *arg, const struct run_claim_ask *ask, struct run_claim **out,
    int *n, struct error *err)
{
	struct request r = { .kind = REQ_CLAIM,
		.what = ask,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_node_join(void *arg, const char *name, const char *build, int64_t ttl_us,
    int64_t *epoch, struct error *err)
{
	struct request r = { .kind = REQ_JOIN,
		.text = name,
		.text2 = build,
		.i = ttl_us,
		.out = epoch };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_node_renew(void *arg, int64_t epoch, int64_t ttl_us, struct error *err)
{
	struct request r = { .kind = REQ_RENEW, .i = epoch, .j = ttl_us };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_node_leave(void *arg, int64_t epoch, struct error *err)
{
	struct request r = { .kind = REQ_LEAVE, .i = epoch };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_reap(void *arg, int64_t epoch, bool all, int64_t max_age_us, int *n,
    struct error *err)
{
	struct request r = { .kind = REQ_REAP,
		.i = epoch,
		.j = max_age_us,
		.flag = all,
		.n = n };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_release(void *arg, int64_t epoch, struct uuid thread_id,
    struct uuid run_id, struct error *err)
{
	struct request r = { .kind = REQ_RELEASE,
		.i = epoch,
		.a = thread_id,
		.b = run_id };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_state(void *arg, struct uuid run_id, struct arena *arena,
    struct run_state *out, struct error *err)
{
	struct request r = { .kind = REQ_STATE,
		.a = run_id,
		.arena = arena,
		.out = out };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_thread(void *arg, struct uuid thread_id, struct uuid tenant_id,
    struct uuid user_id, struct thread_state *out, struct error *err)
{
	struct request r = { .kind = REQ_THREAD,
		.a = thread_id,
		.b = tenant_id,
		.c = user_id,
		.out = out };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_history(void *arg, struct uuid thread_id, const char *ns, struct uuid leaf,
    int64_t next_sequence, struct arena *arena, struct run_history_row **out,
    int *n, struct error *err)
{
	struct request r = { .kind = REQ_HISTORY,
		.a = thread_id,
		.b = leaf,
		.text = ns,
		.i = next_sequence,
		.arena = arena,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_tools(void *arg, struct uuid run_id, int64_t step, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	struct request r = { .kind = REQ_TOOLS,
		.a = run_id,
		.i = step,
		.arena = arena,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_open_message(void *arg, bool by_run, struct uuid id, int64_t at,
    struct uuid *out, int *attempt, struct error *err)
{
	struct request r = { .kind = REQ_OPEN_MESSAGE,
		.flag = by_run,
		.a = id,
		.i = at,
		.out = out,
		.n = attempt };

	memset(out, 0, sizeof(*out));
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_by_client_id(void *arg, struct uuid thread_id,
    const char *client_message_id, struct uuid *message_id, struct uuid *run_id,
    int64_t *seq, struct error *err)
{
	struct request r = { .kind = REQ_BY_CLIENT_ID,
		.a = thread_id,
		.text = client_message_id,
		.out = message_id,
		.out2 = run_id,
		.out3 = seq };

	memset(run_id, 0, sizeof(*run_id));
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_by_dedup(void *arg, struct uuid user_id, struct uuid agent_id,
    const char *dedup, struct run_claim *out, struct error *err)
{
	struct request r = { .kind = REQ_BY_DEDUP,
		.a = user_id,
		.b = agent_id,
		.text = dedup,
		.out = out };

	memset(out, 0, sizeof(*out));
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_held(void *arg, int64_t epoch, struct run_claim **out, int *n,
    struct error *err)
{
	struct request r = { .kind = REQ_HELD, .i = epoch, .out = out, .n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_children(void *arg, struct uuid run_id, struct run_claim **out, int *n,
    struct error *err)
{
	struct request r = { .kind = REQ_CHILDREN,
		.a = run_id,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_cancelling(void *arg, int64_t epoch, struct run_cancelling **out, int *n,
    struct error *err)
{
	struct request r = { .kind = REQ_CANCELLING,
		.i = epoch,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_next_due(void *arg, int64_t *in_us, struct error *err)
{
	struct request r = { .kind = REQ_NEXT_DUE, .out = in_us };

	*in_us = -1;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_charge(void *arg, struct uuid run_id, struct error *err)
{
	struct request r = { .kind = REQ_CHARGE, .a = run_id };

	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_blocked(void *arg, struct uuid thread_id, struct arena *arena,
    struct run_blocked **out, int *n, struct error *err)
{
	struct request r = { .kind = REQ_BLOCKED,
		.a = thread_id,
		.arena = arena,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_stalled(void *arg, int max, struct run_stalled **out, int *n,
    struct error *err)
{
	struct request r = { .kind = REQ_STALLED,
		.i = max,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_effects(void *arg, struct uuid run_id, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	struct request r = { .kind = REQ_EFFECTS,
		.a = run_id,
		.arena = arena,
		.out = out,
		.n = n };

	*out = NULL;
	*n = 0;
	return request_run(arg, &r, err);
}

static SUSPENDS enum as_status
link_switch(void *arg, struct uuid thread_id, struct uuid tenant_id,
    struct uuid user_id, struct uuid leaf, struct error *err)
{
	struct request r = { .kind = REQ_SWITCH,
		.a = thread_id,
		.b = tenant_id,
		.c = user_id,
		.d = leaf };

	return request_run(arg, &r, err);
}

/* Locks of nodes are not simulated: see model_store.c. */
const struct run_store_ops link_ops = {
	.thread_create = link_thread_create,
	.create = link_create,
	.commit = link_commit,
	.late = link_late,
	.answer = link_answer,
	.asked = link_asked,
	.overdue = link_overdue,
	.claim = link_claim,
	.node_join = link_node_join,
	.node_renew = link_node_renew,
	.node_leave = link_node_leave,
	.reap = link_reap,
	.release = link_release,
	.state = link_state,
	.thread = link_thread,
	.switch_leaf = link_switch,
	.history = link_history,
	.tools = link_tools,
	.open_message = link_open_message,
	.by_client_id = link_by_client_id,
	.by_dedup = link_by_dedup,
	.held = link_held,
	.cancelling = link_cancelling,
	.children = link_children,
	.next_due = link_next_due,
	.charge = link_charge,
	.blocked = link_blocked,
	.stalled = link_stalled,
	.effects = link_effects,
};
