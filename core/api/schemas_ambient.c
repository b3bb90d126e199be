/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of work that nobody watches. */

/* clang-format off */
const struct schema_row api_schemas_ambient[] = {
{ "AmbientTest", "{\"type\":\"object\",\"required\":[\"task\"],"
	"\"additionalProperties\":false,\"properties\":{"
	"\"task\":" JSON({ "type": "string", "minLength": 1 }) ","
	"\"class\":" JSON({ "enum": ["priority", "standard", "bulk"],
	    "default": "standard" }) ","
	"\"run_at\":{\"type\":[\"string\",\"null\"],"
	"\"format\":\"date-time\",\"description\":"
	"\"Not before; absent: as soon as there is room.\"}},"
	"\"examples\":[{\"task\":\"Read the news and report.\"}]}" },
{ "AmbientStarted", JSON({
	"type": "object",
	"required": ["run", "thread"],
	"properties": {
		"run": { "$ref": "Run" },
		"thread": { "$ref": "Thread" }
	}
}) },
{ NULL, NULL }
};
/* clang-format on */
