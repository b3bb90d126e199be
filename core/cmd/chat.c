/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/cmd/client.h"
#include "core/cmd/cmd.h"
#include "core/cmd/options.h"
#include "core/net/sse_parser.h"

/* "agent-studio chat": a conversation in a terminal. */

static const char usage[] =
    "usage: agent-studio chat [--url URL] --email EMAIL [--password PASSWORD]\n"
    "       [--signup] [--agent ID | --toolkits a,b]\n"
    "The password may also be in AGENT_STUDIO_PASSWORD.  Without --agent a "
    "new\n"
    "agent is made with the toolkits, calculator and clock if none are "
    "given.\nAn empty line ends the chat.\n";

struct chat {
	struct client client;
	const char *agent, *toolkits;
	char *thread, *new_agent;
};

/* ---- One turn ------------------------------------------------------ */

/* A run has failed, or waits: for its time, or for a person. */
static void
print_trouble(struct json_object *status)
{
	struct json_object *error = jget(status, "error");
	const char *state = jget_str(status, "state", "");

	printf("\n[%s: %s]", jget_str(error, "code", ""),
	    jget_str(error, "message", ""));
	if (strcmp(state, "waiting_timer") == 0)
		printf("\n[again in %.1f s]",
		    (double)jget_int(status, "in_ms", 0) / 1000);
	if (strcmp(state, "recoverable_error") != 0)
		return;
	printf("\n[run %s waits; ", jget_str(status, "run_id", ""));
	client_print_list(jget(error, "actions"));
	printf(": see agent-studio runs; the next message ends it]");
}

/*
 * The first event tells the run of the message.  What others say in the thread
 * while it waits for its turn is not the answer to it.
 */
static bool
is_ours(char run[UUID_TEXT], struct json_object *o)
{
	const char *id = jget_str(o, "run_id", "");

	if (run[0] == '\0')
		snprintf(run, UUID_TEXT, "%s", id);
	return strcmp(run, id) == 0;
}

static enum as_status
on_event(const struct sse_event *ev, void *arg)
{
	struct json_object *o = NULL, *v;

	if (json_parse(ev->data, ev->data_len, &o, NULL) != AS_OK)
		return AS_OK;
	if (!is_ours(arg, o)) {
		json_object_put(o);
		return AS_OK;
	}
	if (strcmp(jget_str(o, "state", ""), "blocked") == 0)
		printf("[another run is at work; this one is number %lld]\n",
		    (long long)jget_int(o, "position", 1));
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
		   jget(o, "error") != NULL)
		print_trouble(o);
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
	char buf[2048], run[UUID_TEXT] = "";
	size_t n = 1;

	jput_str(body, "thread_id", c->thread);
	jput_str(body, "content", line);
	sse_parser_init(&parser, 8 * 1024 * 1024);
	if (client_open(&c->client, "POST", "/api/chat/interactive/stream",
		body, &s, &err) == AS_OK &&
	    http_head(s)->status >= 300)
		json_object_put(client_answer(s, "message"));
	else
		while (s != NULL &&
		       http_read(s, buf, sizeof(buf), &n, &err) == AS_OK &&
		       n > 0)
			sse_parser_feed(&parser, buf, n, on_event, run);
	if (err.code != ERR_NONE)
		fprintf(stderr, "message: %s", err.detail);
	printf("\n");
	sse_parser_free(&parser);
	http_close(s);
	error_clear(&err);
}

/* ---- Who, with whom ------------------------------------------------ */

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
		o = client_call(&c->client, "POST", "/api/agents/", body);
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
	o = client_call(&c->client, "POST", "/api/chat/sessions", body);
	c->thread = o != NULL ? xstrdup(jget_str(o, "id", "")) : NULL;
	json_object_put(o);
	return c->thread != NULL;
}

static SUSPENDS bool
chat_main(void *arg)
{
	struct chat *c = arg;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!chat_begin(c))
		return false;
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
	free(line);
	return true;
}

int
cmd_chat(int argc, char **argv)
{
	struct chat c = { .client.url = CLIENT_URL,
		.toolkits = "calculator,clock" };
	const struct option_own own[] = { CLIENT_OPTIONS(&c.client),
		{ "agent", &c.agent, NULL }, { "toolkits", &c.toolkits, NULL },
		{ "signup", NULL, &c.client.signup }, { NULL, NULL, NULL } };
	struct options options;
	int status = 2;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	if (options_no_words(&options, argv[0]) &&
	    client_is_ready(&c.client, argv[0]))
		status = client_run(&c.client, chat_main, &c);
	free(c.thread);
	free(c.new_agent);
	options_free(&options);
	return status;
}
