/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/node.h"

/*
 * What goes wrong and when.  Most faults only last for a while, and who does
 * something asks whether it is hit; the others have a fiber that acts.
 */

#define AFTERMATH_MS 8000 /* what a fault may still be the cause of */

struct fault_kind_info {
	const char *name;
	int per_mille; /* of the seeds that have it */
	int max; /* times a seed */
	uint32_t len_min, len_more; /* ms */
	int hits; /* per mille, at most */
	int targets; /* 0: no target */
};

static const struct fault_kind_info kinds[FAULT_KINDS] = {
	[FAULT_CRASH] = { "crash", 700, 3, 200, 4000, 0, SIM_NODES },
	[FAULT_PAUSE] = { "pause", 600, 2, 1000, 14000, 0, SIM_NODES },
	[FAULT_DRAIN] = { "drain", 300, 2, 200, 2000, 0, SIM_NODES },
	[FAULT_CUT] = { "cut", 300, 2, 200, 12000, 1000, SIM_NODES },
	[FAULT_REQUEST_LOST] = { "request_lost", 500, 2, 1000, 9000, 500,
	    SIM_NODES },
	[FAULT_REPLY_LOST] = { "reply_lost", 500, 2, 1000, 9000, 500,
	    SIM_NODES },
	[FAULT_STRAGGLE] = { "straggle", 350, 2, 1000, 6000, 400, SIM_NODES },
	[FAULT_STORE_DOWN] = { "store_down", 250, 1, 100, 6000, 1000, 0 },
	[FAULT_STORE_SLOW] = { "store_slow", 250, 1, 1000, 6000, 400, 0 },
	[FAULT_CANCEL] = { "cancel", 600, 3, 0, 1, 0, SIM_THREADS },
	[FAULT_MODEL_BUSY] = { "model_busy", 300, 2, 500, 5000, 900, 0 },
	[FAULT_MODEL_BREAK] = { "model_break", 200, 1, 500, 4000, 700, 0 },
	[FAULT_MODEL_HANG] = { "model_hang", 200, 1, 500, 3000, 500, 0 },
	[FAULT_TOOL_REFUSE] = { "tool_refuse", 350, 2, 500, 6000, 700, 0 },
	[FAULT_TOOL_LOSE] = { "tool_lose", 350, 2, 500, 6000, 600, 0 },
	[FAULT_TOOL_HANG] = { "tool_hang", 250, 1, 500, 4000, 500, 0 },
	[FAULT_TOOL_SLOW] = { "tool_slow", 500, 2, 2000, 9000, 900, 0 },
	[FAULT_POISON] = { "poison", 150, 1, 10000, 20000, 1000, SIM_THREADS },
	[FAULT_VERIFY_DARK] = { "verify_dark", 250, 1, 2000, 20000, 900, 0 },
};

const char *
fault_name(enum fault_kind kind)
{
	return kind == FAULT_KINDS ? "none" : kinds[kind].name;
}

static void
fault_make(struct fault *f, enum fault_kind kind, struct rng *r)
{
	const struct fault_kind_info *k = &kinds[kind];

	f->kind = kind;
	f->at_ms = 200 + rng_below(r, SIM_FAULTS_MS);
	f->len_ms = k->len_min + rng_below(r, k->len_more);
	f->target = k->targets > 0 ? (int)rng_below(r, (uint32_t)k->targets)
				   : -1;
	f->per_mille = k->hits > 0 ? 100 + (int)rng_below(r, (uint32_t)k->hits)
				   : 0;
	f->mode = (int)rng_below(r, 4) == 0;
	if (k->hits == 1000)
		f->per_mille = 1000;
}

void
faults_make(struct fault_list *l, uint64_t seed)
{
	struct rng r = { seed ^ 0x5eed };

	l->n = 0;
	for (int k = 0; k < FAULT_KINDS; k++) {
		int n = rng_chance(&r, kinds[k].per_mille)
			    ? 1 + (int)rng_below(&r, (uint32_t)kinds[k].max)
			    : 0;

		for (int i = 0; i < n && l->n < SIM_FAULTS_MAX; i++)
			fault_make(&l->f[l->n++], (enum fault_kind)k, &r);
	}
}

void
fault_write(const struct fault *f, char *out, size_t size)
{
	snprintf(out, size, "fault %s at %llu for %llu of %d hits %d mode %d",
	    fault_name(f->kind), (unsigned long long)f->at_ms,
	    (unsigned long long)f->len_ms, f->target, f->per_mille, f->mode);
}

bool
fault_read(const char *line, struct fault *f)
{
	unsigned long long at, len;
	char name[32];
	int k = 0;

	if (sscanf(line, "fault %31s at %llu for %llu of %d hits %d mode %d",
		name, &at, &len, &f->target, &f->per_mille, &f->mode) != 6)
		return false;
	while (k < FAULT_KINDS && strcmp(kinds[k].name, name) != 0)
		k++;
	f->kind = (enum fault_kind)k;
	f->at_ms = at;
	f->len_ms = len;
	return k < FAULT_KINDS;
}

/* ---- While it lasts ------------------------------------------------ */

/* By the moment alone, so that a fault less does not move the others. */
static bool
hits_now(const struct sim *s, const struct fault *f, int target)
{
	struct rng r = { s->seed + f->at_ms * 8191 + sim_ms(s) * 131 +
			 (uint64_t)f->kind * 17 + (uint64_t)(target + 1) };

	return f->per_mille == 1000 || rng_chance(&r, f->per_mille);
}

bool
fault_hits(struct sim *s, enum fault_kind kind, int target)
{
	uint64_t now = sim_ms(s);

	for (int i = 0; i < s->faults.n; i++) {
		const struct fault *f = &s->faults.f[i];

		if (f->kind == kind && now >= f->at_ms &&
		    now < f->at_ms + f->len_ms &&
		    (f->target < 0 || f->target == target) &&
		    hits_now(s, f, target))
			return true;
	}
	return false;
}

bool
fault_is_near(const struct sim *s, enum fault_kind kind)
{
	uint64_t now = sim_ms(s);

	for (int i = 0; i < s->faults.n; i++) {
		const struct fault *f = &s->faults.f[i];

		if (f->kind == kind && now >= f->at_ms &&
		    now < f->at_ms + f->len_ms + AFTERMATH_MS)
			return true;
	}
	return false;
}

/* ---- Those that act ------------------------------------------------ */

struct actor {
	struct sim *sim;
	const struct fault *fault;
};

static SUSPENDS void
node_pause(struct sim *s, struct sim_node *n, uint64_t len_ms)
{
	n->paused_until = loop_now_ms(s->loop) + len_ms;
	sim_trace(s, "node %d epoch %lld stands still", n->index,
	    (long long)n->epoch);
}

static SUSPENDS void
fault_acts(struct sim *s, const struct fault *f)
{
	struct sim_node *n = f->kind != FAULT_CANCEL ? s->machines[f->target]
						     : NULL;

	if (f->kind == FAULT_CANCEL)
		client_cancel(s, f->target, f->mode == 1);
	else if (n == NULL)
		return;
	else if (f->kind == FAULT_CRASH)
		node_crash(n, f->len_ms);
	else if (f->kind == FAULT_PAUSE)
		node_pause(s, n, f->len_ms);
	else
		node_drain(n, f->len_ms);
}

static SUSPENDS void
actor_main(void *arg)
{
	struct actor *a = arg;
	struct sim *s = a->sim;

	(void)fiber_sleep(a->fault->at_ms);
	if (!s->over)
		fault_acts(s, a->fault);
	free(a);
}

void
faults_start(struct sim *s)
{
	struct actor *a;

	for (int i = 0; i < s->faults.n; i++) {
		if (s->faults.f[i].kind > FAULT_DRAIN &&
		    s->faults.f[i].kind != FAULT_CANCEL)
			continue;
		a = xcalloc(1, sizeof(*a));
		*a = (struct actor){ s, &s->faults.f[i] };
		MUST(fiber_spawn(s->loop, "fault", actor_main, a).f != NULL);
	}
}
