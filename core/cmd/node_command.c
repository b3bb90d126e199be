/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/options.h"
#include "core/cmd/systemd.h"

/* From the command line to the settings, for serve and worker. */

/* Shells begin with 1,024 files, whatever more they may have. */
static void
files_raise(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

int
node_command(int argc, char **argv, const char *usage, node_command_fn fn)
{
	struct settings settings;
	struct options options;
	struct conf *conf;
	int rc = EXIT_FAILURE;

	if (!options_parse(&options, argc, argv, NULL, usage))
		return options.status;
	if (!options_no_words(&options, argv[0])) {
		options_free(&options);
		return options.status;
	}
	MUST(sodium_init() >= 0);
	files_raise();
	log_for_journal(systemd_has_journal(STDERR_FILENO));
	conf = options_conf(&options);
	settings_load(&settings, conf);
	if (options_problems(conf) == 0 && log_configure(settings.log.level))
		rc = fn(&settings, conf, &options);
	conf_free(conf);
	options_free(&options);
	return rc;
}
