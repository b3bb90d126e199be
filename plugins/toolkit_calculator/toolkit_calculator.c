/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

#include "expression.h"

/* Computes, so that models need not guess. */

struct evaluate {
	const char *expression;
};

static const struct as_field evaluate_params[] = {
	AS_STR(struct evaluate, expression, NULL, AS_REQUIRED,
	    "Arithmetic such as 2 * (3 + 4) ^ 2 or sqrt(2) / pi. Operators "
	    "+ - * / % ^, functions sqrt abs round floor ceil min max ln log "
	    "exp sin cos tan (radians), constants pi and e."),
	AS_END,
};

static enum as_status
evaluate(struct as_call *call, const void *in)
{
	const struct evaluate *args = in;
	char error[EXPRESSION_ERROR], text[40];
	double value;

	if (!expression_evaluate(args->expression, &value, error))
		return as_fail(call, AS_INVALID, "%s", error);
	expression_print(value, text, sizeof(text));
	return as_reply_text(call, "%s", text);
}

static const struct as_tool tools[] = {
	{
	    .name = "evaluate",
	    .doc = "Evaluate an arithmetic expression exactly. Use it for any "
		   "calculation.",
	    AS_PARAMS(struct evaluate, evaluate_params),
	    .effect = AS_EFFECT_NONE,
	    .timeout_ms = 5000,
	    .run = evaluate,
	},
	AS_END,
};

AS_PLUGIN(.name = "toolkit_calculator",
    .summary = "Evaluates arithmetic expressions.", .version = "1.0.0",
    .flags = AS_PARALLEL | AS_UNLOADABLE,
    .toolkit = AS_TOOLKIT(.title = "Calculator", .tools = tools));
