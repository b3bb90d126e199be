/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/uuid.h"
#include "core/net/http_target.h"
#include "core/net/router.h"

/*
 * "METHOD target": decoded as the server does, then looked up.  A path with
 * and without its last slash leads to the same route.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
nothing(struct http_req *req)
{
	(void)req;
}

#define R(m, p) \
	{ \
		.method = m, .path = p, .fn = nothing \
	}

static const struct route routes[] = {
	R("GET", "/"),
	R("GET", "/api/agents/"),
	R("POST", "/api/agents/"),
	R("GET", "/api/agents/{id:uuid}/"),
	R("PATCH", "/api/agents/{id:uuid}/"),
	R("GET", "/api/toolkits/{slug}/"),
	R("GET", "/api/toolkits/{slug}/tools"),
	R("GET", "/api/toolkits/new/x"),
	R("DELETE", "/a/{b}/{c}/{d}/{e}"),
	R("GET", "/files/{path:rest}"),
};

static struct route_table *
table_get(void)
{
	static struct route_table *table;

	if (table == NULL)
		MUST(route_table_new(routes, N_ITEMS(routes), NULL, &table,
			 NULL) == AS_OK);
	return table;
}

static void
check_found(const struct route_match *m, const char *path)
{
	struct uuid id;
	int i;

	MUST(m->n_params >= 0 && m->n_params <= ROUTE_PARAMS_MAX);
	for (i = 0; i < m->n_params; i++) {
		MUST(strstr(path, m->params[i].value) != NULL);
		if (strcmp(m->params[i].name, "id") == 0)
			MUST(uuid_parse(m->params[i].value, &id));
	}
}

static void
check_slash(const char *method, const char *path, enum route_result r,
    const struct route *found)
{
	struct route_match m;
	size_t n = strlen(path);
	char *other;

	/* One byte more may be one too many for a parameter. */
	if (n == 0 || n >= sizeof(m.params[0].value) || path[n - 1] == '/' ||
	    (found != NULL && strstr(found->path, ":rest") != NULL))
		return;
	other = xasprintf("%s/", path);
	MUST(route_find(table_get(), method, other, &m) == r);
	MUST(m.route == found);
	free(other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct route_match m;
	struct http_target t;
	enum route_result r;
	char *text, *path;
	const char *why;

	if (size > 2000)
		return 0;
	text = xstrndup((const char *)data, size);
	path = strchr(text, ' ');
	if (path != NULL) {
		*path++ = '\0';
		if (http_target_parse(path, &t, &why) == ERR_NONE) {
			r = route_find(table_get(), text, t.path, &m);
			MUST((r == ROUTE_FOUND) == (m.route != NULL));
			MUST((r == ROUTE_NO_METHOD) == (m.allow[0] != '\0'));
			if (r == ROUTE_FOUND)
				check_found(&m, t.path);
			check_slash(text, t.path, r, m.route);
		}
	}
	free(text);
	return 0;
}
