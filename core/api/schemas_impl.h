/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_SCHEMAS_IMPL_H
#define CORE_API_SCHEMAS_IMPL_H

/* How the tables of shapes are written: private to schemas*.c. */

struct schema_row {
	const char *name;
	const char *text; /* JSON Schema; "$ref" names another row */
};

/* One table a room; listed in schemas.c. */
extern const struct schema_row api_schemas_agents[];
extern const struct schema_row api_schemas_ambient[];
extern const struct schema_row api_schemas_auth[];
extern const struct schema_row api_schemas_branches[];
extern const struct schema_row api_schemas_chat[];
extern const struct schema_row api_schemas_events[];
extern const struct schema_row api_schemas_files[];
extern const struct schema_row api_schemas_hooks[];
extern const struct schema_row api_schemas_inbox[];
extern const struct schema_row api_schemas_models[];
extern const struct schema_row api_schemas_plugins[];
extern const struct schema_row api_schemas_schedules[];

/* JSON as it is, without a backslash before each quote. */
#define JSON(...) #__VA_ARGS__

/* clang-format off */
#define ID JSON({ "type": "string", "format": "uuid" })
#define ID_OR_NULL \
	"{\"type\":[\"string\",\"null\"],\"format\":\"uuid\"}"
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
#define RUN_STATES \
	"[\"blocked\",\"queued\",\"running\",\"cancelling\"," \
	"\"waiting_human\",\"waiting_timer\",\"waiting_child\"," \
	"\"recoverable_error\",\"succeeded\",\"failed\",\"cancelled\"," \
	"\"expired\",\"rolled_back\",\"dead_lettered\"]"
/* clang-format on */

#endif
