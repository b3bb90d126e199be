/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/openapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/api.h"
#include "core/api/handlers.h"
#include "core/api/schemas.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * The document is made from the tables that dispatch and validate, so it
 * cannot say anything else than what the host does.  Which errors a route may
 * answer follows from its flags; the table names the others.
 */

#define CODES_MAX 32

struct codes {
	enum error_code list[CODES_MAX];
	size_t n;
};

/* ---- Schemas ------------------------------------------------------- */

static struct json_object *
ref(const char *name)
{
	struct json_object *o = jobj();
	char text[128];

	snprintf(text, sizeof(text), "#/components/schemas/%s", name);
	jput_str(o, "$ref", text);
	return o;
}

/* A copy whose references lead to components; depth is that of our tables. */
static struct json_object *
schema_public(struct json_object *v)
{
	struct json_object *copy;

	if (json_object_is_type(v, json_type_array)) {
		copy = jarr();
		for (size_t i = 0; i < json_object_array_length(v); i++)
			json_object_array_add(copy,
			    schema_public(json_object_array_get_idx(v, i)));
		return copy;
	}
	if (!json_object_is_type(v, json_type_object))
		return json_copy(v);
	if (jget_str(v, "$ref", NULL) != NULL)
		return ref(jget_str(v, "$ref", NULL));
	copy = jobj();
	json_object_object_foreach(v, key, member)
	{
		jput(copy, key, schema_public(member));
	}
	return copy;
}

static struct json_object *
components(const struct schema_set *set)
{
	struct json_object *o = jobj(), *schemas = jobj(), *s;
	struct json_object *security = jobj();
	const char *name;

	for (size_t i = 0; (name = api_schema_name(i)) != NULL; i++) {
		/* Queries are shown as parameters. */
		if (strstr(name, "Query") != NULL)
			continue;
		jput(schemas, name,
		    schema_public(schema_json(schema_by_name(set, name))));
	}
	jput(o, "schemas", schemas);
	s = jobj();
	jput_str(s, "type", "http");
	jput_str(s, "scheme", "bearer");
	jput_str(s, "bearerFormat", "JWT");
	jput(security, "bearer", s);
	s = jobj();
	jput_str(s, "type", "apiKey");
	jput_str(s, "in", "cookie");
	jput_str(s, "name", "agent_studio");
	jput(security, "cookie", s);
	jput(o, "securitySchemes", security);
	return o;
}

/* ---- Parameters ---------------------------------------------------- */

static void
add_parameter(struct json_object *list, const char *name, const char *in,
    bool required, struct json_object *schema, const char *about)
{
	struct json_object *p = jobj();

	jput_str(p, "name", name);
	jput_str(p, "in", in);
	jput_bool(p, "required", required);
	if (about != NULL)
		jput_str(p, "description", about);
	jput(p, "schema", schema);
	json_object_array_add(list, p);
}

static struct json_object *
string_schema(const char *format, int max)
{
	struct json_object *s = jobj();

	jput_str(s, "type", "string");
	if (format != NULL)
		jput_str(s, "format", format);
	if (max > 0)
		jput_int(s, "maxLength", max);
	return s;
}

/*
 * "/a/{id:uuid}/" as OpenAPI writes it into out, and its parameters into list.
 */
static void
path_public(const char *path, char *out, size_t size, struct json_object *list)
{
	char name[64];
	size_t n = 0, len;
	bool is_uuid;

	for (; *path != '\0' && n + 1 < size; path++) {
		out[n++] = *path;
		if (*path != '{')
			continue;
		len = strcspn(path + 1, ":}");
		snprintf(name, sizeof(name), "%.*s", (int)len, path + 1);
		is_uuid = strncmp(path + 1 + len, ":uuid}", 6) == 0;
		add_parameter(list, name, "path", true,
		    string_schema(is_uuid ? "uuid" : NULL, 0), NULL);
		n += (size_t)snprintf(out + n, size - n, "%s}", name);
		MUST(n < size);
		path = strchr(path, '}');
	}
	out[n] = '\0';
}

static void
query_parameters(const struct route *r, const struct schema_set *set,
    struct json_object *list)
{
	const struct schema *schema;

	if (r->query == NULL)
		return;
	schema = schema_by_name(set, r->query);
	json_object_object_foreach(jget(schema_json(schema), "properties"),
	    name, member)
	{
		add_parameter(list, name, "query", false, schema_public(member),
		    NULL);
	}
}

static bool
is_method(const struct route *r, const char *method)
{
	return strcmp(r->method, method) == 0;
}

static bool
has_version(const struct route *r)
{
	return strstr(r->path, "{id:uuid}") != NULL && r->errors != NULL &&
	       strstr(r->errors, "VERSION_CONFLICT") != NULL;
}

static void
header_parameters(const struct route *r, struct json_object *list)
{
	if (r->flags & ROUTE_IDEMPOTENT)
		add_parameter(list, "Idempotency-Key", "header", false,
		    string_schema(NULL, 255),
		    "The same key makes the request work once; its answer is "
		    "repeated for 24 hours.");
	if (has_version(r))
		add_parameter(list, "If-Match", "header", false,
		    string_schema(NULL, 0), "The ETag that is to be changed.");
	if ((r->flags & ROUTE_SSE) && is_method(r, "GET"))
		add_parameter(list, "Last-Event-ID", "header", false,
		    string_schema(NULL, 0), "As `after`, of a stream.");
}

/* ---- Answers ------------------------------------------------------- */

static void
codes_add(struct codes *c, enum error_code code)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i] == code)
			return;
	MUST(c->n < CODES_MAX);
	c->list[c->n++] = code;
}

static void
codes_add_names(struct codes *c, const char *names)
{
	enum error_code code;
	char name[64];
	size_t len;

	for (; names != NULL && *names != '\0'; names += len) {
		names += strspn(names, " ");
		len = strcspn(names, " ");
		snprintf(name, sizeof(name), "%.*s", (int)len, names);
		code = error_by_name(name);
		MUST(code != ERR_NONE);
		codes_add(c, code);
	}
}

static void
codes_of(const struct route *r, struct codes *c)
{
	c->n = 0;
	if (r->in != NULL || r->query != NULL)
		codes_add(c, ERR_VALIDATION_FAILED);
	if (r->in != NULL) {
		codes_add(c, ERR_MALFORMED_JSON);
		codes_add(c, ERR_TOO_LARGE);
		codes_add(c, ERR_UNSUPPORTED_MEDIA_TYPE);
	}
	if (r->flags & ROUTE_RAW)
		codes_add(c, ERR_TOO_LARGE);
	if (r->role != ROUTE_OPEN || (r->flags & ROUTE_AUTH_OPTIONAL)) {
		codes_add(c, ERR_AUTH_REQUIRED);
		codes_add(c, ERR_TOKEN_EXPIRED);
	}
	if (r->role != ROUTE_OPEN && !is_method(r, "GET"))
		codes_add(c, ERR_ORIGIN_FORBIDDEN);
	if (r->role >= ROUTE_ADMIN)
		codes_add(c, ERR_FORBIDDEN);
	codes_add_names(c, r->errors);
	if (r->flags & ROUTE_IDEMPOTENT) {
		codes_add(c, ERR_IDEMPOTENCY_IN_PROGRESS);
		codes_add(c, ERR_IDEMPOTENCY_KEY_REUSED);
	}
	codes_add(c, ERR_INTERNAL);
	codes_add(c, ERR_UNAVAILABLE);
}

static struct json_object *
content(const char *type, struct json_object *schema)
{
	struct json_object *o = jobj(), *media = jobj();

	jput(media, "schema", schema);
	jput(o, type, media);
	return o;
}

/* One answer a status; its description lists the codes. */
static void
add_errors(struct json_object *responses, const struct codes *c)
{
	struct json_object *r;
	char status[16], text[512];

	for (size_t i = 0; i < c->n; i++) {
		snprintf(status, sizeof(status), "%d", error_http(c->list[i]));
		r = jget(responses, status);
		if (r == NULL) {
			r = jobj();
			jput(r, "content",
			    content("application/json", ref("Error")));
			jput(responses, status, r);
			snprintf(text, sizeof(text), "`%s`",
			    error_name(c->list[i]));
		} else {
			snprintf(text, sizeof(text), "%s, `%s`",
			    jget_str(r, "description", ""),
			    error_name(c->list[i]));
		}
		jput_str(r, "description", text);
	}
}

static const char *
status_text(int status)
{
	switch (status) {
	case 101:
		return "The connection is a WebSocket now.";
	case 201:
		return "Made.";
	case 202:
		return "Accepted.";
	case 204:
		return "Done.";
	default:
		return "OK.";
	}
}

static void
add_header(struct json_object *headers, const char *name, const char *about)
{
	struct json_object *h = jobj();

	jput_str(h, "description", about);
	jput(h, "schema", string_schema(NULL, 0));
	jput(headers, name, h);
}

/* An event stream is a sequence of events, whatever else the route answers. */
static struct json_object *
success_content(const struct route *r)
{
	struct json_object *c = NULL;

	if (r->out != NULL && !((r->flags & ROUTE_SSE) && is_method(r, "POST")))
		c = content("application/json", ref(r->out));
	if (r->flags & ROUTE_SSE) {
		struct json_object *sse = content("text/event-stream",
		    ref(r->event != NULL ? r->event : "Event"));

		if (c == NULL)
			return sse;
		jput(c, "text/event-stream",
		    json_object_get(jget(sse, "text/event-stream")));
		json_object_put(sse);
	}
	if (c == NULL && r->flags & ROUTE_BYTES)
		c = content("application/octet-stream", jobj());
	if (c == NULL && r->fn == health_metrics)
		c = content("text/plain", string_schema(NULL, 0));
	return c;
}

static struct json_object *
responses(const struct route *r)
{
	int status = r->status != 0 ? r->status : 200;
	struct json_object *all = jobj(), *ok = jobj(), *headers = jobj();
	struct json_object *c = success_content(r);
	struct codes codes;
	char text[16];

	snprintf(text, sizeof(text), "%d", status);
	jput_str(ok, "description", status_text(status));
	add_header(headers, "X-Correlation-Id",
	    "Names this request in the log.");
	if (status == 201 && (r->flags & ROUTE_IDEMPOTENT))
		add_header(headers, "Location", "Where it is.");
	if (r->out != NULL && strcmp(r->out, "Agent") == 0)
		add_header(headers, "ETag", "The version, quoted.");
	if (r->out != NULL && strcmp(r->out, "Session") == 0)
		add_header(headers, "Set-Cookie", "The session, for browsers.");
	jput(ok, "headers", headers);
	if (c != NULL)
		jput(ok, "content", c);
	jput(all, text, ok);
	if ((r->flags & (ROUTE_RAW | ROUTE_BYTES)) == ROUTE_RAW)
		/* what came before is no news */
		jput(all, "200", json_object_get(ok));
	codes_of(r, &codes);
	add_errors(all, &codes);
	return all;
}

/* ---- Operations ---------------------------------------------------- */

static struct json_object *
request_body(const struct route *r)
{
	struct json_object *o = jobj();

	jput_bool(o, "required", !(r->flags & ROUTE_BODY_OPTIONAL));
	if (r->flags & ROUTE_BYTES)
		jput(o, "content", content("application/octet-stream", jobj()));
	else if (r->flags & ROUTE_RAW)
		jput(o, "content", content("application/json", jobj()));
	else
		jput(o, "content", content("application/json", ref(r->in)));
	return o;
}

static struct json_object *
security(const struct route *r)
{
	static const char *const names[] = { "bearer", "cookie" };
	struct json_object *list = jarr(), *o;

	for (size_t i = 0; i < N_ITEMS(names); i++) {
		o = jobj();
		jput(o, names[i], jarr());
		json_object_array_add(list, o);
	}
	/* An empty requirement: nothing is fine, too. */
	if (r->flags & ROUTE_AUTH_OPTIONAL)
		json_object_array_add(list, jobj());
	return list;
}

static struct json_object *
operation(const struct route *r, struct json_object *parameters)
{
	struct json_object *o = jobj(), *tags = jarr();

	json_object_array_add(tags, json_object_new_string(r->tag));
	jput_str(o, "operationId", r->name);
	jput_str(o, "summary", r->summary);
	jput(o, "tags", tags);
	if (json_object_array_length(parameters) > 0)
		jput(o, "parameters", json_object_get(parameters));
	if (r->in != NULL || r->flags & ROUTE_RAW)
		jput(o, "requestBody", request_body(r));
	jput(o, "responses", responses(r));
	if (r->role != ROUTE_OPEN || (r->flags & ROUTE_AUTH_OPTIONAL))
		jput(o, "security", security(r));
	return o;
}

static void
add_route(struct json_object *paths, const struct route *r,
    const struct schema_set *set)
{
	struct json_object *list = jarr(), *at;
	char path[256], method[16];
	size_t i;

	path_public(r->path, path, sizeof(path), list);
	query_parameters(r, set, list);
	header_parameters(r, list);
	for (i = 0; r->method[i] != '\0' && i + 1 < sizeof(method); i++)
		method[i] = (char)(r->method[i] - 'A' + 'a');
	method[i] = '\0';
	at = jget(paths, path);
	if (at == NULL) {
		at = jobj();
		jput(paths, path, at);
	}
	jput(at, method, operation(r, list));
	json_object_put(list);
}

static struct json_object *
info(void)
{
	struct json_object *o = jobj(), *license = jobj();

	jput_str(o, "title", "Agent Studio");
	jput_str(o, "version", PACKAGE_VERSION);
	jput_str(o, "description",
	    "Lists answer {\"items\", \"next_cursor\"}, newest first.  Errors "
	    "are RFC 9457 with a public code.  A trailing slash may be there "
	    "or not.");
	jput_str(license, "name", "Apache-2.0");
	jput_str(license, "identifier", "Apache-2.0");
	jput(o, "license", license);
	return o;
}

char *
openapi_text(const struct route_table *routes)
{
	const struct schema_set *set = route_schemas(routes);
	struct json_object *o = jobj(), *paths = jobj();
	const struct route *r;
	char *text;

	for (size_t i = 0; i < route_count(routes); i++) {
		r = route_at(routes, i);
		if (!(r->flags & ROUTE_HIDDEN))
			add_route(paths, r, set);
	}
	jput_str(o, "openapi", "3.1.0");
	jput(o, "info", info());
	jput(o, "paths", paths);
	jput(o, "components", components(set));
	text = xstrdup(json_text(o));
	json_object_put(o);
	return text;
}

void
openapi_document(struct http_req *req)
{
	const char *text = app_of(req)->api->openapi;

	http_reply(req, 200, "application/json", text, strlen(text));
}
