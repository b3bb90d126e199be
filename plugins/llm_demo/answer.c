/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

/*
 * What the model says without a script.  First it looks for something that a
 * tool of the agent can do; when results have come it puts them into words;
 * else it says what it is.
 */

static bool
is_offered(const struct as_json *tools, const char *name)
{
	struct as_iter it = as_each(tools);

	while (as_next(&it)) {
		if (strcmp(as_get_str(it.value, "name", ""), name) == 0)
			return true;
	}
	return false;
}

static struct as_json *
call_add(struct as_json *calls, const char *name)
{
	struct as_json *c = as_put_object(calls, NULL);

	as_put_str(c, "name", name);
	return as_put_object(c, "args");
}

/* The call that a result answers: in the last message of the assistant. */
static const struct as_json *
call_of(const struct as_json *messages, const char *id)
{
	struct as_iter it = as_each(messages), part;
	const struct as_json *found = NULL;

	while (as_next(&it)) {
		if (!demo_is_role(it.value, "assistant"))
			continue;
		part = as_each(as_get(it.value, "content"));
		while (as_next(&part)) {
			if (strcmp(as_get_str(part.value, "type", ""),
				"tool_call") == 0 &&
			    strcmp(as_get_str(part.value, "id", ""), id) == 0)
				found = part.value;
		}
	}
	return found;
}

static const char *
result_in_words(struct as_call *call, const struct as_json *messages,
    const struct as_json *result)
{
	const struct as_json *was = call_of(messages,
	    as_get_str(result, "id", ""));
	const char *name = as_get_str(was, "name", "the tool");
	const char *text = as_get_str(result, "text", "");

	if (as_get_bool(result, "is_error", false))
		return as_printf(call, "%s could not do that: %.1000s", name,
		    text);
	if (strcmp(name, "calculator_evaluate") == 0)
		return as_printf(call, "%s = %.1000s",
		    as_get_str(was, "/args/expression", "The result"), text);
	if (strcmp(name, "clock_now") == 0)
		return as_printf(call, "It is %.200s.", text);
	if (strcmp(name, "http_request") == 0)
		return as_printf(call, "%s answered: %.1000s",
		    as_get_str(was, "/args/url", "The server"), text);
	return as_printf(call, "%s answered: %.1000s", name, text);
}

/* The results that came since the model last spoke; "" if none did. */
static const char *
results_in_words(struct as_call *call, const struct as_json *messages)
{
	struct as_iter it = as_each(messages), part;
	const char *words = "";

	while (as_next(&it)) {
		if (!demo_is_role(it.value, "tool")) {
			words = "";
			continue;
		}
		part = as_each(as_get(it.value, "content"));
		while (as_next(&part)) {
			if (strcmp(as_get_str(part.value, "type", ""),
				"tool_result") != 0)
				continue;
			words = as_printf(call, "%s%s%s", words,
			    *words != '\0' ? "\n" : "",
			    result_in_words(call, messages, part.value));
		}
	}
	return words;
}

/* What it would do, if it could. */
static const char *
tools_missing(struct as_call *call, const char *wanted)
{
	return as_printf(call,
	    "I am the demo model: I do not think, I only show how an agent "
	    "works. For this I would need the %s toolkit; give it to the "
	    "agent and ask again.",
	    wanted);
}

static const char *
introduction(struct as_call *call, const char *said)
{
	return as_printf(call,
	    "I am the demo model of Agent Studio: I run offline and do not "
	    "think. You said: \"%.200s\". Ask me for a calculation such as "
	    "2+2, for the time, or for the content of a URL, and I will use "
	    "the agent's tools. For real answers, configure a model provider.",
	    said);
}

void
demo_answer(struct as_call *call, const struct as_chat *in,
    struct demo_turn *turn)
{
	struct as_json *calls = as_array(call);
	const char *text = demo_last_user(in->messages);
	const char *url = demo_find_url(call, text);
	const char *expression = *url != '\0'
				     ? ""
				     : demo_find_expression(call, text);
	bool time = demo_asks_for_time(text);
	const char *missing = "";

	turn->text = results_in_words(call, in->messages);
	if (*turn->text != '\0')
		return;
	if (*url != '\0' && is_offered(in->tools, "http_request"))
		as_put_str(call_add(calls, "http_request"), "url", url);
	else if (*url != '\0')
		missing = "http";
	if (*expression != '\0' && is_offered(in->tools, "calculator_evaluate"))
		as_put_str(call_add(calls, "calculator_evaluate"), "expression",
		    expression);
	else if (*expression != '\0')
		missing = "calculator";
	if (time && is_offered(in->tools, "clock_now"))
		call_add(calls, "clock_now");
	else if (time && *expression == '\0' && *url == '\0')
		missing = "clock";
	if (as_size(calls) > 0)
		turn->tool_calls = calls;
	else if (*missing != '\0')
		turn->text = tools_missing(call, missing);
	else
		turn->text = introduction(call, text);
}
