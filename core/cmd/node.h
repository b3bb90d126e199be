/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_NODE_H
#define CORE_CMD_NODE_H

/*
 * A running process: its loops with what each of them owns, its place in the
 * database (an epoch under a lease), and its orderly end.
 */

#include "core/api/api.h"
#include "core/cmd/settings.h"
#include "core/store/store.h"

struct node;

struct node_parts {
	const struct settings *settings;
	const struct options *options; /* to read the configuration again */
	struct conf *conf;
	struct store_db *db;
	struct auth *auth; /* NULL for a worker, as the next */
	struct api *api;
	struct seal *seal; /* NULL: this process sends no webhooks */
	const char *host; /* where it listens; of listen_fd, if that is set */
	int listen_fd; /* a socket that was handed over; 0: none */
};

/*
 * Runs until SIGTERM or SIGINT.  Without an API it is a worker: it listens to
 * nobody and executes runs.  Prints what it is and, once it is ready,
 * `listening on URL` or `working as node epoch N` on standard output.  The
 * process's exit code.
 */
int node_run(const struct node_parts *parts);

#endif
