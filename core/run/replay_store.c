/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/ask.h"
#include "core/run/replay_impl.h"

/*
 * The store of a replay: it begins with the run as it was created, holds what
 * the engine writes in memory, and compares it with the record on the way.
 */

/* ---- The run as it is written -------------------------------------- */

static void
keep_message(struct replay *r, const struct run_message *m)
{
	struct run_history_row *h = &r->said[r->n_said++];

	*h = (struct run_history_row){ .id = m->id,
		.role = arena_strdup(r->arena, m->role),
		.content = arena_strdup(r->arena, m->content),
		.parts = arena_strdup(r->arena, m->parts),
		.tool_call_id = arena_strdup(r->arena, m->tool_call_id),
		.usage = arena_strdup(r->arena, m->usage),
		.state = arena_strdup(r->arena, m->state),
		.run_id = r->now.id,
		.step = m->step,
		.sequence = m->sequence };
}

static void
keep_tool(struct replay *r, const struct run_tool *from)
{
	const struct run_tool *rec = record_tool_at(&r->rec, from->step,
	    from->ordinal);
	struct run_tool *t = &r->tools[r->n_tools++];

	*t = *from;
	t->call_id = arena_strdup(r->arena, from->call_id);
	t->idem_key = arena_strdup(r->arena, from->idem_key);
	t->tool = arena_strdup(r->arena, from->tool);
	t->version = arena_strdup(r->arena, from->version);
	t->args = arena_strdup(r->arena, from->args);
	/* It may depend on the arguments, by a rule that is the tool's. */
	t->effect = rec != NULL ? rec->effect
				: arena_strdup(r->arena, from->effect);
	t->state = rec != NULL && record_unsent(rec) ? "planned" : "started";
	/* It was answered; or it waits still, or did until the run's end. */
	if (rec != NULL &&
	    (record_was_asked(rec) || ask_waits(rec) ||
		(r->rec.asked[rec - r->rec.tools] && record_unsent(rec))))
		t->state = record_is_question(rec) ? "parked"
						   : "awaiting_approval";
}

static void
end_tool(struct replay *r, const struct run_tool *done)
{
	for (int i = 0; i < r->n_tools; i++)
		if (uuid_equal(r->tools[i].id, done->id)) {
			r->tools[i].state = arena_strdup(r->arena, done->state);
			r->tools[i].result = arena_strdup(r->arena,
			    done->result);
			r->tools[i].error_code = arena_strdup(r->arena,
			    done->error_code);
			r->tools[i].resolution = arena_strdup(r->arena,
			    done->resolution);
			if (done->new_args)
				r->tools[i].args = arena_strdup(r->arena,
				    done->args);
		}
}

static void
keep(struct replay *r, const struct run_commit *c)
{
	struct run_state *s = &r->now;

	for (int i = 0; i < c->n_messages; i++)
		keep_message(r, &c->messages[i]);
	for (int i = 0; i < c->n_unblocks; i++)
		keep_message(r, c->unblocks[i].message);
	for (int i = 0; i < c->n_tools_new; i++)
		keep_tool(r, &c->tools_new[i]);
	for (int i = 0; i < c->n_tools_done; i++)
		end_tool(r, &c->tools_done[i]);
	s->status = c->to;
	s->step += c->advance ? 1 : 0;
	s->fence += c->bump_fence ? 1 : 0;
	s->attempt = c->attempt;
	s->heads = run_commit_heads(c);
	if (c->n_unblocks > 0) {
		s->n_steers = s->n_blocked = 0;
		r->steer_told = false;
	}
	s->last_commit_id = c->commit_id;
	if (!uuid_is_nil(c->checkpoint_id)) {
		s->checkpoint_id = c->checkpoint_id;
		memcpy(s->checkpoint_hash, c->checkpoint_hash, HASH_LEN);
	}
	if (c->usage != NULL)
		run_usage_parse(&s->usage, c->usage);
}

/*
 * Is the next thing of the record a call that never began?  There is no
 * checkpoint if the stop came before the tools' turn, else it is at its start.
 */
static bool
cancel_is_due(const struct replay *r, bool at_tools)
{
	const struct record_message *m = &r->rec.messages[r->next];
	const struct run_tool *t;

	if (!replay_ends_cancelled(r) || r->next == r->rec.n_messages)
		return false;
	t = record_call_of(&r->rec, m);
	return t != NULL && record_never_began(t) &&
	       at_tools == (record_checkpoint_at(&r->rec, m->step) != NULL);
}

/* ---- Words that reached the run on its way -------------------------- */

bool
replay_is_steer(const struct replay *r, int at)
{
	return at > 0 && at < r->rec.n_messages &&
	       strcmp(r->rec.messages[at].role, "user") == 0;
}

static int
count_steers(const struct replay *r, int at)
{
	int n = 0;

	while (replay_is_steer(r, at + n))
		n++;
	return n;
}

bool
replay_steers_come(struct replay *r, int at)
{
	if (r->steer_told || !replay_is_steer(r, at))
		return false;
	r->steer_told = true;
	r->now.n_steers = r->now.n_blocked = count_steers(r, at);
	r->now.heads.seq++; /* of their events at least one */
	return true;
}

static SUSPENDS enum as_status
replay_blocked(void *arg, struct uuid thread_id, struct arena *arena,
    struct run_blocked **out, int *n, struct error *err)
{
	struct replay *r = arg;

	(void)thread_id, (void)err;
	r->moves++;
	*n = (int)r->now.n_steers;
	*out = arena_alloc(arena, (size_t)*n * sizeof(**out) + 1);
	for (int i = 0; i < *n; i++) {
		const struct record_message *m = &r->rec.messages[r->next + i];

		(*out)[i] = (struct run_blocked){
			.run_id = m->id, /* its own is not known any more */
			.multitask = run_multitask_name(RUN_STEER),
			.message = { .id = m->id,
			    .role = m->role,
			    .content = m->content,
			    .parts = m->parts,
			    .created_at = m->created_at }
		};
	}
	return AS_OK;
}

static SUSPENDS enum as_status
replay_commit(void *arg, const struct run_commit *c, struct error *err)
{
	struct replay *r = arg;

	r->moves++;
	if (r->over)
		return error_set(err, ERR_CANCELED, "the replay is over");
	if (c->from != r->now.status || c->step != r->now.step ||
	    c->fence != r->now.fence || c->heads.seq != r->now.heads.seq ||
	    c->heads.run_seq != r->now.heads.run_seq ||
	    (run_is_open(c->to) &&
		replay_steers_come(r, r->next + c->n_messages)))
		return error_set(err, ERR_CONFLICT, "the row has moved on");
	if (r->n_said + c->n_messages >
		r->rec.n_before + r->rec.n_messages + WORK_CALLS_MAX ||
	    r->n_tools + c->n_tools_new > r->rec.n_tools + WORK_CALLS_MAX)
		return error_set(err, ERR_INTERNAL, "more than was recorded");
	replay_check(r, c);
	if (r->over)
		return error_set(err, ERR_CANCELED, "it differs");
	keep(r, c);
	if (c->n_tools_new > 0 && cancel_is_due(r, false))
		replay_cancel(r);
	replay_world_wake(r);
	return AS_OK;
}

/* ---- Reads --------------------------------------------------------- */

static SUSPENDS enum as_status
replay_claim(void *arg, const struct run_claim_ask *ask, struct run_claim **out,
    int *n, struct error *err)
{
	struct replay *r = arg;

	(void)ask, (void)err;
	*n = r->claimed ? 0 : 1;
	*out = NULL;
	if (*n == 1) {
		*out = xcalloc(1, sizeof(**out));
		(*out)->run_id = r->now.id;
		(*out)->thread_id = r->now.thread_id;
	}
	r->claimed = true;
	return AS_OK;
}

static SUSPENDS enum as_status
replay_late(void *arg, struct uuid run_id, const struct run_tool *t,
    int64_t now_us, struct error *err)
{
	(void)arg, (void)run_id, (void)t, (void)now_us;
	return error_set(err, ERR_CONFLICT, "the replay is over");
}

static SUSPENDS enum as_status
replay_release(void *arg, int64_t epoch, struct uuid thread_id,
    struct uuid run_id, struct error *err)
{
	(void)arg, (void)epoch, (void)thread_id, (void)run_id, (void)err;
	return AS_OK;
}

static SUSPENDS enum as_status
replay_state(void *arg, struct uuid run_id, struct arena *arena,
    struct run_state *out, struct error *err)
{
	struct replay *r = arg;

	(void)run_id, (void)arena, (void)err;
	r->moves++;
	*out = r->now;
	return AS_OK;
}

static SUSPENDS enum as_status
replay_history(void *arg, struct uuid thread_id, const char *ns,
    struct uuid leaf, int64_t next_sequence, struct arena *arena,
    struct run_history_row **out, int *n, struct error *err)
{
	struct replay *r = arg;

	(void)thread_id, (void)ns, (void)leaf, (void)next_sequence, (void)err;
	r->moves++;
	*n = r->n_said;
	*out = arena_alloc(arena, (size_t)r->n_said * sizeof(**out) + 1);
	memcpy(*out, r->said, (size_t)r->n_said * sizeof(**out));
	return AS_OK;
}

/* The decision of a person on a call that the run waits for. */
static void
decide(struct replay *r, struct run_tool *t)
{
	const struct run_tool *rec = record_tool_at(&r->rec, t->step,
	    t->ordinal);

	if (strcmp(t->state, "unknown") != 0 || t->result != NULL ||
	    rec == NULL || !record_was_decided(rec))
		return;
	t->state = rec->state;
	t->result = rec->result;
	t->error_code = rec->error_code;
	t->resolution = rec->resolution;
}

static SUSPENDS enum as_status
replay_tools(void *arg, struct uuid run_id, int64_t step, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	struct replay *r = arg;

	(void)run_id, (void)err;
	r->moves++;
	if (cancel_is_due(r, true))
		replay_cancel(r);
	*n = 0;
	*out = arena_alloc(arena, (size_t)r->n_tools * sizeof(**out) + 1);
	for (int i = 0; i < r->n_tools; i++)
		if (r->tools[i].step == step) {
			decide(r, &r->tools[i]);
			(*out)[(*n)++] = r->tools[i];
		}
	return AS_OK;
}

/* What a person has said then, from what became of the call. */
static struct run_asked
asked_of(const struct replay *r, const struct run_tool *rec,
    struct arena *arena)
{
	struct run_asked a = { .step = rec->step,
		.ordinal = rec->ordinal,
		.kind = record_is_question(rec) ? "question" : "approval",
		.status = record_has_expired(rec) ? "expired" : "answered",
		.response_type = "ignore",
		.responded_by = r->now.user_id };
	struct buf b = { 0 };

	if (strcmp(rec->resolution, "approved") == 0)
		a.response_type = "accept";
	else if (strcmp(rec->resolution, "edited") == 0) {
		a.response_type = "edit";
		a.response = rec->args;
	} else if (strcmp(rec->resolution, "answered") == 0) {
		a.response_type = "response";
		buf_add_json_str(&b, rec->result, strlen(rec->result));
		a.response = arena_strndup(arena, b.data, b.len);
	}
	buf_free(&b);
	return a;
}

/*
 * By now: what comes of an answer is the next thing of the record.  What was
 * approved and never made waits until the run is stopped.
 */
static bool
is_answered(const struct replay *r, const struct run_tool *rec)
{
	int turn = record_turn(&r->rec, rec);

	return record_was_asked(rec) && !record_unsent(rec) &&
	       r->next >= (turn >= 0 ? turn : r->rec.n_messages);
}

static SUSPENDS enum as_status
replay_asked(void *arg, struct uuid run_id, struct arena *arena,
    struct run_asked **out, int *n, int64_t *version, struct error *err)
{
	struct replay *r = arg;

	(void)run_id, (void)err;
	r->moves++;
	*n = 0;
	*version = 0;
	*out = arena_alloc(arena, (size_t)r->rec.n_tools * sizeof(**out) + 1);
	for (int i = 0; i < r->rec.n_tools; i++)
		if (is_answered(r, &r->rec.tools[i]))
			(*out)[(*n)++] = asked_of(r, &r->rec.tools[i], arena);
	return AS_OK;
}

static SUSPENDS enum as_status
replay_open_message(void *arg, bool by_run, struct uuid id, int64_t at,
    struct uuid *out, int *attempt, struct error *err)
{
	(void)arg, (void)by_run, (void)id, (void)at, (void)err;
	memset(out, 0, sizeof(*out));
	*attempt = 0;
	return AS_OK;
}

/* What cannot be rolled back is not compared. */
static SUSPENDS enum as_status
replay_effects(void *arg, struct uuid run_id, struct arena *arena,
    struct run_tool **out, int *n, struct error *err)
{
	(void)arg, (void)run_id, (void)err;
	*n = 0;
	*out = arena_alloc(arena, 1);
	return AS_OK;
}

/* What only a server asks for is not there: nobody may ask. */
static const struct run_store_ops replay_ops = {
	.commit = replay_commit,
	.late = replay_late,
	.claim = replay_claim,
	.release = replay_release,
	.state = replay_state,
	.history = replay_history,
	.tools = replay_tools,
	.asked = replay_asked,
	.open_message = replay_open_message,
	.blocked = replay_blocked,
	.effects = replay_effects,
};

/* ---- The run as it was created ------------------------------------- */

static void
keep_question(struct replay *r)
{
	const struct record_message *m = &r->rec.messages[0];
	struct run_message question = { .id = m->id,
		.role = m->role,
		.content = m->content,
		.parts = m->parts,
		.tool_call_id = m->tool_call_id,
		.state = "final",
		.sequence = m->sequence };

	keep_message(r, &question);
	r->now.heads.msg_seq++;
	r->next = 1;
}

/* The calls that a fork begins with. */
static void
keep_first_tools(struct replay *r)
{
	for (int i = 0; i < r->rec.n_tools; i++) {
		struct run_tool *t;

		if (r->rec.tools[i].step != 0)
			continue;
		t = &r->tools[r->n_tools++];
		*t = r->rec.tools[i];
		t->id = uuid_v7();
		t->state = "planned";
		t->result = t->error_code = t->resolution = NULL;
	}
}

static void
state_init(struct replay *r)
{
	struct run_state *s = &r->now;
	size_t n = (size_t)r->rec.n_before + (size_t)r->rec.n_messages +
		   WORK_CALLS_MAX;

	*s = (struct run_state){ .id = r->rec.state.id,
		.thread_id = r->rec.state.thread_id,
		.agent_id = r->rec.state.agent_id,
		.tenant_id = r->rec.state.tenant_id,
		.user_id = r->rec.state.user_id,
		.last_commit_id = r->rec.state.id,
		.status = RUN_RUNNING,
		.fence = 1,
		.owner_epoch = REPLAY_EPOCH,
		.created_at = r->rec.state.created_at,
		.heads = { 1, 1, r->rec.sequence },
		.model = r->rec.state.model,
		.ns = r->rec.state.ns,
		.kind = r->rec.state.kind,
		.root_kind = r->rec.state.root_kind,
		.budget = "{\"repeats\":1000000000}",
		.correlation_id = r->rec.state.correlation_id,
		.traceparent = r->rec.state.traceparent,
		.now_us = r->rec.state.now_us };
	r->said = arena_alloc(r->arena, n * sizeof(*r->said));
	memcpy(r->said, r->rec.before,
	    (size_t)r->rec.n_before * sizeof(*r->said));
	r->n_said = r->rec.n_before;
	if (r->rec.has_question)
		keep_question(r);
	r->tools = arena_alloc(r->arena,
	    (size_t)(r->rec.n_tools + WORK_CALLS_MAX) * sizeof(*r->tools));
	keep_first_tools(r);
}

void
replay_store_init(struct replay *r)
{
	r->runs = (struct run_store){ &replay_ops, r };
	state_init(r);
}
