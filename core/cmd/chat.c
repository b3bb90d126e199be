/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/options.h"
#include "core/net/http_client.h"
#include "core/net/sse_parser.h"

/*
 * "agent-studio chat": a client of the public API in a terminal.  Nothing else
 * runs on its loop, so it may wait for the keyboard.
 */

static const char usage[] =
    "usage: agent-studio chat [--url URL] --email EMAIL [--password PASSWORD]\n"
    "       [--signup] [--agent ID | --toolkits a,b]\n"
    "The password may also be in AGENT_STUDIO_PASSWORD.  Without --agent a "
    "new\n"
    "agent is made with the toolkits, calculator and clock if none are "
    "given.\nAn empty line ends the chat.\n";

struct chat {
	struct loop *loop;
	struct http_client *http;
	const char *url, *email, *password, *agent, *toolkits;
	char *token, *thread, *new_agent;
	bool signup;
	int exit_code;
};

/* Sends body; the answer's stream is the caller's to close. */
static SUSPENDS enum as_status
chat_open(struct chat *c, const char *path, struct json_object *body,
    struct http_stream **out, struct error *err)
{
	char *url = xasprintf("%s%s", c->url, path);
	char *auth = xasprintf("Bearer %s", c->token != NULL ? c->token : "");
	const char *headers[] = { "content-type", "application/json",
		c->token != NULL ? "authorization" : NULL, auth, NULL };
	struct http_request req = { .method = "POST",
		.url = url,
		.headers = headers,
		.body = json_text(body),
		.trust = HTTP_TRUSTED,
		.idle_ms = 120000 };
	enum as_status st;

	req.body_len = strlen(req.body);
	fiber_deadline_set(loop_now_ms(c->loop) + 1000 * 60 * 60);
	st = http_open(c->http, &req, out, err);
	free(url);
	free(auth);
	json_object_put(body);
	return st;
}

/* The answer's object, or NULL once its error has been told. */
static SUSPENDS struct json_object *
chat_answer(struct http_stream *s, const char *what)
{
	struct json_object *answer = NULL;
	struct error err = { 0 };
	char *text = NULL;
	size_t len = 0;

	if (http_read_all(s, &text, &len, &err) != AS_OK ||
	    json_parse(text, len, &answer, &err) != AS_OK)
		fprintf(stderr, "%s: %s\n", what, err.detail);
	else if (http_head(s)->status >= 300) {
		fprintf(stderr, "%s: %s (%s)\n", what,
		    jget_str(answer, "detail", ""),
		    jget_str(answer, "code", ""));
		json_object_put(answer);
		answer = NULL;
	}
	free(text);
	error_clear(&err);
	return answer;
}

static SUSPENDS struct json_object *
chat_post(struct chat *c, const char *path, struct json_object *body)
{
	struct http_stream *s = NULL;
	struct json_object *answer = NULL;
	struct error err = { 0 };

	if (chat_open(c, path, body, &s, &err) == AS_OK)
		answer = chat_answer(s, path);
	else
		fprintf(stderr, "%s: %s\n", path, err.detail);
	http_close(s);
	error_clear(&err);
	return answer;
}

/* ---- One turn ------------------------------------------------------ */

static enum as_status
on_event(const struct sse_event *ev, void *arg)
{
	struct json_object *o = NULL, *v;

	(void)arg;
	if (json_parse(ev->data, ev->data_len, &o, NULL) != AS_OK)
		return AS_OK;
	if (strcmp(ev->name, "message_delta") == 0)
		fputs(jget_str(o, "delta", ""), stdout);
	else if (strcmp(ev->name, "message_reset") == 0)
		printf("\n[it starts again]\n");
	else if (strcmp(ev->name, "tool_call") == 0)
		printf("[%s %s]\n", jget_str(o, "name", ""),
		    json_text(jget(o, "args")));
	else if (strcmp(ev->name, "tool_result") == 0) {
		v = jget(o,
		    jget_bool(o, "is_error", false) ? "error" : "result");
		printf("[= %s]\n", json_text(v));
	} else if (strcmp(ev->name, "run_status") == 0 &&
		   (v = jget(o, "error")) != NULL)
		printf("\n[%s: %s]", jget_str(v, "code", ""),
		    jget_str(v, "message", ""));
	fflush(stdout);
	json_object_put(o);
	return AS_OK;
}

static SUSPENDS void
chat_turn(struct chat *c, const char *line)
{
	struct http_stream *s = NULL;
	struct json_object *body = jobj();
	struct error err = { 0 };
	struct sse_parser parser;
	char buf[2048];
	size_t n = 1;

	jput_str(body, "thread_id", c->thread);
	jput_str(body, "content", line);
	sse_parser_init(&parser, 8 * 1024 * 1024);
	if (chat_open(c, "/api/chat/interactive/stream", body, &s, &err) ==
		AS_OK &&
	    http_head(s)->status >= 300)
		json_object_put(chat_answer(s, "message"));
	else
		while (s != NULL &&
		       http_read(s, buf, sizeof(buf), &n, &err) == AS_OK &&
		       n > 0)
			sse_parser_feed(&parser, buf, n, on_event, NULL);
	if (err.code != ERR_NONE)
		fprintf(stderr, "message: %s", err.detail);
	printf("\n");
	sse_parser_free(&parser);
	http_close(s);
	error_clear(&err);
}

/* ---- Who, with whom ------------------------------------------------ */

static SUSPENDS bool
chat_log_in(struct chat *c)
{
	struct json_object *body = jobj(), *session;

	jput_str(body, "email", c->email);
	jput_str(body, "password", c->password);
	session = chat_post(c,
	    c->signup ? "/api/auth/signup" : "/api/auth/login", body);
	if (session != NULL)
		c->token = xstrdup(jget_str(session, "access_token", ""));
	json_object_put(session);
	return c->token != NULL;
}

static SUSPENDS bool
chat_begin(struct chat *c)
{
	struct json_object *body = jobj(), *slugs = jarr(), *o;
	char *words = xstrdup(c->toolkits), *rest = words, *word;

	while ((word = strsep(&rest, ",")) != NULL)
		if (word[0] != '\0')
			json_object_array_add(slugs,
			    json_object_new_string(word));
	free(words);
	jput_str(body, "name", "Terminal");
	jput(body, "toolkits", slugs);
	if (c->agent == NULL) {
		o = chat_post(c, "/api/agents/", body);
		if (o != NULL)
			c->agent = c->new_agent = xstrdup(
			    jget_str(o, "id", ""));
		json_object_put(o);
		if (c->agent == NULL)
			return false;
	} else
		json_object_put(body);
	body = jobj();
	jput_str(body, "agent_id", c->agent);
	o = chat_post(c, "/api/chat/sessions", body);
	c->thread = o != NULL ? xstrdup(jget_str(o, "id", "")) : NULL;
	json_object_put(o);
	return c->thread != NULL;
}

static SUSPENDS void
chat_main(void *arg)
{
	struct chat *c = arg;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (chat_log_in(c) && chat_begin(c)) {
		c->exit_code = EXIT_SUCCESS;
		for (;;) {
			printf("> ");
			fflush(stdout);
			n = getline(&line, &size, stdin);
			if (n > 0 && line[n - 1] == '\n')
				line[--n] = '\0';
			if (n <= 0)
				break;
			chat_turn(c, line);
		}
	}
	free(line);
	loop_stop(c->loop);
}

int
cmd_chat(int argc, char **argv)
{
	struct chat c = { .url = "http://127.0.0.1:8080",
		.toolkits = "calculator,clock",
		.exit_code = EXIT_FAILURE };
	const struct option_own own[] = { { "url", &c.url, NULL },
		{ "email", &c.email, NULL }, { "password", &c.password, NULL },
		{ "agent", &c.agent, NULL }, { "toolkits", &c.toolkits, NULL },
		{ "signup", NULL, &c.signup }, { NULL, NULL, NULL } };
	struct options options;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	if (!options_no_words(&options, argv[0])) {
		options_free(&options);
		return options.status;
	}
	if (c.password == NULL)
		c.password = getenv("AGENT_STUDIO_PASSWORD");
	if (c.email == NULL || c.password == NULL) {
		fputs("agent-studio chat: --email and --password or "
		      "AGENT_STUDIO_PASSWORD are needed; see --help\n",
		    stderr);
		options_free(&options);
		return 2;
	}
	MUST(sodium_init() >= 0);
	log_configure("error");
	c.loop = loop_new();
	c.http = http_client_new(c.loop);
	MUST(fiber_spawn(c.loop, "chat", chat_main, &c).f != NULL);
	loop_run(c.loop);
	loop_drain(c.loop);
	http_client_free(c.http);
	loop_free(c.loop);
	free(c.token);
	free(c.thread);
	free(c.new_agent);
	options_free(&options);
	return c.exit_code;
}
