/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/cmd/cmd.h"
#include "core/cmd/command.h"
#include "core/plug/plug.h"

/*
 * "agent-studio check": everything that can be wrong with a configuration,
 * plugins included, without starting anything and without a database.
 */

static const char usage[] =
    "usage: agent-studio check [--conf DIR] [--data DIR] [--set PATH=VALUE]\n"
    "Reads the configuration and the plugins it enables and reports every\n"
    "mistake as file:line: text.  Exits 1 if there is one.\n";

void
check_load(struct conf *conf, struct settings *settings)
{
	struct plug_services services = { 0 };
	const char **dirs;
	struct plug *plug = NULL;

	settings_load(settings, conf);
	dirs = settings_plugin_dirs(settings);
	isolation_settings(settings, &services);
	plug_new(conf, dirs, &services, &plug);
	plug_free(plug);
	free(dirs);
	conf_finish(conf);
}

bool
check_conf(struct conf *conf, struct settings *settings)
{
	check_load(conf, settings);
	return options_problems(conf) == 0;
}

int
cmd_check(int argc, char **argv)
{
	struct settings settings;
	struct options options;
	struct conf *conf;
	bool ok;

	if (!command_options(&options, argc, argv, NULL, usage))
		return options.status;
	log_configure("error");
	conf = options_conf(&options);
	ok = check_conf(conf, &settings);
	if (ok)
		puts("the configuration is good");
	conf_free(conf);
	options_free(&options);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
