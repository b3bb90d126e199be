/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/approval.h"
#include "tests/tap.h"

/* Which calls need a person's word, and what he may say. */

static struct json_object *
parsed(const char *text)
{
	struct json_object *o = NULL;

	if (text != NULL)
		MUST(json_parse(text, strlen(text), &o, NULL) == AS_OK);
	return o;
}

static bool
needs(const char *text, const char *kind, bool by_descriptor,
    const char *effect)
{
	struct json_object *policy = parsed(text);
	struct plug_tool_info info = { .name = "t",
		.needs_approval = by_descriptor };
	bool yes = approval_needed(policy, kind, &info, "t", effect);

	json_object_put(policy);
	return yes;
}

static void
test_needed(void)
{
	static const struct {
		const char *policy, *kind;
		bool by_descriptor;
		const char *which; /* classes of effect that need it */
	} cases[] = {
		{ NULL, "interactive", false, "" },
		{ NULL, NULL, false, "" },
		{ NULL, "interactive", true, "PKNVU" },
		{ NULL, "ambient", false, "KVU" },
		{ NULL, "subagent", false, "KVU" },
		{ "{}", "ambient", false, "KVU" },
		{ "{\"default\":\"auto\"}", "interactive", false, "" },
		{ "{\"default\":\"auto\"}", "ambient", false, "KVU" },
		{ "{\"default\":\"never\"}", "ambient", false, "" },
		{ "{\"default\":\"never\"}", "ambient", true, "PKNVU" },
		{ "{\"default\":\"always\"}", "interactive", false, "PKNVU" },
		{ "{\"default\":\"by_effect\"}", "interactive", false, "KVU" },
		/* By its name, whatever else there is. */
		{ "{\"default\":\"always\",\"tools\":{\"t\":\"never\"}}",
		    "ambient", true, "" },
		{ "{\"default\":\"never\",\"tools\":{\"t\":\"always\"}}",
		    "interactive", false, "PKNVU" },
		{ "{\"tools\":{\"t\":{\"when\":\"by_effect\"}}}", "interactive",
		    false, "KVU" },
		{ "{\"tools\":{\"other\":\"always\"}}", "interactive", false,
		    "" },
	};
	char effect[2] = "";

	for (size_t i = 0; i < N_ITEMS(cases); i++)
		for (const char *e = "PKNVU"; *e != '\0'; e++) {
			effect[0] = *e;
			CU_ASSERT_EQUAL(needs(cases[i].policy, cases[i].kind,
					    cases[i].by_descriptor, effect),
			    strchr(cases[i].which, *e) != NULL);
		}
}

static void
test_answers(void)
{
	struct json_object *policy = parsed(
	    "{\"allow\":[\"accept\",\"ignore\"],\"expires_s\":60,\"on_expire\":"
	    "\"approve\",\"tools\":{\"t\":{\"when\":\"always\",\"allow\":"
	    "[\"edit\"],\"expires_s\":null},\"u\":{\"when\":\"always\","
	    "\"on_expire\":\"escalate\"}}}");
	struct approval a;

	approval_of(NULL, "t", &a);
	CU_ASSERT_TRUE(a.accept && a.edit && a.response && a.ignore);
	CU_ASSERT_EQUAL(a.expires_us, 0);
	approval_of(policy, "other", &a);
	CU_ASSERT_TRUE(a.accept && !a.edit && !a.response && a.ignore);
	CU_ASSERT_EQUAL(a.expires_us, 60000000);
	CU_ASSERT_STRING_EQUAL(a.on_expire, "approve");
	approval_of(policy, "t", &a);
	CU_ASSERT_TRUE(!a.accept && a.edit && !a.response && !a.ignore);
	CU_ASSERT_EQUAL(a.expires_us, 0);
	approval_of(policy, "u", &a);
	CU_ASSERT_TRUE(a.accept && a.ignore);
	CU_ASSERT_STRING_EQUAL(a.on_expire, "escalate");
	/* Nobody says yes to a question. */
	approval_of_question(policy, &a);
	CU_ASSERT_TRUE(!a.accept && !a.edit && a.response && a.ignore);
	CU_ASSERT_EQUAL(a.expires_us, 60000000);
	CU_ASSERT_STRING_EQUAL(a.on_expire, "reject");
	json_object_put(policy);
}

static void
test_config(void)
{
	struct approval a = { .accept = true, .response = true };
	struct buf b = { 0 };

	approval_config_write(&b, &a);
	CU_ASSERT_TRUE(approval_config_allows(b.data, "accept"));
	CU_ASSERT_TRUE(approval_config_allows(b.data, "response"));
	CU_ASSERT_FALSE(approval_config_allows(b.data, "edit"));
	CU_ASSERT_FALSE(approval_config_allows(b.data, "ignore"));
	CU_ASSERT_FALSE(approval_config_allows(b.data, "other"));
	CU_ASSERT_FALSE(approval_config_allows(NULL, "accept"));
	CU_ASSERT_FALSE(approval_config_allows("{", "accept"));
	buf_free(&b);
}

static void
test_rest(void)
{
	struct json_object *each = parsed("{\"resume_when\":\"each\"}");
	struct json_object *no = parsed("{\"questions\":false}");
	struct json_object *yes = parsed("{\"questions\":true}");

	CU_ASSERT_FALSE(approval_resumes_each(NULL));
	CU_ASSERT_TRUE(approval_resumes_each(each));
	CU_ASSERT_FALSE(approval_may_ask(NULL, "interactive"));
	CU_ASSERT_TRUE(approval_may_ask(NULL, "ambient"));
	CU_ASSERT_FALSE(approval_may_ask(no, "ambient"));
	CU_ASSERT_TRUE(approval_may_ask(yes, "interactive"));
	json_object_put(each);
	json_object_put(no);
	json_object_put(yes);
}

static CU_TestInfo tests[] = {
	{ "which calls need it", test_needed },
	{ "how it may be answered", test_answers },
	{ "what an item allows", test_config },
	{ "when it goes on; questions", test_rest },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = { { "approval", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL };

	return tap_run(suites);
}
