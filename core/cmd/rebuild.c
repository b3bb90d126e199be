/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/rebuild.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/cmd/cmd.h"
#include "core/cmd/command.h"
#include "core/cmd/database.h"

/* "agent-studio rebuild": the row of a run from its log. */

static const char usage[] =
    "usage: agent-studio rebuild RUN [--check] [--conf DIR] [--data DIR]\n"
    "       [--set PATH=VALUE]\n"
    "Folds the events of a run, compares the result with its row, and writes\n"
    "the row anew where it differs.  Refuses while a server works on the run.\n"
    "--check changes nothing and exits 1 if there are differences.\n";

static void
print_differences(const struct rebuild *r)
{
	for (int i = 0; i < r->n_differences; i++)
		printf("%s: %s in the log, %s in the row\n",
		    r->differences[i].column, r->differences[i].log,
		    r->differences[i].row);
}

/* A row can be written, a checkpoint cannot: it is what the hash is of. */
static bool
is_mended(struct store_db *db, struct rebuild *r, struct arena *arena,
    struct error *err)
{
	struct uuid id = r->run_id;

	if (rebuild_write(db, r, err) != AS_OK ||
	    rebuild_look(db, id, arena, r, err) != AS_OK)
		return false;
	if (r->n_differences > 0) {
		error_set(err, ERR_CONFLICT,
		    "written, but %s still differs: restore it from a backup",
		    r->differences[0].column);
		return false;
	}
	puts("the row was written from the log");
	return true;
}

static int
rebuild(struct store_db *db, struct uuid run_id, bool check_only)
{
	struct arena *arena = arena_new(NULL);
	struct error err = { 0 };
	struct rebuild r;
	int rc = EXIT_FAILURE;

	if (rebuild_look(db, run_id, arena, &r, &err) == AS_OK) {
		print_differences(&r);
		if (r.n_differences == 0) {
			puts("the row agrees with the log");
			rc = EXIT_SUCCESS;
		} else if (!check_only && is_mended(db, &r, arena, &err))
			rc = EXIT_SUCCESS;
	}
	if (err.code != ERR_NONE)
		fprintf(stderr, "agent-studio: %s\n", err.detail);
	error_clear(&err);
	arena_free(arena);
	return rc;
}

static int
open_and_rebuild(const struct settings *s, struct uuid run_id, bool check_only)
{
	struct error err = { 0 };
	struct store_db *db = NULL;
	enum as_status st = check_only ? database_open_read_only(s, &db, &err)
				       : database_open(s, &db, &err);
	int rc = EXIT_FAILURE;

	if (st == AS_OK)
		st = store_migrate(db, true, NULL, &err);
	if (st == AS_OK)
		rc = rebuild(db, run_id, check_only);
	else
		database_failed(s, &err);
	store_db_close(db);
	return rc;
}

int
cmd_rebuild(int argc, char **argv)
{
	bool check_only = false;
	const struct option_own own[] = {
		{ .name = "check", .flag = &check_only },
		{ 0 },
	};
	struct settings settings;
	struct options options;
	struct uuid run_id;
	struct conf *conf;
	int rc = EXIT_FAILURE;

	if (!options_parse(&options, argc, argv, own, usage))
		return options.status;
	if (options.n_args != 1 || !uuid_parse(options.args[0], &run_id)) {
		fputs("agent-studio rebuild: the id of a run; see --help\n",
		    stderr);
		options_free(&options);
		return 2;
	}
	if (command_settings(&options, NULL, &conf, &settings))
		rc = open_and_rebuild(&settings, run_id, check_only);
	conf_free(conf);
	options_free(&options);
	return rc;
}
