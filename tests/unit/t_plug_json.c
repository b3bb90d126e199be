/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/origin.h"
#include "core/plug/unit.h"
#include "tests/tap.h"

/* JSON as plugins see it, and whom they may reach. */

#define J host_json_table

static struct as_call *
call_new(void)
{
	struct arena *arena = arena_new(NULL);
	struct as_call *call = arena_alloc(arena, sizeof(*call));

	call->arena = arena;
	return call;
}

static const struct as_json *
parse(struct as_call *call, const char *text)
{
	return J.parse(call, text, strlen(text));
}

/* As a value that came from the other side. */
static const struct as_json *
given(struct as_call *call, const char *text)
{
	struct json_object *o = NULL;

	CU_ASSERT_EQUAL(json_parse(text, strlen(text), &o, NULL), AS_OK);
	return value_to(call_own(call, o));
}

typedef const struct as_json *reader(struct as_call *call, const char *text);

static void
read_all(reader *from)
{
	struct as_call *call = call_new();
	const struct as_json *v = from(call,
	    "{\"a\":{\"b\":[10,null,\"x\"]},\"a/b\":1,\"m~n\":2,\"\":3,"
	    "\"big\":18446744073709551615,\"max\":9223372036854775807,"
	    "\"f\":1.0,\"t\":true,\"z\":null}");

	CU_ASSERT_EQUAL(J.integer(J.get(v, "/a/b/0")), 10);
	CU_ASSERT_EQUAL(J.type(J.get(v, "/a/b/1")), AS_JSON_NULL);
	CU_ASSERT_STRING_EQUAL(J.str(J.get(v, "/a/b/2"), NULL), "x");
	CU_ASSERT_PTR_NULL(J.get(v, "/a/b/3"));
	CU_ASSERT_PTR_NULL(J.get(v, "/a/b/-1"));
	CU_ASSERT_PTR_NULL(J.get(v, "/a/b/01"));
	CU_ASSERT_PTR_NULL(J.get(v, "/a/b/2/x"));
	CU_ASSERT_PTR_NULL(J.get(v, "/z/x"));
	CU_ASSERT_EQUAL(J.integer(J.get(v, "a/b")), 1);
	CU_ASSERT_EQUAL(J.integer(J.get(v, "/a~1b")), 1);
	CU_ASSERT_EQUAL(J.integer(J.get(v, "/m~0n")), 2);
	CU_ASSERT_EQUAL(J.integer(J.get(v, "/")), 3);
	CU_ASSERT_EQUAL(J.type(J.get(v, "big")), AS_JSON_NUM);
	CU_ASSERT_EQUAL(J.type(J.get(v, "max")), AS_JSON_INT);
	CU_ASSERT_EQUAL(J.type(J.get(v, "f")), AS_JSON_NUM);
	CU_ASSERT_EQUAL(J.type(J.get(v, "t")), AS_JSON_BOOL);
	CU_ASSERT_EQUAL(J.type(J.get(v, "z")), AS_JSON_NULL);
	CU_ASSERT_EQUAL(J.type(J.get(v, "none")), AS_JSON_NONE);
	CU_ASSERT_PTR_NULL(J.get(NULL, "x"));
	CU_ASSERT_PTR_NULL(J.str(J.get(v, "t"), NULL));
	CU_ASSERT_EQUAL(J.count(v), 9);
	CU_ASSERT_EQUAL(J.count(J.get(v, "/a/b")), 3);
	CU_ASSERT_EQUAL(J.count(J.get(v, "t")), 0);
	CU_ASSERT_EQUAL(J.integer(J.get(v, "t")), 1);
	CU_ASSERT_EQUAL(J.integer(J.get(v, "max")), INT64_MAX);
	CU_ASSERT_EQUAL((int)J.num(J.get(v, "f")), 1);
	CU_ASSERT_EQUAL((int)J.num(J.get(v, "/m~0n")), 2);
	CU_ASSERT(J.num(J.get(v, "big")) > 1e19);
	CU_ASSERT_PTR_NULL(J.get(v, "/a/b/x"));
	CU_ASSERT_PTR_NULL(J.get(v, "/a/b/"));
	CU_ASSERT_PTR_NULL(J.get(J.get(v, "/a/b"), "0"));
	CU_ASSERT_PTR_NULL(J.get(J.get(v, "t"), "x"));
	CU_ASSERT_PTR_NULL(J.get(J.get(v, "z"), "x"));
	CU_ASSERT_STRING_EQUAL(J.text(call, v),
	    "{\"a\":{\"b\":[10,null,\"x\"]},\"a/b\":1,\"m~n\":2,\"\":3,"
	    "\"big\":18446744073709551615,\"max\":9223372036854775807,"
	    "\"f\":1.0,\"t\":true,\"z\":null}");
	CU_ASSERT_STRING_EQUAL(J.text(call, J.get(v, "z")), "null");
	arena_free(call->arena);
}

static void
test_read(void)
{
	struct as_call *call = call_new();

	read_all(parse);
	read_all(given);
	CU_ASSERT_PTR_NULL(parse(call, "{"));
	CU_ASSERT_EQUAL(J.type(parse(call, "null")), AS_JSON_NULL);
	CU_ASSERT_STRING_EQUAL(J.text(call, NULL), "null");
	arena_free(call->arena);
}

static void
iterate(reader *from)
{
	struct as_call *call = call_new();
	struct as_iter it = { .of = from(call, "{\"a\":null,\"b\":2}") };
	size_t n = 0;

	CU_ASSERT(J.next(&it));
	CU_ASSERT_STRING_EQUAL(it.key, "a");
	CU_ASSERT_EQUAL(J.type(it.value), AS_JSON_NULL);
	CU_ASSERT(J.next(&it));
	CU_ASSERT_STRING_EQUAL(it.key, "b");
	CU_ASSERT_FALSE(J.next(&it));
	CU_ASSERT_FALSE(J.next(&it));
	it = (struct as_iter){ .of = from(call, "[1,null,3]") };
	while (J.next(&it))
		n++;
	CU_ASSERT_EQUAL(n, 3);
	CU_ASSERT_PTR_NULL(it.key);
	it = (struct as_iter){ .of = from(call, "[[1,[2]],{\"a\":3},4]") };
	CU_ASSERT(J.next(&it));
	CU_ASSERT_EQUAL(J.count(it.value), 2);
	CU_ASSERT(J.next(&it));
	CU_ASSERT_EQUAL(J.integer(J.get(it.value, "a")), 3);
	CU_ASSERT(J.next(&it));
	CU_ASSERT_EQUAL(J.integer(it.value), 4);
	CU_ASSERT_FALSE(J.next(&it));
	it = (struct as_iter){ .of = from(call, "{}") };
	CU_ASSERT_FALSE(J.next(&it));
	it = (struct as_iter){ .of = from(call, "[true]") };
	CU_ASSERT(J.next(&it));
	it = (struct as_iter){ .of = it.value };
	CU_ASSERT_FALSE(J.next(&it));
	it = (struct as_iter){ .of = NULL };
	CU_ASSERT_FALSE(J.next(&it));
	it = (struct as_iter){ .of = parse(call, "null") };
	CU_ASSERT_FALSE(J.next(&it));
	arena_free(call->arena);
}

static void
test_iterate(void)
{
	iterate(parse);
	iterate(given);
}

/* Larger than a tape should be; a plugin does not notice. */
static void
test_wide(void)
{
	struct as_call *call = call_new();
	struct buf b = { 0 };
	const struct as_json *v;
	struct as_iter it;
	size_t i;

	buf_add_str(&b, "{\"in\":[[");
	for (i = 0; i < 5000; i++)
		buf_printf(&b, "%s%zu", i > 0 ? "," : "", i);
	buf_add_str(&b, "]]}");
	v = parse(call, b.data);
	CU_ASSERT_EQUAL(J.count(J.get(v, "/in/0")), 5000);
	CU_ASSERT_EQUAL(J.integer(J.get(v, "/in/0/4999")), 4999);
	it = (struct as_iter){ .of = J.get(v, "/in/0") };
	for (i = 0; J.next(&it); i++)
		CU_ASSERT_EQUAL(J.integer(it.value), (int64_t)i);
	CU_ASSERT_EQUAL(i, 5000);
	buf_free(&b);
	arena_free(call->arena);
}

/* What is copied of a text is as good as what was given. */
static void
test_copy(void)
{
	struct as_call *call = call_new();
	struct as_json *o = J.make(call, AS_JSON_OBJECT);
	const struct as_json *v;
	struct json_object *copy;
	char deep[140];

	CU_ASSERT_PTR_NULL(parse(call, "[1e400]"));
	v = parse(call, "{\"a\":[1,2.50,null,true,\"x\\u0000y\",{\"b\":{}}]}");
	J.put(o, "one", J.get(v, "/a/5"));
	J.put(o, "two", J.get(v, "/a/2"));
	J.put(o, "all", v);
	CU_ASSERT_EQUAL(value_copy(call, o, &copy), AS_OK);
	CU_ASSERT_STRING_EQUAL(json_text(copy),
	    "{\"one\":{\"b\":{}},\"two\":null,\"all\":{\"a\":[1,2.50,null,"
	    "true,\"x\\u0000y\",{\"b\":{}}]}}");
	json_object_put(copy);
	memset(deep, '[', 64);
	memset(deep + 64, ']', 64);
	deep[128] = '\0';
	CU_ASSERT_EQUAL(value_copy(call, parse(call, deep), &copy), AS_OK);
	json_object_put(copy);
	J.put(o, "deep", parse(call, deep));
	CU_ASSERT_EQUAL(value_copy(call, o, &copy), AS_LIMIT);
	arena_free(call->arena);
}

static void
test_write(void)
{
	struct as_call *call = call_new();
	struct as_json *o = J.make(call, AS_JSON_OBJECT), *a;
	struct json_object *copy;

	J.put_str(o, "s", "\xc3\xa4", 2);
	J.put_str(o, "n", NULL, 0);
	J.put_num(o, "d", 0.1);
	J.put_num(o, "one", 1);
	J.put_num(o, "nan", NAN);
	a = J.put_new(o, "a", AS_JSON_ARRAY);
	J.put_int(a, NULL, -5);
	J.put(a, NULL, parse(call, "{\"deep\":[0.10,1e2]}"));
	J.put(a, NULL, NULL);
	/* It can be read while it is built, and put into itself as it is. */
	CU_ASSERT_EQUAL(J.integer(J.get(o, "/a/0")), -5);
	J.put(o, "self", J.get(o, "a"));
	CU_ASSERT_EQUAL(value_copy(call, o, &copy), AS_OK);
	CU_ASSERT_STRING_EQUAL(json_text(copy),
	    "{\"s\":\"\xc3\xa4\",\"n\":null,\"d\":0.1,\"one\":1.0,\"nan\":null,"
	    "\"a\":[-5,{\"deep\":[0.10,1e2]},null],"
	    "\"self\":[-5,{\"deep\":[0.10,1e2]},null]}");
	/* What was given away does not change any more. */
	J.put_int(o, "later", 1);
	CU_ASSERT_PTR_NULL(jget(copy, "later"));
	json_object_put(copy);
	arena_free(call->arena);
}

static void
test_bad(void)
{
	struct as_call *call = call_new();
	struct as_json *o = J.make(call, AS_JSON_OBJECT), *child;
	struct json_object *copy;

	child = J.put_new(o, "child", AS_JSON_OBJECT);
	J.put_str(child, "x", "\xed\xa0\x80", 3); /* a surrogate */
	CU_ASSERT_EQUAL(value_copy(call, o, &copy), AS_INVALID);
	CU_ASSERT_PTR_NULL(copy);
	CU_ASSERT(call->failed);
	/* Writing goes on without harm. */
	J.put_int(child, "y", 1);
	J.put_int(J.put_new(child, "z", AS_JSON_ARRAY), NULL, 1);
	CU_ASSERT_EQUAL(value_copy(call, o, &copy), AS_INVALID);
	o = J.make(call, AS_JSON_OBJECT);
	J.put_int(o, "\xff", 1);
	CU_ASSERT_EQUAL(value_copy(call, o, &copy), AS_INVALID);
	arena_free(call->arena);
}

static void
test_passes(void)
{
	static const char *const cases[][3] = {
		{ "{}", "{}", "y" },
		{ "{\"a\":1}", "{\"a\":1,\"b\":2}", "y" },
		{ "{\"a\":1}", "{\"a\":2}", "n" },
		{ "{\"a\":1}", "{}", "n" },
		{ "{\"p\":{\"gte\":3,\"lt\":9}}", "{\"p\":3}", "y" },
		{ "{\"p\":{\"gte\":3,\"lt\":9}}", "{\"p\":9}", "n" },
		{ "{\"p\":{\"gt\":3}}", "{\"p\":3.5}", "y" },
		{ "{\"p\":{\"gt\":3}}", "{\"p\":\"4\"}", "n" },
		{ "{\"p\":{\"lte\":\"b\"}}", "{\"p\":\"a\"}", "y" },
		{ "{\"t\":{\"in\":[\"a\",\"b\"]}}", "{\"t\":\"b\"}", "y" },
		{ "{\"t\":{\"in\":[\"a\",\"b\"]}}", "{\"t\":\"c\"}", "n" },
		{ "{\"t\":{\"near\":1}}", "{\"t\":1}", "n" },
	};
	struct as_call *call = call_new();
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_EQUAL(host_vector_table.passes(parse(call,
							     cases[i][0]),
				    parse(call, cases[i][1])),
		    cases[i][2][0] == 'y');
		CU_ASSERT_EQUAL(host_vector_table.passes(given(call,
							     cases[i][0]),
				    parse(call, cases[i][1])),
		    cases[i][2][0] == 'y');
	}
	arena_free(call->arena);
}

static void
test_same(void)
{
	CU_ASSERT(host_auth_table.same("", ""));
	CU_ASSERT(host_auth_table.same("secret", "secret"));
	CU_ASSERT_FALSE(host_auth_table.same("secret", "secreT"));
	CU_ASSERT_FALSE(host_auth_table.same("secret", "secret "));
	CU_ASSERT_FALSE(host_auth_table.same("secret", ""));
}

static void
expect_origin(const char *url, const char *want)
{
	char origin[ORIGIN_LEN] = "";

	CU_ASSERT_EQUAL(origin_of(url, origin), want != NULL);
	if (want != NULL)
		CU_ASSERT_STRING_EQUAL(origin, want);
}

static void
test_origins(void)
{
	char host[ORIGIN_LEN];

	expect_origin("https://API.x.com/v1", "https://api.x.com:443");
	expect_origin("HTTP://x:8080", "http://x:8080");
	expect_origin("http://[::1]:9/a", "http://[::1]:9");
	expect_origin("http://x?y@z", "http://x:80");
	/* What a reader takes for the host and what a library does differ. */
	expect_origin("http://a.com@b.com/", NULL);
	expect_origin("http://a.com\\@b.com/", NULL);
	expect_origin("http://a.com\\.b.com/", NULL);
	expect_origin("http://a.com%2eb.com/", NULL);
	expect_origin("http://a.com b.com/", NULL);
	expect_origin("http://x:99999/", NULL);
	expect_origin("http://x:/", NULL);
	expect_origin("http:///a", NULL);
	expect_origin("http://[::1", NULL);
	expect_origin("ftp://x/", NULL);
	expect_origin("//x/", NULL);
	expect_origin("", NULL);
	origin_host("http://[::1]:9", host);
	CU_ASSERT_STRING_EQUAL(host, "::1");
	origin_host("https://api.x.com:443", host);
	CU_ASSERT_STRING_EQUAL(host, "api.x.com");
}

static void
test_grants(void)
{
	CU_ASSERT(grants_host("kv net:api.x.com", "api.x.com"));
	CU_ASSERT_FALSE(grants_host("kv net:api.x.com", "x.com"));
	CU_ASSERT_FALSE(grants_host("kv net:api.x.com", "evil-api.x.com"));
	CU_ASSERT(grants_host("net:*.x.com", "api.x.com"));
	CU_ASSERT_FALSE(grants_host("net:*.x.com", "x.com"));
	CU_ASSERT_FALSE(grants_host("net:*.x.com", "apix.com"));
	CU_ASSERT(grants_host("net:user", "anything"));
	CU_ASSERT_FALSE(grants_host("network:user", "user"));
	CU_ASSERT_FALSE(grants_host("", "x"));
	CU_ASSERT_FALSE(grants_host(NULL, "x"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "reading", test_read },
		{ "walking", test_iterate },
		{ "wide values", test_wide },
		{ "copies", test_copy },
		{ "writing", test_write },
		{ "bad trees", test_bad },
		{ "filters", test_passes },
		{ "secrets", test_same },
		{ "origins", test_origins },
		{ "grants", test_grants },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "plug values", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
