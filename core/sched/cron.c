/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/cron.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/civil.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* A cron line as text: what it says, and what is wrong with it. */

#define ITEM_MAX 16 /* longest text of a number that is shown */

static const char *const months[] = { "jan", "feb", "mar", "apr", "may", "jun",
	"jul", "aug", "sep", "oct", "nov", "dec" };
static const char *const weekdays[] = { "sun", "mon", "tue", "wed", "thu",
	"fri", "sat" };

struct cron_field {
	const char *name;
	int min, max;
	const char *const *names; /* of min, min + 1 ... */
	int n_names;
};

enum cron_which {
	CRON_MINUTE = 0,
	CRON_HOUR,
	CRON_MDAY,
	CRON_MONTH,
	CRON_WDAY,
	CRON_FIELDS
};

static const struct cron_field fields[CRON_FIELDS] = {
	{ "minute", 0, 59, NULL, 0 },
	{ "hour", 0, 23, NULL, 0 },
	{ "day of month", 1, 31, NULL, 0 },
	{ "month", 1, 12, months, N_ITEMS(months) },
	{ "day of week", 0, 7, weekdays, N_ITEMS(weekdays) },
};

static const struct {
	const char *name, *line;
} nicknames[] = {
	{ "@hourly", "0 * * * *" },
	{ "@daily", "0 0 * * *" },
	{ "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },
	{ "@monthly", "0 0 1 * *" },
	{ "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};

struct cron_text {
	const char *s; /* what is left to read */
	const struct cron_field *field;
	char *why;
};

static bool wrong(struct cron_text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool
wrong(struct cron_text *t, const char *fmt, ...)
{
	char text[CRON_WHY - 20];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(t->why, CRON_WHY, "%s: %s", t->field->name, text);
	return false;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_end(char c)
{
	return c == '\0' || is_blank(c);
}

/* How much of s is one number or name. */
static size_t
word_len(const char *s)
{
	size_t n = 0;

	while (!is_end(s[n]) && strchr(",-/*", s[n]) == NULL)
		n++;
	return n;
}

static bool
word_value(struct cron_text *t, const char *word, int *out)
{
	const struct cron_field *f = t->field;
	int64_t n;

	for (int i = 0; i < f->n_names; i++) {
		if (text_eq_nocase(word, f->names[i])) {
			*out = f->min + i;
			return true;
		}
	}
	if (!text_to_int(word, 0, 9999, &n))
		return wrong(t, "'%s' is not a number%s", word,
		    f->n_names > 0 ? " or a name" : "");
	if (n < f->min || n > f->max)
		return wrong(t, "%s is not between %d and %d", word, f->min,
		    f->max);
	*out = (int)n;
	return true;
}

/* The text of the next number or name. */
static bool
read_word(struct cron_text *t, char word[ITEM_MAX + 1])
{
	size_t len = word_len(t->s);

	if (len == 0)
		return wrong(t, "a number is missing");
	if (len > ITEM_MAX || !text_is_utf8(t->s, len))
		return wrong(t, "is not made of numbers, names, * , - and /");
	memcpy(word, t->s, len);
	word[len] = '\0';
	t->s += len;
	return true;
}

static bool
read_value(struct cron_text *t, int *out)
{
	char word[ITEM_MAX + 1];

	return read_word(t, word) && word_value(t, word, out);
}

static bool
read_step(struct cron_text *t, int *step)
{
	char word[ITEM_MAX + 1];
	int64_t n;

	*step = 1;
	if (*t->s != '/')
		return true;
	t->s++;
	if (!read_word(t, word))
		return false;
	if (!text_to_int(word, 1, t->field->max, &n))
		return wrong(t, "the step '%s' is not between 1 and %d", word,
		    t->field->max);
	*step = (int)n;
	return true;
}

/* "*", "5", "1-5", with "/2" after what is a range. */
static bool
read_item(struct cron_text *t, uint64_t *bits)
{
	int from = t->field->min, to = t->field->max, step;
	bool is_range = true;

	if (*t->s == '*')
		t->s++;
	else {
		if (!read_value(t, &from))
			return false;
		to = from;
		is_range = *t->s == '-';
		if (is_range) {
			t->s++;
			if (!read_value(t, &to))
				return false;
		}
	}
	/* A week that ends on Sunday. */
	if (t->field == &fields[CRON_WDAY] && to == 0 && from > 0)
		to = 7;
	if (to < from)
		return wrong(t, "the range %d-%d goes backwards", from, to);
	if (*t->s == '/' && !is_range)
		return wrong(t, "a step needs a range or * before it");
	if (!read_step(t, &step))
		return false;
#ifdef FUZZ_PLANT
	if (t->field == &fields[CRON_WDAY] && from > 0 && step > 1)
		abort();
#endif
	for (int i = from; i <= to; i += step)
		*bits |= UINT64_C(1) << i;
	return true;
}

static bool
read_field(struct cron_text *t, uint64_t *bits)
{
	*bits = 0;
	for (;;) {
		if (!read_item(t, bits))
			return false;
		if (*t->s != ',')
			break;
		t->s++;
	}
	if (!is_end(*t->s))
		return wrong(t, "'%c' is not expected here",
		    *t->s > ' ' && *t->s < 127 ? *t->s : '?');
	return true;
}

static const char *
skip_blanks(const char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

static int
count_fields(const char *s)
{
	int n = 0;

	for (s = skip_blanks(s); *s != '\0'; s = skip_blanks(s)) {
		n++;
		while (!is_end(*s))
			s++;
	}
	return n;
}

/* @daily and the like as the five fields; NULL: there is no such name. */
static const char *
nickname_line(const char *s, char why[CRON_WHY])
{
	size_t len;

	s = skip_blanks(s);
	if (*s != '@')
		return s;
	for (len = 0; !is_end(s[len]);)
		len++;
	for (size_t i = 0; i < N_ITEMS(nicknames); i++)
		if (strlen(nicknames[i].name) == len &&
		    memcmp(s, nicknames[i].name, len) == 0 &&
		    *skip_blanks(s + len) == '\0')
			return nicknames[i].line;
	snprintf(why, CRON_WHY,
	    "expected @hourly, @daily, @weekly, @monthly, @yearly or five "
	    "fields");
	return NULL;
}

static bool
matches_some_day(const struct cron *c)
{
	/* The calendar repeats after 400 years. */
	return cron_next_local(c, 0, INT64_C(146098) * 86400) != CRON_NEVER;
}

bool
cron_parse(const char *text, struct cron *out, char why[CRON_WHY])
{
	uint64_t bits[CRON_FIELDS];
	struct cron_text t = { .why = why };
	int n;

	memset(out, 0, sizeof(*out));
	if (strlen(text) > CRON_LEN_MAX) {
		snprintf(why, CRON_WHY, "is longer than %d bytes",
		    CRON_LEN_MAX);
		return false;
	}
	t.s = nickname_line(text, why);
	if (t.s == NULL)
		return false;
	n = count_fields(t.s);
	if (n != CRON_FIELDS) {
		snprintf(why, CRON_WHY,
		    "expected five fields (minute, hour, day of month, month, "
		    "day of week), got %d",
		    n);
		return false;
	}
	for (int i = 0; i < CRON_FIELDS; i++) {
		t.field = &fields[i];
		t.s = skip_blanks(t.s);
		if (i == CRON_MDAY)
			out->mday_any = *t.s == '*';
		if (i == CRON_WDAY)
			out->wday_any = *t.s == '*';
		if (!read_field(&t, &bits[i]))
			return false;
	}
	out->minute = bits[CRON_MINUTE];
	out->hour = (uint32_t)bits[CRON_HOUR];
	out->mday = (uint32_t)bits[CRON_MDAY];
	out->month = (uint16_t)bits[CRON_MONTH];
	out->wday = (uint8_t)((bits[CRON_WDAY] | bits[CRON_WDAY] >> 7) & 0x7f);
	t.field = &fields[CRON_MDAY];
	return matches_some_day(out) ||
	       wrong(&t, "none of these months has such a day");
}
