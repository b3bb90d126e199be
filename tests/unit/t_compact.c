/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/compact.h"
#include "core/run/history.h"
#include "tests/tap.h"

/* What is kept of a history, and what a model is told after it. */

#define MAX 64

static struct run_history_row rows[MAX];
static char texts[MAX][512];
static int n;

/* About `tokens` long. */
static struct run_history_row *
add(const char *role, int tokens, const char *more)
{
	struct run_history_row *r = &rows[n];
	int fill = tokens > 16 ? tokens * 4 - 60 : 4;

	snprintf(texts[n], sizeof(texts[n]),
	    "[{\"type\":\"text\",\"text\":\"%d%.*s\"}%s]", n, fill,
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xx",
	    more);
	*r = (struct run_history_row){ .role = role,
		.content = "",
		.parts = texts[n],
		.state = "final",
		.sequence = n + 1 };
	r->id.b[0] = (uint8_t)(n + 1);
	n++;
	return r;
}

static void
turn(void)
{
	add("user", 50, "");
	add("assistant", 50, "");
}

static void
call(int i)
{
	static char ids[MAX][64];

	snprintf(ids[i], sizeof(ids[i]),
	    ",{\"type\":\"tool_call\",\"id\":\"c%d\",\"name\":\"t\",\"args\":{}"
	    "}",
	    i);
	add("assistant", 30, ids[i]);
	add("tool", 30, "")->tool_call_id = "c";
}

static void
summary(int keeps)
{
	struct run_history_row *r = add("system", 0, "");

	snprintf(texts[n - 1], sizeof(texts[n - 1]),
	    "[{\"type\":\"summary\",\"text\":\"short\",\"keeps\":%d}]", keeps);
	r->content = "short";
}

static void
test_estimate(void)
{
	CU_ASSERT_EQUAL(compact_tokens(NULL), 0);
	CU_ASSERT_EQUAL(compact_tokens(""), 0);
	CU_ASSERT_EQUAL(compact_tokens("a"), 1);
	CU_ASSERT_EQUAL(compact_tokens("abcd"), 1);
	CU_ASSERT_EQUAL(compact_tokens("abcde"), 2);
	n = 0;
	turn();
	CU_ASSERT_TRUE(compact_estimate(rows, n) > 80);
	CU_ASSERT_TRUE(compact_estimate(rows, n) < 120);
}

static void
test_when(void)
{
	struct compact_plan p;
	int64_t all;

	n = 0;
	for (int i = 0; i < 8; i++)
		turn();
	add("user", 50, "");
	all = compact_estimate(rows, n);
	CU_ASSERT_FALSE(compact_due(&p, rows, n, 0, 0, 75));
	CU_ASSERT_FALSE(compact_due(&p, rows, n, 0, all, 0));
	CU_ASSERT_FALSE(compact_due(&p, rows, n, 0, all * 4 / 3 + 101, 75));
	CU_ASSERT_TRUE(compact_due(&p, rows, n, 0, all, 75));
	/* The prompt counts. */
	CU_ASSERT_TRUE(compact_due(&p, rows, n, 100, all * 4 / 3 + 101, 75));
	/* Nothing can be left out of a single question. */
	n = 0;
	add("user", 50, "");
	CU_ASSERT_FALSE(compact_due(&p, rows, n, 1000, 10, 75));
}

static void
test_counted(void)
{
	struct compact_plan p;

	n = 0;
	turn();
	turn();
	rows[3].usage = "{\"input_tokens\":900,\"output_tokens\":50}";
	add("user", 50, "");
	CU_ASSERT_TRUE(compact_due(&p, rows, n, 0, 1200, 75));
	CU_ASSERT_TRUE(p.tokens > 950 && p.tokens < 1050);
	CU_ASSERT_TRUE(p.cut > 0);
	/* Not before the summary, and not far below what is there. */
	rows[3].usage = "{\"input_tokens\":1,\"output_tokens\":1}";
	CU_ASSERT_FALSE(compact_due(&p, rows, n, 0, 1200, 75));
	CU_ASSERT_TRUE(p.tokens >= compact_estimate(rows, n) / 2);
}

static void
test_turns(void)
{
	struct compact_plan p;

	n = 0;
	for (int i = 0; i < 8; i++)
		turn();
	add("user", 50, "");
	CU_ASSERT_TRUE(compact_due(&p, rows, n, 0, 900, 75));
	CU_ASSERT_EQUAL(p.from, 0);
	CU_ASSERT_STRING_EQUAL(rows[p.cut].role, "user");
	CU_ASSERT_TRUE(compact_estimate(rows + p.cut, n - p.cut) <= 900 / 4);
	CU_ASSERT_TRUE(
	    compact_estimate(rows + p.cut - 2, n - p.cut + 2) > 900 / 4);
	/* Right after a summary there is none. */
	summary(n - p.cut);
	CU_ASSERT_FALSE(compact_due(&p, rows, n, 0, 10, 75));
}

/* One turn that is too long by itself loses steps, and keeps its question. */
static void
test_steps(void)
{
	struct compact_plan p;
	struct compact_view v;

	n = 0;
	add("user", 20, "");
	for (int i = 0; i < 10; i++)
		call(i);
	CU_ASSERT_TRUE(compact_due(&p, rows, n, 0, 700, 75));
	CU_ASSERT_STRING_EQUAL(rows[p.cut].role, "assistant");
	CU_ASSERT_TRUE(p.cut > 1);
	summary(n - p.cut);
	compact_view(&v, rows, n);
	CU_ASSERT_EQUAL(v.from, p.cut);
	CU_ASSERT_EQUAL(v.question, 0);
	CU_ASSERT_STRING_EQUAL(v.summary, "short");
	json_object_put(v.parts);
}

/* Whatever `keeps` says, a result is told with its call. */
static void
test_not_parted(void)
{
	struct compact_view v;

	n = 0;
	turn();
	add("user", 20, "");
	call(0);
	summary(1);
	compact_view(&v, rows, n);
	CU_ASSERT_STRING_EQUAL(rows[v.from].role, "assistant");
	json_object_put(v.parts);
}

static void
test_told(void)
{
	struct json_object *out, *m;

	n = 0;
	turn();
	turn();
	add("user", 20, "");
	summary(1);
	add("assistant", 20, "");
	add("user", 20, "");
	out = history_build("prompt", rows, n);
	CU_ASSERT_EQUAL(json_object_array_length(out), 4);
	m = json_object_array_get_idx(out, 0);
	CU_ASSERT_STRING_EQUAL(jget_str(m, "role", ""), "system");
	CU_ASSERT_PTR_NOT_NULL(strstr(json_text(m), "prompt"));
	CU_ASSERT_PTR_NOT_NULL(strstr(json_text(m), "short"));
	m = json_object_array_get_idx(out, 1);
	CU_ASSERT_STRING_EQUAL(jget_str(m, "role", ""), "user");
	CU_ASSERT_PTR_NOT_NULL(strstr(json_text(m), "\"4x"));
	json_object_put(out);
}

static void
test_request(void)
{
	struct compact_plan p = { .from = 2, .cut = 4, .window = 1000 };
	struct json_object *out;
	const char *ask;

	n = 0;
	turn();
	turn();
	add("user", 20, "");
	rows[0].content = "first words";
	rows[2].content = "second words";
	rows[4].content = "third words";
	out = compact_request(&p, rows, n);
	CU_ASSERT_EQUAL(json_object_array_length(out), 2);
	ask = json_text(json_object_array_get_idx(out, 1));
	CU_ASSERT_PTR_NULL(strstr(ask, "first words"));
	CU_ASSERT_PTR_NOT_NULL(strstr(ask, "user: second words"));
	CU_ASSERT_PTR_NULL(strstr(ask, "third words"));
	json_object_put(out);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "tokens are estimated", test_estimate },
		{ "it is due near the window", test_when },
		{ "what the model counted is believed", test_counted },
		{ "whole turns are left out", test_turns },
		{ "of a long turn, whole steps", test_steps },
		{ "a call and its result stay together", test_not_parted },
		{ "what a model is told", test_told },
		{ "what is asked for a summary", test_request },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "compact", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
