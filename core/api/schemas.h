/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_SCHEMAS_H
#define CORE_API_SCHEMAS_H

/*
 * Every shape that crosses the API, as JSON Schema.  Requests are validated
 * by them; the OpenAPI document shows them.
 */

#include <stddef.h>

#include "core/base/schema.h"

/* The whole set, resolved; the caller frees it. */
enum as_status api_schemas_new(struct schema_set **out, struct error *err);

/* The names, in the order of the table; NULL beyond the last. */
const char *api_schema_name(size_t i);

#endif
