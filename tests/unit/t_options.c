/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/cmd/options.h"
#include "tests/tap.h"

/*
 * Command lines.
 */

#define WORDS 32

/* The words of a line; returns argc. */
static int
split(char *line, char **argv)
{
	int n = 0;

	while ((argv[n] = strsep(&line, " ")) != NULL)
		n++;
	return n;
}

static void
test_parse(void)
{
	char line[] = "serve --conf /c a --set x.y=1 --port=0 --data=/d "
		      "--log-level debug --url u --fast - -- --b";
	char *argv[WORDS];
	const char *url = NULL;
	bool fast = false, slow = false;
	const struct option_own own[] = { { "url", &url, NULL },
		{ "fast", NULL, &fast }, { "slow", NULL, &slow }, { 0 } };
	struct options o;

	CU_ASSERT_TRUE_FATAL(
	    options_parse(&o, split(line, argv), argv, own, ""));
	CU_ASSERT_STRING_EQUAL(o.conf_dir, "/c");
	CU_ASSERT_EQUAL_FATAL(o.n_sets, 4);
	CU_ASSERT_STRING_EQUAL(o.sets[0], "x.y=1");
	CU_ASSERT_STRING_EQUAL(o.sets[1], "server.port=0");
	CU_ASSERT_STRING_EQUAL(o.sets[2], "data_dir=/d");
	CU_ASSERT_STRING_EQUAL(o.sets[3], "log.level=debug");
	CU_ASSERT_EQUAL_FATAL(o.n_args, 3);
	CU_ASSERT_STRING_EQUAL(o.args[0], "a");
	CU_ASSERT_STRING_EQUAL(o.args[1], "-");
	CU_ASSERT_STRING_EQUAL(o.args[2], "--b");
	CU_ASSERT_STRING_EQUAL(url, "u");
	CU_ASSERT_TRUE(fast);
	CU_ASSERT_FALSE(slow);
	options_free(&o);
}

static void
test_conf(void)
{
	char line[] = "serve --conf /no/such --port 1 --port 2", *argv[WORDS];
	struct options o;
	struct conf *c;

	CU_ASSERT_TRUE_FATAL(
	    options_parse(&o, split(line, argv), argv, NULL, ""));
	c = options_conf(&o);
	CU_ASSERT_STRING_EQUAL(conf_peek(c, "server.port"), "2");
	CU_ASSERT_EQUAL(conf_problem_count(c), 1);
	CU_ASSERT_STRING_EQUAL(conf_problem(c, 0)->file, "/no/such");
	conf_free(c);
	options_free(&o);
}

static void
test_mistakes(void)
{
	static const char *const rows[] = { "serve --nothing", "serve --conf",
		"serve a --set", "serve -x", "serve --fast=1" };
	bool fast = false;
	const struct option_own own[] = { { "fast", NULL, &fast }, { 0 } };
	char *line, *argv[WORDS];
	struct options o;
	size_t i;

	for (i = 0; i < N_ITEMS(rows); i++) {
		line = xstrdup(rows[i]);
		CU_ASSERT_FALSE(
		    options_parse(&o, split(line, argv), argv, own, ""));
		CU_ASSERT_EQUAL(o.status, 2);
		free(line);
	}
}

static void
test_help(void)
{
	char line[] = "serve --help", *argv[WORDS];
	struct options o;

	CU_ASSERT_FALSE(
	    options_parse(&o, split(line, argv), argv, NULL, "# usage\n"));
	CU_ASSERT_EQUAL(o.status, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "options and words", test_parse },
		{ "configuration", test_conf },
		{ "mistakes", test_mistakes },
		{ "help", test_help },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "options", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
