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
{ "CheckpointsQuery", QUERY(LIMIT "," CURSOR ",\"ns\":"
	JSON({ "type": "string", "maxLength": 200, "default": "" })) },
{ "Checkpoint", "{\"type\":\"object\",\"required\":[\"id\",\"parent_id\","
	"\"run_id\",\"step\",\"source\",\"state_hash\",\"created_at\","
	"\"run_status\",\"forked_from_run\",\"forked_from_checkpoint\","
	"\"fork_mode\",\"head\",\"events\",\"message_id\",\"tasks\","
	"\"interrupts\"],\"properties\":{\"id\":" ID ",\"parent_id\":"
	ID_OR_NULL ",\"run_id\":" ID
	",\"step\":" JSON({ "type": "integer" })
	",\"source\":" JSON({ "enum": ["input", "loop", "update", "fork"] })
	",\"state_hash\":" JSON({ "type": ["string", "null"] })
	",\"created_at\":" TIME ",\"run_status\":{\"enum\":" RUN_STATES "}"
	",\"forked_from_run\":" ID_OR_NULL
	",\"forked_from_checkpoint\":" ID_OR_NULL
	",\"fork_mode\":" JSON({ "type": ["string", "null"],
	    "description": "live or what_if; then the tools that are called all the same." })
	",\"head\":" JSON({ "type": "boolean",
	    "description": "Where the thread goes on." })
	",\"events\":" JSON({ "type": ["object", "null"],
	    "description": "The seq of its first and last event.",
	    "required": ["first", "last"],
	    "properties": { "first": { "type": "integer" },
		"last": { "type": "integer" } } })
	",\"message_id\":{\"type\":[\"string\",\"null\"],"
	"\"format\":\"uuid\",\"description\":"
	"\"The last message of its state.\"}"
	",\"tasks\":" JSON({ "type": "array",
	    "description": "Calls of this step that have no result.",
	    "items": { "type": "object" } })
	",\"interrupts\":" JSON({ "type": "array",
	    "description": "What a person is asked at this step.",
	    "items": { "type": "object" } }) "}}" },
{ "CheckpointPage", PAGE("Checkpoint") },
{ "ForkCreate", JSON({
	"type": "object",
	"required": ["mode"],
	"additionalProperties": false,
	"properties": {
		"mode": { "enum": ["live", "what_if", "replay"],
		    "description": "what_if makes no call with an effect; replay makes none at all and writes nothing." },
		"content": { "type": ["string", "null"], "minLength": 1,
		    "maxLength": 262144,
		    "description": "A question; required where the checkpoint ends with an answer." },
		"patch": {
			"type": ["object", "null"],
			"required": ["message_id", "content"],
			"additionalProperties": false,
			"properties": {
				"message_id": { "type": "string",
				    "format": "uuid" },
				"content": { "type": "string",
				    "minLength": 1, "maxLength": 262144 }
			},
			"description": "A question, or the last result of a step, with another text; what followed it is left out."
		},
		"make_head": { "type": "boolean", "default": false,
		    "description": "The thread goes on there." },
		"grant": { "type": ["array", "null"], "maxItems": 64,
		    "items": { "type": "string", "maxLength": 200 },
		    "description": "Tools that what_if calls all the same." }
	}
}) },
{ "Fork", "{\"type\":\"object\",\"required\":[\"mode\"],\"properties\":{"
	"\"mode\":" JSON({ "enum": ["live", "what_if", "replay"] })
	",\"run\":{\"$ref\":\"Run\"},\"checkpoint_id\":" ID
	",\"run_id\":" ID
	",\"equal\":" JSON({ "type": "boolean",
	    "description": "Of a replay: every step came out as recorded." })
	",\"whole\":" JSON({ "type": "boolean" })
	",\"steps\":" JSON({ "type": "array", "items": { "type": "object",
	    "required": ["step", "state_hash", "equal"] } })
	",\"difference\":" JSON({ "type": ["object", "null"] }) "}}" },
{ NULL, NULL }
};
/* clang-format on */
