/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of webhooks, going out and coming in. */

/* clang-format off */
#define WEBHOOK_MEMBERS \
	"\"id\":" ID ",\"url\":{\"type\":\"string\"}," \
	"\"description\":{\"type\":\"string\"}," \
	"\"events\":{\"$ref\":\"WebhookEvents\"}," \
	"\"paused\":{\"type\":\"boolean\"}," \
	"\"paused_reason\":{\"enum\":[\"user\",\"gone\",\"failing\",null]}," \
	"\"failures\":{\"type\":\"integer\",\"description\":" \
	"\"Tries that have failed since the last one that did not.\"}," \
	"\"last_status\":{\"type\":[\"integer\",\"null\"]}," \
	"\"last_at\":" TIME_OR_NULL "," \
	"\"created_at\":" TIME ",\"updated_at\":" TIME
#define WEBHOOK_REQUIRED \
	"\"id\",\"url\",\"description\",\"events\",\"paused\"," \
	"\"paused_reason\",\"failures\",\"last_status\",\"last_at\"," \
	"\"created_at\",\"updated_at\""
#define SECRET \
	"\"secret\":{\"type\":\"string\",\"description\":" \
	"\"Shown this once.\"}"
#define URL JSON({ "type": "string", "minLength": 1, "maxLength": 2048 })

#define TRIGGER_MEMBERS \
	"\"id\":" ID ",\"agent_id\":" ID "," \
	"\"path\":{\"type\":\"string\",\"description\":" \
	"\"Where messages are to be posted.\"}," \
	"\"name\":{\"type\":\"string\"}," \
	"\"scheme\":{\"$ref\":\"TriggerScheme\"}," \
	"\"task\":{\"type\":\"string\"},\"class\":{\"$ref\":\"TriggerClass\"}," \
	"\"paused\":{\"type\":\"boolean\"}," \
	"\"fired\":{\"type\":\"integer\",\"description\":" \
	"\"Runs that it has started.\"}," \
	"\"last_at\":" TIME_OR_NULL ",\"last_run_id\":" ID_OR_NULL "," \
	"\"created_at\":" TIME ",\"updated_at\":" TIME
#define TRIGGER_REQUIRED \
	"\"id\",\"agent_id\",\"path\",\"name\",\"scheme\",\"task\"," \
	"\"class\",\"paused\",\"fired\",\"last_at\",\"last_run_id\"," \
	"\"created_at\",\"updated_at\""
#define OBJECT(required, members) \
	"{\"type\":\"object\",\"required\":[" required "],\"properties\":{" \
	members "}}"

const struct schema_row api_schemas_hooks[] = {
{ "WebhookEvents", JSON({
	"type": "array",
	"minItems": 1,
	"maxItems": 10,
	"uniqueItems": true,
	"items": { "enum": ["run.*", "run.succeeded", "run.failed",
	    "run.cancelled", "run.expired", "run.rolled_back",
	    "run.dead_lettered", "run.waiting_human",
	    "run.recoverable_error", "run.escalated"] }
}) },
{ "WebhookCreate", "{\"type\":\"object\",\"required\":[\"url\",\"events\"],"
	"\"additionalProperties\":false,\"properties\":{\"url\":" URL ","
	"\"description\":" JSON({ "type": "string", "maxLength": 500,
	    "default": "" }) ","
	"\"events\":{\"$ref\":\"WebhookEvents\"},"
	"\"paused\":" JSON({ "type": "boolean", "default": false }) "},"
	"\"examples\":[{\"url\":\"https://example.org/hook\","
	"\"events\":[\"run.*\"]}]}" },
{ "WebhookPatch", "{\"type\":\"object\",\"additionalProperties\":false,"
	"\"properties\":{\"url\":" URL ","
	"\"description\":" JSON({ "type": "string", "maxLength": 500 }) ","
	"\"events\":{\"$ref\":\"WebhookEvents\"},"
	"\"paused\":" JSON({ "type": "boolean" }) "}}" },
{ "Webhook", OBJECT(WEBHOOK_REQUIRED, WEBHOOK_MEMBERS) },
{ "WebhookSecret", OBJECT(WEBHOOK_REQUIRED ",\"secret\"",
	WEBHOOK_MEMBERS "," SECRET) },
{ "WebhookPage", PAGE("Webhook") },
{ "SecretRotate", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"overlap_s": { "type": "integer", "minimum": 0,
		    "maximum": 604800, "default": 86400,
		    "description": "How long the old secret is good, too." }
	}
}) },
{ "WebhookDelivery", "{\"type\":\"object\",\"required\":[\"id\","
	"\"webhook_id\",\"event\",\"run_id\",\"status\",\"attempts\","
	"\"response_status\",\"error\",\"duration_ms\",\"next_at\","
	"\"created_at\",\"updated_at\",\"body\"],\"properties\":{"
	"\"id\":{\"type\":\"string\",\"format\":\"uuid\",\"description\":"
	"\"The header webhook-id is msg_ and this.\"},"
	"\"webhook_id\":" ID ",\"event\":{\"type\":\"string\"},"
	"\"run_id\":" ID_OR_NULL ","
	"\"status\":" JSON({ "enum": ["pending", "delivered", "failed"] }) ","
	"\"attempts\":" JSON({ "type": "integer" }) ","
	"\"response_status\":" JSON({ "type": ["integer", "null"] }) ","
	"\"error\":" JSON({ "type": ["string", "null"] }) ","
	"\"duration_ms\":" JSON({ "type": ["integer", "null"] }) ","
	"\"next_at\":" TIME_OR_NULL ","
	"\"created_at\":" TIME ",\"updated_at\":" TIME ","
	"\"body\":" JSON({ "type": "object" }) "}}" },
{ "WebhookDeliveryPage", PAGE("WebhookDelivery") },
{ "WebhookDeliveriesQuery", QUERY(LIMIT "," CURSOR ",\"status\":"
	"{\"enum\":[\"pending\",\"delivered\",\"failed\"]}") },

{ "TriggerScheme", JSON({
	"enum": ["standard", "github"],
	"description": "Standard Webhooks, or X-Hub-Signature-256."
}) },
{ "TriggerClass", JSON({ "enum": ["priority", "standard", "bulk"] }) },
{ "TriggerCreate", JSON({
	"type": "object",
	"required": ["task"],
	"additionalProperties": false,
	"properties": {
		"name": { "type": "string", "maxLength": 200, "default": "" },
		"scheme": { "$ref": "TriggerScheme" },
		"task": { "type": "string", "minLength": 1,
		    "maxLength": 16384, "description":
		    "What the agent is to do; {{body}} stands for what came, quoted, {{id}} for its id." },
		"class": { "$ref": "TriggerClass" },
		"paused": { "type": "boolean", "default": false }
	},
	"examples": [{ "task": "Sum up what came: {{body}}" }]
}) },
{ "TriggerPatch", JSON({
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"name": { "type": "string", "maxLength": 200 },
		"task": { "type": "string", "minLength": 1,
		    "maxLength": 16384 },
		"class": { "$ref": "TriggerClass" },
		"paused": { "type": "boolean" }
	}
}) },
{ "Trigger", OBJECT(TRIGGER_REQUIRED, TRIGGER_MEMBERS) },
{ "TriggerSecret", OBJECT(TRIGGER_REQUIRED ",\"secret\"",
	TRIGGER_MEMBERS "," SECRET) },
{ "TriggerPage", PAGE("Trigger") },
{ "TriggerFired", OBJECT("\"run_id\",\"thread_id\",\"replayed\"",
	"\"run_id\":" ID ",\"thread_id\":" ID ",\"replayed\":"
	"{\"type\":\"boolean\",\"description\":"
	"\"This id came before: it is the run of then.\"}") },
{ NULL, NULL }
};
/* clang-format on */
