/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "core/auth/seal.h"
#include "core/base/text.h"
#include "core/cmd/cmd.h"
#include "core/cmd/command.h"
#include "core/cmd/database.h"
#include "core/cmd/node.h"

/*
 * "agent-studio worker": a node without listener, API and sockets (node.c).
 * It shares its database with the servers, so that has to be one that several
 * processes can have.
 */

static const char usage
    [] = "usage: agent-studio worker [--conf DIR] [--data DIR]\n"
	 "       [--log-level LEVELS] [--set PATH=VALUE]\n"
	 "Executes runs in the foreground until SIGTERM; needs PostgreSQL.\n"
	 "Prints `working as node epoch N` on standard output once it does.\n";

static bool
is_sqlite(const struct settings *s)
{
	return s->store.url[0] == '\0' ||
	       text_has_prefix(s->store.url, "sqlite:");
}

static int
work(const struct settings *s, struct conf *conf, const struct options *options)
{
	struct node_parts p = { .settings = s,
		.conf = conf,
		.options = options };
	struct error err = { 0 };
	int rc = EXIT_FAILURE;

	if (is_sqlite(s)) {
		fprintf(stderr,
		    "agent-studio: a worker needs PostgreSQL, and store.url "
		    "names SQLite, which serves one process: set store.url, "
		    "or let `agent-studio serve` execute the runs "
		    "(worker.embedded = true)\n");
		return EXIT_FAILURE;
	}
	if (database_open_current(s, &p.db, &err) != AS_OK)
		database_failed(s, &err);
	else if (seal_new(s->data_dir, s->auth.sealing_keys, false, &p.seal,
		     &err) != AS_OK) {
		fprintf(stderr, "agent-studio: sealing key: %s\n", err.detail);
		error_clear(&err);
	} else
		rc = node_run(&p);
	seal_free(p.seal);
	if (p.db != NULL)
		store_db_close(p.db);
	return rc;
}

int
cmd_worker(int argc, char **argv)
{
	return command_node(argc, argv, usage, work);
}
