/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Branches, checkpoints, forks. */

/* clang-format off */
const struct schema_row api_schemas_branches[] = {

{ "SessionQuery", QUERY(LIMIT "," CURSOR ",\"branch\":"
	JSON({ "enum": ["active", "all"], "default": "active",
	    "description": "The messages of the branch that is looked at, or of all." })) },
{ "Sibling", "{\"type\":\"object\",\"required\":[\"id\",\"leaf\",\"run_id\","
	"\"role\",\"sequence\",\"preview\",\"active\",\"created_at\"],"
	"\"properties\":{\"id\":" ID ",\"leaf\":" ID ",\"run_id\":" ID_OR_NULL
	",\"role\":" JSON({ "enum": ["user", "assistant", "tool", "system"] })
	",\"sequence\":" JSON({ "type": "integer" })
	",\"preview\":" JSON({ "type": "string",
	    "description": "How it begins." })
	",\"active\":" JSON({ "type": "boolean",
	    "description": "On the branch that is looked at." })
	",\"created_at\":" TIME "}}" },
{ "Branches", "{\"type\":\"object\",\"required\":[\"active_leaf\",\"items\"],"
	"\"properties\":{\"active_leaf\":" ID_OR_NULL ",\"items\":"
	"{\"type\":\"array\",\"description\":\"Where a thread forks.\","
	"\"items\":{\"type\":\"object\",\"required\":[\"parent_id\","
	"\"siblings\"],\"properties\":{\"parent_id\":" ID_OR_NULL ","
	"\"siblings\":{\"type\":\"array\",\"items\":"
	"{\"$ref\":\"Sibling\"}}}}}}}" },
{ "ActiveLeaf", JSON({
	"type": "object",
	"required": ["message_id"],
	"additionalProperties": false,
	"properties": {
		"message_id": { "type": "string", "format": "uuid",
		    "description": "Any message of the branch; its newest leaf counts." }
	}
}) },
{ NULL, NULL }
};
/* clang-format on */
