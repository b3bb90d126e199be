#include <agentstudio/toolkit.h>

/* Options: what an admin can write into plugins.toolkit_frozen of conf.d. */

struct conf {
	const char *greeting;
};

static const struct as_field options[] = {
	AS_STR(struct conf, greeting, "Hello", 0,
	    "The word that a greeting begins with."),
	AS_END
};

/* The tool frozen_greet.  The model reads these sentences. */

struct greet {
	const char *name;
	int64_t times;
};

static const struct as_field greet_params[] = {
	AS_STR(struct greet, name, NULL, AS_REQUIRED, "Whom to greet."),
	AS_INT(struct greet, times, 1, 1, 10, 0, "How often to greet them."),
	AS_END
};

static enum as_status
greet(struct as_call *call, const void *in)
{
	const struct conf *conf = as_conf(call);
	const struct greet *args = in;
	struct as_json *result = as_object(call);
	struct as_json *lines = as_put_array(result, "greetings");

	if (args->name[0] == '\0')
		return as_fail(call, AS_INVALID, "nobody to greet");
	for (int64_t i = 0; i < args->times; i++)
		as_put_str(lines, NULL,
		    as_printf(call, "%s, %s!", conf->greeting, args->name));
	return as_reply(call, result);
}

static const struct as_tool tools[] = {
	{
	    .name = "greet",
	    .doc = "Greets somebody by name; answers with the greetings.",
	    AS_PARAMS(struct greet, greet_params),
	    .effect = AS_EFFECT_NONE, /* it reads only: may be repeated */
	    .run = greet,
	},
	AS_END
};

AS_PLUGIN(.name = "toolkit_frozen", .summary = "Greets people.",
    .version = "0.1.0",
    .flags = AS_PARALLEL, /* no state: any thread may call */
    AS_OPTIONS(struct conf, options),
    .toolkit = AS_TOOLKIT(.title = "Frozen", .tools = tools));
