/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "plugins/toolkit_calculator/expression.h"
#include "tests/tap.h"

/* Expressions and their results, and what is said of wrong ones. */

static const char *const right[][2] = {
	{ "2+2", "4" },
	{ " 2 + 3 * 4 ", "14" },
	{ "(2+3)*4", "20" },
	{ "2^3^2", "512" },
	{ "-2^2", "-4" },
	{ "(-2)^2", "4" },
	{ "2^-1", "0.5" },
	{ "--3", "3" },
	{ "1/4", "0.25" },
	{ "0.1+0.2", "0.3" },
	{ "1/3", "0.333333333333333" },
	{ "10%4", "2" },
	{ "-7%3", "-1" },
	{ "7.5 % 2", "1.5" },
	{ "1e3", "1000" },
	{ "2E-2", "0.02" },
	{ ".5*4", "2" },
	{ "5.", "5" },
	{ "sqrt(16)", "4" },
	{ "SQRT(2)^2", "2" },
	{ "abs(-3)", "3" },
	{ "round(2.5)", "3" },
	{ "floor(-1.5)", "-2" },
	{ "ceil(1.2)", "2" },
	{ "min(3, 1, 2)", "1" },
	{ "max(3,1,2)", "3" },
	{ "ln(e)", "1" },
	{ "log(1000)", "3" },
	{ "exp(0)", "1" },
	{ "sin(0)", "0" },
	{ "cos(pi)", "-1" },
	{ "tan(0)", "0" },
	{ "2*pi", "6.28318530717959" },
	{ "9007199254740991", "9007199254740991" },
	{ "94906265*94906265", "9007199136250225" },
	{ "1e300*10", "1e+301" },
	{ "0*-1", "0" },
	{ "2\n+\t2", "4" },
};

static const char *const wrong[][2] = {
	{ "", "the expression is empty" },
	{ "   ", "the expression is empty" },
	{ "1/0", "division by zero" },
	{ "5 % 0", "division by zero" },
	{ "1/(2-2)", "division by zero" },
	{ "2+", "the expression ends too early" },
	{ "(2+3", "the expression ends too early" },
	{ "2+3)", "unexpected character ')' at 4" },
	{ "2 $ 3", "unexpected character '$' at 3" },
	{ "2 \xc3\x97 3", "unexpected character '\xc3\x97' at 3" },
	{ "2 2", "unexpected character '2' at 3" },
	{ "foo", "unknown word 'foo' at 1" },
	{ "foo(1)", "there is no function foo" },
	{ "verylongname(1)", "unknown word at 1" },
	{ "sqrt(-1)", "sqrt of -1 is not a number" },
	{ "sqrt(1,2)", "sqrt takes one value, not 2" },
	{ "sqrt()", "unexpected character ')' at 6" },
	{ "ln(0)", "ln of 0 is not a number" },
	{ "(-8)^0.5", "-8 to the power of 0.5 is not a number" },
	{ "1e999", "the number at 1 is too large" },
	{ "10^400", "the result is too large" },
	{ "inf", "unknown word 'inf' at 1" },
	{ "0x10", "unexpected character 'x' at 2" },
	{ ".", "unexpected character '.' at 1" },
	{ "1,2", "unexpected character ',' at 2" },
	{ "min(1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8)",
	    "min takes at most 16 values" },
};

static void
test_right(void)
{
	char error[EXPRESSION_ERROR], text[40];
	double value;
	size_t i;

	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		strcpy(error, "");
		CU_ASSERT(expression_evaluate(right[i][0], &value, error));
		expression_print(value, text, sizeof(text));
		if (strcmp(text, right[i][1]) != 0)
			tap_note("%s is %s (%s), not %s", right[i][0], text,
			    error, right[i][1]);
		CU_ASSERT_STRING_EQUAL(text, right[i][1]);
	}
}

static void
test_wrong(void)
{
	char error[EXPRESSION_ERROR];
	double value;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		strcpy(error, "");
		CU_ASSERT_FALSE(
		    expression_evaluate(wrong[i][0], &value, error));
		if (strcmp(error, wrong[i][1]) != 0)
			tap_note("%s: %s", wrong[i][0], error);
		CU_ASSERT_STRING_EQUAL(error, wrong[i][1]);
	}
}

/* As deep and as long as it gets: refused, and the stack lives. */
static void
test_bounds(void)
{
	static const char *const pieces[] = { "(", "2^", "-", "sqrt(", "2+" };
	char error[EXPRESSION_ERROR], text[EXPRESSION_LEN_MAX + 2];
	double value;
	size_t i, n;

	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		n = strlen(pieces[i]);
		text[0] = '\0';
		while (strlen(text) + n <= EXPRESSION_LEN_MAX - 1)
			strcat(text, pieces[i]);
		CU_ASSERT_FALSE(expression_evaluate(text, &value, error));
	}
	memset(text, '1', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT_FALSE(expression_evaluate(text, &value, error));
	CU_ASSERT_STRING_EQUAL(error, "longer than 1000 characters");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "right ones", test_right },
		{ "wrong ones", test_wrong },
		{ "deep and long ones", test_bounds },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "calculator", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
