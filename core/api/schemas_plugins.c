/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of plugins as admins see them. */

/* clang-format off */
const struct schema_row api_schemas_plugins[] = {
{ "Plugin", JSON({
	"type": "object",
	"required": ["name", "plugin", "kinds", "version", "summary", "file",
	    "state", "generation", "error", "grants", "declared", "effects",
	    "isolation", "held_by", "pid", "calls", "errors", "open", "latency_us", "generations_draining", "generations_in_memory",
	    "memory_bytes"],
	"properties": {
		"name": { "type": "string", "description":
		    "Of its group in the configuration." },
		"plugin": { "type": "string" },
		"kinds": { "type": "array", "items": { "enum": ["toolkit",
		    "llm", "vector", "auth"] } },
		"version": { "type": ["string", "null"] },
		"summary": { "type": ["string", "null"] },
		"file": { "type": ["string", "null"] },
		"state": { "enum": ["loaded", "serving", "retrying", "failed",
		    "disabled", "draining", "stopped"] },
		"generation": { "type": "integer" },
		"error": { "type": ["string", "null"], "description":
		    "Why it is in this state, or why its last reload was refused." },
		"grants": { "type": "array", "items": { "type": "string" },
		    "description": "What it may do." },
		"declared": { "type": "array", "items": { "type": "string" },
		    "description": "What it asks for; conf.d may leave it less." },
		"effects": { "type": ["array", "null"], "items": { "enum":
		    ["none", "repeat", "keyed", "verified", "once"] },
		    "description": "Classes its tools may have; null: all." },
		"isolation": { "enum": ["none", "process", null] },
		"held_by": { "type": ["array", "null"], "items": { "enum":
		    ["system_calls", "limits", "files", "user"] },
		    "description": "What holds its process; null: it has none." },
		"pid": { "type": ["integer", "null"], "description":
		    "Of the process that it has of its own." },
		"calls": { "type": "integer" },
		"errors": { "type": "integer" },
		"open": { "type": "integer", "description":
		    "Calls that have not ended, of all generations." },
		"latency_us": {
			"type": "object",
			"required": ["mean", "p99"],
			"properties": {
				"mean": { "type": "number" },
				"p99": { "type": "number" }
			}
		},
		"generations_draining": { "type": "integer" },
		"generations_in_memory": { "type": "integer" },
		"memory_bytes": { "type": "integer" }
	}
}) },
{ "PluginPage", PAGE("Plugin") },
{ "PluginReload", JSON({
	"type": "object",
	"required": ["name", "ok", "state", "generation", "error"],
	"properties": {
		"name": { "type": "string" },
		"ok": { "type": "boolean" },
		"state": { "type": "string", "description":
		    "As that of Plugin, or gone: the configuration does not name it any more." },
		"generation": { "type": ["integer", "null"] },
		"error": { "type": ["string", "null"] }
	}
}) },
{ NULL, NULL }
};
