/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_PLUGIN_LIVE_H
#define CORE_CMD_PLUGIN_LIVE_H

/*
 * "agent-studio plugin" for processes that are running, which are asked through
 * the control sockets of the data folder.  The functions print; they give the
 * status to exit with.
 */

#include <stdbool.h>

struct settings;

/* False: no process has this data folder; nothing was printed. */
bool plugin_list_live(const struct settings *s, int *status);
int plugin_reload(const struct settings *s, const char *name); /* NULL: all */

#endif
