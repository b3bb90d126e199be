/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/mutant.h"
#include "tests/sim/node.h"

/*
 * One run of a seed: a loop of its own, so that nothing of another seed is in
 * its timers or fibers.
 */

#define START_MONO_US 1000000000
#define START_WALL_US 1700000000000000
#define LEAVE_MS 60000 /* until every fiber has ended */

/* ---- Chance: splitmix64 -------------------------------------------- */

uint64_t
rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t
rng_below(struct rng *r, uint32_t n)
{
	return n > 0 ? (uint32_t)((rng_next(r) >> 32) * n >> 32) : 0;
}

bool
rng_chance(struct rng *r, int per_mille)
{
	return (int)rng_below(r, 1000) < per_mille;
}

/* ---- Time, ids, trace ---------------------------------------------- */

uint64_t
sim_ms(const struct sim *s)
{
	return loop_now_ms(s->loop) - s->began_ms;
}

/* As a version 7: ordered by time; the end says which one it is. */
struct uuid
sim_id(struct sim *s)
{
	uint64_t ms = (uint64_t)clock_wall_us() / 1000, n = ++s->n_ids;
	struct uuid id = { { 0 } };

	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (8 * (5 - i)));
	id.b[6] = 0x70;
	id.b[8] = 0x80;
	for (int i = 0; i < 7; i++)
		id.b[9 + i] = (uint8_t)(n >> (8 * (6 - i)));
	return id;
}

const char *
sim_short(struct uuid id)
{
	static char text[4][8];
	static int at;

	at = (at + 1) % 4;
	snprintf(text[at], sizeof(text[at]), "%02x%02x", id.b[14], id.b[15]);
	return text[at];
}

static void
trace_line(struct sim *s, const char *line)
{
	for (const char *p = line; *p != '\0'; p++)
		s->hash = (s->hash ^ (uint8_t)*p) * 0x100000001b3;
	if (s->print)
		printf("# %s\n", line);
}

void
sim_trace(struct sim *s, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%9.3f ", (double)sim_ms(s) / 1000);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	trace_line(s, line);
}

void
sim_violate(struct sim *s, const char *what, const char *fmt, ...)
{
	va_list ap;

	if (s->broken[0] != '\0')
		return;
	snprintf(s->broken, sizeof(s->broken), "%s", what);
	va_start(ap, fmt);
	vsnprintf(s->how, sizeof(s->how), fmt, ap);
	va_end(ap);
	sim_trace(s, "BROKEN %s: %s", s->broken, s->how);
}

/* ---- The run ------------------------------------------------------- */

/* Or one that it waits for is. */
bool
sim_is_parked(const struct sim *s, const struct model_run *r)
{
	if (r->status == RUN_RECOVERABLE_ERROR ||
	    r->status == RUN_WAITING_HUMAN)
		return true;
	for (int i = 0; r->status == RUN_WAITING_CHILD && i < s->model->runs.n;
	     i++) {
		const struct model_run *k = s->model->runs.rows[i];

		if (uuid_equal(k->parent_run_id, r->id) && sim_is_parked(s, k))
			return true;
	}
	return false;
}

bool
sim_waits_too(const struct sim *s, const struct model_run *r)
{
	const struct model_run *active = model_run(s->model,
	    model_thread(s->model, r->thread_id)->active_run_id);

	return r->status == RUN_BLOCKED && active != NULL &&
	       active->status != RUN_RECOVERABLE_ERROR &&
	       sim_is_parked(s, active);
}

/* Nothing is going to happen any more. */
static bool
is_quiet(const struct sim *s)
{
	if (s->n_clients > 0)
		return false;
	for (int i = 0; i < s->model->runs.n; i++) {
		const struct model_run *r = s->model->runs.rows[i];

		if (run_is_open(r->status) && !sim_is_parked(s, r) &&
		    !sim_waits_too(s, r))
			return false;
	}
	return true;
}

static bool
all_gone(const struct sim *s)
{
	for (const struct sim_node *n = s->lives; n != NULL; n = n->next)
		if (!node_is_gone(n))
			return false;
	return fiber_count(s->loop) == 1; /* this one */
}

/* Every life ends; a fiber that does not is a mistake of the engine. */
static SUSPENDS void
everybody_leaves(struct sim *s)
{
	uint64_t until = loop_now_ms(s->loop) + LEAVE_MS;

	s->over = true;
	for (struct sim_node *n = s->lives; n != NULL; n = n->next)
		node_crash(n, 0);
	while (!all_gone(s)) {
		if (loop_now_ms(s->loop) > until) {
			sim_violate(s, "END", "%u fibers do not end",
			    fiber_count(s->loop) - 1);
			MUST(all_gone(s));
		}
		(void)fiber_sleep(50);
	}
}

static SUSPENDS void
sim_main(void *arg)
{
	struct sim *s = arg;

	s->began_ms = loop_now_ms(s->loop);
	for (int i = 0; i < SIM_NODES; i++)
		node_boot(s, i);
	clients_start(s);
	faults_start(s);
	while (sim_ms(s) < SIM_END_MS && s->broken[0] == '\0' && !is_quiet(s)) {
		(void)fiber_sleep(100);
		oracle_now(s);
	}
	if (s->broken[0] == '\0')
		oracle_end(s);
	everybody_leaves(s);
	for (int i = 0; i < SIM_THREADS; i++)
		bus_unsubscribe(s->readers[i]);
	loop_stop(s->loop);
}

static void
sim_mutate(struct sim *s, int which)
{
#ifdef SIM_MUTANTS
	mutant = which;
	if (which >= MUTANT_NO_FENCE && which <= MUTANT_LATE_TWICE)
		s->model->mutant = (enum model_mutant)which;
#else
	(void)s, (void)which;
#endif
}

static void
sim_open(struct sim *s, const struct sim_config *c)
{
	memset(s, 0, sizeof(*s));
	clock_fake(START_MONO_US, START_WALL_US);
	s->seed = c->seed;
	s->print = c->print;
	s->hash = 0xcbf29ce484222325;
	if (c->faults != NULL)
		s->faults = *c->faults;
	else
		faults_make(&s->faults, c->seed);
	s->model = model_new();
	s->approval = people_policy(c->seed);
	s->model->changed = oracle_changed;
	s->model->changed_arg = s;
	s->witness = witness_new();
	s->loop = loop_new();
	s->bus = bus_new_memory();
	bus_join(s->bus, s->loop);
	sim_mutate(s, c->mutant);
}

static void
sim_close(struct sim *s)
{
	struct sim_node *n;

	bus_leave(s->bus, s->loop);
	while ((n = s->lives) != NULL) {
		s->lives = n->next;
		node_free(n);
	}
	loop_free(s->loop);
	bus_free(s->bus);
	witness_free(s->witness);
	json_object_put(s->approval);
	model_free(s->model);
	clock_real();
}

void
sim_run(const struct sim_config *c, struct sim_result *out)
{
	struct sim_coverage *mine = NULL;
	struct sim s;

	sim_open(&s, c);
	s.coverage = c->coverage;
	if (s.coverage == NULL)
		s.coverage = mine = xcalloc(1, sizeof(*mine));
	MUST(fiber_spawn(s.loop, "sim", sim_main, &s).f != NULL);
	loop_run_faked(s.loop);
	out->hash = s.hash;
	out->n_runs = s.n_runs;
	memcpy(out->broken, s.broken, sizeof(out->broken));
	memcpy(out->how, s.how, sizeof(out->how));
	sim_close(&s);
	free(mine);
}
