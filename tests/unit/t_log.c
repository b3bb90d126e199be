/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/tap.h"

/*
 * Lines of the log, read back from a pipe.
 */

static int fds[2];
static char line[16384];

static const char *
read_line(void)
{
	ssize_t n = read(fds[0], line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

static const char *
correlation(void)
{
	return "fiber-1";
}

static void
test_line(void)
{
	clock_fake(0, 1795210083123456);
	log_info("net", "port %d \"x\"\n\xff", 80);
	CU_ASSERT_STRING_EQUAL(read_line(),
	    "{\"ts\":\"2026-11-20T21:28:03.123456Z\",\"level\":\"info\","
	    "\"area\":\"net\",\"msg\":\"port 80 \\\"x\\\"\\n\xef\xbf\xbd\"}\n");
	log_line(LOG_ERROR, "net", "c\"1", "%s", "");
	CU_ASSERT_STRING_EQUAL(read_line(),
	    "{\"ts\":\"2026-11-20T21:28:03.123456Z\",\"level\":\"error\","
	    "\"area\":\"net\",\"msg\":\"\",\"correlation_id\":\"c\\\"1\"}\n");
	log_correlation = correlation;
	log_warn("net", "w");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(read_line(), "\"correlation_id\":\"fiber-1\""));
	log_correlation = NULL;
	clock_real();
}

static void
test_journal(void)
{
	log_for_journal(true);
	log_info("net", "one");
	CU_ASSERT_EQUAL(strncmp(read_line(), "<6>{\"ts\":", 9), 0);
	log_warn("net", "two");
	CU_ASSERT_EQUAL(strncmp(read_line(), "<4>{", 4), 0);
	log_err("net", "three");
	CU_ASSERT_EQUAL(strncmp(read_line(), "<3>{", 4), 0);
	log_for_journal(false);
	log_info("net", "four");
	CU_ASSERT_EQUAL(read_line()[0], '{');
}

static void
test_levels(void)
{
	CU_ASSERT_TRUE(log_configure("warning,plugin.x=debug,net=error"));
	CU_ASSERT_FALSE(log_enabled(LOG_INFO, "store"));
	CU_ASSERT_TRUE(log_enabled(LOG_WARNING, "store"));
	CU_ASSERT_TRUE(log_enabled(LOG_DEBUG, "plugin.x"));
	CU_ASSERT_FALSE(log_enabled(LOG_WARNING, "net"));
	log_info("store", "not written");
	log_debug("plugin.x", "written");
	CU_ASSERT_PTR_NOT_NULL(strstr(read_line(), "\"written\""));
	CU_ASSERT_FALSE(log_configure("loud"));
	CU_ASSERT_FALSE(log_configure(""));
	CU_ASSERT_FALSE(log_levels_ok("info,=debug"));
	CU_ASSERT_FALSE(log_levels_ok("info,net=loud"));
	CU_ASSERT_TRUE(log_levels_ok("debug"));
	CU_ASSERT_TRUE(log_enabled(LOG_DEBUG, "plugin.x"));
	CU_ASSERT_TRUE(log_configure("info"));
}

static void
test_redact(void)
{
	log_redact("hunter2");
	log_redact("hunter2-and-more");
	log_redact("hunter2");
	log_redact("abc"); /* too short to be one */
	log_redact(NULL);
	log_info("x", "key=hunter2, hunter2-and-more, abc, hunter");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(read_line(), "\"key=***, ***, abc, hunter\""));
}

static void
test_cut(void)
{
	struct json_object *v;
	char *text = xmalloc(20001);
	int i;

	for (i = 0; i < 20000; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[20000] = '\0';
	log_info("x", "a%s", text);
	read_line();
	CU_ASSERT_EQUAL(json_parse(line, strlen(line), &v, NULL), AS_OK);
	CU_ASSERT_EQUAL(strlen(jget_str(v, "msg", "")), 8191);
	json_object_put(v);
	free(text);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a line", test_line },
		{ "for the journal", test_journal },
		{ "levels of areas", test_levels },
		{ "secrets", test_redact },
		{ "long text", test_cut },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "log", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	int result;

	MUST(pipe2(fds, O_NONBLOCK) == 0);
	log_to_fd(fds[1]);
	result = tap_run(suites);
	close(fds[0]);
	close(fds[1]);
	return result;
}
