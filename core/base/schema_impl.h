/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_SCHEMA_IMPL_H
#define CORE_BASE_SCHEMA_IMPL_H

/* What schema_compile.c makes and schema_check.c runs; for nobody else. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/schema.h"

struct arena;
struct json_object;

enum {
	T_NULL = 1 << 0,
	T_BOOL = 1 << 1,
	T_INT = 1 << 2,
	T_NUM = 1 << 3,
	T_STR = 1 << 4,
	T_ARRAY = 1 << 5,
	T_OBJECT = 1 << 6,
	T_ANY = (1 << 7) - 1
};

enum schema_format {
	FORMAT_NONE = 0,
	FORMAT_UUID,
	FORMAT_EMAIL,
	FORMAT_URI,
	FORMAT_DATE_TIME
};

/* A value of enum or const, ready to compare. */
struct schema_value {
	unsigned type; /* T_*; T_NUM for all numbers */
	const char *text; /* of a string, or the canonical text */
	size_t len;
	double num;
};

struct schema_member {
	const char *name;
	const struct schema_rule *rule;
};

struct schema_rules {
	const struct schema_rule **rules;
	size_t n;
};

/* One schema or sub-schema.  Absent upper limits are infinite. */
struct schema_rule {
	bool never; /* the schema false */
	bool read_only;
	bool unique;
	unsigned types;
	enum schema_format format;

	struct schema_value *values; /* of enum and const */
	size_t n_values;
	const char *values_text; /* "draft, ready": for the message */

	double min, max, above, below, multiple; /* multiple 0: none */
	size_t min_len, max_len, min_items, max_items;

	const struct schema_rule *items;
	struct schema_member *members; /* sorted by name */
	size_t n_members;
	const char **required;
	size_t n_required;
	const struct schema_rule *additional; /* NULL: anything */

	struct schema_rules any, one, all;
	const struct schema_rule * not ;
	const struct schema_rule *ref;
};

struct schema_ref {
	struct schema_ref *next;
	struct schema_rule *rule;
	const char *to;
};

struct schema_def {
	struct schema_def *next;
	const char *name;
	const struct schema_rule *rule;
};

struct schema {
	struct schema *next; /* in a set */
	const char *name;
	struct arena *arena;
	struct json_object *json;
	const struct schema_rule *rule;
	struct schema_ref *refs;
	struct schema_def *defs;
};

/* The T_* bits of a value: an integer is also a number. */
unsigned schema_type_of(struct json_object *v);
/* "a string or null" for a set of T_* bits. */
void schema_types_text(unsigned types, char *out, size_t size);

/* The rule of schema->json, which its arena holds; NULL: err says why. */
struct schema_rule *schema_rule_compile(struct schema *schema,
    struct error *err);

#endif
