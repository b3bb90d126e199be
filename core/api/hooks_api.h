/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_HOOKS_API_H
#define CORE_API_HOOKS_API_H

/* What the handlers of webhooks and triggers share. */

#include "core/api/api.h"
#include "core/hook/hook.h"

struct hook_ctx hook_ctx_of(struct http_req *req);
/* Takes out; with st the error, which is cleared. */
void hook_answer(struct http_req *req, enum as_status st, int status,
    struct json_object *out, struct error *err);

#endif
