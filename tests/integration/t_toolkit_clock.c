/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/* The clock, at a time that stands still. */

static void
expect(struct plug_env *env, const char *args, const char *want)
{
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(plug_env_tool(env, "clock_now", args, &text, &err),
	    AS_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	if (strcmp(text, want) != 0)
		tap_note("%s", text);
	CU_ASSERT_STRING_EQUAL(text, want);
	free(text);
	error_clear(&err);
}

static void
body(struct plug_env *env)
{
	struct error err = { 0 };
	char *text;

	clock_fake(clock_mono_us(), 1795190703000000);
	expect(env, "{}", "\"Friday 2026-11-20 16:05:03 UTC+00:00\"");
	expect(env, "{\"utc_offset_min\":120}",
	    "\"Friday 2026-11-20 18:05:03 UTC+02:00\"");
	expect(env, "{\"utc_offset_min\":-210}",
	    "\"Friday 2026-11-20 12:35:03 UTC-03:30\"");
	expect(env, "{\"utc_offset_min\":840}",
	    "\"Saturday 2026-11-21 06:05:03 UTC+14:00\"");
	clock_real();
	CU_ASSERT_EQUAL(plug_env_tool(env, "clock_now",
			    "{\"utc_offset_min\":841}", &text, &err),
	    AS_INVALID);
	CU_ASSERT_EQUAL(plug_env_tool(env, "clock_now",
			    "{\"utc_offset_min\":\"1\"}", &text, &err),
	    AS_INVALID);
	error_clear(&err);
}

static void
test_clock(void)
{
	plug_env_run("plugins : { toolkit_clock : { }; };", 0, body);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "now", test_clock },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "clock", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
