/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of events, and how they are asked for. */

/* clang-format off */
const struct schema_row api_schemas_events[] = {
{ "Event", "{\"type\":\"object\",\"required\":[\"v\",\"type\"],"
	"\"description\":\"Further members by type; clients ignore types and "
	"members that they do not know.\",\"properties\":{"
	"\"v\":" JSON({ "const": 1 }) ","
	"\"type\":" JSON({ "enum": ["ready", "snapshot", "run_status",
	    "message_created", "message_start", "message_delta",
	    "reasoning_delta", "message_reset", "message_end", "tool_call",
	    "tool_progress", "tool_result", "hitl_request", "hitl_resolved",
	    "checkpoint", "compaction", "breaker", "error", "ping",
	    "pong"] }) ","
	"\"seq\":" JSON({ "type": "integer" }) ","
	"\"run_seq\":" JSON({ "type": "integer" }) ","
	"\"run_id\":" ID ",\"ts\":" TIME ","
	"\"status\":" JSON({ "enum": ["running", "end"] }) ","
	"\"state\":{\"anyOf\":[{\"enum\":" RUN_STATES "}," JSON({
	    "enum": ["closed", "open", "half_open"],
	    "description": "Of type breaker." }) "]},"
	"\"service\":" JSON({ "type": "string", "description":
	    "Whose breaker it is." }) ","
	"\"reason\":" JSON({ "type": ["string", "null"] }) ","
	"\"position\":" JSON({ "type": "integer", "description":
	    "Of a blocked or a queued run; of the latter again, live, when the wait has changed." }) ","
	"\"est_wait_ms\":" JSON({ "type": ["integer", "null"] }) ","
	"\"in_ms\":" JSON({ "type": "integer", "description":
	    "Of waiting_timer: after this it goes on by itself." }) ","
	"\"error\":" JSON({ "type": "object", "description":
	    "RunError, or code, message and retryable of a tool." }) ","
	"\"usage\":" JSON({ "$ref": "UsageOrNull" }) ","
	"\"message\":" JSON({ "anyOf": [{ "$ref": "Message" },
	    { "type": "string", "description": "Of type error." }] }) ","
	"\"message_id\":" ID ",\"attempt\":" JSON({ "type": "integer" }) ","
	"\"role\":" JSON({ "const": "assistant" }) ","
	"\"model\":" JSON({ "type": ["string", "null"] }) ","
	"\"offset\":" JSON({ "type": "integer", "description":
	    "The byte of the text at which delta begins." }) ","
	"\"delta\":" JSON({ "type": "string" }) ","
	"\"length\":" JSON({ "type": "integer" }) ","
	"\"sha256\":" JSON({ "type": "string", "description":
	    "Of the whole text." }) ","
	"\"finish_reason\":" JSON({ "type": "string" }) ","
	"\"tool_call_id\":" JSON({ "type": "string" }) ","
	"\"name\":" JSON({ "type": "string" }) ","
	"\"args\":" JSON({ "description": "As the model wrote them." }) ","
	"\"effect\":" JSON({ "type": "string" }) ","
	"\"idempotency_key\":" JSON({ "type": "string" }) ","
	"\"needs_approval\":" JSON({ "type": "boolean" }) ","
	"\"left_out\":" JSON({ "type": "integer", "description":
	    "Of compaction: messages that its summary stands for." }) ","
	"\"kept\":" JSON({ "type": "integer" }) ","
	"\"tokens\":" JSON({ "type": "integer" }) ","
	"\"window\":" JSON({ "type": "integer" }) ","
	"\"summarised\":" JSON({ "type": "boolean", "description":
	    "false: the model could not, they are left out with a note." }) ","
	"\"result\":" JSON({ "description": "What the tool gave." }) ","
	"\"is_error\":" JSON({ "type": "boolean" }) ","
	"\"duration_ms\":" JSON({ "type": "integer" }) ","
	"\"outcome\":" JSON({ "enum": ["succeeded", "failed", "unknown",
	    "cancelled", "skipped"] }) ","
	"\"item_id\":" ID ",\"interrupt_id\":" ID ","
	"\"kind\":" JSON({ "type": "string" }) ","
	"\"action_request\":" JSON({ "type": "object", "description":
	    "What was to be done: action and args." }) ","
	"\"config\":" JSON({ "type": "object", "description":
	    "The answers that are possible." }) ","
	"\"description\":" JSON({ "type": "string" }) ","
	"\"expires_at\":" TIME_OR_NULL ","
	"\"response_type\":" JSON({ "type": "string" }) ","
	"\"responded_by\":" ID ","
	"\"checkpoint_id\":" ID ",\"ns\":" JSON({ "type": "string" }) ","
	"\"step\":" JSON({ "type": "integer" }) ","
	"\"state_hash\":" JSON({ "type": "string" }) "}}" },
{ "EventList", JSON({
	"type": "object",
	"required": ["items", "head"],
	"properties": {
		"items": { "type": "array", "items": { "$ref": "Event" } },
		"head": { "type": "integer" }
	}
}) },
{ "EventsQuery", QUERY(LIMIT ",\"after\":"
	JSON({ "type": "integer", "minimum": 0, "default": 0 }) ",\"wait\":"
	JSON({ "type": "integer", "minimum": 0, "maximum": 30,
	    "description": "Seconds to wait for the first one.",
	    "default": 0 })) },
{ "SocketQuery", QUERY("\"after_seq\":"
	JSON({ "type": "integer", "minimum": 0 }) ",\"ticket\":"
	JSON({ "type": "string", "maxLength": 64, "description":
	    "Of POST /api/ws/ticket; it wins over other credentials." })) },
{ NULL, NULL }
};
/* clang-format on */
