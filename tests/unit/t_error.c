/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/tap.h"

/*
 * The error table and the body that clients see.
 */

static void
body_is(const struct error *err, const char *want)
{
	struct json_object *body = error_body(err, "/api/x", "c-1");

	CU_ASSERT_STRING_EQUAL(json_text(body), want);
	json_object_put(body);
}

static void
test_body(void)
{
	struct error err = { 0 };

	CU_ASSERT_EQUAL(error_set(&err, ERR_THREAD_BUSY, "run %d is active", 7),
	    AS_CONFLICT);
	error_member_str(&err, "active_run_id", "r");
	body_is(&err, "{\"error\":\"Thread is busy\",\"code\":\"THREAD_BUSY\","
		      "\"title\":\"Thread is busy\",\"status\":409,"
		      "\"detail\":\"run 7 is active\","
		      "\"type\":\"urn:agent-studio:error:thread-busy\","
		      "\"instance\":\"/api/x\",\"correlation_id\":\"c-1\","
		      "\"active_run_id\":\"r\"}");
	error_clear(&err);
	error_not_found(&err, "agent", "a1");
	CU_ASSERT_EQUAL(err.code, ERR_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(jget_str(err.extra, "resource", ""), "agent");
	CU_ASSERT_STRING_EQUAL(jget_str(err.extra, "id", ""), "a1");
	error_clear(&err);
	CU_ASSERT_PTR_NULL(err.extra);
}

static void
test_hints(void)
{
	struct error err = { 0 };
	struct json_object *body;

	error_set(&err, ERR_UPSTREAM_UNAVAILABLE, "no answer");
	snprintf(err.service, sizeof(err.service), "openai");
	err.retry_after_ms = 1001;
	body = error_body(&err, NULL, NULL);
	CU_ASSERT_EQUAL(jget_int(body, "retry_after", 0), 2);
	CU_ASSERT_STRING_EQUAL(jget_str(body, "service", ""), "openai");
	CU_ASSERT(json_object_object_get_ex(body, "instance", NULL));
	CU_ASSERT_PTR_NULL(jget(body, "instance"));
	json_object_put(body);
	error_clear(&err);
}

static void
test_internal(void)
{
	struct error err = { 0 };
	struct json_object *body;

	error_set(&err, ERR_INTERNAL, "table users is gone");
	body = error_body(&err, NULL, NULL);
	CU_ASSERT_PTR_NULL(strstr(json_text(body), "users"));
	CU_ASSERT_EQUAL(jget_int(body, "status", 0), 500);
	json_object_put(body);
	error_clear(&err);
}

static void
test_fields(void)
{
	struct error err = { 0 };
	struct json_object *details;

	error_set(&err, ERR_INTERNAL, "gone afterwards");
	CU_ASSERT_EQUAL(error_field(&err, "name", "is %s", "required"),
	    AS_INVALID);
	error_field(&err, "/a/0", "is wrong");
	error_field(&err, "name", "is short");
	error_field(&err, "", "is odd");
	CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	CU_ASSERT_STRING_EQUAL(err.detail, "name: is required");
	details = jget(err.extra, "details");
	CU_ASSERT_STRING_EQUAL(json_text(details),
	    "{\"name\":[\"is required\",\"is short\"],\"/a/0\":[\"is wrong\"],"
	    "\"\":[\"is odd\"]}");
	error_clear(&err);
	CU_ASSERT_EQUAL(error_field(NULL, "x", "y"), AS_INVALID);
}

static void
test_text(void)
{
	struct error err = { 0 };
	char text[600];
	int i;

	memset(text, 'a', sizeof(text));
	for (i = 254; i < 590; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[590] = '\0';
	error_set(&err, ERR_BAD_REQUEST, "%s", text);
	CU_ASSERT(strlen(err.detail) <= 255 && strlen(err.detail) >= 252);
	CU_ASSERT(text_is_utf8(err.detail, strlen(err.detail)));
	error_set(&err, ERR_BAD_REQUEST, "bad \xff byte");
	CU_ASSERT_STRING_EQUAL(err.detail, "bad \xef\xbf\xbd byte");
	error_set(&err, ERR_CONFLICT, "again: %s", err.detail);
	CU_ASSERT_STRING_EQUAL(err.detail, "again: bad \xef\xbf\xbd byte");
	error_field(&err, "\xff", "x\xff");
	CU_ASSERT_STRING_EQUAL(json_text(jget(err.extra, "details")),
	    "{\"\xef\xbf\xbd\":[\"x\xef\xbf\xbd\"]}");
	error_clear(&err);
}

static void
test_status(void)
{
	struct error err = { 0 }, to = { 0 };

	err.retry_after_ms = 5;
	CU_ASSERT_EQUAL(error_from_status(&err, AS_BUSY, "slow down"), AS_BUSY);
	CU_ASSERT_EQUAL(err.code, ERR_RATE_LIMITED);
	CU_ASSERT_EQUAL(err.retry_after_ms, 5);
	error_from_status(&err, AS_TIMEOUT, err.detail);
	CU_ASSERT_STRING_EQUAL(err.detail, "slow down");
	CU_ASSERT_EQUAL(err.code, ERR_TIMEOUT);
	CU_ASSERT_EQUAL(error_from_status(&err, AS_OK, NULL), AS_INTERNAL);
	CU_ASSERT_EQUAL(error_from_status(NULL, AS_NOMEM, ""), AS_UNAVAILABLE);
	error_member_str(&err, "k", "v");
	error_move(&to, &err);
	CU_ASSERT_PTR_NULL(err.extra);
	CU_ASSERT_EQUAL(err.code, ERR_NONE);
	CU_ASSERT_STRING_EQUAL(jget_str(to.extra, "k", ""), "v");
	error_move(NULL, &to);
	CU_ASSERT_PTR_NULL(to.extra);
	error_member(NULL, "k", jobj());
}

static void
test_table(void)
{
	int i;

	for (i = ERR_NONE + 1; i < ERR_MAX_; i++) {
		enum error_code code = (enum error_code)i;

		CU_ASSERT_EQUAL(error_by_name(error_name(code)), code);
		CU_ASSERT(error_http(code) >= 400 && error_http(code) < 600);
		CU_ASSERT_NOT_EQUAL(error_status(code), AS_OK);
		CU_ASSERT(error_title(code)[0] != '\0');
	}
	CU_ASSERT_EQUAL(error_by_name("NO_SUCH"), ERR_NONE);
	CU_ASSERT_EQUAL(error_http(ERR_UNAVAILABLE), 503);
	CU_ASSERT_EQUAL(error_http(ERR_VERSION_CONFLICT), 412);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "body", test_body },
		{ "service and retry_after", test_hints },
		{ "INTERNAL keeps its secret", test_internal },
		{ "fields", test_fields },
		{ "text stays UTF-8", test_text },
		{ "status to code", test_status },
		{ "table", test_table },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "error", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
