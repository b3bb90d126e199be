/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "tests/tap.h"

/*
 * JSON Schema: what fits, what does not and how that is told, what is no
 * schema.
 */

struct row {
	const char *schema;
	const char *value;
	const char *details; /* NULL: it fits */
};

static void
check(const struct schema *schema, const char *text, const char *details)
{
	struct error err = { 0 };
	struct json_object *v;
	const char *got = NULL;

	MUST(json_parse(text, strlen(text), &v, NULL) == AS_OK);
	if (schema_validate(schema, v, &err) != AS_OK) {
		CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
		got = json_text(jget(err.extra, "details"));
	}
	if ((got == NULL) != (details == NULL) ||
	    (got != NULL && strcmp(got, details) != 0)) {
		tap_note("%s: %s", text, got != NULL ? got : "fits");
		CU_FAIL("not as expected");
	}
	error_clear(&err);
	json_object_put(v);
}

static void
check_rows(const struct row *rows, size_t n)
{
	struct error err = { 0 };
	struct schema *s;
	size_t i;

	for (i = 0; i < n; i++) {
		if (schema_compile(rows[i].schema, &s, &err) != AS_OK) {
			tap_note("%s: %s", rows[i].schema, err.detail);
			CU_FAIL("no schema");
			error_clear(&err);
			continue;
		}
		check(s, rows[i].value, rows[i].details);
		schema_free(s);
	}
}

#define WHOLE(text) "{\"\":[\"" text "\"]}"

static void
test_types(void)
{
	static const struct row rows[] = {
		{ "true", "[1]", NULL },
		{ "false", "1", WHOLE("is not allowed") },
		{ "{}", "null", NULL },
		{ "{\"type\":\"string\"}", "\"x\"", NULL },
		{ "{\"type\":\"string\"}", "1", WHOLE("must be a string") },
		{ "{\"type\":\"integer\"}", "1", NULL },
		{ "{\"type\":\"integer\"}", "1.0", NULL },
		{ "{\"type\":\"integer\"}", "1.5",
		    WHOLE("must be an integer") },
		{ "{\"type\":\"integer\"}", "1e300",
		    WHOLE("must be an integer") },
		{ "{\"type\":\"number\"}", "1", NULL },
		{ "{\"type\":\"number\"}", "1.5", NULL },
		{ "{\"type\":\"number\"}", "\"1\"", WHOLE("must be a number") },
		{ "{\"type\":\"boolean\"}", "0",
		    WHOLE("must be true or false") },
		{ "{\"type\":\"array\"}", "{}", WHOLE("must be an array") },
		{ "{\"type\":\"object\"}", "[]", WHOLE("must be an object") },
		{ "{\"type\":\"null\"}", "0", WHOLE("must be null") },
		{ "{\"type\":[\"string\",\"null\"]}", "null", NULL },
		{ "{\"type\":[\"string\",\"null\"]}", "1",
		    WHOLE("must be a string or null") },
		{ "{\"type\":[\"integer\",\"number\"]}", "\"\"",
		    WHOLE("must be a number") },
	};

	check_rows(rows, N_ITEMS(rows));
}

static void
test_values(void)
{
	static const struct row rows[] = {
		{ "{\"enum\":[\"a\",\"b\"]}", "\"b\"", NULL },
		{ "{\"enum\":[\"a\",\"b\"]}", "\"c\"",
		    WHOLE("must be one of a, b") },
		{ "{\"enum\":[1,null,{\"b\":1,\"a\":2}]}",
		    "{\"a\":2.0,\"b\":1}", NULL },
		{ "{\"enum\":[1,null]}", "1.0", NULL },
		{ "{\"enum\":[\"1\"]}", "1", WHOLE("must be 1") },
		{ "{\"const\":true}", "true", NULL },
		{ "{\"const\":true}", "false", WHOLE("must be true") },
		{ "{\"minimum\":1}", "0.5", WHOLE("must be at least 1") },
		{ "{\"maximum\":2.5}", "3", WHOLE("must be at most 2.5") },
		{ "{\"maximum\":2.5}", "\"3\"", NULL },
		{ "{\"exclusiveMinimum\":0}", "0",
		    WHOLE("must be more than 0") },
		{ "{\"exclusiveMaximum\":0}", "0",
		    WHOLE("must be less than 0") },
		{ "{\"multipleOf\":0.1}", "0.3", NULL },
		{ "{\"multipleOf\":2}", "3", WHOLE("must be a multiple of 2") },
		{ "{\"minLength\":1}", "\"\"", WHOLE("must not be empty") },
		{ "{\"minLength\":3}", "\"ab\"",
		    WHOLE("must have at least 3 characters") },
		{ "{\"maxLength\":2}", "\"\xc3\xa9\xc3\xa9\"", NULL },
		{ "{\"maxLength\":2}", "\"abc\"",
		    WHOLE("must have at most 2 characters") },
	};

	check_rows(rows, N_ITEMS(rows));
}

static void
test_formats(void)
{
	static const struct row rows[] = {
		{ "{\"format\":\"uuid\"}",
		    "\"01890a5d-ac96-774b-bcce-b302099a8057\"", NULL },
		{ "{\"format\":\"uuid\"}", "\"01890a5d\"",
		    WHOLE("must be a UUID in lower case") },
		{ "{\"format\":\"email\"}", "\"a.b@c.de\"", NULL },
		{ "{\"format\":\"email\"}", "\"a@b@c.de\"",
		    WHOLE("must be an e-mail address") },
		{ "{\"format\":\"email\"}", "\"a b@c.de\"",
		    WHOLE("must be an e-mail address") },
		{ "{\"format\":\"email\"}", "\"@c.de\"",
		    WHOLE("must be an e-mail address") },
		{ "{\"format\":\"email\"}", "\"a@\"",
		    WHOLE("must be an e-mail address") },
		{ "{\"format\":\"uri\"}", "\"https://x.y/z?a=b\"", NULL },
		{ "{\"format\":\"uri\"}", "\"/z\"", WHOLE("must be a URI") },
		{ "{\"format\":\"uri\"}", "\"https://x y\"",
		    WHOLE("must be a URI") },
		{ "{\"format\":\"date-time\"}", "\"2026-01-01T00:00:00Z\"",
		    NULL },
		{ "{\"format\":\"date-time\"}", "\"2026-01-01\"",
		    WHOLE("must be an RFC 3339 time") },
		{ "{\"format\":\"uri\"}", "\"a:b\\u0000c\"",
		    WHOLE("must not contain U+0000") },
		{ "{\"format\":\"unheard-of\"}", "\"x\"", NULL },
	};

	check_rows(rows, N_ITEMS(rows));
}

static void
test_arrays(void)
{
	static const struct row rows[] = {
		{ "{\"minItems\":1}", "[]",
		    WHOLE("must have at least 1 items") },
		{ "{\"maxItems\":1}", "[1,2]",
		    WHOLE("must have at most 1 items") },
		{ "{\"uniqueItems\":true}", "[1,\"1\",[1]]", NULL },
		{ "{\"uniqueItems\":true}",
		    "[{\"a\":1,\"b\":2},{\"b\":2,"
		    "\"a\":1}]",
		    WHOLE("must not have the same item twice") },
		{ "{\"uniqueItems\":true}", "[1,2,1.0]",
		    WHOLE("must not have the same item twice") },
		{ "{\"items\":{\"type\":\"string\"}}", "[\"a\",1,null]",
		    "{\"/1\":[\"must be a string\"],"
		    "\"/2\":[\"must be a string\"]}" },
	};

	check_rows(rows, N_ITEMS(rows));
}

static const char agent[] =
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"id\",\"name\"],\"properties\":{"
    "\"id\":{\"type\":\"string\",\"format\":\"uuid\",\"readOnly\":true},"
    "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
    "\"tools\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"memory\":{\"type\":\"object\",\"properties\":{\"a/b~\":"
    "{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"null\"}}}}";

static void
test_objects(void)
{
	static const struct row rows[] = {
		{ agent, "{\"name\":\"x\"}", NULL },
		{ agent, "{\"name\":\"x\",\"id\":17}", NULL },
		{ agent, "{}", "{\"name\":[\"is required\"]}" },
		{ agent, "{\"nmae\":\"x\",\"name\":\"y\"}",
		    "{\"nmae\":[\"is not a known member; did you mean "
		    "'name'?\"]}" },
		{ agent, "{\"name\":\"x\",\"tools\":[\"a\",3]}",
		    "{\"/tools/1\":[\"must be a string\"]}" },
		{ agent, "{\"name\":\"x\",\"memory\":{\"a/b~\":\"\",\"c\":1}}",
		    "{\"/memory/a~1b~0\":[\"must be an integer\"],"
		    "\"/memory/c\":[\"must be null\"]}" },
	};

	check_rows(rows, N_ITEMS(rows));
}

static void
test_combined(void)
{
	static const struct row rows[] = {
		{ "{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3,\"type\":"
		  "\"integer\"}]}",
		    "null", NULL },
		{ "{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3,\"type\":"
		  "\"integer\"}]}",
		    "2", WHOLE("must be at least 3") },
		{ "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"integer\"}]}",
		    "\"\"", WHOLE("must be an integer or null") },
		{ "{\"anyOf\":[{\"minimum\":5},{\"maximum\":1}]}", "3",
		    WHOLE("has none of the allowed forms") },
		{ "{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "1", NULL },
		{ "{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3",
		    WHOLE("has more than one of the allowed forms") },
		{ "{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3",
		    WHOLE("must be at most 2") },
		{ "{\"not\":{\"type\":\"null\"}}", "1", NULL },
		{ "{\"not\":{\"type\":\"null\"}}", "null",
		    WHOLE("has a form that is not allowed") },
		{ "{\"properties\":{\"x\":false},\"additionalProperties\":"
		  "false}",
		    "{\"x\":1}", "{\"x\":[\"is not allowed\"]}" },
	};

	check_rows(rows, N_ITEMS(rows));
}

static void
test_broken(void)
{
	static const char *const schemas[][2] = {
		{ "[]", "schema : expected a schema: an object, true or "
			"false" },
		{ "{\"type\":\"text\"}", "schema /type: unknown type 'text'" },
		{ "{\"type\":1}", "schema /type: expected the name of a "
				  "type" },
		{ "{\"properties\":{\"a\":{\"minimum\":\"1\"}}}",
		    "schema /properties/a/minimum: expected a number" },
		{ "{\"enum\":[]}", "schema /enum: expected an array of "
				   "values" },
		{ "{\"required\":[1]}", "schema /required: expected an array "
					"of names" },
		{ "{\"minLength\":-1}", "schema /minLength: expected a "
					"count" },
		{ "{\"multipleOf\":0}", "schema /multipleOf: expected a "
					"number above 0" },
		{ "{\"anyOf\":[true,1]}", "schema /anyOf/1: expected a "
					  "schema: an object, true or false" },
		{ "{\"readOnly\":1}", "schema /readOnly: expected true or "
				      "false" },
		{ "{\"$ref\":\"#/$defs/x\"}", "schema : $ref leads nowhere: "
					      "#/$defs/x" },
		{ "{\"$ref\":\"#\"}", "schema : $ref goes in a circle: #" },
		{ "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},"
		  "\"b\":{\"$ref\":\"#/$defs/a\"}}}",
		    "schema : $ref goes in a circle: #/$defs/a" },
		{ "{", "expected a member name at byte 1" },
	};
	struct error err = { 0 };
	struct schema *s;
	size_t i;

	for (i = 0; i < N_ITEMS(schemas); i++) {
		CU_ASSERT_EQUAL(schema_compile(schemas[i][0], &s, &err),
		    AS_INVALID);
		CU_ASSERT_PTR_NULL(s);
		if (strcmp(err.detail, schemas[i][1]) != 0) {
			tap_note("%s: %s", schemas[i][0], err.detail);
			CU_FAIL("another message");
		}
	}
	error_clear(&err);
}

static void
test_set(void)
{
	struct schema_set *set = schema_set_new();
	struct error err = { 0 };

	CU_ASSERT_EQUAL(schema_set_add(set, "List",
			    "{\"items\":{\"$ref\":\"Node\"}}", &err),
	    AS_OK);
	CU_ASSERT_EQUAL(schema_set_resolve(set, &err), AS_INVALID);
	CU_ASSERT_STRING_EQUAL(err.detail,
	    "schema List: $ref leads nowhere: Node");
	CU_ASSERT_EQUAL(schema_set_add(set, "Node",
			    "{\"type\":\"object\",\"properties\":{\"next\":"
			    "{\"anyOf\":[{\"type\":\"null\"},"
			    "{\"$ref\":\"#\"}]}},"
			    "\"additionalProperties\":false}",
			    &err),
	    AS_OK);
	CU_ASSERT_EQUAL(schema_set_add(set, "Node", "{}", &err), AS_INVALID);
	CU_ASSERT_EQUAL(schema_set_resolve(set, &err), AS_OK);
	CU_ASSERT_PTR_NULL(schema_by_name(set, "Other"));
	check(schema_by_name(set, "List"), "[{\"next\":{\"next\":null}}]",
	    NULL);
	check(schema_by_name(set, "List"), "[{\"next\":{\"nxt\":null}}]",
	    "{\"/0/next/nxt\":[\"is not a known member; did you mean "
	    "'next'?\"]}");
	CU_ASSERT_STRING_EQUAL(json_text(
				   schema_json(schema_by_name(set, "List"))),
	    "{\"items\":{\"$ref\":\"Node\"}}");
	error_clear(&err);
	schema_set_free(set);
	schema_set_free(NULL);
	schema_free(NULL);
}

/* A schema that is inside itself without consuming anything must end. */
static void
test_bounds(void)
{
	struct error err = { 0 };
	struct json_object *v = jobj();
	struct schema *s;
	char name[16];
	int i;

	CU_ASSERT_EQUAL(schema_compile("{\"allOf\":[{\"$ref\":\"#\"}]}", &s,
			    NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(schema_validate(s, v, &err), AS_INVALID);
	CU_ASSERT_STRING_EQUAL(json_text(jget(err.extra, "details")),
	    WHOLE("is nested too deeply"));
	error_clear(&err);
	schema_free(s);
	/* Nor may it take forever, or be taken for the opposite. */
	CU_ASSERT_EQUAL(schema_compile("{\"not\":{\"anyOf\":[{\"$ref\":\"#\"},"
				       "{\"$ref\":\"#\"}]}}",
			    &s, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(schema_validate(s, v, &err), AS_INVALID);
	error_clear(&err);
	schema_free(s);
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		jput_int(v, name, i);
	}
	CU_ASSERT_EQUAL(schema_compile("{\"additionalProperties\":false}", &s,
			    NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(schema_validate(s, v, &err), AS_INVALID);
	CU_ASSERT_EQUAL(json_object_object_length(jget(err.extra, "details")),
	    20);
	error_clear(&err);
	CU_ASSERT_EQUAL(schema_validate(s, v, NULL), AS_INVALID);
	schema_free(s);
	json_object_put(v);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "types", test_types },
		{ "values", test_values },
		{ "formats", test_formats },
		{ "arrays", test_arrays },
		{ "objects", test_objects },
		{ "combinations", test_combined },
		{ "what is no schema", test_broken },
		{ "sets", test_set },
		{ "bounds", test_bounds },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "schema", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
