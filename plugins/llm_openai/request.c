/* SPDX-License-Identifier: Apache-2.0 */
#include "openai.h"

/*
 * From the host's messages, tools and settings to a Chat Completions request.
 * Parts that the API has no place for are left out; a message of which nothing
 * is left is left out too, because the API refuses empty ones.
 */

/* ---- Names: [a-zA-Z0-9_-]{1,64}, and still different from each other ----- */

static void
wire_name(char out[65], const char *ours)
{
	size_t i;

	for (i = 0; i < 64 && ours[i] != '\0'; i++) {
		char c = ours[i];

		if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
		    (c < '0' || c > '9') && c != '_' && c != '-')
			c = '_';
		out[i] = c;
	}
	if (i == 0)
		out[i++] = '_';
	out[i] = '\0';
}

static bool
is_taken(const struct names *names, size_t n, const char *wire)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names->v[i].wire, wire) == 0)
			return true;
	}
	return false;
}

enum as_status
names_init(struct as_call *call, struct names *names,
    const struct as_json *tools)
{
	struct as_iter it = as_each(tools);
	size_t i = 0;

	names->n = as_size(tools);
	names->v = as_alloc(call, (names->n + 1) * sizeof(*names->v));
	if (names->v == NULL)
		return as_fail(call, AS_NOMEM, "no memory for the tools");
	for (; as_next(&it) && i < names->n; i++) {
		struct name *name = &names->v[i];

		name->ours = as_get_str(it.value, "name", "");
		wire_name(name->wire, name->ours);
		for (unsigned k = 2; is_taken(names, i, name->wire); k++) {
			wire_name(name->wire, name->ours);
			snprintf(name->wire + (strlen(name->wire) > 58
						      ? 58
						      : strlen(name->wire)),
			    6, "_%u", k % 10000);
		}
	}
	names->n = i;
	return AS_OK;
}

const char *
names_ours(const struct names *names, const char *wire)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->v[i].wire, wire) == 0)
			return names->v[i].ours;
	}
	return wire;
}

/* Also for tools that an earlier turn had and this one has not. */
static const char *
names_wire(struct as_call *call, const struct names *names, const char *ours)
{
	char wire[65];

	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->v[i].ours, ours) == 0)
			return names->v[i].wire;
	}
	wire_name(wire, ours);
	return as_printf(call, "%s", wire);
}

/* ---- Messages -------------------------------------------------------------- */

static bool
is_part(const struct as_json *part, const char *type)
{
	return strcmp(as_get_str(part, "type", ""), type) == 0;
}

/* All text parts, one after the other. */
static const char *
text_of(struct as_call *call, const struct as_json *content)
{
	struct as_iter it = as_each(content);
	const char *text = "", *more;

	if (as_str(content, NULL) != NULL)
		return as_str(content, NULL);
	while (as_next(&it)) {
		if (!is_part(it.value, "text"))
			continue;
		more = as_get_str(it.value, "text", "");
		text = *text == '\0' ? more
				     : as_printf(call, "%s\n%s", text, more);
	}
	return text;
}

static size_t
count_parts(const struct as_json *content, const char *type)
{
	struct as_iter it = as_each(content);
	size_t n = 0;

	while (as_next(&it))
		n += is_part(it.value, type);
	return n;
}

static void
put_tool_calls(struct as_call *call, struct as_json *message,
    const struct as_json *content, const struct names *names)
{
	struct as_json *calls = as_put_array(message, "tool_calls");
	struct as_iter it = as_each(content);
	struct as_json *one, *function;
	const struct as_json *args;

	while (as_next(&it)) {
		if (!is_part(it.value, "tool_call"))
			continue;
		one = as_put_object(calls, NULL);
		as_put_str(one, "id", as_get_str(it.value, "id", ""));
		as_put_str(one, "type", "function");
		function = as_put_object(one, "function");
		as_put_str(function, "name",
		    names_wire(call, names, as_get_str(it.value, "name", "")));
		args = as_get(it.value, "args");
		as_put_str(function, "arguments",
		    as_type(args) == AS_JSON_OBJECT ? as_text(call, args)
						    : "{}");
	}
}

static void
put_assistant(struct as_call *call, struct as_json *messages,
    const struct as_json *content, const struct names *names)
{
	const char *text = text_of(call, content);
	bool has_calls = count_parts(content, "tool_call") > 0;
	struct as_json *message;

	if (*text == '\0' && !has_calls)
		return;
	message = as_put_object(messages, NULL);
	as_put_str(message, "role", "assistant");
	as_put_str(message, "content", *text != '\0' ? text : NULL);
	if (has_calls)
		put_tool_calls(call, message, content, names);
}

/* One message for each result, in their order. */
static void
put_results(struct as_call *call, struct as_json *messages,
    const struct as_json *content)
{
	struct as_iter it = as_each(content);
	struct as_json *message;
	const char *text;

	while (as_next(&it)) {
		if (!is_part(it.value, "tool_result"))
			continue;
		message = as_put_object(messages, NULL);
		as_put_str(message, "role", "tool");
		as_put_str(message, "tool_call_id",
		    as_get_str(it.value, "id", ""));
		text = as_get_str(it.value, "text", "");
		/* The API has no flag for it; the text must say so. */
		if (as_get_bool(it.value, "is_error", false) &&
		    strncmp(text, "Error", 5) != 0)
			text = as_printf(call, "Error: %s", text);
		as_put_str(message, "content", text);
	}
}

static void
put_message(struct as_call *call, struct as_json *messages,
    const struct as_json *in, const struct names *names)
{
	const struct as_json *content = as_get(in, "content");
	const char *role = as_get_str(in, "role", "user"), *text;
	struct as_json *message;

	if (strcmp(role, "assistant") == 0) {
		put_assistant(call, messages, content, names);
		return;
	}
	put_results(call, messages, content);
	if (strcmp(role, "tool") == 0)
		return;
	text = text_of(call, content);
	if (*text == '\0')
		return;
	message = as_put_object(messages, NULL);
	as_put_str(message, "role", role);
	as_put_str(message, "content", text);
}

/* ---- Tools and settings ------------------------------------------------------ */

static void
put_tools(struct as_json *body, const struct as_json *tools,
    const struct names *names)
{
	struct as_json *list = as_put_array(body, "tools"), *function, *empty;
	struct as_iter it = as_each(tools);
	const struct as_json *schema;

	for (size_t i = 0; as_next(&it) && i < names->n; i++) {
		struct as_json *tool = as_put_object(list, NULL);

		as_put_str(tool, "type", "function");
		function = as_put_object(tool, "function");
		as_put_str(function, "name", names->v[i].wire);
		as_put_str(function, "description",
		    as_get_str(it.value, "description", ""));
		schema = as_get(it.value, "input_schema");
		if (as_type(schema) == AS_JSON_OBJECT) {
			as_put(function, "parameters", schema);
			continue;
		}
		empty = as_put_object(function, "parameters");
		as_put_str(empty, "type", "object");
		as_put_object(empty, "properties");
	}
}

static void
put_tool_choice(struct as_call *call, struct as_json *body,
    const struct as_json *settings, const struct names *names)
{
	const char *choice = as_get_str(settings, "tool_choice", NULL);
	const struct as_json *parallel = as_get(settings, "parallel_tools");
	struct as_json *named;

	if (as_type(parallel) == AS_JSON_BOOL)
		as_put(body, "parallel_tool_calls", parallel);
	if (choice == NULL)
		return;
	if (strcmp(choice, "auto") == 0 || strcmp(choice, "none") == 0 ||
	    strcmp(choice, "required") == 0) {
		as_put_str(body, "tool_choice", choice);
		return;
	}
	named = as_put_object(body, "tool_choice");
	as_put_str(named, "type", "function");
	named = as_put_object(named, "function");
	as_put_str(named, "name", names_wire(call, names, choice));
}

/* api.openai.com wants the new name, most others know only the old one. */
static const char *
max_tokens_member(const struct conf *conf)
{
	if (strcmp(conf->max_tokens_member, "auto") != 0)
		return conf->max_tokens_member;
	return strncmp(conf->base_url, "https://api.openai.com/", 23) == 0
		   ? "max_completion_tokens"
		   : "max_tokens";
}

static void
put_settings(struct as_call *call, struct as_json *body,
    const struct as_json *settings)
{
	static const char *const same[] = { "temperature", "top_p", "stop",
		"seed" };
	const struct conf *conf = as_conf(call);
	const struct as_json *v;
	struct as_json *format;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		if ((v = as_get(settings, same[i])) != NULL)
			as_put(body, same[i], v);
	}
	if ((v = as_get(settings, "max_tokens")) != NULL)
		as_put(body, max_tokens_member(conf), v);
	if ((v = as_get(settings, "reasoning")) != NULL)
		as_put(body, "reasoning_effort", v);
	if ((v = as_get(settings, "response_schema")) == NULL)
		return;
	format = as_put_object(body, "response_format");
	as_put_str(format, "type", "json_schema");
	format = as_put_object(format, "json_schema");
	as_put_str(format, "name", "answer");
	as_put(format, "schema", v);
}

struct as_json *
chat_request(struct as_call *call, const struct as_chat *chat,
    const struct names *names)
{
	const struct conf *conf = as_conf(call);
	struct as_iter it = as_each(chat->messages);
	struct as_json *body = as_object(call), *messages;

	as_put_str(body, "model", chat->model);
	messages = as_put_array(body, "messages");
	while (as_next(&it))
		put_message(call, messages, it.value, names);
	if (names->n > 0) {
		put_tools(body, chat->tools, names);
		put_tool_choice(call, body, chat->settings, names);
	}
	put_settings(call, body, chat->settings);
	as_put_bool(body, "stream", true);
	if (conf->include_usage)
		as_put_bool(as_put_object(body, "stream_options"),
		    "include_usage", true);
	return body;
}
