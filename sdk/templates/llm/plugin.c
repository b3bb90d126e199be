#include <agentstudio/llm.h>

/*
 * A model provider that answers with server-sent events, each with a piece of
 * text, and ends with "[DONE]".
 */

struct conf {
	const char *base_url;
	const char *api_key;
	const char *default_model;
};

static const struct as_field options[] = { AS_STR(struct conf, base_url,
					       "https://llm.example.com/v1", 0,
					       "Where the service is."),
	AS_SECRET(struct conf, api_key, AS_REQUIRED,
	    "The key that the service has given you."),
	AS_STR(struct conf, default_model, "small", 0,
	    "The model of agents that name none."),
	AS_END };

/* All text of a message, one part after the other. */
static const char *
message_text(struct as_call *call, const struct as_json *message)
{
	struct as_iter it = as_each(as_get(message, "content"));
	const char *text = "";

	while (as_next(&it)) {
		if (strcmp(as_get_str(it.value, "type", ""), "text") == 0)
			text = as_printf(call, "%s%s", text,
			    as_get_str(it.value, "text", ""));
	}
	return text;
}

static struct as_json *
request_body(struct as_call *call, const struct as_chat *chat)
{
	struct as_json *body = as_object(call), *list, *one;
	struct as_iter it = as_each(chat->messages);

	as_put_str(body, "model", chat->model);
	as_put_bool(body, "stream", true);
	list = as_put_array(body, "messages");
	while (as_next(&it)) {
		one = as_put_object(list, NULL);
		as_put_str(one, "role", as_get_str(it.value, "role", "user"));
		as_put_str(one, "content", message_text(call, it.value));
	}
	return body;
}

static enum as_status
open_stream(struct as_call *call, const struct as_chat *chat,
    const struct as_http_response **res)
{
	const struct conf *conf = as_conf(call);
	const char *const headers[] = { "authorization",
		as_printf(call, "Bearer %s", conf->api_key), "accept",
		"text/event-stream", NULL };
	enum as_status st;

	st = as_http_open(call,
	    AS_TABLE(as_http_request,
		.url = as_printf(call, "%s/chat/completions", conf->base_url),
		.headers = headers, .json = request_body(call, chat)),
	    res);
	return st == AS_OK ? as_http_ok(call, *res) : st;
}

static enum as_status
chat(struct as_call *call, const struct as_chat *in)
{
	const struct as_http_response *res;
	const struct as_event *event;
	enum as_status st;
	const char *text;

	if ((st = open_stream(call, in, &res)) != AS_OK)
		return st;
	while ((st = as_http_event(call, res, &event)) == AS_OK) {
		if (strcmp(event->data, "[DONE]") == 0)
			return as_chat_end(call, AS_END_TURN);
		text = as_get_str(event->json, "/choices/0/delta/content", "");
		if ((st = as_chat_text(call, text, strlen(text))) != AS_OK)
			return st;
	}
	return st == AS_EOF ? as_fail(call, AS_UPSTREAM,
				  "the answer ended before it was complete")
			    : st;
}

static enum as_status
models(struct as_call *call)
{
	return as_offer_model(call, AS_TABLE(as_model, .name = "small",
					.title = "Small", .window = 32000));
}

AS_PLUGIN(.name = "@NAME@",
    .summary = "Models of a service that streams its answers.",
    .version = "0.1.0",
    .flags = AS_PARALLEL, /* no state: any thread may call */
    AS_OPTIONS(struct conf, options),
    .llm = AS_LLM(.chat = chat, .models = models));
