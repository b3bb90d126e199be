/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_BUILTIN_H
#define CORE_RUN_BUILTIN_H

/*
 * The tools that the engine has itself.  They reach nothing outside, so they
 * need no plugin; what they do is written with their result, or, for `task`,
 * is a run of its own.  A question is no call: its row is `parked` from the
 * beginning, and a person's answer becomes its result.  Private to core/run.
 */

#include "core/run/call.h"

#define BUILTIN_ASK "ask_human" /* {"question", "choices"?, "free_text"?} */

struct builtin {
	const char *name, *doc;
	const char *schema; /* JSON, of its arguments */
	const char *effect; /* P N */
	/* May this run use it? */
	bool (*offered)(const struct work *w);
	/* NULL: it begins a subagent, see child.c. */
	SUSPENDS enum as_status (
	    *call)(struct call *c, struct json_object *args);
};

/* NULL: none of that name; in a replay, where all is recorded, there is none. */
const struct builtin *builtin_find(const struct work *w, const char *name);
/* Those that this run may use, for its model. */
void builtin_offer(const struct work *w, struct json_object *tools);
/* Is it a question, does this run have that, and are these its arguments? */
bool builtin_asks(const struct work *w, const char *tool,
    struct json_object *args);
/* On the call's fiber. */
SUSPENDS enum as_status builtin_call(const struct builtin *b, struct call *c,
    struct json_object *args);

#endif
