/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/counter.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * Plugins that come, change and go while calls are made: a new version has its
 * tools and its statics, a call ends on the version that it began on, and a bad
 * version changes nothing but what is said about it.
 */

#define CONF(more) \
	"plugins : { toolkit_turn : { " more " }; toolkit_clock : {}; };\n"

static char dir[] = "/tmp/t_reload.XXXXXX";

/* ---- The file ------------------------------------------------------ */

static void
file_put(const char *name, const char *data, size_t len)
{
	char *path = xasprintf("%s/%s", dir, name);
	char *fresh = xasprintf("%s.new", path);
	FILE *f = fopen(fresh, "w");

	MUST(f != NULL && fwrite(data, 1, len, f) == len && fclose(f) == 0);
	MUST(rename(fresh, path) == 0);
	free(fresh);
	free(path);
}

static void
version_put(int version)
{
	char *from = xasprintf(BUILD_DIR
	    "/tests/integration/plug/.libs/turn%d.so",
	    version);
	FILE *f = fopen(from, "r");
	struct stat st;
	char *data;

	MUST(f != NULL && fstat(fileno(f), &st) == 0);
	data = xmalloc((size_t)st.st_size);
	MUST(fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
	fclose(f);
	file_put("toolkit_turn.so", data, (size_t)st.st_size);
	free(data);
	free(from);
}

/* ---- Helpers ------------------------------------------------------- */

static double
counted(const char *what)
{
	const char *values[] = { "toolkit_turn" };
	char name[64];

	snprintf(name, sizeof(name), "custom_%s_total", what);
	return counter_value(
	    counter_get(COUNTER, name, "Counted.", "plugin", values));
}

static bool
reload(struct plug_env *env, const char *name)
{
	struct error err = { 0 };
	enum as_status st = plug_reload(env->plug, name, NULL, &err);

	if (st != AS_OK)
		tap_note("%s", err.detail);
	error_clear(&err);
	return st == AS_OK;
}

/* It is refused, and the sentence has these words. */
static bool
refused(struct plug_env *env, const char *name, const char *words)
{
	struct error err = { 0 };
	bool ok = plug_reload(env->plug, name, NULL, &err) != AS_OK;

	ok = ok && strstr(err.detail, words) != NULL;
	if (!ok)
		tap_note("not refused with '%s': '%s'", words, err.detail);
	error_clear(&err);
	return ok;
}

struct said {
	enum as_status st;
	int64_t version, calls, limit;
};

static struct said
call(struct plug_env *env, const char *tool, const char *args)
{
	struct said said = { 0 };
	struct error err = { 0 };
	struct json_object *o = NULL;
	char *text = NULL;

	said.st = plug_env_tool(env, tool, args, &text, &err);
	if (said.st == AS_OK) {
		MUST(json_parse(text, strlen(text), &o, NULL) == AS_OK);
		said.version = jget_int(o, "version", 0);
		said.calls = jget_int(o, "calls", 0);
		said.limit = jget_int(o, "limit", 0);
	}
	json_object_put(o);
	free(text);
	error_clear(&err);
	return said;
}

static struct said
number(struct plug_env *env)
{
	return call(env, "turn_number", "{}");
}

/* The member of the list of operators. */
static int64_t
listed(struct plug_env *env, const char *name, const char *key, char *state,
    size_t size)
{
	struct json_object *list = plug_list(env->plug), *o;
	int64_t n = -1;

	snprintf(state, size, "gone");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		o = json_object_array_get_idx(list, i);
		if (strcmp(jget_str(o, "name", ""), name) != 0)
			continue;
		snprintf(state, size, "%s", jget_str(o, "state", ""));
		n = jget_int(o, key, -1);
	}
	json_object_put(list);
	return n;
}

/* Waits until it was counted that often. */
static bool
becomes(const char *what, double n)
{
	for (int i = 0; i < 2000 && counted(what) < n; i++)
		fiber_sleep(5);
	return counted(what) == n;
}

struct caller {
	struct plug_env *env;
	const char *args;
	struct said said;
	bool started, done;
};

static void
caller_fiber(void *arg)
{
	struct caller *c = arg;

	c->started = true;
	c->said = call(c->env, "turn_wait", c->args);
	c->done = true;
}

/* Its call has been made and waits. */
static struct fiber_ref
caller_start(struct caller *c, struct plug_env *env, const char *args)
{
	struct fiber_ref f;

	memset(c, 0, sizeof(*c));
	c->env = env;
	c->args = args;
	f = fiber_spawn(loop_self(), "caller", caller_fiber, c);
	while (!c->started)
		fiber_yield();
	return f;
}

/* ---- Another version ----------------------------------------------- */

static void
body_versions(struct plug_env *env)
{
	double init = counted("init"), fini = counted("fini");
	const struct plug_tool_info *info;
	struct caller old;
	struct fiber_ref f;
	char state[32];

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	CU_ASSERT_EQUAL(number(env).version, 1);
	CU_ASSERT_EQUAL(number(env).calls, 2);
	CU_ASSERT_PTR_NULL(plug_tool_find(env->plug, "turn_new"));
	f = caller_start(&old, env, "{\"ms\":300}");
	version_put(2);
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT_FALSE(old.done);
	/* New calls have the new one's tools and statics. */
	CU_ASSERT_EQUAL(number(env).version, 2);
	CU_ASSERT_EQUAL(number(env).calls, 2);
	CU_ASSERT_PTR_NULL(plug_tool_find(env->plug, "turn_old"));
	CU_ASSERT_EQUAL(call(env, "turn_old", "{}").st, AS_NOTFOUND);
	info = plug_tool_find(env->plug, "turn_new");
	CU_ASSERT_PTR_NOT_NULL_FATAL(info);
	CU_ASSERT_STRING_EQUAL(info->version, "2.0.0");
	CU_ASSERT_EQUAL(listed(env, "toolkit_turn", "generation", state,
			    sizeof(state)),
	    2);
	CU_ASSERT_STRING_EQUAL(state, "serving");
	CU_ASSERT_EQUAL(counted("init"), init + 1);
	CU_ASSERT_EQUAL(counted("fini"), fini);
	/* The one that was open ends where it began, and then the old one. */
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(old.said.st, AS_OK);
	CU_ASSERT_EQUAL(old.said.version, 1);
	CU_ASSERT_EQUAL(old.said.calls, 3);
	CU_ASSERT(becomes("fini", fini + 1));
	CU_ASSERT_EQUAL(counted("stop"), fini + 1);
	/* Nothing has changed: it is another generation all the same. */
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT_EQUAL(number(env).calls, 1);
	CU_ASSERT_EQUAL(listed(env, "toolkit_turn", "generation", state,
			    sizeof(state)),
	    3);
	CU_ASSERT(reload(env, NULL));
	CU_ASSERT_EQUAL(listed(env, "toolkit_turn", "generation", state,
			    sizeof(state)),
	    4);
	CU_ASSERT_EQUAL(listed(env, "toolkit_clock", "generation", state,
			    sizeof(state)),
	    2);
	CU_ASSERT(refused(env, "toolkit_nobody", "toolkit_nobody"));
}

static void
test_versions(void)
{
	version_put(1);
	plug_env_run(CONF(""), 0, body_versions);
}

static void
test_versions_elsewhere(void)
{
	version_put(1);
	plug_env_run(CONF(""), ENV_HOME_ELSEWHERE, body_versions);
}

/* On the home loop and on the pool calls have a side of their own. */
static void
body_channel(struct plug_env *env)
{
	double fini = counted("fini");
	struct caller old;
	struct fiber_ref f;
	int64_t version = number(env).version;

	f = caller_start(&old, env, "{\"ms\":200}");
	version_put(2);
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT_EQUAL(number(env).version, 2);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(old.said.st, AS_OK);
	CU_ASSERT_EQUAL(old.said.version, version);
	CU_ASSERT(becomes("fini", fini + 1));
}

static void
test_channel(void)
{
	version_put(4);
	plug_env_run(CONF(""), ENV_HOME_ELSEWHERE, body_channel);
	version_put(5);
	plug_env_run(CONF(""), ENV_HOME_ELSEWHERE, body_channel);
}

/* ---- Refused ------------------------------------------------------- */

static void
body_refused(struct plug_env *env)
{
	struct json_object *list = NULL;
	struct error err = { 0 };
	char state[32];

	file_put("toolkit_turn.so", "no plugin", 9);
	CU_ASSERT(refused(env, "toolkit_turn", "toolkit_turn.so"));
	version_put(2);
	env->text = CONF("limit = 11;");
	CU_ASSERT(refused(env, "toolkit_turn", "limit"));
	env->text = CONF("limmit = 1;");
	CU_ASSERT(refused(env, "toolkit_turn", "did you mean 'limit'"));
	env->text = CONF("limit = ;");
	CU_ASSERT(refused(env, "toolkit_turn", "test.conf:1"));
	env->text = CONF("fail_init = true;");
	CU_ASSERT(refused(env, "toolkit_turn", "no init today"));
	env->text = CONF("fail_start = true;");
	CU_ASSERT(refused(env, "toolkit_turn", "no start today"));
	env->text = "plugins : { toolkit_turn : {}; toolkit_clock : {};"
		    " my_turn : { plugin = \"toolkit_turn\"; };"
		    " toolkit_my_turn : { plugin = \"toolkit_turn\"; }; };";
	CU_ASSERT_EQUAL(plug_reload(env->plug, NULL, &list, &err), AS_CONFLICT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "rename one of the groups"));
	CU_ASSERT_EQUAL(json_object_array_length(list), 4);
	json_object_put(list);
	error_clear(&err);
	/* toolkit_turn itself was good: it has changed. */
	CU_ASSERT_EQUAL(number(env).version, 2);
	file_put("toolkit_turn.so", "", 0);
	env->text = CONF("");
	CU_ASSERT(refused(env, "toolkit_turn", "toolkit_turn.so"));
	CU_ASSERT_EQUAL(number(env).version, 2);
	listed(env, "toolkit_turn", "generation", state, sizeof(state));
	CU_ASSERT_STRING_EQUAL(state, "serving");
}

static void
test_refused(void)
{
	version_put(1);
	plug_env_run(CONF(""), 0, body_refused);
}

static void
body_cap(struct plug_env *env)
{
	double init = counted("init");

	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT(refused(env, "toolkit_turn", "isolation = \"process\""));
	CU_ASSERT(refused(env, "toolkit_turn", "restart"));
	CU_ASSERT_EQUAL(counted("init"), init + 2);
	CU_ASSERT_EQUAL(number(env).st, AS_OK);
	CU_ASSERT_EQUAL(number(env).calls, 2);
	/* One that may be unmapped has no place among those that stay. */
	for (int i = 0; i < 20; i++)
		CU_ASSERT(reload(env, "toolkit_clock"));
	/* What is disabled takes none. */
	env->text = CONF("enabled = false;");
	CU_ASSERT(reload(env, "toolkit_turn"));
	env->text = CONF("");
	CU_ASSERT(refused(env, "toolkit_turn", "plugins.generations"));
}

static void
test_cap(void)
{
	version_put(1);
	plug_env_limits.generations = 3;
	plug_env_run(CONF(""), 0, body_cap);
	plug_env_limits.generations = 0;
}

/* ---- In and out ---------------------------------------------------- */

static void
body_in_out(struct plug_env *env)
{
	double fini = counted("fini");
	char state[32];

	env->text = CONF("enabled = false;");
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT_EQUAL(number(env).st, AS_NOTFOUND);
	CU_ASSERT_PTR_NULL(plug_toolkit_find(env->plug, "turn"));
	CU_ASSERT(becomes("fini", fini + 1));
	listed(env, "toolkit_turn", "generation", state, sizeof(state));
	CU_ASSERT_STRING_EQUAL(state, "disabled");
	env->text = CONF("limit = 9;");
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT_EQUAL(number(env).limit, 9);
	env->text = "plugins : { toolkit_clock : {}; };";
	CU_ASSERT(reload(env, NULL));
	CU_ASSERT_EQUAL(number(env).st, AS_NOTFOUND);
	listed(env, "toolkit_turn", "generation", state, sizeof(state));
	CU_ASSERT_STRING_EQUAL(state, "gone");
	env->text = CONF("");
	CU_ASSERT(reload(env, "toolkit_turn"));
	CU_ASSERT_EQUAL(number(env).limit, 5);
	env->text = "plugins : { toolkit_turn : {}; toolkit_clock : {};"
		    " toolkit_other : { plugin = \"toolkit_turn\"; }; };";
	CU_ASSERT(reload(env, "toolkit_other"));
	CU_ASSERT_EQUAL(call(env, "other_number", "{}").calls, 1);
}

static void
test_in_out(void)
{
	version_put(1);
	plug_env_run(CONF(""), 0, body_in_out);
}

/* The order of conf.d decides, whoever came first. */
static void
body_order(struct plug_env *env)
{
	char model[128];

	CU_ASSERT(plug_model_resolve(env->plug, NULL, model, sizeof(model)));
	CU_ASSERT_STRING_EQUAL(model, "b/demo");
	env->text = "plugins : { llm_a : { plugin = \"llm_demo\"; };"
		    " llm_b : { plugin = \"llm_demo\"; }; };";
	CU_ASSERT(reload(env, NULL));
	CU_ASSERT(plug_model_resolve(env->plug, NULL, model, sizeof(model)));
	CU_ASSERT_STRING_EQUAL(model, "a/demo");
}

static void
test_order(void)
{
	plug_env_run("plugins : { llm_b : { plugin = \"llm_demo\"; }; };", 0,
	    body_order);
}

/* ---- Calls that do not end ----------------------------------------- */

static void
body_grace(struct plug_env *env)
{
	double fini = counted("fini");
	uint64_t was = loop_now_ms(loop_self());
	struct caller old;
	struct fiber_ref f;

	f = caller_start(&old, env, "{\"ms\":600000}");
	version_put(2);
	CU_ASSERT(reload(env, "toolkit_turn"));
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(old.said.st, AS_TIMEOUT);
	CU_ASSERT(loop_now_ms(loop_self()) >= was + 50);
	CU_ASSERT(becomes("fini", fini + 1));
	/* Its fiber has its own time again. */
	CU_ASSERT_EQUAL(call(env, "turn_wait", "{\"ms\":5}").st, AS_OK);
}

static void
test_grace(void)
{
	plug_env_limits.grace_ms = 50;
	version_put(1);
	plug_env_run(CONF(""), 0, body_grace);
	version_put(1);
	plug_env_run(CONF(""), ENV_HOME_ELSEWHERE, body_grace);
	version_put(4);
	plug_env_run(CONF(""), ENV_HOME_ELSEWHERE, body_grace);
	plug_env_limits.grace_ms = 0;
}

/* The host ends while an old generation has a call open. */
static void
body_ends(struct plug_env *env)
{
	struct caller old;
	struct fiber_ref f = caller_start(&old, env, "{\"ms\":600000}");

	version_put(2);
	CU_ASSERT(reload(env, "toolkit_turn"));
	fiber_cancel(f);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(old.said.st, AS_CANCELED);
}

static void
test_ends(void)
{
	double init = counted("init"), fini = counted("fini");

	version_put(1);
	plug_env_run(CONF(""), 0, body_ends);
	CU_ASSERT_EQUAL(counted("init"), init + 2);
	CU_ASSERT_EQUAL(counted("fini"), fini + 2);
}

/* ---- Many ---------------------------------------------------------- */

#define MANY 20
#define TURNS 200

struct crowd {
	struct plug_env *env;
	bool stop;
	int running, calls, failures, versions[6];
};

static void
crowd_fiber(void *arg)
{
	struct crowd *c = arg;
	const struct plug_toolkit_info *kit;
	const struct plug_tool_info *t;
	struct said said;
	char model[64];

	while (!c->stop) {
		said = call(c->env, "turn_wait", "{\"ms\":1}");
		c->calls++;
		c->failures += said.st != AS_OK;
		c->versions[said.version]++;
		/* What is found is whole, whatever is being put in place. */
		kit = plug_toolkit_find(c->env->plug, "turn");
		MUST(kit != NULL && kit->n_tools == 3);
		for (size_t i = 0; (t = plug_toolkit_tool(kit, i)) != NULL; i++)
			MUST(strcmp(t->toolkit, "turn") == 0 &&
			     t->input_schema != NULL && strlen(t->doc) > 5);
		plug_model_resolve(c->env->plug, NULL, model, sizeof(model));
	}
	c->running--;
}

static void
body_many(struct plug_env *env)
{
	double init = counted("init"), fini = counted("fini");
	struct crowd c = { .env = env };

	for (; c.running < MANY; c.running++)
		fiber_spawn(loop_self(), "crowd", crowd_fiber, &c);
	for (int i = 0; i < TURNS; i++)
		CU_ASSERT(reload(env, NULL));
	c.stop = true;
	while (c.running > 0)
		fiber_sleep(1);
	tap_note("%d calls during %d reloads", c.calls, TURNS);
	CU_ASSERT_EQUAL(c.failures, 0);
	CU_ASSERT(c.calls > TURNS);
	CU_ASSERT_EQUAL(c.versions[3], c.calls);
	CU_ASSERT_EQUAL(counted("init"), init + TURNS);
	CU_ASSERT(becomes("fini", fini + TURNS));
}

static void
test_many(void)
{
	version_put(3);
	/* They may come faster than the old ones end. */
	plug_env_limits.generations = TURNS + 1;
	plug_env_run(CONF(""), 0, body_many);
	plug_env_run(CONF(""), ENV_HOME_ELSEWHERE, body_many);
	plug_env_limits.generations = 0;
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "another version", test_versions },
		{ "another version, seen from another loop",
		    test_versions_elsewhere },
		{ "calls on the home loop and on the pool", test_channel },
		{ "a bad version changes nothing", test_refused },
		{ "generations in memory are capped", test_cap },
		{ "in and out", test_in_out },
		{ "the order of conf.d", test_order },
		{ "calls that do not end", test_grace },
		{ "the host ends first", test_ends },
		{ "many reloads under many calls", test_many },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "reload", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	char *file;
	int rc;

	log_configure("error,plugin=error");
	MUST(mkdtemp(dir) != NULL);
	plug_env_limits.dir = dir;
	rc = tap_run(suites);
	file = xasprintf("%s/toolkit_turn.so", dir);
	unlink(file);
	free(file);
	rmdir(dir);
	return rc;
}
