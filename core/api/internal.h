/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_INTERNAL_H
#define CORE_API_INTERNAL_H

/* What the files of core/api share beyond api.h. */

#include "core/api/api.h"
#include "core/auth/auth.h"

/* The hook: also for handlers of open routes that want to know. */
SUSPENDS enum as_status api_authenticate(struct http_req *req,
    struct error *err);
/* ORIGIN_FORBIDDEN for what another site's page makes a browser send. */
enum as_status api_origin_check(struct http_req *req, struct error *err);
/*
 * Strikes (strikes.h): whose they are, the person's or, of those whom nobody
 * knows, the address's; one more, for being refused like that; and until he may
 * go on, in least_ms at the earliest.
 */
struct uuid api_standing(struct http_req *req);
void api_strike(struct app *app, struct uuid standing, enum error_code code);
SUSPENDS void api_wait_turn(struct app *app, struct uuid standing,
    int64_t least_ms);
/* api_fail of who asked for a stream: it waits, and is a strike. */
SUSPENDS void api_refuse(struct http_req *req, struct error *err);
struct auth_ctx api_auth_ctx(struct http_req *req);
/* Where what a POST has made is. */
const char *api_location(struct http_req *req, const char *id);

/* If-Match: "<version>", W/ or not; 0 if it is not there or is *. */
enum as_status api_if_match(struct http_req *req, int64_t *version,
    struct error *err);

/* idempotency.c: hooks. */
SUSPENDS enum as_status idempotency_begin(struct http_req *req, bool *answered,
    struct error *err);
SUSPENDS void idempotency_end(struct http_req *req, int status,
    const char *body, size_t len);

#endif
