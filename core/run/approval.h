/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_APPROVAL_H
#define CORE_RUN_APPROVAL_H

/*
 * Which tool calls need a person's word: the member "approval" of an agent.
 *
 *	{"default": "auto" | "never" | "always" | "by_effect",
 *	 "tools": {NAME: "never" | "always" | "by_effect" |
 *	           {"when", "allow"?, "expires_s"?, "on_expire"?}},
 *	 "resume_when": "all" | "each", "allow": [...],
 *	 "expires_s": N | null, "on_expire": "reject" | "approve" | "fail" |
 *	 "escalate", "questions": true | false | null}
 *
 * The rule of a tool by its name wins; then a tool whose descriptor says that
 * it needs approval has it; then the default.  "auto" is by_effect where nobody
 * sits in front of the run, and never in a chat.  by_effect: a call that cannot
 * be made again without harm (K, U, V) needs it, one of class P or N does not.
 *
 * Pure functions; the schema of the API has looked at the document before.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/plug/plug.h"

struct buf;
struct json_object;

/* How the item of one call may be answered, and until when. */
struct approval {
	bool accept, edit, response, ignore;
	int64_t expires_us; /* from when it is asked; 0: never */
	const char *on_expire; /* static: reject approve fail escalate */
};

/*
 * Does this call need a person?  policy: NULL is that of an agent that says
 * nothing; kind: of the run; info: NULL if there is no such tool.
 */
bool approval_needed(struct json_object *policy, const char *kind,
    const struct plug_tool_info *info, const char *tool, const char *effect);
/* Of a call that does. */
void approval_of(struct json_object *policy, const char *tool,
    struct approval *out);
/* Of a question: it is answered, or not. */
void approval_of_question(struct json_object *policy, struct approval *out);

/* Does each answer let the run go on, or only the last one? */
bool approval_resumes_each(struct json_object *policy);
/* May this agent ask questions in a run of this kind? */
bool approval_may_ask(struct json_object *policy, const char *kind);

/* The item's config: {"allow_accept", "allow_edit", ...}; and back. */
void approval_config_write(struct buf *b, const struct approval *a);
bool approval_config_allows(const char *config, const char *type);

#endif
