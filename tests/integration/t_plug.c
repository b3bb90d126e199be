/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * Plugins in a host: what is loaded, what is refused, and with which words.
 */

static enum as_effect
effect(struct plug_env *env, const char *tool, const char *args)
{
	const struct plug_tool_info *info = plug_tool_find(env->plug, tool);
	struct json_object *o = NULL;
	enum as_effect is;

	CU_ASSERT_PTR_NOT_NULL_FATAL(info);
	MUST(json_parse(args, strlen(args), &o, NULL) == AS_OK);
	is = plug_tool_effect(info, o);
	json_object_put(o);
	return is;
}

static void
body_loads(struct plug_env *env)
{
	const struct plug_tool_info *tool;
	struct json_object *list, *first;

	CU_ASSERT_EQUAL(env->loaded, AS_OK);
	CU_ASSERT_STRING_EQUAL(plug_toolkit(env->plug, 0)->slug, "probe");
	CU_ASSERT_STRING_EQUAL(plug_toolkit(env->plug, 3)->slug, "second");
	CU_ASSERT_PTR_NULL(plug_toolkit(env->plug, 4));
	CU_ASSERT_PTR_NULL(plug_toolkit_find(env->plug, "nobody"));
	tool = plug_tool_find(env->plug, "second_echo");
	CU_ASSERT_PTR_NOT_NULL_FATAL(tool);
	CU_ASSERT_STRING_EQUAL(tool->toolkit, "second");
	CU_ASSERT_STRING_EQUAL(tool->version, "1.2.3");
	CU_ASSERT_EQUAL(tool->effect, AS_EFFECT_NONE);
	CU_ASSERT_EQUAL(tool->timeout_ms, 0);
	CU_ASSERT(tap_has(json_text(tool->input_schema), "\"text\""));
	CU_ASSERT(plug_tool_find(env->plug, "probe_short_wait")->has_verify);
	CU_ASSERT_EQUAL(effect(env, "probe_act", "{}"), AS_EFFECT_NONE);
	CU_ASSERT_EQUAL(effect(env, "probe_act", "{\"how\":\"MARK\"}"),
	    AS_EFFECT_REPEAT);
	CU_ASSERT_EQUAL(effect(env, "probe_act", "{\"how\":\"write\"}"),
	    AS_EFFECT_ONCE);
	CU_ASSERT_EQUAL(effect(env, "probe_echo", "{\"how\":\"mark\"}"),
	    AS_EFFECT_NONE);
	list = plug_list(env->plug);
	first = json_object_array_get_idx(list, 0);
	CU_ASSERT_STRING_EQUAL(jget_str(first, "name", ""), "toolkit_probe");
	CU_ASSERT_STRING_EQUAL(jget_str(first, "state", ""), "serving");
	json_object_put(list);
}

static void
test_loads(void)
{
	plug_env_run(PLUG_ENV_PROBES, 0, body_loads);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_loads);
}

static void
body_refused(struct plug_env *env)
{
	size_t i;

	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT_EQUAL(conf_problem_count(env->conf), 10);
	CU_ASSERT(
	    tap_has(plug_env_problem(env, 0), "not an Agent Studio plugin"));
	CU_ASSERT(tap_has(plug_env_problem(env, 0), "0x12345678"));
	CU_ASSERT(tap_has(plug_env_problem(env, 1),
	    "built for SDK 2.0, this agent-studio has 1.0: rebuild"));
	CU_ASSERT(tap_has(plug_env_problem(env, 2),
	    "needs SDK 1.1, this agent-studio has 1.0: upgrade"));
	CU_ASSERT(
	    tap_has(plug_env_problem(env, 3), "exports no as_plugin_entry"));
	CU_ASSERT(tap_has(plug_env_problem(env, 4), "provides nothing"));
	CU_ASSERT(tap_has(plug_env_problem(env, 5), "field n does not fit"));
	CU_ASSERT(tap_has(plug_env_problem(env, 6),
	    "says that it is toolkit_other: rename"));
	CU_ASSERT(tap_has(plug_env_problem(env, 7),
	    "toolkit_bad8.so: tool run: schema /type: "));
	CU_ASSERT(tap_has(plug_env_problem(env, 8),
	    "toolkit_bad9.so: tool run: effect_by: 'how' is no argument"));
	CU_ASSERT(tap_has(plug_env_problem(env, 9),
	    "toolkit_bad10.so: grants: 'nets:a.com' is no permission; did you "
	    "mean 'net'?"));
	for (i = 0; i < conf_problem_count(env->conf); i++)
		CU_ASSERT_EQUAL(conf_problem(env->conf, i)->line, (int)i + 2);
}

static void
test_refused(void)
{
	static const char conf[] = "plugins : {\n"
				   "toolkit_bad1 : { };\n"
				   "toolkit_bad2 : { };\n"
				   "toolkit_bad3 : { };\n"
				   "toolkit_bad4 : { };\n"
				   "toolkit_bad5 : { };\n"
				   "toolkit_bad6 : { };\n"
				   "toolkit_bad7 : { };\n"
				   "toolkit_bad8 : { };\n"
				   "toolkit_bad9 : { };\n"
				   "toolkit_bad10 : { };\n"
				   "};\n";

	plug_env_run(conf, 0, body_refused);
	plug_env_run(conf, ENV_ISOLATED, body_refused);
}

/* Rows that end before the members that came later. */
static void
body_short(struct plug_env *env)
{
	const struct plug_tool_info *tool;
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(env->loaded, AS_OK);
	CU_ASSERT_EQUAL(plug_toolkit_find(env->plug, "short")->n_tools, 2);
	tool = plug_tool_find(env->plug, "short_two");
	CU_ASSERT_PTR_NOT_NULL_FATAL(tool);
	CU_ASSERT_PTR_NULL(tool->effect_by);
	CU_ASSERT_PTR_NULL(tool->effects);
	CU_ASSERT_EQUAL(effect(env, "short_two", "{}"), AS_EFFECT_REPEAT);
	CU_ASSERT_EQUAL(plug_env_tool(env, "short_two", "{}", &text, &err),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(text, "\"two\"");
	free(text);
	error_clear(&err);
}

static void
test_short(void)
{
	plug_env_run("plugins : { toolkit_short : { }; };", 0, body_short);
	plug_env_run("plugins : { toolkit_short : { }; };", ENV_ISOLATED,
	    body_short);
}

static void
body_conf(struct plug_env *env)
{
	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT(tap_has(plug_env_problem(env, 0),
	    "plugins.toolkit_nobody: no plugin toolkit_nobody.so in "));
	CU_ASSERT(tap_has(plug_env_problem(env, 1),
	    "plugins.a.plugin: no plugin ../x.so in "));
	CU_ASSERT(tap_has(plug_env_problem(env, 2),
	    "plugins.b.enabled: expected true, false or \"auto\""));
	CU_ASSERT(tap_has(plug_env_problem(env, 3),
	    "plugins.d.isolation: expected \"none\" or \"process\", got "
	    "'jail'"));
	CU_ASSERT_EQUAL(conf_problem_count(env->conf), 4);
	CU_ASSERT_EQUAL(conf_problem(env->conf, 0)->line, 2);
}

static void
test_conf(void)
{
	plug_env_run("plugins : {\n"
		     "toolkit_nobody : { };\n"
		     "a : { plugin = \"../x\"; };\n"
		     "b : { plugin = \"toolkit_probe\"; enabled = \"yes\"; };\n"
		     "c : { plugin = \"toolkit_probe\";\n"
		     "      isolation = \"process\"; };\n"
		     "d : { plugin = \"toolkit_home\";\n"
		     "      isolation = \"jail\"; };\n"
		     "};\n",
	    0, body_conf);
}

static void
body_options(struct plug_env *env)
{
	size_t i, n = conf_problem_count(env->conf);

	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT_EQUAL(n, 5);
	CU_ASSERT(tap_has(plug_env_problem(env, 0), "did you mean 'number'"));
	CU_ASSERT(tap_has(plug_env_problem(env, 1), "plugins.b.number"));
	CU_ASSERT(tap_has(plug_env_problem(env, 2), "plugins.c.key"));
	CU_ASSERT(tap_has(plug_env_problem(env, 3), "plugins.e.numbr"));
	CU_ASSERT(tap_has(plug_env_problem(env, 4), "same short name 'probe'"));
	for (i = 0; i < n; i++)
		CU_ASSERT(conf_problem(env->conf, i)->line > 0);
}

static void
test_options(void)
{
	static const char
	    conf[] = "plugins : {\n"
		     "a : { plugin = \"toolkit_probe\"; numbr = 3; };\n"
		     "b : { plugin = \"toolkit_probe\"; number = 30; };\n"
		     "c : { plugin = \"toolkit_probe\"; key = "
		     "\"env:NOT_THERE_1\"; };\n"
		     "d : { plugin = \"toolkit_probe\"; enabled = \"auto\";\n"
		     "      key = \"env:NOT_THERE_1\"; };\n"
		     "e : { plugin = \"toolkit_probe\"; enabled = \"auto\";\n"
		     "      key = \"env:NOT_THERE_1\"; numbr = 3; };\n"
		     "f : { plugin = \"toolkit_gone\"; enabled = false; };\n"
		     "probe : { plugin = \"toolkit_probe\"; };\n"
		     "toolkit_probe : { };\n"
		     "};\n";

	plug_env_run(conf, 0, body_options);
	plug_env_run(conf, ENV_ISOLATED, body_options);
}

static void
truncate_copy(const char *from, const char *to, double part)
{
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	char buf[65536];
	size_t n, all = 0, want;

	CU_ASSERT_PTR_NOT_NULL_FATAL(in);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	fseek(in, 0, SEEK_END);
	want = (size_t)((double)ftell(in) * part);
	rewind(in);
	while (all < want && (n = fread(buf, 1, sizeof(buf), in)) > 0) {
		if (all + n > want)
			n = want - all;
		fwrite(buf, 1, n, out);
		all += n;
	}
	fclose(in);
	fclose(out);
}

/* Every length of a cut file is a sentence and never a signal. */
static void
test_truncated(void)
{
	const char *from = BUILD_DIR
	    "/tests/integration/plug/.libs/toolkit_probe.so";
	char to[] = "/tmp/t_plug_XXXXXX";
	struct plug_file *f;
	char *sentence;
	int fd = mkstemp(to), i;

	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	for (i = 0; i < 20; i++) {
		truncate_copy(from, to, i / 20.0);
		f = file_open(to, &host_table, &sentence);
		CU_ASSERT_PTR_NULL(f);
		CU_ASSERT_PTR_NOT_NULL_FATAL(sentence);
		CU_ASSERT(tap_has(sentence,
		    i == 0 ? "not a shared object" : "cut off"));
		free(sentence);
	}
	truncate_copy(from, to, 1);
	f = file_open(to, &host_table, &sentence);
	CU_ASSERT_PTR_NOT_NULL(f);
	file_close(f, false);
	unlink(to);
	CU_ASSERT_PTR_NULL(file_open("/tmp", &host_table, &sentence));
	CU_ASSERT(tap_has(sentence, "not a file"));
	free(sentence);
}

static void
test_describe(void)
{
	const struct plug_services here = { 0 };
	struct json_object *o;
	struct error err = { 0 };

	CU_ASSERT_EQUAL(plug_describe_file(BUILD_DIR "/plugins/llm_demo.so",
			    &here, &o, &err),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(jget_str(o, "name", ""), "llm_demo");
	CU_ASSERT(tap_has(json_text(o), "\"name\":\"demo\""));
	CU_ASSERT(tap_has(json_text(o), "\"window\":8192"));
	json_object_put(o);
	CU_ASSERT_EQUAL(plug_describe_file("/nowhere.so", &here, &o, &err),
	    AS_INVALID);
	CU_ASSERT(tap_has(err.detail, "/nowhere.so: cannot be opened"));
	error_clear(&err);
}

static void
body_init_fails(struct plug_env *env)
{
	struct error err = { 0 };
	char *text;

	CU_ASSERT_EQUAL(env->loaded, AS_OK);
	CU_ASSERT_EQUAL(plug_env_tool(env, "a_echo", "{}", &text, &err),
	    AS_UNAVAILABLE);
	CU_ASSERT(tap_has(err.detail, "plugin a is failed"));
	CU_ASSERT_EQUAL(plug_env_tool(env, "b_echo", "{}", &text, &err),
	    AS_UNAVAILABLE);
	CU_ASSERT(tap_has(err.detail, "plugin b is retrying"));
	error_clear(&err);
}

static void
test_init_fails(void)
{
	static const char
	    conf[] = "plugins : {\n"
		     "a : { plugin = \"toolkit_probe\"; fail_init = true; };\n"
		     "b : { plugin = \"toolkit_probe\"; fail_starts = 9; };\n"
		     "};\n";

	plug_env_run(conf, 0, body_init_fails);
	plug_env_run(conf, ENV_ISOLATED, body_init_fails);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "what is wanted is loaded", test_loads },
		{ "bad files are refused with a sentence", test_refused },
		{ "a plugin of before the last members", test_short },
		{ "settings of the host", test_conf },
		{ "options", test_options },
		{ "cut files", test_truncated },
		{ "describe", test_describe },
		{ "init and start that fail", test_init_fails },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "plug", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
