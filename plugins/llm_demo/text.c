/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

/* Messages as text. */

bool
demo_is_role(const struct as_json *message, const char *role)
{
	return strcmp(as_get_str(message, "role", ""), role) == 0;
}

const char *
demo_message_text(struct as_call *call, const struct as_json *message)
{
	struct as_iter it = as_each(as_get(message, "content"));
	const char *text = "";

	while (as_next(&it)) {
		if (strcmp(as_get_str(it.value, "type", ""), "text") != 0)
			continue;
		text = *text == '\0' ? as_get_str(it.value, "text", "")
				     : as_printf(call, "%s\n%s", text,
					   as_get_str(it.value, "text", ""));
	}
	return text;
}

const char *
demo_last_user(struct as_call *call, const struct as_json *messages)
{
	struct as_iter it = as_each(messages);
	const struct as_json *last = NULL;

	while (as_next(&it)) {
		if (demo_is_role(it.value, "user"))
			last = it.value;
	}
	return last != NULL ? demo_message_text(call, last) : "";
}

int64_t
demo_words(const char *text)
{
	int64_t n = 0;

	while (*(text += strspn(text, " \t\r\n")) != '\0') {
		text += strcspn(text, " \t\r\n");
		n++;
	}
	return n;
}
