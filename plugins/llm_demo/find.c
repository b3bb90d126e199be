/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>

#include "demo.h"

/*
 * What a text asks for.  Nothing here understands anything: an expression is
 * the longest run of characters that can stand in one, if it has an operator
 * between two values or a function.
 */

static const char *const functions[] = { "sqrt", "abs", "round", "floor",
	"ceil", "min", "max", "ln", "log", "exp", "sin", "cos", "tan" };

static bool
is_word(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

/* How long the name of a function with its parenthesis is, or 0. */
static size_t
function_len(const char *s)
{
	size_t i, n;

	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		n = strlen(functions[i]);
		if (strncmp(s, functions[i], n) == 0 && s[n] == '(')
			return n + 1;
	}
	return 0;
}

static size_t
constant_len(const char *s)
{
	size_t n = strncmp(s, "pi", 2) == 0 ? 2 : *s == 'e' ? 1 : 0;

	return n > 0 && !is_word(s[n]) ? n : 0;
}

/* One piece of an expression at s, or 0. */
static size_t
piece_len(const char *s, char before)
{
	size_t n;

	if (isdigit((unsigned char)*s) ||
	    (*s != '\0' && strchr("+-*/%^()., ", *s) != NULL))
		return 1;
	if (is_word(before) || isdigit((unsigned char)before))
		return 0;
	n = function_len(s);
	return n > 0 ? n : constant_len(s);
}

static bool
may_begin(const char *s, char before)
{
	if (is_word(before) || isdigit((unsigned char)before) || before == '.')
		return false;
	return isdigit((unsigned char)*s) || *s == '(' || *s == '-' ||
	       (*s == '.' && isdigit((unsigned char)s[1])) ||
	       function_len(s) > 0 || constant_len(s) > 0;
}

/* Parentheses that close nothing, and what stands after them, are not ours. */
static size_t
balanced_len(const char *s, size_t len)
{
	int depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		depth += s[i] == '(';
		if (s[i] == ')' && depth-- == 0)
			return i;
	}
	return depth == 0 ? len : 0;
}

static size_t
trimmed_len(const char *s, size_t len)
{
	while (len > 0 && strchr(" .,+-*/%^(", s[len - 1]) != NULL)
		len--;
	return len;
}

/* An operator with a value on each side, or a function. */
static bool
is_worth_it(const char *s, size_t len)
{
	bool value = false;
	size_t i;

	for (i = 0; i < len; i++) {
		if (function_len(s + i) > 0)
			return true;
		if (value && strchr("+-*/%^", s[i]) != NULL)
			return true;
		if (s[i] != ' ')
			value = isdigit((unsigned char)s[i]) || s[i] == ')' ||
				is_word(s[i]) || s[i] == '.';
	}
	return false;
}

const char *
demo_find_expression(struct as_call *call, const char *text)
{
	const char *s, *end;
	size_t len, n;
	char before = ' ';

	for (s = text; *s != '\0'; before = *s++) {
		if (!may_begin(s, before))
			continue;
		for (end = s; (n = piece_len(end, end > s ? end[-1] : ' ')) > 0;
		     end += n)
			continue;
		len = trimmed_len(s, (size_t)(end - s));
		len = trimmed_len(s, balanced_len(s, len));
		if (len > 0 && len <= 1000 && is_worth_it(s, len))
			return as_printf(call, "%.*s", (int)len, s);
	}
	return "";
}

const char *
demo_find_url(struct as_call *call, const char *text)
{
	const char *s = strstr(text, "http://");
	const char *t = strstr(text, "https://");
	size_t len;

	if (s == NULL || (t != NULL && t < s))
		s = t;
	if (s == NULL)
		return "";
	len = strcspn(s, " \t\r\n\"'<>`");
	while (len > 0 && strchr(".,;:!?)", s[len - 1]) != NULL)
		len--;
	return as_printf(call, "%.*s", (int)len, s);
}

/* The word alone, in any case. */
static bool
has_word(const char *text, const char *word)
{
	size_t n = strlen(word), i;
	const char *s;

	for (s = text; *s != '\0'; s++) {
		for (i = 0; i < n && tolower((unsigned char)s[i]) == word[i];)
			i++;
		if (i == n && (s == text || !is_word(s[-1])) && !is_word(s[n]))
			return true;
	}
	return false;
}

bool
demo_asks_for_time(const char *text)
{
	return has_word(text, "time") || has_word(text, "clock") ||
	       has_word(text, "date") || has_word(text, "today");
}
