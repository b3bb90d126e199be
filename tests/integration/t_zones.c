/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/sched/cron.h"
#include "core/sched/zone.h"
#include "tests/tap.h"

/*
 * The system's zones, and cron lines in them, against zone_oracle.py: Python's
 * own reader of the same files, and a clock that is looked at every minute.
 */

#define ZONEINFO "/usr/share/zoneinfo"
#define WORDS_MAX 8192 /* more than there are minutes in its days */

static FILE *oracle;
static int n_offsets, n_lines, n_times, n_docs;
static char place[ZONE_NAME_MAX + 1];
static struct zone *zone;

static bool
oracle_start(void)
{
	const char *src = getenv("srcdir");
	char *command;

	if (system("python3 -c 'import zoneinfo; zoneinfo.ZoneInfo(\"Asia/"
		   "Kathmandu\")' >/dev/null 2>&1") != 0)
		return false;
	if (src == NULL)
		src = ".";
	command = xasprintf("python3 '%s/tests/integration/zone_oracle.py' "
			    "'%s/docs/schedules.md'",
	    src, src);
	oracle = popen(command, "r");
	free(command);
	return oracle != NULL;
}

static int
split(char *line, char **words)
{
	int n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *w = strtok(line, "\t"); w != NULL && n < WORDS_MAX;
	     w = strtok(NULL, "\t"))
		words[n++] = w;
	return n;
}

static void
zone_be(const char *name)
{
	struct error err = { 0 };

	if (zone != NULL && strcmp(place, name) == 0)
		return;
	zone_free(zone);
	MUST(strlen(name) <= ZONE_NAME_MAX);
	strcpy(place, name);
	if (zone_load(ZONEINFO, name, "timezone", &zone, &err) != AS_OK)
		tap_note("%s: %s", name, err.detail);
	error_clear(&err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(zone);
}

static void
check_offset(char **words)
{
	int64_t t = atoll(words[2]);
	int32_t offset = zone_offset(zone, t);

	n_offsets++;
	CU_ASSERT_EQUAL(offset, atoi(words[3]));
	if (offset != atoi(words[3]))
		tap_note("%s at %lld: %d, not %s", place, (long long)t, offset,
		    words[3]);
}

static void
expect(const char *line, int64_t after, int64_t got, int64_t wanted)
{
	n_times++;
	CU_ASSERT_EQUAL(got, wanted);
	if (got != wanted)
		tap_note("'%s' in %s after %lld: %lld, not %lld", line, place,
		    (long long)after, (long long)got, (long long)wanted);
}

/* What is due after words[2], and, in a window, nothing else in it. */
static void
check_times(char **words, int n)
{
	bool is_window = strcmp(words[0], "next") == 0;
	int64_t t = atoll(words[2]), until = atoll(words[3]), next;
	char why[CRON_WHY] = "";
	struct cron c;

	n_lines++;
	n_docs += !is_window;
	CU_ASSERT_TRUE_FATAL(cron_parse(words[4], &c, why));
	for (int i = 5; i < n; i++, t = next) {
		next = cron_next(&c, zone, t);
		expect(words[4], t, next, atoll(words[i]));
		next = atoll(words[i]);
	}
	if (is_window) {
		next = cron_next(&c, zone, t);
		expect(words[4], t, next < until ? next : until, until);
	}
}

static void
test_oracle(void)
{
	char **words = xcalloc(WORDS_MAX, sizeof(*words)), *line = NULL;
	size_t size = 0;
	int n;

	if (!oracle_start()) {
		tap_lacks("python3 with time zones");
		free(words);
		return;
	}
	while (getline(&line, &size, oracle) > 0) {
		n = split(line, words);
		MUST(n >= 4);
		zone_be(words[1]);
		if (strcmp(words[0], "offset") == 0)
			check_offset(words);
		else
			check_times(words, n);
	}
	CU_ASSERT_EQUAL(pclose(oracle), 0);
	CU_ASSERT(n_offsets > 50000 && n_lines > 1500 && n_times > 100000 &&
		  n_docs > 10);
	tap_note("%d offsets, %d lines of cron, %d times, %d rows of the docs",
	    n_offsets, n_lines, n_times, n_docs);
	zone_free(zone);
	zone = NULL;
	free(line);
	free(words);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "Python says the same", test_oracle },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "zones", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
