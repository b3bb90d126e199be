/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/store/guest.h"

/*
 * The first wall around a plugin's statement: its text.
 *
 * This is no parser.  It cuts the text into words, numbers, strings and signs
 * in the one way in which both databases do, refuses every sign at which they
 * would differ (comments, dollar quotes, backticks, brackets, escapes), and then
 * looks at words alone: the first one says what the statement does, one before
 * a parenthesis is a function, one after TABLE is a table.  What it lets pass
 * still meets the wall of the database.
 */

#define WORD_MAX 64

struct scan {
	const char *p;
	const char *prefix;
	bool may_define;
	struct buf *out;
	struct error *err;
	char word[WORD_MAX]; /* this one, in lower case; "": not a word */
	char last[WORD_MAX]; /* the one before */
	bool after_dot, wants_own;
	unsigned n; /* words so far */
	char verb[WORD_MAX];
};

static bool
is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

bool
guest_function_is_known(const char *name)
{
	static const char *const known[] = { "abs", "avg", "cast", "ceil",
		"ceiling", "coalesce", "concat", "count", "dense_rank",
		"exists", "first_value", "floor", "greatest", "group_concat",
		"ifnull", "instr", "lag", "last_value", "lead", "least",
		"length", "lower", "ltrim", "max", "min", "mod", "nth_value",
		"ntile", "nullif", "power", "rank", "replace", "round",
		"row_number", "rtrim", "sign", "sqrt", "string_agg", "strpos",
		"substr", "substring", "sum", "total", "trim", "upper", NULL };

	return is_one_of(name, known);
}

/* Words of the language that stand before a parenthesis. */
static bool
may_open(const struct scan *s)
{
	static const char *const words[] = { "all", "and", "any", "as",
		"between", "by", "case", "char", "check", "conflict", "decimal",
		"default", "distinct", "do", "else", "except", "filter", "from",
		"having", "ilike", "in", "intersect", "is", "join", "key",
		"like", "limit", "materialized", "not", "numeric", "offset",
		"on", "or", "over", "returning", "select", "set", "some",
		"then", "union", "unique", "using", "values", "varchar", "when",
		"where", NULL };
	static const char *const names[] = { "as", "recursive", "with", NULL };

	if (s->after_dot)
		return false;
	if (is_one_of(s->last, names)) /* columns of what is named here */
		return true;
	return is_one_of(s->word, words) || guest_function_is_known(s->word) ||
	       strncmp(s->word, s->prefix, strlen(s->prefix)) == 0;
}

static bool
begins(const char *word, const char *with)
{
	return strncmp(word, with, strlen(with)) == 0;
}

static enum as_status
refuse(struct scan *s, const char *why)
{
	return error_set(s->err, ERR_FORBIDDEN, "%s in: %.120s", why,
	    s->out->len > 120 ? s->out->data + s->out->len - 120
	    : s->out->len > 0 ? s->out->data
			      : s->p);
}

/* ---- What words mean ----------------------------------------------- */

static enum as_status
first_word(struct scan *s)
{
	static const char *const rows[] = { "delete", "insert", "select",
		"update", "values", "with", NULL };
	static const char *const tables[] = { "alter", "create", "drop", NULL };

	memcpy(s->verb, s->word, sizeof(s->verb));
	if (is_one_of(s->word, rows))
		return AS_OK;
	if (!is_one_of(s->word, tables))
		return refuse(s, "a plugin has no such statement");
	return s->may_define ? AS_OK
			     : refuse(s, "only as_db_migrate defines tables");
}

static enum as_status
second_word(struct scan *s)
{
	static const char *const kinds[] = { "index", "table", NULL };
	static const char *const tables[] = { "alter", "create", "drop", NULL };

	if (!is_one_of(s->verb, tables))
		return AS_OK;
	if (is_one_of(s->word, kinds) ||
	    (strcmp(s->verb, "create") == 0 && strcmp(s->word, "unique") == 0))
		return AS_OK;
	return refuse(s, "a plugin defines tables and indexes only");
}

/* The name of a table or an index of its own has to come now. */
static enum as_status
own_name(struct scan *s)
{
	static const char *const between[] = { "exists", "if", "not", "only",
		NULL };

	if (is_one_of(s->word, between))
		return AS_OK;
	s->wants_own = false;
	if (begins(s->word, s->prefix))
		return AS_OK;
	return refuse(s, "the name does not begin with {}");
}

static enum as_status
word_done(struct scan *s)
{
	static const char *const before_own[] = { "index", "into", "references",
		"table", NULL };
	static const char *const never[] = { "information_schema", "temp",
		"temporary", "trigger", NULL };
	enum as_status st = AS_OK;

	s->n++;
	if (s->n == 1)
		st = first_word(s);
	else if (s->n == 2)
		st = second_word(s);
	if (st != AS_OK)
		return st;
	if (begins(s->word, "pg_") || begins(s->word, "sqlite_") ||
	    is_one_of(s->word, never))
		return refuse(s, "this name is not for plugins");
	if (strcmp(s->word, "into") == 0 && strcmp(s->last, "insert") != 0)
		return refuse(s, "INTO without INSERT");
	if (s->wants_own)
		return own_name(s);
	s->wants_own = is_one_of(s->word, before_own) ||
		       (strcmp(s->word, "to") == 0 &&
			   strcmp(s->last, "rename") == 0);
	return AS_OK;
}

/* ---- Cutting ------------------------------------------------------- */

static bool
in_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static enum as_status
word_add(struct scan *s, size_t *len, const char *from, size_t n)
{
	size_t i;

	if (*len + n >= WORD_MAX)
		return refuse(s, "a name of more than 63 characters");
	buf_add(s->out, from, n);
	for (i = 0; i < n; i++)
		s->word[(*len)++] = (char)tolower((unsigned char)from[i]);
	s->word[*len] = '\0';
	return AS_OK;
}

/* One with {} in it, quoted or not. */
static enum as_status
take_word(struct scan *s, bool quoted)
{
	enum as_status st = AS_OK;
	size_t len = 0;

	memcpy(s->last, s->word, sizeof(s->last));
	s->after_dot = s->after_dot && s->last[0] == '\0';
	s->word[0] = '\0';
	while (st == AS_OK) {
		if (s->p[0] == '{' && s->p[1] == '}') {
			st = word_add(s, &len, s->prefix, strlen(s->prefix));
			s->p += 2;
		} else if (in_word(*s->p)) {
			st = word_add(s, &len, s->p++, 1);
		} else
			break;
	}
	if (st != AS_OK)
		return st;
	if (quoted && (len == 0 || *s->p != '"'))
		return refuse(s, "a quoted name that is not of letters, digits "
				 "and _");
	if (!quoted && (*s->p == '\'' || *s->p == '"'))
		return refuse(s, "a string with a prefix");
	if (quoted) {
		s->p++;
		buf_add_char(s->out, '"');
	}
	return word_done(s);
}

static enum as_status
take_string(struct scan *s)
{
	const char *from = s->p++;

	while (*s->p != '\0') {
		if (*s->p++ != '\'')
			continue;
		if (*s->p != '\'') {
			buf_add(s->out, from, (size_t)(s->p - from));
			return AS_OK;
		}
		s->p++;
	}
	return refuse(s, "a string without an end");
}

static enum as_status
take_number(struct scan *s)
{
	const char *from = s->p;

	s->p += *s->p == '$';
	if (!isdigit((unsigned char)*s->p))
		return refuse(s, "a $ without a number");
	while (isdigit((unsigned char)*s->p) || (*s->p == '.' && *from != '$'))
		s->p++;
	if (in_word(*s->p) || *s->p == '$')
		return refuse(s, "a number that goes on as a word");
	buf_add(s->out, from, (size_t)(s->p - from));
	return AS_OK;
}

static enum as_status
take_sign(struct scan *s)
{
	char c = *s->p;

	if (c == ';') {
		if (s->p[1 + strspn(s->p + 1, " \t\r\n")] == '\0') {
			s->p += strlen(s->p);
			return AS_OK;
		}
		return refuse(s, "a second statement");
	}
	if ((c == '-' && s->p[1] == '-') || (c == '/' && s->p[1] == '*'))
		return refuse(s, "a comment");
	if (strchr("(),.+-*/%<>=!|", c) == NULL)
		return refuse(s, "a sign that the databases read differently");
	if (c == '(' && s->word[0] != '\0' && !may_open(s))
		return refuse(s, "a function that plugins cannot call");
	buf_add_char(s->out, c);
	s->p++;
	return AS_OK;
}

/* A sign, a number or a string: there is no word before what follows. */
static enum as_status
take_other(struct scan *s)
{
	char c = *s->p;
	enum as_status st;

	if (s->wants_own)
		return refuse(s, "a name that begins with {} is missing");
	if (c == '\'')
		st = take_string(s);
	else if (c == '$' || isdigit((unsigned char)c))
		st = take_number(s);
	else
		st = take_sign(s);
	s->word[0] = '\0';
	s->after_dot = c == '.';
	return st;
}

static enum as_status
take_next(struct scan *s)
{
	if (strchr(" \t\r\n", *s->p) != NULL) {
		buf_add_char(s->out, ' ');
		s->p++;
		return AS_OK;
	}
	if (s->n == 0 && !isalpha((unsigned char)*s->p))
		return refuse(s, "no statement begins like this");
	if (*s->p == '"') {
		buf_add_char(s->out, *s->p++);
		return take_word(s, true);
	}
	if (isalpha((unsigned char)*s->p) || *s->p == '_' || *s->p == '{') {
		if (*s->p == '{' && s->p[1] != '}')
			return refuse(s, "a { that is not {}");
		return take_word(s, false);
	}
	return take_other(s);
}

enum as_status
guest_sql(const char *text, const char *prefix, bool may_define,
    struct buf *out, struct error *err)
{
	struct scan s = { .p = text,
		.prefix = prefix,
		.may_define = may_define,
		.out = out,
		.err = err };
	enum as_status st = AS_OK;

	if (strlen(text) > GUEST_TEXT_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "a statement of more than 100 kB");
	while (st == AS_OK && *s.p != '\0')
		st = take_next(&s);
	if (st == AS_OK && s.n == 0)
		st = error_set(err, ERR_BAD_REQUEST, "an empty statement");
	return st;
}
