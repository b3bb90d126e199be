/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_CALL_H
#define CORE_RUN_CALL_H

/*
 * One tool call of a run while it is being made: private to core/run.
 *
 * tools.c is the owner of all calls of a step, tools_result.c its commits, call.c
 * what happens on the fiber of one, call_result.c what is written of it.
 */

#include "core/run/work.h"

struct call {
	struct tools *t;
	struct run_tool row;
	struct fiber_ref fiber;
	uint64_t began_ms;
	enum as_status st;
	struct error err;
	struct json_object *result;
	const char *outcome; /* succeeded failed unknown cancelled skipped */
	const char *todos; /* JSON: the list that it has written, or NULL */
	int tries;
	int64_t sender_until_us; /* of whoever may have sent it before */
	/* Of a tool that asks people itself: see ask_tool.h. */
	struct plug_asking asking;
	struct json_object *answers, *kept; /* or NULL */
	bool parked; /* it has ended with a question */
	bool asks; /* a person has to answer first */
	bool resumed; /* somebody before us may have sent it */
	bool recorded; /* its result is in the row, its message is missing */
	bool sent; /* by us, and not refused for certain */
	bool pausing; /* until its next try */
	bool spawns; /* it is a subagent's work: see child.h */
	bool begun, done;
	bool taken; /* stands in the commit that is under way */
	bool written;
};

struct tools {
	struct work *w;
	struct arena *arena;
	struct call *calls;
	int n, n_running;
	bool parked; /* a person decides now */
};

/* ---- call.c -------------------------------------------------------- */

/* The fiber of a call; arg is the struct call. */
SUSPENDS void call_main(void *arg);
/* It has ended, with this; its outcome follows unless it is set. */
void call_end(struct call *c, enum as_status st);
const struct plug_tool_info *call_tool(const struct call *c); /* or NULL */
bool call_effect_is(const struct call *c, const char *letter);
bool call_is_unknown(const struct call *c);
int64_t call_timeout_ms(const struct call *c);
/* Is it a tool that the run's agent was given? */
bool call_is_offered(const struct work *w, const struct plug_tool_info *info);
/* tools.c: what its row means for it. */
void call_from_row(struct call *c);

/* ---- tools_result.c ------------------------------------------------ */

/* Nobody knows its outcome, and the run is not being stopped. */
bool call_waits(const struct call *c);
/* Nothing is left to do but for those that wait for a person. */
bool tools_none_left(const struct tools *t);
/* Commits what is there; with the last results, the step and what follows. */
SUSPENDS enum as_status tools_commit(struct tools *t, struct error *err);
/* Results that others have told: if the run waits for no more, it goes on. */
SUSPENDS void tools_look_again(struct tools *t);

/* ---- call_result.c ------------------------------------------------- */

/* What the model reads. */
const char *call_result_text(struct call *c, struct arena *arena);
/* The row of a call that has ended. */
void call_row(struct call *c, struct run_tool *done, const char *text);
/* Its row, its event, its message, for the commit. */
void call_result(struct call *c, struct work_commit *wc);

#endif
