/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/api.h"

#include <string.h>

#include "core/api/internal.h"
#include "core/api/openapi.h"
#include "core/api/routes.h"
#include "core/api/schemas.h"
#include "core/api/strikes.h"
#include "core/base/buf.h"
#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * What all handlers share: the tables, and how a request becomes a principal.
 *
 * A credential in Authorization wins over the cookie and is never completed by
 * it.  A browser sends the cookie by itself, so with a cookie everything that
 * changes something, and every WebSocket, must come from a page of ours.
 */

enum as_status
api_new(struct api **out, struct error *err)
{
	struct api *api = xcalloc(1, sizeof(*api));
	enum as_status st;

	*out = NULL;
	st = api_schemas_new(&api->schemas, err);
	if (st == AS_OK)
		st = route_table_new(api_routes, api_route_count, api->schemas,
		    &api->routes, err);
	if (st != AS_OK) {
		api_free(api);
		return st;
	}
	api->openapi = openapi_text(api->routes);
	*out = api;
	return AS_OK;
}

void
api_free(struct api *api)
{
	if (api == NULL)
		return;
	route_table_free(api->routes);
	schema_set_free(api->schemas);
	free(api->openapi);
	free(api);
}

/* ---- Who asks ------------------------------------------------------ */

enum as_status
auth_token_principal(struct app *app, const char *token, struct principal *out,
    struct error *err)
{
	return auth_by_token(app->auth, app->store, token, out, err);
}

static bool
api_is_safe(struct http_req *req)
{
	const char *m = http_method(req);

	if (http_route(req)->flags & ROUTE_WEBSOCKET)
		return false;
	return strcmp(m, "GET") == 0 || strcmp(m, "HEAD") == 0;
}

enum as_status
api_origin_check(struct http_req *req, struct error *err)
{
	if (api_is_safe(req) || http_origin_allowed(req))
		return AS_OK;
	return error_set(err, ERR_ORIGIN_FORBIDDEN,
	    "the request comes from a page of another site");
}

static SUSPENDS enum as_status
api_by_header(struct http_req *req, const char *header, struct principal *out,
    struct error *err)
{
	if (strncasecmp(header, "Bearer ", 7) != 0)
		return error_set(err, ERR_AUTH_REQUIRED,
		    "Authorization must be: Bearer <access token>");
	header += 7;
	return auth_token_principal(app_of(req), header + strspn(header, " "),
	    out, err);
}

static SUSPENDS enum as_status
api_by_cookie(struct http_req *req, const char *cookie, struct principal *out,
    struct error *err)
{
	struct app *app = app_of(req);
	enum as_status st;

	st = api_origin_check(req, err);
	if (st != AS_OK)
		return st;
	return auth_by_cookie(app->auth, app->store, cookie, out, err);
}

enum as_status
api_authenticate(struct http_req *req, struct error *err)
{
	struct principal *who = arena_alloc(http_arena(req), sizeof(*who));
	const char *header = http_header(req, "authorization");
	const char *cookie = http_cookie(req, AUTH_COOKIE);
	const struct route *route = http_route(req);
	enum as_status st;

	/* A ticket stands alone; an old cookie that comes along is nothing. */
	if ((route->flags & ROUTE_WEBSOCKET) &&
	    http_query(req, "ticket") != NULL)
		return AS_OK;
	if (header != NULL)
		st = api_by_header(req, header, who, err);
	else if (cookie != NULL)
		st = api_by_cookie(req, cookie, who, err);
	else if (route->flags & ROUTE_AUTH_OPTIONAL)
		return AS_OK;
	else
		st = error_set(err, ERR_AUTH_REQUIRED,
		    "log in, or send an access token");
	if (st == AS_OK && route->role >= ROUTE_ADMIN && who->role < ROLE_ADMIN)
		st = error_set(err, ERR_FORBIDDEN, "only for administrators");
	else if (st == AS_OK && route->role == ROUTE_INSTALLATION &&
		 !auth_runs_installation(who))
		st = error_set(err, ERR_FORBIDDEN,
		    "only for administrators of the installation");
	if (st == AS_OK)
		http_set_principal(req, who);
	return st;
}

/* ---- Who asks again and again -------------------------------------- */

struct uuid
api_standing(struct http_req *req)
{
	const struct principal *who = api_who(req);

	return who != NULL ? who->user_id
			   : strikes_key_of_address(http_peer(req));
}

void
api_strike(struct app *app, struct uuid standing, enum error_code code)
{
	/* What is our fault, or will pass, is nobody's. */
	if (error_http(code) < 500)
		strikes_add(app->strikes, standing, 1, loop_now_ms(app->loop));
}

void
api_wait_turn(struct app *app, struct uuid standing, int64_t least_ms)
{
	int64_t owed_ms = strikes_wait_ms(app->strikes, standing,
	    loop_now_ms(app->loop));
	int64_t ms = owed_ms > least_ms ? owed_ms : least_ms;

	if (ms <= 0)
		return;
	counter_add(counter_get(COUNTER, "refusal_waits_total",
			"Attempts to open or to resume a stream that waited: "
			"too many before were refused, or came too soon.",
			NULL, NULL),
	    1);
	fiber_sleep((uint64_t)ms);
}

/* Of those who ask for a stream: what they get is what costs most. */
static SUSPENDS void
api_refused(struct http_req *req, const struct error *err)
{
	struct uuid standing;

	if (!(http_route(req)->flags & (ROUTE_SSE | ROUTE_WEBSOCKET)))
		return;
	standing = api_standing(req);
	api_wait_turn(app_of(req), standing, 0);
	api_strike(app_of(req), standing, err->code);
}

void
api_refuse(struct http_req *req, struct error *err)
{
	api_refused(req, err);
	api_fail(req, err);
}

const struct http_hooks api_hooks = {
	.authenticate = api_authenticate,
	.idem_begin = idempotency_begin,
	.idem_end = idempotency_end,
	.refused = api_refused,
};

/* ---- For handlers -------------------------------------------------- */

const struct principal *
api_who(struct http_req *req)
{
	return http_principal(req);
}

struct auth_ctx
api_auth_ctx(struct http_req *req)
{
	struct app *app = app_of(req);

	return (struct auth_ctx){ .auth = app->auth,
		.store = app->store,
		.plug = app->plug,
		.bus = app->bus,
		.arena = http_arena(req),
		.peer = http_peer(req),
		.user_agent = http_header(req, "user-agent"),
		.correlation_id = http_correlation_id(req) };
}

void
api_fail(struct http_req *req, struct error *err)
{
	http_reply_error(req, err);
	error_clear(err);
}

/* Is there a U+0000 in a string or a name of it? */
static bool
json_has_nul(struct json_object *v)
{
	const char *s;

	if (json_object_is_type(v, json_type_string)) {
		s = json_object_get_string(v);
		return strlen(s) != (size_t)json_object_get_string_len(v);
	}
	if (json_object_is_type(v, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(v); i++)
			if (json_has_nul(json_object_array_get_idx(v, i)))
				return true;
	} else if (json_object_is_type(v, json_type_object)) {
		json_object_object_foreach(v, key, member)
		{
			(void)key;
			if (json_has_nul(member))
				return true;
		}
	}
	return false;
}

enum as_status
api_body(struct http_req *req, struct json_object **out, struct error *err)
{
	enum as_status st = AS_OK;

	*out = http_json(req);
	if (json_object_is_type(*out, json_type_array) && json_has_nul(*out))
		return error_field(err, "", "must not hold U+0000");
	if (!json_object_is_type(*out, json_type_object))
		return AS_OK;
	json_object_object_foreach(*out, key, member)
	{
		if (json_has_nul(member))
			st = error_field(err, key, "must not hold U+0000");
	}
	return st;
}

const char *
api_location(struct http_req *req, const char *id)
{
	const char *path = http_path(req), *route = http_route(req)->path;
	size_t len = strlen(path);

	while (len > 0 && path[len - 1] == '/')
		len--;
	return arena_printf(http_arena(req), "%.*s/%s%s", (int)len, path, id,
	    route[strlen(route) - 1] == '/' ? "/" : "");
}

enum as_status
api_if_match(struct http_req *req, int64_t *version, struct error *err)
{
	const char *text = http_header(req, "if-match");
	size_t len;

	*version = 0;
	if (text == NULL || strcmp(text, "*") == 0)
		return AS_OK;
	if (text_has_prefix(text, "W/"))
		text += 2;
	len = strlen(text);
	if (len < 3 || text[0] != '"' || text[len - 1] != '"' ||
	    !text_to_int(arena_strndup(http_arena(req), text + 1, len - 2), 1,
		INT64_MAX, version))
		return error_field(err, "If-Match",
		    "must be an ETag, such as \"3\"");
	return AS_OK;
}

void
api_created(struct http_req *req, struct json_object *body)
{
	http_set_header(req, "Location",
	    api_location(req, jget_str(body, "id", "")));
	http_reply_json(req, 201, body);
}
