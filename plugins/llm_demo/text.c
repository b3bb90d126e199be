/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

/* Messages as text. */

bool
demo_is_role(const struct as_json *message, const char *role)
{
	return strcmp(as_get_str(message, "role", ""), role) == 0;
}

/* Messages that follow each other may come as parts of one: the last counts. */
const char *
demo_last_user(const struct as_json *messages)
{
	struct as_iter it = as_each(messages), part;
	const char *text = "";

	while (as_next(&it)) {
		if (!demo_is_role(it.value, "user"))
			continue;
		part = as_each(as_get(it.value, "content"));
		while (as_next(&part)) {
			if (strcmp(as_get_str(part.value, "type", ""),
				"text") == 0)
				text = as_get_str(part.value, "text", "");
		}
	}
	return text;
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
