/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of models, toolkits and tools. */

/* clang-format off */
const struct schema_row api_schemas_models[] = {
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
{ NULL, NULL }
};
/* clang-format on */
