/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "core/cmd/cmd.h"
#include "core/cmd/command.h"
#include "core/cmd/database.h"

/* "agent-studio migrate": bring the database to this version, or ask whether
 * it is. */

static const char usage
    [] = "usage: agent-studio migrate [--check] [--conf DIR] [--data DIR]\n"
	 "       [--set PATH=VALUE]\n"
	 "Applies the migrations that the database does not have yet.\n"
	 "--check changes nothing and exits 1 if there are some.\n";

static int
migrate(const struct settings *s, bool check_only)
{
	struct error err = { 0 };
	struct store_db *db = NULL;
	enum as_status st = database_open(s, &db, &err);
	int n = 0;

	if (st == AS_OK)
		st = store_migrate(db, check_only, &n, &err);
	if (st != AS_OK)
		database_failed(s, &err);
	else if (n == 0)
		puts("the database is up to date");
	else
		printf("%d migration%s applied\n", n, n == 1 ? "" : "s");
	error_clear(&err);
	store_db_close(db);
	return st == AS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
cmd_migrate(int argc, char **argv)
{
	bool check_only = false;
	const struct option_own own[] = {
		{ .name = "check", .flag = &check_only },
		{ 0 },
	};
	struct settings settings;
	struct options options;
	struct conf *conf;
	int rc = EXIT_FAILURE;

	if (!command_options(&options, argc, argv, own, usage))
		return options.status;
	if (command_settings(&options, NULL, &conf, &settings))
		rc = migrate(&settings, check_only);
	conf_free(conf);
	options_free(&options);
	return rc;
}
