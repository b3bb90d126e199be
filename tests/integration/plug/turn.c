/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include <agentstudio/toolkit.h>
#include <stdatomic.h>

/*
 * A plugin that knows which version it is, built as several.  The first has a
 * tool that the others do not have, and they have one that it has not.
 */

struct conf {
	int64_t limit;
	bool fail_init, fail_start;
};

static const struct as_field options[] = {
	AS_INT(struct conf, limit, 5, 1, 10, 0, "A number."),
	AS_BOOL(struct conf, fail_init, false, 0, "Whether init fails."),
	AS_BOOL(struct conf, fail_start, false, 0, "Whether start fails."),
	AS_END,
};

struct args {
	int64_t ms;
};

static const struct as_field params[] = {
	AS_MS(struct args, ms, 0, 0, 600000, 0, "How long."),
	AS_END,
};

/* Of this generation: each has a copy of the file. */
static atomic_llong calls;

static enum as_status
say(struct as_call *call)
{
	const struct conf *conf = as_conf(call);
	struct as_json *o = as_object(call);

	as_put_int(o, "version", TURN_VERSION);
	as_put_int(o, "calls", atomic_fetch_add(&calls, 1) + 1);
	as_put_int(o, "limit", conf->limit);
	return as_reply(call, o);
}

static enum as_status
number(struct as_call *call, const void *in)
{
	(void)in;
	return say(call);
}

static enum as_status
wait_for(struct as_call *call, const void *in)
{
	const struct args *args = in;
	enum as_status st = as_sleep(call, args->ms);

	return st != AS_OK ? st : say(call);
}

static const struct as_tool tools[] = {
	{ .name = "number", .doc = "Says who it is.", .run = number },
	{ .name = "wait",
	    .doc = "Says it later.",
	    AS_PARAMS(struct args, params),
	    .run = wait_for },
	{ .name = TURN_VERSION == 1 ? "old" : "new",
	    .doc = "Of some versions only.",
	    .run = number },
	AS_END,
};

static enum as_status
init(struct as_call *call)
{
	const struct conf *conf = as_conf(call);

	as_count(call, "init", 1);
	return conf->fail_init ? as_fail(call, AS_INVALID, "no init today")
			       : AS_OK;
}

static enum as_status
start(struct as_call *call)
{
	const struct conf *conf = as_conf(call);

	return conf->fail_start
		   ? as_fail(call, AS_UNAVAILABLE, "no start today")
		   : AS_OK;
}

static void
stop(struct as_call *call)
{
	as_count(call, "stop", 1);
}

static void
fini(struct as_call *call)
{
	as_count(call, "fini", 1);
}

AS_PLUGIN(.name = "toolkit_turn", .summary = "Knows its version.",
    .version = TURN_VERSION == 1 ? "1.0.0" : "2.0.0", .flags = TURN_FLAGS,
    AS_OPTIONS(struct conf, options),
    .toolkit = AS_TOOLKIT(.title = "Turn", .tools = tools), .init = init,
    .start = start, .stop = stop, .fini = fini);
