/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_TRIGGER_FIRE_H
#define CORE_HOOK_TRIGGER_FIRE_H

/*
 * A message that came in for a trigger: who it is from is told by its signature
 * alone, and its id makes it start one run, however often it comes.
 */

#include "core/chat/ambient.h"

struct hook_rates;
struct seal;

struct trigger_message {
	struct uuid trigger_id;
	/* Headers, or NULL; the last two are those of GitHub. */
	const char *id, *timestamp, *signature;
	const char *github_id, *github_signature;
	const char *body;
	size_t len;
	const char *peer; /* address */
};

/*
 * ctx: its principal is not asked, the trigger's user is set.  NOT_FOUND,
 * SIGNATURE_INVALID (or too old), FORBIDDEN while paused, RATE_LIMITED,
 * VALIDATION_FAILED, and what ambient_start says; nothing has changed then.
 */
SUSPENDS enum as_status trigger_fire(struct chat_ctx *ctx,
    const struct seal *seal, struct hook_rates *rates,
    const struct trigger_message *m, struct ambient_started *out,
    struct error *err);

#endif
