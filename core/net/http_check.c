/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/net/http_impl.h"

/*
 * What the route table promises about query and body, checked before a handler
 * sees them.  A handler may rely on it: its body is what its schema says, its
 * query has no member it does not know.
 */

#define FIELD_MAX 256

/* ---- Query --------------------------------------------------------- */

static bool
type_is(struct json_object *schema, const char *type)
{
	return strcmp(jget_str(schema, "type", "string"), type) == 0;
}

/* As what the schema wants; as text, which it then refuses, if it is not. */
static struct json_object *
query_value(struct json_object *schema, const char *s)
{
	int64_t i;
	char *end;
	double d;

	if (type_is(schema, "integer") &&
	    text_to_int(s, INT64_MIN, INT64_MAX, &i))
		return json_object_new_int64(i);
	if (type_is(schema, "boolean") && strcmp(s, "true") == 0)
		return json_object_new_boolean(1);
	if (type_is(schema, "boolean") && strcmp(s, "false") == 0)
		return json_object_new_boolean(0);
	if (type_is(schema, "number") && *s != '\0') {
		errno = 0;
		d = strtod(s, &end);
		if (errno == 0 && *end == '\0' && d - d == 0)
			return json_object_new_double(d);
	}
	return json_object_new_string(s);
}

enum as_status
req_check_query(struct http_req *req, struct error *err)
{
	const struct route *r = req->match.route;
	const struct schema *schema;
	struct json_object *props, *o;
	enum as_status st;
	unsigned i;

	if (r->query == NULL || req->target.n_query == 0)
		return AS_OK;
	schema = schema_by_name(route_schemas(req->server->routes), r->query);
	props = jget(schema_json(schema), "properties");
	o = jobj();
	for (i = 0; i < req->target.n_query; i++) {
		const struct http_pair *q = &req->target.query[i];

		jput(o, q->name, query_value(jget(props, q->name), q->value));
	}
	st = schema_validate(schema, o, err);
	json_object_put(o);
	return st;
}

/* ---- Body ---------------------------------------------------------- */

/* application/json, with no parameter but charset=utf-8. */
static bool
type_is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t n = sizeof(json) - 1;

	if (type == NULL || strncasecmp(type, json, n) != 0)
		return false;
	type += n;
	type += strspn(type, " \t");
	if (*type == '\0')
		return true;
	if (*type != ';')
		return false;
	type++;
	type += strspn(type, " \t");
	return *type == '\0' || strcasecmp(type, "charset=utf-8") == 0 ||
	       strcasecmp(type, "charset=\"utf-8\"") == 0;
}

static enum as_status nul_check(struct json_object *v, char *field, size_t at,
    struct error *err);

static size_t
field_push(char *field, size_t at, const char *name)
{
	size_t n = strlen(name);

	if (at + n + 2 > FIELD_MAX)
		return at;
	field[at] = '/';
	memcpy(field + at + 1, name, n + 1);
	return at + n + 1;
}

static enum as_status
nul_check_array(struct json_object *v, char *field, size_t at,
    struct error *err)
{
	size_t i, n = json_object_array_length(v);
	enum as_status st = AS_OK;
	char name[24];

	for (i = 0; i < n && st == AS_OK; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		st = nul_check(json_object_array_get_idx(v, i), field,
		    field_push(field, at, name), err);
	}
	return st;
}

static enum as_status
nul_check_object(struct json_object *v, char *field, size_t at,
    struct error *err)
{
	struct json_object_iterator it = json_object_iter_begin(v);
	struct json_object_iterator end = json_object_iter_end(v);
	enum as_status st = AS_OK;

	while (st == AS_OK && !json_object_iter_equal(&it, &end)) {
		st = nul_check(json_object_iter_peek_value(&it), field,
		    field_push(field, at, json_object_iter_peek_name(&it)),
		    err);
		json_object_iter_next(&it);
	}
	return st;
}

/* Depth is bounded by the parser.  A top-level field goes by its bare name. */
static enum as_status
nul_check(struct json_object *v, char *field, size_t at, struct error *err)
{
	const char *name = field;

	switch (json_object_get_type(v)) {
	case json_type_object:
		return nul_check_object(v, field, at, err);
	case json_type_array:
		return nul_check_array(v, field, at, err);
	case json_type_string:
		if (memchr(json_object_get_string(v), '\0',
			(size_t)json_object_get_string_len(v)) == NULL)
			return AS_OK;
		field[at] = '\0';
		if (at > 0 && strchr(field + 1, '/') == NULL)
			name++;
		return error_field(err, name, "must not contain U+0000");
	default:
		return AS_OK;
	}
}

static bool
may_have_nul(const char *s, size_t len)
{
	return memmem(s, len, "\\u0000", 6) != NULL;
}

static enum as_status
body_parse(struct http_req *req, struct error *err)
{
	struct http_parse *p = &req->parse;
	char field[FIELD_MAX + 1] = "";
	enum as_status st;

	if (!type_is_json(http_parse_header(p, "content-type")))
		return error_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
		    "a body must be application/json in UTF-8");
	st = json_parse(p->body.data, p->body.len, &req->json, err);
	if (st == AS_OK && may_have_nul(p->body.data, p->body.len))
		st = nul_check(req->json, field, 0, err);
	return st;
}

static bool
is_empty_object(struct json_object *v)
{
	return json_object_is_type(v, json_type_object) &&
	       json_object_object_length(v) == 0;
}

static enum as_status
body_must_be_empty(struct http_req *req, struct error *err)
{
	enum as_status st;
	bool empty;

	if (req->parse.body.len == 0)
		return AS_OK;
	st = body_parse(req, err);
	if (st != AS_OK)
		return st;
	empty = is_empty_object(req->json);
	json_object_put(req->json);
	req->json = NULL;
	return empty ? AS_OK : error_field(err, "", "must be empty");
}

/* A mistake of the whole has no name before it: it is the body's. */
static enum as_status
body_said(enum as_status st, struct error *err)
{
	struct json_object *details = jget(err->extra, "details");
	char said[sizeof(err->detail)];

	if (st == AS_OK || json_object_object_length(details) != 1 ||
	    jget(details, "") == NULL)
		return st;
	memcpy(said, err->detail, sizeof(said));
	snprintf(err->detail, sizeof(err->detail), "the body %.200s", said);
	return st;
}

enum as_status
req_check_body(struct http_req *req, struct error *err)
{
	const struct route *r = req->match.route;
	const struct schema *schema;
	enum as_status st;

	if (r->flags & ROUTE_RAW)
		return AS_OK;
	if (r->in == NULL)
		return body_must_be_empty(req, err);
	if (req->parse.body.len == 0) {
		if (r->flags & ROUTE_BODY_OPTIONAL)
			return AS_OK;
		return body_said(error_field(err, "", "is required"), err);
	}
	st = body_parse(req, err);
	if (st != AS_OK)
		return st;
	schema = schema_by_name(route_schemas(req->server->routes), r->in);
	return body_said(schema_validate(schema, req->json, err), err);
}
