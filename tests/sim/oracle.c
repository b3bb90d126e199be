/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/run/history.h"
#include "core/run/work.h"
#include "tests/sim/node.h"

/*
 * What must hold.
 *
 * At each change of a run: it is a transition that there is, with its effect
 * on fence, step and owner, by somebody who may make it; and the rows of run,
 * thread and job fit together.  At the end: everything that can be read off
 * the tables (I1 to I14).
 */

/* ---- The transitions ----------------------------------------------- */

#define IN(status) (1u << (status))
#define OWNED (IN(RUN_RUNNING) | IN(RUN_CANCELLING))
#define WAITING \
	(IN(RUN_WAITING_HUMAN) | IN(RUN_WAITING_TIMER) | \
	    IN(RUN_RECOVERABLE_ERROR))

enum who {
	BY_ANYBODY, /* who has read the row */
	BY_OWNER, /* the node whose epoch the row names */
	BY_CLAIMER, /* becomes the owner */
	BY_REAPER /* the owner's lease is over */
};

struct rule {
	const char *name;
	enum model_op op;
	unsigned from, to; /* sets; 1: there was no run */
	int fence; /* + so many */
	int step; /* + so many; -1: none or one */
	enum who who;
	bool rare;
};

static const struct rule rules[] = {
	{ "1 created, queued", MODEL_CREATE, 1, IN(RUN_QUEUED), 0, 0,
	    BY_ANYBODY, false },
	{ "1 created, running", MODEL_CREATE, 1, IN(RUN_RUNNING), 1, 0,
	    BY_CLAIMER, false },
	{ "2 created, blocked", MODEL_CREATE, 1, IN(RUN_BLOCKED), 0, 0,
	    BY_ANYBODY, false },
	{ "3 unblocked", MODEL_UNBLOCK, IN(RUN_BLOCKED), IN(RUN_QUEUED), 0, 0,
	    BY_ANYBODY, false },
	/* Only of a thread that a mistake has left free. */
	{ "3 unblocked later", MODEL_COMMIT, IN(RUN_BLOCKED), IN(RUN_QUEUED), 0,
	    0, BY_ANYBODY, true },
	{ "3 steered", MODEL_UNBLOCK, IN(RUN_BLOCKED), IN(RUN_CANCELLED), 1, 0,
	    BY_ANYBODY, false },
	{ "4 claim", MODEL_CLAIM, IN(RUN_QUEUED), IN(RUN_RUNNING), 1, 0,
	    BY_CLAIMER, false },
	{ "4 claim when due", MODEL_CLAIM, IN(RUN_WAITING_TIMER),
	    IN(RUN_RUNNING), 1, 0, BY_CLAIMER, false },
	{ "4 claim of a cancel", MODEL_CLAIM, IN(RUN_CANCELLING),
	    IN(RUN_CANCELLING), 1, 0, BY_CLAIMER, false },
	{ "5 step", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_RUNNING), 0, 1,
	    BY_OWNER, false },
	{ "5b write", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_RUNNING), 0, 0,
	    BY_OWNER, false },
	{ "5b write of a cancel", MODEL_COMMIT, IN(RUN_CANCELLING),
	    IN(RUN_CANCELLING), 0, -1, BY_OWNER, false },
	{ "10 waits for subagents", MODEL_COMMIT, IN(RUN_RUNNING),
	    IN(RUN_WAITING_CHILD), 0, 0, BY_OWNER, false },
	{ "11 the last one has ended", MODEL_TELL, IN(RUN_WAITING_CHILD),
	    IN(RUN_QUEUED), 0, 0, BY_ANYBODY, false },
	{ "11 one of them has ended", MODEL_TELL, IN(RUN_WAITING_CHILD),
	    IN(RUN_WAITING_CHILD), 0, 0, BY_ANYBODY, false },
	{ "11 one of a cancel has ended", MODEL_TELL, IN(RUN_CANCELLING),
	    IN(RUN_CANCELLING), 0, 0, BY_ANYBODY, false },
	{ "9 retry later", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_WAITING_TIMER),
	    0, -1, BY_OWNER, false },
	{ "6 asks", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_WAITING_HUMAN), 0, -1,
	    BY_OWNER, false },
	{ "7 answered", MODEL_COMMIT, IN(RUN_WAITING_HUMAN), IN(RUN_QUEUED), 0,
	    0, BY_ANYBODY, false },
	{ "8 answered in part", MODEL_COMMIT, IN(RUN_WAITING_HUMAN),
	    IN(RUN_WAITING_HUMAN), 0, 0, BY_ANYBODY, false },
	{ "8 escalated behind subagents", MODEL_COMMIT, IN(RUN_WAITING_CHILD),
	    IN(RUN_WAITING_CHILD), 0, 0, BY_ANYBODY, false },
	{ "8 answered beside its owner", MODEL_ANSWER, ~0u, ~0u, 0, 0,
	    BY_ANYBODY, false },
	{ "12 parked", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_RECOVERABLE_ERROR),
	    0, -1, BY_OWNER, false },
	{ "13 operator", MODEL_COMMIT, IN(RUN_RECOVERABLE_ERROR),
	    IN(RUN_QUEUED), 0, 0, BY_ANYBODY, false },
	{ "13 decided in part", MODEL_COMMIT, IN(RUN_RECOVERABLE_ERROR),
	    IN(RUN_RECOVERABLE_ERROR), 0, 0, BY_ANYBODY, false },
	{ "14 taken back", MODEL_REAP, IN(RUN_RUNNING), IN(RUN_QUEUED), 1, 0,
	    BY_REAPER, false },
	{ "14 cancel taken back", MODEL_REAP, IN(RUN_CANCELLING),
	    IN(RUN_CANCELLING), 1, 0, BY_REAPER, false },
	{ "15 given back", MODEL_RELEASE, IN(RUN_RUNNING), IN(RUN_QUEUED), 1, 0,
	    BY_OWNER, false },
	{ "15 yields", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_QUEUED), 0, 0,
	    BY_OWNER, false },
	{ "15 cancel given back", MODEL_RELEASE, IN(RUN_CANCELLING),
	    IN(RUN_CANCELLING), 1, 0, BY_OWNER, false },
	{ "16 cancelled at once", MODEL_COMMIT,
	    IN(RUN_BLOCKED) | IN(RUN_QUEUED) | WAITING, IN(RUN_CANCELLED), 1, 0,
	    BY_ANYBODY, false },
	{ "16 rolled back at once", MODEL_COMMIT,
	    IN(RUN_BLOCKED) | IN(RUN_QUEUED) | WAITING, IN(RUN_ROLLED_BACK), 1,
	    0, BY_ANYBODY, false },
	{ "16 failed unanswered", MODEL_COMMIT, IN(RUN_QUEUED) | WAITING,
	    IN(RUN_FAILED), 1, 0, BY_ANYBODY, false },
	{ "17 cancel", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_CANCELLING), 0, 0,
	    BY_ANYBODY, false },
	{ "17 cancel behind subagents", MODEL_COMMIT, IN(RUN_WAITING_CHILD),
	    IN(RUN_CANCELLING), 0, 0, BY_ANYBODY, false },
	{ "18 cancelled", MODEL_COMMIT, IN(RUN_CANCELLING), IN(RUN_CANCELLED),
	    0, -1, BY_OWNER, false },
	{ "24 rolled back", MODEL_COMMIT, IN(RUN_CANCELLING),
	    IN(RUN_ROLLED_BACK), 0, -1, BY_OWNER, false },
	{ "20 succeeded", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_SUCCEEDED), 0,
	    1, BY_OWNER, false },
	/* Only of an engine that does not know what to do. */
	{ "21 failed", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_FAILED), 0, -1,
	    BY_OWNER, true },
	{ "22 dead letter", MODEL_COMMIT, IN(RUN_RUNNING),
	    IN(RUN_DEAD_LETTERED), 0, 0, BY_OWNER, false },
	{ "23 expired", MODEL_COMMIT, IN(RUN_RUNNING), IN(RUN_EXPIRED), 0, 0,
	    BY_OWNER, true },
	{ "late result", MODEL_LATE, ~0u, ~0u, 0, 0, BY_ANYBODY, false },
};

/* What a commit may have beside its transition; counted as those are. */
static const char *const deeds[] = { "a summary stands in for messages" };

enum {
	DEED_SUMMARY
};

_Static_assert(N_ITEMS(rules) + N_ITEMS(deeds) <= COVERED_RULES,
    "each is counted");

const char *
oracle_rule_name(int i)
{
	int deed = i - (int)N_ITEMS(rules);

	if (deed < 0)
		return rules[i].name;
	return deed < (int)N_ITEMS(deeds) ? deeds[deed] : NULL;
}

bool
oracle_rule_is_rare(int i)
{
	return i < (int)N_ITEMS(rules) && rules[i].rare;
}

static const struct rule *
rule_find(const struct model_change *c)
{
	int64_t steps = c->run->step - c->step;

	for (size_t i = 0; i < N_ITEMS(rules); i++) {
		const struct rule *r = &rules[i];

		if (r->op == c->op && (r->from & IN(c->from)) != 0 &&
		    (r->to & IN(c->run->status)) != 0 &&
		    (r->step < 0 ? steps == 0 || steps == 1 : steps == r->step))
			return r;
	}
	return NULL;
}

static const char *
status_word(enum run_status st)
{
	return st == 0 ? "nothing" : run_status_name(st);
}

static bool
lease_is_over(const struct sim *s, const struct model_change *c)
{
	if (c->leased_at <
	    model_now_us(s->model) - (int64_t)NODE_FREE_AFTER_MS * 1000)
		return true;
	for (int i = 0; i < s->model->nodes.n; i++) {
		const struct model_node *n = s->model->nodes.rows[i];

		if (n->epoch == c->owner_epoch)
			return n->lease_expires_at <= model_now_us(s->model);
	}
	return false;
}

static void
owner_check(struct sim *s, const struct model_change *c, const struct rule *r)
{
	const struct model_run *run = c->run;
	int64_t actor = s->actor != NULL ? s->actor->epoch : 0;

	if (r->who == BY_OWNER && actor != c->owner_epoch)
		sim_violate(s, "I6",
		    "%s: '%s' by epoch %lld, its owner is %lld",
		    sim_short(run->id), r->name, (long long)actor,
		    (long long)c->owner_epoch);
	if (r->who == BY_REAPER && !lease_is_over(s, c))
		sim_violate(s, "I6", "%s is taken from epoch %lld, which lives",
		    sim_short(run->id), (long long)c->owner_epoch);
	if (r->who == BY_CLAIMER &&
	    (run->owner_epoch != c->epoch || c->owner_epoch != 0))
		sim_violate(s, "I6", "%s: two owners", sim_short(run->id));
	if (run_has_owner(run->status) && r->who == BY_OWNER &&
	    r->op == MODEL_COMMIT && run->owner_epoch != c->owner_epoch)
		sim_violate(s, "I6", "%s: the owner changed",
		    sim_short(run->id));
	if (!run_has_owner(run->status) && run->owner_epoch != 0)
		sim_violate(s, "I6", "%s: %s with an owner", sim_short(run->id),
		    run_status_name(run->status));
}

static void
rule_check(struct sim *s, const struct model_change *c, const struct rule *r)
{
	int64_t fences = c->run->fence - c->fence;

	if (fences != r->fence)
		sim_violate(s, "I2", "%s: '%s' moves the fence by %lld",
		    sim_short(c->run->id), r->name, (long long)fences);
	if (c->commit != NULL && c->commit->fence != c->fence)
		sim_violate(s, "I6", "%s: '%s' with fence %lld, it is %lld",
		    sim_short(c->run->id), r->name, (long long)c->commit->fence,
		    (long long)c->fence);
	owner_check(s, c, r);
}

/* ---- Run, thread and job after each change -------------------------- */

static bool
has_job(enum run_status st)
{
	return st == RUN_QUEUED || st == RUN_WAITING_TIMER || run_has_owner(st);
}

static void
job_check(struct sim *s, const struct model_run *r)
{
	const struct model_job *j = model_job(s->model, r->id);

	if (has_job(r->status) != (j != NULL))
		sim_violate(s, "I14", "%s: %s %s a job", sim_short(r->id),
		    run_status_name(r->status), j != NULL ? "with" : "without");
	else if (j != NULL && j->owner_epoch != r->owner_epoch)
		sim_violate(s, "I14", "%s: the job is of epoch %lld, not %lld",
		    sim_short(r->id), (long long)j->owner_epoch,
		    (long long)r->owner_epoch);
}

static void
thread_check(struct sim *s, const struct model_run *r)
{
	const struct model_thread *t = model_thread(s->model, r->thread_id);
	bool active = uuid_equal(t->active_run_id, r->id);
	int n = 0;

	for (int i = 0; i < s->model->runs.n; i++) {
		const struct model_run *other = s->model->runs.rows[i];

		n += uuid_equal(other->thread_id, t->id) &&
		     other->ns[0] == '\0' && run_holds_thread(other->status);
	}
	if (n > 1)
		sim_violate(s, "I13", "%d runs hold a thread", n);
	if ((r->ns[0] == '\0' && run_holds_thread(r->status)) != active)
		sim_violate(s, "I13", "%s is %s and %s its thread",
		    sim_short(r->id), run_status_name(r->status),
		    active ? "holds" : "does not hold");
}

/* The first one of those that wait is the next. */
static void
turn_check(struct sim *s, const struct model_run *r)
{
	const struct model_run *first = model_first_blocked(s->model,
	    r->thread_id);

	if (first != NULL && first->block_pos < r->blocked_at)
		sim_violate(s, "FIFO", "%s begins before %s", sim_short(r->id),
		    sim_short(first->id));
}

/* Who waits knows how many work; who has ended has nobody at work for it. */
static void
family_check(struct sim *s, const struct model_run *r)
{
	int n = 0;

	for (int i = 0; i < s->model->runs.n; i++) {
		const struct model_run *k = s->model->runs.rows[i];

		n += uuid_equal(k->parent_run_id, r->id) &&
		     run_is_open(k->status);
	}
	if (r->pending_children != n)
		sim_violate(s, "I21", "%s waits for %lld subagents, %d work",
		    sim_short(r->id), (long long)r->pending_children, n);
	if ((r->status == RUN_WAITING_CHILD && n == 0) ||
	    (n > 0 && r->status != RUN_WAITING_CHILD &&
		r->status != RUN_CANCELLING))
		sim_violate(s, "I21", "%s is %s with %d subagents",
		    sim_short(r->id), run_status_name(r->status), n);
}

static void
cover(struct sim *s, size_t i)
{
	long *row = s->coverage->hits[i];
	bool any = false;

	for (int k = 0; k < FAULT_KINDS; k++)
		if (fault_is_near(s, (enum fault_kind)k)) {
			row[k]++;
			any = true;
		}
	if (!any)
		row[FAULT_KINDS]++;
}

static void
cover_deeds(struct sim *s, const struct run_commit *c)
{
	for (int i = 0; i < c->n_messages; i++)
		if (strcmp(c->messages[i].role, "system") == 0)
			cover(s, N_ITEMS(rules) + DEED_SUMMARY);
}

void
oracle_changed(void *arg, const struct model_change *c)
{
	struct sim *s = arg;
	const struct rule *r = rule_find(c);

	sim_trace(s, "run %s %s > %s step %lld fence %lld events %lld: %s",
	    sim_short(c->run->id), status_word(c->from),
	    run_status_name(c->run->status), (long long)c->run->step,
	    (long long)c->run->fence, (long long)c->run->head_seq,
	    r != NULL ? r->name : "?");
	if (r == NULL) {
		sim_violate(s, "T", "%s: no rule from %s to %s",
		    sim_short(c->run->id), status_word(c->from),
		    run_status_name(c->run->status));
		return;
	}
	cover(s, (size_t)(r - rules));
	if (c->commit != NULL)
		cover_deeds(s, c->commit);
	if (c->op == MODEL_LATE) {
		if (c->tool->n_results > 1)
			sim_violate(s, "I8", "%s has got a second result",
			    c->tool->t.idem_key);
		return;
	}
	if (c->run->status == RUN_FAILED &&
	    strstr(c->commit->error, LINK_BROKEN) != NULL)
		sim_violate(s, "I18", "%s fails because the store was away",
		    sim_short(c->run->id));
	if (c->from == RUN_BLOCKED && c->run->status == RUN_QUEUED)
		turn_check(s, c->run);
	rule_check(s, c, r);
	if (c->op == MODEL_COMMIT || c->op == MODEL_TELL)
		family_check(s, c->run);
	job_check(s, c->run);
	thread_check(s, c->run);
}

/* What is shown has been stored, as it is shown. */
void
oracle_frame(const struct bus_msg *m, void *arg)
{
	struct sim *s = arg;
	const struct model_event *e;
	size_t len;

	if (m->seq == 0)
		return;
	e = model_event(s->model, m->topic, m->seq);
	len = e != NULL ? strlen(e->body) - 1 : 0;
	if (e == NULL || e->run_seq != m->run_seq)
		sim_violate(s, "I12", "event %lld was shown and not stored",
		    (long long)m->seq);
	else if (m->frame->len < len ||
		 memcmp(m->frame->data + m->frame->len - len, e->body + 1,
		     len) != 0)
		sim_violate(s, "I12", "event %lld was shown with another body",
		    (long long)m->seq);
}

/* ---- Every now and then -------------------------------------------- */

/* A node notices it in its second look that reaches the store; some do not. */
#define IDLE_MS (5 * ENGINE_LOOK_MS)

static bool
is_worked_on(const struct sim *s, const struct model_run *r)
{
	for (const struct sim_node *n = s->lives; n != NULL; n = n->next) {
		if (n->epoch != r->owner_epoch || n->engine == NULL)
			continue;
		if (n->dead || n->paused_until > loop_now_ms(s->loop))
			return true; /* that is the reaper's business */
		for (const struct work *w = n->engine->works; w != NULL;
		     w = w->next)
			if (uuid_equal(w->run_id, r->id))
				return true;
	}
	return false;
}

void
oracle_now(struct sim *s)
{
	int64_t now = (int64_t)sim_ms(s);

	for (int i = 0; i < s->model->runs.n; i++) {
		struct model_run *r = s->model->runs.rows[i];

		if (!run_has_owner(r->status) || is_worked_on(s, r))
			r->idle_since = 0;
		else if (r->idle_since == 0)
			r->idle_since = now;
		else if (now - r->idle_since > IDLE_MS)
			sim_violate(s, "I18",
			    "%s is owned by epoch %lld, which "
			    "lives and does nothing",
			    sim_short(r->id), (long long)r->owner_epoch);
	}
}

/* ---- At the end ---------------------------------------------------- */

static bool
event_is_end(const struct model_event *e)
{
	return strcmp(e->type, "run_status") == 0 &&
	       strstr(e->body, "\"status\":\"end\"") != NULL;
}

static void
run_events_check(struct sim *s, const struct model_run *r)
{
	int64_t seq = 0, fence = 0;
	int ends = 0;
	char state[48];

	snprintf(state, sizeof(state), "\"state\":\"%s\"",
	    run_status_name(r->status));
	for (int i = 0; i < s->model->events.n; i++) {
		const struct model_event *e = s->model->events.rows[i];

		if (!uuid_equal(e->run_id, r->id))
			continue;
		if (e->run_seq != ++seq || e->fence < fence)
			sim_violate(s, "I2",
			    "%s: event %lld at %lld, fence "
			    "%lld after %lld",
			    sim_short(r->id), (long long)e->run_seq,
			    (long long)seq, (long long)e->fence,
			    (long long)fence);
		fence = e->fence;
		if (ends > 0)
			sim_violate(s, "I4", "%s: an event after the end",
			    sim_short(r->id));
		if (!event_is_end(e))
			continue;
		ends++;
		if (strstr(e->body, state) == NULL)
			sim_violate(s, "I3", "%s is %s, its log says %s",
			    sim_short(r->id), run_status_name(r->status),
			    e->body);
	}
	if (seq != r->head_seq)
		sim_violate(s, "I2", "%s: %lld events, the head is %lld",
		    sim_short(r->id), (long long)seq, (long long)r->head_seq);
	if (ends != !run_is_open(r->status))
		sim_violate(s, "I4", "%s is %s and has %d ends",
		    sim_short(r->id), run_status_name(r->status), ends);
}

static void
run_checkpoints_check(struct sim *s, const struct model_run *r)
{
	struct uuid last = { 0 };
	int64_t n = 0;

	for (int i = 0; i < s->model->checkpoints.n; i++) {
		const struct model_checkpoint *k = s->model->checkpoints
						       .rows[i];

		if (!uuid_equal(k->run_id, r->id))
			continue;
		if (r->ns[0] != '\0' && !uuid_equal(k->parent_id, last))
			sim_violate(s, "I5",
			    "a checkpoint's parent is not the one before");
		if (k->step != ++n)
			sim_violate(s, "I6", "%s: step %lld at %lld",
			    sim_short(r->id), (long long)k->step, (long long)n);
		last = k->id;
	}
	if (n != r->step || !uuid_equal(last, r->checkpoint_id))
		sim_violate(s, "I3", "%s: %lld checkpoints at step %lld",
		    sim_short(r->id), (long long)n, (long long)r->step);
}

static int
results_of(const struct sim *s, const struct model_tool *t)
{
	int n = 0;

	for (int i = 0; i < s->model->messages.n; i++) {
		const struct model_message *m = s->model->messages.rows[i];

		n += uuid_equal(m->run_id, t->run_id) &&
		     m->m.tool_call_id != NULL && m->m.step == t->t.step + 1 &&
		     strcmp(m->m.tool_call_id, t->t.call_id) == 0;
	}
	return n;
}

static void
run_tools_check(struct sim *s, const struct model_run *r)
{
	for (int i = 0; i < s->model->tools.n; i++) {
		const struct model_tool *t = s->model->tools.rows[i];

		if (!uuid_equal(t->run_id, r->id) || run_is_open(r->status))
			continue;
		if (strcmp(t->t.state, "started") == 0 ||
		    strcmp(t->t.state, "planned") == 0 ||
		    strcmp(t->t.state, "awaiting_approval") == 0 ||
		    strcmp(t->t.state, "parked") == 0)
			sim_violate(s, "I11", "%s has ended, %s is open",
			    sim_short(r->id), t->t.idem_key);
		if (results_of(s, t) != 1)
			sim_violate(s, "I11", "%s (%s) has %d results",
			    t->t.idem_key, t->t.state, results_of(s, t));
	}
}

/* The message at this place of a thread's history, or NULL. */
static const struct model_message *
message_at(const struct sim *s, struct uuid thread_id, int64_t sequence)
{
	for (int i = 0; i < s->model->messages.n; i++) {
		const struct model_message *m = s->model->messages.rows[i];

		if (m->m.sequence == sequence &&
		    uuid_equal(m->thread_id, thread_id))
			return m;
	}
	return NULL;
}

static const struct model_tool *
tool_with_id(const struct sim *s, struct uuid id)
{
	for (int i = 0; i < s->model->tools.n; i++) {
		const struct model_tool *t = s->model->tools.rows[i];

		if (uuid_equal(t->t.id, id))
			return t;
	}
	return NULL;
}

static const char *
last_said(const struct sim *s, const struct model_run *r)
{
	const struct model_message *last = NULL;

	for (int i = 0; i < s->model->messages.n; i++) {
		const struct model_message *m = s->model->messages.rows[i];

		if (uuid_equal(m->run_id, r->id) &&
		    strcmp(m->m.role, "assistant") == 0 &&
		    (last == NULL || m->m.sequence > last->m.sequence))
			last = m;
	}
	return last != NULL ? last->m.content : "";
}

/* What its parent was told of a subagent, once, is how it has ended. */
static void
task_check(struct sim *s, const struct model_run *r)
{
	bool good = r->status == RUN_SUCCEEDED;
	const struct model_tool *t;

	if (uuid_is_nil(r->parent_run_id) || run_is_open(r->status))
		return;
	t = tool_with_id(s, r->parent_call_id);
	if (t == NULL || t->t.result == NULL || t->n_results != 1)
		sim_violate(s, "I21", "%s has ended, its parent was not told",
		    sim_short(r->id));
	else if (strcmp(t->t.state, good ? "succeeded" : "failed") != 0 ||
		 (good && strcmp(t->t.result, last_said(s, r)) != 0))
		sim_violate(s, "I21", "%s is %s, its parent was told '%s'",
		    sim_short(r->id), run_status_name(r->status), t->t.result);
}

static void
history_row(struct run_history_row *h, const struct model_message *m)
{
	*h = (struct run_history_row){ .id = m->m.id,
		.role = m->m.role,
		.content = m->m.content,
		.parts = m->m.parts,
		.tool_call_id = m->m.tool_call_id,
		.state = m->m.state,
		.run_id = m->run_id,
		.step = m->m.step,
		.sequence = m->m.sequence };
}

/*
 * The order of the messages is the order of the runs; and nobody says anything
 * between a call and its result.
 */
static void
history_check(struct sim *s, const struct run_history_row *rows, int n)
{
	for (int i = 1; i < n; i++) {
		bool user = strcmp(rows[i].role, "user") == 0;

		if (user && history_open_calls(rows, i) > 0)
			sim_violate(s, "I11", "message %lld parts a call",
			    (long long)rows[i].sequence);
		if (uuid_equal(rows[i].run_id, rows[i - 1].run_id))
			continue;
		for (int k = 0; k < i - 1; k++)
			if (uuid_equal(rows[k].run_id, rows[i].run_id))
				sim_violate(s, "I11",
				    "message %lld of %s behind another run's",
				    (long long)rows[i].sequence,
				    sim_short(rows[i].run_id));
	}
}

static void
thread_messages_check(struct sim *s, const struct model_thread *t)
{
	struct run_history_row *rows = xcalloc((size_t)t->next_msg_seq,
	    sizeof(*rows));
	const struct model_message *m;
	int n = 0;

	for (int64_t i = 1; i < t->next_msg_seq; i++) {
		m = message_at(s, t->id, i);
		if (m == NULL)
			sim_violate(s, "I11", "no message %lld", (long long)i);
		else if (m->ns[0] == '\0' &&
			 strcmp(m->m.state, "rolled_back") != 0)
			history_row(&rows[n++], m);
	}
	history_check(s, rows, n);
	free(rows);
	for (int i = 0; i < s->model->messages.n; i++) {
		m = s->model->messages.rows[i];
		if (!uuid_equal(m->thread_id, t->id))
			continue;
		if (m->m.sequence >= t->next_msg_seq ||
		    (m->m.sequence < 0 &&
			strcmp(m->m.state, "rolled_back") != 0 &&
			model_run(s->model, m->run_id)->status != RUN_BLOCKED))
			sim_violate(s, "I11", "message %lld is %s",
			    (long long)m->m.sequence, m->m.state);
	}
}

/* What is rolled back is a branch that the head has left. */
static void
thread_checkpoints_check(struct sim *s, const struct model_thread *t)
{
	struct uuid head = { 0 }, side = { 0 };
	struct uuid run = { 0 };

	for (int i = 0; i < s->model->checkpoints.n; i++) {
		const struct model_checkpoint *k = s->model->checkpoints
						       .rows[i];

		if (!uuid_equal(k->thread_id, t->id) || k->ns[0] != '\0')
			continue;
		if (!uuid_equal(k->run_id, run))
			side = head;
		run = k->run_id;
		if (!uuid_equal(k->parent_id, side))
			sim_violate(s, "I5",
			    "a checkpoint's parent is no head");
		side = k->id;
		if (model_run(s->model, run)->status != RUN_ROLLED_BACK)
			head = side;
	}
	if (!uuid_equal(head, t->head_checkpoint_id))
		sim_violate(s, "I5", "a thread's head is another checkpoint");
}

static void
thread_log_check(struct sim *s, const struct model_thread *t)
{
	int64_t seq = 0;

	for (int i = 0; i < s->model->events.n; i++) {
		const struct model_event *e = s->model->events.rows[i];

		if (uuid_equal(e->thread_id, t->id) && e->seq != ++seq)
			sim_violate(s, "I2", "event %lld of a thread at %lld",
			    (long long)e->seq, (long long)seq);
	}
	if (seq != t->head_seq)
		sim_violate(s, "I2", "a thread's head is not its end");
	thread_messages_check(s, t);
	thread_checkpoints_check(s, t);
}

static void
items_check(struct sim *s)
{
	for (int i = 0; i < s->model->items.n; i++)
		for (int k = 0; k < i; k++) {
			const struct model_item *a = s->model->items.rows[i];
			const struct model_item *b = s->model->items.rows[k];

			if (uuid_equal(a->run_id, b->run_id) &&
			    uuid_equal(a->i.interrupt_id, b->i.interrupt_id))
				sim_violate(s, "I10",
				    "two items of one "
				    "question");
		}
}

void
oracle_end(struct sim *s)
{
	for (int i = 0; i < s->model->runs.n; i++) {
		const struct model_run *r = s->model->runs.rows[i];

		if (run_is_open(r->status) && !sim_is_parked(s, r) &&
		    !sim_waits_too(s, r))
			sim_violate(s, "I1", "%s is still %s", sim_short(r->id),
			    run_status_name(r->status));
		run_events_check(s, r);
		run_checkpoints_check(s, r);
		run_tools_check(s, r);
		task_check(s, r);
		job_check(s, r);
		thread_check(s, r);
	}
	for (int i = 0; i < SIM_THREADS; i++)
		thread_log_check(s, model_thread(s->model, s->threads[i]));
	items_check(s);
	people_check_end(s);
	witness_check(s);
}
