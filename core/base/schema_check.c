/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/base/schema_impl.h"
#include "core/base/text.h"

/*
 * A value against its rules.  Where we are is a chain of steps on the stack
 * that is written down only for a failure; a trial (anyOf, not) notes nothing.
 * Depth and work are bounded, so that a schema that refers to itself ends, too;
 * a check that was given up fails, whatever the trials around it made of it.
 */

#define DEPTH_MAX 160
#define WORK_MAX 2000000 /* rules applied */
#define NOTES_MAX 20
#define WHOLE_MAX 9007199254740992.0 /* 2^53 */

struct step {
	const struct step *up;
	const char *key; /* NULL: index */
	size_t index;
};

struct check {
	struct error *err;
	int depth;
	int work;
	int notes;
	bool is_trial;
	bool given_up;
};

static bool check(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at);

unsigned
schema_type_of(struct json_object *v)
{
	double d;

	switch (json_object_get_type(v)) {
	case json_type_null:
		return T_NULL;
	case json_type_boolean:
		return T_BOOL;
	case json_type_int:
		return T_INT | T_NUM;
	case json_type_double:
		d = json_object_get_double(v);
		return d == floor(d) && fabs(d) <= WHOLE_MAX ? T_INT | T_NUM
							     : T_NUM;
	case json_type_string:
		return T_STR;
	case json_type_array:
		return T_ARRAY;
	default:
		return T_OBJECT;
	}
}

/* ---- saying what is wrong */

static void
add_pointer(struct buf *b, const struct step *at)
{
	const char *s;

	if (at == NULL)
		return;
	add_pointer(b, at->up);
	buf_add_char(b, '/');
	if (at->key == NULL) {
		buf_printf(b, "%zu", at->index);
		return;
	}
	for (s = at->key; *s != '\0'; s++) {
		if (*s == '~')
			buf_add_str(b, "~0");
		else if (*s == '/')
			buf_add_str(b, "~1");
		else
			buf_add_char(b, *s);
	}
}

/* Returns false. */
static bool __attribute__((format(printf, 3, 4)))
note(struct check *c, const struct step *at, const char *fmt, ...)
{
	struct buf where = { 0 };
	char text[256];
	va_list ap;

	if (c->is_trial || c->notes >= NOTES_MAX)
		return false;
	c->notes++;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text[text_utf8_whole(text, strlen(text))] = '\0';
	if (at == NULL) {
		error_field(c->err, "", "%s", text);
	} else if (at->up == NULL && at->key != NULL) {
		error_field(c->err, at->key, "%s", text);
	} else {
		add_pointer(&where, at);
		error_field(c->err, where.data, "%s", text);
		buf_free(&where);
	}
	return false;
}

static bool
note_type(struct check *c, const struct step *at, unsigned types)
{
	char text[128];

	schema_types_text(types, text, sizeof(text));
	return note(c, at, "must be %s", text);
}

/* After a failure: would going on tell more? */
static bool
is_enough(const struct check *c)
{
	return c->is_trial || c->given_up || c->notes >= NOTES_MAX;
}

/* ---- enum, const */

static bool
is_value(const struct schema_value *want, unsigned type, struct json_object *v,
    const char *text, size_t len)
{
	if (type & T_NUM)
		return want->type == T_NUM &&
		       want->num == json_object_get_double(v);
	return want->type == type && want->len == len &&
	       memcmp(want->text, text, len) == 0;
}

static bool
check_values(struct check *c, const struct schema_rule *rule,
    struct json_object *v, unsigned type, const struct step *at)
{
	struct buf canonical = { 0 };
	bool found = false;
	const char *text;
	size_t i, len;

	if (type == T_STR) {
		text = json_object_get_string(v);
		len = (size_t)json_object_get_string_len(v);
	} else {
		json_canonical(&canonical, v);
		text = canonical.data;
		len = canonical.len;
	}
	for (i = 0; i < rule->n_values && !found; i++)
		found = is_value(&rule->values[i], type, v, text, len);
	buf_free(&canonical);
	if (found)
		return true;
	return note(c, at,
	    rule->n_values > 1 ? "must be one of %s" : "must be %s",
	    rule->values_text);
}

/* ---- numbers */

static bool
is_multiple(double d, double of)
{
	double q = d / of;

	return fabs(q - round(q)) < 1e-9;
}

static bool
check_number(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	double d = json_object_get_double(v);

	if (d < rule->min)
		return note(c, at, "must be at least %.15g", rule->min);
	if (d > rule->max)
		return note(c, at, "must be at most %.15g", rule->max);
	if (d <= rule->above && rule->above > -INFINITY)
		return note(c, at, "must be more than %.15g", rule->above);
	if (d >= rule->below && rule->below < INFINITY)
		return note(c, at, "must be less than %.15g", rule->below);
#ifdef FUZZ_PLANT
	MUST(rule->multiple != 3 || d <= 6);
#endif
	if (rule->multiple > 0 && !is_multiple(d, rule->multiple))
		return note(c, at, "must be a multiple of %.15g",
		    rule->multiple);
	return true;
}

/* ---- strings */

static size_t
characters(const char *s, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

static bool
is_email(const char *s)
{
	const char *at = strrchr(s, '@');
	size_t local, domain;

	if (at == NULL)
		return false;
	local = (size_t)(at - s);
	domain = strlen(at + 1);
	return local > 0 && local <= 64 && domain > 0 && domain <= 253 &&
	       strpbrk(s, " \t\r\n<>()[],;:\\\"") == NULL &&
	       memchr(s, '@', local) == NULL && at[1] != '.' && at[1] != '-' &&
	       at[domain] != '.' && strstr(at, "..") == NULL;
}

static bool
is_uri(const char *s)
{
	size_t i, scheme = strcspn(s, ":");

	if (scheme == 0 || s[scheme] != ':' || s[scheme + 1] == '\0')
		return false;
	for (i = 0; i < scheme; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') ||
			(s[i] >= 'A' && s[i] <= 'Z') ||
			(i > 0 && strchr("0123456789+-.", s[i]) != NULL)))
			return false;
	for (; s[i] != '\0'; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f ||
		    strchr("<>\"{}|\\^`", s[i]) != NULL)
			return false;
	return true;
}

static bool
check_format(struct check *c, const struct schema_rule *rule, const char *s,
    size_t len, const struct step *at)
{
	struct uuid id;
	int64_t us;

	/* U+0000 belongs to no format. */
	if (rule->format != FORMAT_NONE && strlen(s) != len)
		return note(c, at, "must not contain U+0000");
	switch (rule->format) {
	case FORMAT_UUID:
		return uuid_parse(s, &id) ||
		       note(c, at, "must be a UUID in lower case");
	case FORMAT_EMAIL:
		return is_email(s) || note(c, at, "must be an e-mail address");
	case FORMAT_URI:
		return is_uri(s) || note(c, at, "must be a URI");
	case FORMAT_DATE_TIME:
		return text_time_parse(s, &us) ||
		       note(c, at, "must be an RFC 3339 time");
	case FORMAT_NONE:
		break;
	}
	return true;
}

static bool
check_string(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	const char *s = json_object_get_string(v);
	size_t len = (size_t)json_object_get_string_len(v), n;

	if (rule->min_len > 0 || rule->max_len < len) {
		n = characters(s, len);
		if (n < rule->min_len && rule->min_len == 1)
			return note(c, at, "must not be empty");
		if (n < rule->min_len)
			return note(c, at, "must have at least %zu characters",
			    rule->min_len);
		if (n > rule->max_len)
			return note(c, at, "must have at most %zu characters",
			    rule->max_len);
	}
	return check_format(c, rule, s, len, at);
}

/* ---- arrays */

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted by their canonical texts, equal items are neighbours. */
static bool
is_unique(struct json_object *v)
{
	size_t i, n = json_object_array_length(v);
	char **texts = xcalloc(n, sizeof(*texts));
	struct buf b = { 0 };
	bool unique = true;

	for (i = 0; i < n; i++) {
		json_canonical(&b, json_object_array_get_idx(v, i));
		texts[i] = buf_take(&b);
	}
	qsort(texts, n, sizeof(*texts), compare_texts);
	for (i = 1; i < n && unique; i++)
		unique = strcmp(texts[i - 1], texts[i]) != 0;
	for (i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
	return unique;
}

static bool
check_array(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	struct step down = { .up = at };
	size_t n = json_object_array_length(v);
	bool ok = true;

	if (n < rule->min_items)
		return note(c, at, "must have at least %zu items",
		    rule->min_items);
	if (n > rule->max_items)
		return note(c, at, "must have at most %zu items",
		    rule->max_items);
	if (rule->unique && n > 1 && !is_unique(v))
		return note(c, at, "must not have the same item twice");
	if (rule->items == NULL)
		return true;
	for (; down.index < n; down.index++) {
		if (!check(c, rule->items,
			json_object_array_get_idx(v, down.index), &down))
			ok = false;
		if (!ok && is_enough(c))
			break;
	}
	return ok;
}

/* ---- objects */

static const struct schema_rule *
member_rule(const struct schema_rule *rule, const char *name)
{
	size_t low = 0, high = rule->n_members, mid;
	int d;

	while (low < high) {
		mid = (low + high) / 2;
		d = strcmp(name, rule->members[mid].name);
		if (d == 0)
			return rule->members[mid].rule;
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static bool
check_required(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	struct step down = { .up = at };
	const struct schema_rule *member;
	bool ok = true;
	size_t i;

	for (i = 0; i < rule->n_required; i++) {
		down.key = rule->required[i];
		if (json_object_object_get_ex(v, down.key, NULL))
			continue;
		member = member_rule(rule, down.key);
		if (member == NULL || !member->read_only)
			ok = note(c, &down, "is required");
	}
	return ok;
}

static bool
unknown_member(struct check *c, const struct schema_rule *rule,
    const struct step *at)
{
	const char *names[64], *near;
	size_t i, n = rule->n_members;

	if (c->is_trial)
		return false;
	if (n > N_ITEMS(names))
		n = N_ITEMS(names);
	for (i = 0; i < n; i++)
		names[i] = rule->members[i].name;
	near = text_nearest(at->key, names, n);
	return note(c, at, "is not a known member%s%s%s",
	    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
	    near != NULL ? "'?" : "");
}

static bool
check_members(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	struct step down = { .up = at };
	const struct schema_rule *member;
	bool ok = true;

	json_object_object_foreach(v, key, value)
	{
		down.key = key;
		member = member_rule(rule, key);
		if (member != NULL && member->read_only)
			continue;
		if (member == NULL)
			member = rule->additional;
		if (member == NULL)
			continue;
		if (member == rule->additional && member->never)
			ok = unknown_member(c, rule, &down);
		else if (!check(c, member, value, &down))
			ok = false;
		if (!ok && is_enough(c))
			break;
	}
	return ok;
}

static bool
check_object(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	bool ok = rule->n_required == 0 || check_required(c, rule, v, at);

	if (rule->n_members == 0 && rule->additional == NULL)
		return ok;
	return check_members(c, rule, v, at) && ok;
}

/* ---- combinations */

static bool
trial(struct check *c, const struct schema_rule *rule, struct json_object *v)
{
	bool was = c->is_trial, ok;

	c->is_trial = true;
	ok = check(c, rule, v, NULL);
	c->is_trial = was;
	return ok;
}

/* The types that a rule takes, as far as it or its $refs say so. */
static unsigned
types_of(const struct schema_rule *rule)
{
	unsigned types = T_ANY;

	for (; rule != NULL; rule = rule->ref)
		types &= rule->types;
	return types;
}

/*
 * No alternative fits.  If only one is for such a type of value, its
 * complaints are the useful ones.
 */
static bool
note_alternatives(struct check *c, const struct schema_rules *rules,
    struct json_object *v, unsigned type, const struct step *at)
{
	const struct schema_rule *only = NULL;
	unsigned types = 0;
	size_t i, fitting = 0;

	for (i = 0; i < rules->n; i++) {
		types |= types_of(rules->rules[i]);
		if ((types_of(rules->rules[i]) & type) == 0)
			continue;
		only = rules->rules[i];
		fitting++;
	}
	if (fitting == 0)
		return note_type(c, at, types);
	if (fitting == 1)
		return check(c, only, v, at);
	return note(c, at, "has none of the allowed forms");
}

static bool
check_any(struct check *c, const struct schema_rules *rules,
    struct json_object *v, unsigned type, const struct step *at)
{
	size_t i;

	for (i = 0; i < rules->n; i++)
		if (trial(c, rules->rules[i], v))
			return true;
	return note_alternatives(c, rules, v, type, at);
}

static bool
check_one(struct check *c, const struct schema_rules *rules,
    struct json_object *v, unsigned type, const struct step *at)
{
	size_t i, n = 0;

	for (i = 0; i < rules->n; i++)
		n += trial(c, rules->rules[i], v);
	if (n == 0)
		return note_alternatives(c, rules, v, type, at);
	return n == 1 || note(c, at, "has more than one of the allowed forms");
}

static bool
check_combined(struct check *c, const struct schema_rule *rule,
    struct json_object *v, unsigned type, const struct step *at)
{
	bool ok = true;
	size_t i;

	for (i = 0; i < rule->all.n; i++)
		if (!check(c, rule->all.rules[i], v, at))
			ok = false;
	if (rule->any.n > 0 && !check_any(c, &rule->any, v, type, at))
		ok = false;
	if (rule->one.n > 0 && !check_one(c, &rule->one, v, type, at))
		ok = false;
	if (rule->not != NULL && trial(c, rule->not, v))
		ok = note(c, at, "has a form that is not allowed");
	return ok;
}

/* ---- one rule */

static bool
check_rule(struct check *c, const struct schema_rule *rule,
    struct json_object *v, const struct step *at)
{
	unsigned type = schema_type_of(v);
	bool ok = true;

	if (rule->never)
		return note(c, at, "is not allowed");
	if ((rule->types & type) == 0)
		return note_type(c, at, rule->types);
	if (rule->n_values > 0 && !check_values(c, rule, v, type, at))
		return false;
	if (type & T_NUM)
		ok = check_number(c, rule, v, at);
	else if (type == T_STR)
		ok = check_string(c, rule, v, at);
	else if (type == T_ARRAY)
		ok = check_array(c, rule, v, at);
	else if (type == T_OBJECT)
		ok = check_object(c, rule, v, at);
	return check_combined(c, rule, v, type, at) && ok;
}

static bool
check(struct check *c, const struct schema_rule *rule, struct json_object *v,
    const struct step *at)
{
	bool ok = true;

	if (c->depth >= DEPTH_MAX || c->work >= WORK_MAX) {
		c->given_up = true;
		return false;
	}
	c->depth++;
	c->work++;
	/* Chains of $ref have an end: the compiler refused circles. */
	for (; rule != NULL; rule = rule->ref)
		if (!check_rule(c, rule, v, at))
			ok = false;
	c->depth--;
	return ok;
}

enum as_status
schema_validate(const struct schema *schema, struct json_object *value,
    struct error *err)
{
	struct check c = { .err = err };
	bool ok = check(&c, schema->rule, value, NULL);

	if (c.given_up)
		ok = note(&c, NULL, "is nested too deeply");
	return ok ? AS_OK : AS_INVALID;
}
