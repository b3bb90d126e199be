/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/unit.h"
#include "tests/tap.h"

/* Effects that depend on an argument: which call has which, and bad tables. */

#define SCHEMA \
	"{\"type\":\"object\",\"properties\":{" \
	"\"how\":{\"type\":\"string\",\"enum\":[\"read\",\"set\",\"add\"]," \
	"\"default\":\"read\"},\"n\":{\"type\":\"integer\"}," \
	"\"word\":{\"type\":\"string\"}}}"

static const struct as_effect_case cases[] = {
	{ "read", AS_EFFECT_NONE },
	{ "set", AS_EFFECT_REPEAT },
	AS_END,
};

static struct json_object *
json_of(const char *text)
{
	struct json_object *o = NULL;

	MUST(json_parse(text, strlen(text), &o, NULL) == AS_OK);
	return o;
}

static void
expect(const char *effect_by, const char *args, enum as_effect want)
{
	struct json_object *schema = json_of(SCHEMA), *a = json_of(args);
	struct plug_tool_info info = { .effect = AS_EFFECT_ONCE,
		.effect_by = effect_by,
		.effects = cases,
		.input_schema = schema };
	enum as_effect is = plug_tool_effect(&info, a);

	if (is != want)
		tap_note("%s: %s", args, plug_effect_name(is));
	CU_ASSERT_EQUAL(is, want);
	json_object_put(a);
	json_object_put(schema);
}

static void
test_calls(void)
{
	expect("how", "{\"how\":\"read\"}", AS_EFFECT_NONE);
	expect("how", "{\"how\":\"set\"}", AS_EFFECT_REPEAT);
	expect("how", "{\"how\":\"SeT\"}", AS_EFFECT_REPEAT);
	expect("how", "{\"how\":\"add\"}", AS_EFFECT_ONCE);
	/* What is left out counts as the default, where there is one. */
	expect("how", "{\"n\":1}", AS_EFFECT_NONE);
	expect("word", "{}", AS_EFFECT_ONCE);
	expect("word", "{\"word\":\"read\"}", AS_EFFECT_NONE);
	expect("other", "{}", AS_EFFECT_ONCE);
}

/* The class of the tool, which is the careful one. */
static void
test_doubts(void)
{
	static const char *const args[] = { "null", "[]", "\"read\"",
		"{\"how\":null}", "{\"how\":1}", "{\"how\":[\"read\"]}",
		"{\"how\":\"\"}", "{\"how\":\" read\"}", "{\"how\":\"reads\"}",
		"{\"how\":\"rea\"}", "{\"how\":\"read\\u0000\"}",
		"{\"HOW\":\"set\",\"how\":\"add\"}" };

	for (size_t i = 0; i < N_ITEMS(args); i++)
		expect("how", args[i], AS_EFFECT_ONCE);
	expect(NULL, "{\"how\":\"read\"}", AS_EFFECT_ONCE);
}

static enum as_status
verify(struct as_call *call, const void *in)
{
	(void)call;
	(void)in;
	return AS_NOTFOUND;
}

/* want: a part of the sentence; NULL: the table is good. */
static void
check(const struct as_tool *given, const char *want)
{
	struct json_object *schema = json_of(SCHEMA);
	struct as_tool tool = *given;
	struct error err = { 0 };

	tool.name = "t";
	CU_ASSERT_EQUAL(effects_check(&tool, schema, &err),
	    want == NULL ? AS_OK : AS_INVALID);
	if (want != NULL && strstr(err.detail, want) == NULL)
		tap_note("'%s' is not in '%s'", want, err.detail);
	CU_ASSERT(want == NULL || strstr(err.detail, want) != NULL);
	error_clear(&err);
	json_object_put(schema);
}

static void
test_tables(void)
{
	static const struct as_effect_case
	    twice[] = { { "read", AS_EFFECT_NONE }, { "READ", AS_EFFECT_ONCE },
		    AS_END },
	    unknown[] = { { "get", AS_EFFECT_NONE }, AS_END },
	    upper[] = { { "READ", AS_EFFECT_NONE }, AS_END },
	    asked[] = { { "add", AS_EFFECT_VERIFIED }, AS_END };
	struct as_effect_case many[200];
	char words[N_ITEMS(many)][8];

	check(&(struct as_tool){ .effect_by = NULL }, NULL);
	check(&(struct as_tool){ .effect_by = "how", .effects = cases }, NULL);
	check(&(struct as_tool){ .effect_by = "how", .effects = upper }, NULL);
	check(&(struct as_tool){ .effect_by = "word", .effects = unknown },
	    NULL);
	check(&(struct as_tool){ .effect_by = "how" }, "both or neither");
	check(&(struct as_tool){ .effects = cases }, "both or neither");
	check(&(struct as_tool){ .effect_by = "HOW", .effects = cases },
	    "'HOW' is no argument");
	check(&(struct as_tool){ .effect_by = "n", .effects = cases },
	    "'n' is no argument that is a text");
	check(&(struct as_tool){ .effect_by = "how", .effects = unknown },
	    "how cannot be 'get'");
	check(&(struct as_tool){ .effect_by = "how", .effects = twice },
	    "'READ' is there twice");
	check(&(struct as_tool){ .effect_by = "how", .effects = asked },
	    "VERIFIED and no verify");
	check(&(struct as_tool){ .effect_by = "how",
		  .effects = asked,
		  .verify = verify },
	    NULL);
	check(&(struct as_tool){ .effect = AS_EFFECT_VERIFIED },
	    "VERIFIED and no verify");
	for (size_t i = 0; i < N_ITEMS(many); i++) {
		snprintf(words[i], sizeof(words[i]), "w%zu", i);
		many[i].word = words[i];
		many[i].effect = AS_EFFECT_NONE;
	}
	check(&(struct as_tool){ .effect_by = "word", .effects = many },
	    "more than 100 effects");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "the effect of a call", test_calls },
		{ "what is doubtful", test_doubts },
		{ "tables", test_tables },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "effect", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
