/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/history.h"
#include "tests/tap.h"

/*
 * Histories that really happen, and the rules of strict providers over what is
 * made of them.
 */

#define USER(t) \
	{ \
		.role = "user", .content = t \
	}
#define SAID(t) \
	{ \
		.role = "assistant", .content = t \
	}
#define CALLS(p) \
	{ \
		.role = "assistant", .content = "", .parts = p \
	}
#define RESULT(id, t) \
	{ \
		.role = "tool", .content = t, .tool_call_id = id, \
		.parts = "[{\"type\":\"tool_result\",\"is_error\":false}]" \
	}
#define CALL(id) \
	"{\"type\":\"tool_call\",\"id\":\"" id "\",\"name\":\"f\",\"args\":{}" \
	"}"

static const char *
role_at(struct json_object *m, size_t i)
{
	return jget_str(json_object_array_get_idx(m, i), "role", "");
}

static struct json_object *
part_at(struct json_object *m, size_t i, size_t k)
{
	return json_object_array_get_idx(jget(json_object_array_get_idx(m, i),
					     "content"),
	    k);
}

/* Every call of message i has its result, in order, in message i + 1. */
static bool
answered(struct json_object *m, size_t i)
{
	struct json_object *c = jget(json_object_array_get_idx(m, i),
	    "content");
	size_t k = 0;

	for (size_t p = 0; p < json_object_array_length(c); p++) {
		struct json_object *part = json_object_array_get_idx(c, p);
		struct json_object *result;

		if (strcmp(jget_str(part, "type", ""), "tool_call") != 0)
			continue;
		result = part_at(m, i + 1, k++);
		if (strcmp(jget_str(result, "type", ""), "tool_result") != 0 ||
		    strcmp(jget_str(result, "id", "x"),
			jget_str(part, "id", "y")) != 0)
			return false;
	}
	return true;
}

/* The rules, over any output. */
static void
assert_valid(struct json_object *m)
{
	const char *before = "";

	for (size_t i = 0; i < json_object_array_length(m); i++) {
		const char *role = role_at(m, i);
		struct json_object *c = jget(json_object_array_get_idx(m, i),
		    "content");

		CU_ASSERT_FATAL(json_object_array_length(c) > 0);
		CU_ASSERT_STRING_NOT_EQUAL(role, before);
		if (before[0] == '\0')
			CU_ASSERT_TRUE(strcmp(role, "system") == 0 ||
				       strcmp(role, "user") == 0);
		if (strcmp(role, "tool") == 0)
			CU_ASSERT_STRING_EQUAL(before, "assistant");
		if (strcmp(role, "assistant") == 0)
			CU_ASSERT_TRUE(answered(m, i));
		before = role;
	}
}

static struct json_object *
build(const struct run_history_row *rows, int n)
{
	struct json_object *m = history_build("be kind", rows, n);

	assert_valid(m);
	return m;
}

static void
test_plain(void)
{
	struct run_history_row rows[] = { USER("hi"), SAID("hello"),
		USER("bye") };
	struct json_object *m = build(rows, 3);

	CU_ASSERT_EQUAL(json_object_array_length(m), 4);
	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 3, 0), "text", ""), "bye");
	json_object_put(m);
}

static void
test_calls(void)
{
	struct run_history_row rows[] = { USER("go"),
		CALLS("[" CALL("a") "," CALL("b") "]"), RESULT("b", "two"),
		RESULT("a", "one"), SAID("done") };
	struct json_object *m = build(rows, 5);

	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 3, 0), "text", ""), "one");
	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 3, 1), "text", ""), "two");
	json_object_put(m);
}

static void
test_orphan_call(void)
{
	struct run_history_row rows[] = { USER("go"), CALLS("[" CALL("a") "]"),
		USER("still there?") };
	struct json_object *m = build(rows, 3);

	CU_ASSERT_TRUE(jget_bool(part_at(m, 3, 0), "is_error", false));
	CU_ASSERT_STRING_EQUAL(role_at(m, 4), "user");
	json_object_put(m);
}

static void
test_late_result(void)
{
	struct run_history_row rows[] = { USER("go"), CALLS("[" CALL("a") "]"),
		USER("next"), RESULT("a", "late") };
	struct json_object *m = build(rows, 4);

	CU_ASSERT_EQUAL(json_object_array_length(m), 5);
	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 3, 0), "text", ""), "late");
	json_object_put(m);
}

static void
test_orphan_and_doubled_results(void)
{
	struct run_history_row rows[] = { USER("go"), RESULT("x", "whose?"),
		CALLS("[" CALL("a") "]"), RESULT("a", "1"), RESULT("a", "2") };
	struct json_object *m = build(rows, 5);

	CU_ASSERT_EQUAL(json_object_array_length(m), 4);
	CU_ASSERT_EQUAL(json_object_array_length(
			    jget(json_object_array_get_idx(m, 3), "content")),
	    1);
	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 3, 0), "text", ""), "1");
	json_object_put(m);
}

static void
test_empty_and_cancelled(void)
{
	struct run_history_row rows[] = { USER("one"), SAID(""), USER("two"),
		CALLS("[{\"type\":\"text\",\"text\":\"\"}]"), USER("three") };
	struct json_object *m = build(rows, 5);

	/* What nobody answered stands in one message. */
	CU_ASSERT_EQUAL(json_object_array_length(m), 2);
	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 1, 2), "text", ""), "three");
	json_object_put(m);
}

static void
test_voided_first_turn(void)
{
	struct run_history_row rows[] = { SAID("left over"), USER("hi") };
	struct json_object *m = build(rows, 2);

	CU_ASSERT_EQUAL(json_object_array_length(m), 2);
	CU_ASSERT_STRING_EQUAL(role_at(m, 1), "user");
	json_object_put(m);
}

static void
test_broken_parts(void)
{
	struct run_history_row rows[] = { USER("hi"),
		{ .role = "assistant", .content = "text", .parts = "{oops" },
		USER("and?") };
	struct json_object *m = build(rows, 3);

	CU_ASSERT_STRING_EQUAL(jget_str(part_at(m, 2, 0), "text", ""), "text");
	json_object_put(m);
}

static void
test_open_calls(void)
{
	struct run_history_row rows[] = { USER("go"),
		CALLS("[" CALL("a") "," CALL("b") "]"), RESULT("b", "two"),
		SAID("done") };

	CU_ASSERT_EQUAL(history_open_calls(rows, 1), 0);
	CU_ASSERT_EQUAL(history_open_calls(rows, 2), 2);
	CU_ASSERT_EQUAL(history_open_calls(rows, 3), 1);
	CU_ASSERT_EQUAL(history_open_calls(rows, 4), 0);
	CU_ASSERT_EQUAL(history_open_calls(rows, 0), 0);
}

/* Any order of any rows gives a history that obeys the rules. */
static void
test_any_order(void)
{
	const struct run_history_row kinds[] = { USER("u"), SAID("s"), SAID(""),
		CALLS("[" CALL("a") "]"), RESULT("a", "r"),
		CALLS("[" CALL("b") "," CALL("c") "]"), RESULT("c", "r") };
	struct run_history_row rows[6];

	for (unsigned seed = 0; seed < 7 * 7 * 7 * 7 * 7 * 7; seed++) {
		unsigned s = seed;

		for (int i = 0; i < 6; i++, s /= 7)
			rows[i] = kinds[s % 7];
		json_object_put(build(rows, 6));
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "plain turns", test_plain },
		{ "results in the order of the calls", test_calls },
		{ "a call without result gets one", test_orphan_call },
		{ "a late result finds its place", test_late_result },
		{ "orphan and doubled results",
		    test_orphan_and_doubled_results },
		{ "empty and cancelled turns", test_empty_and_cancelled },
		{ "a voided first turn", test_voided_first_turn },
		{ "parts that cannot be read", test_broken_parts },
		{ "open calls", test_open_calls },
		{ "any order of rows", test_any_order },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "history", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
