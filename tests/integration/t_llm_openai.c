/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/http_client.h"
#include "core/plug/plug.h"
#include "tests/tap.h"

/*
 * llm_openai and toolkit_http, loaded as the host loads them, against
 * tests/support/stub_model.mjs.  Every test runs twice: with plain calls and
 * with every call encoded and decoded.
 */

static pid_t stub_pid;
static char base[64]; /* "http://127.0.0.1:PORT" */
static struct loop *loop;
static struct http_client *client;
static struct plug *plug;

/* ---- The stub ------------------------------------------------------ */

static bool
stub_start(void)
{
	char *const argv[] = { (char *)(uintptr_t) "node",
		(char *)(uintptr_t)SRC_DIR "/tests/support/stub_model.mjs",
		(char *)(uintptr_t) "--key", (char *)(uintptr_t) "sesame",
		NULL };
	char line[100] = "";
	int fds[2];
	ssize_t n;

	MUST(pipe(fds) == 0);
	if ((stub_pid = fork()) == 0) {
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], line, sizeof(line) - 1)) < 0 && errno == EINTR)
		continue;
	close(fds[0]);
	return n > 0 && sscanf(line, "listening on %60s", base) == 1;
}

static void
stub_stop(void)
{
	int status;

	kill(stub_pid, SIGTERM);
	waitpid(stub_pid, &status, 0);
}

/* Ask the stub something; NULL if it failed. */
static struct json_object *
stub_ask(const char *path, const char *body)
{
	char url[200];
	struct http_request req = { .url = url,
		.trust = HTTP_TRUSTED,
		.body = body,
		.body_len = body != NULL ? strlen(body) : 0 };
	struct http_stream *s = NULL;
	struct json_object *answer = NULL;
	char *text = NULL;
	size_t len;

	snprintf(url, sizeof(url), "%s%s", base, path);
	if (http_open(client, &req, &s, NULL) == AS_OK &&
	    http_read_all(s, &text, &len, NULL) == AS_OK)
		json_parse(text, len, &answer, NULL);
	free(text);
	http_close(s);
	CU_ASSERT_PTR_NOT_NULL(answer);
	return answer;
}

static void
script(const char *turns)
{
	json_object_put(stub_ask("/_reset", "{}"));
	json_object_put(stub_ask("/_script", turns));
}

static size_t
n_requests(void)
{
	struct json_object *log = stub_ask("/_log", NULL);
	size_t n = json_object_array_length(jget(log, "requests"));

	json_object_put(log);
	return n;
}

/* ---- The host ------------------------------------------------------ */

static struct http_client *
the_client(void *arg, struct loop *l)
{
	(void)arg;
	(void)l;
	return client;
}

static const char config
    [] = "plugins : {\n"
	 "  llm_openai : { enabled = true; base_url = \"%s/v1\";\n"
	 "    default_model = \"stub\"; organization = \"org\";\n"
	 "    headers : { X_Team = \"t\"; }; };\n"
	 "  llm_other : { plugin = \"llm_openai\"; enabled = true;\n"
	 "    base_url = \"%s/v1/\"; default_model = \"one\";\n"
	 "    models = [ \"one\", \"two\" ]; embedding_format = \"base64\";\n"
	 "    embedding_models = [ \"e:8\" ]; idle = \"1s\"; };\n"
	 "  llm_nokey : { plugin = \"llm_openai\"; enabled = true;\n"
	 "    base_url = \"%s/v1\"; default_model = \"stub\"; };\n"
	 "  toolkit_http : { enabled = true; allow = [ \"%s\" ];\n"
	 "    max_body = \"1k\"; };\n"
	 "  toolkit_shut : { plugin = \"toolkit_http\"; enabled = true; };\n"
	 "};\n";

static void
body_main(void *arg)
{
	void (*body)(void) = *(void (**)(void))arg;

	fiber_deadline_set(loop_now_ms(loop) + 60000);
	plug_start(plug);
	body();
	plug_stop(plug);
	loop_stop(loop);
}

static void
with_host(void (*body)(void), bool loopback)
{
	static const char *const dirs[] = { BUILD_DIR "/plugins", NULL };
	struct plug_services services = { .http = the_client };
	struct conf *conf = conf_new();
	struct buf text = { 0 };

	loop = loop_new();
	client = http_client_new(loop);
	services.home = loop;
	buf_printf(&text, config, base, base, base, base + strlen("http://"));
	conf_load_text(conf, "test", text.data, text.len);
	conf_set(conf, "plugins.llm_openai.api_key=env:STUB_KEY");
	conf_set(conf, "plugins.llm_other.api_key=env:STUB_KEY");
	if (plug_new(conf, dirs, &services, &plug) != AS_OK) {
		for (size_t i = 0; i < conf_problem_count(conf); i++)
			tap_note("%s", conf_problem(conf, i)->text);
		CU_FAIL("the configuration is refused");
	} else {
		plug_loopback(plug, loopback);
		plug_join(plug, loop);
		fiber_spawn(loop, "test", body_main, &body);
		loop_run(loop);
		loop_drain(loop);
	}
	plug_free(plug);
	http_client_free(client);
	loop_free(loop);
	conf_free(conf);
	buf_free(&text);
}

/* ---- A chat -------------------------------------------------------- */

struct said {
	enum as_status st;
	struct plug_chat_end end;
	struct buf text; /* deltas, see take() */
	char detail[256];
	char service[64];
	int64_t retry_after_ms;
	int64_t ms;
};

static enum as_status
take(void *arg, const struct as_delta *d)
{
	struct said *s = arg;

	switch (d->type) {
	case AS_DELTA_TEXT:
		buf_add(&s->text, d->text, d->len);
		break;
	case AS_DELTA_REASONING:
		buf_printf(&s->text, "<%.*s>", (int)d->len, d->text);
		break;
	case AS_DELTA_TOOL:
		buf_printf(&s->text, "[%u %s %s]", d->index, d->id, d->name);
		break;
	case AS_DELTA_ARGS:
		buf_printf(&s->text, "{%u %.*s}", d->index, (int)d->len,
		    d->text);
		break;
	default:
		break;
	}
	return AS_OK;
}

static const char *
text_of(const struct said *s)
{
	return s->text.data != NULL ? s->text.data : "";
}

static struct json_object *
json_of(const char *text)
{
	struct json_object *v = NULL;

	if (text != NULL)
		MUST(json_parse(text, strlen(text), &v, NULL) == AS_OK);
	return v;
}

static void
chat(const char *model, const char *messages, const char *tools,
    const char *settings, struct said *s)
{
	struct plug_caller who = {
		.traceparent = "00-0123456789abcdef0123456789abcdef-"
			       "0123456789abcdef-01"
	};
	struct plug_sink sink = { .arg = s, .delta = take };
	struct json_object *m = json_of(messages), *t = json_of(tools),
			   *o = json_of(settings != NULL ? settings : "{}");
	struct error err = { 0 };
	uint64_t began = loop_now_ms(loop);

	buf_reset(&s->text);
	s->st = plug_chat(plug, &who, model, m, t, o, &sink, &s->end, &err);
	s->ms = (int64_t)(loop_now_ms(loop) - began);
	snprintf(s->detail, sizeof(s->detail), "%s", err.detail);
	snprintf(s->service, sizeof(s->service), "%s", err.service);
	s->retry_after_ms = err.retry_after_ms;
	error_clear(&err);
	json_object_put(m);
	json_object_put(t);
	json_object_put(o);
}

#define HI \
	"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}" \
	"]}]"

static void
say_hi(struct said *s)
{
	chat("openai/stub", HI, NULL, NULL, s);
}

/* ---- The tests ----------------------------------------------------- */

static void
answers(void)
{
	struct said s = { 0 };

	script("[]");
	say_hi(&s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "You said: hi");
	CU_ASSERT_EQUAL(s.end.why, AS_END_TURN);
	CU_ASSERT_EQUAL(s.end.input, 9);
	CU_ASSERT_EQUAL(s.end.output, 3);
	CU_ASSERT_EQUAL(s.end.cached, 0);
	CU_ASSERT_EQUAL(s.end.reasoning, 0);

	script("[{\"text\":\"caf\xc3\xa9 \xf0\x9f\x98\x80 ok\",\"chop\":1},"
	       "{\"reasoning\":\"let me\",\"text\":\"x\","
	       "\"usage\":{\"prompt_tokens_details\":{\"cached_tokens\":4}}},"
	       "{\"refusal\":\"I will not\"},"
	       "{\"text\":\"a b\",\"finish\":\"length\",\"usage\":false},"
	       "{\"text\":\"a b\",\"no_done\":true},"
	       "{\"text\":\"a b\",\"whole\":true},"
	       "{\"text\":\"\",\"tokens\":[]}]");
	say_hi(&s);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "caf\xc3\xa9 \xf0\x9f\x98\x80 ok");
	say_hi(&s);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "<let>< me>x");
	CU_ASSERT_EQUAL(s.end.reasoning, 2);
	CU_ASSERT_EQUAL(s.end.cached, 4);
	say_hi(&s);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "I will not");
	CU_ASSERT_EQUAL(s.end.why, AS_END_REFUSED);
	say_hi(&s);
	CU_ASSERT_EQUAL(s.end.why, AS_END_LENGTH);
	CU_ASSERT_EQUAL(s.end.input, -1);
	for (int i = 0; i < 2; i++) {
		say_hi(&s);
		CU_ASSERT_EQUAL(s.st, AS_OK);
		CU_ASSERT_STRING_EQUAL(text_of(&s), "a b");
	}
	say_hi(&s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "");
	buf_free(&s.text);
}

#define TOOLS \
	"[{\"name\":\"a.b\",\"description\":\"d\"}," \
	"{\"name\":\"a_b\",\"input_schema\":{\"type\":\"object\"}}]"

static void
tools(void)
{
	struct said s = { 0 };

	script("[{\"text\":\"wait\",\"interleave\":true,\"tool_calls\":["
	       "{\"id\":\"c1\",\"name\":\"a_b\",\"args\":{\"x\":1}},"
	       "{\"id\":\"c2\",\"name\":\"a_b_2\",\"args\":{\"y\":22}}]},"
	       "{\"tool_calls\":[{\"id\":\"c1\",\"name\":\"a_b\"}],"
	       "\"finish\":\"stop\"},"
	       "{\"whole\":true,\"tool_calls\":[{\"name\":\"a_b\","
	       "\"args\":{\"z\":3}}]}]");
	chat("openai/stub", HI, TOOLS, NULL, &s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	CU_ASSERT_EQUAL(s.end.why, AS_END_TOOLS);
	CU_ASSERT_STRING_EQUAL(text_of(&s),
	    "wait[0 c1 a.b][1 c2 a_b]{0 {\"x\"}{1 {\"y\"}{0 :1}}{1 :22}}");
	chat("openai/stub", HI, TOOLS, NULL, &s);
	CU_ASSERT_EQUAL(s.end.why, AS_END_TOOLS);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "[0 c1 a.b]{0 {}{0 }}");
	chat("openai/stub", HI, TOOLS, NULL, &s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "[0 call_0 a.b]{0 {\"z\":3}}");
	buf_free(&s.text);
}

static void
history(void)
{
	static const char messages
	    [] = "[{\"role\":\"system\",\"content\":[{\"type\":\"text\","
		 "\"text\":\"be\"},{\"type\":\"text\",\"text\":\"kind\"}]},"
		 "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
		 "\"q\"},"
		 "{\"type\":\"hologram\"}]},"
		 "{\"role\":\"assistant\",\"content\":[{\"type\":\"reasoning\","
		 "\"text\":\"hm\"},{\"type\":\"text\",\"text\":\"so\"},"
		 "{\"type\":\"tool_call\",\"id\":\"1\",\"name\":\"a.b\","
		 "\"args\":{\"k\":[1]}},{\"type\":\"tool_call\",\"id\":\"2\","
		 "\"name\":\"a_b\",\"args\":{}}]},"
		 "{\"role\":\"tool\",\"content\":[{\"type\":\"tool_result\","
		 "\"id\":\"1\",\"text\":\"4\",\"is_error\":false},"
		 "{\"type\":\"tool_result\",\"id\":\"2\",\"text\":\"bad\","
		 "\"is_error\":true}]},"
		 "{\"role\":\"assistant\",\"content\":[]},"
		 "{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		 "\"text\":\"and?\"}]}]";
	static const char settings[] =
	    "{\"temperature\":0.5,\"max_tokens\":7,\"tool_choice\":\"a.b\","
	    "\"parallel_tools\":false,\"reasoning\":\"low\",\"seed\":1,"
	    "\"stop\":[\"x\"],\"response_schema\":{\"type\":\"object\"},"
	    "\"unheard_of\":1}";
	static const char want
	    [] = "[{\"role\":\"system\",\"content\":\"be\\nkind\"},"
		 "{\"role\":\"user\",\"content\":\"q\"},"
		 "{\"role\":\"assistant\",\"content\":\"so\",\"tool_calls\":["
		 "{\"id\":\"1\",\"type\":\"function\",\"function\":{"
		 "\"name\":\"a_b\",\"arguments\":\"{\\\"k\\\":[1]}\"}},"
		 "{\"id\":\"2\",\"type\":\"function\",\"function\":{"
		 "\"name\":\"a_b_2\",\"arguments\":\"{}\"}}]},"
		 "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"4\"},"
		 "{\"role\":\"tool\",\"tool_call_id\":\"2\","
		 "\"content\":\"Error: bad\"},"
		 "{\"role\":\"user\",\"content\":\"and?\"}]";
	struct json_object *log, *r, *body, *headers;
	struct said s = { 0 };

	script("[]");
	chat("openai/stub", messages, TOOLS, settings, &s);
	CU_ASSERT_EQUAL(s.st, AS_OK);
	log = stub_ask("/_log", NULL);
	r = json_object_array_get_idx(jget(log, "requests"), 0);
	body = jget(r, "body");
	headers = jget(r, "headers");
	CU_ASSERT_STRING_EQUAL(json_text(jget(body, "messages")), want);
	CU_ASSERT_STRING_EQUAL(jget_str(body, "model", ""), "stub");
	CU_ASSERT_EQUAL(jget_int(body, "max_tokens", 0), 7);
	CU_ASSERT_STRING_EQUAL(json_text(jget(body, "tool_choice")),
	    "{\"type\":\"function\",\"function\":{\"name\":\"a_b\"}}");
	CU_ASSERT(!jget_bool(body, "parallel_tool_calls", true));
	CU_ASSERT_STRING_EQUAL(jget_str(body, "reasoning_effort", ""), "low");
	CU_ASSERT_PTR_NULL(jget(body, "unheard_of"));
	CU_ASSERT_STRING_EQUAL(jget_str(headers, "authorization", ""),
	    "Bearer sesame");
	CU_ASSERT_STRING_EQUAL(jget_str(headers, "openai-organization", ""),
	    "org");
	CU_ASSERT_STRING_EQUAL(jget_str(headers, "x_team", ""), "t");
	CU_ASSERT_EQUAL(strncmp(jget_str(headers, "traceparent", ""),
			    "00-0123456789abcdef", 19),
	    0);
	json_object_put(log);
	buf_free(&s.text);
}

/* Waiting is the host's to plan, with what the server asked for. */
static void
refusals(void)
{
	struct said s = { 0 };

	script("[{\"status\":429,\"retry_after\":\"0.01\"},"
	       "{\"status\":503,\"headers\":{\"retry-after-ms\":\"1\"}}]");
	say_hi(&s);
	CU_ASSERT_EQUAL(s.st, AS_BUSY);
	CU_ASSERT_EQUAL(s.retry_after_ms, 10);
	CU_ASSERT_EQUAL(n_requests(), 1);
	say_hi(&s);
	CU_ASSERT_EQUAL(s.st, AS_UNAVAILABLE);
	CU_ASSERT_EQUAL(s.retry_after_ms, 1);
	CU_ASSERT_EQUAL(n_requests(), 2);

	/* What waiting does not help. */
	script("[{\"status\":400,\"error\":{\"message\":\"no such thing\"}},"
	       "{\"status\":429,\"error\":{\"message\":\"pay\","
	       "\"code\":\"insufficient_quota\"}}]");
	say_hi(&s);
	CU_ASSERT_EQUAL(s.st, AS_UPSTREAM);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.detail, "no such thing"));
	CU_ASSERT_EQUAL(n_requests(), 1);
	say_hi(&s);
	CU_ASSERT_EQUAL(s.st, AS_LIMIT);
	CU_ASSERT_EQUAL(n_requests(), 2);

	chat("nokey/stub", HI, NULL, NULL, &s);
	CU_ASSERT_EQUAL(s.st, AS_UPSTREAM);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.detail, "Incorrect API key"));
	buf_free(&s.text);
}

/* What has come is passed on, and nothing is tried again. */
static void
broken(void)
{
	static const struct {
		const char *turns;
		enum as_status st;
		const char *text;
	} cases[] = {
		{ "[{\"text\":\"a b c\",\"error_after\":2}]", AS_UNAVAILABLE,
		    "a b" },
		{ "[{\"text\":\"a b "
		  "c\",\"disconnect_after\":2,\"delay_ms\":30}]",
		    AS_UPSTREAM, "a b" },
		{ "[{\"text\":\"a b c\",\"end_after\":2}]", AS_UPSTREAM,
		    "a b" },
		{ "[{\"text\":\"a b c\",\"end_after\":0}]", AS_UPSTREAM, "" },
		{ "[{\"text\":\"a b c\",\"error_after\":0,\"error\":{"
		  "\"message\":\"m\",\"code\":\"odd\"}}]",
		    AS_UPSTREAM, "" },
		{ "[{\"text\":\"a\",\"error_after\":0}]", AS_UNAVAILABLE, "" },
	};
	struct said s = { 0 };

	for (size_t i = 0; i < N_ITEMS(cases); i++) {
		script(cases[i].turns);
		say_hi(&s);
		if (s.st != cases[i].st)
			tap_note("%zu: %d %s", i, s.st, s.detail);
		CU_ASSERT_EQUAL(s.st, cases[i].st);
		CU_ASSERT_STRING_EQUAL(text_of(&s), cases[i].text);
		CU_ASSERT_EQUAL(n_requests(), 1);
	}
	buf_free(&s.text);
}

/* Servers that take the protocol lightly. */
#define DELTA(delta) "data: {\"choices\":[{\"delta\":" delta "}]}\n\n"
#define FINISH "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"
#define CALL(inner) DELTA("{\"tool_calls\":[{" inner "}]}")

static void
odd_streams(void)
{
	static const struct {
		const char *stream;
		enum as_status st;
		const char *text;
	} cases[] = {
		{ ": hi\r\n\r\ndata:{\"choices\":[]}\r\n\r\n"
		  "event: x\ndata: {\"choices\":[{\"delta\":{\"content\":"
		  "\"a\",\"new\":[1]},\"finish_reason\":null}],"
		  "\"usage\":null}\n\n" FINISH,
		    AS_OK, "a" },
		{ DELTA("{\"content\":null,\"reasoning\":\"r\"}")
			DELTA("{\"content\":\"a\"}") "data: [DONE]\n\n",
		    AS_OK, "<r>a" },
		/* No index; one index for two calls; no id; an object. */
		{ CALL("\"id\":\"1\",\"function\":{\"name\":\"f\","
		       "\"arguments\":{\"x\":1}}") FINISH,
		    AS_OK, "[0 1 f]{0 {\"x\":1}}" },
		{ CALL("\"index\":0,\"id\":\"1\",\"function\":{\"name\":"
		       "\"f\",\"arguments\":\"{}\"}")
			CALL("\"index\":0,\"id\":\"2\",\"function\":{"
			     "\"name\":\"g\",\"arguments\":\"{}\"}") FINISH,
		    AS_OK, "[0 1 f]{0 {}}[1 2 g]{1 {}}" },
		{ CALL("\"index\":0,\"id\":\"1\",\"function\":{\"name\":"
		       "\"f\",\"arguments\":\"{\"}")
			CALL("\"index\":0,\"id\":\"1\",\"function\":{"
			     "\"name\":\"f\",\"arguments\":\"}\"}") FINISH,
		    AS_OK, "[0 1 f]{0 {}{0 }}" },
		{ CALL("\"index\":0,\"function\":{\"arguments\":\"{}\"}"),
		    AS_UPSTREAM, "" },
		{ "data: hello\n\n", AS_UPSTREAM, "" },
		{ "data: {\"error\":\"no\"}\n\n", AS_UPSTREAM, "" },
		{ "data: {\"choices\":[{\"delta\":\n\n", AS_UPSTREAM, "" },
		{ "data: [DONE]\n\n", AS_UPSTREAM, "" },
		{ "<html>", AS_UPSTREAM, "" },
	};
	struct said s = { 0 };

	for (size_t i = 0; i < N_ITEMS(cases); i++) {
		struct json_object *turn = jobj(), *list = jarr(),
				   *raw = jarr();

		json_object_array_add(raw,
		    json_object_new_string(cases[i].stream));
		jput(turn, "raw", raw);
		json_object_array_add(list, turn);
		script(json_text(list));
		json_object_put(list);
		say_hi(&s);
		if (s.st != cases[i].st)
			tap_note("%zu: %d %s", i, s.st, s.detail);
		CU_ASSERT_EQUAL(s.st, cases[i].st);
		CU_ASSERT_STRING_EQUAL(text_of(&s), cases[i].text);
	}
	buf_free(&s.text);
}

static void
hi_fiber(void *arg)
{
	fiber_deadline_set(loop_now_ms(loop) + 60000);
	say_hi(arg);
}

static void
endless(void)
{
	struct said s = { 0 };
	struct fiber_ref f;
	uint64_t old;

	script("[{\"text\":\"a b\",\"hang_after\":1},{\"hang_after\":-1},"
	       "{\"text\":\"a b\",\"hang_after\":1}]");
	f = fiber_spawn(loop, "hi", hi_fiber, &s);
	json_object_put(stub_ask("/_wait?pieces=1", NULL));
	fiber_cancel(f);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(s.st, AS_CANCELED);
	json_object_put(stub_ask("/_wait?aborted=1", NULL));

	old = fiber_deadline_set(loop_now_ms(loop) + 300);
	say_hi(&s);
	fiber_deadline_set(old);
	CU_ASSERT_EQUAL(s.st, AS_TIMEOUT);
	json_object_put(stub_ask("/_wait?aborted=2", NULL));

	chat("other/two", HI, NULL, NULL, &s); /* idle = 1s */
	CU_ASSERT_EQUAL(s.st, AS_TIMEOUT);
	CU_ASSERT_STRING_EQUAL(text_of(&s), "a");
	json_object_put(stub_ask("/_wait?aborted=3", NULL));
	buf_free(&s.text);
}

static void
embeds(void)
{
	static const char *const texts[] = { "abc", "abcdefgh", "i" };
	static const char *const models[] = { "openai/text-embedding-3-small",
		"other/e" };
	struct error err = { 0 };

	script("[]");
	for (size_t i = 0; i < N_ITEMS(models); i++) {
		float *v = NULL;
		uint32_t dim = 0;

		CU_ASSERT_EQUAL(plug_embed(plug, NULL, models[i], texts, 3,
				    false, &v, &dim, &err),
		    AS_OK);
		if (err.code != ERR_NONE)
			tap_note("%s", err.detail);
		CU_ASSERT_EQUAL(dim, 8);
		if (v != NULL && dim == 8) {
			CU_ASSERT(v['a' % 8] == 1 && v['d' % 8] == 0);
			CU_ASSERT(v[8] == 1 && v[15] == 1);
			CU_ASSERT(v[16 + 'i' % 8] == 1 && v[16] == 0);
		}
		free(v);
		error_clear(&err);
	}
}

static enum as_status
embed_once(void)
{
	static const char *const texts[] = { "abc" };
	struct error err = { 0 };
	float *v = NULL;
	uint32_t dim = 0;
	enum as_status st = plug_embed(plug, NULL,
	    "openai/text-embedding-3-small", texts, 1, false, &v, &dim, &err);

	free(v);
	error_clear(&err);
	return st;
}

/* No run plans these again: the plugin does, within the deadline. */
static void
retries(void)
{
	uint64_t old;

	script("[{\"status\":429,\"retry_after\":\"0.01\"},"
	       "{\"status\":503,\"headers\":{\"retry-after-ms\":\"1\"}}]");
	CU_ASSERT_EQUAL(embed_once(), AS_OK);
	CU_ASSERT_EQUAL(n_requests(), 3);

	script("[{\"status\":429,\"retry_after\":\"0.01\",\"times\":9}]");
	CU_ASSERT_EQUAL(embed_once(), AS_BUSY);
	CU_ASSERT_EQUAL(n_requests(), 3);

	/* Too long to sit it out. */
	script("[{\"status\":429,\"retry_after\":60}]");
	CU_ASSERT_EQUAL(embed_once(), AS_BUSY);
	CU_ASSERT_EQUAL(n_requests(), 1);

	/* Nor is it waited for beyond the deadline. */
	old = fiber_deadline_set(loop_now_ms(loop) + 2000);
	script("[{\"status\":429,\"retry_after\":10}]");
	CU_ASSERT_EQUAL(embed_once(), AS_BUSY);
	fiber_deadline_set(old);
	CU_ASSERT_EQUAL(n_requests(), 1);
}

static bool
has_model(const char *id, uint32_t dim)
{
	const struct plug_model_info *m = plug_model_find(plug, id);

	return m != NULL && m->dim == dim;
}

static void
lists(void)
{
	CU_ASSERT(has_model("openai/stub", 0));
	CU_ASSERT(has_model("openai/stub-2", 0));
	CU_ASSERT(has_model("openai/text-embedding-3-small", 1536));
	CU_ASSERT(has_model("other/one", 0));
	CU_ASSERT(has_model("other/two", 0));
	CU_ASSERT(has_model("other/e", 8));
	CU_ASSERT(!has_model("other/stub", 0));
	CU_ASSERT(has_model("nokey/stub", 0));
}

static struct json_object *
tool(const char *name, const char *path, const char *more, struct error *err)
{
	struct json_object *args, *result = NULL;
	struct buf text = { 0 };
	struct plug_caller who = { 0 };

	error_clear(err);
	buf_printf(&text, "{\"url\":\"%s%s\"%s}", base, path, more);
	args = json_of(text.data);
	(void)plug_tool_call(plug, &who, name, args, NULL, &result, err);
	json_object_put(args);
	buf_free(&text);
	return result;
}

#define LATIN "un caf\xef\xbf\xbd, s'il vous pla\xef\xbf\xbdt"

static void
requests(void)
{
	static const struct {
		const char *path, *body;
		int status;
		bool truncated;
	} cases[] = {
		{ "/hello", "hello from the stub\n", 200, false },
		{ "/latin", LATIN, 200, false },
		{ "/gone", "{\"error\":\"gone\"}", 404, false },
		{ "/bytes", NULL, 200, false },
	};
	struct error err = { 0 };
	struct json_object *r, *echo;
	const char *body;

	for (size_t i = 0; i < N_ITEMS(cases); i++) {
		r = tool("http_request", cases[i].path, "", &err);
		CU_ASSERT_EQUAL(jget_int(r, "status", 0), cases[i].status);
		body = jget_str(r, "body", NULL);
		if (cases[i].body == NULL)
			CU_ASSERT_PTR_NULL(body)
		else
			CU_ASSERT_STRING_EQUAL(body != NULL ? body : "",
			    cases[i].body);
		CU_ASSERT_EQUAL(jget_bool(r, "truncated", true),
		    cases[i].truncated);
		CU_ASSERT_PTR_NULL(jget(jget(r, "headers"), "set-cookie"));
		/* Sent as Latin-1: each byte of it became three. */
		body = jget_str(jget(r, "headers"), "x-long", "");
		CU_ASSERT_EQUAL(strlen(body), 3 + 498 + 3);
		CU_ASSERT_EQUAL(strncmp(body, "a, \xef\xbf\xbd", 6), 0);
		json_object_put(r);
	}
	r = tool("http_request", "/long", "", &err);
	CU_ASSERT(jget_bool(r, "truncated", false));
	CU_ASSERT_EQUAL(strlen(jget_str(r, "body", "")), 1023); /* no half */
	json_object_put(r);

	r = tool("http_request", "/echo",
	    ",\"method\":\"PUT\",\"body\":{\"a\":1},\"headers\":{\"X-A\":"
	    "\"b\"}",
	    &err);
	echo = json_of(jget_str(r, "body", "{}"));
	CU_ASSERT_STRING_EQUAL(jget_str(echo, "method", ""), "PUT");
	CU_ASSERT_STRING_EQUAL(jget_str(echo, "body", ""), "{\"a\":1}");
	CU_ASSERT_STRING_EQUAL(jget_str(jget(echo, "headers"), "content-type",
				   ""),
	    "application/json");
	CU_ASSERT_STRING_EQUAL(jget_str(jget(echo, "headers"), "x-a", ""), "b");
	json_object_put(echo);
	json_object_put(r);

	r = tool("shut_request", "/hello", "", &err);
	CU_ASSERT_PTR_NULL(r);
	CU_ASSERT_EQUAL(err.code, ERR_FORBIDDEN);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(err.detail, "plugins.toolkit_shut.allow"));
	r = tool("http_request", "/hello", ",\"headers\":{\"Host\":\"x\"}",
	    &err);
	CU_ASSERT_PTR_NULL(r);
	CU_ASSERT_EQUAL(error_status(err.code), AS_INVALID);
	r = tool("http_request", "/hello", ",\"method\":\"BREW\"", &err);
	CU_ASSERT_PTR_NULL(r);
	CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	error_clear(&err);
}

#define TEST(body) \
	static void test_##body(void) \
	{ \
		with_host(body, false); \
		with_host(body, true); \
	}
TEST(answers)
TEST(tools)
TEST(history)
TEST(refusals)
TEST(broken)
TEST(odd_streams)
TEST(endless)
TEST(embeds)
TEST(retries)
TEST(lists)
TEST(requests)

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "answers", test_answers },
		{ "tool calls", test_tools },
		{ "what is sent", test_history },
		{ "refusals", test_refusals },
		{ "broken streams", test_broken },
		{ "odd streams", test_odd_streams },
		{ "cancel and silence", test_endless },
		{ "embeddings", test_embeds },
		{ "embeddings that are refused", test_retries },
		{ "models", test_lists },
		{ "toolkit_http", test_requests },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "llm_openai", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	int rc;

	signal(SIGPIPE, SIG_IGN);
	setenv("STUB_KEY", "sesame", 1);
	if (!stub_start()) {
		puts(getenv("CI") != NULL ? "Bail out! there is no node"
					  : "1..0 # SKIP there is no node");
		return 0;
	}
	rc = tap_run(suites);
	stub_stop();
	return rc;
}
