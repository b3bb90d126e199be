/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/child.h"
#include "core/run/history.h"
#include "core/run/item_bell.h"
#include "core/run/run_store_impl.h"
#include "core/run/work.h"

/*
 * The list of runs at work on this loop, and their fibers' main function: load,
 * announce, then answer and tools in turn until the run ends or must stop.
 */

#define DOUBT_MS 1000
#define CRASHES_MAX 3 /* at one step */

struct engine *
engine_new(const struct engine_config *config)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	e->c = *config;
	return e;
}

void
engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	MUST(engine_active(e) == 0);
	loop_timer_clear(&e->due);
	free(e->missing);
	free(e);
}

int64_t
engine_now_us(struct engine *e)
{
	return e->c.env.wall_us(e->c.env.arg);
}

struct uuid
engine_new_id(struct engine *e)
{
	return e->c.env.new_id(e->c.env.arg);
}

uint32_t
engine_random(struct engine *e, uint32_t n)
{
	return e->c.env.random(e->c.env.arg, n);
}

int64_t
engine_epoch(const struct engine *e)
{
	return e->c.epoch;
}

void
engine_epoch_set(struct engine *e, int64_t epoch)
{
	e->c.epoch = epoch;
}

const struct engine_limits *
engine_limits(const struct engine *e)
{
	return &e->c.limits;
}

bool
engine_is_trusted(const struct engine *e)
{
	const struct engine_env *env = &e->c.env;

	return env->trusted == NULL || env->trusted(env->arg);
}

int
engine_active(const struct engine *e)
{
	return e->n_works + e->n_claimers;
}

void
engine_publish(struct bus *bus, struct uuid thread_id, struct uuid run_id,
    const struct run_heads *before, const struct event_list *events,
    int64_t now_us)
{
	engine_publish_ns(bus, thread_id, run_id, "", before, events, now_us);
}

void
engine_publish_ns(struct bus *bus, struct uuid thread_id, struct uuid run_id,
    const char *ns, const struct run_heads *before,
    const struct event_list *events, int64_t now_us)
{
	FAILPOINT("publish.pre");
	for (int i = 0; i < events->n; i++) {
		struct bus_msg m = { .topic = thread_id, .run_id = run_id };

		m.seq = before->seq + i + 1;
		m.run_seq = before->run_seq + i + 1;
		m.frame = event_frame_ns(events->items[i].type, m.seq,
		    m.run_seq, run_id, ns, now_us, events->items[i].body);
		bus_publish(bus, &m);
		rcbuf_unref(m.frame);
	}
	item_bell_events(bus, events);
	FAILPOINT("publish.post");
}

/* ---- One run ------------------------------------------------------- */

static void
work_unlink(struct work *w)
{
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		w->e->works = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	w->e->n_works--;
	w->e->n_lane[w->lane]--;
	w->e->n_other -= w->class != 0 ? 1 : 0;
	if (w->e->c.desk != NULL)
		desk_take(w->e->c.desk, w->run_id);
}

static const char *
start_reason(const struct work *w)
{
	if (w->state.fence <= 1)
		return "started";
	if (w->state.waited == 0)
		return "recovered";
	return w->state.waited == RUN_WAITING_TIMER ? "retry" : "resumed";
}

/* Taken over or claimed from the queue: say so before anything else. */
static SUSPENDS enum as_status
work_announce(struct work *w)
{
	struct work_commit wc;
	enum as_status st;

	work_commit_init(w, &wc);
	/* What has waited for its turn has all of its time before it. */
	if (w->state.deadline_at == 0)
		wc.c.deadline_at = wc.c.now_us +
				   work_limits(w).max_wall_ms * 1000;
	event_list_add_status(&wc.events, RUN_RUNNING, start_reason(w), NULL,
	    NULL);
	if (history_open_calls(w->history, w->n_history) == 0)
		work_message_start(w, &wc);
	st = work_commit(w, &wc, NULL);
	work_commit_fini(&wc);
	return st;
}

/*
 * Whoever takes a run over looks first whether it may still be worked on: not
 * if its time is over, nor if it has taken its process down again and again.
 */
static SUSPENDS bool
work_is_hopeless(struct work *w)
{
	struct work_ending end = { .items_close = "dismissed" };
	struct error why = { 0 };

	if (w->state.crash_count >= CRASHES_MAX &&
	    w->state.crash_step == w->state.step) {
		end.to = RUN_DEAD_LETTERED;
		end.dead_reason = "crashed";
		error_set(&why, ERR_CRASHED,
		    "the process has died %lld times at step %lld of this run",
		    (long long)w->state.crash_count, (long long)w->state.step);
	} else if (w->state.deadline_at > 0 &&
		   w->state.deadline_at <= engine_now_us(w->e)) {
		end.to = RUN_EXPIRED;
		error_set(&why, ERR_EXPIRED,
		    "the run's time was over before it was done");
	} else
		return false;
	end.why = &why;
	if (work_end(w, &end) == AS_CONFLICT)
		work_finish_cancel(w, NULL, 0);
	error_clear(&why);
	return true;
}

static SUSPENDS void
work_loop(struct work *w, bool announced)
{
	enum work_turn end = WORK_GOES_ON;

	if (!w->cancel && work_is_hopeless(w))
		return;
	work_heed(w);
	if (!announced && !w->cancel && work_announce(w) == AS_CANCELED)
		return;
	while (end == WORK_GOES_ON && !w->lost) {
		work_heed(w);
		if (w->lost)
			break;
		if (w->cancel && !child_end_all(w))
			end = WORK_ENDED;
		else if (w->cancel)
			end = (work_finish_cancel(w, NULL, 0), WORK_ENDED);
		else if (w->drain)
			end = (work_yield(w), WORK_ENDED);
		else if (history_open_calls(w->history, w->n_history) > 0)
			end = work_tools(w);
		else
			end = work_answer(w);
	}
}

static void
work_free(struct work *w)
{
	work_unlink(w);
	engine_slot_freed(w->e);
	arena_free(w->history_arena);
	arena_free(w->arena);
	free(w);
}

/* The deadline is the store's; this loop has a clock of its own. */
static void
wall_set(struct work *w)
{
	int64_t left = (w->state.deadline_at - engine_now_us(w->e)) / 1000;
	int64_t max = work_limits(w).max_wall_ms;

	if (w->state.deadline_at == 0 || left > max)
		left = max;
	w->wall_end_ms = loop_now_ms(w->e->c.loop) +
			 (left > 0 ? (uint64_t)left : 0);
	fiber_deadline_set(w->wall_end_ms + 60000);
}

/*
 * It ends here without having said so in the store: whoever has room goes on,
 * after the next poll.  Nothing may be left running that nobody works on.
 * charge: it could not be worked on, which is as good as a crash.
 */
static SUSPENDS void
work_let_go(struct work *w, bool charge)
{
	enum as_status st;

	if (charge)
		(void)run_store_charge(w->e->c.runs, w->run_id, NULL);
	for (int i = 0;; i++) {
		st = run_store_release(w->e->c.runs, w->e->c.epoch,
		    w->thread_id, w->run_id, NULL);
		if (!work_wait_retry(w, st, i))
			break;
	}
	if (st == AS_OK)
		log_warn("run", "a run is given back to the queue");
}

/* st: was there work to be done? */
static SUSPENDS void
work_leave(struct work *w, enum as_status st)
{
	if (st != AS_OK || w->gave_up)
		work_let_go(w, true);
	else if (w->distrusted || (!w->lost && run_has_owner(w->state.status)))
		work_let_go(w, false);
}

static SUSPENDS void
work_main(void *arg)
{
	struct work *w = arg;
	bool announced = !uuid_is_nil(w->message_id);
	struct error err = { 0 };
	enum as_status st;
	char id[UUID_TEXT];

	fiber_crumb_set(w->run_id);
	fiber_deadline_set(w->wall_end_ms + 60000);
	uuid_format(w->run_id, id);
	st = work_load(w, &err);
	if (st == AS_OK && w->state.owner_epoch != w->e->c.epoch)
		st = error_set(&err, ERR_CONFLICT, "owned by node epoch %lld",
		    (long long)w->state.owner_epoch);
	if (st == AS_OK) {
		fiber_correlation_set(w->state.correlation_id);
		wall_set(w);
		log_debug("run", "run %s starts at step %lld", id,
		    (long long)w->state.step);
		work_loop(w, announced);
		work_step_aside(w);
	} else
		log_err("run", "run %s cannot be worked on: %s", id,
		    err.detail);
	if (st != AS_CONFLICT) /* it is not somebody else's by now */
		work_leave(w, st);
	fiber_correlation_set(NULL);
	error_clear(&err);
	if (w->e->c.slot_used != NULL && st == AS_OK && !w->lost)
		w->e->c.slot_used(w->e->c.slot_arg, w->state.agent_id, w->class,
		    (int64_t)(loop_now_ms(w->e->c.loop) - w->begun_ms));
	work_free(w);
}

static struct work *
work_new(struct engine *e, const struct run_claim *c)
{
	struct work *w = xcalloc(1, sizeof(*w));

	w->e = e;
	w->run_id = c->run_id;
	w->thread_id = c->thread_id;
	w->class = c->class;
	w->lane = c->lane;
	e->n_lane[w->lane]++;
	e->n_other += w->class != 0 ? 1 : 0;
	w->drain = e->draining;
	w->next = e->works;
	if (e->works != NULL)
		e->works->prev = w;
	e->works = w;
	e->n_works++;
	if (e->c.desk != NULL)
		desk_put(e->c.desk, w->run_id);
	return w;
}

static enum as_status
work_start(struct work *w, struct arena *arena, struct error *err)
{
	struct loop *loop = w->e->c.loop;
	char id[UUID_TEXT], name[32];

	w->arena = arena;
	w->begun_ms = loop_now_ms(loop);
	w->wall_end_ms = loop_now_ms(loop) +
			 (uint64_t)w->e->c.limits.max_wall_ms;
	uuid_format(w->run_id, id);
	snprintf(name, sizeof(name), "run %.26s", id + 9);
	w->fiber = fiber_spawn(loop, name, work_main, w);
	if (w->fiber.f != NULL)
		return AS_OK;
	work_free(w);
	return error_set(err, ERR_UNAVAILABLE, "too many fibers");
}

enum as_status
engine_work(struct engine *e, const struct run_claim *c, struct error *err)
{
	return work_start(work_new(e, c), arena_new(NULL), err);
}

struct work *
engine_expect(struct engine *e, const struct run_create *c)
{
	struct run_claim claim = { .run_id = c->run_id,
		.thread_id = c->thread_id,
		.class = c->class,
		.lane = c->class };
	struct work *w;

	if (!engine_has_slot(e))
		return NULL;
	w = work_new(e, &claim);
	w->state = (struct run_state){ .id = c->run_id,
		.thread_id = c->thread_id,
		.agent_id = c->agent_id,
		.tenant_id = c->tenant_id,
		.user_id = c->user_id,
		.last_commit_id = c->run_id,
		.status = RUN_RUNNING,
		.fence = 1,
		.owner_epoch = e->c.epoch,
		.deadline_at = c->deadline_at,
		.created_at = c->now_us,
		.heads = { c->heads.seq + c->events->n, c->events->n,
		    c->heads.msg_seq + (uuid_is_nil(c->message.id) ? 0 : 1) },
		.branch = c->branch,
		.leaf = c->branch.leaf,
		.forked_from = c->forked_from,
		.fork_mode = c->fork.mode,
		.model = c->model,
		.ns = "",
		.root_kind = run_create_kind(c),
		.correlation_id = c->correlation_id,
		.traceparent = c->traceparent,
		.kind = run_create_kind(c),
		.class = c->class,
		.now_us = c->now_us };
	return w;
}

/*
 * If it was created, this process owns it and nobody works on it: back to the
 * queue with it.  Once more after a while, because a server whose connection
 * broke may still be at its commit.
 */
static SUSPENDS void
doubt_main(void *arg)
{
	struct work *w = arg;
	struct engine *e = w->e;
	enum as_status st;

	fiber_deadline_set(loop_now_ms(e->c.loop) + 60000);
	for (int i = 0; i < 2 && !w->drain; i++) {
		st = run_store_release(e->c.runs, e->c.epoch, w->thread_id,
		    w->run_id, NULL);
		if (st == AS_OK) {
			engine_starve(e);
			break;
		}
		w->wait = fiber_prepare();
		(void)fiber_suspend(loop_now_ms(e->c.loop) + DOUBT_MS);
	}
	work_free(w);
}

void
engine_forget(struct work *w, enum as_status st)
{
	bool doubt = st == AS_UNAVAILABLE || st == AS_TIMEOUT ||
		     st == AS_CANCELED;

	if (!doubt ||
	    fiber_spawn(w->e->c.loop, "run in doubt", doubt_main, w).f == NULL)
		work_free(w);
}

enum as_status
engine_begin(struct work *w, struct uuid message_id, struct agent *agent,
    struct arena *arena, struct error *err)
{
	struct run_state *s = &w->state;

	w->message_id = message_id;
	w->agent = agent;
	s->model = arena_strdup(arena, s->model);
	s->correlation_id = arena_strdup(arena, s->correlation_id);
	s->traceparent = arena_strdup(arena, s->traceparent);
	s->fork_mode = arena_strdup(arena, s->fork_mode);
	return work_start(w, arena, err);
}

void
engine_notify_cancel(struct engine *e, struct uuid run_id)
{
	for (struct work *w = e->works; w != NULL; w = w->next)
		if (uuid_equal(w->run_id, run_id)) {
			w->cancel = true;
			fiber_wake(w->wait);
		}
}

/* Every run at work is told; those that wait for something wake. */
static void
works_tell(struct engine *e, bool abort)
{
	for (struct work *w = e->works; w != NULL; w = w->next) {
		w->drain = true;
		w->abort = abort;
		fiber_wake(w->wait);
	}
}

void
engine_shed(struct engine *e)
{
	works_tell(e, true);
}

static SUSPENDS void
works_wait(struct engine *e, uint64_t until_ms)
{
	while (engine_active(e) > 0 && loop_now_ms(e->c.loop) < until_ms)
		if (fiber_sleep(10) != FIBER_WOKEN)
			return;
}

SUSPENDS void
engine_drain(struct engine *e, uint64_t until_ms)
{
	e->draining = true;
	works_tell(e, false);
	works_wait(e, until_ms);
	works_tell(e, true);
	works_wait(e, loop_now_ms(e->c.loop) + 5000);
}
