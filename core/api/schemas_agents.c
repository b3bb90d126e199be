/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of agents: what may be sent, and what is got. */

/* clang-format off */
const struct schema_row api_schemas_agents[] = {
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
{ NULL, NULL }
};
/* clang-format on */
