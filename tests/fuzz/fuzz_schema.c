/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/base/text.h"

/*
 * The first line is a schema, the rest a value.  A check always ends, and a
 * failure names at least one field and at most 20.
 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
validate(const struct schema *schema, const char *text, size_t len)
{
	struct error err = { 0 };
	struct json_object *v, *details;
	const char *told;
	int n;

	if (json_parse(text, len, &v, NULL) != AS_OK)
		return;
	if (schema_validate(schema, v, &err) != AS_OK) {
		MUST(err.code == ERR_VALIDATION_FAILED);
		details = jget(err.extra, "details");
		n = json_object_object_length(details);
		MUST(n >= 1 && n <= 20);
		told = json_text(details);
		MUST(text_is_utf8(told, strlen(told)));
	} else {
		MUST(err.code == ERR_NONE);
	}
	error_clear(&err);
	json_object_put(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes;
	const char *end = len > 0 ? memchr(text, '\n', len) : NULL;
	struct error err = { 0 };
	struct schema *schema;
	size_t head;
	char *first;

	if (end == NULL)
		return 0;
	head = (size_t)(end - text);
	first = xstrndup(text, head);
	if (schema_compile(first, &schema, &err) == AS_OK) {
		validate(schema, end + 1, len - head - 1);
		schema_free(schema);
	} else {
		MUST(schema == NULL && err.detail[0] != '\0');
	}
	error_clear(&err);
	free(first);
	return 0;
}
