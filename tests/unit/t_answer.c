/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/inbox/answer.h"
#include "tests/tap.h"

/* The shapes in which clients answer, and values that a form has flattened. */

static struct json_object *
json(const char *text)
{
	struct json_object *v = NULL;

	CU_ASSERT_EQUAL_FATAL(json_parse(text, strlen(text), &v, NULL), AS_OK);
	return v;
}

/*
 * All answers as one line: type, action in brackets, args; or, where one is
 * wrong, what is noted.
 */
static const char *
parsed(const char *text)
{
	static char line[1024];
	struct arena *arena = arena_new(NULL);
	struct json_object *body = json(text);
	struct error err = { 0 };
	struct answers all;
	size_t n = 0;

	if (answers_parse(body, arena, &all, &err) != AS_OK)
		snprintf(line, sizeof(line), "%s",
		    json_text(jget(err.extra, "details")));
	else {
		n = (size_t)snprintf(line, sizeof(line), "%s",
		    all.by_place ? "by place:" : "");
		for (int i = 0; i < all.n; i++)
			n += (size_t)snprintf(line + n, sizeof(line) - n,
			    "%s%s%s%s%s %s", n > 0 ? " " : "", all.list[i].type,
			    all.list[i].action != NULL ? "(" : "",
			    all.list[i].action != NULL ? all.list[i].action
						       : "",
			    all.list[i].action != NULL ? ")" : "",
			    json_text(all.list[i].args));
	}
	error_clear(&err);
	json_object_put(body);
	arena_free(arena);
	return line;
}

struct pair {
	const char *in, *out;
};

static void
all_parsed(const struct pair *p, size_t n)
{
	const char *got;

	for (size_t i = 0; i < n; i++) {
		got = parsed(p[i].in);
		if (strcmp(got, p[i].out) != 0)
			tap_note("%s\n#  gives   %s\n#  and not %s", p[i].in,
			    got, p[i].out);
		CU_ASSERT_STRING_EQUAL(got, p[i].out);
	}
}

static void
test_one(void)
{
	static const struct pair pairs[] = {
		{ "{\"type\":\"accept\"}", "accept null" },
		{ "{\"type\":\"accept\",\"args\":null}", "accept null" },
		{ "[{\"type\":\"accept\",\"args\":{\"action\":\"t\","
		  "\"args\":{\"a\":\"1\"}}}]",
		    "accept(t) {\"a\":\"1\"}" },
		{ "{\"type\":\"edit\",\"args\":{\"a\":1}}", "edit {\"a\":1}" },
		{ "[{\"type\":\"edit\",\"args\":{\"action\":\"t\","
		  "\"args\":{}}}]",
		    "edit(t) {}" },
		/* Arguments of these names are no action request. */
		{ "{\"type\":\"edit\",\"args\":{\"action\":\"t\",\"args\":{},"
		  "\"x\":1}}",
		    "edit {\"action\":\"t\",\"args\":{},\"x\":1}" },
		{ "{\"type\":\"edit\",\"args\":{\"action\":\"t\",\"args\":1}}",
		    "edit {\"action\":\"t\",\"args\":1}" },
		{ "{\"type\":\"response\",\"args\":\"no\"}",
		    "response \"no\"" },
		{ "{\"type\":\"response\",\"args\":{\"action\":\"t\","
		  "\"args\":{}}}",
		    "response {\"action\":\"t\",\"args\":{}}" },
		{ "{\"type\":\"response\",\"args\":false}", "response false" },
		{ "[{\"type\":\"ignore\",\"args\":null}]", "ignore null" },
	};

	all_parsed(pairs, N_ITEMS(pairs));
}

static void
test_decisions(void)
{
	static const struct pair pairs[] = {
		{ "{\"decisions\":[{\"type\":\"approve\"},{\"type\":\"edit\","
		  "\"edited_action\":{\"name\":\"t\",\"args\":{\"a\":1}}},"
		  "{\"type\":\"reject\"},{\"type\":\"reject\",\"message\":"
		  "\"why\"},{\"type\":\"respond\",\"message\":\"42\"}]}",
		    "by place: accept null edit(t) {\"a\":1} ignore null"
		    " response \"why\" response \"42\"" },
		{ "{\"decisions\":[{\"type\":\"edit\",\"editedAction\":"
		  "{\"name\":\"t\",\"arguments\":{}}}]}",
		    "by place: edit(t) {}" },
	};

	all_parsed(pairs, N_ITEMS(pairs));
}

static void
test_wrong(void)
{
	static const struct pair pairs[] = {
		{ "{}", "{\"type\":[\"must be accept, edit, response or"
			" ignore\"]}" },
		{ "{\"type\":\"edit\"}",
		    "{\"args\":[\"must be what it is now\"]}" },
		{ "{\"type\":\"response\"}",
		    "{\"args\":[\"must be what is answered\"]}" },
		{ "{\"type\":\"response\",\"args\":\"\"}",
		    "{\"args\":[\"must be what is answered\"]}" },
		{ "{\"type\":\"ignore\",\"args\":\"x\"}",
		    "{\"args\":[\"of ignore must be null\"]}" },
		{ "{\"type\":\"accept\",\"decisions\":[{\"type\":\"approve\"}]"
		  "}",
		    "{\"decisions\":[\"stands alone: no type, no args\"]}" },
		{ "{\"decisions\":[{\"type\":\"edit\"},{\"type\":\"respond\"},"
		  "{\"type\":\"approve\",\"message\":\"m\"}]}",
		    "{\"/decisions/0/edited_action\":[\"must hold the"
		    " name of the tool and its new args\"],"
		    "\"/decisions/1/message\":[\"must be what is"
		    " answered\"],\"/decisions/2/message\":[\"goes with"
		    " respond or reject\"]}" },
	};

	all_parsed(pairs, N_ITEMS(pairs));
}

/* ---- Types --------------------------------------------------------- */

#define PROPERTY(schema) \
	"{\"type\":\"object\",\"properties\":{\"v\":" schema "}}"

static void
coerced(const char *schema, const char *in, const char *out)
{
	struct json_object *s = json(schema), *v = json(in), *got;

	got = answer_coerce(s, v, NULL);
	if (strcmp(json_text(got), out) != 0)
		tap_note("%s by %s gives %s, not %s", in, schema,
		    json_text(got), out);
	CU_ASSERT_STRING_EQUAL(json_text(got), out);
	CU_ASSERT_STRING_EQUAL(json_text(v), in);
	json_object_put(got);
	json_object_put(v);
	json_object_put(s);
}

static void
coerced_member(const char *schema, const char *in, const char *out)
{
	char s[512], i[256], o[256];

	snprintf(s, sizeof(s), PROPERTY("%s"), schema);
	snprintf(i, sizeof(i), "{\"v\":%s}", in);
	snprintf(o, sizeof(o), "{\"v\":%s}", out);
	coerced(s, i, o);
}

static void
test_scalars(void)
{
	static const struct {
		const char *schema, *in, *out;
	} rows[] = {
		{ "{\"type\":\"string\"}", "\"5\"", "\"5\"" },
		{ "{\"type\":\"integer\"}", "\"5\"", "5" },
		{ "{\"type\":\"integer\"}", "\"-5\"", "-5" },
		{ "{\"type\":\"integer\"}", "5", "5" },
		{ "{\"type\":\"integer\"}", "\"5.5\"", "5.5" },
		{ "{\"type\":\"integer\"}", "\"05\"", "\"05\"" },
		{ "{\"type\":\"integer\"}", "\"five\"", "\"five\"" },
		{ "{\"type\":\"integer\"}", "\"\"", "\"\"" },
		{ "{\"type\":\"integer\"}", "\"true\"", "\"true\"" },
		{ "{\"type\":\"number\"}", "\"2.5\"", "2.5" },
		{ "{\"type\":\"number\"}", "\"3\"", "3" },
		{ "{\"type\":\"boolean\"}", "\"true\"", "true" },
		{ "{\"type\":\"boolean\"}", "\"false\"", "false" },
		{ "{\"type\":\"boolean\"}", "\"True\"", "\"True\"" },
		{ "{\"type\":\"boolean\"}", "\"1\"", "\"1\"" },
		{ "{\"type\":[\"integer\",\"null\"]}", "\"\"", "null" },
		{ "{\"type\":[\"integer\",\"null\"]}", "\"null\"", "null" },
		{ "{\"type\":[\"integer\",\"string\"]}", "\"5\"", "\"5\"" },
		{ "{\"enum\":[1,2]}", "\"2\"", "2" },
		{ "{\"enum\":[\"1\",2]}", "\"2\"", "\"2\"" },
		{ "{\"const\":true}", "\"true\"", "true" },
		{ "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"boolean\"}]}",
		    "\"true\"", "true" },
		{ "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}",
		    "\"7\"", "\"7\"" },
		/* One of them takes it as it is. */
		{ "{\"anyOf\":[{\"type\":\"integer\"},{}]}", "\"7\"", "\"7\"" },
		{ "{}", "\"7\"", "\"7\"" },
	};

	for (size_t i = 0; i < N_ITEMS(rows); i++)
		coerced_member(rows[i].schema, rows[i].in, rows[i].out);
}

static void
test_containers(void)
{
	coerced_member("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
	    "[\"1\",2,\"x\"]", "[1,2,\"x\"]");
	coerced_member("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
	    "\"[1,\\\"2\\\"]\"", "[1,2]");
	coerced_member("{\"type\":\"object\",\"properties\":{\"a\":"
		       "{\"type\":\"boolean\"}}}",
	    "\"{\\\"a\\\":\\\"true\\\",\\\"b\\\":\\\"1\\\"}\"",
	    "{\"a\":true,\"b\":\"1\"}");
	coerced_member("{\"type\":\"object\"}", "\"[object Object]\"",
	    "\"[object Object]\"");
	coerced_member("{\"type\":\"object\",\"additionalProperties\":"
		       "{\"type\":\"integer\"}}",
	    "{\"a\":\"1\"}", "{\"a\":1}");
	/* A string in a string stays one. */
	coerced_member("{\"type\":\"array\",\"items\":{\"type\":\"array\"}}",
	    "\"[\\\"[1]\\\"]\"", "[\"[1]\"]");
}

/* What leads in a circle ends. */
static void
test_references(void)
{
	coerced("{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"properties\":"
		"{\"v\":{\"$ref\":\"#/$defs/n\"}}}",
	    "{\"v\":\"4\"}", "{\"v\":4}");
	coerced("{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}},\"properties\":"
		"{\"v\":{\"$ref\":\"#/$defs/a\"}}}",
	    "{\"v\":\"4\"}", "{\"v\":\"4\"}");
	coerced("{\"properties\":{\"n\":{\"type\":\"integer\"},\"next\":"
		"{\"$ref\":\"#\"}}}",
	    "{\"next\":{\"next\":{\"n\":\"1\"}}}",
	    "{\"next\":{\"next\":{\"n\":1}}}");
	coerced("{\"allOf\":[{\"properties\":{\"v\":{\"type\":\"integer\"}}}]}",
	    "{\"v\":\"4\"}", "{\"v\":4}");
	coerced("{\"properties\":{\"v\":{\"$ref\":\"#/nowhere\"}}}",
	    "{\"v\":\"4\"}", "{\"v\":\"4\"}");
}

/* So does what leads everywhere again and again. */
static void
test_circles(void)
{
	static const char
	    schema[] = "{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"},"
		       "{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}";

	coerced(schema, "{\"v\":\"4\"}", "{\"v\":\"4\"}");
	coerced("{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"},"
		"{\"$ref\":\"#\"}]}",
	    "{\"v\":[\"4\",\"5\"]}", "{\"v\":[\"4\",\"5\"]}");
}

/* What a form has not changed is what it was. */
static void
test_unchanged(void)
{
	struct json_object *was = json("{\"n\":5,\"s\":\"5\",\"b\":true,"
				       "\"o\":{\"x\":[1,null]},\"l\":[1]}");
	struct json_object *v = json("{\"n\":\"5\",\"s\":\"5\",\"b\":\"true\","
				     "\"o\":\"{\\\"x\\\":[1,null]}\","
				     "\"l\":[\"1\",\"2\"],\"m\":\"5\"}");
	struct json_object *got = answer_coerce(NULL, v, was);

	CU_ASSERT_STRING_EQUAL(json_text(got),
	    "{\"n\":5,\"s\":\"5\",\"b\":true,\"o\":{\"x\":[1,null]},"
	    "\"l\":[1,\"2\"],\"m\":\"5\"}");
	json_object_put(got);
	json_object_put(v);
	json_object_put(was);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "one answer, alone or in a list", test_one },
		{ "decisions", test_decisions },
		{ "what is wrong is named", test_wrong },
		{ "strings become what the schema wants", test_scalars },
		{ "so do lists and objects", test_containers },
		{ "references", test_references },
		{ "schemas in circles", test_circles },
		{ "what has not changed", test_unchanged },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "answer", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
