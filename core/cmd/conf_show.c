/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/cmd/check.h"
#include "core/cmd/cmd.h"
#include "core/cmd/options.h"

/*
 * "agent-studio conf show": each setting with its value and where that came
 * from.
 */

static const char usage[] =
    "usage: agent-studio conf show [--conf DIR] [--data DIR] "
    "[--set PATH=VALUE]\n"
    "Prints every setting with its value and its origin: file:line, --set or\n"
    "default.  Secrets are shown as ***.\n";

static bool
show(const struct options *options)
{
	struct conf *conf = options_conf(options);
	struct buf out = { 0 };
	struct settings settings;
	bool ok = check_conf(conf, &settings);

	conf_show(conf, &out);
	fputs(out.data, stdout);
	buf_free(&out);
	conf_free(conf);
	return ok;
}

int
cmd_conf(int argc, char **argv)
{
	struct options options;
	bool ok;

	if (!options_parse(&options, argc, argv, NULL, usage))
		return options.status;
	if (options.n_args != 1 || strcmp(options.args[0], "show") != 0) {
		fputs("agent-studio conf: expected 'show'; see --help\n",
		    stderr);
		options_free(&options);
		return 2;
	}
	log_configure("error");
	ok = show(&options);
	options_free(&options);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
