/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include <agentstudio/auth.h>
#include <agentstudio/db.h>
#include <agentstudio/llm.h>
#include <agentstudio/process.h>
#include <agentstudio/stream.h>
#include <agentstudio/toolkit.h>
#include <pthread.h>
#include <stdlib.h>

/*
 * A plugin that does what tests ask for.  It is built three times: with
 * PROBE_FLAGS of AS_PARALLEL, 0 (its calls belong to the home loop) and
 * AS_BLOCKING (they belong to the pool).
 */

struct conf {
	const char *base_url;
	const char *key;
	int64_t number;
	bool fail_init;
	int64_t fail_starts;
	struct as_list allow;
};

static const struct as_field options[] = {
	AS_STR(struct conf, base_url, "", 0, "Whom the admin trusts."),
	AS_SECRET(struct conf, key, 0, "A secret."),
	AS_INT(struct conf, number, 7, 1, 10, 0, "A number."),
	AS_BOOL(struct conf, fail_init, false, 0, "Whether init fails."),
	AS_INT(struct conf, fail_starts, 0, 0, 10, 0, "How many starts fail."),
	AS_LIST(struct conf, allow, 0, 10, 0, "Addresses."),
	AS_END,
};

struct args {
	const char *text;
	int64_t ms;
	int64_t n;
};

static const struct as_field params[] = {
	AS_STR(struct args, text, "", 0, "Some text."),
	AS_MS(struct args, ms, 0, 0, 600000, 0, "How long."),
	AS_INT(struct args, n, 0, 0, 1000, 0, "How many."),
	AS_END,
};

static enum as_status
echo(struct as_call *call, const void *in)
{
	const struct args *args = in;

	as_log(call, AS_LOG_DEBUG, "echo %s", args->text);
	as_count(call, "echoes", 1);
	return as_reply_text(call, "%s", args->text);
}

static enum as_status
info(struct as_call *call, const void *in)
{
	const struct as_call_info *i = as_info(call);
	const struct conf *conf = as_conf(call);
	struct as_json *o = as_object(call);

	(void)in;
	as_put_str(o, "user", i->user_id);
	as_put_str(o, "run", i->run_id);
	as_put_str(o, "key", i->idem_key);
	as_put_str(o, "plugin", i->plugin);
	as_put_str(o, "locale", i->locale);
	as_put_int(o, "attempt", i->attempt);
	as_put_bool(o, "has_deadline", i->deadline_ms < 86400000);
	as_put_int(o, "number", conf->number);
	as_put_int(o, "thread", (int64_t)(uintptr_t)pthread_self());
	return as_reply(call, o);
}

static enum as_status
wait_for(struct as_call *call, const void *in)
{
	const struct args *args = in;
	enum as_status st = as_sleep(call, args->ms);

	if (st != AS_OK)
		as_count(call, st == AS_CANCELED ? "canceled" : "late", 1);
	return st != AS_OK ? st : as_reply_text(call, "slept");
}

static enum as_status
progress(struct as_call *call, const void *in)
{
	const struct args *args = in;
	enum as_status st;
	int64_t i;

	for (i = 0; i < args->n; i++) {
		st = as_progress(call, (double)i / (double)args->n, args->text);
		if (st != AS_OK)
			return st;
		if ((st = as_check(call)) != AS_OK)
			return st;
	}
	return as_reply_text(call, "done");
}

static enum as_status
fail(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct as_json *details = as_object(call);
	struct as_error error;

	as_put_int(details, "n", args->n);
	memset(&error, 0, sizeof(error));
	error.size = sizeof(error);
	error.status = (enum as_status)args->n;
	error.message = args->text;
	error.code = "probe_code";
	error.service = "probe";
	error.retry_after_ms = 1500;
	error.maybe_done = AS_YES;
	error.details = details;
	as_fail_with(call, &error);
	return (enum as_status)args->n;
}

static enum as_status
count(struct as_call *call, const void *in)
{
	const struct as_json *was;
	struct as_json *now;
	enum as_status st;

	(void)in;
	do {
		st = as_kv_get(call, AS_KV_USER, "count", &was);
		if (st != AS_OK && st != AS_NOTFOUND)
			return st;
		now = as_object(call);
		as_put_int(now, "n", as_get_int(was, "n", 0) + 1);
		st = as_kv_swap(call, AS_KV_USER, "count", was, now, 0);
	} while (st == AS_CONFLICT);
	return st != AS_OK ? st : as_reply(call, now);
}

static enum as_status
fetch(struct as_call *call, const void *in)
{
	const struct args *args = in;
	const struct as_http_response *res;
	struct as_json *o = as_object(call);
	enum as_status st;

	st = as_http(call, AS_TABLE(as_http_request, .url = args->text), &res);
	if (st != AS_OK)
		return st;
	as_put_int(o, "status", res->status);
	as_put_text(o, "body", (const char *)res->body.ptr, res->body.len);
	as_put(o, "json", res->json);
	return as_reply(call, o);
}

static enum as_status
events(struct as_call *call, const void *in)
{
	const struct args *args = in;
	const struct as_http_response *res;
	struct as_json *a = as_array(call);
	const struct as_event *ev;
	enum as_status st;

	st = as_http_open(call, AS_TABLE(as_http_request, .url = args->text),
	    &res);
	if (st != AS_OK || (st = as_http_ok(call, res)) != AS_OK)
		return st;
	while ((st = as_http_event(call, res, &ev)) == AS_OK) {
		as_put_str(a, NULL, ev->data);
		if (ev->json != NULL)
			as_put(a, NULL, ev->json);
	}
	return st == AS_EOF ? as_reply(call, a) : st;
}

/* Each way to build a bad tree. */
static enum as_status
bad(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct as_json *o = as_object(call), *at = o;
	int64_t i;

	if (args->n == 1)
		as_put_str(o, "x", "\xff");
	else if (args->n == 2)
		as_put_text(o, "x", "a\0b", 3);
	else if (args->n == 3)
		as_put_int(o, NULL, 1);
	else if (args->n == 4) {
		for (i = 0; i < 100; i++)
			at = as_put_object(at, "x");
	} else if (args->n == 5) {
		for (i = 0; i < 700000; i++)
			as_put_int(o, as_printf(call, "%lld", (long long)i), i);
	} else if (args->n == 6) {
		as_put_str(at = as_array(call), NULL, "\xff");
		as_put(o, "child", at);
	}
	as_put_int(as_put_object(o, "more"), "n", 1);
	return as_reply(call, o);
}

/* Goes on writing when it has replied: what was a reply stays as it was. */
static enum as_status
regret(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct as_json *o = as_object(call), *at = as_put_array(o, "list");
	struct as_json *other = as_object(call);
	enum as_status st;

	as_put_int(at, NULL, 1);
	as_put(other, "copy", o);
	if ((st = as_reply(call, args->n == 1 ? at : o)) != AS_OK)
		return st;
	if (args->n == 2)
		st = as_reply_text(call, "words");
	else if (args->n == 3)
		st = as_reply(call, other);
	else if (args->n == 4)
		as_put(o, "again", o);
	as_put_int(at, NULL, 2);
	as_put_int(o, "n", 3);
	if (st == AS_OK && args->n == 5)
		st = as_reply(call, o);
	as_put_str(other, "more", "text");
	as_put_int(at, NULL, 4);
	return st;
}

static enum as_status
unbound(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct as_process *process;
	struct as_stream *stream;
	const struct as_answer *answer;
	const char *value;

	if (args->n == 1)
		return as_db_exec(call, "SELECT 1", NULL, NULL);
	if (args->n == 2)
		return as_process_open(call, AS_TABLE(as_process_start, 0),
		    &process);
	if (args->n == 3)
		return as_stream_open(call, AS_TABLE(as_stream_address, 0),
		    &stream);
	if (args->n == 4)
		return as_ask(call, "k", AS_TABLE(as_question, .title = "?"),
		    &answer);
	return as_credential(call, "api_key", &value);
}

static enum as_status
secret(struct as_call *call, const void *in)
{
	const struct args *args = in;
	const char *value;
	enum as_status st = as_secret(call, args->text, &value);

	return st == AS_OK ? as_reply_text(call, "%s", value) : st;
}

static enum as_status
nonsense(struct as_call *call, const void *in)
{
	const struct args *args = in;

	(void)call;
	return (enum as_status)(args->n + 900);
}

static const char any_schema[] = AS_JSON(
    { "type" : "object", "properties" : { "value" : {} } });

static enum as_status
raw(struct as_call *call, const void *in)
{
	const struct as_json *args = in;

	return as_reply(call, as_get(args, "value"));
}

static enum as_status
verify(struct as_call *call, const void *in)
{
	const struct args *args = in;

	return args->n == 1 ? as_reply_text(call, "it did") : AS_NOTFOUND;
}

struct act {
	const char *how;
};

static const struct as_field act_params[] = {
	AS_CHOICE(struct act, how, "read write mark", 0, "What to do."),
	AS_END,
};

static const struct as_effect_case act_effects[] = {
	{ "read", AS_EFFECT_NONE },
	{ "mark", AS_EFFECT_REPEAT },
	AS_END,
};

static enum as_status
act(struct as_call *call, const void *in)
{
	const struct act *what = in;

	return as_reply_text(call, "%s", what->how);
}

#define TOOL(fn, what) \
	{ \
		.name = #fn, .doc = what, AS_PARAMS(struct args, params), \
		.effect = AS_EFFECT_NONE, .run = fn \
	}

static const struct as_tool tools[] = {
	TOOL(echo, "Says it again."),
	TOOL(info, "Says who asks."),
	TOOL(wait_for, "Waits."),
	TOOL(progress, "Says how far it is."),
	TOOL(fail, "Fails."),
	TOOL(count, "Counts."),
	TOOL(fetch, "Fetches."),
	TOOL(events, "Fetches events."),
	TOOL(bad, "Builds bad values."),
	TOOL(regret, "Writes to what it has given."),
	TOOL(unbound, "Uses what is not there."),
	TOOL(secret, "Says a secret."),
	TOOL(nonsense, "Returns nonsense."),
	{ .name = "raw",
	    .doc = "Any value.",
	    .schema = any_schema,
	    .run = raw },
	{ .name = "act",
	    .doc = "Reads, or does not.",
	    AS_PARAMS(struct act, act_params),
	    .run = act,
	    .effect_by = "how",
	    .effects = act_effects },
	{ .name = "other", .doc = "Runs elsewhere.", .schema = any_schema },
	{ .name = "short_wait",
	    .doc = "Waits, in vain.",
	    AS_PARAMS(struct args, params),
	    .timeout_ms = 20,
	    .effect = AS_EFFECT_VERIFIED,
	    .run = wait_for,
	    .verify = verify },
	AS_END,
};

/* Of the tool that has no function of its own. */
static enum as_status
run(struct as_call *call, const char *tool, const struct as_json *args)
{
	return as_reply_text(call, "%s %s", tool, as_text(call, args));
}

/* Cut in the middle of characters; ends only if asked to. */
static enum as_status
chat(struct as_call *call, const struct as_chat *in)
{
	static const char text[] = "h\xc3\xa4\xe2\x82\xac!";
	enum as_status st;
	size_t i;

	for (i = 0; i + 1 < sizeof(text); i++) {
		if ((st = as_chat_text(call, text + i, 1)) != AS_OK)
			return st;
	}
	if (strcmp(in->model, "broken") == 0)
		return AS_OK;
	if (strcmp(in->model, "orphan") == 0)
		return as_chat_args(call, 3, "{}", 2);
	if ((st = as_chat_text(call, "\xe2\x82", 2)) != AS_OK ||
	    (st = as_chat_tool(call, 0, NULL, "x_y")) != AS_OK ||
	    (st = as_chat_args(call, 0, "{\"a\":", 5)) != AS_OK ||
	    (st = as_chat_args(call, 0, "1}", 2)) != AS_OK ||
	    (st = as_chat_usage(call, 3, 4)) != AS_OK)
		return st;
	return as_chat_end(call, AS_END_TOOLS);
}

static enum as_status
embed(struct as_call *call, const struct as_texts *in)
{
	enum as_status st = AS_OK;
	uint32_t i;
	float v[3];

	for (i = in->n; i-- > 0 && st == AS_OK;) {
		v[0] = (float)strlen(in->texts[i]);
		v[1] = 0.1f;
		v[2] = in->is_query ? 1.0f : -1.5f;
		st = as_embedding(call, i, v, 3);
	}
	return st;
}

static enum as_status
init(struct as_call *call)
{
	const struct conf *conf = as_conf(call);

	if (conf->fail_init)
		return as_fail(call, AS_INVALID, "asked to fail");
	as_set_state(call, calloc(1, sizeof(int64_t)));
	return AS_OK;
}

static enum as_status
start(struct as_call *call)
{
	const struct conf *conf = as_conf(call);
	int64_t *starts = as_state(call);

	if (++*starts <= conf->fail_starts)
		return as_fail(call, AS_UNAVAILABLE, "start %d", (int)*starts);
	return AS_OK;
}

static void
fini(struct as_call *call)
{
	free(as_state(call));
	as_set_state(call, NULL);
}

AS_PLUGIN(.name = PROBE_NAME, .summary = "Does what tests ask for.",
    .version = "1.2.3", .flags = PROBE_FLAGS, AS_OPTIONS(struct conf, options),
    .grants = "kv net:*.example.com secret:TOKEN secret:OTHER",
    .toolkit = AS_TOOLKIT(.title = "Probe", .tools = tools, .run = run),
    .llm = AS_LLM(.chat = chat, .embed = embed, .embed_batch = 2), .init = init,
    .start = start, .fini = fini);
