/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/*
 * A plugin from outside the tree: it is built with nothing but what is
 * installed, as somebody else would build it.
 */

struct conf {
	int64_t most; /* sides */
};

static const struct as_field options[] = {
	AS_INT(struct conf, most, 100, 2, 1000000, 0,
	    "The most sides that a die may have."),
	AS_END
};

struct roll {
	int64_t sides;
	int64_t times;
};

static const struct as_field roll_params[] = {
	AS_INT(struct roll, sides, 6, 2, 1000000, 0, "Sides of each die."),
	AS_INT(struct roll, times, 1, 1, 100, 0, "How many dice to roll."),
	AS_END
};

static enum as_status
roll(struct as_call *call, const void *in)
{
	const struct conf *conf = as_conf(call);
	const struct roll *args = in;
	int64_t sum = 0;

	if (args->sides > conf->most)
		return as_fail(call, AS_INVALID, "no die has %lld sides",
		    (long long)args->sides);
	for (int64_t i = 0; i < args->times; i++) {
		uint32_t r;

		as_random(call, &r, sizeof(r));
		sum += 1 + r % args->sides;
	}
	return as_reply_text(call, "%lld", (long long)sum);
}

static const struct as_tool tools[] = {
	{ .name = "roll",
	    .doc = "Rolls dice and returns the sum.",
	    AS_PARAMS(struct roll, roll_params),
	    .effect = AS_EFFECT_NONE,
	    .run = roll },
	AS_END
};

AS_PLUGIN(.name = "toolkit_dice", .summary = "Rolls dice.", .version = "1.0.0",
    AS_OPTIONS(struct conf, options), .flags = AS_PARALLEL,
    .toolkit = AS_TOOLKIT(.title = "Dice", .tools = tools));
