/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_CLIENT_H
#define CORE_CMD_CLIENT_H

/*
 * A client of the public API, for subcommands that talk to a server which is
 * running.  What goes wrong is told on standard error.  Nothing else runs on
 * its loop, so a command may wait for the keyboard.
 */

#include "core/base/json.h"
#include "core/net/http_client.h"

struct client {
	struct loop *loop;
	struct http_client *http;
	const char *url, *email, *password;
	bool signup; /* make the account first */
	char *token;
};

#define CLIENT_URL "http://127.0.0.1:8080"

/* The rows of a table of struct option_own. */
#define CLIENT_OPTIONS(c) \
	{ "url", &(c)->url, NULL }, { "email", &(c)->email, NULL }, \
	{ \
		"password", &(c)->password, NULL \
	}

/* The password may be in the environment.  False: told, exit with 2. */
bool client_is_ready(struct client *c, const char *command);
/*
 * Logs in, then runs talk on a fiber until it returns; gives the status to exit
 * with: 0 if that was true.
 */
int client_run(struct client *c, SUSPENDS bool (*talk)(void *arg), void *arg);

/*
 * Sends body, which is consumed and may be NULL.  *out is the caller's to
 * close, also after a failure, unless it is NULL.
 */
SUSPENDS enum as_status client_open(struct client *c, const char *method,
    const char *path, struct json_object *body, struct http_stream **out,
    struct error *err);
/* The answer's object, the caller's to put; NULL: what said so is `what`. */
SUSPENDS struct json_object *client_answer(struct http_stream *s,
    const char *what);
/* Both. */
SUSPENDS struct json_object *client_call(struct client *c, const char *method,
    const char *path, struct json_object *body);

/* Strings with commas between, on standard output; NULL: nothing. */
void client_print_list(struct json_object *list);

#endif
