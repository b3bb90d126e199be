/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>
#include <stdlib.h>

/* Offers what a test has told it to offer. */

struct state {
	int64_t n; /* what it offers now */
	int64_t lists, inside, twice;
};

struct args {
	int64_t n;
};

static const struct as_field params[] = {
	AS_INT(struct args, n, 0, 0, 9, 0, "Which tools there are."), AS_END
};

static enum as_status
set(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct state *s = as_state(call);

	s->n = args->n;
	as_offers_changed(call);
	as_offers_changed(call);
	return as_reply_text(call, "%d", (int)s->n);
}

static enum as_status
told(struct as_call *call, const void *in)
{
	const struct state *s = as_state(call);

	(void)in;
	return as_reply_text(call, "%d lists, %d at once", (int)s->lists,
	    (int)s->twice);
}

static const struct as_tool tools[] = {
	{ .name = "set",
	    .doc = "Says what there is from now on.",
	    AS_PARAMS(struct args, params),
	    .run = set },
	{ .name = "told", .doc = "Says how often it was asked.", .run = told },
	AS_END,
};

static const char schema[] = AS_JSON({
	"type" : "object",
	"properties" : {
		"x" : { "type" : "integer" },
		"how" : { "type" : "string", "enum" : [ "read", "write" ] }
	},
	"additionalProperties" : false
});

static const struct as_effect_case cases[] = {
	{ "read", AS_EFFECT_NONE },
	AS_END,
};

static enum as_status
offer(struct as_call *call, const char *name)
{
	struct as_tool tool = { .name = name,
		.doc = "Was offered.",
		.schema = schema,
		.effect = AS_EFFECT_REPEAT,
		.effect_by = "how",
		.effects = cases };

	return as_offer(call, &tool);
}

/* Each of them for another reason; what comes after them is good. */
static enum as_status
offer_bad(struct as_call *call)
{
	struct as_tool tool = { .name = "wrong_schema",
		.schema = "{\"type\": 7}" };
	enum as_status st = as_offer(call, &tool);

	tool.schema = schema;
	tool.name = "wrong name";
	if (st == AS_OK)
		st = as_offer(call, &tool);
	tool.name = "wrong_effect";
	tool.effect = (enum as_effect)9;
	if (st == AS_OK)
		st = as_offer(call, &tool);
	tool.name = "not_verified";
	tool.effect = AS_EFFECT_VERIFIED;
	if (st == AS_OK)
		st = as_offer(call, &tool);
	return st == AS_OK ? offer(call, "set") : st;
}

AS_SUSPENDS static enum as_status
list(struct as_call *call)
{
	struct state *s = as_state(call);
	enum as_status st = AS_OK;
	int64_t n = s->n;

	s->lists++;
	if (s->inside++ > 0)
		s->twice++;
	as_offers_changed(call); /* of no consequence */
	st = as_sleep(call, 1);
	s->inside--;
	if (st != AS_OK)
		return st;
	if (n == 2)
		return as_fail(call, AS_UNAVAILABLE, "asked to fail");
	if (n < 3 && (st = offer(call, "alpha")) != AS_OK)
		return st;
	if (n == 1 && (st = offer_bad(call)) != AS_OK)
		return st;
	return n == 1 ? offer(call, "beta") : AS_OK;
}

static enum as_status
run(struct as_call *call, const char *tool, const struct as_json *args)
{
	return as_reply_text(call, "%s %s", tool, as_text(call, args));
}

static enum as_status
init(struct as_call *call)
{
	as_set_state(call, calloc(1, sizeof(struct state)));
	return AS_OK;
}

static void
fini(struct as_call *call)
{
	free(as_state(call));
}

AS_PLUGIN(.name = "toolkit_offers", .summary = "Offers tools at run time.",
    .version = "1.0.0",
    .toolkit = AS_TOOLKIT(.tools = tools, .list = list, .run = run),
    .init = init, .fini = fini);
