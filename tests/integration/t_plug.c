/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/conf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * Plugins in a host: what is loaded and what is refused, and that a call ends
 * once, with its result or its failure, wherever it runs.
 */

#define CONF_ALL \
	"plugins : {\n" \
	"  toolkit_probe : { base_url = \"http://127.0.0.1:%d/\"; };\n" \
	"  toolkit_home : { base_url = \"http://127.0.0.1:%d\"; };\n" \
	"  toolkit_pool : { base_url = \"HTTP://127.0.0.1:%d/x\"; };\n" \
	"  toolkit_second : { plugin = \"toolkit_probe\"; number = 9; };\n" \
	"  llm_demo : { enabled = \"auto\"; };\n" \
	"};\n"

static bool
has(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		return true;
	tap_note("'%s' is not in '%s'", part, text);
	return false;
}

/* ---- Loading ------------------------------------------------------- */

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
	CU_ASSERT(has(json_text(tool->input_schema), "\"text\""));
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
	plug_env_run(CONF_ALL, 0, body_loads);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_loads);
}

static void
body_refused(struct plug_env *env)
{
	size_t i;

	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT_EQUAL(conf_problem_count(env->conf), 10);
	CU_ASSERT(has(plug_env_problem(env, 0), "not an Agent Studio plugin"));
	CU_ASSERT(has(plug_env_problem(env, 0), "0x12345678"));
	CU_ASSERT(has(plug_env_problem(env, 1),
	    "built for SDK 2.0, this agent-studio has 1.0: rebuild"));
	CU_ASSERT(has(plug_env_problem(env, 2),
	    "needs SDK 1.1, this agent-studio has 1.0: upgrade"));
	CU_ASSERT(has(plug_env_problem(env, 3), "exports no as_plugin_entry"));
	CU_ASSERT(has(plug_env_problem(env, 4), "provides nothing"));
	CU_ASSERT(has(plug_env_problem(env, 5), "field n does not fit"));
	CU_ASSERT(has(plug_env_problem(env, 6),
	    "says that it is toolkit_other: rename"));
	CU_ASSERT(has(plug_env_problem(env, 7),
	    "toolkit_bad8.so: tool run: schema /type: "));
	CU_ASSERT(has(plug_env_problem(env, 8),
	    "toolkit_bad9.so: tool run: effect_by: 'how' is no argument"));
	CU_ASSERT(has(plug_env_problem(env, 9),
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
	CU_ASSERT(has(plug_env_problem(env, 0),
	    "plugins.toolkit_nobody: no plugin toolkit_nobody.so in "));
	CU_ASSERT(has(plug_env_problem(env, 1),
	    "plugins.a.plugin: no plugin ../x.so in "));
	CU_ASSERT(has(plug_env_problem(env, 2),
	    "plugins.b.enabled: expected true, false or \"auto\""));
	CU_ASSERT(has(plug_env_problem(env, 3),
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
	CU_ASSERT(has(plug_env_problem(env, 0), "did you mean 'number'"));
	CU_ASSERT(has(plug_env_problem(env, 1), "plugins.b.number"));
	CU_ASSERT(has(plug_env_problem(env, 2), "plugins.c.key"));
	CU_ASSERT(has(plug_env_problem(env, 3), "plugins.e.numbr"));
	CU_ASSERT(has(plug_env_problem(env, 4), "same short name 'probe'"));
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
		CU_ASSERT(
		    has(sentence, i == 0 ? "not a shared object" : "cut off"));
		free(sentence);
	}
	truncate_copy(from, to, 1);
	f = file_open(to, &host_table, &sentence);
	CU_ASSERT_PTR_NOT_NULL(f);
	file_close(f, false);
	unlink(to);
	CU_ASSERT_PTR_NULL(file_open("/tmp", &host_table, &sentence));
	CU_ASSERT(has(sentence, "not a file"));
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
	CU_ASSERT(has(json_text(o), "\"name\":\"demo\""));
	CU_ASSERT(has(json_text(o), "\"window\":8192"));
	json_object_put(o);
	CU_ASSERT_EQUAL(plug_describe_file("/nowhere.so", &here, &o, &err),
	    AS_INVALID);
	CU_ASSERT(has(err.detail, "/nowhere.so: cannot be opened"));
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
	CU_ASSERT(has(err.detail, "plugin a is failed"));
	CU_ASSERT_EQUAL(plug_env_tool(env, "b_echo", "{}", &text, &err),
	    AS_UNAVAILABLE);
	CU_ASSERT(has(err.detail, "plugin b is retrying"));
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

static unsigned run_flags;

/* ---- Calls, in each of the three places ---------------------------- */

static const char *const places[] = { "probe", "home", "pool" };

static enum as_status
call_in(struct plug_env *env, int place, const char *tool, const char *args,
    char **text, struct error *err)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", places[place], tool);
	return plug_env_tool(env, name, args, text, err);
}

static void
expect(struct plug_env *env, int place, const char *tool, const char *args,
    const char *want)
{
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(call_in(env, place, tool, args, &text, &err), AS_OK);
	if (text == NULL || strcmp(text, want) != 0)
		tap_note("%s %s: %s %s", places[place], tool,
		    text != NULL ? text : "-", err.detail);
	CU_ASSERT(text != NULL && strcmp(text, want) == 0);
	free(text);
	error_clear(&err);
}

static void
expect_fail(struct plug_env *env, int place, const char *tool, const char *args,
    enum as_status want, const char *words)
{
	struct error err = { 0 };
	char *text = NULL;
	enum as_status st;

	st = call_in(env, place, tool, args, &text, &err);
	CU_ASSERT_EQUAL(st, want);
	if (st != want)
		tap_note("%s %s %s: %d %s", places[place], tool, args, (int)st,
		    err.detail);
	CU_ASSERT_PTR_NULL(text);
	CU_ASSERT(has(err.detail, words));
	error_clear(&err);
}

static void
check_thread(struct plug_env *env, int place, unsigned flags)
{
	struct error err = { 0 };
	struct json_object *o = NULL;
	int64_t self = (int64_t)(uintptr_t)pthread_self();
	char *text = NULL;
	bool here;

	CU_ASSERT_EQUAL_FATAL(call_in(env, place, "info", "{}", &text, &err),
	    AS_OK);
	json_parse(text, strlen(text), &o, NULL);
	here = jget_int(o, "thread", 0) == self;
	CU_ASSERT_EQUAL(here,
	    !(flags & ENV_ISOLATED) &&
		(place == 0 || (place == 1 && !(flags & ENV_HOME_ELSEWHERE)) ||
		    (flags & ENV_LOOPBACK) != 0));
	CU_ASSERT_EQUAL(jget_int(o, "attempt", 0), 1);
	CU_ASSERT(jget_bool(o, "has_deadline", false));
	CU_ASSERT_EQUAL(strlen(jget_str(o, "user", "")), 36);
	CU_ASSERT_STRING_EQUAL(jget_str(o, "run", "x"), "");
	CU_ASSERT_EQUAL(jget_int(o, "number", 0), 7);
	json_object_put(o);
	free(text);
}

static void
check_failures(struct plug_env *env, int place)
{
	struct error err = { 0 };
	char *text;

	CU_ASSERT_EQUAL(call_in(env, place, "fail",
			    "{\"n\":7,\"text\":\"too fast\"}", &text, &err),
	    AS_BUSY);
	CU_ASSERT_EQUAL(err.code, ERR_RATE_LIMITED);
	CU_ASSERT_EQUAL(err.retry_after_ms, 1500);
	CU_ASSERT_STRING_EQUAL(err.detail, "too fast");
	CU_ASSERT_STRING_EQUAL(err.service, "probe");
	CU_ASSERT(jget_bool(err.extra, "maybe_done", false));
	CU_ASSERT_STRING_EQUAL(jget_str(err.extra, "plugin_code", ""),
	    "probe_code");
	CU_ASSERT_EQUAL(jget_int(jget(err.extra, "details"), "n", 0), 7);
	error_clear(&err);
	expect_fail(env, place, "nonsense", "{}", AS_INTERNAL, "900");
	expect_fail(env, place, "echo", "{\"txt\":\"\"}", AS_INVALID, "txt");
	expect_fail(env, place, "echo", "{\"text\":5}", AS_INVALID, "text");
	expect_fail(env, place, "unbound", "{\"n\":1}", AS_FORBIDDEN,
	    "may not use \"db\": its .grants do not have that");
	expect_fail(env, place, "unbound", "{\"n\":4}", AS_UNSUPPORTED,
	    "people can only be asked by a tool that a run has called");
}

static void
check_values(struct plug_env *env, int place)
{
	expect(env, place, "echo", "{\"text\":\"h\\u00e4\"}", "\"h\xc3\xa4\"");
	expect(env, place, "raw", "{\"value\":null}", "null");
	expect(env, place, "other", "{\"value\":1}",
	    "\"other {\\\"value\\\":1}\"");
	expect(env, place, "raw", "{\"value\":[1,2.5,{\"a\":0.1}]}",
	    "[1,2.5,{\"a\":0.1}]");
	expect_fail(env, place, "bad", "{\"n\":1}", AS_INVALID, "UTF-8");
	expect_fail(env, place, "bad", "{\"n\":2}", AS_INVALID, "U+0000");
	expect_fail(env, place, "bad", "{\"n\":3}", AS_INTERNAL, "name");
	expect_fail(env, place, "bad", "{\"n\":4}", AS_LIMIT, "deeper");
	/* It takes its time, and the border has no part in it. */
	if (!(run_flags & ENV_ISOLATED))
		expect_fail(env, place, "bad", "{\"n\":5}", AS_LIMIT, "16 MiB");
	expect_fail(env, place, "bad", "{\"n\":6}", AS_INVALID, "UTF-8");
	expect(env, place, "bad", "{\"n\":7}", "{\"more\":{\"n\":1}}");
}

/* A reply is what it was when it was given, whatever the plugin does then. */
static void
check_replies(struct plug_env *env, int place)
{
	struct json_object *args = jobj(), *first = NULL, *then = NULL;
	char name[64];

	expect(env, place, "regret", "{}", "{\"list\":[1]}");
	expect(env, place, "regret", "{\"n\":1}", "[1]");
	expect(env, place, "regret", "{\"n\":2}", "\"words\"");
	expect(env, place, "regret", "{\"n\":3}", "{\"copy\":{\"list\":[1]}}");
	expect(env, place, "regret", "{\"n\":4}", "{\"list\":[1]}");
	expect(env, place, "regret", "{\"n\":5}", "{\"list\":[1,2],\"n\":3}");
	/* It has nothing to do with its call any more. */
	snprintf(name, sizeof(name), "%s_bad", places[place]);
	CU_ASSERT_EQUAL(plug_tool_call(env->plug, &env->who, name, args, NULL,
			    &first, NULL),
	    AS_OK);
	jput(args, "value", first);
	snprintf(name, sizeof(name), "%s_raw", places[place]);
	CU_ASSERT_EQUAL(plug_tool_call(env->plug, &env->who, name, args, NULL,
			    &then, NULL),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(json_text(then), "{\"more\":{\"n\":1}}");
	json_object_put(then);
	json_object_put(args);
}

static void
check_services(struct plug_env *env, int place)
{
	char args[80];

	expect(env, place, "count", "{}", "{\"n\":1}");
	expect(env, place, "count", "{}", "{\"n\":2}");
	snprintf(args, sizeof(args), "{\"text\":\"http://127.0.0.1:%d/json\"}",
	    env->port);
	expect(env, place, "fetch", args,
	    "{\"status\":200,\"body\":\"{\\\"a\\\":[1,2.5,null]}\","
	    "\"json\":{\"a\":[1,2.5,null]}}");
	snprintf(args, sizeof(args),
	    "{\"text\":\"http://127.0.0.1:%d/events\"}", env->port);
	expect(env, place, "events", args,
	    "[\"one\",\"two\\nlines\",\"{}\",{},"
	    "\"{\\\"a\\\":[1,\\n\\\"\\\\n\\\"]}\",{\"a\":[1,\"\\n\"]},\"{\","
	    "\"[null]\",[null]]");
	snprintf(args, sizeof(args), "{\"text\":\"http://127.0.0.1:%d/no\"}",
	    env->port);
	expect_fail(env, place, "events", args, AS_BUSY, "too fast");
	/* Another port is another origin, and nothing grants it. */
	expect_fail(env, place, "fetch",
	    "{\"text\":\"http://127.0.0.1:1/json\"}", AS_FORBIDDEN,
	    ".grants do not have");
	/* Granted, but the guard of the client looks at the address. */
	expect_fail(env, place, "fetch", "{\"text\":\"file:///etc/passwd\"}",
	    AS_INVALID, "not an http");
}

static void
body_calls(struct plug_env *env)
{
	int place;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	for (place = 0; place < 3; place++) {
		check_thread(env, place, run_flags);
		check_values(env, place);
		check_replies(env, place);
		check_failures(env, place);
		check_services(env, place);
	}
	expect_fail(env, 0, "nobody", "{}", AS_NOTFOUND, "no tool");
}

static void
test_calls(void)
{
	run_flags = 0;
	plug_env_run(CONF_ALL, run_flags, body_calls);
}

static void
test_calls_home(void)
{
	run_flags = ENV_HOME_ELSEWHERE;
	plug_env_run(CONF_ALL, run_flags, body_calls);
}

static void
test_calls_loopback(void)
{
	run_flags = ENV_LOOPBACK;
	plug_env_run(CONF_ALL, run_flags, body_calls);
}

static void
test_calls_process(void)
{
	run_flags = ENV_ISOLATED | ENV_PATIENT;
	plug_env_run(CONF_ALL, run_flags, body_calls);
	run_flags |= ENV_HOME_ELSEWHERE;
	plug_env_run(CONF_ALL, run_flags, body_calls);
}

/* ---- Ends ---------------------------------------------------------- */

struct waiter {
	struct plug_env *env;
	const char *tool;
	enum as_status st;
	struct error err;
};

static void
waiter_fiber(void *arg)
{
	struct waiter *w = arg;
	char *text;

	w->st = plug_env_tool(w->env, w->tool, "{\"ms\":600000}", &text,
	    &w->err);
	free(text);
}

static void
check_cancel(struct plug_env *env, const char *tool)
{
	struct waiter w = { .env = env, .tool = tool };
	struct fiber_ref r = fiber_spawn(env->loop, "waiter", waiter_fiber, &w);

	/* It is under way, wherever that is. */
	fiber_yield();
	fiber_yield();
	fiber_cancel(r);
	fiber_join(r, 0);
	CU_ASSERT_EQUAL(w.st, AS_CANCELED);
	error_clear(&w.err);
}

static void
check_timeout(struct plug_env *env, const char *tool)
{
	struct waiter w = { .env = env, .tool = tool };
	uint64_t old = fiber_deadline_set(loop_now_ms(env->loop) + 20);

	waiter_fiber(&w);
	fiber_deadline_set(old);
	CU_ASSERT_EQUAL(w.st, AS_TIMEOUT);
	error_clear(&w.err);
}

/* A service that does not answer: wherever we ask, nobody knows. */
static void
check_silence(struct plug_env *env, int place)
{
	uint64_t old = fiber_deadline_set(loop_now_ms(env->loop) + 500);
	struct error err = { 0 };
	char args[80], *text;

	snprintf(args, sizeof(args), "{\"text\":\"http://127.0.0.1:%d/hang\"}",
	    env->port);
	CU_ASSERT_EQUAL(call_in(env, place, "fetch", args, &text, &err),
	    AS_TIMEOUT);
	fiber_deadline_set(old);
	CU_ASSERT(jget_bool(err.extra, "maybe_done", false));
	CU_ASSERT_STRING_NOT_EQUAL(err.detail, "");
	error_clear(&err);
}

static void
body_ends(struct plug_env *env)
{
	char tool[64];
	int place;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	for (place = 0; place < 3; place++) {
		snprintf(tool, sizeof(tool), "%s_wait_for", places[place]);
		check_cancel(env, tool);
		check_timeout(env, tool);
		check_silence(env, place);
		/* The tool's own limit; the fiber has none. */
		expect_fail(env, place, "short_wait", "{\"ms\":600000}",
		    AS_TIMEOUT, "");
		expect(env, place, "wait_for", "{\"ms\":1}", "\"slept\"");
	}
}

static void
test_ends(void)
{
	plug_env_run(CONF_ALL, 0, body_ends);
	plug_env_run(CONF_ALL, ENV_HOME_ELSEWHERE, body_ends);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_ends);
	plug_env_run(CONF_ALL, ENV_ISOLATED | ENV_HOME_ELSEWHERE, body_ends);
}

struct watcher {
	pthread_t thread;
	int n;
	int stop_at;
	double last;
};

static enum as_status
watch(void *arg, double done, const char *what)
{
	struct watcher *w = arg;

	CU_ASSERT(pthread_equal(w->thread, pthread_self()));
	CU_ASSERT_STRING_EQUAL(what, "halfway");
	w->last = done;
	return ++w->n == w->stop_at ? AS_CANCELED : AS_OK;
}

static void
body_progress(struct plug_env *env)
{
	struct watcher w = { .thread = pthread_self() };
	struct plug_sink sink = { .arg = &w, .progress = watch };
	struct json_object *args = jobj(), *result;
	char tool[64];
	int place;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	jput_str(args, "text", "halfway");
	jput_int(args, "n", 100);
	for (place = 0; place < 3; place++) {
		snprintf(tool, sizeof(tool), "%s_progress", places[place]);
		w.n = 0;
		w.stop_at = 0;
		CU_ASSERT_EQUAL(plug_tool_call(env->plug, &env->who, tool, args,
				    &sink, &result, NULL),
		    AS_OK);
		CU_ASSERT_EQUAL(w.n, 100);
		CU_ASSERT_DOUBLE_EQUAL(w.last, 0.99, 1e-9);
		json_object_put(result);
	}
	/* Nobody watches any more: the plugin is told, and ends. */
	w.n = 0;
	w.stop_at = 3;
	CU_ASSERT_EQUAL(plug_tool_call(env->plug, &env->who, "probe_progress",
			    args, &sink, &result, NULL),
	    AS_CANCELED);
	CU_ASSERT_EQUAL(w.n, 3);
	json_object_put(args);
}

static void
test_progress(void)
{
	plug_env_run(CONF_ALL, 0, body_progress);
	plug_env_run(CONF_ALL, ENV_HOME_ELSEWHERE, body_progress);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_progress);
	plug_env_run(CONF_ALL, ENV_ISOLATED | ENV_HOME_ELSEWHERE,
	    body_progress);
}

static void
body_verify(struct plug_env *env)
{
	struct json_object *args = jobj(), *result = NULL;

	jput_int(args, "n", 1);
	CU_ASSERT_EQUAL(plug_tool_verify(env->plug, &env->who,
			    "pool_short_wait", args, &result, NULL),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(result), "it did");
	json_object_put(result);
	jput_int(args, "n", 2);
	CU_ASSERT_EQUAL(plug_tool_verify(env->plug, &env->who,
			    "pool_short_wait", args, &result, NULL),
	    AS_NOTFOUND);
	json_object_put(args);
}

static void
test_verify(void)
{
	plug_env_run(CONF_ALL, 0, body_verify);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_verify);
}

/* ---- Models -------------------------------------------------------- */

struct heard {
	char text[256];
	char args[64];
	char id[64];
	int ends;
};

static enum as_status
hear(void *arg, const struct as_delta *d)
{
	struct heard *h = arg;

	if (d->type == AS_DELTA_TEXT)
		strncat(h->text, d->text, d->len);
	else if (d->type == AS_DELTA_ARGS)
		strncat(h->args, d->text, d->len);
	else if (d->type == AS_DELTA_TOOL)
		snprintf(h->id, sizeof(h->id), "%s", d->id);
	else if (d->type == AS_DELTA_END)
		h->ends++;
	return AS_OK;
}

static void
body_chat(struct plug_env *env)
{
	static const char *const models[] = { "probe/x", "home/x", "pool/x" };
	struct json_object *messages = jarr();
	struct plug_chat_end end;
	struct error err = { 0 };
	size_t i;

	for (i = 0; i < 3; i++) {
		struct heard h = { 0 };
		struct plug_sink sink = { .arg = &h, .delta = hear };

		CU_ASSERT_EQUAL(plug_chat(env->plug, &env->who, models[i],
				    messages, NULL, NULL, &sink, &end, &err),
		    AS_OK);
		CU_ASSERT_STRING_EQUAL(h.text,
		    "h\xc3\xa4\xe2\x82\xac!\xef\xbf\xbd");
		CU_ASSERT_STRING_EQUAL(h.args, "{\"a\":1}");
		CU_ASSERT_EQUAL(strncmp(h.id, "call_", 5), 0);
		CU_ASSERT_EQUAL(h.ends, 1);
		CU_ASSERT_EQUAL(end.why, AS_END_TOOLS);
		CU_ASSERT_EQUAL(end.input, 3);
		CU_ASSERT_EQUAL(end.cached, -1);
	}
	CU_ASSERT_EQUAL(plug_chat(env->plug, &env->who, "probe/broken",
			    messages, NULL, NULL, NULL, &end, &err),
	    AS_UPSTREAM);
	CU_ASSERT(has(err.detail, "ended before the answer"));
	CU_ASSERT_EQUAL(plug_chat(env->plug, &env->who, "pool/orphan", messages,
			    NULL, NULL, NULL, &end, &err),
	    AS_UPSTREAM);
	CU_ASSERT(has(err.detail, "arguments of no tool call"));
	error_clear(&err);
	json_object_put(messages);
}

static void
test_chat(void)
{
	plug_env_run(CONF_ALL, 0, body_chat);
	plug_env_run(CONF_ALL, ENV_HOME_ELSEWHERE, body_chat);
	plug_env_run(CONF_ALL, ENV_LOOPBACK, body_chat);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_chat);
}

static void
body_embed(struct plug_env *env)
{
	static const char *const texts[] = { "a", "bb", "ccc", "dddd", "e" };
	struct error err = { 0 };
	float *v;
	uint32_t dim, i;

	CU_ASSERT_EQUAL_FATAL(plug_embed(env->plug, &env->who, "pool/e", texts,
				  5, true, &v, &dim, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(dim, 3);
	for (i = 0; i < 5; i++) {
		CU_ASSERT_DOUBLE_EQUAL(v[i * 3], strlen(texts[i]), 0);
		CU_ASSERT(v[i * 3 + 1] == 0.1f && v[i * 3 + 2] == 1.0f);
	}
	free(v);
	CU_ASSERT_EQUAL(plug_embed(env->plug, &env->who, "home/e", NULL, 0,
			    false, &v, &dim, &err),
	    AS_LIMIT);
	error_clear(&err);
}

static void
test_embed(void)
{
	plug_env_run(CONF_ALL, 0, body_embed);
	plug_env_run(CONF_ALL, ENV_LOOPBACK, body_embed);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_embed);
}

static void
body_models(struct plug_env *env)
{
	char full[64];

	CU_ASSERT(plug_model_resolve(env->plug, NULL, full, sizeof(full)));
	CU_ASSERT_STRING_EQUAL(full, "demo/demo");
	CU_ASSERT(plug_model_find(env->plug, full)->is_default);
	CU_ASSERT_EQUAL(plug_model_find(env->plug, full)->window, 8192);
	CU_ASSERT_EQUAL(plug_model_find(env->plug, "demo/demo-embedding")->dim,
	    64);
	CU_ASSERT(plug_model_resolve(env->plug, "demo", full, sizeof(full)));
	CU_ASSERT_STRING_EQUAL(full, "demo/demo");
	/* It names its models, and this is none of them. */
	CU_ASSERT_FALSE(
	    plug_model_resolve(env->plug, "demo/x", full, sizeof(full)));
	/* This one names none, so any goes; slashes belong to the model. */
	CU_ASSERT(
	    plug_model_resolve(env->plug, "probe/a/b", full, sizeof(full)));
	CU_ASSERT_STRING_EQUAL(full, "probe/a/b");
	CU_ASSERT_FALSE(
	    plug_model_resolve(env->plug, "nobody/x", full, sizeof(full)));
	CU_ASSERT_FALSE(plug_model_resolve(env->plug, "demo/demo", full, 5));
}

static void
test_models(void)
{
	plug_env_run(CONF_ALL, 0, body_models);
	plug_env_run(CONF_ALL, ENV_ISOLATED, body_models);
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
		{ "calls", test_calls },
		{ "calls on another home loop", test_calls_home },
		{ "calls through bytes", test_calls_loopback },
		{ "calls to processes", test_calls_process },
		{ "cancel and deadline", test_ends },
		{ "progress", test_progress },
		{ "verify", test_verify },
		{ "chat", test_chat },
		{ "embeddings", test_embed },
		{ "models", test_models },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "plug", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error,plugin=error");
	return tap_run(suites);
}
