/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_OWNED_H
#define CORE_HOOK_OWNED_H

/*
 * What webhooks and triggers have in common: rows of one user, each with a
 * secret that is shown once.  Private to core/hook.
 */

#include "core/base/buf.h"
#include "core/hook/hook.h"
#include "core/hook/secret.h"

/* $1 id, $2 tenant, $3 user, and for triggers $4 agent; then its own. */
#define OWNED_ARGS_MAX 12

/* Statements that answer with the columns that json reads. */
struct owned {
	const char *name; /* of one: "webhook" */
	int n_mine; /* of the arguments that say whose it is */
	struct sql *page; /* $1: the id before it; the last one: how many */
	struct sql *get;
	struct sql
	    *insert; /* then its own, sealed secret, key id, HOOK_PER_USER */
	struct sql *change;
	struct sql *rotate; /* then overlap, sealed secret, key id */
	struct json_object *(*json)(const struct rows *r, int i);
};

SUSPENDS enum as_status owned_list(const struct owned *kind,
    const struct hook_ctx *ctx, struct row_page *page,
    struct json_object **items, struct error *err);
SUSPENDS enum as_status owned_get(const struct owned *kind,
    const struct hook_ctx *ctx, struct json_object **out, struct error *err);
/* Under ctx->id, with its secret in *out; CONFLICT: there are enough. */
SUSPENDS enum as_status owned_insert(const struct owned *kind,
    enum secret_of of, const struct hook_ctx *ctx, const struct sql_arg *own,
    int n_own, struct json_object **out, struct error *err);
SUSPENDS enum as_status owned_change(const struct owned *kind,
    const struct hook_ctx *ctx, const struct sql_arg *own, int n_own,
    struct json_object **out, struct error *err);
SUSPENDS enum as_status owned_rotate(const struct owned *kind,
    enum secret_of of, const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err);

/* ---- Rows ------------------------------------------------------------ */

void put_row_int(struct json_object *o, const char *key, const struct rows *r,
    int i, int col);
void put_row_id(struct json_object *o, const char *key, const struct rows *r,
    int i, int col);
/* What a body says of a member that is true, false or not there: 1, 0, -1. */
struct sql_arg flag_arg(struct json_object *body, const char *key);
enum as_status hook_missing(const char *what, struct uuid id,
    struct error *err);

#endif
