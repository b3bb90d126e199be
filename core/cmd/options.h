/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_OPTIONS_H
#define CORE_CMD_OPTIONS_H

/*
 * The command line of every subcommand: the options that all of them take,
 * those of its own, and the words that are left.
 *
 *	--conf DIR          folder of *.conf files
 *	--data DIR          data_dir
 *	--port N            server.port
 *	--log-level LEVELS  log.level
 *	--set PATH=VALUE    any setting; the last one wins
 *	--help
 *
 * Both "--name value" and "--name=value" work; "--" ends the options.
 */

#include <stdbool.h>
#include <stddef.h>

struct conf;

/* An option of one subcommand; a table of them ends with {0}. */
struct option_own {
	const char *name; /* without the dashes */
	const char **value; /* takes a value, kept here; */
	bool *flag; /* or takes none, and sets this */
};

struct options {
	const char *conf_dir; /* NULL: the installed one, if it is there */
	char **sets; /* assignments, in order */
	size_t n_sets;
	const char **args; /* the words; NULL-terminated */
	size_t n_args;
	int status; /* to exit with when options_parse was false */
};

/*
 * argv[0] is the subcommand.  False: it is done, because of --help or of a
 * mistake, which has been told on standard error.  own may be NULL; usage is
 * printed as it is.
 */
bool options_parse(struct options *o, int argc, char **argv,
    const struct option_own *own, const char *usage);
void options_free(struct options *o);

/* True if there are no words; else the first has been told, status is 2. */
bool options_no_words(struct options *o, const char *command);

/* The configuration that the options ask for; the caller frees it. */
struct conf *options_conf(const struct options *o);

/* Print every problem as "file:line: text" on standard error; how many. */
size_t options_problems(const struct conf *conf);

#endif
