/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "demo.h"

/*
 * Answers from a file: a JSON array of turns, taken in order.
 *
 * The model keeps nothing between calls.  Where in the script a conversation
 * is follows from its history: each answer in it has used up the first turn,
 * from where the one before it was, that fits what the user had said then.  A
 * turn that failed left no answer: it is used up when the call is made again
 * (attempt > 1), or when the user has spoken twice in a row, be it in two
 * messages or, as hosts join them, in two parts of one.
 */

#define SCRIPT_MAX ((size_t)1 << 20)

static const char *
turn_fault(const struct as_json *turn)
{
	static const char
	    *const known = " match text tool_calls delay_ms fail ";
	struct as_iter it = as_each(turn);
	char word[32];

	if (as_type(turn) != AS_JSON_OBJECT)
		return "not an object";
	while (as_next(&it)) {
		snprintf(word, sizeof(word), " %.20s ", it.key);
		if (strstr(known, word) == NULL)
			return "a member that is none of match, text, "
			       "tool_calls, delay_ms, fail";
	}
	it = as_each(as_get(turn, "tool_calls"));
	while (as_next(&it)) {
		if (*as_get_str(it.value, "name", "") == '\0')
			return "a tool call without a name";
	}
	return NULL;
}

static enum as_status
script_check(struct as_call *call, const char *path, const char *text)
{
	const struct as_json *script = as_parse(call, text);
	const char *fault = NULL;
	struct as_iter it;
	int n = 0;

	if (as_type(script) != AS_JSON_ARRAY)
		return as_fail(call, AS_INVALID,
		    "script %s: not a JSON array of turns", path);
	it = as_each(script);
	while (fault == NULL && as_next(&it)) {
		fault = turn_fault(it.value);
		n++;
	}
	return fault == NULL ? AS_OK
			     : as_fail(call, AS_INVALID,
				   "script %s: turn %d: %s", path, n, fault);
}

char *
demo_script_load(struct as_call *call, const char *path)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (f == NULL) {
		as_fail(call, AS_INVALID, "script %s: %s", path,
		    strerror(errno));
		return NULL;
	}
	text = malloc(SCRIPT_MAX + 1);
	n = text != NULL ? fread(text, 1, SCRIPT_MAX + 1, f) : 0;
	fclose(f);
	if (text == NULL || n > SCRIPT_MAX) {
		as_fail(call, AS_LIMIT, "script %s: larger than 1 MiB", path);
		free(text);
		return NULL;
	}
	text[n] = '\0';
	if (script_check(call, path, text) != AS_OK) {
		free(text);
		return NULL;
	}
	return text;
}

static bool
turn_fits(const struct as_json *turn, const char *said)
{
	const char *match = as_get_str(turn, "match", NULL);

	return match == NULL || strstr(said, match) != NULL;
}

/* Leaves it at the first turn, from where it is, that fits; false: none. */
static bool
script_next(struct as_iter *it, const char *said)
{
	while (as_next(it)) {
		if (turn_fits(it->value, said))
			return true;
	}
	return false;
}

/* A turn that would fail is over, if it is the next one. */
static void
skip_failed(struct as_iter *it, const char *said)
{
	struct as_iter ahead = *it;

	if (script_next(&ahead, said) && as_get(ahead.value, "fail") != NULL)
		*it = ahead;
}

/* What the user said last, having used up the turns that failed before it. */
static const char *
hear_user(struct as_iter *it, const struct as_json *message, const char *before)
{
	struct as_iter part = as_each(as_get(message, "content"));
	const char *said = before;

	while (as_next(&part)) {
		if (strcmp(as_get_str(part.value, "type", ""), "text") != 0)
			continue;
		if (said != NULL)
			skip_failed(it, said);
		said = as_get_str(part.value, "text", "");
	}
	return said;
}

bool
demo_script_turn(struct as_call *call, const struct as_json *script,
    const struct as_json *messages, struct demo_turn *turn)
{
	struct as_iter it = as_each(script), message = as_each(messages);
	const char *said = "", *open = NULL; /* what is not yet answered */
	uint32_t i;

	while (as_next(&message)) {
		if (demo_is_role(message.value, "user")) {
			open = hear_user(&it, message.value, open);
			said = open != NULL ? open : "";
		} else if (demo_is_role(message.value, "assistant")) {
			script_next(&it, said);
			open = NULL;
			turn->number++;
		}
	}
	for (i = 1; i < as_info(call)->attempt; i++)
		skip_failed(&it, said);
	if (!script_next(&it, said))
		return false;
	turn->text = as_get_str(it.value, "text", "");
	turn->tool_calls = as_get(it.value, "tool_calls");
	turn->fail = as_get(it.value, "fail");
	turn->delay_ms = as_get_int(it.value, "delay_ms", turn->delay_ms);
	return true;
}
