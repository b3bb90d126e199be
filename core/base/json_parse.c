/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "core/base/json_names.h"
#include "core/base/json_tape.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * RFC 8259, strictly, to a tape.  json-c's own parser takes comments, single
 * quotes, duplicate members and broken UTF-8 even in its strict mode, so the
 * text is read here and json-c only holds results.
 *
 * What is read is the tape's copy of the text.  Invariants: the whole text is
 * valid UTF-8 before the first value is read; behind it there are PAD zeros,
 * which no rule takes, so `at` never passes `end`; what lies before `at` is
 * never read again as JSON, so strings are decoded over themselves.  The depth
 * limit bounds the recursion.
 */

#define PAD 8 /* a word */
#define SMALL 256
#define WORD(c) (UINT64_C(0x0101010101010101) * (c))

struct parser {
	char *start, *at, *end;
	struct json_tape *tape;
	const char *problem;
	const char *problem_at;
	int depth;
	struct json_names names; /* of large objects */
};

/* What a value is a member of; key is NULL in an array. */
struct place {
	const char *key;
	uint32_t key_len;
};

static bool value(struct parser *p, struct place place);

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
	while (
	    *p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')
		p->at++;
}

static bool
is_next(const struct parser *p, char c)
{
	return *p->at == c;
}

static bool
word(struct parser *p, const char *text, size_t len)
{
	if (memcmp(p->at, text, len) != 0)
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
		char c = *p->at;

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

/* Returns what is behind the bytes of c. */
static char *
put_utf8(char *s, unsigned c)
{
	if (c < 0x80) {
		*s++ = (char)c;
	} else if (c < 0x800) {
		*s++ = (char)(0xc0 | c >> 6);
		*s++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*s++ = (char)(0xe0 | c >> 12);
		*s++ = (char)(0x80 | (c >> 6 & 0x3f));
		*s++ = (char)(0x80 | (c & 0x3f));
	} else {
		*s++ = (char)(0xf0 | c >> 18);
		*s++ = (char)(0x80 | (c >> 12 & 0x3f));
		*s++ = (char)(0x80 | (c >> 6 & 0x3f));
		*s++ = (char)(0x80 | (c & 0x3f));
	}
	return s;
}

/* Behind "\u". */
static bool
unicode(struct parser *p, char **to)
{
	const char *where = p->at - 2;
	unsigned c, low;

	if (!hex4(p, &c))
		return false;
	if (c >= 0xdc00 && c <= 0xdfff)
		return fail_at(p, where, "low surrogate without a high one");
	if (c >= 0xd800 && c <= 0xdbff) {
		if (p->at[0] != '\\' || p->at[1] != 'u')
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
	*to = put_utf8(*to, c);
	return true;
}

/* At a backslash. */
static bool
escape(struct parser *p, char **to)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (p->end - p->at < 2)
		return fail(p, "unfinished string");
	if (p->at[1] == 'u') {
		p->at += 2;
		return unicode(p, to);
	}
	name = memchr(names, p->at[1], sizeof(names) - 1);
	if (name == NULL)
		return fail(p, "unknown escape");
	*(*to)++ = values[name - names];
	p->at += 2;
	return true;
}

/* Is there a quote, a backslash or a control among eight bytes? */
static bool
is_plain_word(const char *s)
{
	uint64_t w, quote, slash;

	memcpy(&w, s, sizeof(w));
	quote = w ^ WORD('"');
	slash = w ^ WORD('\\');
	return ((((w - WORD(0x20)) & ~w) | ((quote - WORD(1)) & ~quote) |
		    ((slash - WORD(1)) & ~slash)) &
		   WORD(0x80)) == 0;
}

/* Move over plain characters; false at the end of the text or a control. */
static bool
plain(struct parser *p)
{
	char *s = p->at;

	while (is_plain_word(s))
		s += sizeof(uint64_t);
	while (*s != '"' && *s != '\\' && (unsigned char)*s >= 0x20)
		s++;
	p->at = s;
	if ((unsigned char)*s >= 0x20)
		return true;
	return fail(p,
	    s < p->end ? "control character in a string" : "unfinished string");
}

/* At a quote.  *text gets a NUL in the place of the last quote, or before. */
static bool
string(struct parser *p, const char **text, uint32_t *len)
{
	char *from = ++p->at, *to, *run;
	size_t n;

	if (!plain(p))
		return false;
	for (to = p->at; *p->at != '"'; to += n) {
		if (!escape(p, &to))
			return false;
		run = p->at;
		if (!plain(p))
			return false;
		n = (size_t)(p->at - run);
		memmove(to, run, n);
	}
	p->at++;
	*to = '\0';
	*text = from;
	*len = (uint32_t)(to - from);
	return true;
}

static bool
digits(struct parser *p)
{
	const char *from = p->at;

	while (*p->at >= '0' && *p->at <= '9')
		p->at++;
	return p->at > from || fail(p, "expected a digit");
}

/* What there is besides digits. */
enum {
	NUMBER_FRACTION = 1,
	NUMBER_EXPONENT = 2
};

static bool
number_syntax(struct parser *p, unsigned *parts)
{
	*parts = 0;
	if (is_next(p, '-'))
		p->at++;
	if (is_next(p, '0'))
		p->at++;
	else if (!digits(p))
		return false;
	if (is_next(p, '.')) {
		*parts |= NUMBER_FRACTION;
		p->at++;
		if (!digits(p))
			return false;
	}
	if (is_next(p, 'e') || is_next(p, 'E')) {
		*parts |= NUMBER_EXPONENT;
		p->at++;
		if (is_next(p, '+') || is_next(p, '-'))
			p->at++;
		if (!digits(p))
			return false;
	}
	return true;
}

static bool
to_int64(const char *s, size_t len, int64_t *out)
{
	char copy[24];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return text_to_int(copy, INT64_MIN, INT64_MAX, out);
}

/*
 * Integers that fit 64 bits are exact; all other numbers are doubles that keep
 * their source text.  255 digits without an exponent are finite.
 */
static bool
number(struct parser *p, struct json_node *n)
{
	const char *from = p->at;
	unsigned parts;

	if (!number_syntax(p, &parts))
		return false;
	n->len = (uint32_t)(p->at - from);
	if (n->len > 255)
		return fail_at(p, from, "number of more than 255 digits");
	if (parts == 0 && to_int64(from, n->len, &n->i)) {
		n->type = json_type_int;
		n->len = 0;
		return true;
	}
	n->type = json_type_double;
	n->text = from;
	return (parts & NUMBER_EXPONENT) == 0 || isfinite(json_node_num(n)) ||
	       fail_at(p, from, "number out of range");
}

static bool
elements(struct parser *p, uint32_t *len)
{
	p->at++;
	blanks(p);
	if (is_next(p, ']')) {
		p->at++;
		return true;
	}
	for (;;) {
		if (!value(p, (struct place){ 0 }))
			return false;
		++*len;
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

/* "name" : value, the next one of the object at that index. */
static bool
member(struct parser *p, size_t object, uint32_t len)
{
	const char *where;
	struct place place;

	blanks(p);
	where = p->at;
	if (!is_next(p, '"'))
		return fail(p, "expected a member name");
	if (!string(p, &place.key, &place.key_len))
		return false;
	if (memchr(place.key, '\0', place.key_len) != NULL)
		return fail_at(p, where, "U+0000 in a member name");
	if (!json_names_add(&p->names, p->tape, object, len, place.key,
		place.key_len))
		return fail_at(p, where, "duplicate member name");
	blanks(p);
	if (!is_next(p, ':'))
		return fail(p, "expected ':'");
	p->at++;
	return value(p, place);
}

static bool
members(struct parser *p, size_t object, uint32_t *len)
{
	p->at++;
	blanks(p);
	if (is_next(p, '}')) {
		p->at++;
		return true;
	}
	for (;;) {
		if (!member(p, object, *len))
			return false;
		++*len;
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

/* The container at that index; its node moves while there come others. */
static bool
container(struct parser *p, size_t index)
{
	struct json_tape *t = p->tape;
	bool is_object = *p->at == '{';
	uint32_t len = 0;

	t->nodes[index].type = is_object ? json_type_object : json_type_array;
	if (p->depth == JSON_DEPTH_MAX)
		return fail(p, "nested deeper than 64 levels");
	p->depth++;
	if (is_object ? !members(p, index, &len) : !elements(p, &len))
		return false;
	p->depth--;
	t->nodes[index].len = len;
	t->nodes[index].span = (uint32_t)(t->n - index);
	if (len > t->widest)
		t->widest = len;
	return true;
}

static bool
literal(struct parser *p, struct json_node *n)
{
	n->type = json_type_boolean;
	n->i = *p->at == 't';
	if (n->i)
		return word(p, "true", 4);
	if (*p->at == 'f')
		return word(p, "false", 5);
	n->type = json_type_null;
	return word(p, "null", 4);
}

/* The index of a node that is still null. */
static size_t
node_add(struct json_tape *t, struct place place)
{
	if (t->n == t->n_max) {
		t->n_max *= 2;
		t->nodes = xrealloc(t->nodes, t->n_max * sizeof(*t->nodes));
	}
	t->nodes[t->n] = (struct json_node){ .key = place.key,
		.key_len = place.key_len,
		.span = 1 };
	return t->n++;
}

static bool
value(struct parser *p, struct place place)
{
	size_t index = node_add(p->tape, place);
	struct json_node *n = &p->tape->nodes[index];

	blanks(p);
	switch (*p->at) {
	case '{':
	case '[':
		return container(p, index);
	case '"':
		n->type = json_type_string;
		return string(p, &n->text, &n->len);
	case 't':
	case 'f':
	case 'n':
		return literal(p, n);
	}
	if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9'))
		return number(p, n);
	return fail(p, p->at == p->end ? "unexpected end" : "expected a value");
}

/*
 * Room for the text, and for as many nodes as most texts of that length have;
 * large ones grow.
 */
static void
tape_reserve(struct json_tape *t, size_t len)
{
	size_t n = 8 + (len < 32768 ? len : 32768) / 12;

	if (t->n_max < n) {
		free(t->nodes);
		t->nodes = xmalloc(n * sizeof(*t->nodes));
		t->n_max = n;
	}
	if (t->text_max < len + PAD) {
		free(t->text);
		t->text = xmalloc(len + PAD);
		t->text_max = len + PAD;
	}
}

static bool
whole(struct parser *p)
{
	size_t len = (size_t)(p->end - p->start);
	size_t good = text_utf8_prefix(p->start, len);

	if (good < len)
		return fail_at(p, p->start + good, "invalid UTF-8");
	if (!value(p, (struct place){ 0 }))
		return false;
	blanks(p);
	return p->at == p->end || fail(p, "text after the value");
}

/* t has room for the text; growing is only for what came from malloc. */
static enum as_status
parse(struct json_tape *t, const char *text, size_t len, struct error *err)
{
	struct parser p = { .tape = t };
	bool ok;

	t->n = 0;
	t->widest = 0;
	if (len > 0)
		memcpy(t->text, text, len);
	memset(t->text + len, 0, PAD);
	p.start = p.at = t->text;
	p.end = t->text + len;
	ok = whole(&p);
	json_names_free(&p.names);
	if (ok)
		return AS_OK;
	return error_set(err, ERR_MALFORMED_JSON, "%s at byte %zu", p.problem,
	    (size_t)(p.problem_at - p.start));
}

enum as_status
json_tape_parse(struct json_tape *t, const char *text, size_t len,
    struct error *err)
{
	if (len >= INT32_MAX)
		return error_set(err, ERR_MALFORMED_JSON,
		    "text of 2 GiB or more at byte 0");
	tape_reserve(t, len);
	return parse(t, text, len, err);
}

/*
 * Small texts, which are most, need no memory but that of their values.  There
 * are two bytes for each node, save those that are left open, or stand where
 * the text went wrong, so that this tape does not grow.
 */
static enum as_status
parse_small(const char *text, size_t len, struct json_object **out,
    struct error *err)
{
	struct json_node nodes[SMALL / 2 + JSON_DEPTH_MAX + 2];
	char copy[SMALL + PAD];
	struct json_tape t = { .nodes = nodes,
		.text = copy,
		.n_max = N_ITEMS(nodes),
		.text_max = sizeof(copy) };
	enum as_status st = parse(&t, text, len, err);

	*out = st == AS_OK ? json_node_object(t.nodes) : NULL;
	return st;
}

enum as_status
json_parse(const char *text, size_t len, struct json_object **out,
    struct error *err)
{
	struct json_tape t = { 0 };
	enum as_status st;

	if (len <= SMALL)
		return parse_small(text, len, out, err);
	st = json_tape_parse(&t, text, len, err);
	*out = st == AS_OK ? json_node_object(t.nodes) : NULL;
	json_tape_free(&t);
	return st;
}
