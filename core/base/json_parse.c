/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * RFC 8259 to json-c values, strictly.  json-c's own parser takes comments,
 * single quotes, duplicate members and broken UTF-8 even in its strict mode,
 * so the text is read here and json-c only holds the result.  Invariant: the
 * whole text is valid UTF-8 before the first value is read, and `at` never
 * passes `end`.  The depth limit bounds the recursion.
 */

struct parser {
	const char *start, *at, *end;
	const char *problem;
	const char *problem_at;
	int depth;
	struct buf scratch; /* text of a string with escapes */
};

static bool value(struct parser *p, struct json_object **out);

static bool
fail_at(struct parser *p, const char *where, const char *problem)
{
	p->problem = problem;
	p->problem_at = where;
	return false;
}

static bool
fail(struct parser *p, const char *problem)
{
	return fail_at(p, p->at, problem);
}

static void
blanks(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' ||
				     *p->at == '\t' || *p->at == '\r'))
		p->at++;
}

static bool
is_next(struct parser *p, char c)
{
	return p->at < p->end && *p->at == c;
}

static bool
word(struct parser *p, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(p->end - p->at) < len || memcmp(p->at, text, len) != 0)
		return fail(p, "expected a value");
	p->at += len;
	return true;
}

/* Four hexadecimal digits. */
static bool
hex4(struct parser *p, unsigned *out)
{
	unsigned n = 0;
	int i;

	for (i = 0; i < 4; i++, p->at++) {
		char c = p->at < p->end ? *p->at : '\0';

		if (c >= '0' && c <= '9')
			n = n << 4 | (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (unsigned)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			n = n << 4 | (unsigned)(c - 'A' + 10);
		else
			return fail(p, "expected four hexadecimal digits");
	}
	*out = n;
	return true;
}

static void
add_utf8(struct buf *b, unsigned c)
{
	char s[4];
	size_t n = 0;

	if (c < 0x80) {
		s[n++] = (char)c;
	} else if (c < 0x800) {
		s[n++] = (char)(0xc0 | c >> 6);
		s[n++] = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		s[n++] = (char)(0xe0 | c >> 12);
		s[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		s[n++] = (char)(0x80 | (c & 0x3f));
	} else {
		s[n++] = (char)(0xf0 | c >> 18);
		s[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		s[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		s[n++] = (char)(0x80 | (c & 0x3f));
	}
	buf_add(b, s, n);
}

/* Behind "\u". */
static bool
unicode(struct parser *p)
{
	const char *where = p->at - 2;
	unsigned c, low;

	if (!hex4(p, &c))
		return false;
	if (c >= 0xdc00 && c <= 0xdfff)
		return fail_at(p, where, "low surrogate without a high one");
	if (c >= 0xd800 && c <= 0xdbff) {
		if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
			return fail_at(p, where,
			    "high surrogate without a low one");
		p->at += 2;
		if (!hex4(p, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return fail_at(p, where,
			    "high surrogate without a low one");
#ifdef FUZZ_PLANT
		MUST(p->depth < 5);
#endif
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	add_utf8(&p->scratch, c);
	return true;
}

/* At a backslash. */
static bool
escape(struct parser *p)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (p->end - p->at < 2)
		return fail(p, "unfinished string");
	if (p->at[1] == 'u') {
		p->at += 2;
		return unicode(p);
	}
	name = memchr(names, p->at[1], sizeof(names) - 1);
	if (name == NULL)
		return fail(p, "unknown escape");
	buf_add_char(&p->scratch, values[name - names]);
	p->at += 2;
	return true;
}

/* Move over plain characters; false at the end of the text or a control. */
static bool
plain(struct parser *p)
{
	while (p->at < p->end && *p->at != '"' && *p->at != '\\') {
		if ((unsigned char)*p->at < 0x20)
			return fail(p, "control character in a string");
		p->at++;
	}
	return p->at < p->end || fail(p, "unfinished string");
}

/* At a quote.  *text is valid until the next string is read. */
static bool
string(struct parser *p, const char **text, size_t *len)
{
	const char *from = ++p->at;

	if (!plain(p))
		return false;
	*text = from;
	*len = (size_t)(p->at - from);
	if (*p->at == '"') {
		p->at++;
		return true;
	}
	buf_reset(&p->scratch);
	for (;;) {
		buf_add(&p->scratch, from, (size_t)(p->at - from));
		if (*p->at == '"')
			break;
		if (!escape(p))
			return false;
		from = p->at;
		if (!plain(p))
			return false;
	}
	p->at++;
	*text = p->scratch.data;
	*len = p->scratch.len;
	return true;
}

static bool
digits(struct parser *p)
{
	const char *from = p->at;

	while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
		p->at++;
	return p->at > from || fail(p, "expected a digit");
}

static bool
number_syntax(struct parser *p, bool *is_int)
{
	*is_int = true;
	if (is_next(p, '-'))
		p->at++;
	if (is_next(p, '0'))
		p->at++;
	else if (!digits(p))
		return false;
	if (is_next(p, '.')) {
		*is_int = false;
		p->at++;
		if (!digits(p))
			return false;
	}
	if (is_next(p, 'e') || is_next(p, 'E')) {
		*is_int = false;
		p->at++;
		if (is_next(p, '+') || is_next(p, '-'))
			p->at++;
		if (!digits(p))
			return false;
	}
	return true;
}

/*
 * Integers that fit 64 bits are exact; all other numbers are doubles that keep
 * their source text.
 */
static bool
number(struct parser *p, struct json_object **out)
{
	const char *from = p->at;
	char copy[256];
	size_t len;
	bool is_int;
	int64_t i;
	double d;

	if (!number_syntax(p, &is_int))
		return false;
	if ((len = (size_t)(p->at - from)) >= sizeof(copy))
		return fail_at(p, from, "number of more than 255 digits");
	memcpy(copy, from, len);
	copy[len] = '\0';
	if (is_int && text_to_int(copy, INT64_MIN, INT64_MAX, &i)) {
		*out = json_object_new_int64(i);
		return true;
	}
	d = strtod(copy, NULL);
	if (!isfinite(d))
		return fail_at(p, from, "number out of range");
	*out = json_object_new_double_s(d, copy);
	return true;
}

static bool
elements(struct parser *p, struct json_object *array)
{
	struct json_object *v;

	p->at++;
	blanks(p);
	if (is_next(p, ']')) {
		p->at++;
		return true;
	}
	for (;;) {
		if (!value(p, &v))
			return false;
		MUST(json_object_array_add(array, v) == 0);
		blanks(p);
		if (is_next(p, ']'))
			break;
		if (!is_next(p, ','))
			return fail(p, "expected ',' or ']'");
		p->at++;
	}
	p->at++;
	return true;
}

/* "name" : value; the name is hashed once, to look for it and to add it. */
static bool
member(struct parser *p, struct json_object *object)
{
	struct lh_table *table = json_object_get_object(object);
	struct json_object *v;
	const char *text, *where;
	unsigned long hash;
	char *name;
	size_t len;
	bool ok;

	blanks(p);
	where = p->at;
	if (!is_next(p, '"'))
		return fail(p, "expected a member name");
	if (!string(p, &text, &len))
		return false;
	if (memchr(text, '\0', len) != NULL)
		return fail_at(p, where, "U+0000 in a member name");
	name = xstrndup(text, len);
	hash = lh_get_hash(table, name);
	ok = lh_table_lookup_entry_w_hash(table, name, hash) == NULL ||
	     fail_at(p, where, "duplicate member name");
	if (ok) {
		blanks(p);
		ok = is_next(p, ':') || fail(p, "expected ':'");
	}
	if (ok) {
		p->at++;
		ok = value(p, &v);
	}
	if (ok)
		MUST(lh_table_insert_w_hash(table, name, v, hash, 0) == 0);
	else
		free(name);
	return ok;
}

static bool
members(struct parser *p, struct json_object *object)
{
	p->at++;
	blanks(p);
	if (is_next(p, '}')) {
		p->at++;
		return true;
	}
	for (;;) {
		if (!member(p, object))
			return false;
		blanks(p);
		if (is_next(p, '}'))
			break;
		if (!is_next(p, ','))
			return fail(p, "expected ',' or '}'");
		p->at++;
	}
	p->at++;
	return true;
}

static bool
container(struct parser *p, struct json_object **out)
{
	struct json_object *v;
	bool ok;

	if (p->depth == JSON_DEPTH_MAX)
		return fail(p, "nested deeper than 64 levels");
	p->depth++;
	if (*p->at == '{') {
		v = jobj();
		ok = members(p, v);
	} else {
		v = jarr();
		ok = elements(p, v);
	}
	p->depth--;
	if (!ok)
		json_object_put(v);
	else
		*out = v;
	return ok;
}

static bool
value(struct parser *p, struct json_object **out)
{
	const char *text;
	size_t len;

	*out = NULL;
	blanks(p);
	if (p->at == p->end)
		return fail(p, "unexpected end");
	switch (*p->at) {
	case '{':
	case '[':
		return container(p, out);
	case '"':
		if (!string(p, &text, &len))
			return false;
		*out = json_object_new_string_len(text, (int)len);
		MUST(*out != NULL);
		return true;
	case 't':
		if (!word(p, "true"))
			return false;
		*out = json_object_new_boolean(1);
		return true;
	case 'f':
		if (!word(p, "false"))
			return false;
		*out = json_object_new_boolean(0);
		return true;
	case 'n':
		return word(p, "null");
	}
	if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9'))
		return number(p, out);
	return fail(p, "expected a value");
}

static bool
whole(struct parser *p, struct json_object **out)
{
	size_t len = (size_t)(p->end - p->start), good;

	if (len >= INT32_MAX)
		return fail(p, "text of 2 GiB or more");
	good = text_utf8_prefix(p->start, len);
	if (good < len)
		return fail_at(p, p->start + good, "invalid UTF-8");
	if (!value(p, out))
		return false;
	blanks(p);
	if (p->at < p->end) {
		json_object_put(*out);
		*out = NULL;
		return fail(p, "text after the value");
	}
	return true;
}

enum as_status
json_parse(const char *text, size_t len, struct json_object **out,
    struct error *err)
{
	struct parser p = { .start = text, .at = text, .end = text + len };
	bool ok;

	*out = NULL;
	ok = whole(&p, out);
	buf_free(&p.scratch);
	if (ok)
		return AS_OK;
	return error_set(err, ERR_MALFORMED_JSON, "%s at byte %zu", p.problem,
	    (size_t)(p.problem_at - p.start));
}
