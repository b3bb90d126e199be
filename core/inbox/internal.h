/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_INTERNAL_H
#define CORE_INBOX_INTERNAL_H

/* What the files of core/inbox share beyond its headers. */

#include "core/inbox/answer.h"
#include "core/inbox/inbox.h"

static inline int
inbox_is_admin(const struct principal *who)
{
	return who->role >= ROLE_ADMIN ? 1 : 0;
}

/* ---- check.c ------------------------------------------------------- */

struct check {
	const struct chat_ctx *ctx;
	const struct world *world;
	struct json_object *item;
	const char *at; /* pointer of the answer in the body; "": the body */
	struct error *err;
};

/* Texts of *out are in the context's arena.  VALIDATION_FAILED, by field. */
SUSPENDS enum as_status inbox_check(const struct check *c,
    const struct answer *a, struct engine_answer *out);

/* ---- late.c -------------------------------------------------------- */

/* EXPIRED, or CONFLICT that names who was first, with what and when. */
enum as_status inbox_too_late(struct json_object *item, struct error *err);

#endif
