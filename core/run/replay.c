/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/replay.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/run/compact.h"
#include "core/run/replay_impl.h"

/*
 * A run is replayed by the engine itself, over a store (replay_store.c) and a
 * world (replay_world.c) that hold it to its record.
 */

#define STUCK_MS 5000 /* without anything happening */
#define NO_LIMIT (INT64_MAX / 2) /* something is added to it */

void
replay_over(struct replay *r)
{
	r->over = true;
	r->moves++;
	replay_world_wake(r);
}

bool
replay_ends_cancelled(const struct replay *r)
{
	return r->rec.state.status == RUN_CANCELLED ||
	       r->rec.state.status == RUN_ROLLED_BACK;
}

void
replay_cancel(struct replay *r)
{
	if (r->now.status != RUN_RUNNING)
		return;
	r->now.status = RUN_CANCELLING;
	r->now.cancel_mode = r->rec.state.cancel_mode;
	r->now.heads.seq++; /* its event */
	r->now.heads.run_seq++;
	engine_notify_cancel(r->engine, r->now.id);
}

/* ---- The engine ---------------------------------------------------- */

static struct uuid
env_new_id(void *arg)
{
	(void)arg;
	return uuid_v7();
}

static int64_t
env_wall_us(void *arg)
{
	(void)arg;
	return clock_wall_us();
}

static uint32_t
env_random(void *arg, uint32_t n)
{
	(void)arg, (void)n;
	return 0;
}

/* Limits ended a run in the record or not at all, so there are none here. */
static struct engine *
engine_for(struct replay *r, struct loop *loop, struct bus *bus,
    struct live *live)
{
	struct engine_config c = {
		.loop = loop,
		.runs = &r->runs,
		.world = &r->world,
		.bus = bus,
		.live = live,
		.env = { .new_id = env_new_id,
		    .wall_us = env_wall_us,
		    .random = env_random },
		.epoch = REPLAY_EPOCH,
		.limits = { .max_steps = NO_LIMIT,
		    .max_tokens = NO_LIMIT,
		    .model_tries = 1,
		    .max_wall_ms = 3600000,
		    .call_timeout_ms = 3600000,
		    .tool_timeout_ms = 3600000,
		    .parallel_tools = r->rec.parallel,
		    .max_output = SIZE_MAX / 2, /* it is cut already */
		    .compact_percent = COMPACT_ALWAYS, /* see world_window */
		    .slots = 1 },
	};

	return engine_new(&c);
}

/* ---- The play ------------------------------------------------------ */

/* Nothing here waits for the outside, so something must happen all the time. */
static SUSPENDS void
play_on(struct replay *r, struct loop *loop)
{
	uint64_t since = loop_now_ms(loop);
	unsigned seen = r->moves;

	r->claimed = false;
	engine_claim(r->engine);
	while (engine_active(r->engine) > 0 &&
	       loop_now_ms(loop) < since + STUCK_MS) {
		if (r->moves != seen)
			since = loop_now_ms(loop);
		seen = r->moves;
		if (fiber_yield() != FIBER_WOKEN)
			break;
	}
	if (engine_active(r->engine) == 0)
		return;
	replay_differs(r, r->now.step + 1, "the run does not go on", "an end",
	    NULL);
	engine_drain(r->engine, 0);
}

/* The engine has let go of the run.  Did somebody make it go on, or end it? */
static SUSPENDS bool
goes_on(struct replay *r)
{
	const struct engine_resume how = { .items_close = "dismissed" };
	const struct record *rec = &r->rec;
	bool more = record_checkpoint_at(rec, r->now.step + 1) != NULL ||
		    replay_is_steer(r, r->next) ||
		    (r->next < rec->n_messages &&
			strcmp(rec->messages[r->next].role, "assistant") == 0);

	if (r->over || !run_is_open(r->now.status) ||
	    run_has_owner(r->now.status))
		return false;
	if (!more && replay_ends_cancelled(r))
		(void)engine_end(r->engine, r->now.id, rec->state.status, &how,
		    NULL);
	if (more) {
		r->now.status = RUN_RUNNING;
		(void)replay_steers_come(r, r->next);
	}
	return more;
}

static SUSPENDS void
play(struct replay *r, struct loop *loop)
{
	/* Each wait has something in the record that it was for. */
	int waits = r->rec.n_messages + r->rec.n_tools + 1;

	do
		play_on(r, loop);
	while (goes_on(r) && waits-- > 0);
}

SUSPENDS enum as_status
replay_run(struct loop *loop, struct store *store, struct uuid run_id,
    struct arena *arena, struct replay_result *out, struct error *err)
{
	struct replay *r = arena_alloc(arena, sizeof(*r));
	struct bus *bus;
	struct live *live;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	r->arena = arena;
	r->out = out;
	if ((st = record_load(&r->rec, store, run_id, arena, err)) != AS_OK)
		return st;
	out->status = r->rec.state.status;
	out->step = r->rec.state.step;
	out->fence = r->rec.state.fence;
	replay_store_init(r);
	replay_world_init(r);
	bus = bus_new_memory();
	bus_join(bus, loop);
	live = live_new();
	r->engine = engine_for(r, loop, bus, live);
	play(r, loop);
	engine_free(r->engine);
	live_free(live);
	bus_leave(bus, loop);
	bus_free(bus);
	if (r->stuck && out->what == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "after step %d it ran out of time among its tools, which "
		    "cannot be made to happen again",
		    out->n_steps);
	replay_check_rest(r);
	return AS_OK;
}
