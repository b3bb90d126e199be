/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema_impl.h"

/*
 * JSON Schema to a tree of rules.  All that a check needs is computed here, so
 * that it reads plain C values only and may run in many threads: json-c
 * changes a value when it prints it.
 */

struct compiler {
	struct schema *schema;
	struct error *err;
	char at[512]; /* JSON Pointer of where we are */
};

static struct schema_rule *compile(struct compiler *c, struct json_object *v);

static bool __attribute__((format(printf, 2, 3)))
fail(struct compiler *c, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(c->err, ERR_BAD_REQUEST, "schema %s%s%s", c->schema->name,
	    c->at, text);
	return false;
}

static bool
expected(struct compiler *c, const char *what)
{
	return fail(c, ": expected %s", what);
}

static void *
alloc(struct compiler *c, size_t n, size_t size)
{
	return arena_alloc(c->schema->arena, (n + 1) * size);
}

/* Compile what stands one step further down, and step back. */
static struct schema_rule *
compile_at(struct compiler *c, const char *key, struct json_object *v)
{
	size_t len = strlen(c->at);
	struct schema_rule *rule;

	snprintf(c->at + len, sizeof(c->at) - len, "/%.100s", key);
	rule = compile(c, v);
	if (rule != NULL)
		c->at[len] = '\0';
	return rule;
}

/* ---- keywords; each gets the value of its member */

struct type_name {
	const char *name;
	const char *text;
	unsigned bit;
};

static const struct type_name type_names[] = {
	{ "string", "a string", T_STR },
	{ "integer", "an integer", T_INT },
	{ "number", "a number", T_NUM | T_INT },
	{ "boolean", "true or false", T_BOOL },
	{ "array", "an array", T_ARRAY },
	{ "object", "an object", T_OBJECT },
	{ "null", "null", T_NULL },
};

void
schema_types_text(unsigned types, char *out, size_t size)
{
	const struct type_name *t;
	size_t i, len = 0;

	if (types & T_NUM)
		types &= ~(unsigned)T_INT;
	out[0] = '\0';
	for (i = 0; i < N_ITEMS(type_names); i++) {
		t = &type_names[i];
		if ((t->bit & T_NUM ? (unsigned)T_NUM : t->bit) & types) {
			snprintf(out + len, size - len, "%s%s",
			    len > 0 ? " or " : "", t->text);
			len = strlen(out);
		}
	}
}

static bool
add_type(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	const char *name;
	size_t i;

	if (!json_object_is_type(v, json_type_string))
		return expected(c, "the name of a type");
	name = json_object_get_string(v);
	for (i = 0; i < N_ITEMS(type_names); i++) {
		if (strcmp(type_names[i].name, name) == 0) {
			rule->types |= type_names[i].bit;
			return true;
		}
	}
	return fail(c, ": unknown type '%.40s'", name);
}

static bool
key_type(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	size_t i;

	rule->types = 0;
	if (!json_object_is_type(v, json_type_array))
		return add_type(c, rule, v);
	if (json_object_array_length(v) == 0)
		return expected(c, "the names of types");
	for (i = 0; i < json_object_array_length(v); i++)
		if (!add_type(c, rule, json_object_array_get_idx(v, i)))
			return false;
	return true;
}

static void
set_value(struct compiler *c, struct schema_value *to, struct json_object *v)
{
	struct buf b = { 0 };

	to->type = schema_type_of(v);
	if (to->type & T_NUM) {
		to->type = T_NUM;
		to->num = json_object_get_double(v);
	}
	if (to->type == T_STR)
		buf_add(&b, json_object_get_string(v),
		    (size_t)json_object_get_string_len(v));
	else
		json_canonical(&b, v);
	to->len = b.len;
	to->text = arena_strndup(c->schema->arena, b.data, b.len);
	buf_free(&b);
}

static bool
set_values(struct compiler *c, struct schema_rule *rule,
    struct json_object **items, size_t n)
{
	struct buf text = { 0 };
	size_t i;

	rule->values = alloc(c, n, sizeof(*rule->values));
	rule->n_values = n;
	for (i = 0; i < n; i++) {
		set_value(c, &rule->values[i], items[i]);
		if (text.len < 200)
			buf_printf(&text, "%s%.60s", i > 0 ? ", " : "",
			    rule->values[i].text);
		else if (text.data[text.len - 1] != '.')
			buf_add_str(&text, ", ...");
	}
	rule->values_text = arena_strdup(c->schema->arena, text.data);
	buf_free(&text);
	return true;
}

static bool
key_enum(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	struct json_object **items;
	size_t i, n;

	if (!json_object_is_type(v, json_type_array) ||
	    (n = json_object_array_length(v)) == 0)
		return expected(c, "an array of values");
	items = alloc(c, n, sizeof(void *));
	for (i = 0; i < n; i++)
		items[i] = json_object_array_get_idx(v, i);
	return set_values(c, rule, items, n);
}

static bool
key_const(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return set_values(c, rule, &v, 1);
}

static int
compare_members(const void *a, const void *b)
{
	return strcmp(((const struct schema_member *)a)->name,
	    ((const struct schema_member *)b)->name);
}

static bool
key_properties(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	struct schema_member *m;

	if (!json_object_is_type(v, json_type_object))
		return expected(c, "an object of schemas");
	rule->members = alloc(c, (size_t)json_object_object_length(v),
	    sizeof(*rule->members));
	json_object_object_foreach(v, key, sub)
	{
		m = &rule->members[rule->n_members];
		m->name = arena_strdup(c->schema->arena, key);
		if ((m->rule = compile_at(c, key, sub)) == NULL)
			return false;
		rule->n_members++;
	}
	qsort(rule->members, rule->n_members, sizeof(*rule->members),
	    compare_members);
	return true;
}

static bool
key_required(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	struct json_object *name;
	size_t i, n;

	if (!json_object_is_type(v, json_type_array))
		return expected(c, "an array of names");
	n = json_object_array_length(v);
	rule->required = alloc(c, n, sizeof(*rule->required));
	for (i = 0; i < n; i++) {
		name = json_object_array_get_idx(v, i);
		if (!json_object_is_type(name, json_type_string))
			return expected(c, "an array of names");
		rule->required[i] = arena_strdup(c->schema->arena,
		    json_object_get_string(name));
	}
	rule->n_required = n;
	return true;
}

static bool
sub_schema(struct compiler *c, const struct schema_rule **to,
    struct json_object *v)
{
	*to = compile(c, v);
	return *to != NULL;
}

static bool
key_additional(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	return sub_schema(c, &rule->additional, v);
}

static bool
key_items(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return sub_schema(c, &rule->items, v);
}

static bool
key_not(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return sub_schema(c, &rule->not, v);
}

static bool
sub_schemas(struct compiler *c, struct schema_rules *to, struct json_object *v)
{
	char index[24];
	size_t i, n;

	if (!json_object_is_type(v, json_type_array) ||
	    (n = json_object_array_length(v)) == 0)
		return expected(c, "an array of schemas");
	to->rules = alloc(c, n, sizeof(void *));
	for (i = 0; i < n; i++) {
		snprintf(index, sizeof(index), "%zu", i);
		to->rules[i] = compile_at(c, index,
		    json_object_array_get_idx(v, i));
		if (to->rules[i] == NULL)
			return false;
	}
	to->n = n;
	return true;
}

static bool
key_any(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return sub_schemas(c, &rule->any, v);
}

static bool
key_one(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return sub_schemas(c, &rule->one, v);
}

static bool
key_all(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return sub_schemas(c, &rule->all, v);
}

static bool
to_count(struct compiler *c, struct json_object *v, size_t *out)
{
	if (!json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0)
		return expected(c, "a count");
	*out = (size_t)json_object_get_int64(v);
	return true;
}

static bool
key_min_items(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	return to_count(c, v, &rule->min_items);
}

static bool
key_max_items(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	return to_count(c, v, &rule->max_items);
}

static bool
key_min_len(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_count(c, v, &rule->min_len);
}

static bool
key_max_len(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_count(c, v, &rule->max_len);
}

static bool
to_number(struct compiler *c, struct json_object *v, double *out)
{
	if (!(schema_type_of(v) & T_NUM))
		return expected(c, "a number");
	*out = json_object_get_double(v);
	return true;
}

static bool
key_min(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_number(c, v, &rule->min);
}

static bool
key_max(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_number(c, v, &rule->max);
}

static bool
key_above(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_number(c, v, &rule->above);
}

static bool
key_below(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_number(c, v, &rule->below);
}

static bool
key_multiple(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	if (!to_number(c, v, &rule->multiple))
		return false;
	return rule->multiple > 0 || expected(c, "a number above 0");
}

static bool
to_bool(struct compiler *c, struct json_object *v, bool *out)
{
	if (!json_object_is_type(v, json_type_boolean))
		return expected(c, "true or false");
	*out = json_object_get_boolean(v);
	return true;
}

static bool
key_unique(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	return to_bool(c, v, &rule->unique);
}

static bool
key_read_only(struct compiler *c, struct schema_rule *rule,
    struct json_object *v)
{
	return to_bool(c, v, &rule->read_only);
}

/* Formats that are not ours to check are annotations. */
static bool
key_format(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	static const char *const names[] = { "", "uuid", "email", "uri",
		"date-time" };
	size_t i;

	if (!json_object_is_type(v, json_type_string))
		return expected(c, "the name of a format");
	for (i = FORMAT_UUID; i < N_ITEMS(names); i++)
		if (strcmp(names[i], json_object_get_string(v)) == 0)
			rule->format = (enum schema_format)i;
	return true;
}

static bool
key_ref(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	struct schema_ref *ref = alloc(c, 1, sizeof(*ref));

	if (!json_object_is_type(v, json_type_string))
		return expected(c, "a name or \"#/$defs/...\"");
	ref->rule = rule;
	ref->to = arena_strdup(c->schema->arena, json_object_get_string(v));
	ref->next = c->schema->refs;
	c->schema->refs = ref;
	return true;
}

static bool
key_defs(struct compiler *c, struct schema_rule *rule, struct json_object *v)
{
	struct schema_def *def;

	(void)rule;
	if (!json_object_is_type(v, json_type_object))
		return expected(c, "an object of schemas");
	json_object_object_foreach(v, key, sub)
	{
		def = alloc(c, 1, sizeof(*def));
		def->name = arena_strdup(c->schema->arena, key);
		if ((def->rule = compile_at(c, key, sub)) == NULL)
			return false;
		def->next = c->schema->defs;
		c->schema->defs = def;
	}
	return true;
}

struct keyword {
	const char *name;
	bool (
	    *fn)(struct compiler *, struct schema_rule *, struct json_object *);
};

static const struct keyword keywords[] = {
	{ "$defs", key_defs },
	{ "$ref", key_ref },
	{ "additionalProperties", key_additional },
	{ "allOf", key_all },
	{ "anyOf", key_any },
	{ "const", key_const },
	{ "enum", key_enum },
	{ "exclusiveMaximum", key_below },
	{ "exclusiveMinimum", key_above },
	{ "format", key_format },
	{ "items", key_items },
	{ "maxItems", key_max_items },
	{ "maxLength", key_max_len },
	{ "maximum", key_max },
	{ "minItems", key_min_items },
	{ "minLength", key_min_len },
	{ "minimum", key_min },
	{ "multipleOf", key_multiple },
	{ "not", key_not },
	{ "oneOf", key_one },
	{ "properties", key_properties },
	{ "readOnly", key_read_only },
	{ "required", key_required },
	{ "type", key_type },
	{ "uniqueItems", key_unique },
};

static bool
apply(struct compiler *c, struct schema_rule *rule, const char *key,
    struct json_object *v)
{
	size_t i, len = strlen(c->at);

	for (i = 0; i < N_ITEMS(keywords); i++) {
		if (strcmp(keywords[i].name, key) != 0)
			continue;
		snprintf(c->at + len, sizeof(c->at) - len, "/%s", key);
		if (!keywords[i].fn(c, rule, v))
			return false;
		c->at[len] = '\0';
	}
	return true;
}

static struct schema_rule *
compile(struct compiler *c, struct json_object *v)
{
	struct schema_rule *rule = alloc(c, 1, sizeof(*rule));

	rule->types = T_ANY;
	rule->min = rule->above = -INFINITY;
	rule->max = rule->below = INFINITY;
	rule->max_len = rule->max_items = SIZE_MAX;
	if (json_object_is_type(v, json_type_boolean)) {
		rule->never = !json_object_get_boolean(v);
		return rule;
	}
	if (!json_object_is_type(v, json_type_object)) {
		expected(c, "a schema: an object, true or false");
		return NULL;
	}
	json_object_object_foreach(v, key, value)
	{
		if (!apply(c, rule, key, value))
			return NULL;
	}
	return rule;
}

struct schema_rule *
schema_rule_compile(struct schema *schema, struct error *err)
{
	struct compiler c = { .schema = schema, .err = err };

	return compile(&c, schema->json);
}
