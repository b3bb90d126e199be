/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/* The demo model: what it finds in a text, and what a script makes it say. */

#define CONF "plugins : { llm_demo : { }; };"
#define ALL_TOOLS \
	"[{\"name\":\"calculator_evaluate\"},{\"name\":\"clock_now\"}," \
	"{\"name\":\"http_request\"}]"

struct said {
	struct buf text;
	struct buf calls; /* "name args;" */
	int deltas;
	int cancel_at;
	enum as_status st;
	struct plug_chat_end end;
	struct error err;
};

static void
said_free(struct said *s)
{
	buf_free(&s->text);
	buf_free(&s->calls);
	error_clear(&s->err);
}

static enum as_status
hear(void *arg, const struct as_delta *d)
{
	struct said *s = arg;

	s->deltas++;
	if (d->type == AS_DELTA_TEXT)
		buf_add(&s->text, d->text, d->len);
	else if (d->type == AS_DELTA_TOOL)
		buf_printf(&s->calls, "%s%s ", s->calls.len > 0 ? ";" : "",
		    d->name);
	else if (d->type == AS_DELTA_ARGS)
		buf_add(&s->calls, d->text, d->len);
	return s->deltas == s->cancel_at ? AS_CANCELED : AS_OK;
}

/* history: "u:text" "a:text" a line each; "+:text" one more part of it. */
static struct json_object *
messages_of(const char *history)
{
	struct json_object *a = jarr(), *m = NULL, *part;
	size_t n;

	for (; *history != '\0'; history += n + (history[n] == '\n')) {
		n = strcspn(history, "\n");
		part = jobj();
		jput_str(part, "type", "text");
		jput_strn(part, "text", history + 2, n - 2);
		if (*history != '+') {
			m = jobj();
			jput_str(m, "role",
			    *history == 'u' ? "user" : "assistant");
			jput(m, "content", jarr());
			json_object_array_add(a, m);
		}
		json_object_array_add(jget(m, "content"), part);
	}
	return a;
}

static void
ask(struct plug_env *env, const char *history, const char *tools,
    struct said *s)
{
	struct plug_sink sink = { .arg = s, .delta = hear };
	struct json_object *t = NULL, *m = messages_of(history);

	MUST(json_parse(tools, strlen(tools), &t, NULL) == AS_OK);
	buf_add_str(&s->text, "");
	buf_add_str(&s->calls, "");
	s->st = plug_chat(env->plug, &env->who, "demo/demo", m, t, NULL, &sink,
	    &s->end, &s->err);
	json_object_put(m);
	json_object_put(t);
}

static void
expect_calls(struct plug_env *env, const char *text, const char *want)
{
	char *history = xasprintf("u:%s", text);
	struct said s = { 0 };

	ask(env, history, ALL_TOOLS, &s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	if (strcmp(s.calls.data, want) != 0)
		tap_note("'%s': '%s'", text, s.calls.data);
	CU_ASSERT_STRING_EQUAL(s.calls.data, want);
	CU_ASSERT_EQUAL(s.end.why, *want != '\0' ? AS_END_TOOLS : AS_END_TURN);
	if (*want == '\0')
		CU_ASSERT_PTR_NOT_NULL(strstr(s.text.data, "demo model"));
	said_free(&s);
	free(history);
}

#define CALC(e) "calculator_evaluate {\"expression\":\"" e "\"}"

static void
body_finds(struct plug_env *env)
{
	expect_calls(env, "2+2", CALC("2+2"));
	expect_calls(env, "What is 2 + 2?", CALC("2 + 2"));
	expect_calls(env, "Compute (3+4)*2, please.", CALC("(3+4)*2"));
	expect_calls(env, "and sqrt(16)?", CALC("sqrt(16)"));
	expect_calls(env, "(see 1.5*2)", CALC("1.5*2"));
	expect_calls(env, "2*pi", CALC("2*pi"));
	expect_calls(env, "max(1, 2) it is", CALC("max(1, 2)"));
	expect_calls(env, "-3 - -4", CALC("-3 - -4"));
	expect_calls(env, "3 - see 4*5", CALC("4*5"));
	expect_calls(env, "What time is it?", "clock_now {}");
	expect_calls(env, "the TIME", "clock_now {}");
	expect_calls(env, "6*7 and the date", CALC("6*7") ";clock_now {}");
	expect_calls(env, "Fetch http://127.0.0.1:9/a-b?c=1+1.",
	    "http_request {\"url\":\"http://127.0.0.1:9/a-b?c=1+1\"}");
	/* What came before is answered for, or never was. */
	expect_calls(env, "5*5\n+:6*6", CALC("6*6"));
	expect_calls(env, "hello", "");
	expect_calls(env, "42", "");
	expect_calls(env, "I have 3 apples - no, 4", "");
	expect_calls(env, "sometimes, a timer", "");
	expect_calls(env, "((((", "");
	expect_calls(env, "x86-64", "");
	expect_calls(env, "", "");
}

static void
test_finds(void)
{
	plug_env_run(CONF, 0, body_finds);
}

static void
body_words(struct plug_env *env)
{
	struct said s = { 0 }, t = { 0 };
	float *v;
	uint32_t dim;
	const char *const texts[] = { "Fox", "fox!", "dog", "" };
	double sum = 0;
	size_t i;

	ask(env, "u:what is 2+2", "[]", &s);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.text.data, "calculator toolkit"));
	CU_ASSERT_EQUAL(s.end.input, 3);
	CU_ASSERT_EQUAL(s.end.output, s.deltas - 1);
	said_free(&s);
	ask(env, "u:hello", ALL_TOOLS, &t);
	CU_ASSERT(t.deltas > 10);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.text.data, "\"hello\""));
	said_free(&t);
	CU_ASSERT_EQUAL_FATAL(plug_embed(env->plug, &env->who,
				  "demo/demo-embedding", texts, 4, false, &v,
				  &dim, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL(dim, 64);
	CU_ASSERT_EQUAL(memcmp(v, v + 64, 64 * sizeof(float)), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(v, v + 128, 64 * sizeof(float)), 0);
	for (i = 0; i < 256; i++)
		sum += (double)v[i] * (double)v[i];
	CU_ASSERT_DOUBLE_EQUAL(sum, 4, 1e-6);
	free(v);
}

static void
test_words(void)
{
	plug_env_run(CONF, 0, body_words);
}

/* ---- Scripts ------------------------------------------------------- */

static char script_path[64];

static void
with_script(const char *text, void (*body)(struct plug_env *))
{
	char *conf;
	int fd;

	strcpy(script_path, "/tmp/t_llm_demo_XXXXXX");
	fd = mkstemp(script_path);
	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	conf = xasprintf("plugins : { llm_demo : { script = \"%s\"; }; };",
	    script_path);
	plug_env_run(conf, 0, body);
	free(conf);
	unlink(script_path);
}

static void
expect_says(struct plug_env *env, const char *history, const char *want)
{
	struct said s = { 0 };

	ask(env, history, ALL_TOOLS, &s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	if (strstr(s.text.data, want) == NULL)
		tap_note("'%s': '%s' (%s)", history, s.text.data, s.err.detail);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.text.data, want));
	said_free(&s);
}

static void
body_script(struct plug_env *env)
{
	struct said s = { 0 };

	expect_says(env, "u:a", "one");
	expect_says(env, "u:a\na:one\nu:b", "two");
	/* The third turn is for those who ask for tea. */
	expect_says(env, "u:a\na:one\nu:b\na:two\nu:tea, please", "three");
	ask(env, "u:a\na:one\nu:b\na:two\nu:c", "[]", &s);
	CU_ASSERT_EQUAL(s.st, AS_UNAVAILABLE);
	CU_ASSERT_STRING_EQUAL(s.err.detail, "HTTP 503: overloaded");
	CU_ASSERT_STRING_EQUAL(s.text.data, "half");
	said_free(&s);
	/* The same call once more, and the user once more. */
	env->who.attempt = 2;
	expect_says(env, "u:a\na:one\nu:b\na:two\nu:c", "five");
	env->who.attempt = 1;
	expect_says(env, "u:a\na:one\nu:b\na:two\nu:c\nu:d", "five");
	expect_says(env, "u:a\na:one\nu:b\na:two\nu:c\n+:d", "five");
	memset(&s, 0, sizeof(s));
	ask(env, "u:a\na:one\nu:b\na:two\nu:c\nu:d\na:five\nu:e", "[]", &s);
	CU_ASSERT_STRING_EQUAL(s.calls.data, "x_y {\"k\":[1]};z {}");
	CU_ASSERT_EQUAL(s.end.why, AS_END_TOOLS);
	said_free(&s);
	/* It is over. */
	expect_says(env,
	    "u:a\na:one\nu:b\na:two\nu:c\nu:d\na:five\nu:e\na:\nu:f",
	    "demo model");
}

static void
test_script(void)
{
	with_script("[{\"text\":\"one\"},{\"text\":\"two\"},"
		    "{\"match\":\"tea\",\"text\":\"three\"},"
		    "{\"text\":\"half\",\"fail\":{\"status\":503,"
		    "\"message\":\"overloaded\"}},"
		    "{\"text\":\"five\"},"
		    "{\"tool_calls\":[{\"name\":\"x_y\",\"args\":{\"k\":[1]}},"
		    "{\"name\":\"z\"}]}]",
	    body_script);
}

static void
body_bad(struct plug_env *env)
{
	struct said s = { 0 };

	ask(env, "u:a", "[]", &s);
	CU_ASSERT_EQUAL(s.st, AS_NOTFOUND);
	said_free(&s);
}

static void
test_bad_scripts(void)
{
	with_script("{}", body_bad);
	with_script("[1]", body_bad);
	with_script("[{\"txt\":\"typo\"}]", body_bad);
	with_script("[{\"tool_calls\":[{}]}]", body_bad);
	with_script("[", body_bad);
	plug_env_run("plugins : { llm_demo : { script = \"/nowhere\"; }; };", 0,
	    body_bad);
}

struct slow {
	struct plug_env *env;
	struct said said;
};

static void
slow_fiber(void *arg)
{
	struct slow *slow = arg;

	ask(slow->env, "u:a", "[]", &slow->said);
}

static void
body_stop(struct plug_env *env)
{
	struct slow slow = { .env = env };
	struct said s = { 0 };
	struct fiber_ref r;

	/* The sink says stop at the third word. */
	s.cancel_at = 3;
	ask(env, "u:a", "[]", &s);
	CU_ASSERT_EQUAL(s.st, AS_CANCELED);
	CU_ASSERT_EQUAL(s.deltas, 3);
	said_free(&s);
	/* Somebody cancels while it waits. */
	r = fiber_spawn(env->loop, "slow", slow_fiber, &slow);
	fiber_yield();
	fiber_yield();
	fiber_cancel(r);
	fiber_join(r, 0);
	CU_ASSERT_EQUAL(slow.said.st, AS_CANCELED);
	said_free(&slow.said);
}

static void
test_stop(void)
{
	plug_env_run("plugins : { llm_demo : { delay = \"1ms\"; }; };", 0,
	    body_stop);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "finds what tools can do", test_finds },
		{ "words, usage and vectors", test_words },
		{ "script", test_script },
		{ "bad scripts", test_bad_scripts },
		{ "stop", test_stop },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "llm_demo", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
