/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/conf.h"
#include "core/base/log.h"
#include "core/plug/grant.h"
#include "core/plug/origin.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/* What plugins ask for, and what conf.d leaves of it. */

static bool
is_refused(const char *grants, const char *part)
{
	char *sentence = grants_refusal("x.so", grants);
	bool ok;

	if (part == NULL)
		ok = sentence == NULL;
	else
		ok = sentence != NULL && tap_has(sentence, part);
	free(sentence);
	return ok;
}

static void
test_words(void)
{
	CU_ASSERT(is_refused(NULL, NULL));
	CU_ASSERT(is_refused("", NULL));
	CU_ASSERT(is_refused("kv db  files credential", NULL));
	CU_ASSERT(is_refused("net:user net:*.x.com net:api.x.com net:127.0.0.1 "
			     "net:::1 secret:TOKEN process:git",
	    NULL));
	CU_ASSERT(is_refused("kv nett:x.com", "did you mean 'net'?"));
	CU_ASSERT(is_refused("file", "did you mean 'files'?"));
	CU_ASSERT(is_refused("administrator", "'administrator' is no perm"));
	CU_ASSERT(is_refused("net", "write it as in 'net:api.example.com'"));
	CU_ASSERT(is_refused("net:", "write it as in"));
	CU_ASSERT(is_refused("net:*", "write it as in"));
	CU_ASSERT(is_refused("net:https://x.com", "write it as in"));
	CU_ASSERT(is_refused("kv:x", "write it as 'kv'"));
	CU_ASSERT(is_refused("process:/bin/sh", "'process:git'"));
	CU_ASSERT(is_refused("secret", "'secret:NAME'"));
}

static void
test_covers(void)
{
	CU_ASSERT(grant_covers("kv net:a.com", "kv"));
	CU_ASSERT(grant_covers("kv net:a.com", "net:A.com"));
	CU_ASSERT(grant_covers("net:*.x.com", "net:api.x.com"));
	CU_ASSERT(grant_covers("net:*.x.com", "net:*.x.com"));
	CU_ASSERT(grant_covers("net:*.x.com", "net:*.y.x.com"));
	CU_ASSERT(grant_covers("net:user", "net:a.com"));
	CU_ASSERT(grant_covers("net:user", "net:*.a.com"));
	CU_ASSERT(!grant_covers("net:*.x.com", "net:x.com"));
	CU_ASSERT(!grant_covers("net:*.x.com", "net:.x.com"));
	CU_ASSERT(!grant_covers("net:*.x.com", "net:evilx.com"));
	CU_ASSERT(!grant_covers("net:*.x.com", "net:*.com"));
	CU_ASSERT(!grant_covers("net:*.x.com", "net:user"));
	CU_ASSERT(!grant_covers("net:api.x.com", "net:*.x.com"));
	CU_ASSERT(!grant_covers("process:git", "process:gitk"));
	CU_ASSERT(!grant_covers("secret:A", "secret:B"));
	CU_ASSERT(!grant_covers("", "kv"));
	CU_ASSERT(grants_host("net:*.y.x.com", "a.y.x.com"));
	CU_ASSERT(!grants_host("net:*.y.x.com", "a.x.com"));
}

static void
expect_fail(struct plug_env *env, const char *tool, const char *args,
    enum as_status want, const char *part)
{
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(plug_env_tool(env, tool, args, &text, &err), want);
	CU_ASSERT(tap_has(err.detail, part));
	error_clear(&err);
	free(text);
}

static void
expect_ok(struct plug_env *env, const char *tool, const char *args)
{
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(plug_env_tool(env, tool, args, &text, &err), AS_OK);
	error_clear(&err);
	free(text);
}

static bool
is_offered(struct plug_env *env, const char *name)
{
	const struct plug_toolkit_info *kit = plug_toolkit_find(env->plug,
	    "probe");
	const struct plug_tool_info *t;
	size_t i;

	for (i = 0; (t = plug_toolkit_tool(kit, i)) != NULL; i++)
		if (strcmp(t->name, name) == 0)
			return true;
	CU_ASSERT_EQUAL(i, kit->n_tools);
	return false;
}

static void
body_narrowed(struct plug_env *env)
{
	struct json_object *list = plug_list(env->plug);
	struct json_object *one = json_object_array_get_idx(list, 0);

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	CU_ASSERT_STRING_EQUAL(json_text(jget(one, "grants")),
	    "[\"net:api.example.com\"]");
	CU_ASSERT_STRING_EQUAL(json_text(jget(one, "declared")),
	    "[\"kv\",\"net:*.example.com\",\"secret:TOKEN\",\"secret:OTHER\"]");
	CU_ASSERT_STRING_EQUAL(json_text(jget(one, "effects")),
	    "[\"none\",\"repeat\"]");
	json_object_put(list);
	expect_fail(env, "probe_count", "{}", AS_FORBIDDEN,
	    "plugins.toolkit_probe.grants in conf.d do not leave it that");
	expect_fail(env, "probe_fetch",
	    "{\"text\":\"https://other.example.com/\"}", AS_FORBIDDEN,
	    "\"net:other.example.com\": plugins.toolkit_probe.grants");
	expect_fail(env, "probe_fetch", "{\"text\":\"https://evil.org/\"}",
	    AS_FORBIDDEN, "its .grants do not have that");
	expect_ok(env, "probe_echo", "{\"text\":\"a\"}");
	expect_ok(env, "probe_act", "{\"how\":\"mark\"}");
	expect_fail(env, "probe_act", "{\"how\":\"write\"}", AS_FORBIDDEN,
	    "has the effect 'once', and plugins.toolkit_probe.effects");
	expect_fail(env, "probe_raw", "{\"value\":1}", AS_FORBIDDEN,
	    "has the effect 'once'");
	CU_ASSERT(is_offered(env, "probe_act"));
	CU_ASSERT(!is_offered(env, "probe_raw"));
	CU_ASSERT(!is_offered(env, "probe_short_wait"));
}

static const char narrowed[] = "plugins : { toolkit_probe : {\n"
			       "base_url = \"http://127.0.0.1:%d/\";\n"
			       "grants = [ \"net:api.example.com\" ];\n"
			       "effects = [ \"none\", \"repeat\" ]; }; };\n";

static void
test_narrowed(void)
{
	plug_env_run(narrowed, 0, body_narrowed);
	plug_env_run(narrowed, ENV_LOOPBACK, body_narrowed);
	plug_env_run(narrowed, ENV_HOME_ELSEWHERE, body_narrowed);
	plug_env_run(narrowed, ENV_ISOLATED, body_narrowed);
}

static void
body_nothing(struct plug_env *env)
{
	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	expect_fail(env, "probe_count", "{}", AS_FORBIDDEN, "conf.d");
	expect_fail(env, "probe_echo", "{\"text\":\"a\"}", AS_FORBIDDEN,
	    "effects");
	CU_ASSERT_EQUAL(plug_toolkit_find(env->plug, "probe")->n_tools, 0);
	CU_ASSERT_PTR_NULL(
	    plug_toolkit_tool(plug_toolkit_find(env->plug, "probe"), 0));
}

static void
test_nothing(void)
{
	plug_env_run("plugins : { toolkit_probe : {\n"
		     "grants = []; effects = []; }; };\n",
	    0, body_nothing);
}

static void
body_mistakes(struct plug_env *env)
{
	static const struct {
		int line;
		const char *part;
	} want[] = {
		{ 2, "'net:*.com' is more than toolkit_probe asks for" },
		{ 2, "'kw' is no permission; did you mean 'kv'?" },
		{ 3, "got 'non'; did you mean 'none'?" },
		{ 5, "expected a list of texts" },
	};

	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT_EQUAL(conf_problem_count(env->conf), 4);
	for (size_t i = 0; i < 4; i++) {
		CU_ASSERT(tap_has(plug_env_problem(env, i), want[i].part));
		CU_ASSERT_EQUAL(conf_problem(env->conf, i)->line, want[i].line);
	}
	CU_ASSERT_PTR_NULL(plug_toolkit_find(env->plug, "probe"));
}

static void
test_mistakes(void)
{
	plug_env_run("plugins : { toolkit_probe : {\n"
		     "grants = [ \"net:*.com\", \"kw\" ];\n"
		     "effects = [ \"non\" ]; };\n"
		     "toolkit_home : {\n"
		     "grants = \"kv\"; }; };\n",
	    0, body_mistakes);
}

static void
body_secrets(struct plug_env *env)
{
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	CU_ASSERT_EQUAL(plug_env_tool(env, "probe_secret",
			    "{\"text\":\"TOKEN\"}", &text, &err),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(text != NULL ? text : "", "\"hush, hush\"");
	free(text);
	expect_fail(env, "probe_secret", "{\"text\":\"OTHER\"}", AS_NOTFOUND,
	    "secrets.OTHER in conf.d");
	expect_fail(env, "probe_secret", "{\"text\":\"MORE\"}", AS_FORBIDDEN,
	    "\"secret:MORE\": its .grants");
	expect_fail(env, "home_secret", "{\"text\":\"TOKEN\"}", AS_FORBIDDEN,
	    "plugins.toolkit_home.grants");
	expect_fail(env, "probe_unbound", "{\"n\":9}", AS_FORBIDDEN,
	    "\"credential\"");
}

static const char secrets
    [] = "secrets : { TOKEN = \"env:T_GRANT_TOKEN\"; };\n"
	 "plugins : { toolkit_probe : { };\n"
	 "toolkit_home : { grants = [ \"kv\", \"secret:OTHER\" ]; }; };\n";

static void
test_secrets(void)
{
	setenv("T_GRANT_TOKEN", "hush, hush", 1);
	plug_env_run(secrets, 0, body_secrets);
	plug_env_run(secrets, ENV_LOOPBACK, body_secrets);
	plug_env_run(secrets, ENV_HOME_ELSEWHERE, body_secrets);
	plug_env_run(secrets, ENV_ISOLATED, body_secrets);
	unsetenv("T_GRANT_TOKEN");
}

/* It is looked for when the plugin is loaded, not when it is wanted. */
static void
body_no_secret(struct plug_env *env)
{
	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT(tap_has(plug_env_problem(env, 0), "secrets.TOKEN"));
	CU_ASSERT(tap_has(plug_env_problem(env, 0), "T_GRANT_NONE is not set"));
	CU_ASSERT_EQUAL(conf_problem(env->conf, 0)->line, 2);
}

static void
test_no_secret(void)
{
	plug_env_run("secrets : {\n"
		     "TOKEN = \"env:T_GRANT_NONE\"; };\n"
		     "plugins : { toolkit_probe : { }; };\n",
	    0, body_no_secret);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "words that are known", test_words },
		{ "what is less and what is more", test_covers },
		{ "conf.d leaves a part", test_narrowed },
		{ "conf.d leaves nothing", test_nothing },
		{ "mistakes have a line and a hint", test_mistakes },
		{ "secrets by name", test_secrets },
		{ "a secret that cannot be read", test_no_secret },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "grant", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error,plugin=error");
	return tap_run(suites);
}
