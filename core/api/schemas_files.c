/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "core/api/schemas_impl.h"

/* Shapes of files. */

/* clang-format off */
const struct schema_row api_schemas_files[] = {
{ "File", "{\"type\":\"object\",\"required\":[\"id\",\"name\",\"media_type\","
	"\"length\",\"sha256\",\"created_at\",\"run_id\",\"tool\","
	"\"tool_call_id\"],\"properties\":{\"id\":" ID ","
	"\"name\":{\"type\":\"string\"},\"media_type\":{\"type\":\"string\"},"
	"\"length\":{\"type\":\"integer\",\"description\":\"Bytes.\"},"
	"\"sha256\":{\"type\":\"string\"},\"created_at\":" TIME ","
	"\"run_id\":" ID_OR_NULL ","
	"\"tool\":" JSON({ "type": ["string", "null"], "description":
	    "The tool whose call has written it; null: uploaded." }) ","
	"\"tool_call_id\":" JSON({ "type": ["string", "null"] }) "}}" },
{ "FilePage", PAGE("File") },
{ "FileUploadQuery", QUERY("\"name\":" JSON({ "type": "string",
	"minLength": 1, "maxLength": 200 })) },
{ NULL, NULL }
};
/* clang-format on */
