/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_REPLAY_IMPL_H
#define CORE_RUN_REPLAY_IMPL_H

/* What the files of the replay share: the record, and how far it was played. */

#include "core/run/replay.h"
#include "core/run/run_store_impl.h"
#include "core/run/work.h"

/* ---- replay_record.c: what is stored of the run -------------------- */

struct record_message {
	struct uuid id, parent_id;
	const char *role, *content, *parts, *tool_call_id, *state, *usage;
	int64_t step, ordinal, sequence, created_at;
	/*
	 * Of a tool's message: the place of the first one of the commit that
	 * it was in.  The call ended when all before that was written.
	 */
	int after;
};

struct record_checkpoint {
	int64_t step;
	uint8_t hash[HASH_LEN];
};

struct record_end {
	struct uuid message_id;
	const char *why;
};

struct record {
	struct run_state state; /* the row as it is now */
	const char *error_code, *error;
	struct run_history_row *before; /* the thread until then */
	int n_before;
	int64_t sequence; /* of the run's first message */
	struct record_message *messages;
	int n_messages;
	/* The first one was there at the start; else it takes a run up again. */
	bool has_question;
	struct run_tool *tools;
	int n_tools;
	bool *asked; /* of each: there is an item of a person for it */
	struct record_checkpoint *checkpoints; /* by step, from 1 */
	int n_checkpoints;
	struct record_end *ends; /* of answers */
	int n_ends;
	int parallel; /* calls at once, so that they can end in this order */
	struct agent *agent;
};

SUSPENDS enum as_status record_load(struct record *rec, struct store *store,
    struct uuid run_id, struct arena *arena, struct error *err);
const struct record_checkpoint *record_checkpoint_at(const struct record *rec,
    int64_t step);
const struct run_tool *record_tool_at(const struct record *rec, int64_t step,
    int64_t ordinal);
/* The place of the answer that ends this step, or of a call's result; -1. */
int record_answer_at(const struct record *rec, int64_t step);
int record_result_at(const struct record *rec, const struct run_tool *call);
/*
 * It ended when so many messages were written; -1: it has no result.  Where
 * people were asked results come one by one: those that no call was made for
 * are there at once, and would overtake the others of their commit.
 */
int record_turn(const struct record *rec, const struct run_tool *call);
/* The call whose result a message is; NULL: it is none. */
const struct run_tool *record_call_of(const struct record *rec,
    const struct record_message *m);
/* A person was asked first, and has answered: in the place of a call or not. */
bool record_was_asked(const struct run_tool *t);
/* By a person: what the model had asked for stands in its message. */
bool record_was_edited(const struct run_tool *t);
bool record_is_question(const struct run_tool *t);
bool record_has_expired(const struct run_tool *t);
/* The text of an answer that was not ended; it is no answer of the step. */
bool record_is_partial(const struct record_message *m);
const char *record_why(const struct record *rec, struct uuid message_id);
/* A stop ended it, or kept it from beginning. */
bool record_is_cut(const struct run_tool *t);
bool record_never_began(const struct run_tool *t);
/* It was left behind by the end of its run, parked or before its turn. */
bool record_was_closed(const struct run_tool *t);
bool record_unsent(const struct run_tool *t); /* such a one, never sent */
/* Nobody knew its outcome until a person decided. */
bool record_was_decided(const struct run_tool *t);

/* ---- replay.c: the run as it is played ----------------------------- */

struct replay {
	struct record rec;
	struct run_store runs;
	struct world world;
	struct engine *engine;
	struct arena *arena;
	struct replay_result *out;
	struct run_state now;
	struct run_history_row *said; /* before, and what came out so far */
	int n_said;
	struct run_tool *tools; /* intents that came out */
	int n_tools;
	int next; /* place of the recorded message that must come next */
	bool claimed;
	bool steer_told; /* the next words of a person are known to wait */
	bool stuck; /* what happened then cannot be made to happen */
	bool over; /* the record has ended, or differs: nothing more counts */
	unsigned moves; /* counts everything that happens */
	struct fiber_wait waiting[WORK_CALLS_MAX]; /* tool calls */
	int n_waiting;
};

#define REPLAY_EPOCH 1 /* of the only process */

void replay_over(struct replay *r);
bool replay_ends_cancelled(const struct replay *r);
/* Somebody asks for the run to be stopped, as it was then. */
void replay_cancel(struct replay *r);

/* ---- replay_store.c ------------------------------------------------ */

/* The run as it was when it had been created, and what its engine writes to. */
void replay_store_init(struct replay *r);
/* Is the recorded message at this place a person's, and not the first? */
bool replay_is_steer(const struct replay *r, int at);
/* They come before the commit that they were heard behind. */
bool replay_steers_come(struct replay *r, int at);

/* ---- replay_compare.c ----------------------------------------------- */

/* The first difference counts, and ends the replay. */
void replay_differs(struct replay *r, int64_t step, const char *what,
    const char *expected, const char *got);
/* A commit, before it is kept. */
void replay_check(struct replay *r, const struct run_commit *c);
/* At the end: the record may be longer than what came out. */
void replay_check_rest(struct replay *r);

/* ---- replay_world.c ------------------------------------------------ */

void replay_world_init(struct replay *r);
/* Messages were written: calls whose turn it is may end. */
void replay_world_wake(struct replay *r);

#endif
