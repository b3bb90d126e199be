/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/* A tool that does next to nothing: what is left is what a call costs. */

struct args {
	const char *text;
	int64_t n;
};

static const struct as_field params[] = {
	AS_STR(struct args, text, "", 0, "Some text."),
	AS_INT(struct args, n, 0, 0, 1000000, 0, "A number."),
	AS_END,
};

static enum as_status
back(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct as_json *o = as_object(call);

	as_put_str(o, "text", args->text);
	as_put_int(o, "n", args->n);
	return as_reply(call, o);
}

static const struct as_tool tools[] = {
	{ .name = "back",
	    .doc = "Gives back what it gets.",
	    AS_PARAMS(struct args, params),
	    .effect = AS_EFFECT_NONE,
	    .run = back },
	AS_END,
};

AS_PLUGIN(.name = "toolkit_mirror", .summary = "Gives back what it gets.",
    .version = "1.0.0", .flags = AS_PARALLEL,
    .toolkit = AS_TOOLKIT(.title = "Mirror", .tools = tools));
