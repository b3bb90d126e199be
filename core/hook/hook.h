/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_HOOK_H
#define CORE_HOOK_HOOK_H

/*
 * Webhooks: whom this host tells what became of runs, what it has told, and
 * the triggers by which others start runs here.  All of it belongs to one
 * user; what is another's is NOT_FOUND.
 *
 * Secrets are shown once, by what makes them, and are sealed in the database.
 * A rotation leaves the one before good for a while: outgoing messages carry
 * both signatures, incoming ones may have either.
 */

#include "core/auth/principal.h"
#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/store/row_page.h"

struct seal;

#define HOOK_PER_USER 20 /* webhooks; and triggers of one agent */
#define HOOK_URL_MAX 2048
#define HOOK_OVERLAP_S 86400 /* of a rotation, if nobody says another */
#define HOOK_OVERLAP_MAX_S 604800

/* Who asks for what; ids that are not meant are nil. */
struct hook_ctx {
	struct store *store;
	const struct seal *seal;
	struct principal who;
	struct arena *arena;
	struct uuid agent_id; /* of a trigger */
	struct uuid id; /* of the webhook or trigger */
	struct uuid delivery_id;
	const char *status; /* of deliveries that are listed; NULL: any */
};

/*
 * All of one shape.  body has passed its schema, and is not looked at by those
 * that need none; *out is set where there is something to tell.
 */

/* ---- webhook.c: going out ------------------------------------------- */

SUSPENDS enum as_status webhook_list(const struct hook_ctx *ctx,
    struct row_page *page, struct json_object **items, struct error *err);
SUSPENDS enum as_status webhook_get(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
/* With its secret, as rotate has it. */
SUSPENDS enum as_status webhook_create(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
SUSPENDS enum as_status webhook_change(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
/* What was not delivered yet is not delivered any more. */
SUSPENDS enum as_status webhook_remove(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
SUSPENDS enum as_status webhook_rotate(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);

/* ---- delivery.c: what was told --------------------------------------- */

SUSPENDS enum as_status delivery_list(const struct hook_ctx *ctx,
    struct row_page *page, struct json_object **items, struct error *err);
/* A message of the type webhook.test; CONFLICT while it is paused. */
SUSPENDS enum as_status delivery_test(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
/*
 * The same message under the same id once more.  CONFLICT: it is on its way, or
 * the webhook is paused.
 */
SUSPENDS enum as_status delivery_replay(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);

/* ---- trigger.c: coming in -------------------------------------------- */

SUSPENDS enum as_status trigger_list(const struct hook_ctx *ctx,
    struct row_page *page, struct json_object **items, struct error *err);
SUSPENDS enum as_status trigger_get(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
SUSPENDS enum as_status trigger_create(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
SUSPENDS enum as_status trigger_change(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
SUSPENDS enum as_status trigger_remove(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);
SUSPENDS enum as_status trigger_rotate(const struct hook_ctx *ctx,
    struct json_object *body, struct json_object **out, struct error *err);

#endif
