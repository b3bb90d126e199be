/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/client.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#define HOUR_MS (1000 * 60 * 60)

SUSPENDS enum as_status
client_open(struct client *c, const char *method, const char *path,
    struct json_object *body, struct http_stream **out, struct error *err)
{
	char *url = xasprintf("%s%s", c->url, path);
	char *auth = xasprintf("Bearer %s", c->token != NULL ? c->token : "");
	const char *headers[] = { "content-type", "application/json",
		c->token != NULL ? "authorization" : NULL, auth, NULL };
	struct http_request req = { .method = method,
		.url = url,
		.headers = headers,
		.trust = HTTP_TRUSTED,
		.idle_ms = 120000 };
	enum as_status st;

	if (body != NULL) {
		req.body = json_text(body);
		req.body_len = strlen(req.body);
	}
	fiber_deadline_set(loop_now_ms(c->loop) + HOUR_MS);
	st = http_open(c->http, &req, out, err);
	free(url);
	free(auth);
	json_object_put(body);
	return st;
}

void
client_print_list(struct json_object *list)
{
	size_t n = json_object_is_type(list, json_type_array)
		       ? json_object_array_length(list)
		       : 0;

	for (size_t i = 0; i < n; i++)
		printf("%s%s", i > 0 ? ", " : "",
		    json_object_get_string(json_object_array_get_idx(list, i)));
}

/* The detail has it, too, but not by field. */
static void
tell_refusal(const char *what, struct json_object *answer)
{
	struct json_object *details = jget(answer, "details");

	fprintf(stderr, "%s: %s (%s)\n", what, jget_str(answer, "detail", ""),
	    jget_str(answer, "code", ""));
	if (details != NULL)
		fprintf(stderr, "  %s\n", json_text(details));
}

SUSPENDS struct json_object *
client_answer(struct http_stream *s, const char *what)
{
	struct json_object *answer = NULL;
	struct error err = { 0 };
	char *text = NULL;
	size_t len = 0;

	if (http_read_all(s, &text, &len, &err) != AS_OK ||
	    json_parse(text, len, &answer, &err) != AS_OK)
		fprintf(stderr, "%s: %s\n", what, err.detail);
	else if (http_head(s)->status >= 300) {
		tell_refusal(what, answer);
		json_object_put(answer);
		answer = NULL;
	}
	free(text);
	error_clear(&err);
	return answer;
}

SUSPENDS struct json_object *
client_call(struct client *c, const char *method, const char *path,
    struct json_object *body)
{
	struct http_stream *s = NULL;
	struct json_object *answer = NULL;
	struct error err = { 0 };

	if (client_open(c, method, path, body, &s, &err) == AS_OK)
		answer = client_answer(s, path);
	else
		fprintf(stderr, "%s: %s\n", path, err.detail);
	http_close(s);
	error_clear(&err);
	return answer;
}

static SUSPENDS bool
log_in(struct client *c)
{
	struct json_object *body = jobj(), *session;

	jput_str(body, "email", c->email);
	jput_str(body, "password", c->password);
	session = client_call(c, "POST",
	    c->signup ? "/api/auth/signup" : "/api/auth/login", body);
	if (session != NULL)
		c->token = xstrdup(jget_str(session, "access_token", ""));
	json_object_put(session);
	return c->token != NULL;
}

bool
client_is_ready(struct client *c, const char *command)
{
	if (c->password == NULL)
		c->password = getenv("AGENT_STUDIO_PASSWORD");
	if (c->email != NULL && c->password != NULL)
		return true;
	fprintf(stderr,
	    "agent-studio %s: --email and --password or AGENT_STUDIO_PASSWORD "
	    "are needed; see --help\n",
	    command);
	return false;
}

struct main_arg {
	struct client *client;
	SUSPENDS bool (*talk)(void *arg);
	void *arg;
	bool ok;
};

static SUSPENDS void
client_main(void *arg)
{
	struct main_arg *m = arg;

	m->ok = log_in(m->client) && m->talk(m->arg);
	loop_stop(m->client->loop);
}

int
client_run(struct client *c, SUSPENDS bool (*talk)(void *arg), void *arg)
{
	struct main_arg m = { .client = c, .talk = talk, .arg = arg };

	MUST(sodium_init() >= 0);
	log_configure("error");
	c->loop = loop_new();
	c->http = http_client_new(c->loop);
	MUST(fiber_spawn(c->loop, "client", client_main, &m).f != NULL);
	loop_run(c->loop);
	loop_drain(c->loop);
	http_client_free(c->http);
	loop_free(c->loop);
	free(c->token);
	return m.ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
