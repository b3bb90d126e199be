/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/router.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/base/uuid.h"

/*
 * The routes as a tree of path segments.
 *
 * The children of a node are sorted: literals, then {x:uuid}, then {x}, then
 * {x:rest}, so the first that fits is the most specific one; what does not
 * lead to a route is left again.  Depth is that of the deepest template.
 */

enum seg_kind {
	SEG_LITERAL,
	SEG_UUID,
	SEG_TEXT,
	SEG_REST
};

static const char *const methods[] = { "GET", "POST", "PUT", "PATCH",
	"DELETE" };

#define N_METHODS N_ITEMS(methods)
#define METHOD_ANY N_METHODS

struct node {
	struct node *next; /* sibling */
	struct node *child;
	enum seg_kind kind;
	const struct route *routes[N_METHODS];
	unsigned at[N_METHODS]; /* index of the route */
	size_t len;
	char text[];
};

struct names {
	char *name[ROUTE_PARAMS_MAX];
	int n;
};

struct route_table {
	const struct route *routes;
	size_t n;
	const struct schema_set *schemas;
	struct node *root;
	struct names *names; /* of the parameters, by route */
};

static size_t
method_index(const char *method)
{
	size_t i;

	if (strcmp(method, "HEAD") == 0)
		return 0;
	for (i = 0; i < N_METHODS; i++) {
		if (strcmp(method, methods[i]) == 0)
			return i;
	}
	return METHOD_ANY;
}

static struct node *
node_new(enum seg_kind kind, const char *text, size_t len)
{
	struct node *n = xcalloc(1, sizeof(*n) + len + 1);

	n->kind = kind;
	n->len = len;
	memcpy(n->text, text, len);
	return n;
}

static void
node_free(struct node *n)
{
	while (n != NULL) {
		struct node *next = n->next;

		node_free(n->child);
		free(n);
		n = next;
	}
}

static struct node *
node_child(struct node *parent, enum seg_kind kind, const char *text,
    size_t len)
{
	struct node **at = &parent->child;
	struct node *n;

	for (; *at != NULL && (*at)->kind <= kind; at = &(*at)->next) {
		n = *at;
		if (n->kind == kind &&
		    (kind != SEG_LITERAL ||
			(n->len == len && memcmp(n->text, text, len) == 0)))
			return n;
	}
	n = node_new(kind, text, len);
	n->next = *at;
	*at = n;
	return n;
}

static enum as_status
bad_template(const struct route *r, const char *why, struct error *err)
{
	return error_set(err, ERR_BAD_REQUEST, "route %s %s: %s", r->method,
	    r->path, why);
}

/* "{name}", "{name:type}"; len without the braces. */
static enum as_status
param_parse(const struct route *r, const char *s, size_t len,
    struct names *names, enum seg_kind *kind, struct error *err)
{
	const char *colon = memchr(s, ':', len);
	size_t n = colon != NULL ? (size_t)(colon - s) : len;
	size_t type = colon != NULL ? len - n - 1 : 0;

	if (n == 0 || names->n == ROUTE_PARAMS_MAX)
		return bad_template(r, "no name, or too many", err);
	if (colon == NULL)
		*kind = SEG_TEXT;
	else if (type == 4 && memcmp(colon + 1, "uuid", 4) == 0)
		*kind = SEG_UUID;
	else if (type == 4 && memcmp(colon + 1, "rest", 4) == 0)
		*kind = SEG_REST;
	else
		return bad_template(r, "unknown type of parameter", err);
	names->name[names->n++] = xstrndup(s, n);
	return AS_OK;
}

static enum as_status
route_insert(struct route_table *t, size_t i, struct error *err)
{
	const struct route *r = &t->routes[i];
	size_t m = method_index(r->method);
	struct node *node = t->root;
	const char *s = r->path;

	if (m == METHOD_ANY || strcmp(r->method, "HEAD") == 0)
		return bad_template(r, "not a method for a route", err);
	if (*s != '/')
		return bad_template(r, "a path starts with a slash", err);
	while (*s != '\0' && s[1] != '\0') {
		enum seg_kind kind = SEG_LITERAL;
		size_t len = strcspn(++s, "/");
		enum as_status st;

		if (len == 0)
			return bad_template(r, "an empty segment", err);
		if (s[0] == '{' && s[len - 1] != '}')
			return bad_template(r, "a brace is open", err);
		if (s[0] == '{' && (st = param_parse(r, s + 1, len - 2,
					&t->names[i], &kind, err)) != AS_OK)
			return st;
		node = node_child(node, kind, s, len);
		s += len;
		if (kind == SEG_REST && *s != '\0')
			return bad_template(r, "rest must be last", err);
	}
	if (node->routes[m] != NULL)
		return bad_template(r, "there are two of these", err);
	node->routes[m] = r;
	node->at[m] = (unsigned)i;
	return AS_OK;
}

static enum as_status
schema_must_exist(const struct route_table *t, const struct route *r,
    const char *name, struct error *err)
{
	if (name == NULL ||
	    (t->schemas != NULL && schema_by_name(t->schemas, name) != NULL))
		return AS_OK;
	return error_set(err, ERR_BAD_REQUEST, "route %s %s: no schema '%s'",
	    r->method, r->path, name);
}

enum as_status
route_table_new(const struct route *routes, size_t n,
    const struct schema_set *schemas, struct route_table **out,
    struct error *err)
{
	struct route_table *t = xcalloc(1, sizeof(*t));
	enum as_status st = AS_OK;
	size_t i;

	*out = NULL;
	t->routes = routes;
	t->n = n;
	t->schemas = schemas;
	t->root = node_new(SEG_LITERAL, "", 0);
	t->names = xcalloc(n, sizeof(*t->names));
	for (i = 0; i < n && st == AS_OK; i++) {
		st = schema_must_exist(t, &routes[i], routes[i].in, err);
		if (st == AS_OK)
			st = schema_must_exist(t, &routes[i], routes[i].out,
			    err);
		if (st == AS_OK)
			st = schema_must_exist(t, &routes[i], routes[i].query,
			    err);
		if (st == AS_OK)
			st = route_insert(t, i, err);
	}
	if (st != AS_OK) {
		route_table_free(t);
		return st;
	}
	*out = t;
	return AS_OK;
}

void
route_table_free(struct route_table *t)
{
	size_t i;
	int j;

	if (t == NULL)
		return;
	for (i = 0; i < t->n; i++) {
		for (j = 0; j < t->names[i].n; j++)
			free(t->names[i].name[j]);
	}
	free(t->names);
	node_free(t->root);
	free(t);
}

/* ---- Finding ------------------------------------------------------- */

struct search {
	const struct route_table *table;
	size_t method;
	struct route_match *match;
	unsigned allow; /* methods of nodes that fit, as bits */
	const struct node *found;
};

static bool
value_keep(struct search *q, const char *s, size_t len)
{
	struct route_match *m = q->match;

	if (len >= sizeof(m->params[0].value) ||
	    m->n_params == ROUTE_PARAMS_MAX)
		return false;
	memcpy(m->params[m->n_params].value, s, len);
	m->params[m->n_params].value[len] = '\0';
	m->n_params++;
	return true;
}

static bool
segment_fits(struct search *q, const struct node *n, const char *s, size_t len)
{
	struct uuid id;

	switch (n->kind) {
	case SEG_LITERAL:
		return n->len == len && memcmp(n->text, s, len) == 0;
	case SEG_UUID:
		return len == UUID_TEXT - 1 && value_keep(q, s, len) &&
		       uuid_parse(q->match->params[q->match->n_params - 1]
				      .value,
			   &id);
	case SEG_TEXT:
		return len > 0 && value_keep(q, s, len);
	case SEG_REST:
		return value_keep(q, s, strlen(s));
	}
	return false;
}

/* The end of the path is at this node: is there the method? */
static bool
node_ends(struct search *q, const struct node *n)
{
	size_t i;

	for (i = 0; i < N_METHODS; i++) {
		if (n->routes[i] != NULL)
			q->allow |= 1u << i;
	}
	if (q->method == METHOD_ANY || n->routes[q->method] == NULL)
		return false;
	q->found = n;
	return true;
}

/* s is at a slash or at the end. */
static bool
node_search(struct search *q, const struct node *node, const char *s)
{
	const struct node *n;
	int kept = q->match->n_params;
	size_t len;

	if ((*s == '\0' || (s[0] == '/' && s[1] == '\0')) && node_ends(q, node))
		return true;
	if (*s == '/')
		s++;
	len = strcspn(s, "/");
	for (n = node->child; n != NULL; n = n->next) {
		q->match->n_params = kept;
		if (len == 0 && n->kind != SEG_REST)
			continue;
		if (!segment_fits(q, n, s, len))
			continue;
		if (n->kind == SEG_REST ? node_ends(q, n)
					: node_search(q, n, s + len))
			return true;
	}
	q->match->n_params = kept;
	return false;
}

static void
allow_write(char *out, size_t cap, unsigned allow)
{
	size_t i, len = 0;

	for (i = 0; i < N_METHODS; i++) {
		const char *name = i == 0 ? "GET, HEAD" : methods[i];
		size_t n = strlen(name);

		if ((allow & (1u << i)) == 0 || len + n + 2 >= cap)
			continue;
		memcpy(out + len, name, n);
		memcpy(out + len + n, ", ", 2);
		len += n + 2;
	}
	MUST(len + sizeof("OPTIONS") <= cap);
	memcpy(out + len, "OPTIONS", sizeof("OPTIONS"));
}

enum route_result
route_find(const struct route_table *t, const char *method, const char *path,
    struct route_match *out)
{
	struct search q = { .table = t, .match = out };
	const struct names *names;
	int i;

	out->route = NULL;
	out->n_params = 0;
	out->allow[0] = '\0';
	q.method = method_index(method);
	if (path[0] != '/')
		return ROUTE_NO_PATH;
	if (!node_search(&q, t->root, path)) {
		if (q.allow == 0)
			return ROUTE_NO_PATH;
		allow_write(out->allow, sizeof(out->allow), q.allow);
		return ROUTE_NO_METHOD;
	}
	out->route = q.found->routes[q.method];
	names = &t->names[q.found->at[q.method]];
	MUST(names->n == out->n_params);
	for (i = 0; i < names->n; i++)
		out->params[i].name = names->name[i];
#ifdef FUZZ_PLANT
	if (out->n_params == ROUTE_PARAMS_MAX)
		abort();
#endif
	return ROUTE_FOUND;
}

const struct route *
route_at(const struct route_table *t, size_t i)
{
	return i < t->n ? &t->routes[i] : NULL;
}

size_t
route_count(const struct route_table *t)
{
	return t->n;
}

const struct schema_set *
route_schemas(const struct route_table *t)
{
	return t->schemas;
}
