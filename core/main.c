/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/cmd/cmd.h"
#include "core/cmd/database.h"
#include "core/net/failpoint_control.h"

/* Which subcommand it is; each has a file in core/cmd. */

static int
cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("agent-studio %s\n", PACKAGE_VERSION);
	return 0;
}

static const struct {
	const char *name, *help;
	int (*fn)(int argc, char **argv);
} commands[] = {
	{ "serve", "run the platform in the foreground", cmd_serve },
	{ "worker", "execute runs of a shared database", cmd_worker },
	{ "check", "check the configuration, plugins included", cmd_check },
	{ "conf", "show the effective settings and their origin", cmd_conf },
	{ "doctor", "examine the settings, this host and the servers",
	    cmd_doctor },
	{ "migrate", "bring the database to this version", cmd_migrate },
	{ "plugin", "list, reload, check and write plugins", cmd_plugin },
	{ "plugin-host", NULL, cmd_plugin_host },
	{ "chat", "talk to an agent in the terminal", cmd_chat },
	{ "runs", "see runs, and decide for those that wait", cmd_runs },
	{ "replay", "play recorded runs again and compare", cmd_replay },
	{ "rebuild", "write the row of a run from its log", cmd_rebuild },
	{ "version", "print the version", cmd_version },
};

static int
usage(FILE *to)
{
	fprintf(to, "usage: agent-studio COMMAND [OPTION ...]\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].help != NULL)
			fprintf(to, "  %-9s %s\n", commands[i].name,
			    commands[i].help);
	fprintf(to, "\nagent-studio(8) has the options of each.\n");
	return to == stdout ? 0 : 2;
}

int
main(int argc, char **argv)
{
	FAILPOINT_CONTROL();
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version(argc, argv);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, argv[1]) == 0) {
			database_name(argv[1]);
			return commands[i].fn(argc - 1, argv + 1);
		}
	fprintf(stderr, "agent-studio: no command '%s'\n\n", argv[1]);
	return usage(stderr);
}
