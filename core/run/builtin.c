/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/builtin.h"

#include <string.h>

#include "core/base/json.h"
#include "core/run/approval.h"

/* See builtin.h. */

#define QUESTION_MAX 4000 /* bytes */

static const char ask_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"question\"],\"properties\":{"
    "\"question\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4000,"
    "\"description\":\"One question, understood without the conversation.\"},"
    "\"choices\":{\"type\":\"array\",\"maxItems\":20,\"items\":"
    "{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
    "\"description\":\"Answers to choose from, if there are only a few.\"}}}";

void
builtin_offer(const struct work *w, struct json_object *tools)
{
	struct json_object *o, *schema = NULL;

	if (!approval_may_ask(w->agent->approval, w->state.kind) ||
	    json_parse(ask_schema, sizeof(ask_schema) - 1, &schema, NULL) !=
		AS_OK)
		return;
	o = jobj();
	jput_str(o, "name", BUILTIN_ASK);
	jput_str(o, "description",
	    "Ask the person you work for. Use it only for what you cannot "
	    "find out and must not assume; the answer may take long.");
	jput(o, "input_schema", schema);
	json_object_array_add(tools, o);
}

bool
builtin_asks(const struct work *w, const char *tool, struct json_object *args)
{
	const char *question = jget_str(args, "question", "");

	return strcmp(tool, BUILTIN_ASK) == 0 &&
	       approval_may_ask(w->agent->approval, w->state.kind) &&
	       question[0] != '\0' && strlen(question) <= QUESTION_MAX;
}
