/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_COMMAND_H
#define CORE_CMD_COMMAND_H

/*
 * How most commands begin: the command line, then the settings.
 */

#include "core/cmd/options.h"
#include "core/cmd/settings.h"

/*
 * As options_parse, for a command that takes no words; false: nothing is left
 * to be freed.
 */
bool command_options(struct options *o, int argc, char **argv,
    const struct option_own *own, const char *usage);
/*
 * The settings, and the log as log_level (NULL: the settings) says; the caller
 * frees *conf.  False: problems, which have been told.
 */
bool command_settings(const struct options *o, const char *log_level,
    struct conf **conf, struct settings *settings);

/* All of a command that ends in node_run; the process's exit code. */
typedef int (*command_node_fn)(const struct settings *s, struct conf *conf,
    const struct options *options);
int command_node(int argc, char **argv, const char *usage, command_node_fn fn);

#endif
