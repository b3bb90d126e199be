/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_ANSWER_H
#define CORE_RUN_ANSWER_H

/*
 * The model's turn while it lasts: private to core/run.
 *
 * answer.c is the owner's side of it, answer_stream.c what happens on the fiber
 * of the request, answer_commit.c what is written of it.
 */

#include "core/run/trickle.h"
#include "core/run/work.h"

struct answer_call {
	struct uuid id; /* of the invocation */
	char *call_id, *name;
	struct buf args;
	bool seen;
};

struct answer {
	struct work *w;
	struct json_object *messages, *tools;
	struct fiber_ref fiber;
	struct buf text, reasoning;
	struct trickle trickle;
	size_t text_shown, reasoning_shown; /* the rest of one of them waits */
	bool reasons; /* what came last is reasoning */
	struct json_object *extras; /* array */
	struct answer_call *calls;
	int n_calls;
	struct plug_chat_end end;
	struct error err;
	enum as_status st;
	enum as_status refused; /* not OK: a part of it was not taken */
	bool done;
};

/* ---- answer_stream.c ----------------------------------------------- */

/* The fiber of the request; arg is the struct answer. */
SUSPENDS void answer_main(void *arg);
/* What has come since the last time, as one piece: of its trickle. */
void answer_show(struct trickle *t);

/* ---- answer_commit.c ----------------------------------------------- */

/* Only calls that were begun, each with an id that is unique in the thread. */
void answer_name_calls(struct answer *a);
/* Its message, the intents of its calls, and the step: see work_commit. */
SUSPENDS enum as_status answer_commit(struct answer *a, struct error *err);

#endif
