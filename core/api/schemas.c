/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/schemas.h"

#include <stddef.h>

#include "core/api/schemas_impl.h"
#include "core/base/mem.h"

/*
 * One row a shape; "$ref" names another row.  What a client may send refuses
 * unknown members; what it gets is described in full, every member there.
 * Members marked readOnly may be sent back; the domain compares them.
 */

/* clang-format off */
static const struct schema_row table[] = {

/* ---- Errors -------------------------------------------------------- */

{ "Error", JSON({
	"type": "object",
	"description": "RFC 9457 with further members by code.",
	"required": ["error", "code", "title", "status", "detail", "type",
	    "instance", "correlation_id"],
	"properties": {
		"error": { "type": "string" },
		"code": { "type": "string" },
		"title": { "type": "string" },
		"status": { "type": "integer" },
		"detail": { "type": ["string", "null"] },
		"type": { "type": "string" },
		"instance": { "type": ["string", "null"] },
		"correlation_id": { "type": ["string", "null"] },
		"details": {
			"type": "object",
			"additionalProperties": {
				"type": "array",
				"items": { "type": "string" }
			}
		},
		"resource": { "type": "string" },
		"id": { "type": "string" },
		"service": { "type": "string" },
		"retry_after": { "type": "number" },
		"active_run_id": { "type": "string", "format": "uuid" },
		"current_version": { "type": "integer" },
		"item_status": { "type": "string" },
		"response_type": { "type": ["string", "null"] },
		"responded_by": { "type": ["string", "null"] },
		"responded_at": { "type": ["string", "null"] },
		"item_id": { "type": "string", "format": "uuid" }
	}
}) },

/* ---- Auth ---------------------------------------------------------- */

{ "SignUp", JSON({
	"type": "object",
	"required": ["email", "password"],
	"additionalProperties": false,
	"properties": {
		"email": { "type": "string", "format": "email", "maxLength": 254 },
		"password": { "type": "string", "minLength": 1, "maxLength": 1024,
		    "description": "8 to 1024 bytes." },
		"display_name": { "type": "string", "maxLength": 200 }
	},
	"examples": [{ "email": "ada@example.org", "password": "correct horse" }]
}) },
{ "LogIn", JSON({
	"type": "object",
	"required": ["email", "password"],
	"additionalProperties": false,
	"properties": {
		"email": { "type": "string", "maxLength": 254 },
		"password": { "type": "string", "maxLength": 1024 }
	},
	"examples": [{ "email": "ada@example.org", "password": "correct horse" }]
}) },
{ "Refresh", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"refresh_token": { "type": "string", "minLength": 1,
		    "maxLength": 256,
		    "description": "Absent: the cookie is the credential." }
	}
}) },
{ "Empty", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {}
}) },
{ "Session", JSON({
	"type": "object",
	"required": ["access_token", "token_type", "expires_in",
	    "refresh_token", "user"],
	"properties": {
		"access_token": { "type": "string" },
		"token_type": { "const": "bearer" },
		"expires_in": { "type": "integer" },
		"refresh_token": { "type": "string" },
		"user": { "$ref": "User" }
	}
}) },
{ "User", "{\"type\":\"object\",\"required\":[\"id\",\"email\","
	"\"display_name\",\"avatar_url\",\"role\",\"created_at\","
	"\"updated_at\"],\"properties\":{"
	"\"id\":" ID ","
	"\"email\":" JSON({ "type": "string", "format": "email" }) ","
	"\"display_name\":" JSON({ "type": "string" }) ","
	"\"avatar_url\":" JSON({ "type": ["string", "null"], "format": "uri" }) ","
	"\"role\":" JSON({ "enum": ["member", "admin", "owner"] }) ","
	"\"created_at\":" TIME ",\"updated_at\":" TIME "}}" },
{ "UserPatch", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"id": { "type": "string", "readOnly": true },
		"email": { "type": "string", "readOnly": true },
		"role": { "type": "string", "readOnly": true },
		"created_at": { "type": "string", "readOnly": true },
		"updated_at": { "type": "string", "readOnly": true },
		"display_name": { "type": ["string", "null"],
		    "maxLength": 200 },
		"avatar_url": { "type": ["string", "null"], "format": "uri",
		    "maxLength": 2000 },
		"password": { "type": "string", "minLength": 1,
		    "maxLength": 1024,
		    "description": "8 to 1024 bytes; with current_password." },
		"current_password": { "type": "string", "maxLength": 1024 }
	}
}) },

/* ---- Agents -------------------------------------------------------- */

{ "Memory", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"enabled": { "type": "boolean", "default": false },
		"facts": {
			"type": "array",
			"maxItems": 100,
			"items": { "type": "string", "minLength": 1,
			    "maxLength": 500 },
			"default": []
		}
	}
}) },
{ "MemoryPatch", JSON({
	"type": ["object", "null"],
	"additionalProperties": false,
	"properties": {
		"enabled": { "type": ["boolean", "null"] },
		"facts": {
			"type": ["array", "null"],
			"maxItems": 100,
			"items": { "type": "string", "minLength": 1,
			    "maxLength": 500 }
		}
	}
}) },
{ "Prompts", JSON({
	"type": "array",
	"maxItems": 20,
	"items": { "type": "string", "minLength": 1, "maxLength": 1000 },
	"default": []
}) },
{ "Slugs", JSON({
	"type": "array",
	"maxItems": 50,
	"uniqueItems": true,
	"items": { "type": "string", "minLength": 1, "maxLength": 64 },
	"default": []
}) },
{ "ModelNames", JSON({
	"type": "array",
	"description": "Asked in order when the agent's model fails.",
	"maxItems": 8,
	"uniqueItems": true,
	"items": { "type": "string", "minLength": 1, "maxLength": 200 },
	"default": []
}) },
{ "ApprovalAllow", JSON({
	"type": "array",
	"description": "How a person may answer.",
	"minItems": 1,
	"maxItems": 4,
	"uniqueItems": true,
	"items": { "enum": ["accept", "edit", "response", "ignore"] }
}) },
{ "ApprovalExpires", JSON({
	"type": ["integer", "null"],
	"description": "Seconds after which on_expire happens; null: never.",
	"minimum": 1,
	"maximum": 31536000
}) },
{ "ApprovalOnExpire", JSON({
	"enum": ["reject", "approve", "fail", "escalate"]
}) },
{ "ApprovalTool", JSON({
	"anyOf": [
		{ "enum": ["never", "always", "by_effect"] },
		{ "type": "object",
		    "required": ["when"],
		    "additionalProperties": false,
		    "properties": {
			"when": { "enum": ["never", "always", "by_effect"] },
			"allow": { "$ref": "ApprovalAllow" },
			"expires_s": { "$ref": "ApprovalExpires" },
			"on_expire": { "$ref": "ApprovalOnExpire" }
		    } }
	]
}) },
{ "Approval", JSON({
	"type": "object",
	"description": "Which tool calls need a person's word.",
	"additionalProperties": false,
	"properties": {
		"default": { "enum": ["auto", "never", "always", "by_effect"],
		    "default": "auto" },
		"tools": { "type": "object", "default": {},
		    "additionalProperties": { "$ref": "ApprovalTool" } },
		"resume_when": { "enum": ["all", "each"], "default": "all" },
		"allow": { "$ref": "ApprovalAllow" },
		"expires_s": { "$ref": "ApprovalExpires" },
		"on_expire": { "$ref": "ApprovalOnExpire" },
		"questions": { "type": ["boolean", "null"], "default": null }
	}
}) },
{ "Builtins", JSON({
	"type": "array",
	"description": "Built-in tools that the agent has beside its toolkits; remember comes with its memory. An agent that works alone has them all.",
	"uniqueItems": true,
	"items": { "enum": ["write_todos", "task"] },
	"default": []
}) },
{ "Agent", JSON({
	"type": "object",
	"required": ["id", "user_id", "name", "description", "purpose",
	    "system_prompt", "model_name", "fallback_models", "builtins", "memory",
	    "agent_state",
	    "toolkits", "approval", "suggested_task_prompts",
	    "suggested_job_prompts", "is_public", "version", "created_at", "updated_at"],
	"properties": {
		"id": { "type": "string", "format": "uuid", "readOnly": true },
		"user_id": { "type": "string", "format": "uuid",
		    "readOnly": true },
		"name": { "type": "string" },
		"description": { "type": "string" },
		"purpose": { "type": "string" },
		"system_prompt": { "type": "string" },
		"model_name": { "type": ["string", "null"] },
		"fallback_models": { "$ref": "ModelNames" },
		"builtins": { "$ref": "Builtins" },
		"memory": { "$ref": "Memory" },
		"agent_state": { "enum": ["draft", "ready", "paused", "error"] },
		"toolkits": { "$ref": "Slugs" },
		"approval": { "$ref": "Approval" },
		"suggested_task_prompts": { "$ref": "Prompts" },
		"suggested_job_prompts": { "$ref": "Prompts" },
		"is_public": { "type": "boolean" },
		"version": { "type": "integer", "readOnly": true },
		"created_at": { "type": "string", "format": "date-time",
		    "readOnly": true },
		"updated_at": { "type": "string", "format": "date-time",
		    "readOnly": true }
	}
}) },
{ "AgentCreate", JSON({
	"type": "object",
	"required": ["name"],
	"additionalProperties": false,
	"properties": {
		"name": { "type": "string", "minLength": 1, "maxLength": 200 },
		"description": { "type": "string", "maxLength": 4000,
		    "default": "" },
		"purpose": { "type": "string", "maxLength": 4000,
		    "default": "" },
		"system_prompt": { "type": "string", "maxLength": 100000,
		    "default": "" },
		"model_name": { "type": ["string", "null"], "minLength": 1,
		    "maxLength": 200, "default": null },
		"fallback_models": { "$ref": "ModelNames" },
		"builtins": { "$ref": "Builtins" },
		"memory": { "$ref": "Memory" },
		"agent_state": { "enum": ["draft", "ready", "paused"],
		    "default": "ready" },
		"toolkits": { "$ref": "Slugs" },
		"approval": { "$ref": "Approval" },
		"suggested_task_prompts": { "$ref": "Prompts" },
		"suggested_job_prompts": { "$ref": "Prompts" },
		"is_public": { "type": "boolean", "default": false }
	},
	"examples": [{ "name": "Helper", "toolkits": ["calculator"] }]
}) },
{ "AgentReplace", JSON({
	"type": "object",
	"required": ["name"],
	"additionalProperties": false,
	"properties": {
		"id": { "type": "string", "readOnly": true },
		"user_id": { "type": "string", "readOnly": true },
		"version": { "type": "integer", "readOnly": true },
		"created_at": { "type": "string", "readOnly": true },
		"updated_at": { "type": "string", "readOnly": true },
		"name": { "type": "string", "minLength": 1, "maxLength": 200 },
		"description": { "type": "string", "maxLength": 4000,
		    "default": "" },
		"purpose": { "type": "string", "maxLength": 4000,
		    "default": "" },
		"system_prompt": { "type": "string", "maxLength": 100000,
		    "default": "" },
		"model_name": { "type": ["string", "null"], "minLength": 1,
		    "maxLength": 200, "default": null },
		"fallback_models": { "$ref": "ModelNames" },
		"builtins": { "$ref": "Builtins" },
		"memory": { "$ref": "Memory" },
		"agent_state": { "enum": ["draft", "ready", "paused", "error"],
		    "default": "ready" },
		"toolkits": { "$ref": "Slugs" },
		"approval": { "$ref": "Approval" },
		"suggested_task_prompts": { "$ref": "Prompts" },
		"suggested_job_prompts": { "$ref": "Prompts" },
		"is_public": { "type": "boolean", "default": false }
	}
}) },
{ "ApprovalPatch", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"default": { "enum": ["auto", "never", "always", "by_effect",
		    null] },
		"tools": { "type": ["object", "null"],
		    "additionalProperties": { "anyOf": [{ "type": "null" },
			{ "$ref": "ApprovalTool" }] } },
		"resume_when": { "enum": ["all", "each", null] },
		"allow": { "anyOf": [{ "type": "null" },
		    { "$ref": "ApprovalAllow" }] },
		"expires_s": { "$ref": "ApprovalExpires" },
		"on_expire": { "enum": ["reject", "approve", "fail",
		    "escalate", null] },
		"questions": { "type": ["boolean", "null"] }
	}
}) },
{ "AgentPatch", JSON({
	"type": "object",
	"description": "RFC 7396: null sets a member to its default.",
	"additionalProperties": false,
	"properties": {
		"id": { "type": "string", "readOnly": true },
		"user_id": { "type": "string", "readOnly": true },
		"version": { "type": "integer", "readOnly": true },
		"created_at": { "type": "string", "readOnly": true },
		"updated_at": { "type": "string", "readOnly": true },
		"name": { "type": "string", "minLength": 1, "maxLength": 200 },
		"description": { "type": ["string", "null"],
		    "maxLength": 4000 },
		"purpose": { "type": ["string", "null"], "maxLength": 4000 },
		"system_prompt": { "type": ["string", "null"],
		    "maxLength": 100000 },
		"model_name": { "type": ["string", "null"], "minLength": 1,
		    "maxLength": 200 },
		"fallback_models": { "anyOf": [{ "type": "null" },
		    { "$ref": "ModelNames" }] },
		"builtins": { "anyOf": [{ "type": "null" },
		    { "$ref": "Builtins" }] },
		"memory": { "$ref": "MemoryPatch" },
		"agent_state": { "enum": ["draft", "ready", "paused", "error",
		    null] },
		"toolkits": { "anyOf": [{ "type": "null" },
		    { "$ref": "Slugs" }] },
		"approval": { "anyOf": [{ "type": "null" },
		    { "$ref": "ApprovalPatch" }] },
		"suggested_task_prompts": { "anyOf": [{ "type": "null" },
		    { "$ref": "Prompts" }] },
		"suggested_job_prompts": { "anyOf": [{ "type": "null" },
		    { "$ref": "Prompts" }] },
		"is_public": { "type": ["boolean", "null"] }
	}
}) },
{ "AgentPage", PAGE("Agent") },
{ "AgentsQuery", QUERY(LIMIT "," CURSOR ",\"public\":"
	JSON({ "enum": ["true", "false"], "default": "false" })) },

/* ---- Models and toolkits ------------------------------------------- */

{ "PageQuery", QUERY(LIMIT "," CURSOR) },
{ "Model", JSON({
	"type": "object",
	"required": ["id", "provider", "name", "title", "is_default",
	    "window", "max_output", "abilities", "dim"],
	"properties": {
		"id": { "type": "string" },
		"provider": { "type": "string" },
		"name": { "type": "string" },
		"title": { "type": "string" },
		"is_default": { "type": "boolean" },
		"window": { "type": ["integer", "null"] },
		"max_output": { "type": ["integer", "null"] },
		"abilities": { "type": "array", "items": { "type": "string" } },
		"dim": { "type": ["integer", "null"] }
	}
}) },
{ "ModelPage", PAGE("Model") },
{ "Toolkit", JSON({
	"type": "object",
	"required": ["slug", "name", "description", "version", "tools_count",
	    "needs_connection", "service"],
	"properties": {
		"slug": { "type": "string" },
		"name": { "type": "string" },
		"description": { "type": "string" },
		"version": { "type": "string" },
		"tools_count": { "type": "integer" },
		"needs_connection": { "type": "boolean" },
		"service": { "type": ["string", "null"] }
	}
}) },
{ "ToolkitPage", PAGE("Toolkit") },
{ "Tool", JSON({
	"type": "object",
	"required": ["name", "description", "input_schema", "output_schema",
	    "effect", "needs_approval", "needs_connection", "version"],
	"properties": {
		"name": { "type": "string" },
		"description": { "type": "string" },
		"input_schema": { "type": "object" },
		"output_schema": { "type": ["object", "null"] },
		"effect": { "enum": ["none", "repeat", "keyed", "verified",
		    "once"] },
		"needs_approval": { "type": "boolean" },
		"needs_connection": { "type": "boolean" },
		"version": { "type": "string" }
	}
}) },
{ "ToolPage", PAGE("Tool") },

/* ---- Threads, messages, runs --------------------------------------- */

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

/* ---- Operators ----------------------------------------------------- */

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

/* ---- Events -------------------------------------------------------- */

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
	JSON({ "type": "integer", "minimum": 0 })) },

/* ---- Health -------------------------------------------------------- */

{ "Health", JSON({
	"type": "object",
	"required": ["status"],
	"properties": { "status": { "const": "ok" } }
}) },
{ "Readiness", JSON({
	"type": "object",
	"required": ["status", "checks"],
	"properties": {
		"status": { "enum": ["ready", "draining", "degraded"] },
		"checks": {
			"type": "object",
			"required": ["store", "realtime"],
			"properties": {
				"store": { "enum": ["ok", "down"] },
				"realtime": { "type": "string" }
			}
		}
	}
}) },
{ NULL, NULL }
};
/* clang-format on */

/* The tables of all rooms; each ends with a row without a name. */
static const struct schema_row *const rooms[] = { table, api_schemas_ambient,
	api_schemas_inbox, api_schemas_schedules, api_schemas_hooks,
	api_schemas_branches };

static const struct schema_row *
row_at(size_t i)
{
	for (size_t r = 0; r < N_ITEMS(rooms); r++)
		for (const struct schema_row *row = rooms[r]; row->name != NULL;
		     row++)
			if (i-- == 0)
				return row;
	return NULL;
}

const char *
api_schema_name(size_t i)
{
	const struct schema_row *row = row_at(i);

	return row != NULL ? row->name : NULL;
}

enum as_status
api_schemas_new(struct schema_set **out, struct error *err)
{
	struct schema_set *set = schema_set_new();
	const struct schema_row *row;
	enum as_status st = AS_OK;

	*out = NULL;
	for (size_t i = 0; st == AS_OK && (row = row_at(i)) != NULL; i++)
		st = schema_set_add(set, row->name, row->text, err);
	if (st == AS_OK)
		st = schema_set_resolve(set, err);
	if (st != AS_OK) {
		schema_set_free(set);
		return st;
	}
	*out = set;
	return AS_OK;
}
