/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * Arguments for a tool that the script does not mention: the smallest object
 * that its schema takes.  What a schema can say is endless, so the result is
 * validated like any other, and the author is asked for arguments if it fails.
 */

static const char *
type_of(struct json_object *schema)
{
	struct json_object *type = jget(schema, "type");

	if (json_object_is_type(type, json_type_array))
		type = json_object_array_get_idx(type, 0);
	if (json_object_is_type(type, json_type_string))
		return json_object_get_string(type);
	return jget(schema, "properties") != NULL ? "object" : "string";
}

static struct json_object *
text_sample(struct json_object *schema)
{
	static const struct {
		const char *format, *text;
	} formats[] = {
		{ "uri", "https://example.com/" },
		{ "email", "me@example.org" },
		{ "uuid", "00000000-0000-7000-8000-000000000001" },
		{ "date-time", "2026-01-01T00:00:00Z" },
	};
	const char *format = jget_str(schema, "format", "");
	int64_t min = jget_int(schema, "minLength", 0);
	int64_t max = jget_int(schema, "maxLength", 4);
	struct json_object *v;
	size_t i, len;
	char *text;

	for (i = 0; i < N_ITEMS(formats); i++) {
		if (strcmp(formats[i].format, format) == 0)
			return json_object_new_string(formats[i].text);
	}
	len = (size_t)(max < 4 ? max : 4);
	len = min > (int64_t)len && min < 65536 ? (size_t)min : len;
	text = xmalloc(len + 1);
	memset(text, 'a', len);
	text[len] = '\0';
	v = json_object_new_string(text);
	free(text);
	return v;
}

static struct json_object *
number_sample(struct json_object *schema, bool whole)
{
	struct json_object *min = jget(schema, "minimum");
	struct json_object *max = jget(schema, "maximum");
	double n = 1;

	if (min != NULL && json_object_get_double(min) > n)
		n = json_object_get_double(min);
	if (max != NULL && json_object_get_double(max) < n)
		n = json_object_get_double(max);
	return whole ? json_object_new_int64((int64_t)n) : jnum(n);
}

static struct json_object *
array_sample(struct json_object *schema)
{
	int64_t i, n = jget_int(schema, "minItems", 0);
	struct json_object *a = jarr();

	for (i = 0; i < n && i < 64; i++)
		json_object_array_add(a, sample_of(jget(schema, "items")));
	return a;
}

static struct json_object *
object_sample(struct json_object *schema)
{
	struct json_object *required = jget(schema, "required"), *o = jobj();
	size_t i, n = json_object_is_type(required, json_type_array)
			  ? json_object_array_length(required)
			  : 0;
	const char *name;

	for (i = 0; i < n; i++) {
		name = json_object_get_string(
		    json_object_array_get_idx(required, i));
		jput(o, name,
		    sample_of(jget(jget(schema, "properties"), name)));
	}
	return o;
}

struct json_object *
sample_of(struct json_object *schema)
{
	static const char *const choices[] = { "anyOf", "oneOf", "enum" };
	struct json_object *list;
	const char *type;
	size_t i;

	if (jget(schema, "const") != NULL)
		return json_copy(jget(schema, "const"));
	if (jget(schema, "default") != NULL)
		return json_copy(jget(schema, "default"));
	for (i = 0; i < N_ITEMS(choices); i++) {
		list = jget(schema, choices[i]);
		if (!json_object_is_type(list, json_type_array) ||
		    json_object_array_length(list) == 0)
			continue;
		list = json_object_array_get_idx(list, 0);
		return strcmp(choices[i], "enum") == 0 ? json_copy(list)
						       : sample_of(list);
	}
	type = type_of(schema);
	if (strcmp(type, "object") == 0)
		return object_sample(schema);
	if (strcmp(type, "array") == 0)
		return array_sample(schema);
	if (strcmp(type, "boolean") == 0)
		return json_object_new_boolean(true);
	if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0)
		return number_sample(schema, type[0] == 'i');
	return strcmp(type, "null") == 0 ? NULL : text_sample(schema);
}
