/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_CMD_H
#define CORE_CMD_CMD_H

/* The subcommands.  argv[0] is the command's name; the result is the exit
 * code: 0, 1 for a failure, 2 for wrong use. */

struct plug_services;
struct settings;

/* What the settings say about plugins in processes of their own. */
void isolation_settings(const struct settings *settings,
    struct plug_services *out);

int cmd_serve(int argc, char **argv);
int cmd_worker(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_conf(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_plugin(int argc, char **argv);
int cmd_plugin_host(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_rebuild(int argc, char **argv);

#endif
