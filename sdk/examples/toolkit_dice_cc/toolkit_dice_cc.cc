// SPDX-License-Identifier: Apache-2.0
#include <agentstudio/toolkit.h>
#include <exception>
#include <string>
#include <vector>

// Rolls dice, in C++17.  What C++ adds to the contract: tables are made and then
// filled, for there are no designated initialisers, and no exception leaves a
// function of the plugin.

namespace {

struct conf {
	int64_t most;
};

const as_field options[] = {
	AS_INT(conf, most, 100, 1, 1000, 0,
	    "How many dice may be rolled at once."),
	AS_END
};

struct rolls {
	int64_t sides;
	int64_t times;
};

const as_field rolls_params[] = {
	AS_INT(rolls, sides, 6, 2, 1000, 0, "How many sides a die has."),
	AS_INT(rolls, times, 1, 1, 1000, 0, "How many dice to roll."),
	AS_END
};

std::vector<int64_t>
throw_dice(as_call *call, const rolls &args)
{
	std::vector<int64_t> eyes;
	uint32_t random;

	for (int64_t i = 0; i < args.times; i++) {
		as_random(call, &random, sizeof(random));
		eyes.push_back(1 + random % args.sides);
	}
	return eyes;
}

as_status
roll(as_call *call, const void *in) noexcept
try {
	auto &args = *static_cast<const rolls *>(in);
	auto &limits = *static_cast<const conf *>(as_conf(call));

	if (args.times > limits.most)
		return as_fail(call, AS_LIMIT, "at most %d dice at once",
		    static_cast<int>(limits.most));

	std::string text;
	int64_t sum = 0;
	for (int64_t eyes : throw_dice(call, args)) {
		text += (text.empty() ? "" : " + ") + std::to_string(eyes);
		sum += eyes;
	}
	text += " = " + std::to_string(sum);

	as_json *result = as_object(call);
	as_put_text(result, "text", text.data(), text.size());
	as_put_int(result, "sum", sum);
	return as_reply(call, result);
} catch (const std::exception &e) {
	return as_fail(call, AS_NOMEM, "%s", e.what());
}

const as_plugin *
describe()
{
	static as_tool tools[2] = {};
	static as_toolkit toolkit = as_make<as_toolkit>();
	static as_plugin plugin = as_make<as_plugin>();

	tools[0].name = "roll";
	tools[0].doc = "Rolls dice; answers with each roll and their sum.";
	tools[0].params = rolls_params;
	tools[0].params_size = sizeof(rolls);
	tools[0].effect = AS_EFFECT_NONE;
	tools[0].run = roll;
	toolkit.title = "Dice";
	toolkit.tools = tools;
	plugin.name = "toolkit_dice_cc";
	plugin.summary = "Rolls dice.";
	plugin.version = "1.0.0";
	plugin.flags = AS_PARALLEL;
	plugin.options = options;
	plugin.conf_size = sizeof(conf);
	plugin.toolkit = &toolkit;
	return &plugin;
}

} // namespace

AS_PLUGIN_ENTRY(describe());
