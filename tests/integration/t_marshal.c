/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plug/msg.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * Values in, values out: the same calls, once directly, once with everything
 * turned into bytes in between and once to processes of their own, must leave
 * the same transcript.
 */

#define CONF \
	"plugins : {\n" \
	"  toolkit_calculator : { };\n" \
	"  toolkit_http : { allow = [ \"127.0.0.1:%d\" ]; };\n" \
	"  llm_demo : { };\n" \
	"  auth_local : { memory = \"8k\"; passes = 1; };\n" \
	"};\n"

static struct buf *transcript;

static void
note_error(enum as_status st, struct error *err)
{
	buf_printf(transcript, "  status %d %s: %s", (int)st,
	    error_name(err->code), err->detail);
	if (err->extra != NULL)
		buf_printf(transcript, " %s", json_text(err->extra));
	buf_add_char(transcript, '\n');
	error_clear(err);
}

static void
tool(struct plug_env *env, const char *name, const char *args)
{
	struct error err = { 0 };
	char *text;
	enum as_status st = plug_env_tool(env, name, args, &text, &err);

	buf_printf(transcript, "%s %s\n", name, args);
	if (text != NULL)
		buf_printf(transcript, "  %s\n", text);
	note_error(st, &err);
	free(text);
}

static enum as_status
hear(void *arg, const struct as_delta *d)
{
	(void)arg;
	buf_printf(transcript, "  delta %d %u %d '%s' '%s' '%.*s'\n",
	    (int)d->type, d->index, (int)d->end, d->id != NULL ? d->id : "",
	    d->name != NULL ? d->name : "", (int)d->len,
	    d->text != NULL ? d->text : "");
	return AS_OK;
}

static void
chat(struct plug_env *env, const char *messages, const char *tools)
{
	struct plug_sink sink = { .delta = hear };
	struct json_object *m = NULL, *t = NULL;
	struct plug_chat_end end;
	struct error err = { 0 };
	enum as_status st;

	MUST(json_parse(messages, strlen(messages), &m, NULL) == AS_OK);
	MUST(json_parse(tools, strlen(tools), &t, NULL) == AS_OK);
	buf_printf(transcript, "chat %s\n", messages);
	st = plug_chat(env->plug, &env->who, "demo/demo", m, t, NULL, &sink,
	    &end, &err);
	buf_printf(transcript, "  end %d %lld %lld\n", (int)end.why,
	    (long long)end.input, (long long)end.output);
	note_error(st, &err);
	json_object_put(m);
	json_object_put(t);
}

static void
embed(struct plug_env *env)
{
	static const char *const texts[] = { "the quick fox", "", "fox" };
	struct error err = { 0 };
	uint32_t dim = 0, i;
	float *v;
	enum as_status st;

	st = plug_embed(env->plug, &env->who, "demo/demo-embedding", texts, 3,
	    false, &v, &dim, &err);
	for (i = 0; v != NULL && i < 3 * dim; i++)
		buf_printf(transcript, " %a", (double)v[i]);
	note_error(st, &err);
	free(v);
}

static void
auth(struct plug_env *env, enum plug_auth_op op, const char *credentials)
{
	struct plug_identity who;
	struct json_object *o = NULL;
	struct error err = { 0 };
	enum as_status st;

	MUST(json_parse(credentials, strlen(credentials), &o, NULL) == AS_OK);
	st = plug_auth(env->plug, op, &env->who, o, &who, &err);
	buf_printf(transcript, "auth %s %s %s\n", credentials,
	    who.email != NULL ? who.email : "-",
	    who.name != NULL ? who.name : "-");
	note_error(st, &err);
	plug_identity_clear(&who);
	json_object_put(o);
}

static const char user_asks
    [] = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
	 "\"What is 2+2, and what time is it?\"}]}]";
static const char tool_answers[] =
    "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
    "\"What is 2+2?\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":"
    "\"tool_call\",\"id\":\"call_1_1\",\"name\":\"calculator_evaluate\","
    "\"args\":{\"expression\":\"2+2\"}}]},{\"role\":\"tool\",\"content\":[{"
    "\"type\":\"tool_result\",\"id\":\"call_1_1\",\"text\":\"4\","
    "\"is_error\":false}]}]";
static const char two_tools
    [] = "[{\"name\":\"calculator_evaluate\"},{\"name\":\"clock_now\"}]";

static void
body(struct plug_env *env)
{
	char args[80];

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	tool(env, "calculator_evaluate", "{\"expression\":\"2+2\"}");
	tool(env, "calculator_evaluate", "{\"expression\":\"1/0\"}");
	tool(env, "calculator_evaluate", "{\"expression\":5}");
	tool(env, "calculator_evaluate", "{}");
	snprintf(args, sizeof(args), "{\"url\":\"http://127.0.0.1:%d/json\"}",
	    env->port);
	tool(env, "http_request", args);
	snprintf(args, sizeof(args), "{\"url\":\"http://127.0.0.1:%d/no\"}",
	    env->port);
	tool(env, "http_request", args);
	tool(env, "http_request", "{\"url\":\"http://127.0.0.1:1/\"}");
	tool(env, "http_request", "{\"url\":\"gopher://x/\"}");
	chat(env, user_asks, two_tools);
	chat(env, user_asks, "[]");
	chat(env, tool_answers, two_tools);
	embed(env);
	auth(env, PLUG_SIGNUP,
	    "{\"email\":\"Me@Example.com\",\"password\":\"password\"}");
	auth(env, PLUG_SIGNUP,
	    "{\"email\":\"me@example.com\",\"password\":\"password\"}");
	auth(env, PLUG_LOGIN,
	    "{\"email\":\"me@example.com\",\"password\":\"password\"}");
	auth(env, PLUG_LOGIN,
	    "{\"email\":\"me@example.com\",\"password\":\"passwort\"}");
	auth(env, PLUG_SIGNUP, "{\"email\":\"me\",\"password\":\"password\"}");
}

/* The server's port differs from run to run. */
static void
hide_port(struct buf *b, const char *mark)
{
	char *at = b->data;

	while ((at = strstr(at, mark)) != NULL) {
		at += strlen(mark);
		while (*at >= '0' && *at <= '9')
			*at++ = '#';
	}
}

static void
test_transcripts(void)
{
	struct buf direct = { 0 }, bytes = { 0 }, process = { 0 };

	transcript = &direct;
	plug_env_run(CONF, 0, body);
	transcript = &bytes;
	plug_env_run(CONF, ENV_LOOPBACK, body);
	transcript = &process;
	plug_env_run(CONF, ENV_ISOLATED, body);
	hide_port(&process, "127.0.0.1:");
	hide_port(&direct, "127.0.0.1:");
	hide_port(&bytes, "127.0.0.1:");
	CU_ASSERT_STRING_EQUAL(direct.data, bytes.data);
	if (strcmp(direct.data, bytes.data) != 0)
		fprintf(stderr, "%s\n---\n%s", direct.data, bytes.data);
	CU_ASSERT_STRING_EQUAL(direct.data, process.data);
	if (strcmp(direct.data, process.data) != 0)
		fprintf(stderr, "%s\n---\n%s", direct.data, process.data);
	/* And it is not two times nothing. */
	CU_ASSERT_PTR_NOT_NULL(strstr(direct.data, "\"4\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(direct.data, "division by zero"));
	CU_ASSERT_PTR_NOT_NULL(strstr(direct.data, "calculator_evaluate"));
	CU_ASSERT_PTR_NOT_NULL(strstr(direct.data, "[1,2.5,null]"));
	CU_ASSERT_PTR_NOT_NULL(strstr(direct.data, "EMAIL_TAKEN"));
	CU_ASSERT_PTR_NOT_NULL(strstr(direct.data, "me@example.com me"));
	buf_free(&direct);
	buf_free(&bytes);
	buf_free(&process);
}

/* ---- Frames -------------------------------------------------------- */

static void
test_frames(void)
{
	static const float floats[] = { 0.1f, -1.5f, 3e30f };
	struct arena *arena = arena_new(NULL);
	struct json_object *value = jobj();
	struct msg out, in = { .kind = EMIT_VECTOR,
		.index = 7,
		.n = -3,
		.x = 0.1,
		.name = "n\xc3\xa4me",
		.id = "",
		.bytes = floats,
		.len = sizeof(floats) };
	struct buf b = { 0 };

	jput_num(value, "a", 0.1);
	in.value = value;
	CU_ASSERT(msg_encode(&in, &b));
	CU_ASSERT_FATAL(msg_decode(b.data, b.len, &out, arena));
	CU_ASSERT_EQUAL(out.kind, EMIT_VECTOR);
	CU_ASSERT_EQUAL(out.index, 7);
	CU_ASSERT_EQUAL(out.n, -3);
	CU_ASSERT(out.x >= 0.1 && out.x <= 0.1);
	CU_ASSERT_STRING_EQUAL(out.name, in.name);
	CU_ASSERT_STRING_EQUAL(out.id, "");
	CU_ASSERT_STRING_EQUAL(json_text(out.value), "{\"a\":0.1}");
	CU_ASSERT_EQUAL(out.len, sizeof(floats));
	CU_ASSERT_EQUAL(memcmp(out.bytes, floats, sizeof(floats)), 0);
	buf_free(&b);
	json_object_put(value);
	arena_free(arena);
}

static bool
decodes(const char *bytes, size_t len)
{
	struct arena *arena = arena_new(NULL);
	struct msg m;
	bool ok = msg_decode(bytes, len, &m, arena);

	arena_free(arena);
	return ok;
}

static void
test_broken_frames(void)
{
	struct msg m = { .kind = MSG_END, .name = "x" };
	struct buf b = { 0 };
	size_t i;

	CU_ASSERT(msg_encode(&m, &b));
	CU_ASSERT(decodes(b.data, b.len));
	for (i = 0; i < b.len; i++)
		CU_ASSERT_FALSE(decodes(b.data, i));
	b.data[b.len - 1] = '\0'; /* in a text */
	CU_ASSERT_FALSE(decodes(b.data, b.len));
	b.data[b.len - 1] = (char)0xff; /* no UTF-8 */
	CU_ASSERT_FALSE(decodes(b.data, b.len));
	b.data[b.len - 1] = 'x';
	b.data[0] = 31; /* no such kind */
	CU_ASSERT_FALSE(decodes(b.data, b.len));
	b.data[0] = MSG_END;
	b.data[1] = 1;
	CU_ASSERT_FALSE(decodes(b.data, b.len));
	b.data[1] = 0;
	CU_ASSERT(decodes(b.data, b.len));
	/* The name's byte as the value: x is not JSON, and 1 is. */
	memcpy(b.data + 32, b.data + 24, 4);
	memset(b.data + 24, 0, 4);
	CU_ASSERT_FALSE(decodes(b.data, b.len));
	b.data[b.len - 1] = '1';
	CU_ASSERT(decodes(b.data, b.len));
	buf_free(&b);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "same transcript", test_transcripts },
		{ "frames", test_frames },
		{ "broken frames", test_broken_frames },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "marshal", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
