/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of accounts and sessions. */

/* clang-format off */
const struct schema_row api_schemas_auth[] = {
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
{ "TicketCreate", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"thread_id": { "type": ["string", "null"], "format": "uuid",
		    "description": "The only thread it is good for; absent: any of mine." }
	}
}) },
{ "Ticket", JSON({
	"type": "object",
	"required": ["ticket", "expires_in"],
	"properties": {
		"ticket": { "type": "string", "description":
		    "Shown once, as ?ticket= or in the first frame." },
		"expires_in": { "type": "integer", "description": "Seconds." }
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
{ NULL, NULL }
};
/* clang-format on */
