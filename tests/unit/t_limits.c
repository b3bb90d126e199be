/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/run/limits.h"
#include "tests/tap.h"

/*
 * Budgets, limits, circles, money.
 */

static const struct engine_limits limits = { .max_steps = 5,
	.max_tokens = 1000,
	.max_cost_micros = 2500 };

/* ---- Budgets ------------------------------------------------------- */

static void
test_budget(void)
{
	struct run_budget b = { 1, 2, 3, 4, 5 }, back;
	struct buf text = { 0 };

	run_budget_write(&text, &b);
	run_budget_parse(&back, text.data);
	CU_ASSERT_EQUAL(back.steps, 1);
	CU_ASSERT_EQUAL(back.tokens, 2);
	CU_ASSERT_EQUAL(back.cost_micros, 3);
	CU_ASSERT_EQUAL(back.repeats, 4);
	CU_ASSERT_EQUAL(back.wall_left_ms, 5);
	buf_free(&text);
	run_budget_extend(&back, &limits);
	CU_ASSERT_EQUAL(back.steps, 6);
	CU_ASSERT_EQUAL(back.tokens, 1002);
	CU_ASSERT_EQUAL(back.cost_micros, 2503);
	CU_ASSERT_EQUAL(back.repeats, 4 + RUN_REPEATS_MAX);
}

static void
test_budget_broken(void)
{
	static const char *const bad[] = { NULL, "", "{", "[]", "null", "5",
		"{\"steps\":\"many\"}" };
	struct run_budget b;

	for (size_t i = 0; i < N_ITEMS(bad); i++) {
		memset(&b, 0x55, sizeof(b));
		run_budget_parse(&b, bad[i]);
		CU_ASSERT_TRUE(b.steps == 0 && b.tokens == 0 &&
			       b.cost_micros == 0 && b.repeats == 0);
	}
	run_budget_parse(&b, "{\"tokens\":7}");
	CU_ASSERT_TRUE(b.steps == 0 && b.tokens == 7);
}

/* ---- Limits -------------------------------------------------------- */

static enum error_code
reached(struct run_budget granted, struct run_used used)
{
	struct error err = { 0 };
	bool holds = run_limits_hold(&limits, &granted, &used, &err);
	enum error_code code = err.code;

	CU_ASSERT_EQUAL(holds, code == ERR_NONE);
	error_clear(&err);
	return code;
}

static void
test_limits(void)
{
	struct run_budget none = { 0 }, more = { 5, 1000, 2500, 5, 0 };
	struct run_used used = { 4, 999, 2499, 4 };

	CU_ASSERT_EQUAL(reached(none, used), ERR_NONE);
	used.steps = 5;
	CU_ASSERT_EQUAL(reached(none, used), ERR_LIMIT_REACHED);
	CU_ASSERT_EQUAL(reached(more, used), ERR_NONE);
	used = (struct run_used){ .tokens = 1000 };
	CU_ASSERT_EQUAL(reached(none, used), ERR_LIMIT_REACHED);
	CU_ASSERT_EQUAL(reached(more, used), ERR_NONE);
	used = (struct run_used){ .cost_micros = 2500 };
	CU_ASSERT_EQUAL(reached(none, used), ERR_LIMIT_REACHED);
	CU_ASSERT_EQUAL(reached(more, used), ERR_NONE);
	used = (struct run_used){ .repeats = 5 };
	CU_ASSERT_EQUAL(reached(none, used), ERR_LOOP_DETECTED);
	CU_ASSERT_EQUAL(reached(more, used), ERR_NONE);
	used = (struct run_used){ 10, 2000, 5000, 10 };
	CU_ASSERT_EQUAL(reached(more, used), ERR_LIMIT_REACHED);
}

static void
test_no_cost_limit(void)
{
	struct engine_limits free_of_charge = limits;
	struct run_budget none = { 0 };
	struct run_used used = { .cost_micros = INT64_MAX };

	free_of_charge.max_cost_micros = 0;
	CU_ASSERT_TRUE(run_limits_hold(&free_of_charge, &none, &used, NULL));
}

/* ---- Circles ------------------------------------------------------- */

#define CALL(name, args) \
	"[{\"type\":\"text\",\"text\":\"hm\"},{\"type\":\"tool_call\"," \
	"\"id\":\"c\",\"name\":\"" name "\",\"args\":" args "}]"
#define SAME \
	"[{\"type\":\"tool_call\",\"id\":\"c\",\"name\":\"t\",\"args\":" \
	"{\"a\":1,\"b\":2}}]"
#define TURNED \
	"[{\"type\":\"tool_call\",\"id\":\"d\",\"name\":\"t\",\"args\":" \
	"{\"b\":2,\"a\":1}}]"
#define OTHER \
	"[{\"type\":\"tool_call\",\"id\":\"d\",\"name\":\"t\",\"args\":" \
	"{\"b\":2,\"a\":3}}]"
#define TWICE \
	"[{\"type\":\"tool_call\",\"id\":\"c\",\"name\":\"t\",\"args\":" \
	"{\"a\":1,\"b\":2}},{\"type\":\"tool_call\",\"id\":\"e\",\"name\":" \
	"\"t\",\"args\":{\"a\":1,\"b\":2}}]"
#define WORDS "[{\"type\":\"text\",\"text\":\"hm\"}]"

static const struct uuid run_1 = { { 1 } }, run_2 = { { 2 } };

/* Answers of the run, each followed by a result. */
static int
repeats(const char *const *parts, int n, int n_before)
{
	struct run_history_row rows[32];
	int k = 0;

	memset(rows, 0, sizeof(rows));
	for (int i = 0; i < n; i++) {
		rows[k].role = "assistant";
		rows[k].parts = parts[i];
		rows[k++].run_id = i < n_before ? run_2 : run_1;
		rows[k].role = "tool";
		rows[k].parts = SAME; /* not looked at */
		rows[k++].run_id = i < n_before ? run_2 : run_1;
	}
	return run_repeats(rows, k, run_1);
}

#define REPEATS(n_before, ...) \
	repeats((const char *const[]){ __VA_ARGS__ }, \
	    (int)N_ITEMS(((const char *const[]){ __VA_ARGS__ })), n_before)

static void
test_repeats(void)
{
	CU_ASSERT_EQUAL(run_repeats(NULL, 0, run_1), 0);
	CU_ASSERT_EQUAL(REPEATS(0, WORDS), 0);
	CU_ASSERT_EQUAL(REPEATS(0, SAME), 1);
	CU_ASSERT_EQUAL(REPEATS(0, SAME, SAME, SAME), 3);
	CU_ASSERT_EQUAL(REPEATS(0, SAME, TURNED, SAME), 3);
	CU_ASSERT_EQUAL(REPEATS(0, SAME, OTHER), 1);
	CU_ASSERT_EQUAL(REPEATS(0, SAME, OTHER, SAME), 1);
	CU_ASSERT_EQUAL(REPEATS(0, OTHER, SAME, SAME), 2);
	CU_ASSERT_EQUAL(REPEATS(0, SAME, SAME, WORDS), 0);
	CU_ASSERT_EQUAL(REPEATS(0, SAME, WORDS, SAME), 1);
	/* Another number of calls, another tool, other words around it. */
	CU_ASSERT_EQUAL(REPEATS(0, SAME, TWICE), 1);
	CU_ASSERT_EQUAL(REPEATS(0, CALL("t", "{}"), CALL("u", "{}")), 1);
	CU_ASSERT_EQUAL(REPEATS(0, CALL("t", "{\"a\":1,\"b\":2}"), SAME), 2);
	/* Those of the run before do not count. */
	CU_ASSERT_EQUAL(REPEATS(2, SAME, SAME, SAME), 1);
	CU_ASSERT_EQUAL(REPEATS(3, SAME, SAME, SAME), 0);
	/* What cannot be read is no call. */
	CU_ASSERT_EQUAL(REPEATS(0, SAME, "{", NULL), 0);
	CU_ASSERT_EQUAL(REPEATS(0, NULL, "7", SAME), 1);
}

/* ---- Money --------------------------------------------------------- */

static int64_t
cost(const char *model, int64_t input, int64_t output)
{
	static const char *prices[] = { "p/one=3,15", "p/one-more=1.5,0",
		"p/flat=2", "p/tiny=0.05,0.4", "p/broken" };
	static const struct as_list list = { .items = prices,
		.n = N_ITEMS(prices) };

	return run_cost_micros(&list, model, input, output);
}

static void
test_cost(void)
{
	CU_ASSERT_EQUAL(cost("p/one", 1000, 100), 3000 + 1500);
	CU_ASSERT_EQUAL(cost("p/one-more", 1000, 100), 1500);
	CU_ASSERT_EQUAL(cost("p/flat", 10, 5), 30);
	CU_ASSERT_EQUAL(cost("p/tiny", 10, 0), 1); /* rounded, not cut */
	CU_ASSERT_EQUAL(cost("p/tiny", 1000000, 1000000), 450000);
	CU_ASSERT_EQUAL(cost("p/one", -1, 100), 1500); /* -1: not known */
	CU_ASSERT_EQUAL(cost("p/on", 1000, 100), 0);
	CU_ASSERT_EQUAL(cost("p/broken", 1000, 100), 0);
	CU_ASSERT_EQUAL(cost("", 1000, 100), 0);
	CU_ASSERT_EQUAL(cost(NULL, 1000, 100), 0);
	CU_ASSERT_EQUAL(run_cost_micros(NULL, "p/one", 1, 1), 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a budget is written, read, extended", test_budget },
		{ "a broken budget", test_budget_broken },
		{ "each limit, with and without a grant", test_limits },
		{ "no limit of cost", test_no_cost_limit },
		{ "the same calls in a row", test_repeats },
		{ "what a call costs", test_cost },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "limits", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
