/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop/loop.h"
#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * A call of a tool ends once, with its result or its failure, wherever the
 * plugin runs.
 */

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
	CU_ASSERT(tap_has(err.detail, words));
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
	plug_env_run(PLUG_ENV_PROBES, run_flags, body_calls);
}

static void
test_calls_home(void)
{
	run_flags = ENV_HOME_ELSEWHERE;
	plug_env_run(PLUG_ENV_PROBES, run_flags, body_calls);
}

static void
test_calls_loopback(void)
{
	run_flags = ENV_LOOPBACK;
	plug_env_run(PLUG_ENV_PROBES, run_flags, body_calls);
}

static void
test_calls_process(void)
{
	run_flags = ENV_ISOLATED | ENV_PATIENT;
	plug_env_run(PLUG_ENV_PROBES, run_flags, body_calls);
	run_flags |= ENV_HOME_ELSEWHERE;
	plug_env_run(PLUG_ENV_PROBES, run_flags, body_calls);
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
	plug_env_run(PLUG_ENV_PROBES, 0, body_ends);
	plug_env_run(PLUG_ENV_PROBES, ENV_HOME_ELSEWHERE, body_ends);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_ends);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED | ENV_HOME_ELSEWHERE,
	    body_ends);
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
	plug_env_run(PLUG_ENV_PROBES, 0, body_progress);
	plug_env_run(PLUG_ENV_PROBES, ENV_HOME_ELSEWHERE, body_progress);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_progress);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED | ENV_HOME_ELSEWHERE,
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
	plug_env_run(PLUG_ENV_PROBES, 0, body_verify);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_verify);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "calls", test_calls },
		{ "calls on another home loop", test_calls_home },
		{ "calls through bytes", test_calls_loopback },
		{ "calls to processes", test_calls_process },
		{ "cancel and deadline", test_ends },
		{ "progress", test_progress },
		{ "verify", test_verify },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "plug call", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
