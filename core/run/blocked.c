/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/history.h"
#include "core/run/mutant.h"
#include "core/run/work.h"

/*
 * The runs that wait for a thread.  The commit that frees it gives it to the
 * first of them; its owner lets those by that interrupt, and hears those that
 * steer, between two steps.
 *
 * Nobody asks the store whether somebody waits: whoever comes to wait moves the
 * head of the thread, so the next commit of the one who holds it misses, reads
 * the row again, and finds out.
 */

/* ---- Composing ----------------------------------------------------- */

void
work_fill_clear(struct work_commit *wc)
{
	for (int i = 0; i < wc->n_unblock_events; i++)
		event_list_clear(&wc->unblock_events[i]);
	wc->n_unblock_events = 0;
	wc->unblock_events = NULL;
	wc->c.unblocks = NULL;
	wc->c.n_unblocks = 0;
	wc->c.unstaged = NULL;
	memset(&wc->c.branch, 0, sizeof(wc->c.branch));
	if (wc->n_own_events >= 0)
		event_list_truncate(&wc->events, wc->n_own_events);
}

/* The first try: what was there before is not ours to take away. */
static void
fill_begin(struct work_commit *wc)
{
	if (wc->n_own_events < 0)
		wc->n_own_events = wc->events.n;
	work_fill_clear(wc);
}

static void
queued_events(struct event_list *events, const struct run_message *m,
    struct uuid thread_id, struct uuid run_id)
{
	run_message_created(events, m, thread_id, run_id);
	event_list_add_status(events, RUN_QUEUED, "unblocked", NULL, NULL);
}

/* Behind the last message that still counts when this commit is written. */
static struct uuid
last_that_counts(const struct work *w, const struct work_commit *wc)
{
	static const struct uuid none;
	const struct run_branch *b = &w->state.branch;

	/* Who works beside the leaf leaves it where it was. */
	if (!uuid_is_nil(b->leaf) && (b->beside || wc->c.void_messages))
		return b->before;
	if (!wc->c.void_messages)
		return wc->c.n_messages > 0
			   ? wc->messages[wc->c.n_messages - 1].id
			   : w->last_id;
	for (int i = w->n_history - 1; i >= 0; i--)
		if (!uuid_equal(w->history[i].run_id, w->run_id))
			return w->history[i].id;
	return none;
}

/* A staged message, at the place that it gets. */
static struct run_message *
place(struct work_commit *wc, const struct run_blocked *b, int64_t sequence,
    struct uuid parent_id)
{
	struct run_message *m = arena_alloc(wc->arena, sizeof(*m));

	*m = b->message;
	m->state = "final";
	m->sequence = sequence;
	m->parent_id = parent_id;
	return m;
}

/* A run that begins behind the leaf of a thread; nil if that is linear. */
static struct run_branch
branch_at(const struct work *w, const struct run_message *m)
{
	struct run_branch b = { .beside = false };

	if (!uuid_is_nil(w->state.thread_leaf)) {
		b.leaf = m->id;
		b.before = m->parent_id;
	}
	return b;
}

static int64_t
fresh_deadline(const struct work *w, const struct work_commit *wc)
{
	return wc->c.now_us + w->e->c.limits.max_wall_ms * 1000;
}

static SUSPENDS enum as_status
read_blocked(struct work *w, struct work_commit *wc, struct run_blocked **out,
    int *n, struct error *err)
{
	return run_store_blocked(w->e->c.runs, w->thread_id, wc->arena, out, n,
	    err);
}

static struct event_list *
unblock_events(struct work_commit *wc, int n)
{
	wc->unblock_events = arena_alloc(wc->arena,
	    (size_t)n * sizeof(*wc->unblock_events));
	memset(wc->unblock_events, 0, (size_t)n * sizeof(*wc->unblock_events));
	wc->n_unblock_events = n;
	return wc->unblock_events;
}

SUSPENDS enum as_status
work_fill_next(struct work *w, struct work_commit *wc, struct error *err)
{
	struct run_unblock *u;
	struct run_blocked *list;
	enum as_status st;
	int n;

	fill_begin(wc);
	if (w->state.n_blocked == 0)
		return AS_OK;
	st = read_blocked(w, wc, &list, &n, err);
	if (st != AS_OK || n == 0)
		return st;
	MUTANT_DO(JUMP_QUEUE, list += n - 1);
	u = arena_alloc(wc->arena, sizeof(*u));
	*u = (struct run_unblock){ .run_id = list[0].run_id,
		.to = RUN_QUEUED,
		.run_seq = list[0].run_seq,
		.deadline_at = fresh_deadline(w, wc),
		.message = place(wc, &list[0],
		    wc->c.heads.msg_seq + wc->c.n_messages,
		    last_that_counts(w, wc)),
		.events = unblock_events(wc, 1) };
	u->branch = branch_at(w, u->message);
	queued_events(wc->unblock_events, u->message, w->thread_id, u->run_id);
	wc->c.unblocks = u;
	wc->c.n_unblocks = 1;
	return AS_OK;
}

void
work_unblocked(struct work *w, const struct run_commit *c)
{
	struct run_heads heads = { run_commit_unblock_seq(c), 0, 0 };
	bool any = false;

	for (int i = 0; i < c->n_unblocks; i++) {
		const struct run_unblock *u = &c->unblocks[i];

		heads.run_seq = u->run_seq;
		FAILPOINT("unblock.post");
		engine_publish(w->e->c.bus, w->thread_id, u->run_id, &heads,
		    u->events, c->now_us);
		heads.seq += u->events->n;
		any = any || u->to == RUN_QUEUED;
	}
	if (any)
		engine_starve(w->e);
}

/* ---- Steering ------------------------------------------------------ */

/* It ends here: its words go on in the run that has heard them. */
static void
steered_event(struct event_list *events, struct uuid into)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "status", "end");
	jw_str(&b, "state", run_status_name(RUN_CANCELLED));
	jw_str(&b, "reason", "steered");
	jw_uuid(&b, "into", into);
	jw_close(&b);
	event_list_add(events, "run_status", &b);
}

static bool
steers(const struct run_blocked *b)
{
	return b->multitask != NULL &&
	       strcmp(b->multitask, run_multitask_name(RUN_STEER)) == 0;
}

static void
hear(struct work *w, struct work_commit *wc, const struct run_blocked *b,
    struct run_unblock *u, int k)
{
	struct run_message *m = place(wc, b, wc->c.heads.msg_seq + k,
	    k > 0 ? u[-1].message->id : w->last_id);

	m->step = w->state.step + 1;
	m->ordinal = wc->c.heads.run_seq + 1 + k; /* 0 is of the answer */
	*u = (struct run_unblock){ .run_id = b->run_id,
		.to = RUN_CANCELLED,
		.run_seq = b->run_seq,
		.message = m,
		.events = &wc->unblock_events[k] };
	steered_event(&wc->unblock_events[k], w->run_id);
	run_message_created(&wc->events, m, w->thread_id, w->run_id);
}

static SUSPENDS enum as_status
fill_steers(struct work *w, struct work_commit *wc, struct error *err)
{
	struct run_unblock *u;
	struct run_blocked *list;
	enum as_status st;
	int n, k = 0;

	fill_begin(wc);
	st = read_blocked(w, wc, &list, &n, err);
	if (st != AS_OK || n == 0)
		return st;
	u = arena_alloc(wc->arena, (size_t)n * sizeof(*u));
	(void)unblock_events(wc, n);
	for (int i = 0; i < n; i++)
		if (steers(&list[i])) {
			hear(w, wc, &list[i], &u[k], k);
			k++;
		}
	wc->c.unblocks = u;
	wc->c.n_unblocks = k;
	return AS_OK;
}

static SUSPENDS void
hear_all(struct work *w)
{
	struct work_commit wc;
	struct error err = { 0 };
	enum as_status st;

	work_commit_init(w, &wc);
	wc.fill = fill_steers;
	st = work_commit(w, &wc, &err);
	if (st == AS_OK) {
		w->state.n_steers = 0;
		st = work_reload_history(w, &err);
		if (st != AS_OK)
			w->lost = w->gave_up = true;
	}
	work_commit_fini(&wc);
	error_clear(&err);
}

/* ---- Making way ---------------------------------------------------- */

static bool
is_multitask(const char *name, enum run_multitask m)
{
	return name != NULL && strcmp(name, run_multitask_name(m)) == 0;
}

/* Whoever interrupts stands before all others. */
static bool
is_interrupted(const struct work *w)
{
	return w->state.n_blocked > 0 &&
	       (is_multitask(w->state.next_multitask, RUN_INTERRUPT) ||
		   is_multitask(w->state.next_multitask, RUN_ROLLBACK));
}

/* The one who interrupts asks for it too, but may have died before. */
static SUSPENDS void
let_by(struct work *w)
{
	struct work_commit wc;

	work_commit_init(w, &wc);
	wc.c.to = RUN_CANCELLING;
	wc.c.cancel_mode = is_multitask(w->state.next_multitask, RUN_ROLLBACK)
			       ? "discard"
			       : "keep";
	event_list_add_status(&wc.events, RUN_CANCELLING, "superseded", NULL,
	    NULL);
	if (work_commit(w, &wc, NULL) == AS_OK)
		w->cancel = true;
	work_commit_fini(&wc);
}

SUSPENDS void
work_heed(struct work *w)
{
	/* Nobody talks to a subagent; its root is told. */
	if (w->cancel || w->lost || w->drain || w->state.ns[0] != '\0' ||
	    w->state.status != RUN_RUNNING)
		return;
	if (is_interrupted(w))
		let_by(w);
	else if (w->state.n_steers > 0 &&
		 history_open_calls(w->history, w->n_history) == 0)
		hear_all(w);
}

static SUSPENDS enum as_status
supersede(struct engine *e, struct uuid run_id, bool rollback)
{
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };

	return engine_end(e, run_id, rollback ? RUN_ROLLED_BACK : RUN_CANCELLED,
	    &how, NULL);
}

SUSPENDS void
work_step_aside(struct work *w)
{
	if (w->lost || w->state.status != RUN_RECOVERABLE_ERROR ||
	    w->state.n_blocked == 0)
		return;
	FAILPOINT("park.blocked");
	(void)supersede(w->e, w->run_id,
	    is_multitask(w->state.next_multitask, RUN_ROLLBACK));
}

/* ---- Repair -------------------------------------------------------- */

static SUSPENDS enum as_status
fill_start(struct work *w, struct work_commit *wc, struct error *err)
{
	struct run_message *m;
	struct run_blocked *list;
	enum as_status st;
	int n;

	fill_begin(wc);
	if (!uuid_is_nil(w->state.active_run_id))
		return error_set(err, ERR_CANCELED, "the thread is held");
	st = read_blocked(w, wc, &list, &n, err);
	if (st != AS_OK)
		return st;
	if (n == 0 || !uuid_equal(list[0].run_id, w->run_id))
		return error_set(err, ERR_CANCELED, "another run is next");
	m = place(wc, &list[0], wc->c.heads.msg_seq,
	    uuid_is_nil(w->state.thread_leaf) ? w->last_id
					      : w->state.thread_leaf);
	wc->c.unstaged = m;
	wc->c.branch = branch_at(w, m);
	queued_events(&wc->events, m, w->thread_id, w->run_id);
	return AS_OK;
}

SUSPENDS enum as_status
engine_unblock(struct engine *e, struct uuid run_id, struct error *err)
{
	struct work_commit wc;
	struct work *w;
	enum as_status st = work_guest(e, run_id, &w, err);

	if (st == AS_OK && w->state.status != RUN_BLOCKED)
		st = error_set(err, ERR_CONFLICT, "the run is %s",
		    run_status_name(w->state.status));
	if (st == AS_OK) {
		work_commit_init(w, &wc);
		wc.c.to = RUN_QUEUED;
		wc.c.run_at = wc.c.now_us;
		wc.c.deadline_at = fresh_deadline(w, &wc);
		wc.fill = fill_start;
		st = work_commit(w, &wc, err);
		work_commit_fini(&wc);
		if (st == AS_OK)
			engine_starve(e);
		else if (st == AS_CANCELED)
			st = AS_CONFLICT;
	}
	work_guest_free(w);
	return st;
}

static SUSPENDS void
stalled_mend(struct engine *e, const struct run_stalled *s)
{
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };
	bool rollback = is_multitask(s->multitask, RUN_ROLLBACK), asked = false;
	enum as_status st;
	char id[UUID_TEXT];

	if (uuid_is_nil(s->active_run_id))
		st = engine_unblock(e, s->next_run_id, NULL);
	else
		st = engine_cancel(e, s->active_run_id, rollback, &how, &asked,
		    NULL);
	if (st != AS_OK)
		return;
	uuid_format(s->thread_id, id);
	if (uuid_is_nil(s->active_run_id))
		log_warn("run", "thread %s was left free: its queue goes on",
		    id);
	else
		log_info("run", "thread %s has to make way", id);
}

#define STALLED_MAX 100

SUSPENDS void
engine_unstall(struct engine *e)
{
	struct run_stalled *list;
	int n;

	if (run_store_stalled(e->c.runs, STALLED_MAX, &list, &n, NULL) != AS_OK)
		return;
	for (int i = 0; i < n; i++)
		stalled_mend(e, &list[i]);
	free(list);
}
