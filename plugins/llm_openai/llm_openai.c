/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "openai.h"

/*
 * Models behind the OpenAI API: OpenAI itself, and every server that speaks
 * Chat Completions (vLLM, llama.cpp, Ollama, gateways).  No state: all there
 * is are the options.
 */

#define RETRY_AFTER_MAX_MS 20000
#define LIST_IDLE_MS 5000
#define MODELS_MAX 500

static const struct as_field options[] = {
	AS_STR(struct conf, base_url, "https://api.openai.com/v1", 0,
	    "Where the API is, up to and without /chat/completions. Any server "
	    "that speaks Chat Completions will do, also one on a private "
	    "address: what stands here is trusted."),
	AS_SECRET(struct conf, api_key, 0,
	    "Sent as a bearer token. Leave it out for a server that asks for "
	    "none."),
	AS_STR(struct conf, organization, "", 0,
	    "Sent as OpenAI-Organization, if it is not empty."),
	AS_STR(struct conf, project, "", 0,
	    "Sent as OpenAI-Project, if it is not empty."),
	AS_ANY(struct conf, headers, 0,
	    "Further headers of each request: a group of names and texts."),
	AS_STR(struct conf, default_model, "gpt-4.1-mini", AS_RELOAD,
	    "The model of agents that name none."),
	AS_LIST(struct conf, models, 0, 500, AS_RELOAD,
	    "The models to offer. Without it the server is asked, and the "
	    "default model is offered in any case."),
	AS_LIST(struct conf, embedding_models, 0, 100, AS_RELOAD,
	    "Models for embeddings as \"name:dimension\", beside those of "
	    "OpenAI, which are known."),
	AS_CHOICE(struct conf, max_tokens_member,
	    "auto max_tokens max_completion_tokens", AS_RELOAD,
	    "How the request calls the limit of tokens; auto is "
	    "max_completion_tokens for api.openai.com, else max_tokens."),
	AS_BOOL(struct conf, include_usage, true, AS_RELOAD,
	    "Ask for token counts at the end of a stream. A few servers refuse "
	    "a request that does."),
	AS_CHOICE(struct conf, embedding_format, "float base64", AS_RELOAD,
	    "How vectors travel; base64 is smaller, not every server has it."),
	AS_MS(struct conf, idle, 120000, 1000, 3600000, AS_RELOAD,
	    "Give up when the server is silent for so long. Models that think "
	    "first may be silent for minutes."),
	AS_END
};

/* ---- Requests ------------------------------------------------------------- */

const char *
openai_url(struct as_call *call, const char *path)
{
	const struct conf *conf = as_conf(call);
	size_t len = strlen(conf->base_url);

	while (len > 0 && conf->base_url[len - 1] == '/')
		len--;
	return as_printf(call, "%.*s%s", (int)len, conf->base_url, path);
}

const char *const *
openai_headers(struct as_call *call, const char *accept)
{
	const struct conf *conf = as_conf(call);
	const char *trace = as_info(call)->traceparent;
	struct as_iter it = as_each(conf->headers);
	const char **list, **h;

	list = as_alloc(call, (as_size(conf->headers) + 6) * 2 * sizeof(*h));
	if ((h = list) == NULL)
		return NULL;
	*h++ = "accept";
	*h++ = accept;
	if (conf->api_key != NULL && conf->api_key[0] != '\0') {
		*h++ = "authorization";
		*h++ = as_printf(call, "Bearer %s", conf->api_key);
	}
	if (conf->organization[0] != '\0') {
		*h++ = "openai-organization";
		*h++ = conf->organization;
	}
	if (conf->project[0] != '\0') {
		*h++ = "openai-project";
		*h++ = conf->project;
	}
	if (trace[0] != '\0') {
		*h++ = "traceparent";
		*h++ = trace;
	}
	while (as_next(&it)) {
		*h++ = it.key;
		*h++ = as_str(it.value, NULL);
	}
	return list;
}

/* ---- Failures -------------------------------------------------------------- */

static bool
is_code(const char *code, const char *const *codes)
{
	for (; *codes != NULL; codes++) {
		if (strcmp(code, *codes) == 0)
			return true;
	}
	return false;
}

/* What waiting does not help: a quota that is used up, a prompt too long. */
static const char *const limits[] = { "insufficient_quota",
	"billing_hard_limit_reached", "context_length_exceeded", NULL };
static const char *const busy[] = { "rate_limit_exceeded", "rate_limit_error",
	"429", NULL };
static const char *const down[] = { "server_error", "internal_server_error",
	"overloaded_error", "service_unavailable", "api_error", "500", "502",
	"503", "529", NULL };

static int64_t
retry_after_ms(const struct as_http_response *res)
{
	const char *ms = as_http_header(res, "retry-after-ms");
	const char *s = as_http_header(res, "retry-after");
	double after = 0;

	if (ms != NULL)
		after = strtod(ms, NULL);
	else if (s != NULL && *s >= '0' && *s <= '9')
		after = strtod(s, NULL) * 1000;
	return after > 0 && after < 86400000 ? (int64_t)after : 0;
}

static void
error_init(struct as_call *call, struct as_error *e, const struct as_json *obj)
{
	const struct as_json *code = as_get(obj, "code");

	memset(e, 0, sizeof(*e));
	e->size = sizeof(*e);
	e->code = as_str(code, NULL);
	if (as_type(code) == AS_JSON_INT)
		e->code = as_printf(call, "%lld",
		    (long long)as_get_int(obj, "code", 0));
	if (e->code == NULL)
		e->code = as_get_str(obj, "type", "");
	e->message = as_str(obj, NULL);
	if (e->message == NULL)
		e->message = as_get_str(obj, "message", "no reason given");
}

enum as_status
openai_failure(struct as_call *call, const struct as_http_response *res,
    const struct as_json *body)
{
	const struct as_json *obj = as_get(body, "error");
	unsigned status = res->status;
	struct as_error e;

	error_init(call, &e, obj != NULL ? obj : body);
	e.message = as_printf(call, "HTTP %u: %.300s", status, e.message);
	e.retry_after_ms = retry_after_ms(res);
	if (is_code(e.code, limits))
		e.status = AS_LIMIT;
	else if (status == 429)
		e.status = AS_BUSY;
	else if (status == 404)
		e.status = AS_NOTFOUND;
	else if (status >= 500 || status == 408 || status == 409)
		e.status = AS_UNAVAILABLE;
	else {
		/* Our request or our key is wrong; the user is not. */
		e.status = AS_UPSTREAM;
		e.retryable = AS_NO;
	}
	return as_fail_with(call, &e);
}

enum as_status
openai_error_object(struct as_call *call, const struct as_json *error)
{
	struct as_error e;

	error_init(call, &e, error);
	e.message = as_printf(call, "%.300s", e.message);
	if (is_code(e.code, limits))
		e.status = AS_LIMIT;
	else if (is_code(e.code, busy))
		e.status = AS_BUSY;
	else if (is_code(e.code, down))
		e.status = AS_UNAVAILABLE;
	else
		e.status = AS_UPSTREAM;
	return as_fail_with(call, &e);
}

/*
 * Half a second, doubled each time, give or take a half, but what the server
 * asked for if it did.  A long wait is the host's to plan, and so is one that
 * the deadline does not allow: then the failure stands.
 */
enum as_status
openai_retry(struct as_call *call, enum as_status st, int n, int64_t began_ms)
{
	const struct as_error *e = as_last_error(call);
	int64_t left = as_info(call)->deadline_ms, wait = 250LL << n, asked = 0;
	uint32_t noise;

	if ((st != AS_BUSY && st != AS_UNAVAILABLE) || n >= TRIES_MAX)
		return st;
	if (e != NULL && e->retryable == AS_NO)
		return st;
	if (e != NULL)
		asked = e->retry_after_ms;
	as_random(call, &noise, sizeof(noise));
	wait = asked > 0 ? asked + noise % 250
			 : wait / 2 + noise % (uint32_t)wait;
	if (asked > RETRY_AFTER_MAX_MS)
		return st;
	if (left > 0 && as_now_ms(call) - began_ms + wait >= left)
		return st;
	as_log(call, AS_LOG_INFO, "try %d failed: %s; again in %lld ms", n,
	    e != NULL ? e->message : "no reason given", (long long)wait);
	as_count(call, "retries", 1);
	return as_sleep(call, wait);
}

/* ---- Models ----------------------------------------------------------------- */

struct known {
	const char *name;
	uint32_t dim;
};

static const struct known embeddings[] = {
	{ "text-embedding-3-small", 1536 },
	{ "text-embedding-3-large", 3072 },
	{ "text-embedding-ada-002", 1536 },
};

/* Parts of names of models that do not chat. */
static const char *const others[] = { "embed", "whisper", "tts", "dall-e",
	"image", "moderation", "transcribe", "realtime", "audio", "sora",
	"davinci", "babbage", "instruct", "computer-use", NULL };

static const char *const thinkers[] = { "o1", "o3", "o4", "gpt-5", NULL };

static bool
does_chat(const char *name)
{
	for (const char *const *o = others; *o != NULL; o++) {
		if (strstr(name, *o) != NULL)
			return false;
	}
	return true;
}

static enum as_status
offer_chat(struct as_call *call, const char *name)
{
	const char *abilities = "tools json";

	for (const char *const *t = thinkers; *t != NULL; t++) {
		if (strncmp(name, *t, strlen(*t)) == 0)
			abilities = "tools json reasoning";
	}
	return as_offer_model(call, AS_TABLE(as_model, .name = name,
					.title = name, .abilities = abilities));
}

static enum as_status
offer_embedding(struct as_call *call, const char *name, uint32_t dim)
{
	return as_offer_model(call,
	    AS_TABLE(as_model, .name = name, .title = name, .dim = dim,
		.abilities = ""));
}

/* One that the server has named. */
static enum as_status
offer_listed(struct as_call *call, const char *name)
{
	for (size_t i = 0; i < sizeof(embeddings) / sizeof(*embeddings); i++) {
		if (strcmp(name, embeddings[i].name) == 0)
			return offer_embedding(call, name, embeddings[i].dim);
	}
	return does_chat(name) ? offer_chat(call, name) : AS_OK;
}

/* What the server has; a server that does not say is no failure. */
AS_SUSPENDS static enum as_status
ask_for_models(struct as_call *call, const struct as_json **list)
{
	const struct as_http_response *res;
	enum as_status st;

	*list = NULL;
	st = as_http(call,
	    AS_TABLE(as_http_request, .url = openai_url(call, "/models"),
		.headers = openai_headers(call, "application/json"),
		.idle_ms = LIST_IDLE_MS),
	    &res);
	if (st == AS_OK && (res->status < 200 || res->status >= 300))
		st = openai_failure(call, res, res->json);
	if (st == AS_OK) {
		*list = as_get(res->json, "data");
		return AS_OK;
	}
	if (st == AS_CANCELED)
		return st;
	as_log(call, AS_LOG_WARNING, "no list of models: %s",
	    as_last_error(call) != NULL ? as_last_error(call)->message
					: "no reason given");
	return AS_OK;
}

AS_SUSPENDS static enum as_status
offer_all(struct as_call *call, bool *has_default)
{
	const struct conf *conf = as_conf(call);
	const struct as_json *list;
	enum as_status st = AS_OK;
	struct as_iter it;
	const char *name;

	if (conf->models.n > 0) {
		for (size_t i = 0; i < conf->models.n && st == AS_OK; i++) {
			name = conf->models.items[i];
			*has_default |= strcmp(name, conf->default_model) == 0;
			st = offer_chat(call, name);
		}
		return st;
	}
	if ((st = ask_for_models(call, &list)) != AS_OK)
		return st;
	it = as_each(list);
	for (int n = 0; n < MODELS_MAX && st == AS_OK && as_next(&it); n++) {
		name = as_get_str(it.value, "id", "");
		if (*name == '\0' || strcmp(name, conf->default_model) == 0)
			continue;
		st = offer_listed(call, name);
	}
	return st;
}

/* "name:dimension"; false if it is not. */
static bool
split_embedding(struct as_call *call, const char *text, const char **name,
    uint32_t *dim)
{
	const char *colon = strrchr(text, ':');
	char *end;
	long n;

	if (colon == NULL || colon == text)
		return false;
	n = strtol(colon + 1, &end, 10);
	if (*end != '\0' || n < 1 || n > 65536)
		return false;
	*name = as_printf(call, "%.*s", (int)(colon - text), text);
	*dim = (uint32_t)n;
	return true;
}

AS_SUSPENDS static enum as_status
models(struct as_call *call)
{
	const struct conf *conf = as_conf(call);
	bool has_default = false;
	const char *name;
	enum as_status st;
	uint32_t dim;

	if ((st = offer_all(call, &has_default)) != AS_OK)
		return st;
	if (!has_default)
		st = offer_chat(call, conf->default_model);
	for (size_t i = 0; i < conf->embedding_models.n && st == AS_OK; i++) {
		if (split_embedding(call, conf->embedding_models.items[i],
			&name, &dim))
			st = offer_embedding(call, name, dim);
	}
	return st;
}

/* ---- The options, beyond what the table says --------------------------------- */

static enum as_status
init(struct as_call *call)
{
	const struct conf *conf = as_conf(call);
	struct as_iter it = as_each(conf->headers);
	const char *name;
	uint32_t dim;

	if (strncmp(conf->base_url, "http://", 7) != 0 &&
	    strncmp(conf->base_url, "https://", 8) != 0)
		return as_fail(call, AS_INVALID,
		    "option base_url: expected an http or https URL, got '%s'",
		    conf->base_url);
	if (conf->headers != NULL && as_type(conf->headers) != AS_JSON_OBJECT)
		return as_fail(call, AS_INVALID,
		    "option headers: expected a group");
	while (as_next(&it)) {
		if (as_str(it.value, NULL) == NULL)
			return as_fail(call, AS_INVALID,
			    "option headers.%s: expected a text", it.key);
	}
	for (size_t i = 0; i < conf->embedding_models.n; i++) {
		if (!split_embedding(call, conf->embedding_models.items[i],
			&name, &dim))
			return as_fail(call, AS_INVALID,
			    "option embedding_models: expected "
			    "\"name:dimension\", got '%s'",
			    conf->embedding_models.items[i]);
	}
	return AS_OK;
}

AS_PLUGIN(.name = "llm_openai",
    .summary = "Models behind OpenAI's API, or any server that speaks it.",
    .version = "1.0.0", .flags = AS_PARALLEL | AS_UNLOADABLE,
    AS_OPTIONS(struct conf, options), .init = init,
    .llm = AS_LLM(.chat = openai_chat, .embed = openai_embed, .models = models,
	.embed_batch = 64));
