/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_API_H
#define CORE_API_API_H

/*
 * The REST API as a whole: its tables, its hooks, and what handlers share.
 *
 * struct api is immutable once made and serves all loops.  The rest belongs to
 * the request's fiber.
 */

#include "core/api/app.h"
#include "core/auth/principal.h"

struct json_object;
struct schema_set;

/* Schemas, routes and the OpenAPI document made from them. */
struct api {
	struct schema_set *schemas;
	struct route_table *routes;
	char *openapi; /* JSON text */
};

enum as_status api_new(struct api **out, struct error *err);
void api_free(struct api *api); /* after the servers that use it */

/* What http_server_new is given. */
extern const struct http_hooks api_hooks;

/*
 * Who holds this access token; for the first message of a WebSocket.
 * AUTH_REQUIRED or TOKEN_EXPIRED.
 */
SUSPENDS enum as_status auth_token_principal(struct app *app, const char *token,
    struct principal *out, struct error *err);

/* Gauges of this loop for /metrics; index tells the loops apart. */
struct api_gauges;
struct api_gauges *api_gauges_start(struct app *app, int index);
void api_gauges_stop(struct api_gauges *g); /* NULL does nothing */

/* ---- For handlers -------------------------------------------------- */

const struct principal *api_who(struct http_req *req); /* NULL if nobody */
/*
 * The validated body, borrowed; NULL if there is none.  VALIDATION_FAILED if it
 * holds U+0000 anywhere: no text of ours does.
 */
enum as_status api_body(struct http_req *req, struct json_object **out,
    struct error *err);
/* Answers with the error and clears it. */
void api_fail(struct http_req *req, struct error *err);
/* 201 with Location: the path of the request, then the body's "id". */
void api_created(struct http_req *req, struct json_object *body);

#endif
