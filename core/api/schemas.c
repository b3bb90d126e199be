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
{ "PageQuery", QUERY(LIMIT "," CURSOR) },
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
				"store": { "enum": ["ok", "down", "read_only"] },
				"standby": { "enum": ["ok", "none", "lost"] },
				"realtime": { "type": "string" }
			}
		}
	}
}) },
{ NULL, NULL }
};
/* clang-format on */

/* The tables of all rooms; each ends with a row without a name. */
static const struct schema_row *const rooms[] = { table, api_schemas_auth,
	api_schemas_agents, api_schemas_models, api_schemas_chat,
	api_schemas_events, api_schemas_ambient, api_schemas_inbox,
	api_schemas_schedules, api_schemas_hooks, api_schemas_branches,
	api_schemas_files, api_schemas_plugins };

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
