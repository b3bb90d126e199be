/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of schedules. */

/* clang-format off */
#define CLASSES JSON({ "enum": ["priority", "standard", "bulk"], \
	"default": "standard" })
#define OVERLAPS JSON({ "enum": ["skip", "queue", "replace"], \
	"default": "skip" })
#define READONLY(type) \
	"{\"type\":" type ",\"readOnly\":true}"
#define TEXT_OR_NULL "[\"string\",\"null\"]"

/* What a client may write, the first two of them always there. */
#define WRITABLE \
	"\"cron\":" JSON({ "type": "string", "minLength": 1, "maxLength": 256, \
	    "description": "Five fields, or @daily and the like." }) "," \
	"\"task\":" JSON({ "type": "string", "minLength": 1 }) "," \
	"\"name\":" JSON({ "type": "string", "maxLength": 200, \
	    "default": "" }) "," \
	"\"timezone\":" JSON({ "type": "string", "minLength": 1, \
	    "maxLength": 64, "default": "UTC" }) "," \
	"\"class\":" CLASSES ",\"overlap\":" OVERLAPS "," \
	"\"jitter_ms\":" JSON({ "type": "integer", "minimum": 0, \
	    "maximum": 3600000, "default": 0, \
	    "description": "Each time starts up to so much later." }) "," \
	"\"catch_up\":" JSON({ "type": "integer", "minimum": 0, \
	    "maximum": 24, "default": 1, \
	    "description": "How many of the times that have passed start." }) \
	",\"ends_at\":" JSON({ "type": ["string", "null"], \
	    "format": "date-time", "default": null })

/* The same where null stands for the default. */
#define PATCHABLE \
	"\"cron\":" JSON({ "type": "string", "minLength": 1, \
	    "maxLength": 256 }) "," \
	"\"task\":" JSON({ "type": "string", "minLength": 1 }) "," \
	"\"name\":" JSON({ "type": ["string", "null"], "maxLength": 200 }) "," \
	"\"timezone\":" JSON({ "type": ["string", "null"], "minLength": 1, \
	    "maxLength": 64 }) "," \
	"\"class\":" JSON({ "enum": ["priority", "standard", "bulk", null] }) \
	",\"overlap\":" JSON({ "enum": ["skip", "queue", "replace", null] }) \
	",\"jitter_ms\":" JSON({ "type": ["integer", "null"], "minimum": 0, \
	    "maximum": 3600000 }) "," \
	"\"catch_up\":" JSON({ "type": ["integer", "null"], "minimum": 0, \
	    "maximum": 24 }) "," \
	"\"ends_at\":" JSON({ "type": ["string", "null"], \
	    "format": "date-time" })

/* Sent back as they were read. */
#define SENT_BACK \
	"\"id\":" READONLY("\"string\"") "," \
	"\"agent_id\":" READONLY("\"string\"") "," \
	"\"user_id\":" READONLY("\"string\"") "," \
	"\"paused\":" READONLY("\"boolean\"") "," \
	"\"paused_reason\":" READONLY(TEXT_OR_NULL) "," \
	"\"next_at\":" READONLY(TEXT_OR_NULL) "," \
	"\"next_times\":" READONLY("\"array\"") "," \
	"\"last_at\":" READONLY(TEXT_OR_NULL) "," \
	"\"last_run_id\":" READONLY(TEXT_OR_NULL) "," \
	"\"version\":" READONLY("\"integer\"") "," \
	"\"created_at\":" READONLY("\"string\"") "," \
	"\"updated_at\":" READONLY("\"string\"")

#define IN_FULL(required, members) \
	"{\"type\":\"object\",\"additionalProperties\":false," required \
	"\"properties\":{" members "}}"

const struct schema_row api_schemas_schedules[] = {
{ "Schedule", "{\"type\":\"object\",\"required\":[\"id\",\"agent_id\","
	"\"user_id\",\"name\",\"cron\",\"timezone\",\"task\",\"class\","
	"\"overlap\",\"jitter_ms\",\"catch_up\",\"ends_at\",\"paused\","
	"\"paused_reason\",\"next_at\",\"next_times\",\"last_at\","
	"\"last_run_id\",\"version\",\"created_at\",\"updated_at\"],"
	"\"properties\":{\"id\":" ID ",\"agent_id\":" ID ",\"user_id\":" ID ","
	WRITABLE ",\"paused\":" READONLY("\"boolean\"") ","
	"\"paused_reason\":" JSON({ "type": ["string", "null"],
	    "description": "user, or why it has paused itself." }) ","
	"\"next_at\":" TIME_OR_NULL ","
	"\"next_times\":{\"type\":\"array\",\"items\":" TIME "},"
	"\"last_at\":" TIME_OR_NULL ",\"last_run_id\":" ID_OR_NULL ","
	"\"version\":" READONLY("\"integer\"") ","
	"\"created_at\":" TIME ",\"updated_at\":" TIME "}}" },
{ "ScheduleCreate", "{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"cron\",\"task\"],\"properties\":{" WRITABLE "},"
	"\"examples\":[{\"cron\":\"0 9 * * mon-fri\","
	"\"timezone\":\"Europe/Berlin\",\"task\":\"Read the news and report.\"}]}" },
{ "ScheduleReplace", IN_FULL("\"required\":[\"cron\",\"task\"],",
	SENT_BACK "," WRITABLE) },
{ "SchedulePatch", IN_FULL(
	"\"description\":\"RFC 7396: null sets a member to its default.\",",
	SENT_BACK "," PATCHABLE) },
{ "SchedulePage", PAGE("Schedule") },
{ "Fire", "{\"type\":\"object\",\"required\":[\"fire_at\",\"state\","
	"\"reason\",\"times\",\"run_id\",\"thread_id\",\"run_status\","
	"\"updated_at\"],\"properties\":{\"fire_at\":" TIME ","
	"\"state\":" JSON({ "enum": ["pending", "started", "skipped", "missed",
	    "failed"] }) ","
	"\"reason\":" JSON({ "type": ["string", "null"] }) ","
	"\"times\":" JSON({ "type": "integer",
	    "description": "How many times this stands for, from fire_at on." })
	",\"run_id\":" ID_OR_NULL ",\"thread_id\":" ID_OR_NULL ","
	"\"run_status\":" JSON({ "type": ["string", "null"] }) ","
	"\"updated_at\":" TIME "}}" },
{ "FirePage", PAGE("Fire") },
{ NULL, NULL }
};
/* clang-format on */
