/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/counter.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/*
 * Counters and histograms, as Prometheus reads them.
 */

static bool
exposes(const char *text)
{
	struct buf b = { 0 };
	bool found;

	counter_expose(&b);
	found = strstr(b.data, text) != NULL;
	if (!found)
		tap_note("missing: %s", text);
	buf_free(&b);
	return found;
}

static void
test_series(void)
{
	static const char *const ok[] = { "/a\"b\\\n", "200" };
	static const char *const bad[] = { "/a", "500" };
	struct counter *c, *d;

	c = counter_get(COUNTER, "t_requests_total", "Requests\nmade.",
	    "route,status", ok);
	d = counter_get(COUNTER, "t_requests_total", "", "route,status", bad);
	CU_ASSERT_PTR_NOT_EQUAL(c, d);
	CU_ASSERT_PTR_EQUAL(c,
	    counter_get(COUNTER, "t_requests_total", "", "route,status", ok));
	counter_add(c, 2);
	counter_add(c, 1);
	counter_add(d, 0.5);
	CU_ASSERT_EQUAL(counter_value(c), 3);
	CU_ASSERT(
	    exposes("# HELP agent_studio_t_requests_total Requests\\nmade.\n"
		    "# TYPE agent_studio_t_requests_total counter\n"
		    "agent_studio_t_requests_total{route=\"/"
		    "a\\\"b\\\\\\n\",status=\"200\"} 3\n"
		    "agent_studio_t_requests_total{route=\"/"
		    "a\",status=\"500\"} 0.5\n"));
}

static void
set_gauge(void *arg)
{
	counter_set(counter_get(GAUGE, "t_open", "Open.", NULL, NULL),
	    *(double *)arg);
}

static void
test_scrape(void)
{
	static double value = 12;

	counter_on_scrape(set_gauge, &value);
	CU_ASSERT(exposes(
	    "# TYPE agent_studio_t_open gauge\nagent_studio_t_open 12\n"));
	value = -1;
	CU_ASSERT(exposes("agent_studio_t_open -1\n"));
}

static void
test_histogram(void)
{
	static const char *const get[] = { "GET" };
	struct histogram *h = histogram_get("t_seconds", "Time.", "method",
	    get);

	histogram_observe(h, 0.0005);
	histogram_observe(h, 0.3);
	histogram_observe(h, 1000);
	CU_ASSERT(exposes(
	    "# TYPE agent_studio_t_seconds histogram\n"
	    "agent_studio_t_seconds_bucket{method=\"GET\",le=\"0.0005\"} 1\n"));
	CU_ASSERT(exposes(
	    "agent_studio_t_seconds_bucket{method=\"GET\",le=\"0.25\"} 1\n"
	    "agent_studio_t_seconds_bucket{method=\"GET\",le=\"0.5\"} 2\n"));
	CU_ASSERT(exposes(
	    "agent_studio_t_seconds_bucket{method=\"GET\",le=\"60\"} 2\n"
	    "agent_studio_t_seconds_bucket{method=\"GET\",le=\"+Inf\"} 3\n"
	    "agent_studio_t_seconds_sum{method=\"GET\"} 1000.3005\n"
	    "agent_studio_t_seconds_count{method=\"GET\"} 3\n"));
	histogram_observe(histogram_get("t_plain", "P.", NULL, NULL), 1);
	CU_ASSERT(exposes("agent_studio_t_plain_bucket{le=\"0.5\"} 0\n"
			  "agent_studio_t_plain_bucket{le=\"1\"} 1\n"));
	CU_ASSERT(exposes(
	    "agent_studio_t_plain_sum 1\nagent_studio_t_plain_count 1\n"));
}

static void
test_bound(void)
{
	const char *values[1];
	struct counter *last = NULL;
	char number[16];
	int i;

	for (i = 0; i < 2500; i++) {
		snprintf(number, sizeof(number), "%d", i);
		values[0] = number;
		last = counter_get(COUNTER, "t_many", "Many.", "n", values);
		counter_add(last, 1);
	}
	CU_ASSERT_EQUAL(counter_value(last), 501);
	CU_ASSERT(exposes("agent_studio_t_many{n=\"1998\"} "
			  "1\nagent_studio_t_many{n=\"other\"} 501\n"));
}

static void *
count(void *arg)
{
	int i;

	for (i = 0; i < 20000; i++)
		counter_add(arg, 1);
	return NULL;
}

static void
test_threads(void)
{
	struct counter *c = counter_get(COUNTER, "t_threads", "T.", NULL, NULL);
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++)
		MUST(pthread_create(&threads[i], NULL, count, c) == 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(counter_value(c), 80000);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "series", test_series },
		{ "gauges are set at the scrape", test_scrape },
		{ "histograms", test_histogram },
		{ "at most 2,000 series", test_bound },
		{ "adding is atomic", test_threads },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "counter", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
