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
post_with(struct as_call *call, const char *tool, const struct as_json *args,
    const char *name, const char *value)
{
	const struct conf *conf = as_conf(call);
	const char *headers[] = { "idempotency-key", as_info(call)->idem_key,
		name, value, NULL };
	const struct as_http_response *res;
	enum as_status st;

	st = as_http(call,
	    AS_TABLE(as_http_request, .method = "POST",
		.url = as_printf(call, "%s/%s", conf->base_url, tool),
		.headers = headers, .json = args),
	    &res);
	return st == AS_OK ? pass_on(call, res) : st;
}

AS_SUSPENDS static enum as_status
post(struct as_call *call, const char *tool, const struct as_json *args)
{
	return post_with(call, tool, args, NULL, NULL);
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

/* A number that is the same whenever this call is made again. */
AS_SUSPENDS static enum as_status
ticket_of(struct as_call *call, int64_t *ticket)
{
	const struct as_json *kept = as_kept(call, "ticket");
	struct as_json *fresh;
	uint32_t r;

	if (kept != NULL) {
		*ticket = as_get_int(kept, "n", 0);
		return AS_OK;
	}
	as_random(call, &r, sizeof(r));
	*ticket = r;
	fresh = as_object(call);
	as_put_int(fresh, "n", r);
	return as_keep(call, "ticket", fresh);
}

/* Asks twice, and only then pays; it must not matter how often it begins. */
AS_SUSPENDS static enum as_status
order(struct as_call *call, const void *in)
{
	const struct as_answer *may, *when;
	struct as_json *said;
	enum as_status st;
	int64_t ticket;

	if ((st = ticket_of(call, &ticket)) != AS_OK)
		return st;
	st = as_ask(call, "may",
	    AS_TABLE(as_question, .title = "May it be ordered?",
		.text = "It costs **3**.", .value = in,
		.answers = AS_ACCEPT | AS_EDIT | AS_IGNORE),
	    &may);
	if (st != AS_OK)
		return st;
	if (may->kind == AS_IGNORE)
		return as_reply_text(call, "not ordered");
	st = as_ask(call, "when",
	    AS_TABLE(as_question,
		.title = as_printf(call, "When, for %lld?", (long long)ticket),
		.answers = AS_RESPOND | AS_ACCEPT),
	    &when);
	if (st != AS_OK)
		return st;
	said = as_object(call);
	as_put_int(said, "ticket", ticket);
	as_put_str(said, "when", when->text);
	as_put(said, "wanted", may->value);
	return post_with(call, "pay", in, "x-said", as_text(call, said));
}

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
	{ .name = "order",
	    .doc = "Asks, and pays then, once a key.",
	    .schema = schema,
	    .effect = AS_EFFECT_KEYED,
	    .key_valid_ms = 86400000,
	    .run = order },
	AS_END };

AS_PLUGIN(.name = "toolkit_witness", .summary = "A tool of each effect class.",
    .version = "1.0.0", .flags = AS_PARALLEL, AS_OPTIONS(struct conf, options),
    .grants = "net:127.0.0.1",
    .toolkit = AS_TOOLKIT(.title = "Witness", .tools = tools));
