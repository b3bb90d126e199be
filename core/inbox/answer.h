/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_ANSWER_H
#define CORE_INBOX_ANSWER_H

/*
 * Answers as clients write them, in any of three shapes:
 *
 *	{"type": "accept|edit|response|ignore", "args": …}
 *	[the same]
 *	{"decisions": [{"type": "approve|edit|reject|respond", …}]}
 *
 * The args of accept and edit are the arguments of the call, or an action
 * request that holds them: {"action": NAME, "args": {…}}.  Pure.
 */

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/error.h"

struct json_object;

struct answer {
	const char *type; /* accept edit response ignore; static */
	const char *action; /* whose arguments args are; NULL: not said */
	struct json_object *args; /* borrowed from the body, or NULL */
};

struct answers {
	struct answer *list;
	int n;
	bool by_place; /* decisions: the n-th is for the n-th request */
};

/*
 * body has passed its schema (InboxAnswer).  What is wrong is noted under its
 * pointer.  *out lives in the arena and as long as the body.
 */
enum as_status answers_parse(struct json_object *body, struct arena *arena,
    struct answers *out, struct error *err);

/*
 * The arguments as a tool wants them: clients with forms send all values as
 * strings.  A string that is the text of what stands there in `was`, the
 * arguments as they are, becomes that again; else, where the schema does not
 * want a string, one that is written like what it wants becomes that.  Nothing
 * else changes.  schema and was may be NULL.  A new value.
 */
struct json_object *answer_coerce(struct json_object *schema,
    struct json_object *value, struct json_object *was);

#endif
