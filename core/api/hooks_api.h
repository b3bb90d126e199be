/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_HOOKS_API_H
#define CORE_API_HOOKS_API_H

/* What the handlers of webhooks and triggers share. */

#include "core/api/api.h"
#include "core/hook/hook.h"

/* Does it with the request's body and answers with `status` and what it says. */
SUSPENDS void hook_answer(struct http_req *req, const struct hook_ctx *ctx,
    int status,
    SUSPENDS enum as_status (*act)(const struct hook_ctx *ctx,
	struct json_object *body, struct json_object **out, struct error *err));
SUSPENDS void hook_answer_page(struct http_req *req, const struct hook_ctx *ctx,
    SUSPENDS enum as_status (*list)(const struct hook_ctx *ctx,
	struct row_page *page, struct json_object **items, struct error *err));
/* Without ids. */
struct hook_ctx hook_ctx_of(struct http_req *req);

#endif
