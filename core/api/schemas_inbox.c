/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* The inbox; see docs/inbox.md. */

/* clang-format off */
#define KINDS JSON(["approval", "question", "notification", "report", \
	"outcome", "error", "dead_letter"])
#define STATUSES JSON(["pending", "answered", "dismissed", "expired", \
	"superseded"])
#define COUNTS JSON({ \
	"type": "object", \
	"required": ["pending", "unread"], \
	"properties": { \
		"pending": { "type": "integer", "description": \
		    "Open requests that I can see." }, \
		"unread": { "type": "integer", "description": \
		    "Open items that nobody has read yet." } \
	} \
})

const struct schema_row api_schemas_inbox[] = {
{ "InboxItem", "{\"type\":\"object\",\"required\":[\"id\",\"kind\","
	"\"status\",\"title\",\"description\",\"action_request\",\"config\","
	"\"user_id\",\"assignee\",\"agent_id\",\"thread_id\",\"run_id\","
	"\"correlation_id\",\"interrupt_id\",\"step\",\"ordinal\","
	"\"response_type\",\"response\",\"responded_by\",\"responded_at\","
	"\"expires_at\",\"on_expire\",\"read_at\",\"created_at\","
	"\"updated_at\"],\"properties\":{"
	"\"id\":" ID ",\"kind\":{\"enum\":" KINDS "},"
	"\"status\":{\"enum\":" STATUSES "},"
	"\"title\":" JSON({ "type": "string" }) ","
	"\"description\":" JSON({ "type": "string" }) ","
	"\"action_request\":" JSON({ "type": ["object", "null"],
	    "description": "What is to be done: action and args." }) ","
	"\"config\":" JSON({ "type": ["object", "null"], "description":
	    "The answers that are possible: allow_accept, allow_edit, allow_respond, allow_ignore." }) ","
	"\"user_id\":" ID ",\"assignee\":" ID_OR_NULL ","
	"\"agent_id\":" ID ",\"thread_id\":" ID_OR_NULL ",\"run_id\":" ID_OR_NULL ","
	"\"correlation_id\":" JSON({ "type": "string" }) ","
	"\"interrupt_id\":" ID ",\"step\":" JSON({ "type": "integer" }) ","
	"\"ordinal\":" JSON({ "type": "integer", "description":
	    "Its place among the requests of the step." }) ","
	"\"response_type\":" JSON({ "type": ["string", "null"] }) ","
	"\"response\":" JSON({}) ","
	"\"responded_by\":" ID_OR_NULL ",\"responded_at\":" TIME_OR_NULL ","
	"\"expires_at\":" TIME_OR_NULL ","
	"\"on_expire\":" JSON({ "type": ["string", "null"] }) ","
	"\"read_at\":" TIME_OR_NULL ","
	"\"created_at\":" TIME ",\"updated_at\":" TIME "}}" },
{ "InboxCounts", COUNTS },
{ "InboxPage", JSON({
	"type": "object",
	"required": ["items", "next_cursor", "counts"],
	"properties": {
		"items": { "type": "array", "items": { "$ref": "InboxItem" } },
		"next_cursor": { "type": ["string", "null"] },
		"counts": { "$ref": "InboxCounts" }
	}
}) },
{ "InboxQuery", QUERY(LIMIT "," CURSOR ",\"status\":{\"enum\":" STATUSES
	"},\"kind\":{\"enum\":" KINDS "},\"agent_id\":" ID ",\"thread_id\":" ID
	",\"run_id\":" ID ",\"assignee\":" JSON({ "type": "string",
	    "description": "me, none, or the id of a user." })
	",\"unread\":" JSON({ "enum": ["true", "false"],
	    "default": "false" })) },
{ "InboxAssign", JSON({
	"type": "object",
	"required": ["assignee"],
	"additionalProperties": false,
	"properties": {
		"assignee": { "type": ["string", "null"], "format": "uuid",
		    "description": "A user of the tenant; null: nobody." }
	}
}) },
{ "InboxReply", JSON({
	"type": "object",
	"required": ["type"],
	"additionalProperties": false,
	"properties": {
		"type": { "enum": ["accept", "edit", "response", "ignore"] },
		"args": { "description": "accept, edit: the arguments of the call, or {action, args}; response: what is answered; ignore: null." }
	}
}) },
{ "InboxDecision", JSON({
	"type": "object",
	"required": ["type"],
	"additionalProperties": false,
	"properties": {
		"type": { "enum": ["approve", "edit", "reject", "respond"] },
		"edited_action": { "$ref": "InboxEditedAction" },
		"editedAction": { "$ref": "InboxEditedAction" },
		"message": { "type": ["string", "null"], "description":
		    "respond: what is answered; reject: why." }
	}
}) },
{ "InboxEditedAction", JSON({
	"type": "object",
	"required": ["name"],
	"additionalProperties": false,
	"properties": {
		"name": { "type": "string" },
		"args": { "type": "object" },
		"arguments": { "type": "object" }
	}
}) },
{ "InboxAnswer", JSON({
	"type": ["object", "array"],
	"description": "One answer (type, args), a list with one, or decisions; outcome is for what operators decide.",
	"minItems": 1,
	"maxItems": 1,
	"items": { "$ref": "InboxReply" },
	"additionalProperties": false,
	"properties": {
		"type": { "enum": ["accept", "edit", "response", "ignore"] },
		"args": {},
		"decisions": { "type": "array", "minItems": 1, "maxItems": 200,
		    "items": { "$ref": "InboxDecision" } },
		"outcome": { "type": "string", "maxLength": 32 },
		"result": {}
	},
	"examples": [{ "type": "edit", "args": { "to": "ada@example.org" } }]
}) },
{ "InboxAnswers", JSON({
	"type": "object",
	"required": ["answers"],
	"additionalProperties": false,
	"properties": {
		"answers": {
			"type": "array",
			"minItems": 1,
			"maxItems": 200,
			"items": {
				"type": "object",
				"required": ["item_id"],
				"additionalProperties": false,
				"properties": {
					"item_id": { "type": "string",
					    "format": "uuid" },
					"type": { "enum": ["accept", "edit",
					    "response", "ignore"] },
					"args": {},
					"outcome": { "type": "string",
					    "maxLength": 32 },
					"result": {}
				}
			}
		}
	}
}) },
{ "InboxResults", JSON({
	"type": "object",
	"required": ["results"],
	"properties": {
		"results": {
			"type": "array",
			"description": "One for each answer, in their order.",
			"items": {
				"type": "object",
				"required": ["item_id", "status", "item",
				    "error"],
				"properties": {
					"item_id": { "type": "string",
					    "format": "uuid" },
					"status": { "type": "integer",
					    "description": "As of an answer alone; 424: not recorded, because another one to the same run was refused." },
					"item": { "anyOf": [{ "type": "null" },
					    { "$ref": "InboxItem" }] },
					"error": { "anyOf": [{ "type": "null" },
					    { "$ref": "Error" }] }
				}
			}
		}
	}
}) },
{ "InboxItems", JSON({
	"type": "object",
	"required": ["items"],
	"properties": {
		"items": { "type": "array", "items": { "$ref": "InboxItem" } }
	}
}) },
{ "InboxEvent", JSON({
	"type": "object",
	"required": ["v", "type", "counts"],
	"properties": {
		"v": { "const": 1 },
		"type": { "enum": ["ready", "inbox_item", "inbox_counts"] },
		"head_seq": { "type": "integer" },
		"start_over": { "type": "boolean", "description":
		    "Of ready: some changes after the cursor are forgotten." },
		"seq": { "type": "integer" },
		"ts": { "type": "string", "format": "date-time" },
		"item_id": { "type": "string", "format": "uuid" },
		"change": { "enum": ["created", "read", "assigned", "changed",
		    "answered", "dismissed", "expired", "superseded"] },
		"item": { "anyOf": [{ "type": "null" },
		    { "$ref": "InboxItem" }], "description":
		    "As it is now; null: I do not see it any more." },
		"counts": { "$ref": "InboxCounts" }
	}
}) },
{ "InboxEventList", JSON({
	"type": "object",
	"required": ["items", "head", "counts", "start_over"],
	"properties": {
		"items": { "type": "array", "items": { "$ref": "InboxEvent" } },
		"head": { "type": "integer", "description":
		    "To be sent as after." },
		"counts": { "$ref": "InboxCounts" },
		"start_over": { "type": "boolean", "description":
		    "Some changes after the cursor are forgotten; read the list." }
	}
}) },
{ "InboxEventsQuery", QUERY("\"limit\":" JSON({ "type": "integer",
	    "minimum": 1, "maximum": 1000, "default": 100 }) ",\"after\":"
	JSON({ "type": "integer", "minimum": 0,
	    "description": "Absent: what happens from now on." }) ",\"wait\":"
	JSON({ "type": "integer", "minimum": 0, "maximum": 30,
	    "description": "Seconds to wait for the first one.",
	    "default": 0 })) },
{ NULL, NULL }
};
/* clang-format on */
