/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of threads, messages and runs, and what operators decide. */

/* clang-format off */
const struct schema_row api_schemas_chat[] = {
{ "ThreadCreate", JSON({
	"type": "object",
	"required": ["agent_id"],
	"additionalProperties": false,
	"properties": {
		"agent_id": { "type": "string", "format": "uuid" },
		"title": { "type": "string", "maxLength": 200, "default": "" }
	}
}) },
{ "Thread", "{\"type\":\"object\",\"required\":[\"id\",\"user_id\","
	"\"agent_id\",\"title\",\"status\",\"head_seq\",\"active_run_id\","
	"\"active_leaf\",\"created_at\",\"updated_at\"],\"properties\":{"
	"\"id\":" ID ",\"user_id\":" ID ",\"agent_id\":" ID ","
	"\"title\":" JSON({ "type": "string" }) ","
	"\"status\":" JSON({ "enum": ["idle", "busy", "waiting", "error"] }) ","
	"\"head_seq\":" JSON({ "type": "integer" }) ","
	"\"active_run_id\":" ID_OR_NULL ","
	"\"active_leaf\":{\"type\":[\"string\",\"null\"],"
	"\"format\":\"uuid\",\"description\":"
	"\"null: the thread has one branch only.\"},"
	"\"created_at\":" TIME ",\"updated_at\":" TIME "}}" },
{ "ThreadFull", JSON({
	"allOf": [
		{ "$ref": "Thread" },
		{
			"type": "object",
			"required": ["messages", "queue", "next_cursor"],
			"properties": {
				"messages": {
					"type": "array",
					"description": "The newest, oldest first; those that wait stand last.",
					"items": { "$ref": "Message" }
				},
				"queue": {
					"type": "array",
					"description": "The runs that wait for the thread, the next one first.",
					"items": { "$ref": "Run" }
				},
				"next_cursor": {
					"type": ["string", "null"],
					"description": "Of the older ones."
				}
			}
		}
	]
}) },
{ "ThreadPage", PAGE("Thread") },
{ "ThreadsQuery", QUERY(LIMIT "," CURSOR ",\"agent_id\":" ID) },
{ "Multitask", JSON({
	"enum": ["reject", "enqueue", "interrupt", "rollback", "steer"],
	"description": "What happens while another run is at work in the thread: 409; wait for it; end it, keeping or voiding what it said; or tell it at its next step. Without it: enqueue."
}) },
{ "MessageCreate", JSON({
	"type": "object",
	"required": ["content"],
	"additionalProperties": false,
	"properties": {
		"content": { "type": "string", "minLength": 1,
		    "maxLength": 262144,
		    "description": "1 byte to 256 KiB, no U+0000." },
		"client_message_id": { "type": ["string", "null"],
		    "minLength": 1, "maxLength": 128,
		    "description": "Repeats are answered with what the first one made." },
		"multitask": { "$ref": "Multitask" },
		"edit_of": { "type": ["string", "null"], "format": "uuid",
		    "description": "A message of mine: this one stands beside it." },
		"parent_id": { "type": ["string", "null"], "format": "uuid",
		    "description": "The message that this one follows; null: none. Without it, the leaf that is looked at." }
	},
	"examples": [{ "content": "What is 17 * 23?" }]
}) },
{ "StreamCreate", JSON({
	"type": "object",
	"required": ["thread_id", "content"],
	"additionalProperties": false,
	"properties": {
		"thread_id": { "type": "string", "format": "uuid" },
		"content": { "type": "string", "minLength": 1,
		    "maxLength": 262144 },
		"client_message_id": { "type": ["string", "null"],
		    "minLength": 1, "maxLength": 128,
		    "description": "A repeat gets what happened to the first one." },
		"multitask": { "$ref": "Multitask" }
	}
}) },
{ "Part", JSON({
	"type": "object",
	"required": ["type"],
	"properties": {
		"type": { "enum": ["text", "reasoning", "tool_call",
		    "tool_result", "summary"] },
		"text": { "type": "string" },
		"id": { "type": "string" },
		"name": { "type": "string" },
		"args": { "type": "object" },
		"is_error": { "type": "boolean" }
	}
}) },
{ "Usage", JSON({
	"type": "object",
	"required": ["input_tokens", "output_tokens", "cached_tokens",
	    "reasoning_tokens"],
	"properties": {
		"input_tokens": { "type": "integer" },
		"output_tokens": { "type": "integer" },
		"cached_tokens": { "type": "integer" },
		"reasoning_tokens": { "type": "integer" }
	}
}) },
{ "UsageOrNull", JSON({
	"anyOf": [{ "type": "null" }, { "$ref": "Usage" }]
}) },
{ "Message", "{\"type\":\"object\",\"required\":[\"id\",\"thread_id\","
	"\"run_id\",\"sequence\",\"role\",\"content\",\"parts\",\"tool_name\","
	"\"tool_call_id\",\"state\",\"client_message_id\",\"parent_id\","
	"\"usage\",\"created_at\"],\"properties\":{"
	"\"id\":" ID ",\"thread_id\":" ID ",\"run_id\":" ID_OR_NULL ","
	"\"sequence\":" JSON({ "type": ["integer", "null"],
	    "description": "Null while the message is staged." }) ","
	"\"role\":" JSON({ "enum": ["user", "assistant", "tool", "system"] }) ","
	"\"content\":" JSON({ "type": "string" }) ","
	"\"parts\":" JSON({ "type": "array", "items": { "$ref": "Part" } }) ","
	"\"tool_name\":" JSON({ "type": ["string", "null"] }) ","
	"\"tool_call_id\":" JSON({ "type": ["string", "null"] }) ","
	"\"state\":" JSON({ "enum": ["final", "staged", "interrupted",
	    "rolled_back", "superseded"] }) ","
	"\"client_message_id\":" JSON({ "type": ["string", "null"] }) ","
	"\"parent_id\":" ID_OR_NULL ","
	"\"usage\":" JSON({ "$ref": "UsageOrNull" }) ","
	"\"created_at\":" TIME "}}" },
{ "MessageAccepted", JSON({
	"type": "object",
	"required": ["message", "run"],
	"properties": {
		"message": { "$ref": "Message" },
		"run": { "$ref": "Run" }
	}
}) },
{ "RunError", JSON({
	"type": ["object", "null"],
	"required": ["code", "message", "service", "retry_after", "actions"],
	"properties": {
		"code": { "type": "string" },
		"message": { "type": "string" },
		"service": { "type": ["string", "null"] },
		"retry_after": { "type": ["number", "null"] },
		"actions": { "type": "array", "items": { "type": "string" } }
	}
}) },
{ "Run", "{\"type\":\"object\",\"required\":[\"id\",\"thread_id\","
	"\"agent_id\",\"kind\",\"status\",\"model\",\"step\",\"head_run_seq\","
	"\"error\",\"correlation_id\",\"created_by_user_id\",\"checkpoint_ns\","
	"\"checkpoint_id\",\"cancel_requested_at\",\"usage\",\"created_at\","
	"\"started_at\",\"completed_at\",\"class\",\"multitask\","
	"\"position\",\"est_wait_ms\",\"parent_run_id\",\"root_run_id\","
	"\"pending_subagents\",\"todos\"],\"properties\":{"
	"\"id\":" ID ",\"thread_id\":" ID ",\"agent_id\":" ID ","
	"\"class\":" JSON({ "enum": ["priority", "standard", "bulk"] }) ","
	"\"position\":" JSON({ "type": ["integer", "null"], "description":
	    "From 1: of a blocked run among those that wait for its thread; of a queued one, if it is asked for by itself, among those that wait for a slot." }) ","
	"\"est_wait_ms\":" JSON({ "type": ["integer", "null"] }) ","
	"\"kind\":" JSON({ "enum": ["interactive", "ambient", "subagent",
	    "replay"] }) ","
	"\"status\":{\"enum\":" RUN_STATES "},"
	"\"model\":" JSON({ "type": ["string", "null"] }) ","
	"\"step\":" JSON({ "type": "integer" }) ","
	"\"head_run_seq\":" JSON({ "type": "integer" }) ","
	"\"error\":" JSON({ "$ref": "RunError" }) ","
	"\"correlation_id\":" JSON({ "type": ["string", "null"] }) ","
	"\"created_by_user_id\":" ID_OR_NULL ","
	"\"checkpoint_ns\":" JSON({ "type": "string" }) ","
	"\"checkpoint_id\":" ID_OR_NULL ","
	"\"cancel_requested_at\":" TIME_OR_NULL ","
	"\"usage\":" JSON({ "$ref": "Usage" }) ","
	"\"created_at\":" TIME ",\"started_at\":" TIME_OR_NULL ","
	"\"completed_at\":" TIME_OR_NULL ","
	"\"multitask\":" JSON({ "type": ["string", "null"],
	    "description": "As asked for with its message." }) ","
	"\"parent_run_id\":" ID_OR_NULL ",\"root_run_id\":" ID ","
	"\"pending_subagents\":" JSON({ "type": "integer", "minimum": 0 }) ","
	"\"todos\":" JSON({ "$ref": "Todos" }) "}}" },
{ "Todos", JSON({
	"type": "array",
	"description": "What the agent has planned, as it has last said with write_todos.",
	"items": {
		"type": "object",
		"required": ["content", "status"],
		"properties": {
			"content": { "type": "string" },
			"status": { "enum": ["pending", "in_progress", "completed"] }
		}
	}
}) },
{ "RunPage", PAGE("Run") },
{ "RunsQuery", QUERY(LIMIT "," CURSOR ",\"thread_id\":" ID
	",\"agent_id\":" ID ",\"status\":{\"enum\":" RUN_STATES "}") },
{ "RunCancel", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"action": { "enum": ["interrupt", "rollback"],
		    "default": "interrupt" },
		"reason": { "type": ["string", "null"], "maxLength": 500 }
	}
}) },

{ "RunResume", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"action": { "enum": ["retry", "extend", "switch_model"],
		    "default": "retry" },
		"model": { "type": ["string", "null"], "maxLength": 200 }
	}
}) },
{ "Call", "{\"type\":\"object\",\"required\":[\"id\",\"step\",\"ordinal\","
	"\"name\",\"effect\",\"state\",\"idempotency_key\",\"args\"],"
	"\"properties\":{\"id\":" ID ","
	"\"step\":" JSON({ "type": "integer" }) ","
	"\"ordinal\":" JSON({ "type": "integer" }) ","
	"\"tool_call_id\":" JSON({ "type": ["string", "null"] }) ","
	"\"name\":" JSON({ "type": "string" }) ","
	"\"version\":" JSON({ "type": "string" }) ","
	"\"effect\":" JSON({ "enum": ["none", "repeat", "keyed", "verified",
	    "once"] }) ","
	"\"state\":" JSON({ "enum": ["planned", "awaiting_approval", "started",
	    "parked", "succeeded", "failed", "unknown", "cancelled",
	    "skipped"] }) ","
	"\"idempotency_key\":" JSON({ "type": "string" }) ","
	"\"args\":" JSON({}) ","
	"\"result\":" JSON({ "type": ["string", "null"] }) ","
	"\"error_code\":" JSON({ "type": ["string", "null"] }) ","
	"\"resolution\":" JSON({ "enum": ["auto", "verify", "late",
	    "operator", null] }) ","
	"\"attempt\":" JSON({ "type": "integer" }) ","
	"\"started_at\":" TIME_OR_NULL ",\"dispatch_deadline\":" TIME_OR_NULL
	",\"completed_at\":" TIME_OR_NULL "}}" },
{ "CallPage", PAGE("Call") },

{ "OperatorItemPage", PAGE("InboxItem") },
{ "OperatorItemsQuery", QUERY(LIMIT "," CURSOR ",\"run_id\":" ID
	",\"status\":" JSON({ "enum": ["pending", "answered", "dismissed",
	    "expired", "superseded"] })
	",\"kind\":" JSON({ "enum": ["outcome", "error", "dead_letter"] })) },
{ "OperatorResolve", JSON({
	"type": "object",
	"required": ["outcome"],
	"additionalProperties": false,
	"properties": {
		"outcome": { "enum": ["happened", "not_happened", "skip",
		    "retry", "extend", "cancel", "requeue", "dismiss"] },
		"result": { "description":
		    "What a call that happened has answered." }
	}
}) },
{ NULL, NULL }
};
/* clang-format on */
