/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

/*
 * The simulator: several nodes with the real engine, clients, a store, models
 * and tools, on one loop whose clock is the simulator's, driven by one seed.
 *
 * Everything that could differ between two runs of a seed is drawn from it:
 * delays, ids, what models say, what fails when.  Faults are made up
 * beforehand as a list, so that a part of the list can be tried.
 *
 * An invariant that does not hold ends the run; sim_violate says which.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/loop/fiber.h"
#include "core/run/engine.h"
#include "tests/sim/model_store.h"

#define SIM_NODES 3
#define SIM_THREADS 4
#define SIM_RUNS 8
#define SIM_END_MS 120000 /* everything is over by then */
#define SIM_FAULTS_MS 35000 /* and no fault begins after this */

/* ---- Chance -------------------------------------------------------- */

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* [0, n); 0 of 0 */
bool rng_chance(struct rng *r, int per_mille);

/* ---- Faults -------------------------------------------------------- */

enum fault_kind {
	FAULT_CRASH, /* a node is gone at once, and comes back */
	FAULT_PAUSE, /* a node stands still, then goes on */
	FAULT_DRAIN, /* a node is stopped in order, and comes back */
	FAULT_CUT, /* a node cannot reach the store */
	FAULT_REQUEST_LOST, /* what a node asks the store gets lost */
	FAULT_REPLY_LOST, /* it is done, but nobody is told */
	FAULT_STRAGGLE, /* nobody is told, and it is done later */
	FAULT_STORE_DOWN,
	FAULT_STORE_SLOW,
	FAULT_CANCEL, /* somebody cancels what a thread does */
	FAULT_MODEL_BUSY, /* 429 or 503 */
	FAULT_MODEL_BREAK, /* in the middle of an answer */
	FAULT_MODEL_HANG,
	FAULT_TOOL_REFUSE, /* before it has done anything */
	FAULT_TOOL_LOSE, /* it acts, and the answer is lost */
	FAULT_TOOL_HANG,
	FAULT_TOOL_SLOW,
	FAULT_POISON, /* a run takes its node down */
	FAULT_VERIFY_DARK, /* nobody knows whether it happened */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	uint64_t at_ms; /* from the start */
	uint64_t len_ms;
	int target; /* node or thread; -1: all */
	int per_mille; /* how often it hits while it lasts */
	int mode; /* of a cancel: 1 is a rollback */
};

#define SIM_FAULTS_MAX 48

struct fault_list {
	struct fault f[SIM_FAULTS_MAX];
	int n;
};

const char *fault_name(enum fault_kind kind);
void faults_make(struct fault_list *l, uint64_t seed);
/* As a line "fault crash at 100 for 200 of 1 hits 0 mode 0", and back. */
void fault_write(const struct fault *f, char *out, size_t size);
bool fault_read(const char *line, struct fault *f);

/* ---- One run of a seed --------------------------------------------- */

struct sim_node;
struct witness;

enum {
	COVERED_RULES = 64
};

struct sim_coverage {
	long hits[COVERED_RULES][FAULT_KINDS + 1]; /* the last: no fault */
};

struct sim {
	uint64_t seed;
	struct fault_list faults;
	struct model *model;
	struct loop *loop;
	struct bus *bus;
	struct sim_node *machines[SIM_NODES]; /* the life of each, or NULL */
	struct sim_node *lives; /* all there were */
	int n_lives[SIM_NODES];
	struct uuid crumbs[SIM_NODES]; /* the run that took it down */
	struct sim_node *actor; /* whose request the store looks at */
	struct witness *witness;
	struct json_object *approval; /* of every agent; NULL: none */
	struct uuid threads[SIM_THREADS];
	struct bus_sub *readers[SIM_THREADS];
	uint64_t began_ms;
	int n_runs; /* accepted */
	int n_clients; /* still at it */
	uint64_t n_ids;
	int n_decisions; /* of the operator */
	uint64_t hash; /* of the trace */
	bool print; /* the trace */
	bool over;
	char broken[16]; /* the invariant */
	char how[512];
	struct sim_coverage *coverage;
	int mutant;
};

struct sim_config {
	uint64_t seed;
	const struct fault_list *faults; /* NULL: those of the seed */
	bool print;
	int mutant; /* see mutant.h */
	struct sim_coverage *coverage; /* added to, or NULL */
};

struct sim_result {
	uint64_t hash;
	char broken[16]; /* "": nothing */
	char how[512];
	int n_runs;
};

void sim_run(const struct sim_config *c, struct sim_result *out);

/* ---- For the parts of the simulator -------------------------------- */

uint64_t sim_ms(const struct sim *s); /* since the start */
struct uuid sim_id(struct sim *s);
void sim_trace(struct sim *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* It waits for somebody, or one of its subagents does. */
bool sim_is_parked(const struct sim *s, const struct model_run *r);
/* Blocked, behind one that waits for a person. */
bool sim_waits_too(const struct sim *s, const struct model_run *r);
/* The first one counts. */
void sim_violate(struct sim *s, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *sim_short(struct uuid id); /* its last digits; a static buffer */
/* Is there such a fault now, for this node or thread, and does it hit? */
bool fault_hits(struct sim *s, enum fault_kind kind, int target);
bool fault_is_near(const struct sim *s, enum fault_kind kind);
void faults_start(struct sim *s); /* those that need somebody to act */

/* oracle.c */
void oracle_changed(void *arg, const struct model_change *c);
void oracle_frame(const struct bus_msg *m, void *arg);
void oracle_now(struct sim *s); /* every now and then */
void oracle_end(struct sim *s);
const char *oracle_rule_name(int i); /* NULL after the last */
bool oracle_rule_is_rare(int i); /* may be missing from the coverage */

/* people.c */
struct json_object *people_policy(uint64_t seed); /* NULL: nothing is asked */
void people_start(struct sim *s);
/* A call is made: is it one that needs a person, and has one said so? */
void people_check_call(struct sim *s, const struct model_tool *t);
void people_check_end(struct sim *s);

/* client.c */
void clients_start(struct sim *s);
SUSPENDS void client_cancel(struct sim *s, int thread, bool rollback);

#endif
