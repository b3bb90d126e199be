/* SPDX-License-Identifier: Apache-2.0 */
#include "expression.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A recursive-descent parser that computes as it reads.  The first mistake ends
 * it: every function returns at once when failed is set.  Depth is bounded by
 * a counter, length by its caller, so the stack is too.
 *
 *	sum     = product (("+" | "-") product)*
 *	product = sign (("*" | "/" | "%") sign)*
 *	sign    = ("+" | "-")* power
 *	power   = atom ("^" sign)?
 *	atom    = number | name | name "(" sum ("," sum)* ")" | "(" sum ")"
 */

#define DEPTH_MAX 50
#define ARGS_MAX 16

struct parser {
	const char *text;
	const char *at;
	int depth;
	bool failed;
	char *error;
};

static double sum(struct parser *p);
static double sign(struct parser *p);

static double __attribute__((format(printf, 2, 3)))
fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	if (p->failed)
		return 0;
	p->failed = true;
	va_start(ap, fmt);
	vsnprintf(p->error, EXPRESSION_ERROR, fmt, ap);
	va_end(ap);
	return 0;
}

static int
place(const struct parser *p)
{
	return (int)(p->at - p->text) + 1;
}

static char
peek(struct parser *p)
{
	while (
	    *p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
		p->at++;
	return *p->at;
}

/* A character of UTF-8 is shown whole. */
static double
fail_here(struct parser *p)
{
	int n = 1;

	if (peek(p) == '\0')
		return fail(p, "the expression ends too early");
	while (((unsigned char)p->at[n] & 0xc0) == 0x80)
		n++;
	return fail(p, "unexpected character '%.*s' at %d", n, p->at, place(p));
}

static bool
take(struct parser *p, char c)
{
	if (p->failed || peek(p) != c)
		return false;
	p->at++;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* strtod alone would take "inf", "0x10" and the comma of some locales. */
static double
number(struct parser *p)
{
	const char *s = p->at;
	char digits[EXPRESSION_LEN_MAX + 1];
	double value;
	size_t n;

	while (is_digit(*s))
		s++;
	if (*s == '.') {
		for (s++; is_digit(*s); s++)
			continue;
	}
	if ((*s == 'e' || *s == 'E') &&
	    (is_digit(s[1]) ||
		((s[1] == '+' || s[1] == '-') && is_digit(s[2])))) {
		for (s += 2; is_digit(*s); s++)
			continue;
	}
	n = (size_t)(s - p->at);
	if (n == 1 && *p->at == '.')
		return fail_here(p);
	memcpy(digits, p->at, n);
	digits[n] = '\0';
	value = strtod(digits, NULL);
	if (!isfinite(value))
		return fail(p, "the number at %d is too large", place(p));
	p->at = s;
	return value;
}

static double
apply(struct parser *p, const char *name, const double *args, int n)
{
	static const struct {
		const char *name;
		double (*fn)(double);
	} simple[] = { { "sqrt", sqrt }, { "abs", fabs }, { "round", round },
		{ "floor", floor }, { "ceil", ceil }, { "ln", log },
		{ "log", log10 }, { "exp", exp }, { "sin", sin },
		{ "cos", cos }, { "tan", tan } };
	bool is_min = strcmp(name, "min") == 0;
	double value = args[0];
	size_t i;

	if (is_min || strcmp(name, "max") == 0) {
		for (int k = 1; k < n; k++)
			value = is_min ? fmin(value, args[k])
				       : fmax(value, args[k]);
		return value;
	}
	for (i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
		if (strcmp(name, simple[i].name) != 0)
			continue;
		if (n != 1)
			return fail(p, "%s takes one value, not %d", name, n);
		value = simple[i].fn(args[0]);
		return isnan(value) || isinf(value)
			   ? fail(p, "%s of %.15g is not a number", name,
				 args[0])
			   : value;
	}
	return fail(p, "there is no function %s", name);
}

static double
call(struct parser *p, const char *name)
{
	double args[ARGS_MAX];
	int n = 0;

	do {
		if (n == ARGS_MAX)
			return fail(p, "%s takes at most %d values", name,
			    ARGS_MAX);
		args[n++] = sum(p);
	} while (take(p, ','));
	if (!take(p, ')'))
		return fail_here(p);
	return p->failed ? 0 : apply(p, name, args, n);
}

static double
word(struct parser *p)
{
	char name[8];
	int at = place(p);
	size_t n = 0;

	while (is_letter(p->at[n]))
		n++;
	if (n >= sizeof(name))
		return fail(p, "unknown word at %d", at);
	for (size_t i = 0; i < n; i++)
		name[i] = (char)(p->at[i] | 32);
	name[n] = '\0';
	p->at += n;
	if (take(p, '('))
		return call(p, name);
	if (strcmp(name, "pi") == 0)
		return acos(-1);
	if (strcmp(name, "e") == 0)
		return exp(1);
	return fail(p, "unknown word '%s' at %d", name, at);
}

static double
atom(struct parser *p)
{
	double value;
	char c = peek(p);

	if (p->failed)
		return 0;
	if (++p->depth > DEPTH_MAX)
		return fail(p, "nested deeper than %d", DEPTH_MAX);
	if (is_digit(c) || c == '.') {
		value = number(p);
	} else if (is_letter(c)) {
		value = word(p);
	} else if (take(p, '(')) {
		value = sum(p);
		if (!p->failed && !take(p, ')'))
			value = fail_here(p);
	} else
		value = fail_here(p);
	p->depth--;
	return value;
}

static double
power(struct parser *p)
{
	double base = atom(p), exponent, value;

	if (!take(p, '^'))
		return base;
	if (++p->depth > DEPTH_MAX)
		return fail(p, "nested deeper than %d", DEPTH_MAX);
	exponent = sign(p);
	p->depth--;
	value = pow(base, exponent);
	if (!p->failed && isnan(value))
		return fail(p, "%.15g to the power of %.15g is not a number",
		    base, exponent);
	return value;
}

static double
sign(struct parser *p)
{
	bool minus = false;

	while (!p->failed && (peek(p) == '+' || peek(p) == '-'))
		minus ^= *p->at++ == '-';
	return minus ? -power(p) : power(p);
}

static double
product(struct parser *p)
{
	double value = sign(p), by;
	char c;

	while (!p->failed && (c = peek(p)) != '\0' && strchr("*/%", c)) {
		p->at++;
		by = sign(p);
		if (c != '*' && !p->failed && fabs(by) <= 0)
			return fail(p, "division by zero");
		if (c == '*')
			value *= by;
		else
			value = c == '/' ? value / by : fmod(value, by);
	}
	return value;
}

static double
sum(struct parser *p)
{
	double value = product(p);
	char c;

	while (!p->failed && ((c = peek(p)) == '+' || c == '-')) {
		p->at++;
		value = c == '+' ? value + product(p) : value - product(p);
	}
	return value;
}

bool
expression_evaluate(const char *text, double *result,
    char error[EXPRESSION_ERROR])
{
	struct parser p = { .text = text, .at = text, .error = error };

	if (strlen(text) > EXPRESSION_LEN_MAX)
		fail(&p, "longer than %d characters", EXPRESSION_LEN_MAX);
	else if (peek(&p) == '\0')
		fail(&p, "the expression is empty");
	else
		*result = sum(&p);
	if (!p.failed && peek(&p) != '\0')
		fail_here(&p);
	if (!p.failed && !isfinite(*result))
		fail(&p, "the result is too large");
	return !p.failed;
}

void
expression_print(double value, char *out, size_t size)
{
	if (fabs(value) < 9007199254740992.0 && fabs(value - trunc(value)) <= 0)
		snprintf(out, size, "%.0f", fabs(value) <= 0 ? 0.0 : value);
	else
		snprintf(out, size, "%.15g", value);
}
