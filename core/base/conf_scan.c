/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/conf_impl.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * One pass over the bytes of a conf file before libconfig sees them.  It
 * refuses what libconfig 1.5 takes silently or reports at a wrong place: NUL,
 * broken UTF-8, a byte order mark, @include, integers that do not fit,
 * strings and comments without an end, unknown escapes, nesting that would
 * recurse too deep.  It does not check the grammar: libconfig does.
 */

#define NEST_MAX 32

struct scan {
	const char *at, *end;
	int line;
	int depth;
	struct conf_fault *fault;
};

static bool __attribute__((format(printf, 3, 4)))
fault(struct scan *s, int line, const char *fmt, ...)
{
	va_list ap;

	s->fault->line = line;
	va_start(ap, fmt);
	vsnprintf(s->fault->text, sizeof(s->fault->text), fmt, ap);
	va_end(ap);
	return false;
}

static int
line_of(const char *text, size_t offset)
{
	int line = 1;
	size_t i;

	for (i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

static bool
scan_bytes(struct scan *s, const char *text, size_t len)
{
	size_t good = text_utf8_prefix(text, len);
	const char *nul;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		return fault(s, 1, "byte order mark: save the file without it");
	if (good < len)
		return fault(s, line_of(text, good), "invalid UTF-8");
	if (len > 0 && (nul = memchr(text, '\0', len)) != NULL)
		return fault(s, line_of(text, (size_t)(nul - text)),
		    "NUL byte");
	return true;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F');
}

/* At a backslash inside a string. */
static bool
scan_escape(struct scan *s)
{
	size_t left = (size_t)(s->end - s->at);

	if (left >= 2 && strchr("nrft\\\"", s->at[1]) != NULL) {
		s->at += 2;
		return true;
	}
	if (left >= 4 && s->at[1] == 'x' && is_hex(s->at[2]) &&
	    is_hex(s->at[3])) {
		if (s->at[2] == '0' && s->at[3] == '0')
			return fault(s, s->line, "NUL byte in a string");
#ifdef FUZZ_PLANT
		MUST(s->depth < 4);
#endif
		s->at += 4;
		return true;
	}
	return fault(s, s->line,
	    "unknown escape in a string; write \\\\ for a backslash");
}

/* At a quote.  libconfig would go on over lines and to the end of the file. */
static bool
scan_string(struct scan *s)
{
	for (s->at++; s->at < s->end && *s->at != '\n';) {
		if (*s->at == '"') {
			s->at++;
			return true;
		}
		if (*s->at != '\\')
			s->at++;
		else if (!scan_escape(s))
			return false;
	}
	return fault(s, s->line, "string without a closing quote on its line");
}

static bool
scan_comment(struct scan *s)
{
	int start = s->line;

	for (s->at += 2; s->end - s->at >= 2; s->at++) {
		if (s->at[0] == '*' && s->at[1] == '/') {
			s->at += 2;
			return true;
		}
		s->line += *s->at == '\n';
	}
	return fault(s, start, "comment without an end");
}

static bool
is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '*';
}

static bool
check_hex(struct scan *s, const char *text, size_t len)
{
	bool is_long = len > 0 && text[len - 1] == 'L';
	size_t digits = strspn(text + 2, "0123456789abcdefABCDEF");

	if (len > 20 || strtoull(text, NULL, 16) > INT64_MAX || digits > 16)
		return fault(s, s->line, "%.40s: integer out of range", text);
	if (!is_long && strtoull(text, NULL, 16) > INT32_MAX)
		return fault(s, s->line,
		    "%.40s: an integer beyond 32 bits ends with L", text);
	return true;
}

static bool
check_decimal(struct scan *s, const char *text, size_t len)
{
	bool is_long = false;
	char digits[40];
	int64_t n;

	while (len > 0 && text[len - 1] == 'L') {
		is_long = true;
		len--;
	}
	if (*text == '+') {
		text++;
		len--;
	}
	if (len >= sizeof(digits))
		return fault(s, s->line, "%.40s...: integer out of range",
		    text);
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (digits[strspn(digits, "-0123456789")] != '\0')
		return true; /* a float, or libconfig's to refuse */
	if (!text_to_int(digits, INT64_MIN, INT64_MAX, &n))
		return fault(s, s->line, "%s: integer out of range", digits);
	if (!is_long && (n > INT32_MAX || n < INT32_MIN))
		return fault(s, s->line,
		    "%s: an integer beyond 32 bits ends with L", digits);
	return true;
}

/* At a digit or a sign. */
static bool
scan_number(struct scan *s)
{
	const char *from = s->at;
	char text[64];
	size_t len;

	if (*s->at == '+' || *s->at == '-')
		s->at++;
	while (
	    s->at < s->end && (is_word(*s->at) || *s->at == '.' ||
				  ((*s->at == '+' || *s->at == '-') &&
				      (s->at[-1] == 'e' || s->at[-1] == 'E'))))
		s->at++;
	len = (size_t)(s->at - from);
	if (len >= sizeof(text))
		return fault(s, s->line, "number of more than 63 characters");
	memcpy(text, from, len);
	text[len] = '\0';
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return check_hex(s, text, len);
	if (memchr(text, '.', len) != NULL)
		return true;
	return check_decimal(s, text, len);
}

static bool
scan_bracket(struct scan *s)
{
	char c = *s->at++;

	if (c == '{' || c == '(' || c == '[')
		s->depth++;
	else
		s->depth--;
	if (s->depth > NEST_MAX)
		return fault(s, s->line, "nested deeper than %d levels",
		    NEST_MAX);
	return true;
}

static void
skip_line(struct scan *s)
{
	while (s->at < s->end && *s->at != '\n')
		s->at++;
}

static bool
scan_token(struct scan *s)
{
	char c = *s->at, next = s->end - s->at > 1 ? s->at[1] : '\0';

	if (c == '"')
		return scan_string(s);
	if (c == '/' && next == '*')
		return scan_comment(s);
	if (c == '#' || (c == '/' && next == '/')) {
		skip_line(s);
		return true;
	}
	if (c == '@')
		return fault(s, s->line,
		    "@include is not supported; files of "
		    "the folder are all read");
	if ((c >= '0' && c <= '9') || c == '+' || c == '-')
		return scan_number(s);
	if (strchr("{}()[]", c) != NULL)
		return scan_bracket(s);
	if (is_word(c)) {
		while (s->at < s->end && is_word(*s->at))
			s->at++;
		return true;
	}
	s->line += c == '\n';
	s->at++;
	return true;
}

bool
conf_scan(const char *text, size_t len, struct conf_fault *f)
{
	struct scan s = { .at = text,
		.end = text + len,
		.line = 1,
		.fault = f };

	if (!scan_bytes(&s, text, len))
		return false;
	while (s.at < s.end)
		if (!scan_token(&s))
			return false;
	return true;
}
