/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/pointer.h"

#include "core/base/text.h"

/*
 * Pointers of plugins.  json-c has them too, but copies the pointer at each
 * use, and these are used for each piece of a stream.
 */

bool
pointer_next(const char **pointer, char token[POINTER_TOKEN])
{
	const char *s = *pointer + 1;
	size_t n = 0;

	for (; *s != '\0' && *s != '/'; s++) {
		if (n + 1 >= POINTER_TOKEN)
			return false;
		if (*s == '~' && (s[1] == '0' || s[1] == '1'))
			token[n++] = *++s == '0' ? '~' : '/';
		else
			token[n++] = *s;
	}
	token[n] = '\0';
	*pointer = s;
	return true;
}

bool
pointer_index(const char *token, size_t *index)
{
	int64_t i;

	if ((token[0] == '0' && token[1] != '\0') ||
	    !text_to_int(token, 0, INT32_MAX, &i))
		return false;
	*index = (size_t)i;
	return true;
}
