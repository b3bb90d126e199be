/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_TWIN_H
#define TESTS_INTEGRATION_TWIN_H

/*
 * Two stores that are told the same: the simulator's model and a database.
 * What is done to them is drawn by lot, sometimes with beliefs that are wrong;
 * both have to end with the same status and to say the same.
 */

#include "core/base/mem.h"
#include "tests/integration/store_env.h"
#include "tests/sim/model_store.h"
#include "tests/tap.h"

#define N_TENANTS 60

extern struct model *model;
extern struct run_store *both[2]; /* the model's, the database's */
extern uint64_t chance;
extern int64_t now_us;
extern uint64_t n_ids;
extern struct uuid threads[64];
extern int n_threads, n_promoted;
extern struct uuid user_id, other_id, agent_id;
extern char what[256]; /* the operation under test */
extern bool parted; /* the two do not say the same any more */
extern const struct uuid tenant;

/* ---- twin.c: chance, and what has to be the same --------------------- */

uint32_t below(uint32_t n);
bool one_in(uint32_t n);
struct uuid new_id(void);
void *any(const struct model_list *l);
const char *words(void);
void same_status(enum as_status a, enum as_status b, const struct error *err);
void same_text(const char *a, const char *b);
void same_count(int a, int b);
void twin_clock_moves(void);

#define ON_BOTH(call_with_rs, err_name) \
	do { \
		enum as_status st_[2]; \
		struct error err_name = { 0 }; \
		for (int i_ = 0; i_ < 2; i_++) { \
			struct run_store *rs = both[i_]; \
			error_clear(&err_name); \
			st_[i_] = call_with_rs; \
		} \
		same_status(st_[0], st_[1], &err_name); \
		error_clear(&err_name); \
	} while (0)

/* ---- twin_node.c: who may work on what ----------------------------- */

int64_t some_epoch(void);
struct uuid some_tenant(void);
int claim_order(const void *a, const void *b);
SUSPENDS void twin_node_joins(void);
SUSPENDS void twin_node_changes(void);
SUSPENDS void twin_claims(void);
SUSPENDS void twin_reaps(void);
SUSPENDS void twin_releases(void);
SUSPENDS void twin_charges(void);
SUSPENDS void twin_reads_node(void);

/* ---- twin_run.c: what begins, and what is beside commits ----------- */

void events_make(struct event_list *l, int n);
struct uuid some_message(struct uuid thread_id);
void message_make(struct run_message *m, struct uuid thread_id,
    const char *role, int64_t sequence, int64_t step, int64_t ordinal);
SUSPENDS void twin_thread_begins(void);
SUSPENDS void twin_run_begins(void);
void twin_hook_changes(void);
SUSPENDS void twin_late(void);
SUSPENDS void twin_switches(void);
SUSPENDS void twin_answers(void);

/* ---- twin_commit.c ------------------------------------------------- */

void answer_make(struct run_answer *a, const struct model_item *item);
int answers_make(struct run_answer a[2], struct uuid run_id);
SUSPENDS void twin_commits(void);

/* ---- twin_reads.c -------------------------------------------------- */

SUSPENDS void twin_reads(void);

#endif
