/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/*
 * A tool of each effect class, all of the service in witness.mjs: what becomes
 * of a call whose host dies can then be read in the service's log.
 */

struct conf {
	const char *base_url;
};

static const struct as_field options[] = {
	AS_STR(struct conf, base_url, "", AS_REQUIRED,
	    "Where the witness listens, with the name of the case."),
	AS_END
};

static const char schema[] = AS_JSON({
	"type" : "object",
	"properties" :
	    { "id" : { "type" : "string" }, "value" : { "type" : "integer" } },
	"required" : ["id"],
	"additionalProperties" : false
});

/* The answer, if it is one. */
static enum as_status
pass_on(struct as_call *call, const struct as_http_response *res)
{
	enum as_status st = as_http_ok(call, res);

	if (st == AS_OK && res->json == NULL)
		st = as_fail(call, AS_UPSTREAM, "the answer is not JSON");
	return st == AS_OK ? as_reply(call, res->json) : st;
}

/* The arguments go out as they came, under the call's own key. */
AS_SUSPENDS static enum as_status
post(struct as_call *call, const char *tool, const struct as_json *args)
{
	const struct conf *conf = as_conf(call);
	const char *headers[] = { "idempotency-key", as_info(call)->idem_key,
		NULL };
	const struct as_http_response *res;
	enum as_status st;

	st = as_http(call,
	    AS_TABLE(as_http_request, .method = "POST",
		.url = as_printf(call, "%s/%s", conf->base_url, tool),
		.headers = headers, .json = args),
	    &res);
	return st == AS_OK ? pass_on(call, res) : st;
}

#define TOOL_FUNCTION(tool) \
	AS_SUSPENDS static enum as_status tool(struct as_call *call, \
	    const void *in) \
	{ \
		return post(call, #tool, in); \
	}

TOOL_FUNCTION(read)
TOOL_FUNCTION(put)
TOOL_FUNCTION(pay)
TOOL_FUNCTION(book)
TOOL_FUNCTION(send)

AS_SUSPENDS static enum as_status
verify(struct as_call *call, const void *in)
{
	const struct conf *conf = as_conf(call);
	const struct as_http_response *res;
	enum as_status st;

	(void)in;
	st = as_http(call,
	    AS_TABLE(as_http_request,
		.url = as_printf(call, "%s/verify?key=%s", conf->base_url,
		    as_info(call)->idem_key)),
	    &res);
	if (st == AS_OK && res->status == 404)
		return as_fail(call, AS_NOTFOUND, "it did not happen");
	return st == AS_OK ? pass_on(call, res) : st;
}

static const struct as_tool tools[] = { { .name = "read",
					    .doc = "Looks.",
					    .schema = schema,
					    .effect = AS_EFFECT_NONE,
					    .run = read },
	{ .name = "put",
	    .doc = "Makes id have value.",
	    .schema = schema,
	    .effect = AS_EFFECT_REPEAT,
	    .run = put },
	{ .name = "pay",
	    .doc = "Pays, once a key.",
	    .schema = schema,
	    .effect = AS_EFFECT_KEYED,
	    .key_valid_ms = 86400000,
	    .run = pay },
	{ .name = "book",
	    .doc = "Books; can tell whether it did.",
	    .schema = schema,
	    .effect = AS_EFFECT_VERIFIED,
	    /* So long a successor waits before it asks. */
	    .timeout_ms = 1500,
	    .run = book,
	    .verify = verify },
	{ .name = "send",
	    .doc = "Sends; nobody can tell.",
	    .schema = schema,
	    .effect = AS_EFFECT_ONCE,
	    .run = send },
	AS_END };

AS_PLUGIN(.name = "toolkit_witness", .summary = "A tool of each effect class.",
    .version = "1.0.0", .flags = AS_PARALLEL, AS_OPTIONS(struct conf, options),
    .grants = "net:127.0.0.1",
    .toolkit = AS_TOOLKIT(.title = "Witness", .tools = tools));
