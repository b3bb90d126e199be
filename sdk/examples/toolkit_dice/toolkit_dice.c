/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/* Rolls dice: the whole of a plugin, to be copied. */

struct conf {
	int64_t most;
};

static const struct as_field options[] = {
	AS_INT(struct conf, most, 100, 1, 1000, 0,
	    "How many dice may be rolled at once."),
	AS_END,
};

struct roll {
	int64_t sides;
	int64_t times;
};

static const struct as_field roll_params[] = {
	AS_INT(struct roll, sides, 6, 2, 1000, 0, "How many sides a die has."),
	AS_INT(struct roll, times, 1, 1, 1000, 0, "How many dice to roll."),
	AS_END,
};

static enum as_status
roll(struct as_call *call, const void *in)
{
	const struct conf *conf = as_conf(call);
	const struct roll *args = in;
	struct as_json *result = as_object(call);
	struct as_json *rolls = as_put_array(result, "rolls");
	int64_t i, one, sum = 0;
	uint32_t random;

	if (args->times > conf->most)
		return as_fail(call, AS_LIMIT, "at most %d dice at once",
		    (int)conf->most);
	for (i = 0; i < args->times; i++) {
		as_random(call, &random, sizeof(random));
		one = 1 + random % (uint32_t)args->sides;
		as_put_int(rolls, NULL, one);
		sum += one;
	}
	as_put_int(result, "sum", sum);
	return as_reply(call, result);
}

static const struct as_tool tools[] = {
	{
	    .name = "roll",
	    .doc = "Roll dice; answers with each roll and their sum.",
	    AS_PARAMS(struct roll, roll_params),
	    .effect = AS_EFFECT_NONE,
	    .run = roll,
	},
	AS_END,
};

AS_PLUGIN(.name = "toolkit_dice", .summary = "Rolls dice.", .version = "1.0.0",
    .flags = AS_PARALLEL, AS_OPTIONS(struct conf, options),
    .toolkit = AS_TOOLKIT(.title = "Dice", .tools = tools));
