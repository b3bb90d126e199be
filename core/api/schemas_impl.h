/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_SCHEMAS_IMPL_H
#define CORE_API_SCHEMAS_IMPL_H

/* Between the tables of shapes, one a room: see schemas.c. */

#include "core/api/schemas.h"
#include "core/base/mem.h"

struct api_schema {
	const char *name, *text;
};

struct api_schemas {
	const struct api_schema *rows;
	size_t n;
};

extern const struct api_schemas api_schemas_branches;

/* JSON as it is, without a backslash before each quote. */
#define JSON(...) #__VA_ARGS__

/* clang-format off */
#define ID JSON({ "type": "string", "format": "uuid" })
#define ID_OR_NULL "{\"type\":[\"string\",\"null\"],\"format\":\"uuid\"}"
#define TIME JSON({ "type": "string", "format": "date-time" })
#define TIME_OR_NULL \
	"{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define LIMIT "\"limit\":" JSON({ "type": "integer", "minimum": 1, \
	"maximum": 200, "default": 50 })
#define CURSOR "\"cursor\":" JSON({ "type": "string", "maxLength": 256 })
#define QUERY(...) \
	"{\"type\":\"object\",\"additionalProperties\":false," \
	"\"properties\":{" __VA_ARGS__ "}}"
#define PAGE(of) \
	"{\"type\":\"object\",\"required\":[\"items\",\"next_cursor\"]," \
	"\"properties\":{\"items\":{\"type\":\"array\",\"items\":" \
	"{\"$ref\":\"" of "\"}},\"next_cursor\":{\"type\":" \
	"[\"string\",\"null\"]}}}"
/* clang-format on */

#endif
