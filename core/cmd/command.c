/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/command.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/conf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/systemd.h"

/* See command.h. */

bool
command_options(struct options *o, int argc, char **argv,
    const struct option_own *own, const char *usage)
{
	if (!options_parse(o, argc, argv, own, usage))
		return false;
	if (options_no_words(o, argv[0]))
		return true;
	options_free(o);
	return false;
}

bool
command_settings(const struct options *o, const char *log_level,
    struct conf **conf, struct settings *settings)
{
	MUST(sodium_init() >= 0);
	*conf = options_conf(o);
	settings_load(settings, *conf);
	return options_problems(*conf) == 0 &&
	       log_configure(
		   log_level != NULL ? log_level : settings->log.level);
}

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
command_node(int argc, char **argv, const char *usage, command_node_fn fn)
{
	struct settings settings;
	struct options options;
	struct conf *conf;
	int rc = EXIT_FAILURE;

	if (!command_options(&options, argc, argv, NULL, usage))
		return options.status;
	files_raise();
	log_for_journal(systemd_has_journal(STDERR_FILENO));
	if (command_settings(&options, NULL, &conf, &settings))
		rc = fn(&settings, conf, &options);
	conf_free(conf);
	options_free(&options);
	return rc;
}
