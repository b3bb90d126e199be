/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_SCHEMA_H
#define CORE_BASE_SCHEMA_H

/*
 * JSON Schema (2020-12), the part that APIs and tools use: type (also a list),
 * enum, const, properties, required, additionalProperties (boolean or schema),
 * items, minItems, maxItems, uniqueItems, minLength, maxLength (characters),
 * minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, format
 * (uuid, email, uri, date-time), anyOf, oneOf, allOf, not, $ref to a name in
 * the set or to "#/$defs/…", readOnly.  Unknown keywords are annotations; a
 * keyword of the wrong shape makes the schema invalid.
 *
 * A compiled schema is immutable and may be used from any thread.
 */

#include <stdbool.h>

#include "core/base/error.h"

struct json_object;
struct schema;
struct schema_set; /* schemas that refer to each other by name */

struct schema_set *schema_set_new(void);
void schema_set_free(struct schema_set *set);
/* Adds a schema under a name; json text is copied.  AS_INVALID: no schema. */
enum as_status schema_set_add(struct schema_set *set, const char *name,
    const char *json, struct error *err);
/* After all are added; AS_INVALID when a $ref leads nowhere. */
enum as_status schema_set_resolve(struct schema_set *set, struct error *err);
const struct schema *schema_by_name(const struct schema_set *set,
    const char *name); /* NULL if there is none */

/* One schema alone; the caller frees it. */
enum as_status schema_compile(const char *json, struct schema **out,
    struct error *err);
void schema_free(struct schema *schema);
/* Borrowed; json-c changes what it prints, so a thread prints a copy. */
struct json_object *schema_json(const struct schema *schema);

/*
 * AS_OK, or AS_INVALID with every wrong field noted by error_field (at most
 * 20).  Members marked readOnly are let through (the handler compares them).
 */
enum as_status schema_validate(const struct schema *schema,
    struct json_object *value, struct error *err);

#endif
