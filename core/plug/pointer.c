/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/pointer.h"

#include "core/base/json.h"
#include "core/base/text.h"

/*
 * Pointers of plugins.  json-c has them too, but copies the pointer at each
 * use, and these are used for each piece of a stream.  No name is longer than
 * 255 bytes.
 */

#define TOKEN_MAX 256

/* One token of a pointer; ~1 is a slash and ~0 a tilde. */
static bool
token_next(const char **at, char *out, size_t size)
{
	const char *s = *at;
	size_t n = 0;

	for (; *s != '\0' && *s != '/'; s++) {
		if (n + 1 >= size)
			return false;
		if (*s == '~' && (s[1] == '0' || s[1] == '1'))
			out[n++] = *++s == '0' ? '~' : '/';
		else
			out[n++] = *s;
	}
	out[n] = '\0';
	*at = s;
	return true;
}

static bool
step(struct json_object *o, const char *token, struct json_object **out)
{
	int64_t i;

	if (json_object_is_type(o, json_type_object))
		return json_object_object_get_ex(o, token, out);
	if (!json_object_is_type(o, json_type_array) ||
	    (token[0] == '0' && token[1] != '\0') ||
	    !text_to_int(token, 0, INT32_MAX, &i) ||
	    (size_t)i >= json_object_array_length(o))
		return false;
	*out = json_object_array_get_idx(o, (size_t)i);
	return true;
}

bool
pointer_get(struct json_object *o, const char *pointer,
    struct json_object **out)
{
	char token[TOKEN_MAX];

	while (*pointer == '/') {
		pointer++;
		if (!token_next(&pointer, token, sizeof(token)) ||
		    !step(o, token, out))
			return false;
		o = *out;
	}
	return true;
}
