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
	struct conf *conf;
	struct store_db *db;
	struct auth *auth;
	struct api *api;
};

/*
 * Runs until SIGTERM or SIGINT.  Prints what it is and `listening on URL` on
 * standard output.  The process's exit code.
 */
int node_run(const struct node_parts *parts);

#endif
