/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * What the parser takes, json-c takes too, and printing and parsing again
 * gives the same value.  What it refuses has a place inside the text.
 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
refused(const struct error *err, size_t len)
{
	const char *at = strrchr(err->detail, ' ');

	MUST(err->code == ERR_MALFORMED_JSON);
	MUST(at != NULL && strtoul(at + 1, NULL, 10) <= len);
}

static void
json_c_takes(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
	struct json_object *v;

	v = json_tokener_parse_ex(tok, text, (int)len);
	/* A number alone may go on. */
	MUST(json_tokener_get_error(tok) == json_tokener_success ||
	     json_tokener_get_error(tok) == json_tokener_continue);
	json_object_put(v);
	json_tokener_free(tok);
}

static void
same_again(struct json_object *v)
{
	struct buf one = { 0 }, two = { 0 };
	struct json_object *again, *copy = json_copy(v);
	const char *text = json_text(v);

	MUST(json_parse(text, strlen(text), &again, NULL) == AS_OK);
	json_canonical(&one, copy);
	json_canonical(&two, again);
	MUST(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	MUST(text_is_utf8(one.data, one.len));
	json_object_put(again);
	again = json_merge_patch(json_object_get(copy), v);
	json_object_put(again);
	json_object_put(copy);
	buf_free(&one);
	buf_free(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes;
	struct error err = { 0 };
	struct json_object *v;

	if (json_parse(text, len, &v, &err) != AS_OK) {
		refused(&err, len);
		error_clear(&err);
		return 0;
	}
	MUST(text_is_utf8(text, len));
	json_c_takes(text, len);
	same_again(v);
	json_object_put(v);
	return 0;
}
