/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/* Tools that say what no host takes; TWICE: two of one name. */

struct conf {
	int64_t number;
};

static const struct as_field options[] = {
	AS_INT(struct conf, number, 3, 1, 5, 0, "A number."), AS_END
};

static enum as_status
big(struct as_call *call, const void *in)
{
	struct as_json *list = as_array(call);
	static char text[1 << 20];

	(void)in;
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 17; i++)
		as_put_text(list, NULL, text, sizeof(text));
	return as_reply(call, list);
}

static enum as_status
bytes(struct as_call *call, const void *in)
{
	struct as_json *o = as_object(call);

	(void)in;
	as_put_text(o, "text", "\xff\xfe", 2);
	return as_reply(call, o);
}

static enum as_status
far(struct as_call *call, const void *in)
{
	const struct as_http_response *res;
	enum as_status st;

	(void)in;
	st = as_http(call,
	    AS_TABLE(as_http_request, .url = "https://undeclared.example/"),
	    &res);
	return st == AS_OK ? as_reply_text(call, "reached") : st;
}

static const struct as_tool tools[] = { { .name = "big",
					    .doc = "Says 17 MiB.",
					    .effect = AS_EFFECT_NONE,
					    .run = big },
	{ .name = "bytes",
	    .doc = "Says what is no text.",
	    .effect = AS_EFFECT_NONE,
	    .run = bytes },
	{ .name = "far",
	    .doc = "Asks a stranger.",
	    .effect = AS_EFFECT_NONE,
	    .run = far },
#ifdef TWICE
	{ .name = "far", .doc = "Once more.", .run = far },
#endif
	AS_END };

AS_PLUGIN(.name = NAME, .summary = "Is refused, in parts.", .version = "1.0.0",
    AS_OPTIONS(struct conf, options), .toolkit = AS_TOOLKIT(.tools = tools));
