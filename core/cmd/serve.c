/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/auth/auth.h"
#include "core/auth/seal.h"
#include "core/cmd/cmd.h"
#include "core/cmd/command.h"
#include "core/cmd/database.h"
#include "core/cmd/node.h"
#include "core/cmd/systemd.h"

/*
 * "agent-studio serve": read the configuration, open the database, bring its
 * schema up to date, then run (node.c).
 */

static const char usage
    [] = "usage: agent-studio serve [--conf DIR] [--data DIR] [--port N]\n"
	 "       [--log-level LEVELS] [--set PATH=VALUE]\n"
	 "Runs in the foreground until SIGTERM.  Prints `listening on URL` on\n"
	 "standard output once it answers.\n";

static void
failed(const char *what, struct error *err)
{
	fprintf(stderr, "agent-studio: %s: %s\n", what, err->detail);
	error_clear(err);
}

static enum as_status
auth_open(const struct settings *s, const char *host, struct auth **out,
    struct error *err)
{
	struct auth_config c = {
		.data_dir = s->data_dir,
		.issuer = s->auth.issuer,
		.signup = s->auth.signup,
		/* Behind a proxy that others can reach, loopback means nothing. */
		.host = s->server.public_url[0] != '\0' ? "" : host,
		.access_ms = s->auth.access_ttl,
		.refresh_ms = s->auth.refresh_ttl,
		.attempts = s->auth.attempts,
		.attempts_ms = s->auth.attempts_window,
	};

	return auth_new(&c, out, err);
}

static int
serve(const struct settings *s, struct conf *conf,
    const struct options *options)
{
	struct node_parts p = { .settings = s,
		.conf = conf,
		.options = options,
		.host = s->server.host };
	char host[INET6_ADDRSTRLEN];
	struct error err = { 0 };
	int rc = EXIT_FAILURE;

	if (systemd_listener(&p.listen_fd, host, sizeof(host), &err) != AS_OK) {
		failed("listener", &err);
		return rc;
	}
	if (p.listen_fd > 0)
		p.host = host;
	if (database_open_current(s, &p.db, &err) != AS_OK)
		database_failed(s, &err);
	else if (auth_open(s, p.host, &p.auth, &err) != AS_OK)
		failed("signing key", &err);
	else if (seal_new(s->data_dir, s->auth.sealing_keys, true, &p.seal,
		     &err) != AS_OK)
		failed("sealing key", &err);
	else if (api_new(&p.api, &err) != AS_OK)
		failed("routes", &err);
	else
		rc = node_run(&p);
	api_free(p.api);
	seal_free(p.seal);
	auth_free(p.auth);
	if (p.db != NULL)
		store_db_close(p.db);
	return rc;
}

int
cmd_serve(int argc, char **argv)
{
	return command_node(argc, argv, usage, serve);
}
