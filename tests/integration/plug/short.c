/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/*
 * A plugin built when as_tool ended with verify.  What follows a row is the
 * next one, so a host that reads beyond its end finds a name there.
 */

struct row {
	const char *name;
	const char *doc;
	const struct as_field *params;
	uint32_t params_size;
	uint32_t flags;
	const char *schema;
	const char *result_schema;
	enum as_effect effect;
	uint32_t timeout_ms;
	int64_t key_valid_ms;
	AS_SUSPENDS as_tool_fn *run;
	AS_SUSPENDS as_tool_fn *verify;
};

static enum as_status
two(struct as_call *call, const void *in)
{
	(void)in;
	return as_reply_text(call, "two");
}

static const struct row rows[] = {
	{ .name = "one", .doc = "One.", .run = two },
	{ .name = "two",
	    .doc = "Two.",
	    .effect = AS_EFFECT_REPEAT,
	    .run = two },
	{ .name = NULL },
};

static const struct as_toolkit toolkit = {
	.size = sizeof(toolkit),
	.tool_size = sizeof(struct row),
	.tools = (const struct as_tool *)(const void *)rows,
};

AS_PLUGIN(.name = "toolkit_short", .summary = "Is from yesterday.",
    .version = "1.0.0", .flags = AS_PARALLEL, .toolkit = &toolkit);
