/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_ROUTER_H
#define CORE_NET_ROUTER_H

/*
 * One table that dispatches, validates and documents.
 *
 * A path is a template: "/api/agents/{id:uuid}/" or "{slug}" or, last only,
 * "{path:rest}".  A trailing slash may be there or not.  Path parameters of
 * type uuid that do not parse are 404.  A known path with another method is
 * 405 with Allow; HEAD is served by GET, OPTIONS answered by the router.
 */

#include <stddef.h>

#include "core/base/schema.h"

struct http_req;

enum route_role {
	ROUTE_OPEN = 0, /* nobody asks who it is */
	ROUTE_USER, /* any signed-in person */
	ROUTE_ADMIN, /* of their tenant */
	ROUTE_INSTALLATION /* an admin of the tenant that runs it all */
};

enum route_flags {
	ROUTE_IDEMPOTENT = 1 << 0, /* honours Idempotency-Key */
	ROUTE_WEBSOCKET = 1 << 1,
	ROUTE_SSE = 1 << 2,
	ROUTE_BODY_OPTIONAL = 1 << 3,
	ROUTE_AUTH_OPTIONAL = 1 << 4, /* authenticate if there is something */
	ROUTE_HIDDEN = 1 << 5, /* not in the OpenAPI document */
	ROUTE_RAW = 1 << 6, /* the body is bytes of any type: http_body */
	ROUTE_BYTES = 1 << 7 /* they, or those of the answer, are a file's */
};

typedef void route_fn(struct http_req *req);

struct route {
	const char *method;
	const char *path;
	route_fn *fn; /* SUSPENDS */
	const char *name; /* operationId: "agents_create" */
	const char *summary;
	const char *tag;
	enum route_role role;
	unsigned flags;
	const char *in; /* name of the body's schema, or NULL: no body */
	const char *out; /* name of the answer's schema, or NULL */
	const char *event; /* schema of a frame, of ROUTE_SSE; default Event */
	int status; /* of success; default 200 */
	const char *query; /* name of an object schema: allowed ?members */
	const char *errors; /* codes beyond the usual: "THREAD_BUSY EXPIRED" */
	size_t max_body; /* 0: the server's */
};

struct route_table;

struct route_param {
	const char *name; /* borrowed from the table */
	char value[256];
};

#define ROUTE_PARAMS_MAX 4

enum route_result {
	ROUTE_FOUND,
	ROUTE_NO_PATH,
	ROUTE_NO_METHOD
};

struct route_match {
	const struct route *route;
	struct route_param params[ROUTE_PARAMS_MAX];
	int n_params;
	char allow[64]; /* with ROUTE_NO_METHOD */
};

/*
 * Compiles the table; routes and schemas stay the caller's and must outlive
 * it.  AS_INVALID: two equal paths, an unknown schema, a bad template.
 */
enum as_status route_table_new(const struct route *routes, size_t n,
    const struct schema_set *schemas, struct route_table **out,
    struct error *err);
void route_table_free(struct route_table *t);
enum route_result route_find(const struct route_table *t, const char *method,
    const char *path, struct route_match *out);
/* For walking it: the OpenAPI document, metrics. */
const struct route *route_at(const struct route_table *t, size_t i);
size_t route_count(const struct route_table *t);
const struct schema_set *route_schemas(const struct route_table *t);

#endif
