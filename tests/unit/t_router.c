/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/net/router.h"
#include "tests/tap.h"

#define ID "01890a5d-ac96-774b-bcce-b302099a8057"

static void
nothing(struct http_req *req)
{
	(void)req;
}

#define R(m, p) \
	{ \
		.method = m, .path = p, .fn = nothing, .name = p \
	}

static const struct route routes[] = {
	R("GET", "/"),
	R("GET", "/api/agents/"),
	R("POST", "/api/agents/"),
	R("POST", "/api/agents/finalize-setup"),
	R("GET", "/api/agents/{id:uuid}/"),
	R("DELETE", "/api/agents/{agent:uuid}"),
	R("GET", "/api/toolkits/{slug}/"),
	R("GET", "/api/toolkits/{slug}/tools"),
	R("GET", "/api/toolkits/new/x"),
	R("GET", "/demo/{path:rest}"),
	R("GET", "/x/{a}/{b:uuid}/{c}/{d:rest}"),
};

static struct route_table *table;
static struct route_match match;

static int
setup(void)
{
	return route_table_new(routes, N_ITEMS(routes), NULL, &table, NULL);
}

static int
teardown(void)
{
	route_table_free(table);
	return 0;
}

static void
found(const char *method, const char *path, int want)
{
	enum route_result r = route_find(table, method, path, &match);

	CU_ASSERT_EQUAL(r, ROUTE_FOUND);
	CU_ASSERT_PTR_EQUAL(match.route, &routes[want]);
	if (r != ROUTE_FOUND || match.route != &routes[want])
		tap_note("%s %s", method, path);
}

static void
missing(const char *path)
{
	CU_ASSERT_EQUAL(route_find(table, "GET", path, &match), ROUTE_NO_PATH);
}

static void
test_find(void)
{
	found("GET", "/", 0);
	found("GET", "/api/agents/", 1);
	found("GET", "/api/agents", 1);
	found("HEAD", "/api/agents", 1);
	found("POST", "/api/agents", 2);
	found("POST", "/api/agents/finalize-setup", 3);
	found("POST", "/api/agents/finalize-setup/", 3);
	found("GET", "/api/agents/" ID, 4);
	found("GET", "/api/agents/" ID "/", 4);
	CU_ASSERT_EQUAL(match.n_params, 1);
	CU_ASSERT_STRING_EQUAL(match.params[0].name, "id");
	CU_ASSERT_STRING_EQUAL(match.params[0].value, ID);
	found("DELETE", "/api/agents/" ID "/", 5);
	CU_ASSERT_STRING_EQUAL(match.params[0].name, "agent");
}

static void
test_specific_first(void)
{
	found("GET", "/api/toolkits/new/x", 8);
	found("GET", "/api/toolkits/new/tools", 7);
	CU_ASSERT_STRING_EQUAL(match.params[0].value, "new");
	found("GET", "/api/toolkits/new", 6);
	CU_ASSERT_EQUAL(match.n_params, 1);
}

static void
test_rest(void)
{
	found("GET", "/demo/", 9);
	CU_ASSERT_STRING_EQUAL(match.params[0].value, "");
	found("GET", "/demo", 9);
	found("GET", "/demo/a/b.js", 9);
	CU_ASSERT_STRING_EQUAL(match.params[0].value, "a/b.js");
	found("GET", "/x/1/" ID "/3/4/5/", 10);
	CU_ASSERT_EQUAL(match.n_params, 4);
	CU_ASSERT_STRING_EQUAL(match.params[3].name, "d");
	CU_ASSERT_STRING_EQUAL(match.params[3].value, "4/5/");
}

static void
test_missing(void)
{
	char big[400];

	missing("/api");
	missing("/api/agent");
	missing("/api/agents//");
	missing("//");
	missing("/api/agents/not-a-uuid");
	missing("/api/agents/01890A5D-AC96-774B-BCCE-B302099A8057");
	missing("/api/agents/" ID "/x");
	missing("/api/toolkits/");
	missing("*");
	missing("");
	memset(big, 'a', sizeof(big));
	memcpy(big, "/api/toolkits/", 14);
	big[sizeof(big) - 1] = '\0';
	missing(big);
}

static void
test_no_method(void)
{
	CU_ASSERT_EQUAL(route_find(table, "PUT", "/api/agents", &match),
	    ROUTE_NO_METHOD);
	CU_ASSERT_STRING_EQUAL(match.allow, "GET, HEAD, POST, OPTIONS");
	CU_ASSERT_EQUAL(route_find(table, "BREW", "/api/agents/" ID, &match),
	    ROUTE_NO_METHOD);
	CU_ASSERT_STRING_EQUAL(match.allow, "GET, HEAD, DELETE, OPTIONS");
	CU_ASSERT_EQUAL(route_find(table, "OPTIONS",
			    "/api/agents/finalize-setup/", &match),
	    ROUTE_NO_METHOD);
	CU_ASSERT_STRING_EQUAL(match.allow, "POST, OPTIONS");
}

static void
refused(const struct route *r, size_t n)
{
	struct route_table *t;
	struct error err = { 0 };

	CU_ASSERT_EQUAL(route_table_new(r, n, NULL, &t, &err), AS_INVALID);
	CU_ASSERT_PTR_NULL(t);
	CU_ASSERT(strstr(err.detail, r[n - 1].path) != NULL);
	error_clear(&err);
}

static void
test_bad_tables(void)
{
	static const struct route twice[] = { R("GET", "/a/{x}"),
		R("GET", "/a/{y}/") };
	static const struct route bad[] = {
		R("GET", "a"),
		R("GET", "/a//b"),
		R("GET", "/{x:int}"),
		R("GET", "/{}"),
		R("GET", "/{x:rest}/y"),
		R("GET", "/{x"),
		R("BREW", "/"),
		R("HEAD", "/"),
		R("GET", "/{a}/{b}/{c}/{d}/{e}"),
		{ .method = "GET", .path = "/q", .fn = nothing, .in = "none" },
	};
	size_t i;

	refused(twice, 2);
	for (i = 0; i < N_ITEMS(bad); i++)
		refused(&bad[i], 1);
}

static void
test_walk(void)
{
	CU_ASSERT_EQUAL(route_count(table), N_ITEMS(routes));
	CU_ASSERT_PTR_EQUAL(route_at(table, 3), &routes[3]);
	CU_ASSERT_PTR_NULL(route_at(table, N_ITEMS(routes)));
	CU_ASSERT_PTR_NULL(route_schemas(table));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "finds", test_find },
		{ "prefers the most specific", test_specific_first },
		{ "rest", test_rest },
		{ "does not find", test_missing },
		{ "no such method", test_no_method },
		{ "refuses bad tables", test_bad_tables },
		{ "can be walked", test_walk },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "router", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
