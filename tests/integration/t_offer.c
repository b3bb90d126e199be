/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/* Tools that plugins know only when they run. */

static char *
call(struct plug_env *env, const char *tool, const char *args,
    enum as_status want)
{
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(plug_env_tool(env, tool, args, &text, &err), want);
	error_clear(&err);
	return text;
}

static void
expect(struct plug_env *env, const char *tool, const char *args,
    const char *want)
{
	char *text = call(env, tool, args, AS_OK);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_STRING_EQUAL(text, want);
	free(text);
}

static bool
is_there(struct plug_env *env, const char *name)
{
	return plug_tool_find(env->plug, name) != NULL;
}

/* Until it is, or is not, there. */
static void
until(struct plug_env *env, const char *name, bool there)
{
	for (int i = 0; is_there(env, name) != there && i < 20000; i++)
		MUST(fiber_sleep(1) == FIBER_WOKEN);
	CU_ASSERT_EQUAL(is_there(env, name), there);
}

static void
set(struct plug_env *env, const char *args)
{
	free(call(env, "offers_set", args, AS_OK));
}

static size_t
count(struct plug_env *env)
{
	const struct plug_toolkit_info *kit = plug_toolkit_find(env->plug,
	    "offers");
	size_t n = 0;

	while (plug_toolkit_tool(kit, n) != NULL)
		n++;
	CU_ASSERT_EQUAL(n, kit->n_tools);
	return n;
}

static void
check_alpha(struct plug_env *env)
{
	const struct plug_tool_info *t;
	struct json_object *args = jobj();

	t = plug_tool_find(env->plug, "offers_alpha");
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_STRING_EQUAL(t->toolkit, "offers");
	CU_ASSERT_STRING_EQUAL(t->doc, "Was offered.");
	CU_ASSERT_EQUAL(t->effect, AS_EFFECT_REPEAT);
	jput_str(args, "how", "read");
	CU_ASSERT_EQUAL(plug_tool_effect(t, args), AS_EFFECT_NONE);
	json_object_put(args);
	expect(env, "offers_alpha", "{\"x\":1}", "\"alpha {\\\"x\\\":1}\"");
	free(call(env, "offers_alpha", "{\"x\":\"a\"}", AS_INVALID));
}

static void
body_offers(struct plug_env *env)
{
	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	until(env, "offers_alpha", true);
	CU_ASSERT_EQUAL(count(env), 3);
	check_alpha(env);

	set(env, "{\"n\":1}");
	until(env, "offers_beta", true);
	/* The bad ones cost the others nothing, nor the static of that name. */
	CU_ASSERT_EQUAL(count(env), 4);
	CU_ASSERT_FALSE(is_there(env, "offers_wrong_schema"));
	CU_ASSERT_FALSE(is_there(env, "offers_wrong_effect"));
	CU_ASSERT_FALSE(is_there(env, "offers_not_verified"));
	expect(env, "offers_beta", "{}", "\"beta {}\"");
	check_alpha(env);

	set(env, "{\"n\":3}");
	until(env, "offers_alpha", false);
	CU_ASSERT_EQUAL(count(env), 2);
	free(call(env, "offers_beta", "{}", AS_NOTFOUND));

	set(env, "{\"n\":0}");
	until(env, "offers_alpha", true);
	/* It fails, and nothing changes: the one after it is seen. */
	set(env, "{\"n\":2}");
	CU_ASSERT_EQUAL(count(env), 3);
	set(env, "{\"n\":1}");
	until(env, "offers_beta", true);
}

/* Whoever asks again and again has it listed one time after the other. */
static void
body_often(struct plug_env *env)
{
	char *text;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	until(env, "offers_alpha", true);
	for (int i = 0; i < 50; i++)
		set(env, i % 2 == 0 ? "{\"n\":1}" : "{\"n\":3}");
	set(env, "{\"n\":1}");
	until(env, "offers_beta", true);
	text = call(env, "offers_told", "{}", AS_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " lists, 0 at once"));
	free(text);
}

static const char conf[] = "plugins : { toolkit_offers : { }; };\n";

static void
test_offers(void)
{
	plug_env_run(conf, 0, body_offers);
	plug_env_run(conf, ENV_LOOPBACK, body_offers);
	plug_env_run(conf, ENV_HOME_ELSEWHERE, body_offers);
	plug_env_run(conf, ENV_ISOLATED, body_offers);
}

static void
test_often(void)
{
	plug_env_run(conf, 0, body_often);
	plug_env_run(conf, ENV_HOME_ELSEWHERE, body_often);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "offered, changed, gone", test_offers },
		{ "never two lists at once", test_often },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "offer", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error,plugin=error");
	return tap_run(suites);
}
